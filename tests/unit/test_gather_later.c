/* test_gather_later.c - alone sums are there at once; tests/e2e/ranks.sh has ranks between which they travel. */
#include "core/gather_later.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    int32_t *calls;
    void *const *unit;
    int32_t n;
} wanted;

static void count(const void *what, void *const *unit, int32_t left)
{
    const wanted *w = what;
    assert_ptr_equal(unit[0], w->unit[0]);
    assert_int_equal(left, w->n);
    ++*w->calls;
}

static void alone_units_stay_where_they_are_and_are_done_at_once(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    float a[2] = {1, 2}, b[2] = {3, 4};
    void *unit[] = {a, b};
    int32_t calls = 0;
    nb_later *l;
    assert_int_equal(nb_later_create(ctx, 64, &l), NB_OK);
    nb_cut c = nb_cut_of(2, true);
    c.later = l;
    const wanted w = {&calls, unit, 2};
    nb_gather_later(&c, unit, 2, 2, sizeof a, count, &w, sizeof w);
    assert_int_equal(calls, 1);
    nb_later_finish(l);
    nb_later_finish(NULL);
    assert_int_equal(calls, 1);
    assert_float_equal(b[1], 4, 0);
    nb_later_free(ctx, l);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_units_stay_where_they_are_and_are_done_at_once),
    };
    return cmocka_run_group_tests_name("gather_later", tests, NULL, NULL);
}
