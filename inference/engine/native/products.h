/* Matrix products with fixed weights: out = x · weightsᵀ + bias.
 *
 * Weights lie in panels of 32 outputs; within a panel all inputs of those outputs, input by input
 * (bfloats: pair of inputs by pair), so that a product reads them from start to end. A tile is some
 * rows times some panels with its sums in registers. Every sum runs over the inputs in order, in one
 * register, so an output's bits do not depend on the rows or panels beside it.
 *
 * Four kinds: all in float32; weights as bfloats, which are turned into floats where they are used
 * (the same result, half the memory); and bfloats on both sides, for processors that multiply those, as
 * vectors or as tiles (tiles.h). Where the kind's weights are bfloats they may be int8 numbers with a
 * scale for each output: they are widened where they are used, and a sum is scaled when it is delivered.
 */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "numbers.h"

#define PANEL 32
#define PARTS (PANEL / LANES) /* vectors of a panel */
#define CACHE_LINE 64 /* larger ones are asked for twice */

/* Rows times panels of a tile; more than MOST_WHOLE are summed half a panel at a time, or the sums would
 * not fit into the registers. Of 32 that hold 512 bits, twelve panels fill 24, and are a tenth slower
 * than eight; of 16 that hold 256, five halves fill ten, and six are a third slower. */
#if LANES == 16
#define MOST_SUMS 8
#define MOST_WHOLE 8
#elif LANES == 8
#define MOST_SUMS 5
#define MOST_WHOLE 2
#else
#define MOST_SUMS 2
#define MOST_WHOLE 1
#endif
#define LARGEST_TILE 8 /* that there is code for */

enum kind { FLOATS, BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES };

struct product {
    const void *weights; /* (panels, inputs, 32) floats or (panels, inputs / 2, 32, 2) bfloats or int8 */
    const float *scales; /* (panels · 32) of int8 weights; null: they are of the kind */
    const float *bias;   /* (panels · 32) or null */
    int64_t inputs;      /* padded with zeros to a multiple of 16 */
    int64_t outputs;
};

INLINE int64_t num_panels(const struct product *product) {
    return (product->outputs + PANEL - 1) / PANEL;
}

INLINE int bfloat_inputs(enum kind kind) { return kind == BFLOATS || kind == BFLOAT_TILES; }
INLINE int64_t input_bytes(enum kind kind) { return bfloat_inputs(kind) ? 2 : 4; }
INLINE int64_t weight_bytes(enum kind kind) { return kind == FLOATS ? 4 : 2; }

/* How many bytes a panel of so many inputs takes, and how many a panel of this product. */
INLINE int64_t panel_bytes(enum kind kind, int64_t inputs) {
    return inputs * PANEL * weight_bytes(kind);
}
INLINE int64_t bytes_of_panel(enum kind kind, const struct product *product) {
    return product->scales ? product->inputs * PANEL : panel_bytes(kind, product->inputs);
}

/* Vector i of a line of pairs, which are int8 numbers or bfloats: as bfloats, or one float of each. */
INLINE words pairs_at(const int bytes, const char *line, int i) {
    if (bytes) return widened((const int8_t *)line + i * 2 * LANES);
    return (words)((const words_at *)line)[i];
}
INLINE vec firsts_at(const int bytes, const char *line, int i) {
    if (bytes) return first_bytes(load_byte_pairs((const int8_t *)line + i * 2 * LANES));
    return firsts(pairs_at(0, line, i));
}
INLINE vec seconds_at(const int bytes, const char *line, int i) {
    if (bytes) return second_bytes(load_byte_pairs((const int8_t *)line + i * 2 * LANES));
    return seconds(pairs_at(0, line, i));
}

/* Into the core's second cache: the first is full of what is multiplied now. */
INLINE void bring_nearer(const char *p) { __builtin_prefetch(p, 0, 2); }

INLINE void add_to(vec *sum, vec weights, const float *value) {
    *sum = add_product(*sum, weights, all_of(*value));
}

/* Input k of each row meets its line of a panel's weights, or the first `parts` of that. */
INLINE void meet_floats(const int rows, const int panels, const int parts, const char *x,
                        int64_t stride, int64_t k, const char *line, vec sum[][PARTS]) {
    vec weights[PARTS];
#pragma GCC unroll 8
    for (int i = 0; i < parts; i++) weights[i] = load_floats((const float *)line + i * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int i = 0; i < parts; i++)
            add_to(&sum[r * panels][i], weights[i], (const float *)(x + r * stride) + k);
}

/* A pair of inputs of each row meets its line. */
INLINE void meet_bfloat_weights(const int bytes, const int rows, const int panels, const int parts,
                                const char *x, int64_t stride, int64_t k, const char *line,
                                vec sum[][PARTS]) {
    vec weights[PARTS];
#pragma GCC unroll 8
    for (int i = 0; i < parts; i++) weights[i] = firsts_at(bytes, line, i);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int i = 0; i < parts; i++)
            add_to(&sum[r * panels][i], weights[i], (const float *)(x + r * stride) + 2 * k);
    if (LANES < PADDING) __asm__("" : "+r"(line)); /* read it again: there is no register to keep it */
