/* test_kbench_sweep.c - the benchmark of the sweeps runs all of them, and fails cleanly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/kbench.h"

enum { MAX = 32 };

static void every_sweep_gets_a_positive_speed(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_kbench_speed speed[MAX] = {0};
    assert_int_equal(nb_kbench_run_sweeps(ctx, 1, speed), NB_OK);
    int n = 0;
    for (; nb_kbench_sweeps[n].name; n++) {
        assert_true(speed[n].memory > 0 && speed[n].cache > 0);
        assert_true(nb_kbench_sweeps[n].bytes > 0);
    }
    assert_true(n >= 1 && n < MAX);
    assert_true(speed[n].memory == 0);
    nb_ctx_destroy(ctx);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_kbench_speed speed[MAX];
    for (int n = 1; n <= 3; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        assert_int_equal(nb_kbench_run_sweeps(ctx, 1, speed), NB_E_NOMEM);
    }
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sweep_gets_a_positive_speed),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
