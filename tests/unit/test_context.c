/* test_context.c - the error sentence, the log sink, the allocator and its failure injection. */
#include "base/check.h"
#include <nibble/context.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static void there_is_no_sentence_before_the_first_failure(void **state)
{
    assert_string_equal(nb_ctx_error(*state), "");
}

static void a_failure_returns_its_status_and_keeps_its_sentence(void **state)
{
    nb_ctx *ctx = *state;
    assert_int_equal(nb_fail(ctx, NB_E_CONFIG, "%s:%d: %s", "x.yaml", 3, "bits: 9: must be in 2..8"), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(ctx), "x.yaml:3: bits: 9: must be in 2..8");
}

static void a_failure_may_quote_the_previous_sentence(void **state)
{
    nb_ctx *ctx = *state;
    nb_fail(ctx, NB_E_IO, "disk full");
    nb_fail(ctx, NB_E_IO, "saving: %s", nb_ctx_error(ctx));
    assert_string_equal(nb_ctx_error(ctx), "saving: disk full");
}

static void hostile_bytes_stay_on_one_line(void **state)
{
    nb_ctx *ctx = *state;
    nb_fail(ctx, NB_E_FORMAT, "name \"%s\"", "a\nb\x1b[31m\x7f");
    assert_string_equal(nb_ctx_error(ctx), "name \"a?b?[31m?\"");
}

static void a_long_sentence_is_cut_at_1023_bytes(void **state)
{
    nb_ctx *ctx = *state;
    char long_text[4000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    nb_fail(ctx, NB_E_IO, "%s", long_text);
    assert_int_equal(strlen(nb_ctx_error(ctx)), 1023);
}

static void keep_line(void *ud, const char *line)
{
    strcpy(ud, line);
}

static void log_lines_reach_the_sink_and_are_dropped_without_one(void **state)
{
    nb_ctx *ctx = *state;
    nb_log(ctx, "nobody listens");
    char line[100] = "";
    nb_ctx_set_log(ctx, keep_line, line);
    nb_log(ctx, "falling back to %d bits", 8);
    assert_string_equal(line, "falling back to 8 bits");
}

static void memory_is_zeroed_and_aligned_to_64_bytes(void **state)
{
    for (size_t bytes = 1; bytes < 3000; bytes = bytes * 3 + 1) {
        uint8_t *p = nb_alloc(*state, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
        nb_free(*state, p);
    }
}

static void zero_bytes_give_a_valid_pointer_and_null_can_be_freed(void **state)
{
    void *p = nb_alloc(*state, 0);
    assert_non_null(p);
    nb_free(*state, p);
    nb_free(*state, NULL);
}

static void an_impossible_size_is_an_error_with_a_sentence(void **state)
{
    assert_null(nb_alloc(*state, SIZE_MAX));
    assert_string_equal(nb_ctx_error(*state), "out of memory: 18446744073709551615 bytes");
}

static void only_the_nth_allocation_fails(void **state)
{
    nb_ctx *ctx = *state;
    nb_ctx_fail_alloc_at(ctx, 2);
    void *first = nb_alloc(ctx, 10), *second = nb_alloc(ctx, 10), *third = nb_alloc(ctx, 10);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_string_equal(nb_ctx_error(ctx), "out of memory: 10 bytes");
    nb_free(ctx, first);
    nb_free(ctx, third);
}

static void failure_injection_can_be_switched_off(void **state)
{
    nb_ctx_fail_alloc_at(*state, 1);
    nb_ctx_fail_alloc_at(*state, 0);
    void *p = nb_alloc(*state, 1);
    assert_non_null(p);
    nb_free(*state, p);
}

static void strdup_copies_and_fails_like_any_allocation(void **state)
{
    char *copy = nb_strdup(*state, "nibble");
    assert_string_equal(copy, "nibble");
    nb_free(*state, copy);
    nb_ctx_fail_alloc_at(*state, 1);
    assert_null(nb_strdup(*state, "nibble"));
}

static nb_status three_steps(nb_ctx *ctx, int *reached)
{
    *reached = 1;
    NB_TRY(NB_OK);
    *reached = 2;
    NB_TRY(nb_fail(ctx, NB_E_RANGE, "stop"));
    *reached = 3;
    return NB_OK;
}

static void try_forwards_the_first_failure(void **state)
{
    int reached;
    assert_int_equal(three_steps(*state, &reached), NB_E_RANGE);
    assert_int_equal(reached, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_is_no_sentence_before_the_first_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_returns_its_status_and_keeps_its_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_may_quote_the_previous_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_bytes_stay_on_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_sentence_is_cut_at_1023_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(log_lines_reach_the_sink_and_are_dropped_without_one, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_zeroed_and_aligned_to_64_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(zero_bytes_give_a_valid_pointer_and_null_can_be_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_impossible_size_is_an_error_with_a_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_nth_allocation_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_injection_can_be_switched_off, setup, teardown),
        cmocka_unit_test_setup_teardown(strdup_copies_and_fails_like_any_allocation, setup, teardown),
        cmocka_unit_test_setup_teardown(try_forwards_the_first_failure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
