/* A decoder of the Llama kind on a CPU: one step of all its layers in one call.
 *
 * Between a small model's matrix products, calling operators and waking threads takes longer than
 * the arithmetic. Here the threads stay together for the whole step and go from phase to phase
 * (team.h). What runs through the layers is in float32; what enters a product has the product's kind.
 * A token's result has the same bits whatever runs beside it.
 *
 * Rows of working memory are padded with zeros to a multiple of 16 numbers.
 */

#include <math.h>
#include <omp.h>

#include "attention.h"
#include "products.h"
#include "team.h"
#include "tiles.h"

/* Rows that a phase of products keeps in the processor's own cache. */
#define BLOCK_ROWS 96
/* Rows of a piece of what is done row by row. */
#define PIECE_ROWS 8

struct layer {
    const float *input_norm, *output_norm; /* (width) */
    const float *query_norm, *key_norm;    /* (dim) or null */
    struct product qkv, out, gate_up, down;
    void *keys, *values;
};

struct decoder {
    int64_t hidden, width; /* width: hidden, padded */
    int64_t heads, kv_heads, dim, half, inner; /* inner: numbers between gate_up and down, padded */
    int64_t num_layers, kind, bfloats;         /* of the embedding and the cache */
    float epsilon, scale;
    const float *cosines, *sines; /* (positions, half) */
    const void *embedding;        /* (vocabulary, hidden) */
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
    float *scores;                          /* (threads, MOST_QUERIES, longest rounded up) */
    int64_t *counters;                      /* (2, phases), zero */
    int64_t phases;
    int64_t threads;
};

static void store_input(enum kind kind, char *input, int64_t place, vec v) {
    if (bfloat_inputs(kind)) store_bfloats((bfloat *)input + place, v);
    else store_floats((float *)input + place, v);
}

/* x += added (if any); input = weight · x / rms(x). */
static void add_and_norm(enum kind kind, int64_t hidden, int64_t width, float *x,
                         const float *added, const float *weight, float epsilon, char *input) {
    vec squares = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        vec v = load_floats(x + i);
        if (added) {
            v += load_floats(added + i);
            store_floats(x + i, v);
        }
        squares += v * v;
    }
    float scale = 1.0f / sqrtf(sum_of(squares) / hidden + epsilon);
    for (int64_t i = 0; i < width; i += LANES)
        store_input(kind, input, i, load_floats(x + i) * scale * load_floats(weight + i));
}

static void norms(const struct decoder *d, const struct step *s, struct team *team, int64_t phase,
                  int64_t rows, const float *weight, int first) {
    int64_t pieces = (rows + PIECE_ROWS - 1) / PIECE_ROWS;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * PIECE_ROWS; t < rows && t < (piece + 1) * PIECE_ROWS; t++) {
            float *x = s->x + t * d->width;
            const float *added = first ? NULL : s->added + t * d->width;
            add_and_norm(d->kind, d->hidden, d->width, x, added, weight, d->epsilon,
                         s->input + t * d->width * input_bytes(d->kind));
        }
    await(team, phase, pieces);
}

static void embed(const struct decoder *d, const struct step *s, struct team *team,
                  int64_t phase) {
    int64_t pieces = (s->tokens + PIECE_ROWS - 1) / PIECE_ROWS;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * PIECE_ROWS; t < s->tokens && t < (piece + 1) * PIECE_ROWS; t++) {
            float *x = s->x + t * d->width;
            int64_t start = s->ids[t] * d->hidden;
            for (int64_t i = 0; i < d->hidden; i++)
                x[i] = d->bfloats ? bfloat_to_float(((const bfloat *)d->embedding)[start + i])
                                  : ((const float *)d->embedding)[start + i];
            for (int64_t i = d->hidden; i < d->width; i++) x[i] = 0;
        }
    await(team, phase, pieces);
}

/* Where a product's results go. */
struct target {
    float *out; /* (rows, stride); null: through silu into `inner` */
    int64_t stride;
    char *inner; /* of gate_up, whose panels are 16 gates and their 16 ups */
};

static void deliver(const struct decoder *d, const struct product *product, struct target target,
                    int64_t row, int64_t panel, vec first, vec second) {
    if (product->bias) {
        first += load_floats(product->bias + panel * PANEL);
        second += load_floats(product->bias + panel * PANEL + LANES);
    }
    if (!target.out) {
        int64_t place = row * d->inner + panel * LANES;
        store_input(d->kind, target.inner, place, silu(first) * second);
        return;
    }
    float *out = target.out + row * target.stride + panel * PANEL;
    int64_t left = target.stride - panel * PANEL;
    if (left >= PANEL) {
        store_floats(out, first);
        store_floats(out + LANES, second);
    } else { /* logits, whose rows are not padded */
        float both[PANEL];
        store_floats(both, first);
        store_floats(both + LANES, second);
        memcpy(out, both, left * sizeof(float));
    }
}

