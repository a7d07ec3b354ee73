/* test_iconv.c - the integer convolution: every variant equals the plain loops bit for bit and stays inside its
 * buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/iconv.h"
#include "kernels/iconv_isa.h"
#include "kernels/rescale.h"
#include "ref/guard.h"

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static bool usable(const nb_iconv_isa *isa)
{
    return (isa->needs & ~nb_cpu_features()) == 0;
}

static nb_geom geom_of(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t k, int32_t stride, int32_t pad)
{
    nb_geom g = {
        .h = h, .w = w, .c = c, .oc = oc, .kh = k, .kw = k, .stride = stride, .pad = pad, .dilation = 1, .groups = 1};
    g.oh = nb_geom_out(h, k, stride, pad, 1);
    g.ow = nb_geom_out(w, k, stride, pad, 1);
    return g;
}

static nb_geom random_geom(nb_rng *r)
{
    for (;;) {
        nb_geom g = {.h = pick(r, 1, 14), .w = pick(r, 1, 14), .kh = pick(r, 1, 5), .kw = pick(r, 1, 5)};
        g.stride = pick(r, 1, 3);
        g.pad = pick(r, 0, 3);
        g.dilation = pick(r, 0, 3) ? 1 : pick(r, 2, 3);
        switch (pick(r, 0, 3)) {
        case 0: /* depthwise */
            g.groups = g.c = g.oc = pick(r, 1, 40);
            break;
        case 1: /* groups, also depthwise with a multiplier */
            g.groups = pick(r, 2, 4);
            g.c = g.groups * pick(r, 1, 7);
            g.oc = g.groups * pick(r, 1, 18);
            break;
        default:
            g.groups = 1;
            g.c = pick(r, 1, 36);
            g.oc = pick(r, 1, 50);
        }
        g.oh = nb_geom_out(g.h, g.kh, g.stride, g.pad, g.dilation);
        g.ow = nb_geom_out(g.w, g.kw, g.stride, g.pad, g.dilation);
        if (g.oh > 0 && g.ow > 0)
            return g;
    }
}

/* Half of the bytes are extremes. */
static void random_bytes(nb_rng *r, uint8_t *x, size_t n, uint8_t low, uint8_t high)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t v = nb_rng_u32(r);
        x[i] = v & 0x100 ? (uint8_t)v : v & 0x200 ? low : high;
    }
}

static void compare_all(nb_rng *r, const nb_geom *g)
{
    assert_true(nb_iconv_supports(g));
    const ref_guard_side side = pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END;
    const size_t n_x = (size_t)g->h * (size_t)g->w * (size_t)g->c, n_y = (size_t)g->oh * (size_t)g->ow * (size_t)g->oc;
    const size_t n_w = (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups);
    ref_guard x = ref_guard_alloc(n_x, side), w = ref_guard_alloc(n_w, side), y = ref_guard_alloc(n_y * 4, side);
    ref_guard packed = ref_guard_alloc(nb_iconv_packed_bytes(g), side),
              scratch = ref_guard_alloc(nb_iconv_scratch_bytes(g), side);
    int32_t *want = malloc(n_y * sizeof *want);
    assert_non_null(want);
    const int32_t is_signed = pick(r, 0, 1), zero = is_signed ? pick(r, -128, 127) : pick(r, 0, 255);
    random_bytes(r, x.data, n_x, is_signed ? 0x80 : 0, is_signed ? 0x7f : 0xff);
    random_bytes(r, w.data, n_w, 0x81, 0x7f);
    nb_iconv_reference(want, x.data, is_signed, zero, w.data, g);
    nb_iconv_pack(packed.data, w.data, g);
    for (int32_t i = 0; nb_iconv_isas[i]; i++) {
        if (!usable(nb_iconv_isas[i]))
            continue;
        memset(y.data, 0xA5, n_y * 4);
        memset(scratch.data, 0xA5, nb_iconv_scratch_bytes(g));
        nb_iconv_load_on(nb_iconv_isas[i], scratch.data, x.data, is_signed, zero, g);
        const int32_t n = g->oh * g->ow, cut = pick(r, 0, n); /* in two calls, cut anywhere */
        nb_iconv_pixels_on(nb_iconv_isas[i], y.data, 0, cut, packed.data, g, scratch.data);
        nb_iconv_pixels_on(nb_iconv_isas[i], (int32_t *)y.data + (size_t)cut * (size_t)g->oc, cut, n - cut, packed.data,
                           g, scratch.data);
        assert_memory_equal(y.data, want, n_y * 4);
    }
    memset(y.data, 0xA5, n_y * 4);
    nb_iconv_run(y.data, x.data, is_signed, zero, packed.data, g, scratch.data);
    assert_memory_equal(y.data, want, n_y * 4);
    free(want);
    ref_guard_free(&x);
    ref_guard_free(&w);
    ref_guard_free(&y);
    ref_guard_free(&packed);
    ref_guard_free(&scratch);
}

