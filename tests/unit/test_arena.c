/* test_arena.c - alignment, zeroing, sizes around a block, overflow, and failure at every allocation. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

static void pieces_are_aligned_zeroed_and_do_not_overlap(void **state)
{
    nb_arena *a = NULL;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    enum { N = 300 };
    uint8_t *piece[N];
    for (int i = 0; i < N; i++) { /* sizes below, at and above a block of 64 KiB */
        size_t bytes = i % 50 == 49 ? 65536u - 200 + (size_t)i : (size_t)i * 7;
        piece[i] = nb_arena_alloc(a, bytes);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 64, 0);
        for (size_t k = 0; k < bytes; k++)
            assert_int_equal(piece[i][k], 0);
        memset(piece[i], i & 0xff, bytes);
    }
    for (int i = 1; i < N; i++) {
        size_t bytes = i % 50 == 49 ? 65536u - 200 + (size_t)i : (size_t)i * 7;
        for (size_t k = 0; k < bytes; k++)
            assert_int_equal(piece[i][k], i & 0xff);
    }
    nb_arena_free(a);
}

static void zero_bytes_give_distinct_valid_pointers(void **state)
{
    nb_arena *a = NULL;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    void *p = nb_arena_alloc(a, 0), *q = nb_arena_alloc(a, 0);
    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    nb_arena_free(a);
}

static void a_product_that_overflows_is_an_error(void **state)
{
    nb_arena *a = NULL;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    assert_null(nb_arena_array(a, SIZE_MAX / 4, 8));
    assert_string_not_equal(nb_ctx_error(*state), "");
    assert_null(nb_arena_alloc(a, SIZE_MAX));
    assert_null(nb_arena_alloc(a, SIZE_MAX - 63));
    assert_non_null(nb_arena_array(a, 0, 8));
    assert_non_null(nb_arena_array(a, 8, 0));
    nb_arena_free(a);
}

static void text_is_copied_and_formatted(void **state)
{
    nb_arena *a = NULL;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    char word[] = "c1";
    char *copy = nb_arena_strdup(a, word);
    char *name = nb_arena_printf(a, "%s.%s[%d]", word, "weight", 12);
    word[0] = 'x';
    assert_string_equal(copy, "c1");
    assert_string_equal(name, "c1.weight[12]");
    nb_arena_free(a);
}

static void freeing_null_is_fine(void **state)
{
    (void)state;
    nb_arena_free(NULL);
}

/* Returns NB_OK when all allocations of a small life succeed. */
static nb_status small_life(nb_ctx *ctx)
{
    nb_arena *a = NULL;
    nb_status st = nb_arena_create(ctx, &a);
    if (st != NB_OK)
        return st;
    bool ok =
        nb_arena_alloc(a, 10) && nb_arena_array(a, 20000, 8) && nb_arena_strdup(a, "x") && nb_arena_printf(a, "%d", 1);
    nb_arena_free(a);
    return ok ? NB_OK : NB_E_NOMEM;
}

static void every_single_allocation_can_fail(void **state)
{
    for (int64_t n = 1; n <= 5; n++) {
        nb_ctx_fail_alloc_at(*state, n);
        assert_int_equal(small_life(*state), NB_E_NOMEM);
        assert_memory_equal(nb_ctx_error(*state), "out of memory: ", 15);
    }
    nb_ctx_fail_alloc_at(*state, 6);
    assert_int_equal(small_life(*state), NB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_are_aligned_zeroed_and_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(zero_bytes_give_distinct_valid_pointers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_product_that_overflows_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_copied_and_formatted, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_null_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
