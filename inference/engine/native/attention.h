/* Causal attention over the paged cache.
 *
 * A tile is up to 8 queries of one sequence: different tokens, different heads of a group, or both, for
 * one key-value head; or few of these for each of several heads, whose keys lie side by side, so that
 * a decoding row reads its memory in order. It reads the keys once, turns the scores into weights, and
 * reads the values once. All sums run over keys, or over the numbers of a head, in order, so a query's
 * result has the same bits in whatever tile it is, and however its prompt was cut into chunks.
 *
 * Keys lie in a block as (kv_heads, dim, block_size), values as (kv_heads, block_size, dim): scores
 * are computed for 16 keys at a time, sums of values for 16 numbers at a time. As bfloats, what is
 * summed over lies in pairs: keys as (kv_heads, dim / 2, block_size, 2), values as (kv_heads,
 * block_size / 2, dim, 2). They meet queries and weights that are bfloats, too.
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
        for (int64_t i = 0; i < dim; i += LANES) {
            bfloat part[LANES];
            store_bfloats(part, load_floats(key + i));
            for (int64_t j = 0; j < LANES; j += 2)
                memcpy(keys + (i + j) * size + place * 2, part + j, 2 * sizeof(bfloat));
            store_bfloats(part, load_floats(value + i));
            bfloat *pairs = values + place / 2 * 2 * dim + 2 * i + place % 2;
            for (int64_t j = 0; j < LANES; j++) pairs[2 * j] = part[j];
        }
    } else {
        float *keys = (float *)cache->keys + start, *values = (float *)cache->values + start;
        for (int64_t i = 0; i < dim; i++) keys[i * size + place] = key[i];
        memcpy(values + place * dim, value, dim * sizeof(float));
    }
}

/* Scores of `count` queries of each of some heads for 16 keys. queries: (heads, count, dim), of the
 * cache's numbers. */
INLINE void score(const int bfloats, const int heads, const int count, const void *queries,
                  const char *keys, int64_t head_bytes, int64_t size, int64_t dim, float *scores,
                  int64_t room) {
    vec sum[MOST_QUERIES];
#pragma GCC unroll 8
    for (int i = 0; i < heads * count; i++) sum[i] = (vec){0};
    if (bfloats) {
        for (int64_t i = 0; i < dim; i += 2)
#pragma GCC unroll 8
            for (int h = 0; h < heads; h++) {
                const bfloat *row = (const bfloat *)(keys + h * head_bytes) + i * size;
                words pairs = (words)*(const words_at *)row;
#pragma GCC unroll 8
                for (int q = h * count; q < (h + 1) * count; q++)
                    sum[q] = add_products(sum[q], pairs, (const bfloat *)queries + q * dim + i);
            }
    } else {
        for (int64_t i = 0; i < dim; i++)
#pragma GCC unroll 8
            for (int h = 0; h < heads; h++) {
                vec key = load_floats((const float *)(keys + h * head_bytes) + i * size);
#pragma GCC unroll 8
                for (int q = h * count; q < (h + 1) * count; q++)
                    sum[q] += key * ((const float *)queries)[q * dim + i];
            }
    }
#pragma GCC unroll 8
    for (int i = 0; i < heads * count; i++) store_floats(scores + i * room, sum[i]);
}

/* Adds the weighted values of `length` keys of a block, for some queries and 16 · parts numbers.
 * weights: of the cache's numbers, `room` floats apart. */
INLINE void add_values(const int bfloats, const int count, const int parts, const float *weights,
                       int64_t room, int64_t length, const void *values, int64_t dim, float *sums) {
    vec sum[4][4];
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) sum[q][p] = load_floats(sums + q * dim + p * LANES);
    if (bfloats) {
        for (int64_t j = 0; j < length; j += 2) {
            words value[4];
#pragma GCC unroll 4
            for (int p = 0; p < parts; p++) {
                const bfloat *pairs = (const bfloat *)values + j * dim + p * 2 * LANES;
                value[p] = (words)*(const words_at *)pairs;
                /* Nobody has written the value after the last one: it may be no number. */
                if (j + 1 == length) value[p] &= 0xffff;
            }
#pragma GCC unroll 4
            for (int q = 0; q < count; q++)
#pragma GCC unroll 4
                for (int p = 0; p < parts; p++)
                    sum[q][p] = add_products(sum[q][p], value[p],
                                             (const bfloat *)(weights + q * room) + j);
        }
    } else {
        for (int64_t j = 0; j < length; j++) {
            vec value[4];
#pragma GCC unroll 4
            for (int p = 0; p < parts; p++)
                value[p] = load_floats((const float *)values + j * dim + p * LANES);
#pragma GCC unroll 4
            for (int q = 0; q < count; q++)
#pragma GCC unroll 4
                for (int p = 0; p < parts; p++) sum[q][p] += value[p] * weights[q * room + j];
        }
    }
#pragma GCC unroll 4
    for (int q = 0; q < count; q++)
#pragma GCC unroll 4
        for (int p = 0; p < parts; p++) store_floats(sums + q * dim + p * LANES, sum[q][p]);
}

/* Floats become bfloats in place, packed at the start. A multiple of 16. */
static inline void round_all(float *numbers, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES)
        store_bfloats((bfloat *)numbers + i, load_floats(numbers + i));
}

#define SCORE(heads, n)                                                                      \
    case heads * MOST_QUERIES + n:                                                           \
        score(bfloats, heads, n, queries, keys, head_bytes, size, dim, scores, room);        \
        break;