static void any_tile(enum kind kind, int rows, int panels, const char *x, int64_t stride,
                     const char *weights, const char *ahead, int64_t panel_size, int64_t inputs,
                     vec sums[LARGEST_TILE][2]) {
    if (kind == FLOATS)
        tile_floats(rows, panels, x, stride, weights, ahead, panel_size, inputs, sums);
    else if (kind == BFLOAT_WEIGHTS)
        tile_bfloat_weights(rows, panels, x, stride, weights, ahead, panel_size, inputs, sums);
#ifdef __AVX512BF16__
    else
        tile_bfloats(rows, panels, x, stride, weights, ahead, panel_size, inputs, sums);
#endif
}

#ifdef __AMX_BF16__
_Static_assert(BLOCK_ROWS % (2 * TILE_ROWS) == 0, "a block's tiles end where it ends");

/* The sums of up to 16 rows of a panel, which are in two of the tiles: the first two, or (`second`) the
 * others. Tiles stored where the sums belong would wait for that memory, and the next products with them. */
static void deliver_tiles(const struct decoder *d, const struct product *product,
                          struct target target, const int second, int64_t row, int64_t rows,
                          int64_t panel) {
    float sums[2 * TILE_ROWS * LANES] __attribute__((aligned(TILE_LINE)));
    store_tiles(second, sums);
    bfloat *inner = (bfloat *)target.inner + row * d->inner + panel * LANES;
    for (int64_t r = 0; r < rows && r < TILE_ROWS; r++, inner += d->inner) {
        vec left = load_floats(sums + r * LANES);
        vec right = load_floats(sums + (TILE_ROWS + r) * LANES);
        if (target.out || product->bias) deliver(d, product, target, row + r, panel, left, right);
        else store_bfloats(inner, silu(left) * right); /* as `deliver` does, but twice as fast */
    }
}

/* Few rows, without tiles. */
static void few_rows(const struct decoder *d, const struct product *product, const char *x,
                     struct target target, int64_t row, int64_t rows, int64_t panel,
                     int64_t panels) {
    int64_t stride = product->inputs * sizeof(bfloat), panel_size = stride * PANEL;
    int64_t width = panels % 2 ? 1 : 2;
    vec sums[FEW_SUMS][2];
    for (int64_t p = panel; p < panel + panels; p += width) {
        const char *weights = (const char *)product->weights + p * panel_size;
        few_tiles((int)rows, (int)width, x + row * stride, stride, weights, panel_size,
                  product->inputs, sums);
        for (int64_t i = 0; i < rows * width; i++)
            deliver(d, product, target, row + i / width, p + i % width, sums[i][0], sums[i][1]);
    }
}

/* Two tiles' worth of rows, or of panels, at a time. */
static void tiles_of_rows(const struct decoder *d, const struct product *product, const char *x,
                          struct target target, int64_t row, int64_t rows, int64_t panel,
                          int64_t panels, int64_t skip) {
    int64_t stride = product->inputs * sizeof(bfloat), panel_size = stride * PANEL, end = row + rows;
    const char *weights = (const char *)product->weights + panel * panel_size;
    int wide = rows <= TILE_ROWS; /* of few rows: two panels, if there are two */
    int64_t height = wide ? TILE_ROWS : 2 * TILE_ROWS, width = wide ? 2 : 1;
    for (int64_t p = 0; p < panels; p += width, weights += width * panel_size)
        for (int64_t from = row; from < end; from += height) {
            const char *ahead = from == row ? weights + skip * panel_size : NULL;
            const char *start = x + from * stride;
            int two = wide && p + 1 < panels;
            if (wide)
                four_tiles(0, start, stride, weights, two ? panel_size : 0, ahead, product->inputs);
            else four_tiles(1, start, stride, weights, 0, ahead, product->inputs);
            deliver_tiles(d, product, target, 0, from, end - from, panel + p);
            int64_t lower = from + TILE_ROWS;
            if (two) deliver_tiles(d, product, target, 1, from, end - from, panel + p + 1);
            else if (lower < end) deliver_tiles(d, product, target, 1, lower, end - lower, panel + p);
        }
}
#endif

