/* test_iconv_direct.c - the packed forms that kernels are written against: where each weight stands, what sums begin
 * with, and the bound that proofs of exactness use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/integer/iconv_direct.h"

/* Keeps what the kernel is given: its fields, and copies of the arrays behind them. */
static nb_iconv_job seen;
static uint8_t panel[4 * 64], image[64];
static int32_t start[16];

static void look(const nb_iconv_job *j)
{
    seen = *j;
    const size_t bytes = (size_t)(j->n_runs * j->steps) * 64;
    memcpy(panel, j->panels, bytes < sizeof panel ? bytes : sizeof panel);
    memcpy(image, j->x, sizeof image);
    if (j->start)
        memcpy(start, j->start, sizeof start);
    for (int32_t p = 0; p < j->n; p++)
        j->acc[p * j->acc_stride] = 0;
}

/* One filter of 1x2 over three channels on a row of three pixels with one pixel of padding above, below and beside. */
static const int8_t weights[6] = {1, -2, 3, -4, 5, -6};
static const uint8_t row[9] = {0x81, 0x82, 0x83, 1, 2, 3, 4, 5, 6}; /* as s8: -127, -126, -125, 1, ... */

static nb_geom geom(void)
{
    return (nb_geom){.h = 1,
                     .w = 3,
                     .c = 3,
                     .oh = 3,
                     .ow = 4,
                     .oc = 1,
                     .kh = 1,
                     .kw = 2,
                     .stride = {1, 1},
                     .pad = {1, 1, 1, 1},
                     .dilation = {1, 1},
                     .groups = 1};
}

static void run_as(const nb_iconv_method *method, nb_icodes x)
{
    const nb_geom g = geom();
    void *packed = aligned_alloc(64, nb_iconv_direct_packed_bytes(&g, method->form)),
         *scratch = aligned_alloc(64, nb_iconv_direct_scratch_bytes(&g, method->form));
    assert_true(packed && scratch);
    int32_t acc[12];
    nb_iconv_pack_on(nb_iconv_variants, method, packed, weights, x, &g);
    assert_ptr_equal(nb_iconv_method_of(packed), method);
    nb_iconv_run(acc, row, x.lo < 0, 7, packed, &g, scratch);
    assert_int_equal(seen.n, 12);
    assert_int_equal(seen.n_runs, 1);
    assert_int_equal(seen.channels, 1);
    free(packed);
    free(scratch);
}

static void s16_holds_pairs_of_codes_as_they_are(void **state)
{
    (void)state;
    const nb_iconv_method s16 = {.name = "look", .form = NB_ICONV_S16, .dense = look};
    run_as(&s16, (nb_icodes){-128, 127});
    assert_int_equal(seen.steps, 3);
    const int16_t *w = (const int16_t *)(const void *)panel, *x = (const int16_t *)(const void *)image;
    for (int32_t k = 0; k < 6; k++)
        assert_int_equal(w[k / 2 * 32 + k % 2], weights[k]);
    assert_int_equal(w[2], 0); /* the second of 16 channels is not there */
    for (int32_t i = 0; i < 15; i++)
        assert_int_equal(x[i], 7); /* the row above the image holds the zero point */
    assert_int_equal(x[15 + 3], -127);
}

static void bytes_hold_quads_of_codes_minus_the_lowest(void **state)
{
    (void)state;
    const nb_iconv_method bytes = {.name = "look", .form = NB_ICONV_BYTES, .dense = look};
    run_as(&bytes, (nb_icodes){-128, 127});
    assert_int_equal(seen.steps, 2);
    for (int32_t k = 0; k < 8; k++)
        assert_int_equal((int8_t)panel[k / 4 * 64 + k % 4], k < 6 ? weights[k] : 0);
    assert_int_equal(image[0], 7 + 128);
    assert_int_equal(image[15 + 3], 1);
    assert_int_equal(image[15 + 6], 1 + 128);
    assert_int_equal(start[0], -128 * (1 - 2 + 3 - 4 + 5 - 6));
    assert_int_equal(start[1], 0);
}