static void every_variant_equals_the_plain_loops_on_random_geometries(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(1, 0);
    for (int32_t i = 0; i < 600; i++) {
        const nb_geom g = random_geom(&r);
        compare_all(&r, &g);
    }
}

static void every_variant_equals_the_plain_loops_on_shapes_of_real_networks(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(2, 0);
    const nb_geom cases[] = {geom_of(28, 28, 1, 16, 3, 1, 1), geom_of(16, 16, 16, 32, 3, 2, 1),
                             geom_of(8, 8, 64, 64, 3, 1, 1),  geom_of(16, 16, 16, 32, 1, 2, 0),
                             geom_of(1, 1, 577, 10, 1, 1, 0), geom_of(1, 1, 1024, 131, 1, 1, 0),
                             geom_of(7, 7, 3, 5, 7, 1, 0),    geom_of(1, 1, 4, 16, 3, 1, 1)};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare_all(&r, &cases[i]);
}

static void the_largest_sums_an_int32_holds_come_out_exact(void **state)
{
    (void)state;
    /* 65,500 products of 255 * 127: 2,121,217,500 of 2,147,483,647; s16 pairs or 16-bit saturation would show here. */
    const nb_geom g = geom_of(1, 1, 65500, 2, 1, 1, 0);
    uint8_t *x = malloc(65500);
    int8_t *w = malloc(2 * 65500);
    void *packed = aligned_alloc(64, nb_iconv_packed_bytes(&g)),
         *scratch = aligned_alloc(64, nb_iconv_scratch_bytes(&g));
    assert_true(x && w && packed && scratch);
    memset(x, 255, 65500);
    memset(w, 127, 65500);
    memset(w + 65500, -127, 65500);
    nb_iconv_pack(packed, w, &g);
    for (int32_t i = 0; nb_iconv_isas[i]; i++) {
        if (!usable(nb_iconv_isas[i]))
            continue;
        int32_t acc[2] = {0};
        nb_iconv_load_on(nb_iconv_isas[i], scratch, x, 0, 0, &g);
        nb_iconv_pixels_on(nb_iconv_isas[i], acc, 0, 1, packed, &g, scratch);
        assert_int_equal(acc[0], 2121217500);
        assert_int_equal(acc[1], -2121217500);
    }
    free(x);
    free(w);
    free(packed);
    free(scratch);
}

static void padding_holds_the_zero_point(void **state)
{
    (void)state;
    const nb_geom g = geom_of(1, 1, 1, 1, 3, 1, 1); /* eight taps of padding around one pixel */
    const uint8_t x = 10;
    const int8_t w[9] = {1, 1, 1, 1, 2, 1, 1, 1, 1};
    int32_t acc = 0;
    nb_iconv_reference(&acc, &x, 0, 7, w, &g);
    assert_int_equal(acc, 8 * 7 + 2 * 10);
}

static void weights_may_be_packed_again_into_the_same_memory(void **state)
{
    (void)state;
    const nb_geom g = geom_of(4, 4, 3, 5, 3, 1, 1);
    const size_t bytes = nb_iconv_packed_bytes(&g);
    int8_t a[5 * 27], b[5 * 27];
    memset(a, 3, sizeof a);
    memset(b, -7, sizeof b);
    unsigned char *twice = aligned_alloc(64, bytes), *once = aligned_alloc(64, bytes);
    assert_true(twice && once);
    nb_iconv_pack(twice, a, &g);
    nb_iconv_pack(twice, b, &g);
    nb_iconv_pack(once, b, &g);
    assert_memory_equal(twice, once, bytes);
    free(twice);
    free(once);
}

static void geometries_that_are_none_or_too_large_are_refused(void **state)
{
    (void)state;
    const nb_geom good = geom_of(8, 8, 4, 6, 3, 1, 1);
    assert_true(nb_iconv_supports(&good));
    nb_geom bad[14];
    for (size_t i = 0; i < 14; i++)
        bad[i] = good;
    bad[0].h = 0;
    bad[1].oh = 9;
    bad[2].ow = 7;
    bad[3].groups = 4; /* does not divide oc */
    bad[4].groups = 0;
    bad[5].stride = 0;
    bad[6].dilation = 0;
    bad[7].kh = 0;
    bad[8].pad = -1;
    bad[9].c = -4;
    bad[10].pad = INT32_MAX;
    bad[11].dilation = INT32_MAX;
    bad[12] = geom_of(1 << 20, 1 << 20, 1, 1, 1, 1, 0);
    bad[13] = geom_of(1, 1, 1 << 20, 1 << 20, 1, 1, 0);
    for (size_t i = 0; i < 14; i++)
        assert_false(nb_iconv_supports(&bad[i]));
}

/* ---- requantize ---- */

typedef struct {
    int32_t rows, c, shift_lo, shift_hi;
    bool extreme;
} requant_case;

