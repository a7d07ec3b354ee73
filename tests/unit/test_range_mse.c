/* test_range_mse.c - the mse range: at least as good as every other ratio, keeps what holds everything, follows slowly. */
#include "ref/observed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 2000, STATES = 3 };

static const nb_range *mse(void)
{
    return nb_registry_find(nb_ranges, "mse");
}

/* Values with long tails: a sum of uniform numbers, cubed. */
static void fill(float *x, int32_t n, uint32_t seed, bool positive)
{
    for (int32_t i = 0; i < n; i++) {
        float sum = 0;
        for (int32_t k = 0; k < 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            sum += (float)(seed >> 8) / (1 << 24) - 0.5f;
        }
        x[i] = positive ? fabsf(sum * sum * sum) : sum * sum * sum;
    }
}

static float stored(const void *x, int64_t i)
{
    return ((const float *)x)[i];
}

static nb_grid grid; /* of the observation under way */

static nb_observation observation(const float *x, int32_t n, int32_t bits, bool weights)
{
    grid = nb_grid_make(bits, weights ? NB_SCHEME_SYMMETRIC : NB_SCHEME_ASYMMETRIC, weights);
    nb_observation o = {.values = {stored, x}, .n = n, .min = x[0], .max = x[0], .grid = &grid, .first = true};
    for (int32_t i = 1; i < n; i++) {
        o.min = fminf(o.min, x[i]);
        o.max = fmaxf(o.max, x[i]);
    }
    return o;
}

/* Error of the grid that fake-quant makes of a range: the contract's own, not the method's. */
static double error_of(const nb_observation *o, float lo, float hi)
{
    float scale;
    int32_t zero;
    nb_params_cover(o->grid, lo, hi, &scale, &zero);
    const float *x = o->values.arg;
    double sum = 0;
    for (int64_t i = 0; i < o->n; i++) {
        float code = rintf(x[i] / scale) + (float)zero;
        code = grid.level ? (float)nb_grid_nearest(&grid, x[i] / scale)
                          : fminf(fmaxf(code, (float)grid.lo), (float)grid.hi);
        sum += pow((double)(x[i] - scale * (code - (float)zero)), 2);
    }
    return sum;
}

static void no_other_ratio_is_better(void **state)
{
    (void)state;
    static float x[N];
    for (int32_t bits = 2; bits <= 8; bits++)
        for (int32_t kind = 0; kind < 3; kind++) { /* weights, relu outputs, anything */
            float s[STATES] = {0}, momentum = 0.05f, lo, hi;
            fill(x, N, (uint32_t)(bits * 3 + kind), kind == 1);
            nb_observation o = observation(x, N, bits, kind == 0);
            mse()->observe(&momentum, s, &o);
            lo = s[0], hi = s[1];
            const float most = kind ? o.max : fmaxf(-o.min, o.max), least = kind ? fminf(o.min, 0) : -most;
            for (int32_t k = 1; k <= 32; k++)
                assert_true(error_of(&o, lo, hi) <= 1.02 * error_of(&o, least * (float)k / 32, most * (float)k / 32));
            if (kind < 2 && bits >= 3 && bits <= 4) /* tails are cut off */
                assert_true(error_of(&o, lo, hi) < 0.8 * error_of(&o, least, most));
        }
}

static void no_other_ratio_is_better_on_levels(void **state)
{
    (void)state;
    static float x[N];
    int8_t level[256];
    for (int32_t bits = 2; bits <= 4; bits++)
        for (uint32_t seed = 0; seed < 4; seed++) {
            float s[STATES] = {0}, momentum = 0.05f;
            fill(x, N, seed, false);
            nb_observation o = observation(x, N, bits, true);
            grid = nb_grid_of(nb_registry_find(nb_formats, "log"), NULL, bits, NB_SCHEME_SYMMETRIC, true, level);
            mse()->observe(&momentum, s, &o);
            const float most = fmaxf(-o.min, o.max);
            for (int32_t k = 1; k <= 32; k++)
                assert_true(error_of(&o, s[0], s[1]) <=
                            1.001 * error_of(&o, -most * (float)k / 32, most * (float)k / 32));
        }
}

/* mine over the best of a dense grid: 200 ratios, and where both ends are apart 40 x 40 pairs of ends. */
static double over_dense(const nb_observation *o, const float *state)
{
    const float least = o->grid->weights ? -fmaxf(-o->min, o->max) : fminf(o->min, 0);
    const float most = o->grid->weights ? -least : fmaxf(o->max, 0);
    double best = INFINITY;
    for (int32_t k = 1; k <= 200; k++)
        best = fmin(best, error_of(o, least * (float)k / 200, most * (float)k / 200));
    for (int32_t low = 0; low <= 40 && !o->grid->weights && o->min < 0; low++)
        for (int32_t high = 1; high <= 40; high++)
            best = fmin(best, error_of(o, least * (float)low / 40, most * (float)high / 40));
    return error_of(o, state[0], state[1]) / best;
}

/* Gaussian, Laplace, heavy tails, relu, and a Gaussian beside 0. A calibration is within 3 % of the dense search wherever
 * both ends are chosen or there is one; a training step knows notches of one ratio. */
static void the_error_is_near_that_of_a_dense_search(void **state)
{
    (void)state;
    static float x[N];
    for (int32_t kind = 0; kind < 5; kind++)
        for (int32_t bits = 2; bits <= 8; bits += 1 + (bits >= 4)) {
            for (int32_t calibration = 0; calibration < 2; calibration++)
                for (int32_t weights = 0; weights < 2; weights++) {
                    float s[STATES] = {0}, momentum = 0.05f;
                    observed_fill(x, N, kind % 4, (uint64_t)(20 + kind));
                    for (int32_t i = 0; i < N && kind == 4; i++)
                        x[i] += 1;
                    nb_observation o = observation(x, N, bits, weights == 1);
                    o.calibration = calibration;
                    mse()->observe(&momentum, s, &o);
                    const double over = over_dense(&o, s);
                    assert_true(over < (calibration ? 1.03 : bits < 6 && (weights || kind == 3) ? 1.02 : 1.4));
                }
        }
}

