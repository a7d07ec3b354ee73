/* test_fingerprint.c - one number for all pixels of a set, one for its labels. */
#include "../../datasets/fingerprint.h"
#include "ref/data_fixture.h"

#include "base/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static nb_fingerprint of(data_fixture *f, const char *text, const char *split)
{
    nb_data *d;
    nb_fingerprint print = {0};
    assert_int_equal(data_fixture_open(f, text, split, &d), NB_OK);
    assert_int_equal(nb_data_fingerprint(f->ctx, d, &print), NB_OK);
    nb_data_close(f->ctx, d);
    return print;
}

static void it_is_the_same_for_any_number_of_threads(void **state)
{
    const char *text = "{name: synth, count: 1000, height: 7, width: 9, channels: 3}";
    nb_set_threads(1);
    nb_fingerprint one = of(*state, text, "train");
    assert_int_equal(one.count, 1000);
    for (int32_t n = 2; n <= 4; n++) {
        nb_set_threads(n);
        nb_fingerprint many = of(*state, text, "train");
        assert_true(many.pixels == one.pixels && many.labels == one.labels);
    }
    nb_set_threads(2);
}

/* 35 bytes an image: four lanes of eight and a rest. */
static void every_single_pixel_counts(void **state)
{
    data_fixture *f = *state;
    uint8_t rows[35] = {0};
    nb_fingerprint seen[36];
    for (int32_t i = 0; i <= 35; i++) {
        if (i < 35)
            rows[i] = 1;
        if (i > 0)
            rows[i - 1] = 0; /* at last all zero */
        data_fixture_png(f, "train/a/1.png", &(png_file){.h = 5, .w = 7, .depth = 8, .rows = rows});
        seen[i] = of(f, "{name: pngdir, path: %s}", "train");
        assert_true(seen[i].labels == seen[0].labels);
        for (int32_t k = 0; k < i; k++)
            assert_true(seen[k].pixels != seen[i].pixels);
    }
}

static void the_order_of_images_counts(void **state)
{
    data_fixture *f = *state;
    data_fixture_grey(f, "train/a/1.png", 4, 4, 10);
    data_fixture_grey(f, "train/a/2.png", 4, 4, 20);
    nb_fingerprint before = of(f, "{name: pngdir, path: %s}", "train");
    data_fixture_grey(f, "train/a/1.png", 4, 4, 20);
    data_fixture_grey(f, "train/a/2.png", 4, 4, 10);
    nb_fingerprint after = of(f, "{name: pngdir, path: %s}", "train");
    assert_true(before.pixels != after.pixels && before.labels == after.labels);
}

static void without_memory_it_fails(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    nb_fingerprint print = {0};
    assert_int_equal(data_fixture_open(f, "{name: synth, count: 10}", "train", &d), NB_OK);
    for (int64_t n = 1; n <= 2; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        assert_int_equal(nb_data_fingerprint(f->ctx, d, &print), NB_E_NOMEM);
        assert_int_equal(print.count, 0);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    nb_data_close(f->ctx, d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(it_is_the_same_for_any_number_of_threads),
        TEST(every_single_pixel_counts),
        TEST(the_order_of_images_counts),
        TEST(without_memory_it_fails),
    };
    return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
