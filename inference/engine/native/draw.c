/* One token for each row of logits: the likeliest, or one drawn.
 *
 * The probabilities are those of softmax(logits / temperature), and a row's token is the first at
 * which their cumulative sum exceeds its point. Sums run in blocks, in order, and over the blocks in
 * double, so a row's token depends on no other row.
 */

#include <math.h>

#include "numbers.h"

/* Numbers of a block, at least; there are no more than MOST_BLOCKS. */
#define BLOCK 256
#define MOST_BLOCKS 1024
/* Below this many numbers, one thread: another would have to be woken, and a core that is busy with
 * something else lets it begin late. */
#define SMALL 1000000

static inline vec lanes_of(const float *p, int64_t left, float rest) {
    if (left >= LANES) return load_floats(p);
    float part[LANES];
    for (int64_t i = 0; i < LANES; i++) part[i] = i < left ? p[i] : rest;
    return load_floats(part);
}

static float highest_of(const float *logits, int64_t count) {
    vec most = all_of(-__builtin_inff());
    for (int64_t i = 0; i < count; i += LANES) {
        vec v = lanes_of(logits + i, count - i, -__builtin_inff());
        most = choose((v > most) | (v != v), v, most);
    }
    return greatest_of(most);
}

static int64_t first_of(const float *logits, int64_t count, float value) {
    for (int64_t i = 0; i < count; i++)
        if (logits[i] == value) return i;
    return 0; /* NaN */
}

/* exp((logit - highest) / temperature) of some logits. */
static inline vec weights_of(const float *logits, int64_t left, float highest, float inverse) {
    vec above = lanes_of(logits, left, -__builtin_inff()) - highest;
    return exp_negative(above * inverse);
}

static int64_t draw_row(const float *logits, int64_t count, float highest, float temperature,
                        double point) {
    float inverse = 1.0f / temperature;
    int64_t size = BLOCK;
    while (size * MOST_BLOCKS < count) size *= 2;
    double ends[MOST_BLOCKS], total = 0; /* of the blocks: the sum up to there */
    for (int64_t start = 0; start < count; start += size) {
        struct row_sums sum = {0};
        for (int64_t i = start; i < start + size && i < count; i += PADDING)
#pragma GCC unroll 4
            for (int j = 0, p = 0; j < PADDING; j += LANES, p++)
                sum.part[p] += weights_of(logits + i + j, count - i - j, highest, inverse);
        ends[start / size] = total += sum_of(sum);
    }
    double target = point * total;
    int64_t block = 0, blocks = (count + size - 1) / size;
    while (block < blocks - 1 && ends[block] <= target) block++;
    double sum = block ? ends[block - 1] : 0;
    int64_t last = 0; /* the last one that is possible at all: rounding may leave the sum below */
    for (int64_t i = block * size; i < count; i += LANES) {
        float part[LANES];
        store_floats(part, weights_of(logits + i, count - i, highest, inverse));
        for (int64_t j = 0; j < LANES && i + j < count; j++) {
            sum += part[j];
            if (sum > target) return i + j;
            if (part[j] > 0) last = i + j;
        }
    }
    return last;
}

/* logits: (rows, count); temperatures, points: (rows), points in [0, 1). Temperature 0: the likeliest.
 * tokens, highest: (rows), what was drawn and the highest logit, which is NaN if one of them is. */
void draw(int64_t rows, int64_t count, const float *logits, const float *temperatures,
          const double *points, int64_t *tokens, float *highest, int64_t threads) {
#pragma omp parallel for num_threads((int)threads) if (rows * count > SMALL)
    for (int64_t row = 0; row < rows; row++) {
        const float *own = logits + row * count;
        highest[row] = highest_of(own, count);
        tokens[row] = temperatures[row] > 0
                          ? draw_row(own, count, highest[row], temperatures[row], points[row])
                          : first_of(own, count, highest[row]);
    }
}
