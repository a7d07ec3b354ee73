/* test_soft_round.c - weights between two codes: where they begin, and where the regularizer takes them. */
#include "post/soft_round.h"

#include "ref/one_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 7 };
static const double units[N] = {0.25, -1.75, 2.5, 7.25, -8.5, 3, -0.5}; /* codes are -7..7 */

static void open_soft(nb_arena **arena, nb_soft *s)
{
    assert_ok(nb_arena_create(ctx, arena));
    assert_ok(nb_soft_open(*arena, N, s));
}

static void they_begin_where_the_weights_are_and_none_beyond_the_codes_has_a_choice(void **state)
{
    (void)state;
    static const int32_t nearest[N] = {0, -2, 2, 7, -7, 3, 0};
    static const float want[N] = {0.25f, -1.75f, 2.5f, 7, -7, 3, -0.5f};
    nb_arena *arena;
    nb_soft s;
    float w[N];
    open_soft(&arena, &s);
    for (int32_t i = 0; i < N; i++)
        assert_int_equal(nb_soft_begin(&s, i, -7, 7, units[i]), nearest[i]);
    nb_soft_weights(&s, 0, N, 0.5f, w);
    for (int32_t i = 0; i < N; i++)
        assert_float_equal(w[i], 0.5f * want[i], 1e-6);
    nb_soft_lean(&s, 0, 1); /* a quarter of the way up, and then halfway to the upper code */
    nb_soft_lean(&s, 1, -2);
    nb_soft_lean(&s, 3, 7);
    nb_soft_weights(&s, 0, 4, 1, w);
    assert_float_equal(w[0], 0.625f, 1e-6);
    assert_float_equal(w[1], -1.875f, 1e-6);
    assert_float_equal(w[3], 7, 1e-6);
    nb_arena_free(arena);
}

static void the_derivative_is_that_of_the_share(void **state)
{
    (void)state;
    for (float v = -4; v <= 4; v += 0.23f) {
        float slope, none;
        const float h = nb_soft_share(v, &slope);
        const float measured = (nb_soft_share(v + 0.01f, &none) - nb_soft_share(v - 0.01f, &none)) / 0.02f;
        assert_true(h >= 0 && h <= 1);
        if (h > 0.01f && h < 0.99f)
            assert_float_equal(slope, measured, 1e-3);
    }
}

static void the_regularizer_waits_and_then_takes_each_to_its_nearest_code(void **state)
{
    (void)state;
    const nb_soft_keys k = {.iterations = 200, .lr = 0.1f, .lambda = 0.3f, .warmup = 0.25f};
    static const float none[N] = {0};
    nb_arena *arena;
    nb_soft s;
    float w[N], before[N];
    int32_t nearest[N];
    open_soft(&arena, &s);
    for (int32_t i = 0; i < N; i++)
        nearest[i] = nb_soft_begin(&s, i, -7, 7, units[i] + 0.1);
    nb_soft_weights(&s, 0, N, 1, before);
    for (int32_t t = 0; t < k.iterations; t++) {
        const nb_soft_move m = nb_soft_move_at(&k, t);
        assert_int_equal(m.beta > 0, t >= 50);
        nb_soft_descend(&s, &m, 0, N, none, 1);
        nb_soft_weights(&s, 0, N, 1, w);
        for (int32_t i = 0; t < 50 && i < N; i++)
            assert_true(w[i] == before[i]);
    }
    for (int32_t i = 0; i < N; i++) {
        assert_int_equal(nb_soft_code(&s, i), nearest[i]);
        assert_float_equal(w[i], (float)nearest[i], 1e-6);
    }
    nb_arena_free(arena);
}

static void a_gradient_moves_a_weight_against_it(void **state)
{
    (void)state;
    const nb_soft_keys k = {.iterations = 100, .lr = 0.1f, .lambda = 0, .warmup = 0};
    static const float up[N] = {-1, -1, -1, -1, -1, -1, -1};
    nb_arena *arena;
    nb_soft s;
    open_soft(&arena, &s);
    for (int32_t i = 0; i < N; i++)
        nb_soft_begin(&s, i, -7, 7, units[i]);
    for (int32_t t = 0; t < k.iterations; t++) {
        const nb_soft_move m = nb_soft_move_at(&k, t);
        nb_soft_descend(&s, &m, 0, N, up, 2);
    }
    assert_int_equal(nb_soft_code(&s, 0), 1);
    assert_int_equal(nb_soft_code(&s, 1), -1);
    assert_int_equal(nb_soft_code(&s, 3), 7); /* where there is one */
    nb_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_begin_where_the_weights_are_and_none_beyond_the_codes_has_a_choice),
        cmocka_unit_test(the_derivative_is_that_of_the_share),
        cmocka_unit_test(the_regularizer_waits_and_then_takes_each_to_its_nearest_code),
        cmocka_unit_test(a_gradient_moves_a_weight_against_it),
    };
    return cmocka_run_group_tests_name("soft_round", tests, setup, teardown);
}