/* Some panels of a product for a block of rows; those `skip` further on will be wanted next. */
static void panels_of_rows(const struct decoder *d, const struct product *product, const char *x,
                           struct target target, int64_t row, int64_t rows, int64_t panel,
                           int64_t panels, int64_t skip) {
#ifdef __AMX_BF16__
    if (d->kind == BFLOAT_TILES) {
        if (rows <= FEW_ROWS) few_rows(d, product, x, target, row, rows, panel, panels);
        else tiles_of_rows(d, product, x, target, row, rows, panel, panels, skip);
        return;
    }
#endif
    vec sums[LARGEST_TILE][2];
    int64_t stride = product->inputs * input_bytes(d->kind);
    int64_t panel_size = product->inputs * PANEL * weight_bytes(d->kind);
    int64_t most = MOST_SUMS / panels, tiles = (rows + most - 1) / most;
    const char *weights = (const char *)product->weights + panel * panel_size;
    for (int64_t i = 0; i < tiles; i++) { /* of equal height, more or less */
        int64_t from = row + rows * i / tiles, height = row + rows * (i + 1) / tiles - from;
        const char *ahead = weights; /* a single tile only reads on, which needs no help */
        if (tiles > 1) ahead += skip * panel_size + i % 2 * panel_size / 2;
        any_tile(d->kind, (int)height, (int)panels, x + from * stride, stride, weights, ahead,
                 panel_size, product->inputs, sums);
        for (int64_t r = 0; r < height; r++)
            for (int64_t p = 0; p < panels; p++)
                deliver(d, product, target, from + r, panel + p, sums[r * panels + p][0],
                        sums[r * panels + p][1]);
    }
}

/* Few rows take several panels at a time, or a sum would wait for the one before it. */
static int64_t panels_at_a_time(enum kind kind, int64_t rows, int64_t panels, int64_t threads) {
    int64_t count = 4, most = MOST_SUMS;
#ifdef __AMX_BF16__
    if (kind == BFLOAT_TILES) most = 2 * TILE_ROWS;
#endif
    while (count > 1 && (count * rows > most || panels < count * threads)) count /= 2;
    return count;
}

static void multiply(const struct decoder *d, struct team *team, int64_t phase,
                     const struct product *product, const char *x, int64_t rows,
                     struct target target) {
    int64_t panels = num_panels(product), most;
    most = panels_at_a_time(d->kind, rows, panels, team->size);
    int64_t across = (panels + most - 1) / most;
    int64_t pieces = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS * across;
    int64_t skip = most * team->size; /* as threads take pieces by turns */
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase)) {
        int64_t row = piece / across * BLOCK_ROWS, panel = piece % across * most;
        int64_t height = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
        for (int64_t end = panel + most < panels ? panel + most : panels; panel < end;) {
            int64_t left = end - panel, count = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            panels_of_rows(d, product, x, target, row, height, panel, count, skip);
            panel += count;
        }
    }
    await(team, phase, pieces);
}

/* One head's vector, normalised if there is a weight, and rotated (Su et al. 2021). */
static void rotate(float *head, int64_t dim, int64_t half, const float *cosines,
                   const float *sines, const float *norm, float epsilon) {
    if (norm) {
        vec squares = {0};
        for (int64_t i = 0; i < dim; i += LANES)
            squares += load_floats(head + i) * load_floats(head + i);
        float scale = 1.0f / sqrtf(sum_of(squares) / dim + epsilon);
        for (int64_t i = 0; i < dim; i++) head[i] = head[i] * scale * norm[i];
    }
    int64_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        vec a = load_floats(head + i), b = load_floats(head + i + half);
        vec cosine = load_floats(cosines + i), sine = load_floats(sines + i);
        store_floats(head + i, a * cosine - b * sine);
        store_floats(head + i + half, b * cosine + a * sine);
    }
    for (; i < half; i++) {
        float a = head[i], b = head[i + half];
        head[i] = a * cosines[i] - b * sines[i];
        head[i + half] = b * cosines[i] + a * sines[i];
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
    int64_t pieces = (s->tokens + PIECE_ROWS - 1) / PIECE_ROWS;
    for (int64_t piece; (piece = take(team, phase)) < pieces; finish(team, phase))
        for (int64_t t = piece * PIECE_ROWS; t < s->tokens && t < (piece + 1) * PIECE_ROWS; t++)
            rotate_token(d, s, layer, cache, stride, t);
    await(team, phase, pieces);
}

/* A tile of a row's queries for some key-value heads: pair i of a head is token i / group, head
 * i % group of the group. */
