/* test_levels.c - rounding to levels, against a search over all of them (kernels/levels.c, nb_grid_nearest). */
#include <nibble/extend/quant.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/sweeps/sweep.h"

static const int8_t tables[][8] = {{-4, -2, -1, 0, 1, 2, 4, 127}, {-127, -64, -3, 0, 2, 7, 33, 100}};
enum { TABLES = 2, LEVELS = 8 };

/* Of two that are as near the smaller in size, and never further than 128 steps: beyond, all are alike. */
static int32_t nearest(const int8_t *level, double v)
{
    int32_t best = level[0];
    for (int32_t i = 1; i < LEVELS; i++) {
        const double d = fabs(v - level[i]), b = fabs(v - best);
        if (d < b || (d == b && abs(level[i]) < abs(best)))
            best = level[i];
    }
    return best;
}

static void values_go_to_the_nearest_level_and_ties_to_the_smaller(void **state)
{
    (void)state;
    for (int32_t t = 0; t < TABLES; t++) {
        nb_klevels k;
        nb_k_levels(&k, tables[t], LEVELS);
        const nb_grid g = {.level = tables[t], .n_levels = LEVELS, .lo = -127, .hi = 127};
        for (int32_t i = -140 * 16; i <= 140 * 16; i++) { /* all ties, and what is next to them */
            const float x = (float)i / 16 * 0.25f;
            uint8_t code, inside;
            nb_k_quantize_levels(&code, &inside, &x, 1, 0.25f, &k);
            assert_int_equal((int8_t)code, nearest(tables[t], (double)i / 16));
            assert_int_equal(nb_grid_nearest(&g, (float)i / 16), nearest(tables[t], (double)i / 16));
            assert_int_equal(inside, fabs((double)i / 16) <= 127.5);
        }
    }
}

static void nan_is_zero_and_passes_nothing_and_infinities_are_the_ends(void **state)
{
    (void)state;
    const float x[] = {NAN, INFINITY, -INFINITY};
    uint8_t codes[3], mask;
    nb_klevels k;
    nb_k_levels(&k, tables[1], LEVELS);
    nb_k_quantize_levels(codes, &mask, x, 3, 1, &k);
    assert_true((int8_t)codes[0] == 0 && (int8_t)codes[1] == 100 && (int8_t)codes[2] == -127 && mask == 0);
}

static void a_scales_gradient_is_level_less_value_inside_and_the_level_outside(void **state)
{
    (void)state;
    const int8_t level[] = {-4, -2, -1, 0, 1, 2, 4};
    const float x[] = {1.2f, -3.2f, 100, -100, NAN}, dy[] = {2, 2, 2, 2, 2};
    const double want[] = {2 * (1 - 1.2), 2 * (-4 + 3.2), 8, -8, 0};
    nb_klevels k;
    nb_k_levels(&k, level, 7);
    double lane[NB_SCALE_LANES] = {0};
    nb_k_scale_grad_levels(lane, dy, x, 1, &k, 5);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(lane[i] - want[i]) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_to_the_nearest_level_and_ties_to_the_smaller),
        cmocka_unit_test(nan_is_zero_and_passes_nothing_and_infinities_are_the_ends),
        cmocka_unit_test(a_scales_gradient_is_level_less_value_inside_and_the_level_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
