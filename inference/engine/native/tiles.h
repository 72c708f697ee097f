/* Products of bfloats on processors with tile registers (Intel's AMX): 16 rows times 16 outputs and 32
 * inputs in one instruction, sixteen times what a vector's instruction does.
 *
 * In products, 16 pairs of inputs of a panel's half (products.h) are a tile as they lie, and tiles have
 * all their 16 rows: what is beyond the last row is computed and thrown away, so `x` needs room up to a
 * multiple of 32 rows. A sum's order is the same whatever rows are beside it: of 32 inputs the even ones,
 * the odd ones, then both to what there is.
 */

#ifndef TILES_H
#define TILES_H

#include "numbers.h"

#define TILE_ROWS 16
#define TILE_INPUTS 32

#ifdef __AMX_BF16__

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_LINE 64 /* bytes of a row of a tile */
#define FEW_ROWS 2   /* and one are faster without tiles */
#define FEW_SUMS 4   /* of few rows and two panels */

/* The system saves tile registers only for processes that asked for them. */
static int may_use_tiles(void) {
    const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

struct shape {
    uint8_t palette, start, reserved[14];
    uint16_t line[16]; /* bytes */
    uint8_t rows[16];
};

static struct shape whole_tiles(void) {
    struct shape shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.line[i] = TILE_LINE;
        shape.rows[i] = TILE_ROWS;
    }
    return shape;
}

/* `_tile_loadconfig` tells GCC 12 of the first eight bytes only: the others need not be in memory yet. */
INLINE void take_shape(struct shape shape) { __asm__ volatile("ldtilecfg %0" ::"m"(shape)); }

/* Gives the calling thread eight tiles of 16 rows; `_tile_release` takes them back. */
static void shape_tiles(void) { take_shape(whole_tiles()); }

/* What was written so far is in memory: the compiler does not know that tiles are read from there. */
INLINE void written(void) { __asm__ volatile("" ::: "memory"); }

/* The same sums, bit for bit, of up to FEW_ROWS rows and two panels, by vectors: weights are read into
 * tiles more slowly than they come from memory, however few rows they meet. A tile adds 16 products
 * with even inputs, 16 with odd ones, then both to the sum (Intel's manual, TDPBF16PS). */
INLINE void sums_of_few(const int rows, const int panels, const char *x, int64_t stride,
                        const char *weights, int64_t panel_size, int64_t inputs,
                        vec sums[FEW_SUMS][2]) {
    vec sum[FEW_SUMS][2];
#pragma GCC unroll 4
    for (int i = 0; i < rows * panels; i++) sum[i][0] = sum[i][1] = (vec){0};
    for (int64_t k = 0; k < inputs; k += TILE_INPUTS) {
        vec even[FEW_SUMS][2], odd[FEW_SUMS][2];
#pragma GCC unroll 4
        for (int i = 0; i < rows * panels; i++)
            even[i][0] = even[i][1] = odd[i][0] = odd[i][1] = (vec){0};
        for (int64_t pair = k; pair < k + TILE_INPUTS; pair += 2)
#pragma GCC unroll 2
            for (int p = 0; p < panels; p++) {
                const words_at *w = (const words_at *)(weights + p * panel_size) + pair;
                words a = (words)w[0], b = (words)w[1];
#pragma GCC unroll 4
                for (int r = 0; r < rows; r++) {
                    const bfloat *values = (const bfloat *)(x + r * stride) + pair;
                    vec first = all_of(bfloat_to_float(values[0]));
                    vec second = all_of(bfloat_to_float(values[1]));
                    vec *evens = even[r * panels + p], *odds = odd[r * panels + p];
                    evens[0] = add_product(evens[0], firsts(a), first);
                    evens[1] = add_product(evens[1], firsts(b), first);
                    odds[0] = add_product(odds[0], seconds(a), second);
                    odds[1] = add_product(odds[1], seconds(b), second);
                }
            }
#pragma GCC unroll 4
        for (int i = 0; i < rows * panels; i++) {
            sum[i][0] += even[i][0] + odd[i][0];
            sum[i][1] += even[i][1] + odd[i][1];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows * panels; i++) {
        sums[i][0] = sum[i][0];
        sums[i][1] = sum[i][1];
    }
}

#define FEW_CASE(rows, panels)                                                   \
    case 10 * rows + panels:                                                     \
        sums_of_few(rows, panels, x, stride, weights, panel_size, inputs, sums); \
        break;

/* Not inlined: its arithmetic must not leave the lines between which subnormal numbers are 0. */
static __attribute__((noinline)) void sums_for(int rows, int panels, const char *x, int64_t stride,
                                               const char *weights, int64_t panel_size,
                                               int64_t inputs, vec sums[FEW_SUMS][2]) {
    switch (10 * rows + panels) { FEW_CASE(1, 1) FEW_CASE(2, 1) FEW_CASE(1, 2) FEW_CASE(2, 2) }
}

/* Numbers as tiles know them, until the processor's control register gets back what this returns. */
static unsigned subnormals_are_0(void) {
    const unsigned operands_and_results = 0x8040;
    unsigned control = _mm_getcsr();
    _mm_setcsr(control | operands_and_results);
    return control;
}

/* Sums of few rows, as tiles compute them. */
static void few_tiles(int rows, int panels, const char *x, int64_t stride, const char *weights,
                      int64_t panel_size, int64_t inputs, vec sums[FEW_SUMS][2]) {
    unsigned control = subnormals_are_0();
    sums_for(rows, panels, x, stride, weights, panel_size, inputs, sums);
    _mm_setcsr(control);
}

#endif
#endif