#pragma GCC unroll 8
    for (int i = 0; i < parts; i++) weights[i] = seconds_at(bytes, line, i);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int i = 0; i < parts; i++)
            add_to(&sum[r * panels][i], weights[i], (const float *)(x + r * stride) + 2 * k + 1);
}

INLINE void meet_bfloats(const int bytes, const int rows, const int panels, const int parts,
                         const char *x, int64_t stride, int64_t k, const char *line,
                         vec sum[][PARTS]) {
#pragma GCC unroll 8
    for (int i = 0; i < parts; i++) {
        words pairs = pairs_at(bytes, line, i);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            const bfloat *pair = (const bfloat *)(x + r * stride) + 2 * k;
            sum[r * panels][i] = add_products(sum[r * panels][i], pairs, pair);
        }
    }
}

/* Sums of `rows` × `panels`, of each panel the `parts` from `first` on. x: rows, `stride` bytes apart. */
INLINE void sums_of_parts(enum kind kind, const int bytes, const int rows, const int panels,
                          const int parts, const int first, const char *x, int64_t stride,
                          const char *weights, const char *ahead, int64_t panel_size,
                          int64_t inputs, vec sums[LARGEST_TILE][PARTS]) {
    vec sum[LARGEST_TILE][PARTS];
#pragma GCC unroll 16
    for (int i = 0; i < rows * panels; i++)
#pragma GCC unroll 8
        for (int j = 0; j < parts; j++) sum[i][j] = (vec){0};
    int64_t lines = kind == FLOATS ? inputs : inputs / 2;
    int64_t part = bytes ? 2 * LANES : sizeof(vec), size = PARTS * part;
    for (int64_t k = 0; k < lines; k++)
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++) {
            const char *line = weights + p * panel_size + k * size + first * part;
            if (first == 0) bring_nearer(ahead + p * panel_size + k * CACHE_LINE);
            if (kind == FLOATS) meet_floats(rows, panels, parts, x, stride, k, line, sum + p);
            else if (kind == BFLOAT_WEIGHTS)
                meet_bfloat_weights(bytes, rows, panels, parts, x, stride, k, line, sum + p);
            else meet_bfloats(bytes, rows, panels, parts, x, stride, k, line, sum + p);
        }
#pragma GCC unroll 16
    for (int i = 0; i < rows * panels; i++)
#pragma GCC unroll 8
        for (int j = 0; j < parts; j++) sums[i][first + j] = sum[i][j];
}

/* Sums of `rows` × `panels`, all compile-time constants after inlining. Meanwhile a half of each panel's
 * size is brought nearer from `ahead`: weights that are wanted next come from memory that attention has
 * just filled with keys and values. */
INLINE void tile(enum kind kind, const int bytes, const int rows, const int panels, const char *x,
                 int64_t stride, const char *weights, const char *ahead, int64_t panel_size,
                 int64_t inputs, vec sums[LARGEST_TILE][PARTS]) {
    const int parts = rows * panels > MOST_WHOLE ? PARTS / 2 : PARTS;
#pragma GCC unroll 2
    for (int first = 0; first < PARTS; first += parts)
        sums_of_parts(kind, bytes, rows, panels, parts, first, x, stride, weights, ahead,
                      panel_size, inputs, sums);
}

#define ROWS_CASE(n, panels)                                                                   \
    case n:                                                                                    \
        if (n * panels <= MOST_SUMS) /* or it would be compiled for nothing */                 \
            tile(kind, bytes, n, panels, x, stride, weights, ahead, panel_size, inputs, sums); \
        break;

/* A tile of any shape up to LARGEST_TILE. */
#define TILES(name, kind_, bytes_)                                                               \
    static void name(int rows, int panels, const char *x, int64_t stride, const char *weights,  \
                     const char *ahead, int64_t panel_size, int64_t inputs,                     \
                     vec sums[LARGEST_TILE][PARTS]) {                                           \
        const enum kind kind = kind_;                                                            \
        const int bytes = bytes_;                                                                \
        if (panels == 4) {                                                                       \
            switch (rows) { ROWS_CASE(1, 4) ROWS_CASE(2, 4) }                                    \
            return;                                                                              \
        }                                                                                        \
        if (panels == 2) {                                                                       \
            switch (rows) { ROWS_CASE(1, 2) ROWS_CASE(2, 2) ROWS_CASE(3, 2) ROWS_CASE(4, 2) }    \
            return;                                                                              \
        }                                                                                        \
        switch (rows) {                                                                          \
            ROWS_CASE(1, 1) ROWS_CASE(2, 1) ROWS_CASE(3, 1) ROWS_CASE(4, 1) ROWS_CASE(5, 1)      \
            ROWS_CASE(6, 1) ROWS_CASE(7, 1) ROWS_CASE(8, 1)                                      \
        }                                                                                        \
    }

TILES(tile_floats, FLOATS, 0)
TILES(tile_bfloat_weights, BFLOAT_WEIGHTS, 0)
TILES(tile_bytes, BFLOAT_WEIGHTS, 1)
#ifdef __AVX512BF16__
TILES(tile_bfloats, BFLOATS, 0)
TILES(tile_bytes_and_bfloats, BFLOATS, 1)
#endif

#endif
