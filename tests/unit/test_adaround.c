/* test_adaround.c - learned rounding of one layer: against NumPy, against all roundings there are, and what always holds. */
#include "post/adaround.h"

#include "golden/adaround_golden.h"
#include "ref/one_thread.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const nb_adaround_keys usual = {
    .soft = {.iterations = 400, .lr = 0.1f, .lambda = 0.3f, .warmup = 0.2f}, .batch = 64, .refine = 4};

/* ---- layers ---- */

typedef struct {
    nb_adaround_problem p;
    float *x, *y, *mul, *add, *w, *step;
    int32_t *first, *last;
} layer;

static int64_t row_floats(const nb_adaround_problem *p)
{
    return (int64_t)p->groups * p->size;
}

/* The row's inputs of a group. */
static float *inputs(const layer *l, int32_t row, int32_t group)
{
    return l->x + nb_adaround_input(&l->p, row, group);
}

/* What a filter gives in a row with these weights, before the clamp. */
static double sum_of(const layer *l, int32_t row, int32_t filter, const double *w)
{
    const float *x = inputs(l, row, filter / (l->p.filters / l->p.groups));
    double sum = 0;
    for (int32_t i = 0; i < l->p.size; i++)
        sum += (double)x[i] * w[i];
    return (double)l->mul[filter] * sum + (double)l->add[filter];
}

static double clamped(const layer *l, double v)
{
    return fmin(fmax(v, (double)l->p.low), (double)l->p.high);
}

static void open_layer(layer *l, int32_t filters, int32_t size, int32_t groups, int32_t rows)
{
    const size_t f = (size_t)filters, n = (size_t)rows;
    *l = (layer){
        .p = {.filters = filters, .size = size, .groups = groups, .rows = rows, .low = -INFINITY, .high = INFINITY}};
    l->x = nb_alloc(ctx, n * (size_t)row_floats(&l->p) * sizeof(float));
    l->y = nb_alloc(ctx, n * f * sizeof(float));
    l->w = nb_alloc(ctx, f * (size_t)size * sizeof(float));
    l->mul = nb_alloc(ctx, f * sizeof(float));
    l->add = nb_alloc(ctx, f * sizeof(float));
    l->step = nb_alloc(ctx, f * sizeof(float));
    l->first = nb_alloc(ctx, f * sizeof(int32_t));
    l->last = nb_alloc(ctx, f * sizeof(int32_t));
    l->p.x = l->x;
    l->p.y = l->y;
    l->p.w = l->w;
    l->p.mul = l->mul;
    l->p.add = l->add;
    l->p.step = l->step;
    l->p.first = l->first;
    l->p.last = l->last;
}

static void close_layer(layer *l)
{
    void *const all[] = {l->x, l->y, l->w, l->mul, l->add, l->step, l->first, l->last};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(ctx, all[i]);
}

/* Inputs that have to do with each other, as neighbouring pixels do: where they do not, the nearest codes are the best. */
static void fill_layer(layer *l, uint64_t seed, float low, float high)
{
    const nb_adaround_problem *p = &l->p;
    nb_rng r = nb_rng_make(seed, 0);
    double w[64];
    l->p.low = low;
    l->p.high = high;
    for (int32_t c = 0; c < p->filters; c++) {
        l->step[c] = 0.1f + 0.1f * nb_rng_uniform(&r);
        l->mul[c] = nb_rng_uniform(&r) < 0.5f ? -1.0f : 2.0f;
        l->add[c] = 0.3f * nb_rng_normal(&r);
        l->first[c] = -7 + c % 3;
        l->last[c] = 7 - c % 2;
        for (int32_t i = 0; i < p->size; i++)
            l->w[c * p->size + i] = 0.4f * nb_rng_normal(&r);
    }
    for (int32_t k = 0; k < p->rows; k++) {
        for (int32_t g = 0; g < p->groups; g++) {
            const float common = nb_rng_normal(&r);
            for (int32_t i = 0; i < p->size; i++)
                inputs(l, k, g)[i] = common + 0.5f * nb_rng_normal(&r);
        }
        for (int32_t c = 0; c < p->filters; c++) {
            for (int32_t i = 0; i < p->size; i++)
                w[i] = (double)l->w[c * p->size + i];
            l->y[(int64_t)k * p->filters + c] = (float)clamped(l, sum_of(l, k, c, w));
        }
    }
}

static int32_t code_near(const layer *l, int32_t c, double units)
{
    return units < l->first[c] ? l->first[c] : units > l->last[c] ? l->last[c] : (int32_t)units;
}

static double units_of(const layer *l, int32_t c, int32_t i)
{
    return (double)l->w[c * l->p.size + i] / (double)l->step[c];
}

static double error_of(const layer *l, int32_t c, const int32_t *code)
{
    double w[64], error = 0;
    for (int32_t i = 0; i < l->p.size; i++)
        w[i] = (double)l->step[c] * code[i];
    for (int32_t k = 0; k < l->p.rows; k++) {
        const double d = clamped(l, sum_of(l, k, c, w)) - (double)l->y[(int64_t)k * l->p.filters + c];
        error += d * d;
    }
    return error;
}

