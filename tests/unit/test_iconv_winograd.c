/* test_iconv_winograd.c - the integer Winograd transform is exact at the ends of its ranges, and refuses what is
 * beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernels/integer/iconv_winograd.h"
#include "ref/ref_iconv.h"

static nb_geom geom_of(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t pad)
{
    return (nb_geom){.h = h,
                     .w = w,
                     .c = c,
                     .oc = oc,
                     .oh = h + 2 * pad - 2,
                     .ow = w + 2 * pad - 2,
                     .kh = 3,
                     .kw = 3,
                     .stride = {1, 1},
                     .pad = {pad, pad, pad, pad},
                     .dilation = {1, 1},
                     .groups = 1};
}

/* The method of a variant, or NULL. */
static const nb_iconv_method *method_of(const nb_variant *v)
{
    for (const nb_iconv_method *const *m = ((const nb_iconv_isa *)v->kernels)->methods; *m; m++)
        if ((*m)->form == NB_ICONV_WINOGRAD)
            return *m;
    return NULL;
}

static void compare(const nb_geom *g, const uint8_t *x, const int8_t *w, nb_icodes range)
{
    const size_t n = (size_t)g->oh * (size_t)g->ow * (size_t)g->oc;
    int32_t *got = malloc(n * sizeof *got), *want = malloc(n * sizeof *want);
    assert_true(got && want);
    ref_iconv(want, x, range.lo < 0, 0, w, g);
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
        const nb_iconv_method *method = method_of(v);
        if (!method)
            continue;
        assert_true(nb_iconv_accepts(method, w, range, g));
        void *packed = aligned_alloc(64, nb_iconv_packed_bytes_on(v, g)),
             *scratch = aligned_alloc(64, nb_iconv_scratch_bytes_on(v, g));
        assert_true(packed && scratch);
        nb_iconv_pack_on(v, method, packed, w, range, g);
        nb_iconv_run(got, x, range.lo < 0, 0, packed, g, scratch);
        assert_memory_equal(got, want, n * sizeof *want);
        free(packed);
        free(scratch);
    }
    free(got);
    free(want);
}

/* Row i of B' and row j of it make one transformed code: the input that makes it largest, or smallest, for every pair.
 */
static void every_transformed_code_is_exact_at_both_ends(void **state)
{
    (void)state;
    static const int8_t b[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                   {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
    const nb_geom g = geom_of(18, 18, 16, 16, 0); /* 16 tiles of the same codes, but for 2 of 6 columns and rows */
    uint8_t *x = malloc(18 * 18 * 16);
    int8_t w[16 * 9 * 16];
    assert_non_null(x);
    for (int32_t k = 0; k < 6 * 6 * 2 * 2; k++) {
        const int32_t i = k / 24, j = k / 4 % 6, sign = k & 2 ? -1 : 1, is_signed = k & 1;
        for (int32_t p = 0; p < 18 * 18 * 16; p++) {
            const int32_t gain = sign * b[i][p / 16 / 18 % 4 + (p / 16 / 18 >= 16 ? 4 : 0)] *
                                 b[j][p / 16 % 18 % 4 + (p / 16 % 18 >= 16 ? 4 : 0)];
            x[p] = is_signed ? (gain > 0 ? 0x7f : 0x80) : (gain > 0 ? 255 : 0);
        }
        for (int32_t p = 0; p < 16 * 9 * 16; p++)
            w[p] = p / (9 * 16) % 2 ? -127 : 127;
        compare(&g, x, w, is_signed ? (nb_icodes){-128, 127} : (nb_icodes){0, 255});
    }
    free(x);
}

/* 9 * 112 * 255 * 127 = 32,644,080 is just below 2^25 = 33,554,432: 64 times that is just below 2^31. */
static void sums_are_exact_up_to_two_to_the_25_and_refused_above(void **state)
{
    (void)state;
    const nb_geom g = geom_of(8, 8, 112, 16, 1), wide = geom_of(8, 8, 128, 16, 1);
    uint8_t *x = malloc(8 * 8 * 128);
    int8_t *w = malloc(16 * 9 * 128);
    assert_true(x && w);
    memset(x, 255, 8 * 8 * 128);
    for (int32_t i = 0; i < 16 * 9 * 128; i++)
        w[i] = i / (9 * 112) % 2 ? 127 : -127;
    compare(&g, x, w, (nb_icodes){0, 255});
    memset(w, 127, 16 * 9 * 128);
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v))
        if (method_of(v))
            assert_false(nb_iconv_accepts(method_of(v), w, (nb_icodes){0, 255}, &wide));
    free(x);
    free(w);
}

static void only_3x3_with_stride_1_of_whole_panels_and_enough_tiles_fits(void **state)
{
    (void)state;
    nb_geom g = geom_of(8, 8, 16, 32, 1);
    assert_true(nb_iconv_winograd_fits(&g));
    g.groups = 2;
    assert_false(nb_iconv_winograd_fits(&g));
    g = geom_of(8, 8, 24, 32, 1);
    assert_false(nb_iconv_winograd_fits(&g));
    g = geom_of(8, 8, 16, 40, 1);
    assert_false(nb_iconv_winograd_fits(&g));
    g = geom_of(4, 4, 16, 16, 1);
    assert_false(nb_iconv_winograd_fits(&g));
    g = geom_of(5, 5, 16, 16, 1); /* 4 tiles for 25 places */
    assert_false(nb_iconv_winograd_fits(&g));
    assert_int_equal(nb_iconv_winograd_packed_bytes(&g), 0);
    assert_int_equal(nb_iconv_winograd_scratch_bytes(&g), 0);
}

static void where_bytes_are_twice_as_fast_tiles_must_save_three_fifths(void **state)
{
    (void)state;
    const nb_geom whole = geom_of(8, 8, 16, 16, 1), most = geom_of(14, 14, 16, 16, 1),
                  half = geom_of(10, 10, 16, 16, 1);
    static int8_t none[16 * 16 * 9], much[16 * 128 * 9];
    nb_iconv_facts f = {&whole, {0, 255}, none};
    assert_true(nb_iconv_winograd_choose_dearer(&f)); /* 4 * 36 of 576 products */
    f.geom = &most;
    assert_true(nb_iconv_winograd_choose_dearer(&f)); /* 16 * 36 of 1764 */
    f.geom = &half;
    assert_true(nb_iconv_winograd_choose(&f));
    assert_false(nb_iconv_winograd_choose_dearer(&f)); /* 12 * 36 of 900, three of the tiles for nothing */
    const nb_geom deep = geom_of(8, 8, 128, 16, 1);
    f = (nb_iconv_facts){&deep, {0, 255}, much};
    assert_true(nb_iconv_winograd_choose_dearer(&f));
    memset(much, 127, sizeof much); /* 1152 * 127 * 255 > 2^25 */
    assert_false(nb_iconv_winograd_choose_dearer(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transformed_code_is_exact_at_both_ends),
        cmocka_unit_test(sums_are_exact_up_to_two_to_the_25_and_refused_above),
        cmocka_unit_test(where_bytes_are_twice_as_fast_tiles_must_save_three_fifths),
        cmocka_unit_test(only_3x3_with_stride_1_of_whole_panels_and_enough_tiles_fits),
    };
    return cmocka_run_group_tests_name("iconv_winograd", tests, NULL, NULL);
}
