/* test_feature_map.c - features to codes: rounding, clamping, columns; the same in exported C; the map as text. */
#include "export/c/net_features.c"

#include "ref/data_fixture.h"

#include "base/rng.h"
#include "core/feature_map.h"
#include "export/cgen.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const nb_features two = {"float32", 128, 0.5f, 2, (const float[]){0.5f, -2.0f}, (const float[]){10.0f, 0.25f}};

static void codes_are_rounded_to_even_and_clamped(void **state)
{
    (void)state;
    static const struct {
        int64_t i;
        float x;
        int32_t code;
    } list[] = {
        {0, 0.5f, 128},  {0, 0.6f, 129},   {1, 4.0f, 130},    {1, 0.0f, 128}, /* ties: 1.5, 0.5 above the center */
        {3, -8.0f, 126}, {2, 100.0f, 255}, {2, -100.0f, 0},   {0, INFINITY, 255},
        {1, NAN, 128},   {0, 3e38f, 255},  {1, -INFINITY, 0},
    };
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        assert_int_equal(nb_feature_code(&two, list[k].i, list[k].x), list[k].code);
}

/* The example in net_features.c has the columns of `two`. */
static void exported_c_gives_the_same_codes(void **state)
{
    (void)state;
    float x[NET_INPUT_BYTES];
    uint8_t codes[NET_INPUT_BYTES];
    nb_rng r = nb_rng_make(1, 2);
    for (int32_t k = 0; k < 2000; k++) {
        for (int32_t i = 0; i < NET_INPUT_BYTES; i++)
            x[i] = k % 2 ? (float)((int32_t)nb_rng_below(&r, 4000) - 2000) * 0.05f : 40 * nb_rng_uniform(&r) - 20;
        x[k % NET_INPUT_BYTES] = k % 3 ? 1e30f : NAN;
        net_features(x, codes);
        for (int32_t i = 0; i < NET_INPUT_BYTES; i++)
            assert_int_equal(codes[i], nb_feature_code(&two, i, x[i]));
    }
}

static void the_text_reads_back_as_the_same_map(void **state)
{
    data_fixture *f = *state;
    nb_arena *arena;
    nb_text t;
    const nb_features *back;
    assert_int_equal(nb_arena_create(f->ctx, &arena), NB_OK);
    nb_text_init(f->ctx, &t);
    nb_features_print(&t, &two);
    assert_string_equal(t.s, "float32 128 0.5 2 0.5 -2 1e+01 0.25");
    assert_int_equal(nb_features_parse(arena, t.s, 6, 2, &back), NB_OK);
    assert_true(nb_features_equal(back, &two));
    assert_true(nb_features_equal(nb_features_copy(arena, &two), &two));
    nb_text_free(&t);
    nb_arena_free(arena);
}

static void text_that_cannot_be_right_is_none(void **state)
{
    data_fixture *f = *state;
    static const char *const bad[] = {
        "",
        "float32",
        "float32 256 0.5 1 0 1",
        "float32 -1 0.5 1 0 1",
        "float32 1 0 1 0 1",
        "float32 1 0.5 3 0 0 0 1 1 1", /* neither 1 column, nor 2 channels, nor 6 numbers */
        "float32 1 0.5 2 0 0 1",
        "float32 1 0.5 2 0 0 1 1 1",
        "float32 1 0.5 2 0 0 1 0",
        "float32 1 0.5 2 0 nan 1 1",
        "float32 1 0.5 2 0 0 1 inf",
        "float32 1 0.5 6 0 0 1 1",
        " 1 0.5 2 0 0 1 1",
    };
    nb_arena *arena;
    assert_int_equal(nb_arena_create(f->ctx, &arena), NB_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const nb_features *back = &two;
        assert_int_equal(nb_features_parse(arena, bad[i], 6, 2, &back), NB_OK);
        if (back)
            fail_msg("case %zu was taken", i);
    }
    nb_arena_free(arena);
}

static void maps_differ_in_any_number(void **state)
{
    (void)state;
    nb_features other = two;
    assert_true(nb_features_equal(NULL, NULL));
    assert_false(nb_features_equal(&two, NULL));
    other.zero = 127;
    assert_false(nb_features_equal(&two, &other));
    other = two;
    other.center = (const float[]){0.5f, -1.0f};
    assert_false(nb_features_equal(&two, &other));
    other = two;
    other.gain = (const float[]){10.0f, 0.5f};
    assert_false(nb_features_equal(&two, &other));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(codes_are_rounded_to_even_and_clamped),
        T(exported_c_gives_the_same_codes),
        T(the_text_reads_back_as_the_same_map),
        T(text_that_cannot_be_right_is_none),
        T(maps_differ_in_any_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
