/* The sums of attention: a vector holds scores of some keys, or some numbers of weighted values.
 *
 * Three kinds, whose order of adding differs: floats, and bfloats that are widened to floats; bfloats on
 * both sides, pair by pair; and bfloats as tiles add them (tiles.h), so that it does not matter which
 * queries come together in a tile.
 */

#ifndef ATTENTION_SUMS_H
#define ATTENTION_SUMS_H

#include "tiles.h"

#define MOST_QUERIES 8
#define GROUP 16 /* keys */
#define UNIT 4   /* bytes of a float, or of a pair of bfloats */

/* What keys and values are, and how queries and weights meet them: floats; bfloats that are widened for
 * queries and weights in full; pairs of bfloats; tiles. */
enum numbers { AS_FLOATS, AS_WIDENED, AS_PAIRS, AS_TILES };

/* Queries whose values are added at a time, and vectors of each: more would not fit into the registers,
 * and fewer would wait for the sums before them. */
#define MOST_ADDED(numbers) ((numbers) == AS_TILES ? 2 : 4)
#define MOST_PARTS(count) (LANES == 16 || (count) == 1 ? 4 : 2)

/* The sums ask for what lies `ahead` bytes behind each line that they read: it will be read next. */
INLINE void bring(const char *row) { __builtin_prefetch(row, 0, 3); }

/* Scores of `count` queries of each of some heads for a vector of keys. queries: (heads, count, dim),
 * floats. */
INLINE void score_floats(const int heads, const int count, const void *queries, const char *keys,
                         int64_t head_bytes, int64_t size, int64_t dim, int64_t ahead,
                         vec *sum) {
    for (int64_t i = 0; i < dim; i++)
#pragma GCC unroll 8
        for (int h = 0; h < heads; h++) {
            const char *row = keys + h * head_bytes + i * size * sizeof(float);
            vec key = load_floats((const float *)row);
            bring(row + ahead);
#pragma GCC unroll 8
            for (int q = h * count; q < (h + 1) * count; q++)
                sum[q] = add_product(sum[q], key, all_of(((const float *)queries)[q * dim + i]));
        }
}

INLINE words pairs_of_keys(const char *keys, int64_t i, int64_t size, int64_t ahead) {
    const char *row = keys + i * size * sizeof(bfloat);
    bring(row + ahead);
    return (words)*(const words_at *)row;
}

/* Pairs meet two numbers of a row, from `at` on: bfloats for AS_PAIRS, else floats. */
INLINE vec add_pair(const enum numbers numbers, vec sum, words pairs, const void *row, int64_t at) {
    if (numbers == AS_PAIRS) return add_products(sum, pairs, (const bfloat *)row + at);
    const float *two = (const float *)row + at;
    sum = add_product(sum, firsts(pairs), all_of(two[0]));
    return add_product(sum, seconds(pairs), all_of(two[1]));
}

/* queries: as `add_pair` takes them. */
INLINE void score_pairs(const enum numbers numbers, const int heads, const int count,
                        const void *queries, const char *keys, int64_t head_bytes, int64_t size,
                        int64_t dim, int64_t ahead, vec *sum) {
    for (int64_t i = 0; i < dim; i += 2)
#pragma GCC unroll 8
        for (int h = 0; h < heads; h++) {
            words pairs = pairs_of_keys(keys + h * head_bytes, i, size, ahead);
#pragma GCC unroll 8
            for (int q = h * count; q < (h + 1) * count; q++)
                sum[q] = add_pair(numbers, sum[q], pairs, queries, q * dim + i);
        }
}

