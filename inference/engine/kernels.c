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

/* Attention of one token for each row to all that its block table holds.
 * queries, out: (tokens, heads, dim), of which row r is token places[r]; keys, values: (blocks,
 * block_size, kv_heads, dim); tables: (rows, table_width); lengths: (rows) tokens in the cache.
 * scratch: (rows, heads, longest length) floats. */
void decode_attention(int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim,
                      int64_t block_size, int64_t table_width, int64_t longest, float scale,
                      const int64_t *places, const value *queries, const value *keys,
                      const value *values, const int64_t *tables, const int64_t *lengths,
                      float *scratch, value *out) {
    int64_t group = heads / kv_heads;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) \
    if (rows * longest * kv_heads * dim > 4 * SMALL)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t kv_head = 0; kv_head < kv_heads; kv_head++) {
            const int64_t *table = tables + row * table_width;
            int64_t length = lengths[row];
            for (int64_t g = 0; g < group; g++) {
                int64_t head = kv_head * group + g;
                int64_t place = (places[row] * heads + head) * dim;
                float query[MAX_HEAD], sum[MAX_HEAD];
                float *weights = scratch + (row * heads + head) * longest;
                for (int64_t i = 0; i < dim; i++) query[i] = load(queries[place + i]) * scale;
                float highest = -INFINITY;
                for (int64_t start = 0; start < length; start += block_size) {
                    const value *key =
                        keys + (table[start / block_size] * block_size * kv_heads + kv_head) * dim;
                    int64_t count = length - start < block_size ? length - start : block_size;
                    for (int64_t j = 0; j < count; j++, key += kv_heads * dim) {
                        float dot = 0;
                        for (int64_t i = 0; i < dim; i++) dot += query[i] * load(key[i]);
                        weights[start + j] = dot;
                    }
                }
                for (int64_t j = 0; j < length; j++)
                    highest = weights[j] > highest ? weights[j] : highest;
                float total = 0;
                for (int64_t j = 0; j < length; j++) {
                    weights[j] = exp_negative(weights[j] - highest);
                    total += weights[j];
                }
                for (int64_t i = 0; i < dim; i++) sum[i] = 0;
                for (int64_t start = 0; start < length; start += block_size) {
                    const value *from =
                        values +
                        (table[start / block_size] * block_size * kv_heads + kv_head) * dim;
                    int64_t count = length - start < block_size ? length - start : block_size;
                    for (int64_t j = 0; j < count; j++, from += kv_heads * dim)
                        for (int64_t i = 0; i < dim; i++) sum[i] += weights[start + j] * load(from[i]);
                }
                for (int64_t i = 0; i < dim; i++) out[place + i] = store(sum[i] / total);
            }
        }
    }
}
