/* test_fbench.c - the benchmark of the float convolution runs, reports positive speeds, and fails cleanly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fbench.h"
#include "kernels/fconv.h"

static void every_listed_case_is_a_valid_geometry(void **state)
{
    (void)state;
    for (const nb_fbench_case *c = nb_fbench_cases; c->name; c++) {
        size_t bytes;
        assert_true(nb_fconv_plan_bytes(&c->geom, &bytes));
    }
}

static void all_passes_get_a_positive_speed(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    double gflops[NB_FBENCH_PASSES] = {0};
    assert_int_equal(nb_fbench_run(ctx, &nb_fbench_cases[0].geom, 1, gflops), NB_OK);
    for (int i = 0; i < NB_FBENCH_PASSES; i++)
        assert_true(gflops[i] > 0);
    nb_ctx_destroy(ctx);
}

static void passes_without_kernels_get_zero(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    const nb_geom depthwise = {
        .h = 4, .w = 4, .c = 3, .oh = 2, .ow = 2, .oc = 3, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .groups = 3};
    double gflops[NB_FBENCH_PASSES] = {0};
    assert_int_equal(nb_fbench_run(ctx, &depthwise, 1, gflops), NB_OK);
    for (int i = 0; i < NB_FBENCH_PASSES; i++)
        assert_int_equal(gflops[i] > 0, i < NB_FBENCH_INPUT_GRAD_INT16);
    nb_ctx_destroy(ctx);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    double gflops[NB_FBENCH_PASSES];
    int n = 1;
    for (;; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        nb_status st = nb_fbench_run(ctx, &nb_fbench_cases[0].geom, 1, gflops);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
    }
    assert_int_equal(n, 12); /* plan, panels, scratch, slot, x, w, y; plan, panels, scratch of int16, codes */
    nb_ctx_destroy(ctx);
}

static void a_geometry_that_is_too_large_is_refused_with_a_sentence(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_geom g = nb_fbench_cases[0].geom;
    double gflops[NB_FBENCH_PASSES];
    g.c = INT32_MAX;
    assert_int_equal(nb_fbench_run(ctx, &g, 1, gflops), NB_E_UNSUPPORTED);
    assert_string_equal(nb_ctx_error(ctx), "benchmark: a convolution of 28x28x2147483647 is too large");
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_listed_case_is_a_valid_geometry),
        cmocka_unit_test(all_passes_get_a_positive_speed),
        cmocka_unit_test(passes_without_kernels_get_zero),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
        cmocka_unit_test(a_geometry_that_is_too_large_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
