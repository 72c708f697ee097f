/* Causal attention over the paged cache.
 *
 * A tile is up to 8 queries of one sequence (16 in tiled_attention.h): different tokens, different heads
 * of a group, or both, for one key-value head; or few of these for each of several heads, whose keys lie
 * side by side, so that a decoding row reads its memory in order. It reads the keys once, turns the
 * scores into weights, and reads the values once. The order of every sum is fixed (attention_sums.h), so
 * a query's result has the same bits in whatever tile it is, and however its prompt was cut into chunks.
 *
 * Keys lie in a block as (kv_heads, dim, block_size), values as (kv_heads, block_size, dim): scores
 * are computed for a vector of keys, sums of values for vectors of numbers. As bfloats, what is
 * summed over lies in pairs: keys as (kv_heads, dim / 2, block_size, 2), values as (kv_heads,
 * block_size / 2, dim, 2). They are widened for queries and weights that are floats, or meet bfloats.
 */

#ifndef ATTENTION_H
#define ATTENTION_H

#include "attention_sums.h"

#define MOST_DIM 256

struct cache {
    void *keys, *values;
    int64_t block_size, kv_heads, dim;
    enum numbers numbers;
};

static inline void put(const struct cache *cache, int64_t slot, int64_t head, const float *key,
                       const float *value) {
    int64_t size = cache->block_size, dim = cache->dim, place = slot % size;
    int64_t start = (slot / size * cache->kv_heads + head) * size * dim;
    if (cache->numbers != AS_FLOATS) {
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

/* Floats become bfloats in place, packed at the start. A multiple of 16. */
static inline void pack_all(float *numbers, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES)
        store_bfloats((bfloat *)numbers + i, load_floats(numbers + i));
}

/* Floats become those that bfloats can hold. A multiple of 16. */
static inline void round_all(float *numbers, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) {
        bfloat rounded[LANES];
        store_bfloats(rounded, load_floats(numbers + i));
        words wide = __builtin_convertvector((halves)*(halves_at *)rounded, words);
        store_floats(numbers + i, (vec)(wide << 16));
    }
}

/* Floats become what the sums of these numbers take. */
static inline void prepare(enum numbers numbers, float *floats, int64_t count) {
    if (numbers == AS_PAIRS) pack_all(floats, count);
    if (numbers == AS_TILES) round_all(floats, count);
}

