/* What a decoder does between its matrix products, for CPUs.
 *
 * PyTorch does the matrix products. Everything between them is a few hundred numbers per token,
 * where calling a dozen operators costs more than the arithmetic, so each step between two products
 * is one function here. Sums are in float32 whatever the numbers are stored as.
 *
 * Compiled twice by kernels.py: for float32, and with -DBFLOAT16. Shapes are in the comments; all
 * arrays are contiguous. A row's result never depends on the other rows of a call.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BFLOAT16
typedef uint16_t value;

static inline float load(value v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; a NaN stays one. */
static inline value store(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    return (value)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}
#else
typedef float value;
static inline float load(value v) { return v; }
static inline value store(float f) { return f; }
#endif

/* Below this many numbers, waking a second thread takes longer than the work. */
#define SMALL 32768

#define MAX_HEAD 256

/* exp for x <= 0, relative error below 2e-7; a form that compilers vectorise (libm's is a call).
 * Cody and Waite's reduction, then the Taylor series around 0 on |r| <= ln(2) / 2. */
static inline float exp_negative(float x) {
    float clipped = x < -87.0f ? -87.0f : x;
    float n = __builtin_rintf(clipped * 1.44269504f);
    float r = clipped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    float result = p * scale;
    return x < -87.0f ? 0.0f : result;
}

static inline float mean_square(const float *x, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum / n;
}

/* x += added (when there is something to add), then out = weight * x / rms(x).
 * x, added, out: (rows, width); weight: (width). */
void add_rms_norm(int64_t rows, int64_t width, value *x, const value *added, const value *weight,
                  float epsilon, value *out) {
#pragma omp parallel for if (rows * width > SMALL)
    for (int64_t row = 0; row < rows; row++) {
        value *xs = x + row * width, *outs = out + row * width;
        float sum = 0;
        if (added) {
            const value *addeds = added + row * width;
            for (int64_t i = 0; i < width; i++) xs[i] = store(load(xs[i]) + load(addeds[i]));
        }
        for (int64_t i = 0; i < width; i++) sum += load(xs[i]) * load(xs[i]);
        float scale = 1.0f / sqrtf(sum / width + epsilon);
        for (int64_t i = 0; i < width; i++) outs[i] = store(load(xs[i]) * scale * load(weight[i]));
    }
}

/* out = silu(gate) * up. both: (rows, 2 * width), gate first; out: (rows, width). */
void silu_product(int64_t rows, int64_t width, const value *both, value *out) {
#pragma omp parallel for if (rows * width > SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const value *gate = both + row * 2 * width, *up = gate + width;
        value *outs = out + row * width;
        for (int64_t i = 0; i < width; i++) {
            float g = load(gate[i]);
            float e = exp_negative(g > 0 ? -g : g);
            float sigmoid = (g > 0 ? 1.0f : e) / (1.0f + e);
            outs[i] = store(g * sigmoid * load(up[i]));
        }
    }
}

/* One head's vector: from `from` to floats, normalised if there is a weight, and rotated. */
static inline void rotated(const value *from, int64_t dim, int64_t half, const float *cosines,
                           const float *sines, const value *norm, float epsilon, float *to) {
    for (int64_t i = 0; i < dim; i++) to[i] = load(from[i]);
    if (norm) {
        float scale = 1.0f / sqrtf(mean_square(to, dim) + epsilon);
        for (int64_t i = 0; i < dim; i++) to[i] = to[i] * scale * load(norm[i]);
    }
    for (int64_t i = 0; i < half; i++) {
        float a = to[i], b = to[i + half];
        to[i] = a * cosines[i] - b * sines[i];
        to[i + half] = b * cosines[i] + a * sines[i];
    }
}

/* Splits qkv (tokens, (heads + 2 * kv_heads) * dim), normalises and rotates queries and keys, and
 * puts keys and values into their slots of the cache (slots, kv_heads, dim).
 * cosines, sines: (positions, half), half of the rotated part of a head; norms: (dim) or null.
 * queries: (tokens, heads, dim). */
void rotate_and_store(int64_t tokens, int64_t heads, int64_t kv_heads, int64_t dim, int64_t half,
                      const value *qkv, const float *cosines, const float *sines,
                      const int64_t *positions, const int64_t *slots, const value *query_norm,
                      const value *key_norm, float epsilon, value *queries, value *keys,
                      value *values) {
#pragma omp parallel for if (tokens * (heads + 2 * kv_heads) * dim > SMALL)
    for (int64_t t = 0; t < tokens; t++) {
        float head[MAX_HEAD];
        const value *from = qkv + t * (heads + 2 * kv_heads) * dim;
        const float *c = cosines + positions[t] * half, *s = sines + positions[t] * half;
        for (int64_t h = 0; h < heads; h++, from += dim) {
            value *to = queries + (t * heads + h) * dim;
            rotated(from, dim, half, c, s, query_norm, epsilon, head);
            for (int64_t i = 0; i < dim; i++) to[i] = store(head[i]);
        }
        for (int64_t h = 0; h < kv_heads; h++, from += dim) {
            value *to = keys + (slots[t] * kv_heads + h) * dim;
            rotated(from, dim, half, c, s, key_norm, epsilon, head);
            for (int64_t i = 0; i < dim; i++) to[i] = store(head[i]);
        }
        memcpy(values + slots[t] * kv_heads * dim, from, kv_heads * dim * sizeof(value));
    }
}

