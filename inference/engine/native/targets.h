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
                           int64_t row, int64_t panel, const vec sums[PARTS]) {
    vec sum[PARTS];
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; i++) {
        sum[i] = sums[i];
        if (product->scales) sum[i] *= load_floats(product->scales + panel * PANEL + i * LANES);
        if (product->bias) sum[i] += load_floats(product->bias + panel * PANEL + i * LANES);
    }
    if (!target.out) {
        int64_t place = row * target.stride + panel * (PANEL / 2);
#pragma GCC unroll 4
        for (int i = 0; i < PARTS / 2; i++)
            store_input(kind, target.inner, place + i * LANES, silu(sum[i]) * sum[i + PARTS / 2]);
        return;
    }
    float *out = target.out + row * target.stride + panel * PANEL;
    int64_t left = target.stride - panel * PANEL;
    if (left >= PANEL) {
#pragma GCC unroll 8
        for (int i = 0; i < PARTS; i++) store_floats(out + i * LANES, sum[i]);
    } else memcpy(out, sum, left * sizeof(float)); /* logits, whose rows are not padded */
}

#endif
