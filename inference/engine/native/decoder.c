/* A decoder of the Llama kind on a CPU: one step of all its layers in one call.
 *
 * Between a small model's matrix products, calling operators and waking threads takes longer than
 * the arithmetic. Here the threads stay together for the whole step and go from phase to phase
 * (team.h). What runs through the layers is in float32; what enters a product has the product's kind.
 * A token's result has the same bits whatever runs beside it.
 *
 * Rows of working memory are padded with zeros to a multiple of PADDING numbers.
 */

#include <math.h>
#include <omp.h>

#include "multiply.h"
#include "tiled_attention.h"

/* Rows of a piece of what is done row by row. Many small pieces cost more than the work in them: threads
 * wait for each other's count, and for memory that the other has in its cache. */
#define LEAST_ROWS 8
#define MOST_ROWS 64

struct layer {
    const float *input_norm, *output_norm; /* (width) */
    const float *query_norm, *key_norm;    /* (dim) or null */
    struct product qkv, out, gate_up, down;
    void *keys, *values;
};

struct decoder {
    int64_t hidden, width; /* width: hidden, padded */
    int64_t heads, kv_heads, dim, half, inner; /* inner: numbers between gate_up and down, padded */
    int64_t num_layers, kind, bfloats, cached_bfloats; /* bfloats: whether the embedding is */
    float epsilon, scale;
    const float *cosines, *sines; /* (positions, half) */
    const void *embedding;        /* (vocabulary, hidden) */
    const float *embedding_scales; /* (vocabulary) of int8 numbers, or null */
    const float *norm;            /* (width) */
    struct product head;
    const struct layer *layers;
};

/* T tokens of R sequences, of which N positions become logits. */
struct step {
    int64_t tokens, rows, wanted, block_size, table_width, longest;
    const int64_t *ids, *positions, *slots; /* (T) */
    const int64_t *starts, *offsets;        /* (R), (R + 1): first position, place among the tokens */
    const int64_t *tables;                  /* (R, table_width) */
    const int64_t *places;                  /* (N) */
    float *logits;                          /* (N, vocabulary) */
    float *x, *added;                       /* (T, width) */
    float *wide;                            /* (T, qkv outputs), padded */
    char *input, *inner; /* (T, max(width, heads · dim)), (T, inner) of the kind; T rounded up to 32 */
    float *scores;                          /* (threads, TILE_ROWS, longest rounded up) */
    int64_t *counters;                      /* (2, phases), zero */
    int64_t phases;
    int64_t threads;
    char *rooms; /* (threads, room_size): panels of int8 weights, widened */
    int64_t room_size;
};

static int64_t rows_of_piece(int64_t rows, const struct team *team) {
    int64_t share = rows / (4 * team->size);
    return share < LEAST_ROWS ? LEAST_ROWS : share > MOST_ROWS ? MOST_ROWS : share;
}

/* x += added (if any); input = weight · x / rms(x). */
static void add_and_norm(enum kind kind, int64_t hidden, int64_t width, float *x,
                         const float *added, const float *weight, float epsilon, char *input) {
    struct row_sums squares = {0};
    for (int64_t i = 0; i < width; i += PADDING)
#pragma GCC unroll 4
        for (int j = 0; j < PADDING / LANES; j++) {
            vec v = load_floats(x + i + j * LANES);
            if (added) {
                v += load_floats(added + i + j * LANES);
                store_floats(x + i + j * LANES, v);
            }
            squares.part[j] = add_product(squares.part[j], v, v);
        }
    float scale = 1.0f / sqrtf(sum_of(squares) / hidden + epsilon);
    for (int64_t i = 0; i < width; i += LANES)
        store_input(kind, input, i, load_floats(x + i) * scale * load_floats(weight + i));
}