static void signed_bytes_hold_codes_around_the_middle_of_the_range(void **state)
{
    (void)state;
    const nb_iconv_method bytes = {.name = "look", .form = NB_ICONV_BYTES, .middle = 128, .dense = look};
    run_as(&bytes, (nb_icodes){0, 255});
    assert_int_equal((int8_t)image[0], 7 - 128);
    assert_int_equal((int8_t)image[15 + 3], 0x81 - 128);
    assert_int_equal(start[0], 128 * (1 - 2 + 3 - 4 + 5 - 6));
    run_as(&bytes, (nb_icodes){-128, 127});
    assert_int_equal((int8_t)image[15 + 3], -127);
    assert_int_equal(start[0], 0);
}

static void the_largest_pair_counts_signs_apart_and_only_neighbours(void **state)
{
    (void)state;
    const nb_geom g = geom();
    assert_int_equal(nb_iconv_direct_pair_max(weights, (nb_icodes){0, 255}, &g), 6 * 255); /* (1 -2) (3 -4) (5 -6) */
    const int8_t same[6] = {1, 9, 9, 1, -8, -4};
    assert_int_equal(nb_iconv_direct_pair_max(same, (nb_icodes){-8, 7}, &g), 12 * 15); /* not 9 + 9 */
    const int8_t none[6] = {0};
    assert_int_equal(nb_iconv_direct_pair_max(none, (nb_icodes){0, 255}, &g), 0);
}

/* Nine taps of eight channels: the upper two rows of each column, then the lowest row, its last tap alone and second.
 */
static void depthwise3_gets_bytes_and_its_five_pairs(void **state)
{
    (void)state;
    nb_iconv_isa isa = nb_iconv_scalar;
    isa.depthwise3 = look;
    const nb_variant looking = {.name = "look", .kernels = &isa};
    const nb_geom g = {.h = 3,
                       .w = 3,
                       .c = 8,
                       .oh = 1,
                       .ow = 1,
                       .oc = 8,
                       .kh = 3,
                       .kw = 3,
                       .stride = {1, 1},
                       .dilation = {1, 1},
                       .groups = 8};
    void *packed = aligned_alloc(64, nb_iconv_direct_packed_bytes(&g, NB_ICONV_BYTES)),
         *scratch = aligned_alloc(64, nb_iconv_direct_scratch_bytes(&g, NB_ICONV_BYTES));
    assert_true(packed && scratch);
    int8_t w[8 * 9];
    uint8_t x[9 * 8];
    int32_t acc[8];
    for (int i = 0; i < 72; i++) {
        w[i] = (int8_t)(i / 9 * 10 + i % 9 + 1); /* channel, tap */
        x[i] = (uint8_t)(200 + i % 50);
    }
    nb_iconv_pack_on(&looking, NULL, packed, w, (nb_icodes){-128, 127}, &g);
    nb_iconv_run(acc, x, 1, 7, packed, &g, scratch);
    assert_int_equal(seen.is_signed, 1);
    assert_int_equal(seen.steps, 5);
    assert_int_equal(seen.runs[1], 8);
    assert_int_equal(seen.runs[3], 24);
    assert_memory_equal(image, x, 64);
    const int16_t first[10] = {1, 4, 2, 5, 3, 6, 7, 8, 0, 9}; /* channel 0 */
    const int16_t *pairs = (const int16_t *)seen.panels;
    for (int t = 0; t < 10; t++) {
        assert_int_equal(pairs[t / 2 * 32 + t % 2], first[t]);
        assert_int_equal(pairs[t / 2 * 32 + 2 * 7 + t % 2], first[t] ? first[t] + 70 : 0);
        assert_int_equal(pairs[t / 2 * 32 + 2 * 8 + t % 2], 0); /* no ninth channel */
    }
    free(packed);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s16_holds_pairs_of_codes_as_they_are),
        cmocka_unit_test(bytes_hold_quads_of_codes_minus_the_lowest),
        cmocka_unit_test(signed_bytes_hold_codes_around_the_middle_of_the_range),
        cmocka_unit_test(the_largest_pair_counts_signs_apart_and_only_neighbours),
        cmocka_unit_test(depthwise3_gets_bytes_and_its_five_pairs),
    };
    return cmocka_run_group_tests_name("iconv_direct", tests, NULL, NULL);
}
