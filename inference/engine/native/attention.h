/* Causal attention over the paged cache.
 *
 * A tile is up to 8 queries of one sequence that share a key-value head: different tokens, different
 * heads of the group, or both. It reads the keys once, turns the scores into weights, and reads the
 * values once. All sums run over keys, or over the numbers of a head, in order, so a query's result
 * has the same bits in whatever tile it is, and however its prompt was cut into chunks.
 *
 * Keys lie in a block as (kv_heads, dim, block_size), values as (kv_heads, block_size, dim): scores
 * are computed for 16 keys at a time, sums of values for 16 numbers at a time. As bfloats, keys lie
 * in pairs, (kv_heads, dim / 2, block_size, 2).
 */

#ifndef ATTENTION_H
#define ATTENTION_H

#include "numbers.h"

#define MOST_QUERIES 8
#define MOST_DIM 256

struct cache {
    void *keys, *values;
    int64_t block_size, kv_heads, dim;
    int bfloats;
};

static inline void put(const struct cache *cache, int64_t slot, int64_t head, const float *key,
                       const float *value) {
    int64_t size = cache->block_size, dim = cache->dim, place = slot % size;
    int64_t start = (slot / size * cache->kv_heads + head) * size * dim;
    if (cache->bfloats) {
        bfloat *keys = (bfloat *)cache->keys + start, *values = (bfloat *)cache->values + start;
        for (int64_t i = 0; i < dim; i++)
            keys[(i / 2 * size + place) * 2 + i % 2] = float_to_bfloat(key[i]);
        for (int64_t i = 0; i < dim; i += LANES)
            store_bfloats(values + place * dim + i, load_floats(value + i));
    } else {
        float *keys = (float *)cache->keys + start, *values = (float *)cache->values + start;
        for (int64_t i = 0; i < dim; i++) keys[i * size + place] = key[i];
        memcpy(values + place * dim, value, dim * sizeof(float));
    }
}

/* Scores of some queries for 16 keys. queries: (count, dim). */
INLINE void score(const int bfloats, const int count, const float *queries, const void *keys,
                  int64_t size, int64_t dim, float *scores, int64_t room) {
    vec sum[MOST_QUERIES];
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) sum[q] = (vec){0};
    if (bfloats) {
        for (int64_t i = 0; i < dim; i += 2) {
            words pairs = (words)*(const words_at *)((const bfloat *)keys + i * size);
            vec first = firsts(pairs), second = seconds(pairs);
#pragma GCC unroll 8
            for (int q = 0; q < count; q++) {
                sum[q] += first * queries[q * dim + i];
                sum[q] += second * queries[q * dim + i + 1];
            }
        }
    } else {
        for (int64_t i = 0; i < dim; i++) {
            vec key = load_floats((const float *)keys + i * size);
#pragma GCC unroll 8
            for (int q = 0; q < count; q++) sum[q] += key * queries[q * dim + i];
        }
    }
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) store_floats(scores + q * room, sum[q]);
}

/* Adds the weighted values of `length` keys of a block, for some queries and 16 · parts numbers. */
INLINE void add_values(const int bfloats, const int count, const int parts, const float *weights,
                       int64_t room, int64_t length, const void *values, int64_t dim, float *sums) {
    vec sum[4][4];
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) sum[q][p] = load_floats(sums + q * dim + p * LANES);
    for (int64_t j = 0; j < length; j++) {
        vec value[4];
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++)
            value[p] = bfloats ? load_bfloats((const bfloat *)values + j * dim + p * LANES)
                               : load_floats((const float *)values + j * dim + p * LANES);
#pragma GCC unroll 4
        for (int q = 0; q < count; q++)
#pragma GCC unroll 4
            for (int p = 0; p < parts; p++) sum[q][p] += value[p] * weights[q * room + j];
    }
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) store_floats(sums + q * dim + p * LANES, sum[q][p]);
}

#define SCORE(n)                                                              \
    case n:                                                                   \
        score(bfloats, n, queries, keys, size, dim, scores, room);            \
        break;
#define VALUES(n)                                                                               \
    case n:                                                                                     \
        if (parts == 4) add_values(bfloats, n, 4, weights, room, length, values, dim, sums);    \
        else if (parts == 2) add_values(bfloats, n, 2, weights, room, length, values, dim, sums); \
        else add_values(bfloats, n, 1, weights, room, length, values, dim, sums);               \
        break;

