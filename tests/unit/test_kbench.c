/* test_kbench.c - the benchmark of the convolutions runs, reports what there is, and fails cleanly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/kbench.h"
#include "kernels/float/fconv.h"
#include "kernels/integer/iconv.h"

static const nb_geom small = {.h = 4,
                              .w = 4,
                              .c = 3,
                              .oh = 2,
                              .ow = 2,
                              .oc = 3,
                              .kh = 3,
                              .kw = 3,
                              .stride = {1, 1},
                              .dilation = {1, 1},
                              .groups = 1};

static void every_listed_shape_is_a_valid_geometry(void **state)
{
    (void)state;
    for (const nb_kbench_shape *c = nb_kbench_shapes; c->name; c++) {
        size_t bytes;
        assert_true(nb_fconv_plan_bytes(&c->geom, NB_FCONV_FAST, &bytes));
        assert_true(nb_iconv_supports(&c->geom));
    }
}

static void every_pass_is_timed_and_described(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_kbench_result r[NB_KBENCH_PASSES];
    assert_int_equal(nb_kbench_conv(ctx, &small, 1, r), NB_OK);
    for (int i = 0; i < NB_KBENCH_PASSES; i++) {
        assert_true(r[i].seconds > 0);
        assert_true(r[i].macs == 2 * 2 * 3 * 3 * 3 * 3);
        assert_non_null(r[i].method);
    }
    const double x = 48, w = 81, y = 12; /* values */
    assert_true(r[NB_KBENCH_FORWARD].bytes == 4 * (x + w + y));
    assert_true(r[NB_KBENCH_INPUT_GRAD_INT16].bytes == 4 * y + w + 4 * x);
    assert_true(r[NB_KBENCH_WEIGHT_GRAD_INT16].bytes == 4 * y + x + 4 * w);
    assert_true(r[NB_KBENCH_W8A8].bytes == x + w + y);
    nb_ctx_destroy(ctx);
}

static void passes_without_kernels_take_no_time(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_geom depthwise = small;
    depthwise.groups = 3;
    nb_kbench_result r[NB_KBENCH_PASSES];
    assert_int_equal(nb_kbench_conv(ctx, &depthwise, 1, r), NB_OK);
    for (int i = 0; i < NB_KBENCH_PASSES; i++)
        assert_int_equal(r[i].seconds > 0, i != NB_KBENCH_INPUT_GRAD_INT16 && i != NB_KBENCH_WEIGHT_GRAD_INT16);
    assert_string_equal(r[NB_KBENCH_W8A8].method, "depthwise");
    nb_ctx_destroy(ctx);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_kbench_result r[NB_KBENCH_PASSES];
    int n = 1;
    for (;; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        nb_status st = nb_kbench_conv(ctx, &small, 1, r);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
    }
    /* both plans, panels, scratch, slot, x, w, y, codes; plan, panels, scratch of int16; scratch, requant, output, two packed
     */
    assert_int_equal(n, 18);
    nb_ctx_destroy(ctx);
}

static void a_geometry_that_is_too_large_is_refused_with_a_sentence(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_geom g = nb_kbench_shapes[0].geom;
    nb_kbench_result r[NB_KBENCH_PASSES];
    g.c = INT32_MAX;
    assert_int_equal(nb_kbench_conv(ctx, &g, 1, r), NB_E_UNSUPPORTED);
    assert_string_equal(nb_ctx_error(ctx), "benchmark: a convolution of 28x28x2147483647 is too large");
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_listed_shape_is_a_valid_geometry),
        cmocka_unit_test(every_pass_is_timed_and_described),
        cmocka_unit_test(passes_without_kernels_take_no_time),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
        cmocka_unit_test(a_geometry_that_is_too_large_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