/* The scores of `count` keys, one stride apart. */
static inline __attribute__((always_inline)) void score(const float *query, const value *keys,
                                                        int64_t count, int64_t stride, int64_t dim,
                                                        float *scores) {
    for (int64_t j = 0; j < count; j++, keys += stride) {
        float dot = 0;
        for (int64_t i = 0; i < dim; i++) dot += query[i] * load(keys[i]);
        scores[j] = dot;
    }
}

/* sum += weights · values, one stride apart. */
static inline __attribute__((always_inline)) void add_weighted(const float *weights,
                                                               const value *values, int64_t count,
                                                               int64_t stride, int64_t dim,
                                                               float *sum) {
    float part[MAX_HEAD];
    for (int64_t i = 0; i < dim; i++) part[i] = sum[i];
    for (int64_t j = 0; j < count; j++, values += stride)
        for (int64_t i = 0; i < dim; i++) part[i] += weights[j] * load(values[i]);
    for (int64_t i = 0; i < dim; i++) sum[i] = part[i];
}

/* The usual dims as constants, so that the sums above stay in registers. */
#define FOR_DIM(dim, call)         \
    switch (dim) {                 \
        case 64: {                 \
            const int64_t DIM = 64; \
            call;                  \
        } break;                   \
        case 128: {                \
            const int64_t DIM = 128; \
            call;                  \
        } break;                   \
        default: {                 \
            const int64_t DIM = dim; \
            call;                  \
        }                          \
    }

/* Weights of exp(score - highest) in place; their sum. */
static inline float exponentials(float *scores, int64_t length) {
    float highest = -INFINITY, total = 0;
    for (int64_t j = 0; j < length; j++) highest = scores[j] > highest ? scores[j] : highest;
    for (int64_t j = 0; j < length; j++) {
        scores[j] = exp_negative(scores[j] - highest);
        total += scores[j];
    }
    return total;
}

/* Attention of one token for each row to all that its block table holds.
 * queries, out: (tokens, heads, dim), of which row r is token places[r]; keys, values: (blocks,
 * block_size, kv_heads, dim); tables: (rows, table_width); lengths: (rows) tokens in the cache.
 * scratch: (rows, heads, longest + 2 * dim) floats.
 * A part is some key-value heads of a row. Its blocks are read from start to end, all its heads of a
 * block together, because the cache is larger than the processor's. */
void decode_attention(int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim,
                      int64_t block_size, int64_t table_width, int64_t longest, float scale,
                      const int64_t *places, const value *queries, const value *keys,
                      const value *values, const int64_t *tables, const int64_t *lengths,
                      float *scratch, value *out) {
    int64_t group = heads / kv_heads, stride = kv_heads * dim, room = longest + 2 * dim;
    int64_t parts = rows == 1 && kv_heads % 2 == 0 ? 2 : 1;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) if (rows * longest * heads * dim > 4 * SMALL)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t part = 0; part < parts; part++) {
            const int64_t *table = tables + row * table_width;
            int64_t length = lengths[row], blocks = (length + block_size - 1) / block_size;
            int64_t first = heads / parts * part, last = heads / parts * (part + 1);
            int64_t place = places[row] * heads * dim;
            float *own = scratch + row * heads * room;
            for (int64_t h = first; h < last; h++) {
                float *query = own + h * room + longest, *sum = query + dim;
                for (int64_t i = 0; i < dim; i++) {
                    query[i] = load(queries[place + h * dim + i]) * scale;
                    sum[i] = 0;
                }
            }
            for (int64_t b = 0; b < blocks; b++) {
                const value *block = keys + table[b] * block_size * stride;
                int64_t start = b * block_size;
                int64_t count = length - start < block_size ? length - start : block_size;
                for (int64_t h = first; h < last; h++) {
                    float *scores = own + h * room;
                    FOR_DIM(dim, score(scores + longest, block + h / group * DIM, count, stride,
                                       DIM, scores + start))
                }
            }
            for (int64_t h = first; h < last; h++) {
                float total = exponentials(own + h * room, length);
                for (int64_t j = 0; j < length; j++) own[h * room + j] /= total;
            }
            for (int64_t b = 0; b < blocks; b++) {
                const value *block = values + table[b] * block_size * stride;
                int64_t start = b * block_size;
                int64_t count = length - start < block_size ? length - start : block_size;
                for (int64_t h = first; h < last; h++) {
                    float *weights = own + h * room;
                    FOR_DIM(dim, add_weighted(weights + start, block + h / group * DIM, count,
                                              stride, DIM, weights + longest + DIM))
                }
            }
            for (int64_t h = first; h < last; h++) {
                const float *sum = own + h * room + longest + dim;
                for (int64_t i = 0; i < dim; i++) out[place + h * dim + i] = store(sum[i]);
            }
        }
    }
}