static void attend_tile(const struct decoder *d, const struct step *s, const struct cache *cache,
                        int64_t row, int64_t kv_head, int64_t heads, int64_t first, int64_t count,
                        int alone, int64_t stride, int64_t room, float *scores) {
    float queries[MOST_QUERIES * MOST_DIM], sums[MOST_QUERIES * MOST_DIM];
    int64_t lengths[MOST_QUERIES], places[MOST_QUERIES], dim = d->dim;
    int64_t group = d->heads / d->kv_heads, out = s->offsets[row];
    for (int64_t i = 0; i < heads * count; i++) {
        int64_t pair = first + i % count, token = pair / group;
        int64_t head = (kv_head + i / count) * group + pair % group;
        lengths[i % count] = s->starts[row] + token + 1;
        memcpy(queries + i * dim, s->wide + (out + token) * stride + head * dim,
               dim * sizeof(float));
        places[i] = (out + token) * d->layers->out.inputs + head * dim;
    }
    attend(cache, s->tables + row * s->table_width, kv_head, heads, count, lengths, queries, scores,
           room, alone, sums);
    for (int64_t i = 0; i < heads * count; i++)
        for (int64_t j = 0; j < dim; j += LANES)
            store_input(d->kind, s->input, places[i] + j, load_floats(sums + i * dim + j));
}

static void attend_all(const struct decoder *d, const struct step *s, struct team *team,
                       int64_t phase, const struct cache *cache, int64_t stride, int64_t member) {
    int64_t room = (s->longest + LANES - 1) / LANES * LANES, seen = 0;
    int64_t group = d->heads / d->kv_heads, mine = take(team, phase);
    int64_t most = s->rows * d->kv_heads / team->size; /* or few rows would leave threads idle */
    float *scores = s->scores + member * MOST_QUERIES * room;
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t pairs = (s->offsets[row + 1] - s->offsets[row]) * group;
        int64_t heads = heads_of_tile(pairs, d->kv_heads, most), across = d->kv_heads / heads;
        int64_t pieces = (pairs + MOST_QUERIES - 1) / MOST_QUERIES * across;
        for (; mine < seen + pieces; mine = take(team, phase)) {
            int64_t first = (mine - seen) / across * MOST_QUERIES;
            int64_t count = pairs - first < MOST_QUERIES ? pairs - first : MOST_QUERIES;
            attend_tile(d, s, cache, row, (mine - seen) % across * heads, heads, first, count,
                        pieces == across, stride, room, scores);
            finish(team, phase);
        }
        seen += pieces;
    }
    await(team, phase, seen);
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

static void run(const struct decoder *d, const struct step *s, struct team *team, int64_t member) {
    int64_t phase = 0, rows = s->tokens;
#ifdef __AMX_BF16__
    if (d->kind == BFLOAT_TILES) shape_tiles();
#endif
    embed(d, s, team, phase++);
    for (int64_t l = 0; l < d->num_layers; l++) {
        const struct layer *layer = d->layers + l;
        struct cache cache = {layer->keys, layer->values, s->block_size, d->kv_heads, d->dim,
                              (int)d->bfloats};
        int64_t stride = num_panels(&layer->qkv) * PANEL;
        struct target to_wide = {s->wide, stride, NULL}, to_added = {s->added, d->width, NULL};
        struct target to_inner = {NULL, 0, s->inner};
        norms(d, s, team, phase++, rows, layer->input_norm, l == 0);
        multiply(d, team, phase++, &layer->qkv, s->input, rows, to_wide);
        rotate_and_store(d, s, team, phase++, layer, &cache, stride);
        attend_all(d, s, team, phase++, &cache, stride, member);
        if (l == d->num_layers - 1) {
            keep_wanted(d, s, team, phase++);
            rows = s->wanted;
        }
        multiply(d, team, phase++, &layer->out, s->input, rows, to_added);
        norms(d, s, team, phase++, rows, layer->output_norm, 0);
        multiply(d, team, phase++, &layer->gate_up, s->input, rows, to_inner);
        multiply(d, team, phase++, &layer->down, s->inner, rows, to_added);
    }
    norms(d, s, team, phase++, rows, d->norm, 0);
    struct target to_logits = {s->logits, d->head.outputs, NULL};
    multiply(d, team, phase, &d->head, s->input, rows, to_logits);
#ifdef __AMX_BF16__
    if (d->kind == BFLOAT_TILES) _tile_release();
#endif
}

/* Runs a step; `logits` is filled, keys and values are stored. */
void decode(const struct decoder *decoder, const struct step *step) {
    _Atomic int64_t *counters = (_Atomic int64_t *)step->counters;
    struct team team = {step->threads, counters, counters + step->phases};
#pragma omp parallel num_threads((int)step->threads)
    {
#pragma omp single
        team.size = omp_get_num_threads(); /* the system may give fewer */
        run(decoder, step, &team, omp_get_thread_num());
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
