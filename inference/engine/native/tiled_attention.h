/* Attention in tiles (tiles.h): 16 queries of one head at a time, with the bits of attention_sums.h.
 *
 * The cache's keys are tiles as they lie, 16 pairs of numbers times 16 keys. So are its values, with
 * half as many rows: 8 pairs of keys times 16 numbers.
 */

#ifndef TILED_ATTENTION_H
#define TILED_ATTENTION_H

#include "attention.h"

#define FEW_QUERIES 4 /* and fewer are faster by vectors, where tiles are slow */

#ifdef __AMX_BF16__

/* Tiles 0 to 3 are sums, 4 queries, 5 keys, 6 weights and 7 values. */
static void shape_tiles_of_attention(void) {
    struct shape shape = whole_tiles();
    shape.line[6] = GROUP * sizeof(bfloat);
    shape.rows[7] = GROUP / 2;
    take_shape(shape);
}

#define SCORE_TILE(i)                                 \
    if (groups > i) {                                 \
        _tile_loadd(5, keys[i] + k * row / 2, row);   \
        _tile_dpbf16ps(i, 4, 5);                      \
    }
#define STORE_SCORES(i) \
    if (groups > i) _tile_stored(i, scores + i * GROUP, room * sizeof(float));

/* Scores for up to four groups of keys. queries: (16, dim) bfloats. */
INLINE void score_tiles(const int groups, const float *queries, const char *const keys[4],
                        int64_t size, int64_t dim, float *scores, int64_t room) {
    int64_t row = 2 * size * sizeof(bfloat);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < dim; k += TILE_INPUTS) {
        _tile_loadd(4, (const bfloat *)queries + k, dim * sizeof(bfloat));
        SCORE_TILE(0) SCORE_TILE(1) SCORE_TILE(2) SCORE_TILE(3)
    }
    STORE_SCORES(0) STORE_SCORES(1) STORE_SCORES(2) STORE_SCORES(3)
}

static void score_in_tiles(const struct cache *cache, const int64_t *table, int64_t head,
                           int64_t longest, const float *queries, float *scores, int64_t room) {
    int64_t groups = (longest + GROUP - 1) / GROUP, size = cache->block_size, dim = cache->dim;
    for (int64_t group = 0; group < groups; group += 4) {
        const char *keys[4];
        int64_t left = groups - group;
        for (int64_t i = 0; i < 4 && i < left; i++) keys[i] = keys_of(cache, table, head, group + i);
        float *at = scores + group * GROUP;
        if (left >= 4) score_tiles(4, queries, keys, size, dim, at, room);
        else if (left == 3) score_tiles(3, queries, keys, size, dim, at, room);
        else if (left == 2) score_tiles(2, queries, keys, size, dim, at, room);
        else score_tiles(1, queries, keys, size, dim, at, room);
    }
}

#define ADD_TILE(i)                                                    \
    if (parts > i) {                                                   \
        _tile_loadd(7, values + i * TILE_LINE, 2 * dim * sizeof(bfloat)); \
        _tile_dpbf16ps(i, 6, 7);                                       \
    }
#define STORE_SUMS(i) \
    if (parts > i) _tile_stored(i, sums + i * LANES, dim * sizeof(float));

/* The weighted values of whole groups, 16 · parts numbers from `start` on. weights: bfloats. */
INLINE void add_tiles(const int parts, const struct cache *cache, const int64_t *table, int64_t head,
                      int64_t groups, const float *weights, int64_t room, int64_t start,
                      float *sums) {
    int64_t dim = cache->dim;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t group = 0; group < groups; group++) {
        const char *values = values_at(cache, table, head, group) + 2 * start * sizeof(bfloat);
        _tile_loadd(6, (const bfloat *)weights + group * GROUP, room * sizeof(float));
        ADD_TILE(0) ADD_TILE(1) ADD_TILE(2) ADD_TILE(3)
    }
    STORE_SUMS(0) STORE_SUMS(1) STORE_SUMS(2) STORE_SUMS(3)
}

/* What follows the last whole group, whose further values nobody has written, goes by vectors. */
static void add_in_tiles(const struct cache *cache, const int64_t *table, int64_t head, int64_t count,
                         int64_t longest, float *weights, int64_t room, float *sums) {
    int64_t groups = longest / GROUP, dim = cache->dim, rest = longest % GROUP;
    float last[TILE_ROWS * GROUP];
    for (int64_t i = 0; i < count; i++) {
        float *row = weights + i * room;
        if (rest) {
            round_all(row + groups * GROUP, GROUP);
            memcpy(last + i * GROUP, row + groups * GROUP, GROUP * sizeof(float));
        }
        pack_all(row, groups * GROUP);
    }
    written();
    for (int64_t start = 0, parts; start < dim; start += parts * LANES) {
        parts = (dim - start) / LANES < 4 ? 2 : 4;
        if (parts == 4) add_tiles(4, cache, table, head, groups, weights, room, start, sums + start);
        else add_tiles(2, cache, table, head, groups, weights, room, start, sums + start);
    }
    if (rest) add_group(cache, table, head, 1, count, groups, rest, last, GROUP, 0, sums);
}

/* As `attend`, of up to 16 queries of one head. queries, scores and sums have room for 16. */
static void attend_in_tiles(const struct cache *cache, const int64_t *table, int64_t head,
                            int64_t count, const int64_t *lengths, float *queries, float *scores,
                            int64_t room, float *sums) {
    float totals[TILE_ROWS];
    pack_all(queries, count * cache->dim);
    written();
    score_in_tiles(cache, table, head, lengths[count - 1], queries, scores, room);
    weigh_all(lengths, 1, count, scores, room, totals);
    add_in_tiles(cache, table, head, count, lengths[count - 1], scores, room, sums);
    divide_all(sums, count, cache->dim, totals);
}

#endif
#endif
