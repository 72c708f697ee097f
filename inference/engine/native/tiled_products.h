/* Products in tiles (tiles.h), delivered to their targets.
 *
 * Tiles and vectors are different parts of a core: while four tiles are summed, the sums of the four
 * before them are delivered, row by row between the tiles' instructions.
 */

#ifndef TILED_PRODUCTS_H
#define TILED_PRODUCTS_H

#include "targets.h"
#include "tiles.h"

#ifdef __AMX_BF16__

/* Ways of delivering, of which `deliver` knows all: the usual two have code of their own. */
enum route { GATED, PLAIN, ANY };

/* Up to 16 rows of a panel: those from `row` on, `left` of them, are still to be delivered. */
struct half {
    int64_t row, panel, left;
    const float *sums; /* of `row`: 16 of the panel, and the other 16 a tile further on */
};

/* What four tiles have summed. */
struct sums {
    float tiles[4][TILE_ROWS * LANES] __attribute__((aligned(TILE_LINE)));
    struct half halves[2];
};

INLINE enum route route_to(const struct product *product, struct target target) {
    if (product->bias || product->scales) return ANY;
    if (!target.out) return GATED;
    return num_panels(product) * PANEL <= target.stride ? PLAIN : ANY;
}

/* Delivers up to `most` rows. */
INLINE void deliver_rows(const enum route route, const struct product *product, struct target target,
                         struct half *half, int64_t most) {
    struct half h = *half; /* or the compiler would think that results may be written over it */
    int64_t end = h.row + (h.left < most ? h.left : most);
    for (half->left -= end - h.row; h.row < end; h.row++, h.sums += LANES) {
        vec first = load_floats(h.sums), second = load_floats(h.sums + TILE_ROWS * LANES);
        const vec both[] = {first, second};
        if (route == GATED) {
            int64_t place = h.row * target.stride + h.panel * LANES;
            store_bfloats((bfloat *)target.inner + place, silu(first) * second);
        } else if (route == PLAIN) {
            float *out = target.out + h.row * target.stride + h.panel * PANEL;
            store_floats(out, first);
            store_floats(out + LANES, second);
        } else deliver(BFLOAT_TILES, product, target, h.row, h.panel, both);
    }
    half->row = h.row;
    half->sums = h.sums;
}

INLINE void deliver_all(const enum route route, const struct product *product, struct target target,
                        struct sums *sums) {
    for (int i = 0; i < 2; i++) deliver_rows(route, product, target, sums->halves + i, TILE_ROWS);
}

/* Sums of 32 rows × 1 panel (`tall`), or of 16 rows × 2 panels. Meanwhile `before` is delivered, if there
 * is something, and a panel is brought nearer from `ahead`, if there is one. */
INLINE void four_tiles(const int tall, const enum route route, const struct product *product,
                       struct target target, const char *x, const char *weights, int64_t second,
                       const char *ahead, struct sums *before, struct sums *sums) {
    const int64_t right = TILE_LINE, line = 2 * TILE_LINE, step = TILE_ROWS * line;
    const int64_t steps = product->inputs / TILE_INPUTS, stride = product->inputs * sizeof(bfloat);
    const int64_t share = (2 * TILE_ROWS + steps - 1) / steps;
    const char *lower = x + TILE_ROWS * stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < steps; k++, weights += step, x += TILE_LINE, lower += TILE_LINE) {
        _tile_loadd(4, x, stride);
        _tile_loadd(6, weights, line);
        _tile_loadd(7, weights + right, line);
        if (ahead)
            for (int64_t i = 0; i < step; i += TILE_LINE) bring_nearer(ahead + k * step + i);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (tall) {
            _tile_loadd(5, lower, stride);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        } else {
            _tile_loadd(6, weights + second, line);
            _tile_loadd(7, weights + second + right, line);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 7);
        }
        deliver_rows(route, product, target, before->halves + !before->halves[0].left, share);
    }
    deliver_all(route, product, target, before);
    _tile_stored(0, sums->tiles[0], TILE_LINE);
    _tile_stored(1, sums->tiles[1], TILE_LINE);
    _tile_stored(2, sums->tiles[2], TILE_LINE);
    _tile_stored(3, sums->tiles[3], TILE_LINE);
}

