/* Numbers and vectors of them.
 *
 * Vectors are GCC's own (`vector_size`), as wide as the processor's registers: GCC would keep wider ones
 * in memory. A sum's order is written out everywhere, and whether a product is rounded before it is added
 * (`add_product`); neither is left to the compiler, so a result does not depend on what is computed beside
 * it, nor on the width.
 */

#ifndef NUMBERS_H
#define NUMBERS_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define PADDING 16 /* numbers: rows are padded to a multiple, and no vector is wider */
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bfloat;
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef int16_t shorts __attribute__((vector_size(2 * LANES)));

/* The same at any address. */
typedef float vec_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words_at __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef uint16_t halves_at __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef int16_t shorts_at __attribute__((vector_size(2 * LANES), aligned(1), may_alias));

INLINE float bfloat_to_float(bfloat v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

INLINE vec choose(ints mask, vec yes, vec no) {
    return (vec)(((ints)yes & mask) | ((ints)no & ~mask));
}

INLINE vec all_of(float v) { return v - (vec){0}; }

/* sum + a · b, rounded once where the processor can do that. */
INLINE vec add_product(vec sum, vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__FMA__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b);
#else
    return sum + a * b;
#endif
}

/* The same of one number. */
INLINE float add_one_product(float sum, float a, float b) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, sum);
#else
    return sum + a * b;
#endif
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

/* Of pairs of bfloats, the first ones and the second ones. */
INLINE vec firsts(words pairs) { return (vec)(pairs << 16); }
INLINE vec seconds(words pairs) { return (vec)(pairs & 0xffff0000u); }

/* Of pairs of int8 numbers the first ones and the second ones: all of them are bfloats, too. */
INLINE ints load_byte_pairs(const int8_t *p) {
    return __builtin_convertvector((shorts)*(const shorts_at *)p, ints);
}
INLINE vec first_bytes(ints pairs) { return __builtin_convertvector(pairs << 24 >> 24, vec); }
INLINE vec second_bytes(ints pairs) { return __builtin_convertvector(pairs >> 8, vec); }

/* Pairs of int8 numbers as pairs of bfloats. */
INLINE words widened(const int8_t *p) {
#ifdef __AVX512BF16__
    __m512 lower = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
    __m512 upper = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(p + 16))));
    return (words)_mm512_cvtne2ps_pbh(upper, lower);
#else
    ints pairs = load_byte_pairs(p);
    return (words)first_bytes(pairs) >> 16 | (words)second_bytes(pairs);
#endif
}

/* sum + first · first + second · second, for pairs of bfloats and one pair that meets all of them. */
INLINE vec add_products(vec sum, words pairs, const bfloat *pair) {
#ifdef __AVX512BF16__
    uint32_t both;
    memcpy(&both, pair, sizeof both);
    __m512bh all = (__m512bh)_mm512_set1_epi32((int)both);
    return (vec)_mm512_dpbf16_ps((__m512)sum, all, (__m512bh)pairs);
#else
    sum = add_product(sum, firsts(pairs), all_of(bfloat_to_float(pair[0])));
    return add_product(sum, seconds(pairs), all_of(bfloat_to_float(pair[1])));
#endif
}

/* Sums of every 16th number of a row: what is added to what must not depend on a vector's width. */
struct row_sums {
    vec part[PADDING / LANES];
};

INLINE float sum_of(struct row_sums sums) {
    float all[PADDING];
#pragma GCC unroll 4
    for (int i = 0; i < PADDING / LANES; i++) store_floats(all + i * LANES, sums.part[i]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) all[i] += all[i + 8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) all[i] += all[i + 4];
    return (all[0] + all[2]) + (all[1] + all[3]);
}

INLINE float greatest_of(vec v) {
    float most = v[0];
    for (int i = 1; i < LANES; i++) most = v[i] > most || v[i] != v[i] ? v[i] : most;
    return most;
}

/* exp for |x| <= 87, relative error below 3e-7. Cody and Waite's reduction, then a polynomial that was
 * fitted to exp on |r| <= ln(2) / 2 (Remez), of relative error 1e-7. */
INLINE vec exp_of(vec x) {
    const vec round = all_of(12582912.0f); /* 1.5 · 2^23: adding it rounds to whole numbers */
    vec n = add_product(round, x, all_of(1.44269504f));
    words power = (words)n << 23;
    n -= round;
    vec r = add_product(x, n, all_of(-0.693359375f));
    r = add_product(r, n, all_of(2.12194440e-4f));
    vec p = add_product(all_of(0.041915382f), r, all_of(0.00829765508f));
    p = add_product(all_of(0.166675747f), p, r);
    p = add_product(all_of(0.499988949f), p, r);
    p = add_product(all_of(0.999999692f), p, r);
    p = add_product(all_of(1.0f), p, r);
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
    vec high = choose(x > -most, x, all_of(-most));
    return choose(high < most, high, all_of(most));
#endif
}

/* x · sigmoid(x) */
INLINE vec silu(vec x) { return x / (1.0f + exp_of(-clamp(x, 87.0f))); }

#endif
