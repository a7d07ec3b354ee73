/* test_allocate.c - bits under a budget against all choices there are. */
#include "analysis/allocate.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 400, MOST_CLASSES = 6, MOST_OPTIONS = 5, BUDGETS = 9 };

typedef struct {
    nb_alloc_option option[MOST_CLASSES][MOST_OPTIONS];
    nb_alloc_class c[MOST_CLASSES];
    int32_t n;
} problem;

static int64_t cost_of(const problem *p, const int32_t *pick)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < p->n; k++) {
        const int32_t by = p->c[k].by;
        sum += p->option[k][pick[k]].cost * (by < 0 ? 1 : p->option[by][pick[by]].bits);
    }
    return sum;
}

static double loss_of(const problem *p, const int32_t *pick)
{
    double sum = 0;
    for (int32_t k = 0; k < p->n; k++)
        sum += p->option[k][pick[k]].loss;
    return sum;
}

/* The next of all choices; false after the last. */
static bool count_on(const problem *p, int32_t *pick)
{
    for (int32_t k = 0; k < p->n; k++) {
        if (++pick[k] < p->c[k].n)
            return true;
        pick[k] = 0;
    }
    return false;
}

/* Losses as measured ones are: about a quarter for a bit more, noisy, at times worse with more bits. */
static void make(problem *p, uint64_t seed)
{
    static const int32_t bits[MOST_OPTIONS] = {2, 3, 4, 6, 8};
    nb_rng r = nb_rng_make(seed, 0);
    p->n = 1 + (int32_t)nb_rng_below(&r, MOST_CLASSES);
    for (int32_t k = 0; k < p->n; k++) {
        const int64_t unit = 1 + nb_rng_below(&r, 40);
        p->c[k] = (nb_alloc_class){p->option[k], 1 + (int32_t)nb_rng_below(&r, MOST_OPTIONS), -1};
        for (int32_t j = 0; j < p->c[k].n; j++)
            p->option[k][j] = (nb_alloc_option){.bits = bits[j],
                                                .cost = unit * bits[j] + nb_rng_below(&r, 5) - 20,
                                                .loss = pow(4, -bits[j]) * (double)(1 + nb_rng_below(&r, 1000))};
        if (k > 0 && seed % 2 && nb_rng_below(&r, 2)) { /* costs that another's bits multiply */
            const int32_t by = (int32_t)nb_rng_below(&r, (uint32_t)k);
            p->c[k].by = p->c[by].by < 0 ? by : -1;
        }
    }
}

static void check(nb_ctx *ctx, const problem *p, int64_t budget)
{
    int32_t pick[MOST_CLASSES] = {0}, got[MOST_CLASSES] = {0};
    int64_t least = INT64_MAX, cheapest = INT64_MAX;
    double best = INFINITY;
    nb_allocation a;
    do {
        const int64_t cost = cost_of(p, pick);
        const double loss = loss_of(p, pick);
        least = cost < least ? cost : least;
        if (cost > budget || loss > best + 1e-12)
            continue;
        cheapest = loss < best - 1e-12 || cost < cheapest ? cost : cheapest;
        best = loss;
    } while (count_on(p, pick));
    assert_int_equal(nb_allocate(ctx, p->c, p->n, budget, &a, got), NB_OK);
    assert_int_equal(a.least, least);
    assert_int_equal(a.fits, least <= budget);
    if (!a.fits)
        return;
    assert_float_equal(a.loss, best, 1e-12);
    assert_int_equal(a.cost, cheapest);
    assert_int_equal(a.cost, cost_of(p, got));
    assert_float_equal(a.loss, loss_of(p, got), 1e-12);
}

static void it_is_the_best_of_all_choices(void **state)
{
    nb_ctx *ctx = nb_ctx_create();
    (void)state;
    assert_non_null(ctx);
    for (uint64_t seed = 0; seed < CASES; seed++) {
        problem p;
        int32_t most[MOST_CLASSES];
        make(&p, seed);
        for (int32_t k = 0; k < p.n; k++)
            most[k] = p.c[k].n - 1;
        const int64_t all = cost_of(&p, most);
        for (int32_t i = 0; i < BUDGETS; i++)
            check(ctx, &p, -60 + (all + 60) * i / (BUDGETS - 2));
    }
    nb_ctx_destroy(ctx);
}

/* Where bounds do nothing: equal slopes everywhere, thousands of choices that are as good. */
static void equal_classes_are_no_trouble(void **state)
{
    enum { N = 60 };
    nb_alloc_option option[3] = {{2, 2, 6}, {4, 4, 4}, {8, 8, 0}};
    nb_alloc_class c[N];
    int32_t pick[N];
    nb_allocation a;
    nb_ctx *ctx = nb_ctx_create();
    (void)state;
    assert_non_null(ctx);
    for (int32_t i = 0; i < N; i++)
        c[i] = (nb_alloc_class){option, 3, -1};
    assert_int_equal(nb_allocate(ctx, c, N, 241, &a, pick), NB_OK);
    assert_int_equal(a.cost, 240);
    assert_float_equal(a.loss, 6 * N - 120, 1e-9);
    nb_ctx_destroy(ctx);
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    problem p;
    make(&p, 7);
    nb_status st = NB_E_NOMEM;
    for (int64_t k = 1; st == NB_E_NOMEM; k++) {
        nb_ctx *ctx = nb_ctx_create();
        nb_allocation a;
        int32_t pick[MOST_CLASSES];
        assert_non_null(ctx);
        nb_ctx_fail_alloc_at(ctx, k);
        st = nb_allocate(ctx, p.c, p.n, INT64_MAX / 2, &a, pick);
        nb_ctx_destroy(ctx);
        assert_true(k < 10000 && (st == NB_OK || st == NB_E_NOMEM));
    }
}

static void what_all_together_lose_is_held_against_the_sum(void **state)
{
    char text[NB_ALLOC_OFF];
    (void)state;
    const nb_alloc_outcome as_predicted[] = {
        {.predicted = 0.1, .measured = 0.4, .images = 64},   /* 4 times: they do not add up exactly */
        {.predicted = 1e-5, .measured = 1e-3, .images = 64}, /* hardly an answer differs */
        {.predicted = 0.1, .measured = 4.0, .images = 15},   /* too few images to tell */
        {.predicted = 0.4, .measured = 0.1, .images = 64, .estimated = true}};
    for (size_t i = 0; i < sizeof as_predicted / sizeof *as_predicted; i++)
        assert_string_equal(nb_alloc_off(&as_predicted[i], text), "");
    nb_alloc_outcome o = {.predicted = 0.1, .measured = 0.66, .images = 16};
    assert_string_equal(nb_alloc_off(&o, text),
                        "that is 7 times the predicted divergence: errors of the quantizers add up to more than each "
                        "alone; give a larger budget, or train the network");
    o.estimated = true;
    assert_string_equal(nb_alloc_off(&o, text),
                        "that is 7 times the predicted divergence: the estimates do not hold here; choose by "
                        "--sensitivity measured, the default");
    o.predicted = 0;
    assert_non_null(strstr(nb_alloc_off(&o, text), "that is many times the predicted divergence: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_best_of_all_choices), cmocka_unit_test(equal_classes_are_no_trouble),
        cmocka_unit_test(without_memory_it_says_so), cmocka_unit_test(what_all_together_lose_is_held_against_the_sum)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