/* Asks for the memory that these sums will be written to: the tiles stored behind a write that waits for
 * its line could not be read before it. */
INLINE void bring_lines(struct target target, const struct sums *sums) {
    for (const struct half *half = sums->halves; half < sums->halves + 2; half++)
        for (int64_t row = half->row; row < half->row + half->left; row++) {
            const float *out = target.out + row * target.stride + half->panel * PANEL;
            __builtin_prefetch(out, 1, 3);
            __builtin_prefetch(out + LANES, 1, 3);
        }
}

/* How many of `left` rows a tile has. */
INLINE int64_t rows_of_tile(int64_t left) {
    return left < 0 ? 0 : left < TILE_ROWS ? left : TILE_ROWS;
}

/* Some panels, whose weights are given, for a block of rows; `skip` further on are those wanted next,
 * unless that is 0. */
INLINE void tiles_by(const enum route route, const struct product *product, const char *weights,
                     struct target target, const char *x, int64_t row, int64_t rows, int64_t panel,
                     int64_t panels, int64_t skip) {
    int64_t stride = product->inputs * sizeof(bfloat), panel_size = stride * PANEL, end = row + rows;
    const int wide = rows <= TILE_ROWS; /* few rows: two panels, if there are two */
    int64_t height = wide ? TILE_ROWS : 2 * TILE_ROWS, width = wide ? 2 : 1;
    struct sums both[2], *before = both, *sums = both + 1;
    before->halves[0] = before->halves[1] = (struct half){0};
    for (int64_t p = 0; p < panels; p += width, weights += width * panel_size)
        for (int64_t from = row; from < end; from += height) {
            const char *ahead = skip && from == row ? weights + skip * panel_size : NULL;
            const char *start = x + from * stride;
            int64_t second = wide && p + 1 < panels ? panel_size : 0, lower = from + TILE_ROWS;
            if (wide) four_tiles(0, route, product, target, start, weights, second, ahead, before, sums);
            else four_tiles(1, route, product, target, start, weights, 0, ahead, before, sums);
            struct half upper = {from, panel + p, rows_of_tile(end - from), sums->tiles[0]}, other = upper;
            other.sums = sums->tiles[2];
            if (wide) other.panel++, other.left = second ? upper.left : 0;
            else other.row = lower, other.left = rows_of_tile(end - lower);
            sums->halves[0] = upper, sums->halves[1] = other;
            if (route == PLAIN) bring_lines(target, sums);
            struct sums *free = before;
            before = sums, sums = free;
        }
    deliver_all(route, product, target, before);
}

static void tiles_of_rows(const struct product *product, const char *weights, const char *x,
                          struct target target, int64_t row, int64_t rows, int64_t panel,
                          int64_t panels, int64_t skip) {
    switch (route_to(product, target)) {
        case GATED: tiles_by(GATED, product, weights, target, x, row, rows, panel, panels, skip); break;
        case PLAIN: tiles_by(PLAIN, product, weights, target, x, row, rows, panel, panels, skip); break;
        case ANY: tiles_by(ANY, product, weights, target, x, row, rows, panel, panels, skip); break;
    }
}

/* Few rows, without tiles. */
static void few_rows(const struct product *product, const char *weights, const char *x,
                     struct target target, int64_t row, int64_t rows, int64_t panel,
                     int64_t panels) {
    int64_t stride = product->inputs * sizeof(bfloat), panel_size = stride * PANEL;
    int64_t width = panels % 2 ? 1 : 2;
    vec sums[FEW_SUMS][2];
    for (int64_t p = panel; p < panel + panels; p += width, weights += width * panel_size) {
        few_tiles((int)rows, (int)width, x + row * stride, stride, weights, panel_size,
                  product->inputs, sums);
        for (int64_t i = 0; i < rows * width; i++)
            deliver(BFLOAT_TILES, product, target, row + i / width, p + i % width, sums[i]);
    }
}

#endif
#endif
