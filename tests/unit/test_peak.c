/* test_peak.c - the limits of the machine are measured, where vector units are known and allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "bench/peak.h"

static void units_that_are_there_have_a_peak(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_peaks p;
    assert_int_equal(nb_peaks_measure(ctx, 1, &p), NB_OK);
    assert_true(p.memory > 0);
    assert_true(p.cache > 0);
    for (int i = 0; i < NB_PEAK_UNITS; i++)
        assert_int_equal(p.macs[i] > 0, (nb_cpu_features() & NB_CPU_AVX2) != 0);
    nb_ctx_destroy(ctx);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_peaks p;
    nb_ctx_fail_alloc_at(ctx, 1);
    assert_int_equal(nb_peaks_measure(ctx, 1, &p), NB_E_NOMEM);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_that_are_there_have_a_peak),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
