/* test_cpu.c - levels, masking by NB_CPU (in child processes, because the answer is kept), and the name. */
#include "base/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint32_t features_under(const char *level)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (level)
            setenv("NB_CPU", level, 1);
        else
            unsetenv("NB_CPU");
        _exit((int)nb_cpu_features() & 0x7f);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (uint32_t)WEXITSTATUS(status);
}

static void each_level_keeps_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    static const char *const levels[] = {"scalar", "avx2", "avx512", "avxvnni", "vnni", "amx", "neon", "dotprod"};
    uint32_t all = features_under(NULL);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        uint32_t bits = 1;
        assert_true(nb_cpu_level(levels[i], &bits));
        assert_int_equal(features_under(levels[i]), all & bits);
    }
    assert_int_equal(features_under("scalar"), 0);
}

/* The names of the levels that count with these features. */
static const char *counting(uint32_t have)
{
    static char text[128];
    *text = '\0';
    for (int32_t i = 0; nb_cpu_level_name(i); i++)
        if (nb_cpu_level_counts(i, have)) {
            strcat(text, *text ? " " : "");
            strcat(text, nb_cpu_level_name(i));
        }
    return text;
}

static void levels_that_would_choose_the_same_kernels_count_once(void **state)
{
    (void)state;
    const uint32_t skylake = NB_CPU_AVX2 | NB_CPU_AVX512, cascadelake = skylake | NB_CPU_VNNI;
    assert_string_equal(counting(0), "scalar");
    assert_string_equal(counting(NB_CPU_AVX2), "scalar avx2");
    assert_string_equal(counting(NB_CPU_AVX2 | NB_CPU_AVXVNNI), "scalar avx2 avxvnni");
    assert_string_equal(counting(skylake), "scalar avx2 avx512");
    assert_string_equal(counting(cascadelake), "scalar avx2 avx512 vnni");
    assert_string_equal(counting(cascadelake | NB_CPU_AVXVNNI), "scalar avx2 avx512 avxvnni vnni");
    assert_string_equal(counting(cascadelake | NB_CPU_AVXVNNI | NB_CPU_AMX), "scalar avx2 avx512 avxvnni vnni amx");
    assert_string_equal(counting(NB_CPU_NEON | NB_CPU_DOTPROD), "scalar neon dotprod");
    assert_false(nb_cpu_level_counts(-1, cascadelake));
    assert_false(nb_cpu_level_counts(99, cascadelake));
}

static void an_unknown_level_is_refused_by_name_and_ignored_in_the_environment(void **state)
{
    (void)state;
    uint32_t bits = 77;
    assert_false(nb_cpu_level("sse9", &bits));
    assert_false(nb_cpu_level("", &bits));
    assert_int_equal(bits, 77);
    assert_int_equal(features_under("sse9"), features_under(NULL));
}

static void detection_agrees_with_the_compiler_run_time(void **state)
{
    (void)state;
    uint32_t f = features_under(NULL);
#if defined(__x86_64__)
    assert_int_equal(!!(f & NB_CPU_AVX2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(!!(f & NB_CPU_AVX512), __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                                __builtin_cpu_supports("avx512dq") &&
                                                __builtin_cpu_supports("avx512vl"));
    assert_false(f & (NB_CPU_NEON | NB_CPU_DOTPROD));
#elif defined(__aarch64__)
    assert_true(f & NB_CPU_NEON);
    assert_false(f & (NB_CPU_AVX2 | NB_CPU_AVX512));
#endif
    assert_true(!(f & NB_CPU_VNNI) || (f & NB_CPU_AVX512));
    assert_true(!(f & NB_CPU_AMX) || (f & NB_CPU_VNNI));
}

static void the_name_says_scalar_exactly_when_there_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(strcmp(nb_cpu_name(), "scalar") == 0, nb_cpu_features() == 0);
}

static void a_limit_takes_bits_away_until_it_is_lifted(void **state)
{
    (void)state;
    const uint32_t all = nb_cpu_features();
    nb_cpu_limit(0);
    assert_int_equal(nb_cpu_features(), 0);
    assert_string_equal(nb_cpu_name(), "scalar");
    nb_cpu_limit(NB_CPU_AVX2 | NB_CPU_NEON);
    assert_int_equal(nb_cpu_features(), all & (NB_CPU_AVX2 | NB_CPU_NEON));
    nb_cpu_limit(UINT32_MAX);
    assert_int_equal(nb_cpu_features(), all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_keeps_what_it_names_and_nothing_else),
        cmocka_unit_test(levels_that_would_choose_the_same_kernels_count_once),
        cmocka_unit_test(an_unknown_level_is_refused_by_name_and_ignored_in_the_environment),
        cmocka_unit_test(detection_agrees_with_the_compiler_run_time),
        cmocka_unit_test(the_name_says_scalar_exactly_when_there_is_nothing),
        cmocka_unit_test(a_limit_takes_bits_away_until_it_is_lifted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