#define VALUES(n)                                                                               \
    case n:                                                                                     \
        if (parts == 4) add_values(bfloats, n, 4, weights, room, length, values, dim, sums);    \
        else if (parts == 2) add_values(bfloats, n, 2, weights, room, length, values, dim, sums); \
        else add_values(bfloats, n, 1, weights, room, length, values, dim, sums);               \
        break;

/* Both for any number of queries, and numbers of either kind. */
#define FOR_KIND(kind, bfloats_)                                                                 \
    static void score_##kind(int heads, int count, const void *queries, const char *keys,       \
                             int64_t head_bytes, int64_t size, int64_t dim, float *scores,       \
                             int64_t room) {                                                     \
        const int bfloats = bfloats_;                                                            \
        switch (heads * MOST_QUERIES + count) {                                                  \
            SCORE(1, 1) SCORE(1, 2) SCORE(1, 3) SCORE(1, 4) SCORE(1, 5) SCORE(1, 6) SCORE(1, 7)  \
            SCORE(1, 8) SCORE(2, 1) SCORE(2, 2) SCORE(2, 3) SCORE(2, 4) SCORE(4, 1) SCORE(4, 2)  \
            SCORE(8, 1)                                                                          \
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

/* How many key-value heads a tile of `count` queries each takes: there must be code for it. */
static inline int64_t heads_of_tile(int64_t count, int64_t kv_heads, int64_t most) {
    int64_t heads = 1;
    while (heads * 2 <= most && heads * 2 * count <= MOST_QUERIES && kv_heads % (heads * 2) == 0)
        heads *= 2;
    return heads;
}

/* Asks for what will be read next. */
INLINE void bring(const char *numbers, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(numbers + i, 0, 3);
}

/* A block's keys or values, from a head on. */
INLINE const char *of_block(const struct cache *cache, const void *all, int64_t block, int64_t head,
                            int64_t head_bytes) {
    return (const char *)all + (block * cache->kv_heads + head) * head_bytes;
}

/* Attention of `count` queries of each of some heads, scaled, to the keys of a block table.
 * queries and sums: (heads, count, dim), and what was in the queries is lost; lengths: keys that each
 * query sees, in ascending order; scores: room for heads · count · `room` floats. `alone`: no other tile
 * reads these keys, so they come from memory, and a block ahead of their use. */
static void attend(const struct cache *cache, const int64_t *table, int64_t head, int64_t heads,
                   int64_t count, const int64_t *lengths, float *queries, float *scores,
                   int64_t room, int alone, float *sums) {
    int64_t size = cache->block_size, dim = cache->dim, longest = lengths[count - 1];
    int64_t number = cache->bfloats ? sizeof(bfloat) : sizeof(float), of_pair = cache->bfloats ? 2 : 1;
    int64_t head_bytes = size * dim * number, blocks = (longest + size - 1) / size;
    if (cache->bfloats) round_all(queries, heads * count * dim);
    for (int64_t start = 0; start < longest; start += LANES) {
        int64_t block = start / size, place = start % size;
        const char *keys = of_block(cache, cache->keys, table[block], head, head_bytes), *next = NULL;
        if (alone && !place)
            next = block + 1 < blocks
                       ? of_block(cache, cache->keys, table[block + 1], head, head_bytes)
                       : of_block(cache, cache->values, table[0], head, head_bytes);
        for (int64_t h = 0, most = next ? 1 : heads; h < heads; h += most) {
            if (next) bring(next + h * head_bytes, head_bytes);
            (cache->bfloats ? score_bfloats : score_floats)(
                (int)most, (int)count, (const char *)queries + h * count * dim * number,
                keys + h * head_bytes + place * of_pair * number, head_bytes, size, dim,
                scores + h * count * room + start, room);
        }
    }
    float totals[MOST_QUERIES];
    for (int64_t i = 0; i < heads * count; i++) {
        int64_t length = lengths[i % count];
        totals[i] = weigh(scores + i * room, length);
        int64_t end = (length + LANES - 1) / LANES * LANES;
        for (int64_t j = end; j < longest; j++) scores[i * room + j] = 0;
        if (cache->bfloats) round_all(scores + i * room, (longest + LANES - 1) / LANES * LANES);
    }
    memset(sums, 0, heads * count * dim * sizeof(float));
    for (int64_t block = 0; block < blocks; block++) {
        int64_t start = block * size, length = longest - start < size ? longest - start : size;
        const char *values = of_block(cache, cache->values, table[block], head, head_bytes);
        for (int64_t h = 0; h < heads; h++, values += head_bytes) {
            if (alone && block + 1 < blocks)
                bring(of_block(cache, cache->values, table[block + 1], head + h, head_bytes),
                      head_bytes);
            for (int64_t q = 0; q < count; q += 4)
                for (int64_t i = 0, parts; i < dim; i += parts * LANES) {
                    int64_t left = (dim - i) / LANES, query = h * count + q;
                    const char *weights = (const char *)(scores + query * room) + start * number;
                    parts = left >= 4 ? 4 : left >= 2 ? 2 : 1;
                    (cache->bfloats ? add_values_bfloats : add_values_floats)(
                        count - q < 4 ? count - q : 4, parts, (const float *)weights, room, length,
                        values + i * of_pair * number, dim, sums + query * dim + i);
                }
        }
    }
    for (int64_t i = 0; i < heads * count; i++)
        for (int64_t j = 0; j < dim; j += LANES)
            store_floats(sums + i * dim + j, load_floats(sums + i * dim + j) / totals[i]);
}

#endif
