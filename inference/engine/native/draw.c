/* One draw for each row of logits.
 *
 * The probabilities are those of softmax(logits / temperature), and a row's token is the first at
 * which their cumulative sum exceeds its point. Sums run in blocks, in order and in double, so a
 * row's token depends on no other row.
 */

#include <math.h>

#include "numbers.h"

#define BLOCK 256
/* Below this many numbers, waking a second thread takes longer than the work. */
#define SMALL 200000

static inline vec lanes_of(const float *p, int64_t left, float rest) {
    if (left >= LANES) return load_floats(p);
    float part[LANES];
    for (int64_t i = 0; i < LANES; i++) part[i] = i < left ? p[i] : rest;
    return load_floats(part);
}

static float highest_of(const float *logits, int64_t count) {
    vec most = (vec){0} - __builtin_inff();
    for (int64_t i = 0; i < count; i += LANES) {
        vec v = lanes_of(logits + i, count - i, -__builtin_inff());
        most = choose((v > most) | (v != v), v, most);
    }
    return greatest_of(most);
}

/* exp((logits - highest) / temperature) of one block into `weights`; their sum. */
static double weigh_block(const float *logits, int64_t left, float highest, float temperature,
                          float *weights) {
    double sum = 0;
    for (int64_t i = 0; i < BLOCK && i < left; i += LANES) {
        vec scaled = (lanes_of(logits + i, left - i, -__builtin_inff()) - highest) / temperature;
        store_floats(weights + i, exp_negative(scaled));
        sum += sum_of(load_floats(weights + i));
    }
    return sum;
}

static int64_t draw_row(const float *logits, int64_t count, float temperature, double point) {
    float weights[BLOCK], highest = highest_of(logits, count);
    double total = 0, sum = 0;
    for (int64_t i = 0; i < count; i += BLOCK)
        total += weigh_block(logits + i, count - i, highest, temperature, weights);
    for (int64_t i = 0; i < count; i += BLOCK) {
        double next = sum + weigh_block(logits + i, count - i, highest, temperature, weights);
        for (int64_t j = 0; next > point * total && j < BLOCK && i + j < count; j++) {
            sum += weights[j];
            if (sum > point * total) return i + j;
        }
        sum = next;
    }
    /* Rounding has left the sum just below: the last one that is possible at all. */
    int64_t last = count - 1;
    while (last > 0 && !((logits[last] - highest) / temperature >= -87.0f)) last--;
    return last;
}

/* logits: (rows, count); temperatures, points: (rows), points in [0, 1); tokens: (rows). */
void draw(int64_t rows, int64_t count, const float *logits, const float *temperatures,
          const double *points, int64_t *tokens, int64_t threads) {
#pragma omp parallel for num_threads((int)threads) if (rows * count > SMALL)
    for (int64_t row = 0; row < rows; row++)
        tokens[row] = draw_row(logits + row * count, count, temperatures[row], points[row]);
}