/* queries: floats that were rounded to bfloats. */
INLINE void score_as_tiles(const int heads, const int count, const void *queries, const char *keys,
                           int64_t head_bytes, int64_t size, int64_t dim, int64_t ahead,
                           vec *sum) {
    for (int64_t start = 0; start < dim; start += TILE_INPUTS) {
        vec even[MOST_QUERIES], odd[MOST_QUERIES];
#pragma GCC unroll 8
        for (int i = 0; i < heads * count; i++) even[i] = odd[i] = (vec){0};
        for (int64_t i = start; i < start + TILE_INPUTS; i += 2)
#pragma GCC unroll 8
            for (int h = 0; h < heads; h++) {
                words pairs = pairs_of_keys(keys + h * head_bytes, i, size, ahead);
#pragma GCC unroll 8
                for (int q = h * count; q < (h + 1) * count; q++) {
                    const float *query = (const float *)queries + q * dim + i;
                    even[q] = add_product(even[q], firsts(pairs), all_of(query[0]));
                    odd[q] = add_product(odd[q], seconds(pairs), all_of(query[1]));
                }
            }
#pragma GCC unroll 8
        for (int i = 0; i < heads * count; i++) sum[i] += even[i] + odd[i];
    }
}

INLINE void score(const enum numbers numbers, const int heads, const int count,
                  const void *queries, const char *keys, int64_t head_bytes, int64_t size,
                  int64_t dim, int64_t ahead, float *scores, int64_t room) {
    for (int64_t key = 0; key < GROUP; key += LANES, keys += LANES * UNIT, scores += LANES) {
        vec sum[MOST_QUERIES];
#pragma GCC unroll 8
        for (int i = 0; i < heads * count; i++) sum[i] = (vec){0};
        if (numbers == AS_FLOATS)
            score_floats(heads, count, queries, keys, head_bytes, size, dim, ahead, sum);
        else if (numbers == AS_TILES)
            score_as_tiles(heads, count, queries, keys, head_bytes, size, dim, ahead, sum);
        else score_pairs(numbers, heads, count, queries, keys, head_bytes, size, dim, ahead, sum);
#pragma GCC unroll 8
        for (int i = 0; i < heads * count; i++) store_floats(scores + i * room, sum[i]);
    }
}

/* Adds the weighted values of `length` keys of a group, for some queries and LANES · parts numbers. */
INLINE void add_floats(const int count, const int parts, const float *weights, int64_t room,
                       int64_t length, const void *values, int64_t dim, int64_t ahead,
                       vec sum[4][4]) {
    for (int64_t j = 0; j < length; j++) {
        vec value[4];
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) {
            const char *row = (const char *)values + (j * dim + p * LANES) * sizeof(float);
            value[p] = load_floats((const float *)row);
            bring(row + ahead);
        }
#pragma GCC unroll 4
        for (int q = 0; q < count; q++)
#pragma GCC unroll 4
            for (int p = 0; p < parts; p++)
                sum[q][p] = add_product(sum[q][p], value[p], all_of(weights[q * room + j]));
    }
}

/* Nobody has written the value after the last one: it may be no number. */
INLINE words pairs_of_values(const void *values, int64_t j, int64_t length, int64_t dim, int part,
                             int64_t ahead) {
    const char *row = (const char *)values + (j * dim + part * 2 * LANES) * sizeof(bfloat);
    words pairs = (words)*(const words_at *)row;
    bring(row + ahead);
    return j + 1 == length ? pairs & 0xffff : pairs;
}

/* weights: as `add_pair` takes them, `room` floats apart. */
INLINE void add_pairs(const enum numbers numbers, const int count, const int parts,
                      const float *weights, int64_t room, int64_t length, const void *values,
                      int64_t dim, int64_t ahead, vec sum[4][4]) {
    for (int64_t j = 0; j < length; j += 2) {
        words value[4];
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) value[p] = pairs_of_values(values, j, length, dim, p, ahead);
#pragma GCC unroll 4
        for (int q = 0; q < count; q++)
#pragma GCC unroll 4
            for (int p = 0; p < parts; p++)
                sum[q][p] = add_pair(numbers, sum[q][p], value[p], weights + q * room, j);
    }
}

