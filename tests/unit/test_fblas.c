/* test_fblas.c - a BLAS is used only when its products are right, with one thread, and the host's setting comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/float/fblas.h"

enum { TRANSPOSED = 112 };

/* c = alpha * op(a) op(b) + beta * c with row-major matrices. */
static void right(const int order, const int form_a, const int form_b, const int m, const int n, const int k,
                  const float alpha, const float *a, const int lda, const float *b, const int ldb, const float beta,
                  float *c, const int ldc)
{
    assert_int_equal(order, 101);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = 0; l < k; l++)
                sum += a[form_a == TRANSPOSED ? l * lda + i : i * lda + l] *
                       b[form_b == TRANSPOSED ? j * ldb + l : l * ldb + j];
            c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
}

static void wrong_in_the_last_column(const int order, const int form_a, const int form_b, const int m, const int n,
                                     const int k, const float alpha, const float *a, const int lda, const float *b,
                                     const int ldb, const float beta, float *c, const int ldc)
{
    right(order, form_a, form_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (n > 60)
        c[n - 1] += 1;
}

static void wrong_when_small_and_transposed(const int order, const int form_a, const int form_b, const int m,
                                            const int n, const int k, const float alpha, const float *a, const int lda,
                                            const float *b, const int ldb, const float beta, float *c, const int ldc)
{
    right(order, form_a, form_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (m < 60 && form_a == TRANSPOSED)
        c[0] = 0.5f;
}

static void forgets_beta(const int order, const int form_a, const int form_b, const int m, const int n, const int k,
                         const float alpha, const float *a, const int lda, const float *b, const int ldb,
                         const float beta, float *c, const int ldc)
{
    (void)beta;
    right(order, form_a, form_b, m, n, k, alpha, a, lda, b, ldb, 0, c, ldc);
}

static void known_products_tell_a_right_blas_from_a_wrong_one(void **state)
{
    (void)state;
    assert_true(nb_fblas_is_right(right));
    assert_false(nb_fblas_is_right(wrong_in_the_last_column));
    assert_false(nb_fblas_is_right(wrong_when_small_and_transposed));
    assert_false(nb_fblas_is_right(forgets_beta));
}

static void it_says_what_it_is(void **state)
{
    (void)state;
    const int32_t width = nb_fblas_width();
#ifdef NB_BLAS
    assert_non_null(strstr(nb_fblas_name(), "OpenBLAS"));
    assert_true(width > 0 ? !nb_fblas_complaint() : strstr(nb_fblas_complaint(), "wrong products") != NULL);
#else
    assert_string_equal(nb_fblas_name(), "none");
    assert_int_equal(width, 0);
    assert_null(nb_fblas_complaint());
#endif
}

#ifdef NB_BLAS

extern int openblas_get_num_threads(void);
extern void openblas_set_num_threads(int n);

static void the_hosts_number_of_threads_comes_back_after_the_last_loop(void **state)
{
    (void)state;
    openblas_set_num_threads(2);
    const int host = openblas_get_num_threads(); /* 1 in a BLAS without threads */
    nb_fblas_begin();
    assert_int_equal(openblas_get_num_threads(), 1);
    nb_fblas_begin();
    nb_fblas_end();
    assert_int_equal(openblas_get_num_threads(), 1);
    nb_fblas_end();
    assert_int_equal(openblas_get_num_threads(), host);
}

enum { CHUNKS = 200, M = 70, N = 90, K = 130 };

static float a[M * K], b[N * K], c[CHUNKS][M * N];

static void multiply(void *arg, int64_t chunk, int32_t thread)
{
    (void)arg;
    (void)thread;
    nb_fblas_product(M, N, K, 1.0f, (nb_fblas_matrix){a, NB_FBLAS_AS_IS, K},
                     (nb_fblas_matrix){b, NB_FBLAS_TRANSPOSED, K}, 0.0f, c[chunk], N);
}

/* Some builds of OpenBLAS may not be called from several threads. */
static void products_at_once_are_those_one_after_the_other(void **state)
{
    (void)state;
    if (nb_fblas_width() == 0)
        skip();
    for (int32_t i = 0; i < M * K; i++)
        a[i] = (float)(i % 11) / 7.0f;
    for (int32_t i = 0; i < N * K; i++)
        b[i] = (float)(i % 23) / 9.0f;
    nb_set_threads(8);
    nb_fblas_begin();
    nb_parallel_for(CHUNKS, multiply, NULL);
    nb_fblas_end();
    for (int32_t i = 1; i < CHUNKS; i++)
        assert_memory_equal(c[i], c[0], sizeof c[0]);
}

#endif

static void kernels_of_every_processor_are_replaced_by_the_widest_there_are(void **state)
{
    static const char *const known[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake"};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_null(nb_fblas_core_for(known[i], NB_CPU_AVX2 | NB_CPU_AVX512));
    assert_string_equal(nb_fblas_core_for("Prescott", NB_CPU_AVX2 | NB_CPU_AVX512 | NB_CPU_VNNI), "SkylakeX");
    assert_string_equal(nb_fblas_core_for("Prescott", NB_CPU_AVX2), "Haswell");
    assert_string_equal(nb_fblas_core_for("Sandybridge", NB_CPU_AVX2), "Haswell");
    assert_null(nb_fblas_core_for("Prescott", 0));
    assert_null(nb_fblas_core_for("armv8", NB_CPU_NEON));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_products_tell_a_right_blas_from_a_wrong_one),
        cmocka_unit_test(it_says_what_it_is),
        cmocka_unit_test(kernels_of_every_processor_are_replaced_by_the_widest_there_are),
#ifdef NB_BLAS
        cmocka_unit_test(the_hosts_number_of_threads_comes_back_after_the_last_loop),
        cmocka_unit_test(products_at_once_are_those_one_after_the_other),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