/* Both for any number of queries, and numbers of either kind. */
#define FOR_KIND(kind, bfloats_)                                                                 \
    static void score_##kind(int count, const float *queries, const void *keys, int64_t size,   \
                             int64_t dim, float *scores, int64_t room) {                         \
        const int bfloats = bfloats_;                                                            \
        switch (count) {                                                                         \
            SCORE(1) SCORE(2) SCORE(3) SCORE(4) SCORE(5) SCORE(6) SCORE(7) SCORE(8)              \
        }                                                                                        \
    }                                                                                            \
    static void add_values_##kind(int count, int parts, const float *weights, int64_t room,     \
                                  int64_t length, const void *values, int64_t dim,               \
                                  float *sums) {                                                 \
        const int bfloats = bfloats_;                                                            \
        switch (count) { VALUES(1) VALUES(2) VALUES(3) VALUES(4) }                               \
    }

FOR_KIND(floats, 0)
FOR_KIND(bfloats, 1)

/* Scores become weights: exp(score - highest), 0 from `length` on. Returns their sum. */
static inline float weigh(float *scores, int64_t length) {
    ints lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    const vec nothing = (vec){0} - __builtin_inff();
    vec most = nothing, total = (vec){0};
    for (int64_t j = 0; j < length; j += LANES) {
        vec s = load_floats(scores + j);
        s = choose(lane < (int32_t)(length - j), s, nothing);
        store_floats(scores + j, s);
        most = choose((s > most) | (s != s), s, most);
    }
    float highest = greatest_of(most);
    for (int64_t j = 0; j < length; j += LANES) {
        vec weight = exp_negative(load_floats(scores + j) - highest);
        store_floats(scores + j, weight);
        total += weight;
    }
    return sum_of(total);
}

/* Attention of `count` queries (count, dim), scaled, to the keys of a block table; sums: (count, dim).
 * lengths: keys that each sees, in ascending order; scores: room for count · `room` floats. */
static void attend(const struct cache *cache, const int64_t *table, int64_t head, int64_t count,
                   const int64_t *lengths, const float *queries, float *scores, int64_t room,
                   float *sums) {
    int64_t size = cache->block_size, dim = cache->dim, longest = lengths[count - 1];
    int64_t number = cache->bfloats ? sizeof(bfloat) : sizeof(float);
    int64_t head_bytes = size * dim * number, block_bytes = cache->kv_heads * head_bytes;
    for (int64_t start = 0; start < longest; start += LANES) {
        int64_t place = start % size;
        const char *keys = (const char *)cache->keys + table[start / size] * block_bytes +
                           head * head_bytes + place * (cache->bfloats ? 2 : 1) * number;
        (cache->bfloats ? score_bfloats : score_floats)(count, queries, keys, size, dim,
                                                        scores + start, room);
    }
    float totals[MOST_QUERIES];
    for (int64_t q = 0; q < count; q++) {
        totals[q] = weigh(scores + q * room, lengths[q]);
        int64_t end = (lengths[q] + LANES - 1) / LANES * LANES;
        for (int64_t j = end; j < longest; j++) scores[q * room + j] = 0;
    }
    memset(sums, 0, count * dim * sizeof(float));
    for (int64_t start = 0; start < longest; start += size) {
        const char *values =
            (const char *)cache->values + table[start / size] * block_bytes + head * head_bytes;
        int64_t length = longest - start < size ? longest - start : size;
        for (int64_t q = 0; q < count; q += 4)
            for (int64_t i = 0, parts; i < dim; i += parts * LANES) {
                int64_t left = (dim - i) / LANES;
                parts = left >= 4 ? 4 : left >= 2 ? 2 : 1;
                (cache->bfloats ? add_values_bfloats : add_values_floats)(
                    count - q < 4 ? count - q : 4, parts, scores + q * room + start, room, length,
                    values + i * number, dim, sums + q * dim + i);
            }
    }
    for (int64_t q = 0; q < count; q++)
        for (int64_t i = 0; i < dim; i += LANES)
            store_floats(sums + q * dim + i, load_floats(sums + q * dim + i) / totals[q]);
}

#endif