static void values_that_lie_on_the_grid_keep_it(void **state)
{
    (void)state;
    float x[15], s[STATES] = {0}, momentum = 0.05f, lo, hi;
    for (int32_t i = 0; i < 15; i++)
        x[i] = (float)(i - 7);
    nb_observation o = observation(x, 15, 4, true);
    mse()->observe(&momentum, s, &o);
    lo = s[0], hi = s[1];
    assert_true(lo == -7 && hi == 7);
}

static void later_observations_move_one_notch_and_averages_move_by_the_momentum(void **state)
{
    (void)state;
    static float x[N];
    float s[STATES] = {0}, momentum = 0.25f, lo, hi, hi2;
    for (int32_t i = 0; i < N; i++)
        x[i] = (float)(i % 16);
    nb_observation o = observation(x, N, 4, false);
    mse()->observe(&momentum, s, &o);
    lo = s[0], hi = s[1];
    assert_true(lo == 0 && hi == 15);
    x[7] = 60; /* an outlier: the best ratio is far away, and reached notch by notch */
    o = observation(x, N, 4, false);
    o.first = false;
    mse()->observe(&momentum, s, &o);
    hi2 = s[1];
    assert_float_equal(hi2, 0.75f * 15 + 0.25f * 60 * 31 / 32, 0.01);
}

typedef struct { /* counts how often each index of each dimension is looked at */
    int32_t d[4], seen[4][64];
    int32_t looks;
} watched;

/* Called from several threads. */
static float watch(const void *arg, int64_t i)
{
    watched *w = *(watched *const *)arg;
    __atomic_fetch_add(&w->looks, 1, __ATOMIC_RELAXED);
    for (int32_t k = 4; k-- > 0; i /= w->d[k])
        __atomic_fetch_add(&w->seen[k][i % w->d[k]], 1, __ATOMIC_RELAXED);
    return (float)(i % 7);
}

static void observe_shape(watched *w, int32_t calibration)
{
    float s[STATES] = {0}, momentum = 0.05f;
    grid = nb_grid_make(4, NB_SCHEME_ASYMMETRIC, false);
    nb_observation o = {.values = {watch, &w},
                        .n = (int64_t)w->d[0] * w->d[1] * w->d[2] * w->d[3],
                        .max = 6,
                        .grid = &grid,
                        .first = true,
                        .calibration = calibration};
    mse()->observe(&momentum, s, &o);
}

/* Every n-th value of the first shape was of channel 0 alone. */
static void every_channel_row_column_and_image_has_its_share_of_the_sample(void **state)
{
    (void)state;
    static const int32_t shapes[][4] = {{64, 32, 32, 16}, {64, 32, 32, 3},  {60, 32, 32, 16}, {64, 16, 16, 32},
                                        {64, 8, 8, 64},   {64, 28, 28, 16}, {32, 28, 28, 1},  {48, 24, 20, 24},
                                        {64, 1, 1, 64},   {1, 3, 3, 64},    {63, 31, 33, 17}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int32_t calibration = 0; calibration < 2; calibration++) {
            watched w = {0};
            for (int32_t k = 0; k < 4; k++)
                w.d[k] = shapes[i][k];
            observe_shape(&w, calibration);
            /* a calibration passes twice: over notches, and between them; a fair sample is no larger one */
            assert_true(w.looks >= 1 && w.looks <= (calibration ? 2 * 65536 : 2048));
            for (int32_t k = 0; k < 4; k++)
                for (int32_t at = 0; at < w.d[k]; at++) {
                    const int32_t fair = w.looks / w.d[k];
                    assert_true(w.seen[k][at] >= fair / 3 && w.seen[k][at] <= 2 * fair + 1);
                }
        }
}

static void a_calibration_looks_at_more_values_than_a_training_step(void **state)
{
    (void)state;
    watched w[2] = {{.d = {64, 16, 16, 4}}, {.d = {64, 16, 16, 4}}};
    observe_shape(&w[0], 0);
    observe_shape(&w[1], 1);
    assert_int_equal(w[0].looks, 2048);
    assert_int_equal(w[1].looks, 2 * 65536); /* all there are, in two passes */
    for (int32_t at = 0; at < 64; at++)
        assert_int_equal(w[1].seen[0][at], 2 * 1024);
}

static void zeros_are_no_problem(void **state)
{
    (void)state;
    float x[9] = {0}, s[STATES] = {0}, momentum = 0.05f, lo, hi;
    nb_observation o = observation(x, 9, 4, true);
    mse()->observe(&momentum, s, &o);
    lo = s[0], hi = s[1];
    assert_true(lo == 0 && hi == 0 && s[STATES - 1] != 0 && mse()->sound(s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_ratio_is_better),
        cmocka_unit_test(no_other_ratio_is_better_on_levels),
        cmocka_unit_test(the_error_is_near_that_of_a_dense_search),
        cmocka_unit_test(values_that_lie_on_the_grid_keep_it),
        cmocka_unit_test(later_observations_move_one_notch_and_averages_move_by_the_momentum),
        cmocka_unit_test(every_channel_row_column_and_image_has_its_share_of_the_sample),
        cmocka_unit_test(a_calibration_looks_at_more_values_than_a_training_step),
        cmocka_unit_test(zeros_are_no_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