/* weights: floats that were rounded to bfloats. */
INLINE void add_as_tiles(const int count, const int parts, const float *weights, int64_t room,
                         int64_t length, const void *values, int64_t dim, int64_t ahead,
                         vec sum[4][4]) {
    vec even[4][4], odd[4][4];
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) even[q][p] = odd[q][p] = (vec){0};
    for (int64_t j = 0; j < length; j += 2)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) {
            words pairs = pairs_of_values(values, j, length, dim, p, ahead);
#pragma GCC unroll 4
            for (int q = 0; q < count; q++) {
                const float *weight = weights + q * room + j;
                even[q][p] = add_product(even[q][p], firsts(pairs), all_of(weight[0]));
                odd[q][p] = add_product(odd[q][p], seconds(pairs), all_of(weight[1]));
            }
        }
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) sum[q][p] += even[q][p] + odd[q][p];
}

INLINE void add_values(const enum numbers numbers, const int count, const int parts,
                       const float *weights, int64_t room, int64_t length, const void *values,
                       int64_t dim, int64_t ahead, float *sums) {
    vec sum[4][4];
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) sum[q][p] = load_floats(sums + q * dim + p * LANES);
    if (numbers == AS_FLOATS)
        add_floats(count, parts, weights, room, length, values, dim, ahead, sum);
    else if (numbers == AS_TILES)
        add_as_tiles(count, parts, weights, room, length, values, dim, ahead, sum);
    else add_pairs(numbers, count, parts, weights, room, length, values, dim, ahead, sum);
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) store_floats(sums + q * dim + p * LANES, sum[q][p]);
}

#define SCORE(heads, n)                                                                          \
    case heads * MOST_QUERIES + n:                                                               \
        score(numbers, heads, n, queries, keys, head_bytes, size, dim, ahead, scores, room);     \
        break;
#define VALUES_OF(n, parts)                                                                      \
    add_values(numbers, n, parts, weights, room, length, values, dim, ahead, sums)
#define VALUES(n)                                                                                \
    case n:                                                                                      \
        if (n > MOST_ADDED(numbers)) break; /* or it would be compiled for nothing */            \
        if (MOST_PARTS(n) == 4 && parts == 4) VALUES_OF(n, 4);                                   \
        else if (parts == 2) VALUES_OF(n, 2);                                                    \
        else VALUES_OF(n, 1);                                                                    \
        break;

/* Both for any number of queries, and numbers of any kind. */
#define FOR_NUMBERS(name, numbers_)                                                              \
    static void score_of_##name(int heads, int count, const void *queries, const char *keys,     \
                                int64_t head_bytes, int64_t size, int64_t dim, int64_t ahead,    \
                                float *scores, int64_t room) {                                   \
        const enum numbers numbers = numbers_;                                                   \
        switch (heads * MOST_QUERIES + count) {                                                  \
            SCORE(1, 1) SCORE(1, 2) SCORE(1, 3) SCORE(1, 4) SCORE(1, 5) SCORE(1, 6) SCORE(1, 7)  \
            SCORE(1, 8) SCORE(2, 1) SCORE(2, 2) SCORE(2, 3) SCORE(2, 4) SCORE(4, 1) SCORE(4, 2)  \
            SCORE(8, 1)                                                                          \
        }                                                                                        \
    }                                                                                            \
    static void values_of_##name(int count, int parts, const float *weights, int64_t room,       \
                                 int64_t length, const void *values, int64_t dim, int64_t ahead, \
                                 float *sums) {                                                  \
        const enum numbers numbers = numbers_;                                                   \
        switch (count) { VALUES(1) VALUES(2) VALUES(3) VALUES(4) }                               \
    }

FOR_NUMBERS(floats, AS_FLOATS)
FOR_NUMBERS(widened, AS_WIDENED)
FOR_NUMBERS(pairs, AS_PAIRS)
FOR_NUMBERS(tiles, AS_TILES)

/* By enum numbers. */
typedef void scores_of_queries(int, int, const void *, const char *, int64_t, int64_t, int64_t,
                               int64_t, float *, int64_t);
typedef void values_of_queries(int, int, const float *, int64_t, int64_t, const void *, int64_t,
                               int64_t, float *);
static scores_of_queries *const score_of[] = {score_of_floats, score_of_widened, score_of_pairs,
                                           score_of_tiles};
static values_of_queries *const values_of[] = {values_of_floats, values_of_widened, values_of_pairs,
                                            values_of_tiles};

#endif