static void norms(const struct decoder *d, const struct step *s, struct team *team, int64_t phase,
                  int64_t rows, const float *weight, int first) {
    int64_t height = rows_of_piece(rows, team), pieces = (rows + height - 1) / height;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * height; t < rows && t < (piece + 1) * height; t++) {
            float *x = s->x + t * d->width;
            const float *added = first ? NULL : s->added + t * d->width;
            add_and_norm(d->kind, d->hidden, d->width, x, added, weight, d->epsilon,
                         s->input + t * d->width * input_bytes(d->kind));
        }
    await(team, phase, pieces);
}

/* A number of the embedding. */
INLINE float embedded(const struct decoder *d, int64_t id, int64_t i) {
    int64_t place = id * d->hidden + i;
    if (d->embedding_scales)
        return ((const int8_t *)d->embedding)[place] * d->embedding_scales[id];
    return d->bfloats ? bfloat_to_float(((const bfloat *)d->embedding)[place])
                      : ((const float *)d->embedding)[place];
}

static void embed(const struct decoder *d, const struct step *s, struct team *team,
                  int64_t phase) {
    int64_t height = rows_of_piece(s->tokens, team), pieces = (s->tokens + height - 1) / height;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * height; t < s->tokens && t < (piece + 1) * height; t++) {
            float *x = s->x + t * d->width;
            for (int64_t i = 0; i < d->hidden; i++) x[i] = embedded(d, s->ids[t], i);
            for (int64_t i = d->hidden; i < d->width; i++) x[i] = 0;
        }
    await(team, phase, pieces);
}

/* One head's vector, normalised if there is a weight, and rotated (Su et al. 2021). */
static void rotate(float *head, int64_t dim, int64_t half, const float *cosines,
                   const float *sines, const float *norm, float epsilon) {
    if (norm) {
        struct row_sums squares = {0};
        for (int64_t i = 0; i < dim; i += PADDING)
#pragma GCC unroll 4
            for (int j = 0; j < PADDING / LANES; j++) {
                vec v = load_floats(head + i + j * LANES);
                squares.part[j] = add_product(squares.part[j], v, v);
            }
        float scale = 1.0f / sqrtf(sum_of(squares) / dim + epsilon);
        for (int64_t i = 0; i < dim; i++) head[i] = head[i] * scale * norm[i];
    }
    int64_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        vec a = load_floats(head + i), b = load_floats(head + i + half);
        vec cosine = load_floats(cosines + i), sine = load_floats(sines + i);
        store_floats(head + i, add_product(-(b * sine), a, cosine));
        store_floats(head + i + half, add_product(a * sine, b, cosine));
    }
    for (; i < half; i++) {
        float a = head[i], b = head[i + half];
        head[i] = add_one_product(-(b * sines[i]), a, cosines[i]);
        head[i + half] = add_one_product(a * sines[i], b, cosines[i]);
    }
}

/* Rotates a token's queries, scaled, in place; puts its keys and values into the cache. */
static void rotate_token(const struct decoder *d, const struct step *s, const struct layer *layer,
                         const struct cache *cache, int64_t stride, int64_t t) {
    int64_t dim = d->dim;
    float *queries = s->wide + t * stride, *keys = queries + d->heads * dim;
    const float *values = keys + d->kv_heads * dim;
    const float *cosines = d->cosines + s->positions[t] * d->half;
    const float *sines = d->sines + s->positions[t] * d->half;
    for (int64_t h = 0; h < d->heads; h++) {
        float *query = queries + h * dim;
        rotate(query, dim, d->half, cosines, sines, layer->query_norm, d->epsilon);
        for (int64_t i = 0; i < dim; i++) query[i] *= d->scale;
    }
    for (int64_t h = 0; h < d->kv_heads; h++) {
        rotate(keys + h * dim, dim, d->half, cosines, sines, layer->key_norm, d->epsilon);
        put(cache, s->slots[t], h, keys + h * dim, values + h * dim);
    }
}

