/* A product, shared out among the threads of a team. */

#ifndef MULTIPLY_H
#define MULTIPLY_H

#include "targets.h"
#include "team.h"
#include "tiled_products.h"

/* Rows that a phase of products keeps in the processor's own cache. */
#define BLOCK_ROWS 96
#define MOST_PANELS 4 /* of a piece: as many find room when they are widened for tiles */
_Static_assert(BLOCK_ROWS % (2 * TILE_ROWS) == 0, "two tiles of a block end where it ends");

static void any_tile(enum kind kind, int bytes, int rows, int panels, const char *x, int64_t stride,
                     const char *weights, const char *ahead, int64_t panel_size, int64_t inputs,
                     vec sums[LARGEST_TILE][PARTS]) {
#define ARGUMENTS rows, panels, x, stride, weights, ahead, panel_size, inputs, sums
    if (kind == FLOATS) tile_floats(ARGUMENTS);
    else if (kind == BFLOAT_WEIGHTS && bytes) tile_bytes(ARGUMENTS);
    else if (kind == BFLOAT_WEIGHTS) tile_bfloat_weights(ARGUMENTS);
#ifdef __AVX512BF16__
    else if (bytes) tile_bytes_and_bfloats(ARGUMENTS);
    else tile_bfloats(ARGUMENTS);
#endif
#undef ARGUMENTS
}

/* Widens int8 weights of some panels into the thread's own room, as the kind has them. */
static const char *widen(const char *weights, int64_t numbers, char *room) {
    for (int64_t i = 0; i < numbers; i += 2 * LANES)
        *(words_at *)(room + i * sizeof(bfloat)) = (words_at)widened((const int8_t *)weights + i);
    return room;
}

/* Some panels of a product for a block of rows; those `skip` further on will be wanted next. Of int8
 * weights a single tile widens what it meets; those that several tiles meet are widened once. */
static void panels_of_rows(enum kind kind, const struct product *product, const char *x,
                           struct target target, int64_t row, int64_t rows, int64_t panel,
                           int64_t panels, int64_t skip, char *room) {
    int64_t packed = bytes_of_panel(kind, product), panel_size = packed;
    int64_t most = MOST_SUMS / panels, tiles = (rows + most - 1) / most;
    const char *own = (const char *)product->weights + panel * packed, *weights = own;
    int bytes = product->scales != NULL;
    if (bytes && (tiles > 1 || kind == BFLOAT_TILES)) {
        weights = widen(own, panels * packed, room);
        panel_size = panel_bytes(kind, product->inputs);
        bytes = 0;
    }
#ifdef __AMX_BF16__
    if (kind == BFLOAT_TILES) {
        written();
        if (weights != own) skip = 0; /* behind what was widened are the rooms of others */
        if (rows <= FEW_ROWS) few_rows(product, weights, x, target, row, rows, panel, panels);
        else tiles_of_rows(product, weights, x, target, row, rows, panel, panels, skip);
        return;
    }
#endif
    vec sums[LARGEST_TILE][PARTS];
    int64_t stride = product->inputs * input_bytes(kind);
    for (int64_t i = 0; i < tiles; i++) { /* of equal height, more or less */
        int64_t from = row + rows * i / tiles, height = row + rows * (i + 1) / tiles - from;
        const char *ahead = own; /* a single tile only reads on, which needs no help */
        if (tiles > 1) ahead += skip * packed + i % 2 * packed / 2;
        any_tile(kind, bytes, (int)height, (int)panels, x + from * stride, stride, weights, ahead,
                 panel_size, product->inputs, sums);
        for (int64_t r = 0; r < height; r++)
            for (int64_t p = 0; p < panels; p++)
                deliver(kind, product, target, from + r, panel + p, sums[r * panels + p]);
    }
}

/* Few rows take several panels at a time, or a sum would wait for the one before it; in tiles many do,
 * too, whose sums are delivered during the next ones, as long as there are pieces enough to share out. */
static int64_t panels_at_a_time(enum kind kind, int64_t rows, int64_t panels, int64_t threads) {
    int64_t count = MOST_PANELS, most = rows > MOST_WHOLE ? MOST_SUMS : MOST_WHOLE;
#ifdef __AMX_BF16__
    if (kind == BFLOAT_TILES) {
        int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
        if (rows > TILE_ROWS) {
            while (count > 1 && blocks * panels < 4 * count * threads) count /= 2;
            return count;
        }
        most = 2 * TILE_ROWS;
    }
#endif
    while (count > 1 && (count * rows > most || panels < count * threads)) count /= 2;
    return count;
}

static void multiply(enum kind kind, struct team *team, int64_t phase,
                     const struct product *product, const char *x, int64_t rows,
                     struct target target) {
    int64_t panels = num_panels(product), most;
    most = panels_at_a_time(kind, rows, panels, team->size);
    int64_t across = (panels + most - 1) / most;
    int64_t pieces = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS * across;
    int64_t skip = most * team->size; /* as threads take pieces by turns */
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase)) {
        int64_t row = piece / across * BLOCK_ROWS, panel = piece % across * most;
        int64_t height = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
        for (int64_t end = panel + most < panels ? panel + most : panels; panel < end;) {
            int64_t left = end - panel, count = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            panels_of_rows(kind, product, x, target, row, height, panel, count, skip, team->room);
            panel += count;
        }
    }
    await(team, phase, pieces);
}

#endif
