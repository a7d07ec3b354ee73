/* test_fdispatch.c - the table of float kernels holds, for every kernel, the last listed variant this processor can run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/float/fdispatch.h"

static void every_kernel_is_the_best_listed_one_that_runs_here(void **state)
{
    (void)state;
    const uint32_t have = nb_cpu_features();
    nb_fdispatch best = {0};
#define X(kernel, features, function)                                                                                  \
    if ((have & (uint32_t)(features)) == (uint32_t)(features))                                                         \
        best.kernel = function;
#include "kernels/float/fdispatch.def"
#undef X
#define X(kernel, features, function)                                                                                  \
    assert_non_null(best.kernel);                                                                                      \
    assert_true(nb_fdispatch_get()->kernel == best.kernel);
#include "kernels/float/fdispatch.def"
#undef X
}

static void every_kernel_has_a_scalar_variant_listed_first(void **state)
{
    (void)state;
    nb_fdispatch first = {0};
#define X(kernel, features, function)                                                                                  \
    if (!first.kernel) {                                                                                               \
        assert_int_equal(features, 0);                                                                                 \
        first.kernel = function;                                                                                       \
    }
#include "kernels/float/fdispatch.def"
#undef X
    assert_true(first.dense_f32 == nb_k_dense_f32__scalar && first.quantize == nb_k_quantize__scalar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_is_the_best_listed_one_that_runs_here),
        cmocka_unit_test(every_kernel_has_a_scalar_variant_listed_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