static void rotate_and_store(const struct decoder *d, const struct step *s, struct team *team,
                             int64_t phase, const struct layer *layer, const struct cache *cache,
                             int64_t stride) {
    int64_t height = rows_of_piece(s->tokens, team), pieces = (s->tokens + height - 1) / height;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * height; t < s->tokens && t < (piece + 1) * height; t++)
            rotate_token(d, s, layer, cache, stride, t);
    await(team, phase, pieces);
}

/* A tile of a row's queries for some key-value heads: pair i of a head is token i / group, head
 * i % group of the group. */
static void attend_tile(const struct decoder *d, const struct step *s, const struct cache *cache,
                        int64_t row, int64_t kv_head, int64_t heads, int64_t first, int64_t count,
                        int in_tiles, int alone, int64_t stride, int64_t room, float *scores) {
    float queries[TILE_ROWS * MOST_DIM], sums[TILE_ROWS * MOST_DIM];
    int64_t lengths[TILE_ROWS], places[TILE_ROWS], dim = d->dim;
    int64_t group = d->heads / d->kv_heads, out = s->offsets[row];
    const int64_t *table = s->tables + row * s->table_width;
    for (int64_t i = 0; i < heads * count; i++) {
        int64_t pair = first + i % count, token = pair / group;
        int64_t head = (kv_head + i / count) * group + pair % group;
        lengths[i % count] = s->starts[row] + token + 1;
        memcpy(queries + i * dim, s->wide + (out + token) * stride + head * dim,
               dim * sizeof(float));
        places[i] = (out + token) * d->layers->out.inputs + head * dim;
    }
    if (!in_tiles)
        attend(cache, table, kv_head, heads, count, lengths, queries, scores, room, alone, sums);
#ifdef __AMX_BF16__
    else attend_in_tiles(cache, table, kv_head, count, lengths, queries, scores, room, sums);
#endif
    for (int64_t i = 0; i < heads * count; i++)
        for (int64_t j = 0; j < dim; j += LANES)
            store_input(d->kind, s->input, places[i] + j, load_floats(sums + i * dim + j));
}

/* Not inlined: its arithmetic must not leave the lines between which subnormal numbers are 0. */
static __attribute__((noinline)) void attend_pieces(const struct decoder *d, const struct step *s,
                                                    struct team *team, int64_t phase,
                                                    const struct cache *cache, int64_t stride,
                                                    int64_t member) {
    int64_t room = (s->longest + PADDING - 1) / PADDING * PADDING, seen = 0;
    int64_t group = d->heads / d->kv_heads, mine = take(team, phase);
    int64_t most = s->rows * d->kv_heads / team->size; /* or few rows would leave threads idle */
    float *scores = s->scores + member * TILE_ROWS * room;
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t pairs = (s->offsets[row + 1] - s->offsets[row]) * group;
        int in_tiles = cache->numbers == AS_TILES && pairs > FEW_QUERIES;
        int64_t height = in_tiles ? TILE_ROWS : MOST_QUERIES;
        int64_t heads = in_tiles ? 1 : heads_of_tile(pairs, d->kv_heads, most);
        int64_t across = d->kv_heads / heads, pieces = (pairs + height - 1) / height * across;
        for (; mine < seen + pieces; mine = take(team, phase)) {
            int64_t first = (mine - seen) / across * height;
            int64_t count = pairs - first < height ? pairs - first : height;
            attend_tile(d, s, cache, row, (mine - seen) % across * heads, heads, first, count,
                        in_tiles, pieces == across, stride, room, scores);
            finish(team, phase);
        }
        seen += pieces;
    }
    await(team, phase, seen);
}

static void attend_all(const struct decoder *d, const struct step *s, struct team *team,
                       int64_t phase, const struct cache *cache, int64_t stride, int64_t member) {
#ifdef __AMX_BF16__
    if (cache->numbers == AS_TILES) {
        unsigned control = subnormals_are_0();
        shape_tiles_of_attention();
        attend_pieces(d, s, team, phase, cache, stride, member);
        shape_tiles();
        _mm_setcsr(control);
        return;
    }
#endif
    attend_pieces(d, s, team, phase, cache, stride, member);
}