/* Scores become weights: exp(score - highest), 0 from `length` on. Returns their sum. */
static inline float weigh(float *scores, int64_t length) {
    ints lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    const vec nothing = all_of(-__builtin_inff());
    vec most = nothing;
    struct row_sums total = {0};
    int64_t end = (length + PADDING - 1) / PADDING * PADDING;
    for (int64_t j = 0; j < end; j += LANES) {
        vec s = load_floats(scores + j);
        s = choose(lane < (int32_t)(length - j), s, nothing);
        store_floats(scores + j, s);
        most = choose((s > most) | (s != s), s, most);
    }
    float highest = greatest_of(most);
    for (int64_t j = 0; j < end; j += PADDING)
#pragma GCC unroll 4
        for (int i = 0; i < PADDING / LANES; i++) {
            vec weight = exp_negative(load_floats(scores + j + i * LANES) - highest);
            store_floats(scores + j + i * LANES, weight);
            total.part[i] += weight;
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

INLINE int64_t number_bytes(const struct cache *cache) {
    return cache->numbers == AS_FLOATS ? sizeof(float) : sizeof(bfloat);
}

/* The block of a group of 16 keys, from a head on. */
INLINE const char *head_of(const struct cache *cache, const void *all, const int64_t *table,
                           int64_t head, int64_t group) {
    int64_t block = table[group * GROUP / cache->block_size] * cache->kv_heads + head;
    return (const char *)all + block * cache->block_size * cache->dim * number_bytes(cache);
}

INLINE const char *keys_of(const struct cache *cache, const int64_t *table, int64_t head,
                           int64_t group) {
    int64_t place = group * GROUP % cache->block_size;
    return head_of(cache, cache->keys, table, head, group) + place * UNIT;
}

INLINE const char *values_at(const struct cache *cache, const int64_t *table, int64_t head,
                             int64_t group) {
    int64_t place = group * GROUP % cache->block_size;
    return head_of(cache, cache->values, table, head, group) + place * cache->dim * number_bytes(cache);
}

/* Scores of all keys up to `longest`. */
static void score_all(const struct cache *cache, const int64_t *table, int64_t head, int64_t heads,
                      int64_t count, int64_t longest, const float *queries, float *scores,
                      int64_t room, int alone) {
    int64_t head_bytes = cache->block_size * cache->dim * number_bytes(cache);
    int64_t groups = (longest + GROUP - 1) / GROUP;
    const char *keys = keys_of(cache, table, head, 0), *next;
    for (int64_t group = 0; group < groups; group++, keys = next) {
        next = group + 1 < groups ? keys_of(cache, table, head, group + 1)
                                  : values_at(cache, table, head, 0);
        score_of[cache->numbers]((int)heads, (int)count, queries, keys, head_bytes,
                                 cache->block_size, cache->dim, alone ? next - keys : 0,
                                 scores + group * GROUP, room);
    }
}

/* Scores become weights, 0 for what a query does not see; their sums are the totals. */
static void weigh_all(const int64_t *lengths, int64_t heads, int64_t count, float *scores,
                      int64_t room, float *totals) {
    int64_t most = (lengths[count - 1] + GROUP - 1) / GROUP * GROUP;
    for (int64_t i = 0; i < heads * count; i++, scores += room) {
        int64_t length = lengths[i % count], end = (length + GROUP - 1) / GROUP * GROUP;
        totals[i] = weigh(scores, length);
        memset(scores + end, 0, (most - end) * sizeof(float));
    }
}

/* Adds the weighted values of a group of `length` keys. weights: from this group on, in the form that
 * the sums take. */
static void add_group(const struct cache *cache, const int64_t *table, int64_t head, int64_t heads,
                      int64_t count, int64_t group, int64_t length, const float *weights,
                      int64_t room, int64_t ahead, float *sums) {
    int64_t dim = cache->dim, head_bytes = cache->block_size * dim * number_bytes(cache);
    int64_t most = MOST_ADDED(cache->numbers);
    const char *values = values_at(cache, table, head, group);
    for (int64_t h = 0; h < heads; h++, values += head_bytes)
        for (int64_t q = 0; q < count; q += most)
            for (int64_t i = 0, parts; i < dim; i += parts * LANES) {
                int64_t left = (dim - i) / LANES, query = h * count + q;
                parts = left >= MOST_PARTS(count) ? MOST_PARTS(count) : left >= 2 ? 2 : 1;
                values_of[cache->numbers]((int)(count - q < most ? count - q : most), (int)parts,
                                          weights + query * room, room, length,
                                          values + i * UNIT, dim, ahead, sums + query * dim + i);
            }
}

/* Sums of all values up to `longest`. */
static void add_all(const struct cache *cache, const int64_t *table, int64_t head, int64_t heads,
                    int64_t count, int64_t longest, const float *weights, int64_t room, int alone,
                    float *sums) {
    int64_t groups = (longest + GROUP - 1) / GROUP;
    int64_t width = cache->numbers == AS_PAIRS ? GROUP / 2 : GROUP; /* of a group's weights, in floats */
    memset(sums, 0, heads * count * cache->dim * sizeof(float));
    for (int64_t group = 0; group < groups; group++) {
        int64_t start = group * GROUP, length = longest - start < GROUP ? longest - start : GROUP;
        int64_t ahead = 0;
        if (alone && group + 1 < groups)
            ahead = values_at(cache, table, head, group + 1) - values_at(cache, table, head, group);
        add_group(cache, table, head, heads, count, group, length, weights + group * width, room,
                  ahead, sums);
    }
}

static void divide_all(float *sums, int64_t queries, int64_t dim, const float *totals) {
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < dim; j += LANES, sums += LANES)
            store_floats(sums, load_floats(sums) / totals[i]);
}

/* Attention of `count` queries of each of some heads, scaled, to the keys of a block table.
 * queries and sums: (heads, count, dim), and what was in the queries is lost; lengths: keys that each
 * query sees, in ascending order; scores: room for heads · count · `room` floats. `alone`: no other tile
 * reads these keys, so they come from memory, and are asked for before they are used. */
static void attend(const struct cache *cache, const int64_t *table, int64_t head, int64_t heads,
                   int64_t count, const int64_t *lengths, float *queries, float *scores,
                   int64_t room, int alone, float *sums) {
    int64_t longest = lengths[count - 1], dim = cache->dim;
    float totals[MOST_QUERIES];
    prepare(cache->numbers, queries, heads * count * dim);
    score_all(cache, table, head, heads, count, longest, queries, scores, room, alone);
    weigh_all(lengths, heads, count, scores, room, totals);
    for (int64_t i = 0; i < heads * count; i++)
        prepare(cache->numbers, scores + i * room, (longest + GROUP - 1) / GROUP * GROUP);
    add_all(cache, table, head, heads, count, longest, scores, room, alone, sums);
    divide_all(sums, heads * count, dim, totals);
}

#endif
