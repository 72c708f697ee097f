/* Where the sums of products go. */

#ifndef TARGETS_H
#define TARGETS_H

#include "products.h"

struct target {
    float *out;  /* (rows, stride); null: through silu into `inner` */
    char *inner; /* (rows, stride) of the kind: of gate_up, whose panels are 16 gates and their 16 ups */
    int64_t stride;
};

INLINE void store_input(enum kind kind, char *input, int64_t place, vec v) {
    if (bfloat_inputs(kind)) store_bfloats((bfloat *)input + place, v);
    else store_floats((float *)input + place, v);
}

/* Sums of one row and one panel. */
static inline void deliver(enum kind kind, const struct product *product, struct target target,
                           int64_t row, int64_t panel, vec first, vec second) {
    if (product->bias) {
        first += load_floats(product->bias + panel * PANEL);
        second += load_floats(product->bias + panel * PANEL + LANES);
    }
    if (!target.out) {
        store_input(kind, target.inner, row * target.stride + panel * LANES, silu(first) * second);
        return;
    }
    float *out = target.out + row * target.stride + panel * PANEL;
    int64_t left = target.stride - panel * PANEL;
    if (left >= PANEL) {
        store_floats(out, first);
        store_floats(out + LANES, second);
    } else { /* logits, whose rows are not padded */
        float both[PANEL];
        store_floats(both, first);
        store_floats(both + LANES, second);
        memcpy(out, both, left * sizeof(float));
    }
}

#endif
