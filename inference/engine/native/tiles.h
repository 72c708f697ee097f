/* Products of bfloats on processors with tile registers (Intel's AMX): 16 rows times 16 outputs and 32
 * inputs in one instruction, sixteen times what a vector's instruction does.
 *
 * Sixteen inputs of a panel's half (products.h) are a tile as they lie. A tile always has all its 16
 * rows: what is beyond the last row is computed and thrown away, so `x` needs room up to a multiple of
 * 32 rows. Every sum runs over the inputs in order, in one register, whatever rows are beside it.
 */

#ifndef TILES_H
#define TILES_H

#include "numbers.h"

#ifdef __AMX_BF16__

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_ROWS 16
#define TILE_INPUTS 32
#define TILE_LINE 64 /* bytes of a row of a tile */

/* The system saves tile registers only for processes that asked for them. */
static int may_use_tiles(void) {
    const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

/* Gives the calling thread eight tiles of 16 rows; `_tile_release` takes them back. */
static void shape_tiles(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t line[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.line[i] = TILE_LINE;
        shape.rows[i] = TILE_ROWS;
    }
    _tile_loadconfig(&shape);
}

/* Sums of 32 rows × 1 panel (`tall`), or of 16 rows × 2 panels, for `store_tiles`. Meanwhile as much is
 * brought nearer from `ahead`, if there is one, as is read of the weights. */
INLINE void four_tiles(const int tall, const char *x, int64_t stride, const char *weights,
                       int64_t panel_size, const char *ahead, int64_t inputs) {
    const int64_t half = TILE_LINE, line = 2 * half, step = TILE_ROWS * line;
    const char *second = weights + panel_size, *lower = x + TILE_ROWS * stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < inputs; k += TILE_INPUTS, weights += step, second += step) {
        _tile_loadd(4, x + 2 * k, stride);
        _tile_loadd(6, weights, line);
        _tile_loadd(7, weights + half, line);
        if (ahead)
            for (int64_t i = 0; i < step; i += TILE_LINE)
                __builtin_prefetch(ahead + k / TILE_INPUTS * step + i, 0, 2);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (tall) {
            _tile_loadd(5, lower + 2 * k, stride);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        } else {
            _tile_loadd(6, second, line);
            _tile_loadd(7, second + half, line);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
}

/* Stores the sums of the first 16 rows (or panel), or of the `second`: (2, 16, 16), one half after the
 * other. */
INLINE void store_tiles(const int second, float *sums) {
    if (second) {
        _tile_stored(2, sums, TILE_LINE);
        _tile_stored(3, sums + TILE_ROWS * LANES, TILE_LINE);
    } else {
        _tile_stored(0, sums, TILE_LINE);
        _tile_stored(1, sums + TILE_ROWS * LANES, TILE_LINE);
    }
}

#endif
#endif
