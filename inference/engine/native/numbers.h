/* Numbers and vectors of them.
 *
 * Vectors are GCC's own (`vector_size`), 16 floats wide: the compiler maps them to whatever the
 * processor has. A sum's order is written out everywhere, never left to the compiler, so a result
 * does not depend on what is computed beside it.
 */

#ifndef NUMBERS_H
#define NUMBERS_H

#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define LANES 16

#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bfloat;
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

/* The same at any address. */
typedef float vec_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words_at __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef uint16_t halves_at __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE float bfloat_to_float(bfloat v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

INLINE vec choose(ints mask, vec yes, vec no) {
    return (vec)(((ints)yes & mask) | ((ints)no & ~mask));
}

INLINE vec load_floats(const float *p) { return (vec)*(const vec_at *)p; }
INLINE void store_floats(float *p, vec v) { *(vec_at *)p = (vec_at)v; }

/* Rounds to nearest, ties to even; a NaN stays one. */
INLINE void store_bfloats(bfloat *p, vec v) {
#ifdef __AVX512BF16__
    *(halves_at *)p = (halves_at)_mm512_cvtneps_pbh((__m512)v);
#else
    words bits = (words)v;
    words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, quiet = (bits >> 16) | 0x40;
    words nan = (words)((bits & 0x7fffffff) > 0x7f800000);
    *(halves_at *)p = (halves_at)__builtin_convertvector((quiet & nan) | (rounded & ~nan), halves);
#endif
}

/* Of 16 pairs of bfloats, the first ones and the second ones. */
INLINE vec firsts(words pairs) { return (vec)(pairs << 16); }
INLINE vec seconds(words pairs) { return (vec)(pairs & 0xffff0000u); }

/* sum + first · first + second · second, for 16 pairs of bfloats and one pair that meets all of them. */
INLINE vec add_products(vec sum, words pairs, const bfloat *pair) {
#ifdef __AVX512BF16__
    uint32_t both;
    memcpy(&both, pair, sizeof both);
    __m512bh all = (__m512bh)_mm512_set1_epi32((int)both);
    return (vec)_mm512_dpbf16_ps((__m512)sum, all, (__m512bh)pairs);
#else
    sum += firsts(pairs) * bfloat_to_float(pair[0]);
    return sum + seconds(pairs) * bfloat_to_float(pair[1]);
#endif
}

INLINE float sum_of(vec v) {
    float part[8];
    for (int i = 0; i < 8; i++) part[i] = v[i] + v[i + 8];
    for (int i = 0; i < 4; i++) part[i] += part[i + 4];
    return (part[0] + part[2]) + (part[1] + part[3]);
}

INLINE float greatest_of(vec v) {
    float most = v[0];
    for (int i = 1; i < LANES; i++) most = v[i] > most || v[i] != v[i] ? v[i] : most;
    return most;
}

/* exp for |x| <= 87, relative error below 3e-7. Cody and Waite's reduction, then a polynomial that was
 * fitted to exp on |r| <= ln(2) / 2 (Remez), of relative error 1e-7. */
INLINE vec exp_of(vec x) {
    const float round = 12582912.0f; /* 1.5 · 2^23: adding it rounds to whole numbers */
    vec n = x * 1.44269504f + round;
    words power = (words)n << 23;
    n -= round;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = r * 0.00829765508f + 0.041915382f;
    p = p * r + 0.166675747f;
    p = p * r + 0.499988949f;
    p = p * r + 0.999999692f;
    p = p * r + 1.0f;
    return (vec)((words)p + power);
}

/* exp for x <= 0; 0 below -87. */
INLINE vec exp_negative(vec x) {
    ints tiny = x < -87.0f;
    return choose(tiny, (vec){0}, exp_of(choose(tiny, (vec){0}, x)));
}

/* At least -most, at most `most`. NaN becomes a number. */
INLINE vec clamp(vec x, float most) {
#ifdef __AVX512F__
    __m512 high = _mm512_max_ps((__m512)x, _mm512_set1_ps(-most));
    return (vec)_mm512_min_ps(high, _mm512_set1_ps(most));
#else
    vec high = choose(x > -most, x, (vec){0} - most);
    return choose(high < most, high, (vec){0} + most);
#endif
}

/* x · sigmoid(x) */
INLINE vec silu(vec x) { return x / (1.0f + exp_of(-clamp(x, 87.0f))); }

#endif
