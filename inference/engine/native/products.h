/* Matrix products with fixed weights: out = x · weightsᵀ + bias.
 *
 * Weights lie in panels of 32 outputs; within a panel all inputs of those outputs, input by input
 * (bfloats: pair of inputs by pair), so that a product reads them from start to end. A tile is some
 * rows times some panels with its sums in registers. Every sum runs over the inputs in order, in one
 * register, so an output's bits do not depend on the rows or panels beside it.
 *
 * Four kinds: all in float32; weights as bfloats, which are turned into floats where they are used
 * (the same result, half the memory); and bfloats on both sides, for processors that multiply those, as
 * vectors or as tiles (tiles.h).
 */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "numbers.h"

#define PANEL (2 * LANES)
#define CACHE_LINE 64 /* larger ones are asked for twice */

/* Rows times panels of a tile, two registers each. Twelve would fit into 32 of 512 bits, and are a
 * tenth slower. */
#ifdef __AVX512F__
#define MOST_SUMS 8
#else
#define MOST_SUMS 3
#endif
#define LARGEST_TILE 8 /* that there is code for */

enum kind { FLOATS, BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES };

struct product {
    const void *weights; /* (panels, inputs, 32) floats or (panels, inputs / 2, 32, 2) bfloats */
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

/* Into the core's second cache: the first is full of what is multiplied now. */
INLINE void bring_nearer(const char *p) { __builtin_prefetch(p, 0, 2); }

/* Sums of `rows` × `panels`, all compile-time constants after inlining. x: rows, `stride` bytes
 * apart. Meanwhile a half of each panel's size is brought nearer from `ahead`: weights that are wanted
 * next come from memory that attention has just filled with keys and values. */
INLINE void tile(enum kind kind, const int rows, const int panels, const char *x, int64_t stride,
                 const char *weights, const char *ahead, int64_t panel_size, int64_t inputs,
                 vec sums[LARGEST_TILE][2]) {
    vec sum[LARGEST_TILE][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows * panels; i++) sum[i][0] = sum[i][1] = (vec){0};
    if (kind == FLOATS) {
        for (int64_t k = 0; k < inputs; k++)
#pragma GCC unroll 4
            for (int p = 0; p < panels; p++) {
                const float *w = (const float *)(weights + p * panel_size) + k * PANEL;
                bring_nearer(ahead + p * panel_size + k * CACHE_LINE);
                vec a = load_floats(w), b = load_floats(w + LANES);
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++) {
                    float value = ((const float *)(x + r * stride))[k];
                    sum[r * panels + p][0] += a * value;
                    sum[r * panels + p][1] += b * value;
                }
            }
    } else {
        for (int64_t k = 0; k < inputs / 2; k++)
#pragma GCC unroll 4
            for (int p = 0; p < panels; p++) {
                const words_at *w = (const words_at *)(weights + p * panel_size) + 2 * k;
                words a = (words)w[0], b = (words)w[1];
                bring_nearer(ahead + p * panel_size + k * CACHE_LINE);
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++) {
                    vec *both = sum[r * panels + p];
                    if (kind == BFLOAT_WEIGHTS) {
                        const float *values = (const float *)(x + r * stride) + 2 * k;
                        both[0] += firsts(a) * values[0];
                        both[1] += firsts(b) * values[0];
                        both[0] += seconds(a) * values[1];
                        both[1] += seconds(b) * values[1];
                    }
#ifdef __AVX512BF16__
                    else {
                        const bfloat *pair = (const bfloat *)(x + r * stride) + 2 * k;
                        both[0] = add_products(both[0], a, pair);
                        both[1] = add_products(both[1], b, pair);
                    }
#endif
                }
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows * panels; i++) {
        sums[i][0] = sum[i][0];
        sums[i][1] = sum[i][1];
    }
}

#define ROWS_CASE(n, panels)                                                            \
    case n:                                                                             \
        if (n * panels <= MOST_SUMS) /* or it would be compiled for nothing */          \
            tile(kind, n, panels, x, stride, weights, ahead, panel_size, inputs, sums); \
        break;

/* A tile of any shape up to LARGEST_TILE. */
#define TILES(name, kind_)                                                                       \
    static void name(int rows, int panels, const char *x, int64_t stride, const char *weights,  \
                     const char *ahead, int64_t panel_size, int64_t inputs,                     \
                     vec sums[LARGEST_TILE][2]) {                                               \
        const enum kind kind = kind_;                                                            \
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

TILES(tile_floats, FLOATS)
TILES(tile_bfloat_weights, BFLOAT_WEIGHTS)
#ifdef __AVX512BF16__
TILES(tile_bfloats, BFLOATS)
#endif

#endif
