/* test_qgrad_winograd.c - which convolutions have their gradients computed by tiles, and the points of their weights;
 * the sums themselves are compared with those by rows in test_qgrad.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/grad16/qgrad_winograd.h"

static const nb_geom usual = {.h = 16,
                              .w = 12,
                              .c = 16,
                              .oh = 16,
                              .ow = 12,
                              .oc = 32,
                              .kh = 3,
                              .kw = 3,
                              .stride = {1, 1},
                              .pad = {1, 1, 1, 1},
                              .dilation = {1, 1},
                              .groups = 1};

static void only_3x3_with_stride_1_and_channels_in_sixteens_fits(void **state)
{
    (void)state;
    assert_true(nb_qgrad_winograd_fits(&usual));
    nb_geom g[9];
    for (int i = 0; i < 9; i++)
        g[i] = usual;
    g[0].kh = 1;
    g[1].kw = 5;
    g[2].stride.w = 2;
    g[3].dilation.h = 2;
    g[4].groups = 2;
    g[5].c = 24;
    g[6].oc = 8;
    g[7].pad.bottom = 3;
    g[8].ow = 129; /* two rows would be more pixels than a sum holds */
    for (int i = 0; i < 9; i++)
        assert_false(nb_qgrad_winograd_fits(&g[i]));
}

static void a_block_is_an_even_number_of_rows_with_at_most_256_pixels(void **state)
{
    (void)state;
    nb_geom g = usual;
    for (g.ow = 4; g.ow <= 128; g.ow++) {
        const int32_t rows = nb_qgrad_winograd_rows(&g);
        assert_true(rows >= 2 && rows % 2 == 0);
        assert_true(rows * g.ow <= 256 && (rows + 2) * g.ow > 256);
    }
}

/* The filter of input channel 2 and output channel 5 is 1..9, all others are zeros. Turned around and with G on both
 * sides its corners are 4 times a corner weight, and the middle points sums with both signs. */
static void weights_are_turned_around_and_transformed_in_whole_numbers(void **state)
{
    (void)state;
    const nb_geom *g = &usual;
    int8_t *w = calloc((size_t)(9 * g->c * g->oc), 1);
    int16_t *u = malloc(nb_qgrad_winograd_panel_bytes(g));
    assert_true(w && u);
    for (int i = 0; i < 9; i++)
        w[(5 * 9 + i) * g->c + 2] = (int8_t)(i + 1);
    nb_qgrad_winograd_pack(u, w, g, 0);
    const int at = (5 / 2 * 16 + 2) * 2 + 5 % 2, plane = g->c * g->oc;
    const int want[16] = {36, 48, 16, 28, 36, 45, 15, 24, 12, 15, 5, 8, 12, 12, 4, 4};
    for (int k = 0; k < 16; k++)
        assert_int_equal(u[k * plane + at], want[k]);
    for (int i = 0; i < plane; i++)
        assert_true(i == at || u[i] == 0);
    free(w);
    free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_3x3_with_stride_1_and_channels_in_sixteens_fits),
        cmocka_unit_test(a_block_is_an_even_number_of_rows_with_at_most_256_pixels),
        cmocka_unit_test(weights_are_turned_around_and_transformed_in_whole_numbers),
    };
    return cmocka_run_group_tests_name("qgrad_winograd", tests, NULL, NULL);
}
