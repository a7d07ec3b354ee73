/* test_ranks.c - a process that nobody started beside others; tests/e2e/ranks.sh has several. */
#include "base/ranks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void forget_launchers(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK",
                                        "PMIX_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void who_starts_alone_is_rank_0_of_1(void **state)
{
    (void)state;
    forget_launchers();
    nb_ctx *ctx = nb_ctx_create();
    assert_false(nb_ranks_called());
    assert_int_equal(nb_ranks_start(ctx, NULL), NB_OK);
    assert_int_equal(nb_rank(), 0);
    assert_int_equal(nb_ranks(), 1);
    nb_ctx_destroy(ctx);
}

static void alone_pieces_stay_what_they_are(void **state)
{
    (void)state;
    int32_t value = 7;
    nb_ranks_share(&(nb_piece){&value, sizeof value, 0, 0}, 1);
    assert_int_equal(value, 7);
}

static void alone_the_end_is_ones_own(void **state)
{
    (void)state;
    int code = 2;
    bool abort = true;
    assert_int_equal(nb_ranks_end(&code, &abort), NB_END_SAY);
    assert_int_equal(code, 2);
    assert_false(abort);
    code = 0;
    assert_int_equal(nb_ranks_end(&code, &abort), NB_END_QUIET);
}

static void every_launcher_is_recognised_by_the_environment(void **state)
{
    (void)state;
    forget_launchers();
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    assert_false(nb_ranks_called());
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    setenv("OMPI_COMM_WORLD_RANK", "2", 1);
    assert_true(nb_ranks_called());
    assert_int_equal(nb_ranks_calling(), 2);
    forget_launchers();
    setenv("PMI_SIZE", "2", 1);
    setenv("PMI_RANK", "1", 1);
    assert_true(nb_ranks_called());
    assert_int_equal(nb_ranks_calling(), 1);
    forget_launchers();
    setenv("PMIX_RANK", "1", 1);
    assert_true(nb_ranks_called());
    forget_launchers();
}

static void a_runtime_has_a_name(void **state)
{
    (void)state;
    assert_true(strlen(nb_ranks_runtime()) > 0);
    assert_null(strpbrk(nb_ranks_runtime(), "\t\n"));
}

static void a_process_without_what_launchers_say_is_alone(void **state)
{
    (void)state;
    assert_true(nb_ranks_says_so("OMPI_COMM_WORLD_SIZE=2"));
    assert_true(nb_ranks_says_so("PMIX_RANK=0"));
    assert_false(nb_ranks_says_so("PMIX_RANKS=0"));
    assert_false(nb_ranks_says_so("PMI=1"));
    assert_false(nb_ranks_says_so(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_starts_alone_is_rank_0_of_1),
        cmocka_unit_test(alone_pieces_stay_what_they_are),
        cmocka_unit_test(alone_the_end_is_ones_own),
        cmocka_unit_test(a_process_without_what_launchers_say_is_alone),
        cmocka_unit_test(every_launcher_is_recognised_by_the_environment),
        cmocka_unit_test(a_runtime_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