/* After the last attention only what becomes logits goes on. Places ascend, so rows move down. */
static void keep_wanted(const struct decoder *d, const struct step *s, struct team *team,
                        int64_t phase) {
    int64_t bytes = d->layers->out.inputs * input_bytes(d->kind);
    if (take(team, phase) == 0) {
        for (int64_t n = 0; n < s->wanted; n++) {
            memmove(s->x + n * d->width, s->x + s->places[n] * d->width, d->width * sizeof(float));
            memmove(s->input + n * bytes, s->input + s->places[n] * bytes, bytes);
        }
        finish(team, phase);
    }
    await(team, phase, 1);
}

/* A tile takes 32 numbers of a key. */
static enum numbers numbers_of(const struct decoder *d) {
    if (!d->cached_bfloats) return AS_FLOATS;
    if (!bfloat_inputs(d->kind)) return AS_WIDENED;
    return d->kind == BFLOAT_TILES && d->dim % TILE_INPUTS == 0 ? AS_TILES : AS_PAIRS;
}

static void run(const struct decoder *d, const struct step *s, struct team *team, int64_t member) {
    int64_t phase = 0, rows = s->tokens;
#ifdef __AMX_BF16__
    if (d->kind == BFLOAT_TILES) shape_tiles();
#endif
    embed(d, s, team, phase++);
    for (int64_t l = 0; l < d->num_layers; l++) {
        const struct layer *layer = d->layers + l;
        struct cache cache = {layer->keys, layer->values, s->block_size, d->kv_heads, d->dim,
                              numbers_of(d)};
        int64_t stride = num_panels(&layer->qkv) * PANEL;
        struct target to_wide = {s->wide, NULL, stride}, to_added = {s->added, NULL, d->width};
        struct target to_inner = {NULL, s->inner, d->inner};
        norms(d, s, team, phase++, rows, layer->input_norm, l == 0);
        multiply(d->kind, team, phase++, &layer->qkv, s->input, rows, to_wide);
        rotate_and_store(d, s, team, phase++, layer, &cache, stride);
        attend_all(d, s, team, phase++, &cache, stride, member);
        if (l == d->num_layers - 1) {
            keep_wanted(d, s, team, phase++);
            rows = s->wanted;
        }
        multiply(d->kind, team, phase++, &layer->out, s->input, rows, to_added);
        norms(d, s, team, phase++, rows, layer->output_norm, 0);
        multiply(d->kind, team, phase++, &layer->gate_up, s->input, rows, to_inner);
        multiply(d->kind, team, phase++, &layer->down, s->inner, rows, to_added);
    }
    norms(d, s, team, phase++, rows, d->norm, 0);
    struct target to_logits = {s->logits, NULL, d->head.outputs};
    multiply(d->kind, team, phase, &d->head, s->input, rows, to_logits);
#ifdef __AMX_BF16__
    if (d->kind == BFLOAT_TILES) _tile_release();
#endif
}

/* Runs a step; `logits` is filled, keys and values are stored. */
void decode(const struct decoder *decoder, const struct step *step) {
    _Atomic int64_t *counters = (_Atomic int64_t *)step->counters;
#pragma omp parallel num_threads((int)step->threads)
    {
        /* Each its own, of as many as the system gives: nobody waits here for the others, who may come
         * late where something else has their core. */
        int64_t member = omp_get_thread_num();
        struct team team = {omp_get_num_threads(), counters, counters + step->phases,
                            step->rooms + member * step->room_size};
        run(decoder, step, &team, member);
    }
}

/* Whether this was compiled for a processor that multiplies bfloats: 2 if it does so in tiles, and the
 * system lets this process have them. */
int64_t multiplies_bfloats(void) {
#ifdef __AMX_BF16__
    if (may_use_tiles()) return 2;
#endif
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}