static double nearest_error(const layer *l, int32_t c)
{
    int32_t code[64];
    for (int32_t i = 0; i < l->p.size; i++)
        code[i] = code_near(l, c, nearbyint(units_of(l, c, i)));
    return error_of(l, c, code);
}

static int32_t *solve(const layer *l, const nb_adaround_keys *k, nb_adaround_gain *gain)
{
    int32_t *code = nb_alloc(ctx, (size_t)l->p.filters * (size_t)l->p.size * sizeof *code);
    assert_non_null(code);
    assert_ok(nb_adaround_solve(ctx, &l->p, k, NULL, code, gain));
    return code;
}

/* ---- against others ---- */

static void it_learns_what_numpy_learns(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof golden_learned / sizeof *golden_learned; t++) {
        layer l;
        nb_adaround_gain gain;
        open_layer(&l, G_FILTERS, G_SIZE, 1, G_ROWS);
        memcpy(l.x, golden_x, sizeof golden_x);
        memcpy(l.w, golden_w, sizeof golden_w);
        memcpy(l.step, golden_step, sizeof golden_step);
        memcpy(l.mul, golden_mul, sizeof golden_mul);
        memcpy(l.add, golden_add, sizeof golden_add);
        l.p.low = golden_learned[t].cap > 0 ? 0.0f : -INFINITY;
        l.p.high = golden_learned[t].cap > 0 ? (float)golden_learned[t].cap : INFINITY;
        for (int32_t i = 0; i < G_ROWS * G_FILTERS; i++)
            l.y[i] = fminf(fmaxf(golden_y[i], l.p.low), l.p.high);
        for (int32_t c = 0; c < G_FILTERS; c++) {
            l.first[c] = G_FIRST;
            l.last[c] = G_LAST;
        }
        nb_adaround_keys k = usual;
        k.soft.iterations = golden_learned[t].iterations;
        k.batch = G_BATCH;
        k.refine = golden_learned[t].refine;
        int32_t *code = solve(&l, &k, &gain);
        assert_memory_equal(code, golden_learned[t].code, sizeof golden_learned[t].code);
        assert_true(fabs(gain.nearest / golden_learned[t].nearest - 1) < 1e-5);
        assert_true(fabs(gain.learned / golden_learned[t].learned - 1) < 1e-5);
        assert_int_equal(gain.flipped, golden_learned[t].flipped);
        nb_free(ctx, code);
        close_layer(&l);
    }
}

/* The smallest error of a filter over all 2^size ways to round its weights up or down. */
static double best_error(const layer *l, int32_t c)
{
    double best = INFINITY;
    for (uint32_t ups = 0; ups < 1u << l->p.size; ups++) {
        int32_t code[64];
        for (int32_t i = 0; i < l->p.size; i++)
            code[i] = code_near(l, c, floor(units_of(l, c, i)) + (ups >> i & 1));
        best = fmin(best, error_of(l, c, code));
    }
    return best;
}

static void it_comes_close_to_the_best_of_all_roundings(void **state)
{
    (void)state;
    static const float clamps[][2] = {{-INFINITY, INFINITY}, {0, INFINITY}, {0, 1.5f}};
    double nearest = 0, learned = 0, best = 0;
    for (int32_t t = 0; t < 6; t++) {
        layer l;
        nb_adaround_gain gain;
        open_layer(&l, 2, 9, 1, 128);
        fill_layer(&l, 10 + (uint64_t)t, clamps[t % 3][0], clamps[t % 3][1]);
        int32_t *code = solve(&l, &usual, &gain);
        for (int32_t c = 0; c < l.p.filters; c++) {
            const double here = error_of(&l, c, code + c * l.p.size), least = best_error(&l, c);
            assert_true(here <= nearest_error(&l, c) * (1 + 1e-6));
            assert_true(here >= least * (1 - 1e-6));
            nearest += nearest_error(&l, c);
            learned += here;
            best += least;
        }
        nb_free(ctx, code);
        close_layer(&l);
    }
    assert_true(best < 0.5 * nearest); /* there is something to learn */
    if (nearest - learned < 0.95 * (nearest - best))
        fail_msg("nearest %g, learned %g, best %g", nearest, learned, best);
}

/* ---- what always holds ---- */

