/* test_memplan.c - plans small enough to check by hand, and random lifetimes against a brute-force overlap check. */
#include "base/memplan.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

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

static void no_usages_need_no_memory(void **state)
{
    size_t total = 1;
    assert_int_equal(nb_memplan(*state, NULL, 0, 64, &total), NB_OK);
    assert_int_equal(total, 0);
    assert_int_equal(nb_memplan_lower_bound(NULL, 0, 64), 0);
}

static void usages_that_follow_each_other_share_memory(void **state)
{
    nb_usage u[] = {{.first = 0, .last = 1, .bytes = 100},
                    {.first = 2, .last = 3, .bytes = 50},
                    {.first = 4, .last = 4, .bytes = 100}};
    size_t total = 0;
    assert_int_equal(nb_memplan(*state, u, 3, 64, &total), NB_OK);
    assert_int_equal(total, 128);
    for (int i = 0; i < 3; i++)
        assert_int_equal(u[i].offset, 0);
}

static void touching_lifetimes_do_not_share_because_ends_are_inclusive(void **state)
{
    nb_usage u[] = {{.first = 0, .last = 1, .bytes = 64}, {.first = 1, .last = 2, .bytes = 64}};
    size_t total = 0;
    assert_int_equal(nb_memplan(*state, u, 2, 64, &total), NB_OK);
    assert_int_equal(total, 128);
    assert_int_not_equal(u[0].offset, u[1].offset);
}

static void empty_usages_get_offset_zero_and_take_no_room(void **state)
{
    nb_usage u[] = {{.first = 0, .last = 9, .bytes = 64}, {.first = 0, .last = 9, .bytes = 0, .offset = 77}};
    size_t total = 0;
    assert_int_equal(nb_memplan(*state, u, 2, 64, &total), NB_OK);
    assert_int_equal(u[1].offset, 0);
    assert_int_equal(total, 64);
}

/* While the 4-slot usage lives, slots 4.. hold a 2-gap and a 1-gap; the late single slot belongs into the 1-gap. */
static void the_smallest_gap_that_fits_is_taken(void **state)
{
    enum { S = 64 };
    nb_usage u[] = {
        {.first = 0, .last = 9, .bytes = 9 * S}, {.first = 0, .last = 1, .bytes = 8 * S},
        {.first = 0, .last = 9, .bytes = 7 * S}, {.first = 0, .last = 1, .bytes = 6 * S},
        {.first = 0, .last = 9, .bytes = 5 * S}, {.first = 5, .last = 9, .bytes = 4 * S},
    };
    size_t total = 0;
    assert_int_equal(nb_memplan(*state, u, 6, S, &total), NB_OK);
    assert_int_equal(total, 35 * S);
    assert_int_equal(u[5].offset, u[3].offset);
}

static void sizes_that_cannot_be_addressed_are_an_error(void **state)
{
    nb_usage u[] = {{.first = 0, .last = 0, .bytes = PTRDIFF_MAX - 10}, {.first = 1, .last = 1, .bytes = 1}};
    size_t total = 7;
    assert_int_equal(nb_memplan(*state, u, 2, 64, &total), NB_E_RANGE);
    u[0].bytes = PTRDIFF_MAX / 64 * 64;
    assert_int_equal(nb_memplan(*state, u, 2, 64, &total), NB_E_RANGE);
    assert_int_equal(total, 7);
    assert_string_equal(nb_ctx_error(*state), "memory plan: 2 buffers need more memory than can be addressed");
}

static void every_single_allocation_can_fail(void **state)
{
    nb_usage u[] = {{.first = 0, .last = 0, .bytes = 10}};
    size_t total = 7;
    for (int64_t n = 1; n <= 3; n++) {
        nb_ctx_fail_alloc_at(*state, n);
        assert_int_equal(nb_memplan(*state, u, 1, 64, &total), NB_E_NOMEM);
    }
    assert_int_equal(total, 7);
}

static void random_usages(nb_usage *u, int32_t n, nb_rng *r)
{
    for (int32_t i = 0; i < n; i++) {
        u[i] = (nb_usage){.first = (int32_t)nb_rng_below(r, 30)};
        u[i].last = u[i].first + (int32_t)nb_rng_below(r, nb_rng_below(r, 4) ? 5 : 30);
        u[i].bytes = nb_rng_below(r, 8) ? nb_rng_below(r, nb_rng_below(r, 2) ? 2000 : 100) : 0;
    }
}

static size_t bytes_alive(const nb_usage *u, int32_t n, int32_t t, size_t align)
{
    size_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (u[i].first <= t && t <= u[i].last)
            sum += (u[i].bytes + align - 1) / align * align;
    return sum;
}

static void check_plan(const nb_usage *u, int32_t n, size_t align, size_t total)
{
    for (int32_t i = 0; i < n; i++) {
        assert_int_equal(u[i].offset % align, 0);
        assert_true(u[i].offset + u[i].bytes <= total);
        for (int32_t k = 0; k < i; k++) {
            int together = u[i].first <= u[k].last && u[k].first <= u[i].last;
            int apart = u[i].offset + u[i].bytes <= u[k].offset || u[k].offset + u[k].bytes <= u[i].offset;
            assert_true(!together || apart || !u[i].bytes || !u[k].bytes);
        }
    }
    size_t bound = 0;
    for (int32_t t = 0; t < 60; t++)
        bound = bytes_alive(u, n, t, align) > bound ? bytes_alive(u, n, t, align) : bound;
    assert_int_equal(nb_memplan_lower_bound(u, n, align), bound);
    assert_true(total >= bound);
}

static void random_lifetimes_never_overlap_and_come_near_the_lower_bound(void **state)
{
    enum { MAX_N = 60, ROUNDS = 500 };
    double ratio = 0;
    for (int32_t round = 0; round < ROUNDS; round++) {
        nb_rng r = nb_rng_make(11, (uint64_t)round);
        nb_usage u[MAX_N], again[MAX_N];
        int32_t n = 1 + (int32_t)nb_rng_below(&r, MAX_N);
        size_t align = (size_t)1 << nb_rng_below(&r, 8), total = 0, total2 = 0;
        random_usages(u, n, &r);
        for (int32_t i = 0; i < n; i++)
            again[i] = u[i];
        assert_int_equal(nb_memplan(*state, u, n, align, &total), NB_OK);
        check_plan(u, n, align, total);
        assert_int_equal(nb_memplan(*state, again, n, align, &total2), NB_OK);
        assert_int_equal(total, total2);
        for (int32_t i = 0; i < n; i++)
            assert_int_equal(u[i].offset, again[i].offset);
        size_t bound = nb_memplan_lower_bound(u, n, align);
        ratio += bound ? (double)total / (double)bound : 1.0;
    }
    assert_true(ratio / ROUNDS < 1.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_usages_need_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(usages_that_follow_each_other_share_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(touching_lifetimes_do_not_share_because_ends_are_inclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_usages_get_offset_zero_and_take_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(the_smallest_gap_that_fits_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_that_cannot_be_addressed_are_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(random_lifetimes_never_overlap_and_come_near_the_lower_bound, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
