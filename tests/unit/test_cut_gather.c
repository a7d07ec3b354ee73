/* test_cut_gather.c - how a batch is cut; what ranks bring each other is tried with several of them in tests/e2e/ranks.sh. */
#include "core/cut_gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1100 };

static void units_are_whole_parts_and_parts_are_all_images(void **state)
{
    (void)state;
    for (int32_t batch = 1; batch <= MOST; batch++) {
        const int32_t parts = nb_tap_parts(batch), units = nb_cut_units(batch);
        assert_int_equal(nb_tap_part(batch, 0), 0);
        assert_int_equal(nb_tap_part(batch, parts), batch);
        assert_int_equal(nb_cut_unit(batch, 0), 0);
        assert_int_equal(nb_cut_unit(batch, units), batch);
        for (int32_t u = 0, p = 0; u < units; u++) {
            const int32_t first = nb_cut_unit(batch, u), images = nb_cut_unit(batch, u + 1) - first;
            assert_true(images >= 1 && images <= nb_cut_unit_most(batch));
            while (nb_tap_part(batch, p) < first)
                p++;
            assert_int_equal(nb_tap_part(batch, p), first);
        }
    }
}

static void alone_all_of_a_batch_is_here(void **state)
{
    (void)state;
    const nb_cut c = nb_cut_of(100, true);
    assert_false(c.shared);
    assert_int_equal(c.first, 0);
    assert_int_equal(c.images, 100);
    assert_int_equal(c.unit, 0);
    assert_int_equal(c.end_unit, nb_cut_units(c.batch));
    assert_int_equal(c.part, 0);
    assert_int_equal(c.end_part, NB_TAP_MAX_PARTS);
    assert_int_equal(nb_cut_room(100, true), 100);
}

/* As a rank with units 2..4 of eight, which are images 25..61 of 100. */
static void places_count_from_the_first_image_that_is_here(void **state)
{
    (void)state;
    const nb_cut c = {.batch = 100, .first = 25, .images = 37, .unit = 2, .end_unit = 5, .part = 8, .end_part = 20};
    assert_int_equal(nb_cut_unit_at(&c, 2), 0);
    assert_int_equal(nb_cut_unit_at(&c, 5), 37);
    assert_int_equal(nb_cut_part_at(&c, 8), 0);
    assert_int_equal(nb_cut_part_at(&c, 9), 3);
}

static void count_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    ((int32_t *)arg)[part]++;
}

static void only_parts_that_are_here_are_run(void **state)
{
    (void)state;
    const nb_cut c = {.batch = 100, .first = 25, .images = 37, .unit = 2, .end_unit = 5, .part = 8, .end_part = 20};
    int32_t runs[NB_TAP_MAX_PARTS] = {0};
    nb_cut_run(&c, count_part, runs);
    for (int32_t i = 0; i < NB_TAP_MAX_PARTS; i++)
        assert_int_equal(runs[i], i >= 8 && i < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_whole_parts_and_parts_are_all_images),
        cmocka_unit_test(alone_all_of_a_batch_is_here),
        cmocka_unit_test(places_count_from_the_first_image_that_is_here),
        cmocka_unit_test(only_parts_that_are_here_are_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