static void codes_are_neighbours_of_their_weights_and_gains_are_true(void **state)
{
    (void)state;
    static const int32_t shapes[][3] = {
        {5, 12, 1}, {37, 9, 1}, {24, 9, 24}, {40, 6, 20}, {36, 8, 2}}; /* filters, size, groups */
    for (size_t t = 0; t < sizeof shapes / sizeof *shapes; t++) {
        layer l;
        nb_adaround_gain gain;
        double nearest = 0, learned = 0, wanted = 0, outside[2] = {0};
        int64_t flipped = 0;
        open_layer(&l, shapes[t][0], shapes[t][1], shapes[t][2], 128);
        fill_layer(&l, 77 + t, 0, 3);
        l.w[3] = 100;                                   /* far outside */
        l.w[4] = l.step[0] * ((float)l.last[0] + 0.2f); /* behind the last code */
        int32_t *code = solve(&l, &usual, &gain);
        for (int32_t c = 0; c < l.p.filters; c++) {
            for (int32_t i = 0; i < l.p.size; i++) {
                const int32_t q = code[c * l.p.size + i];
                const double u = units_of(&l, c, i);
                assert_true(q == code_near(&l, c, floor(u)) || q == code_near(&l, c, floor(u) + 1));
                flipped += q != code_near(&l, c, nearbyint(u));
            }
            nearest += nearest_error(&l, c);
            learned += error_of(&l, c, code + c * l.p.size);
            if (c == 0) {
                outside[0] = nearest;
                outside[1] = learned;
            }
        }
        for (int64_t i = 0; i < (int64_t)l.p.rows * l.p.filters; i++)
            wanted += (double)l.y[i] * (double)l.y[i];
        assert_int_equal(code[3], l.last[0]);
        assert_int_equal(code[4], l.last[0]);
        assert_true(fabs(gain.nearest / nearest - 1) < 1e-4);
        assert_true(fabs(gain.learned / learned - 1) < 1e-4);
        assert_true(fabs(gain.wanted / wanted - 1) < 1e-9);
        assert_int_equal(gain.flipped, flipped);
        assert_true(flipped > 0 && learned - outside[1] < 0.8 * (nearest - outside[0]));
        nb_free(ctx, code);
        close_layer(&l);
    }
}

static void weights_that_are_codes_already_stay(void **state)
{
    (void)state;
    layer l;
    nb_adaround_gain gain;
    open_layer(&l, 20, 9, 1, 128);
    fill_layer(&l, 5, -INFINITY, INFINITY);
    for (int32_t c = 0; c < l.p.filters; c++)
        for (int32_t i = 0; i < l.p.size; i++)
            l.w[c * l.p.size + i] = l.step[c] * (float)code_near(&l, c, nearbyint(units_of(&l, c, i)));
    for (int32_t k = 0; k < l.p.rows; k++)
        for (int32_t c = 0; c < l.p.filters; c++) {
            double w[64];
            for (int32_t i = 0; i < l.p.size; i++)
                w[i] = (double)l.w[c * l.p.size + i];
            l.y[(int64_t)k * l.p.filters + c] = (float)sum_of(&l, k, c, w);
        }
    int32_t *code = solve(&l, &usual, &gain);
    assert_int_equal(gain.flipped, 0);
    assert_true(gain.learned < 1e-9 * gain.wanted);
    nb_free(ctx, code);
    close_layer(&l);
}

static void any_number_of_threads_learns_the_same(void **state)
{
    (void)state;
    static const int32_t shapes[][3] = {{70, 12, 1}, {48, 9, 48}};
    for (size_t t = 0; t < sizeof shapes / sizeof *shapes; t++) {
        layer l;
        int32_t *first = NULL;
        const size_t bytes = (size_t)shapes[t][0] * (size_t)shapes[t][1] * sizeof *first;
        open_layer(&l, shapes[t][0], shapes[t][1], shapes[t][2], 96);
        fill_layer(&l, 31, 0, INFINITY);
        for (int32_t threads = 1; threads <= 4; threads *= 2) {
            nb_adaround_gain gain;
            nb_set_threads(threads);
            int32_t *code = solve(&l, &usual, &gain);
            if (first)
                assert_memory_equal(code, first, bytes);
            if (first)
                nb_free(ctx, code);
            else
                first = code;
        }
        nb_set_threads(1);
        nb_free(ctx, first);
        close_layer(&l);
    }
}

static void count_reports(void *ud, double share)
{
    double *last = ud;
    assert_true(share > *last && share <= 1);
    *last = share;
}

static void it_says_how_far_it_is(void **state)
{
    (void)state;
    layer l;
    nb_adaround_gain gain;
    double last = 0;
    int32_t code[2 * 4];
    open_layer(&l, 2, 4, 1, 32);
    fill_layer(&l, 3, 0, INFINITY);
    assert_ok(nb_adaround_solve(ctx, &l.p, &usual, &(nb_adaround_watch){count_reports, &last}, code, &gain));
    assert_true(last == 1);
    close_layer(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_what_numpy_learns),
        cmocka_unit_test(it_comes_close_to_the_best_of_all_roundings),
        cmocka_unit_test(codes_are_neighbours_of_their_weights_and_gains_are_true),
        cmocka_unit_test(weights_that_are_codes_already_stay),
        cmocka_unit_test(any_number_of_threads_learns_the_same),
        cmocka_unit_test(it_says_how_far_it_is),
    };
    return cmocka_run_group_tests_name("adaround", tests, setup, teardown);
}