static int32_t any_acc(nb_rng *r, bool extreme)
{
    const int32_t ends[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX};
    if (extreme && pick(r, 0, 1))
        return ends[pick(r, 0, 6)];
    return (int32_t)nb_rng_u32(r) >> pick(r, 0, 20);
}

static void compare_requantize(nb_rng *r, const requant_case *rc)
{
    const size_t c = (size_t)rc->c, n = c * (size_t)rc->rows;
    const ref_guard_side side = pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END;
    ref_guard acc = ref_guard_alloc(n * 4, side), codes = ref_guard_alloc(n, side);
    ref_guard bias = ref_guard_alloc(c * 4, side), mult = ref_guard_alloc(c * 4, side),
              shift = ref_guard_alloc(c * 4, side);
    int32_t *a = acc.data, *b = bias.data, *m = mult.data, *s = shift.data;
    for (size_t i = 0; i < c; i++) {
        b[i] = rc->extreme ? pick(r, -1, 1) * INT32_MAX : (int32_t)nb_rng_u32(r) >> 14;
        const int32_t ends[] = {1 << 30, INT32_MAX};
        m[i] = pick(r, 0, 3) ? (1 << 30) + (int32_t)(nb_rng_u32(r) >> 2) : ends[pick(r, 0, 1)];
        s[i] = pick(r, rc->shift_lo, rc->shift_hi);
    }
    for (size_t i = 0; i < n; i++) { /* what is wanted is acc + bias; it must fit, and acc must too */
        const int64_t v = (int64_t)any_acc(r, rc->extreme) - b[i % c];
        a[i] = v < INT32_MIN || v > INT32_MAX ? 0 : (int32_t)v;
    }
    const bool s8 = pick(r, 0, 1);
    nb_irequant q = {.bias = b, .mult = m, .shift = s, .zero = s8 ? pick(r, -128, 127) : pick(r, 0, 255)};
    q.lo = pick(r, s8 ? -128 : 0, q.zero);
    q.hi = pick(r, q.zero, s8 ? 127 : 255);
    for (int32_t v = 0; nb_iconv_isas[v]; v++) {
        if (!usable(nb_iconv_isas[v]))
            continue;
        memset(codes.data, 0xA5, n);
        nb_iconv_isas[v]->requantize(codes.data, a, &q, rc->rows, rc->c);
        for (size_t i = 0; i < n; i++) {
            const int32_t want = nb_rescale(a[i] + b[i % c], m[i % c], s[i % c], q.zero, q.lo, q.hi);
            assert_int_equal(((uint8_t *)codes.data)[i], (uint8_t)want);
        }
    }
    ref_guard_free(&acc);
    ref_guard_free(&codes);
    ref_guard_free(&bias);
    ref_guard_free(&mult);
    ref_guard_free(&shift);
}

static void requantize_equals_rescale_for_any_channels_shifts_and_extreme_sums(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(3, 0);
    for (int32_t i = 0; i < 400; i++) {
        const int32_t kind = i % 4; /* usual shifts, only large ones, any, any with extreme values */
        const requant_case rc = {.rows = pick(&r, 0, 70),
                                 .c = pick(&r, 1, 40),
                                 .shift_lo = kind == 0   ? 31
                                             : kind == 1 ? 40
                                                         : 1,
                                 .shift_hi = kind == 0 ? 45 : 62,
                                 .extreme = i % 8 >= 4};
        compare_requantize(&r, &rc);
    }
}

static void requantize_to_int32_keeps_wide_values_and_saturates(void **state)
{
    (void)state;
    const int32_t bias[2] = {1, -1}, mult[2] = {1 << 30, INT32_MAX}, shift[2] = {31, 1};
    const nb_irequant q = {.bias = bias, .mult = mult, .shift = shift, .lo = INT32_MIN, .hi = INT32_MAX};
    int32_t y[4] = {1999999, 1000, -2000001, -1000}; /* in place */
    nb_iconv_requantize_s32(y, y, &q, 2, 2);
    assert_int_equal(y[0], 1000000);
    assert_int_equal(y[1], INT32_MAX);
    assert_int_equal(y[2], -1000000);
    assert_int_equal(y[3], INT32_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_equals_the_plain_loops_on_random_geometries),
        cmocka_unit_test(every_variant_equals_the_plain_loops_on_shapes_of_real_networks),
        cmocka_unit_test(the_largest_sums_an_int32_holds_come_out_exact),
        cmocka_unit_test(padding_holds_the_zero_point),
        cmocka_unit_test(weights_may_be_packed_again_into_the_same_memory),
        cmocka_unit_test(geometries_that_are_none_or_too_large_are_refused),
        cmocka_unit_test(requantize_equals_rescale_for_any_channels_shifts_and_extreme_sums),
        cmocka_unit_test(requantize_to_int32_keeps_wide_values_and_saturates),
    };
    return cmocka_run_group_tests_name("iconv", tests, NULL, NULL);
}
