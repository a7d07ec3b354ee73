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
#include "kernels/integer/iconv.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/rescale.h"
#include "ref/guard.h"
#include "ref/random_window.h"
#include "ref/ref_iconv.h"

enum { MAX_METHODS = 8 };

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static const nb_iconv_method *const *methods_of(const nb_variant *v)
{
    return ((const nb_iconv_isa *)v->kernels)->methods;
}

static nb_geom geom_of(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t k, int32_t stride, int32_t pad)
{
    nb_geom g = {.h = h,
                 .w = w,
                 .c = c,
                 .oc = oc,
                 .kh = k,
                 .kw = k,
                 .stride = {stride, stride},
                 .pad = {pad, pad, pad, pad},
                 .dilation = {1, 1},
                 .groups = 1};
    nb_geom_fit(&g);
    return g;
}

static nb_geom random_geom(nb_rng *r)
{
    for (;;) {
        nb_geom g = {.h = pick(r, 1, 14), .w = pick(r, 1, 14), .kh = pick(r, 1, 5), .kw = pick(r, 1, 5)};
        ref_random_window(&g, r, 3, 3);
        switch (pick(r, 0, 5)) {
        case 5: /* what depthwise3 is for */
            g.kh = g.kw = 3;
            g.stride = nb_hw_of(pick(r, 1, 2));
            g.dilation = nb_hw_of(1);
            g.groups = g.c = g.oc = 8 * pick(r, 1, 13);
            break;
        case 4: /* what the Winograd transform is for */
            g.kh = g.kw = 3;
            g.h = pick(r, 5, 14);
            g.w = pick(r, 5, 14);
            g.stride = g.dilation = nb_hw_of(1);
            g.groups = 1;
            g.c = 16 * pick(r, 1, 3);
            g.oc = 16 * pick(r, 1, 3);
            break;
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
        nb_geom_fit(&g);
        if (g.oh > 0 && g.ow > 0)
            return g;
    }
}

/* Half of the codes are the ends of their range. */
static void random_codes(nb_rng *r, uint8_t *x, size_t n, nb_icodes range)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t kind = pick(r, 0, 3);
        x[i] = (uint8_t)(kind == 0 ? range.lo : kind == 1 ? range.hi : pick(r, range.lo, range.hi));
    }
}

/* Input codes of 1 to 8 bits, u8 or s8, anywhere in their type. */
static nb_icodes random_range(nb_rng *r, int32_t is_signed)
{
    const int32_t least = is_signed ? -128 : 0, most = least + 255;
    if (pick(r, 0, 1))
        return (nb_icodes){least, most};
    const int32_t span = (1 << pick(r, 1, 8)) - 1, lo = pick(r, least, most - span);
    return (nb_icodes){lo, lo + span};
}

typedef struct {
    const nb_geom *g;
    ref_guard x, w, y, packed, scratch;
    size_t n_y;
    int32_t is_signed, zero;
    nb_icodes range;
    int32_t *want;
} conv_case;

static void run_and_compare(const conv_case *c, int32_t cut)
{
    const nb_iconv_output out = {.acc = c->y.data};
    const nb_iconv_input in = {.x = c->x.data, .is_signed = c->is_signed, .zero = c->zero};
    memset(c->y.data, 0xA5, c->n_y * 4);
    nb_iconv_rows(&out, &in, c->packed.data, c->g, 0, cut, c->scratch.data);
    for (size_t i = (size_t)cut * (size_t)c->g->ow * (size_t)c->g->oc; i < c->n_y; i++)
        assert_int_equal(((uint32_t *)c->y.data)[i], 0xA5A5A5A5); /* other rows are left alone */
    nb_iconv_rows(&out, &in, c->packed.data, c->g, cut, c->g->oh, c->scratch.data);
    assert_memory_equal(c->y.data, c->want, c->n_y * 4);
}

static void compare_variant(nb_rng *r, conv_case *c, const nb_variant *v, const nb_iconv_method *method,
                            ref_guard_side side)
{
    c->packed = ref_guard_alloc(nb_iconv_packed_bytes_on(v, c->g), side);
    c->scratch = ref_guard_alloc(nb_iconv_scratch_bytes_on(v, c->g), side);
    nb_iconv_pack_on(v, method, c->packed.data, c->w.data, c->range, c->g);
    run_and_compare(c, pick(r, 0, c->g->oh));
    ref_guard_free(&c->packed);
    ref_guard_free(&c->scratch);
}

/* Every method of every variant that accepts these codes, and what each variant chooses. Counts them in `tried`. */
static void compare_all(nb_rng *r, const nb_geom *g, int32_t weight_max, int32_t tried[])
{
    assert_true(nb_iconv_supports(g));
    const ref_guard_side side = pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END;
    const size_t n_x = (size_t)g->h * (size_t)g->w * (size_t)g->c,
                 n_w = (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups);
    conv_case c = {.g = g, .n_y = (size_t)g->oh * (size_t)g->ow * (size_t)g->oc, .is_signed = pick(r, 0, 1)};
    c.range = random_range(r, c.is_signed);
    c.zero = pick(r, c.range.lo, c.range.hi);
    c.x = ref_guard_alloc(n_x, side);
    c.w = ref_guard_alloc(n_w, side);
    c.y = ref_guard_alloc(c.n_y * 4, side);
    c.want = malloc(c.n_y * sizeof *c.want);
    assert_non_null(c.want);
    random_codes(r, c.x.data, n_x, c.range);
    random_codes(r, c.w.data, n_w, (nb_icodes){-weight_max, weight_max});
    ref_iconv(c.want, c.x.data, c.is_signed, c.zero, c.w.data, g);
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
        compare_variant(r, &c, v, NULL, side);
        for (int32_t m = 0; methods_of(v)[m]; m++)
            if (nb_iconv_accepts(methods_of(v)[m], c.w.data, c.range, g)) {
                compare_variant(r, &c, v, methods_of(v)[m], side);
                tried[(v - nb_iconv_variants) * MAX_METHODS + m]++;
            }
    }
    free(c.want);
    ref_guard_free(&c.x);
    ref_guard_free(&c.w);
    ref_guard_free(&c.y);
}

static void every_variant_equals_the_plain_loops_on_random_geometries(void **state)
{
    (void)state;
    int32_t tried[MAX_METHODS * 16] = {0};
    nb_rng r = nb_rng_make(1, 0);
    for (int32_t i = 0; i < 600; i++) {
        const nb_geom g = random_geom(&r);
        compare_all(&r, &g, i % 2 ? 127 : (1 << pick(&r, 1, 6)) - (i % 4 == 2), tried);
    }
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v))
        for (int32_t m = 0; methods_of(v)[m]; m++)
            assert_true(tried[(v - nb_iconv_variants) * MAX_METHODS + m] > 50);
}

static void every_variant_equals_the_plain_loops_on_shapes_of_real_networks(void **state)
{
    (void)state;
    int32_t tried[MAX_METHODS * 16] = {0};
    nb_rng r = nb_rng_make(2, 0);
    const nb_geom cases[] = {geom_of(28, 28, 1, 16, 3, 1, 1), geom_of(16, 16, 16, 32, 3, 2, 1),
                             geom_of(8, 8, 64, 64, 3, 1, 1),  geom_of(16, 16, 16, 32, 1, 2, 0),
                             geom_of(1, 1, 577, 10, 1, 1, 0), geom_of(1, 1, 1024, 131, 1, 1, 0),
                             geom_of(7, 7, 3, 5, 7, 1, 0),    geom_of(1, 1, 4, 16, 3, 1, 1)};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int32_t bits = 1; bits < 8; bits++)
            compare_all(&r, &cases[i], (1 << bits) - 1, tried);
}

/* 65,500 products of x and +-w on every variant. */
static void expect_large_sums(uint8_t x_code, int8_t w_code, nb_icodes range, int32_t want)
{
    const nb_geom g = geom_of(1, 1, 65500, 2, 1, 1, 0);
    uint8_t *x = malloc(65500);
    int8_t *w = malloc(2 * 65500);
    assert_true(x && w);
    memset(x, x_code, 65500);
    memset(w, w_code, 65500);
    memset(w + 65500, -w_code, 65500);
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
        void *packed = aligned_alloc(64, nb_iconv_packed_bytes_on(v, &g)),
             *scratch = aligned_alloc(64, nb_iconv_scratch_bytes_on(v, &g));
        assert_true(packed && scratch);
        int32_t acc[2] = {0};
        nb_iconv_pack_on(v, NULL, packed, w, range, &g);
        nb_iconv_run(acc, x, range.lo < 0, 0, packed, &g, scratch);
        assert_int_equal(acc[0], want);
        assert_int_equal(acc[1], -want);
        free(packed);
        free(scratch);
    }
    free(x);
    free(w);
}

static void the_largest_sums_an_int32_holds_come_out_exact(void **state)
{
    (void)state;
    expect_large_sums(255, 127, (nb_icodes){0, 255}, 2121217500); /* of 2147483647; 16-bit saturation would show here */
    expect_large_sums(255, 64, (nb_icodes){0, 255}, 1068960000);  /* 32640 per pair, of 32767 */
    expect_large_sums(15, 127, (nb_icodes){0, 15}, 124777500);
    expect_large_sums(0x80, 127, (nb_icodes){-128, 127}, -1064768000); /* as bytes: 0, and the start alone */
    expect_large_sums(0x7f, 64, (nb_icodes){-128, 127}, 532384000);    /* as bytes: 255 * 64 wraps before the start */
}

/* vpmaddubsw saturates at 32767. */
static void avx2_takes_bytes_only_when_no_pair_can_saturate(void **state)
{
    (void)state;
    const nb_geom g = geom_of(1, 1, 4, 1, 1, 1, 0);
    const nb_icodes full = {0, 255}, narrow = {0, 15}, shifted = {-128, 127};
    const int8_t at[4] = {1, 2, 64, 64}, above[4] = {1, 2, 65, 64}, below[4] = {-64, -64, 0, 127},
                 mixed[4] = {127, -127, 1, 1};
    for (const nb_variant *v = nb_iconv_variants; v->name; v++) {
        if (strcmp(v->name, "avx2") != 0)
            continue;
        const nb_iconv_method *bytes = methods_of(v)[1];
        assert_string_equal(bytes->name, "bytes");
        assert_true(nb_iconv_accepts(bytes, at, full, &g));
        assert_true(nb_iconv_accepts(bytes, at, shifted, &g));
        assert_false(nb_iconv_accepts(bytes, above, full, &g));
        assert_true(nb_iconv_accepts(bytes, above, narrow, &g));
        assert_true(nb_iconv_accepts(bytes, below, full, &g));
        assert_true(nb_iconv_accepts(bytes, mixed, full, &g));
    }
}

static void padding_holds_the_zero_point(void **state)
{
    (void)state;
    const nb_geom g = geom_of(1, 1, 1, 1, 3, 1, 1); /* eight taps of padding around one pixel */
    const uint8_t x = 10;
    const int8_t w[9] = {1, 1, 1, 1, 2, 1, 1, 1, 1};
    int32_t acc = 0;
    ref_iconv(&acc, &x, 0, 7, w, &g);
    assert_int_equal(acc, 8 * 7 + 2 * 10);
}

static void weights_may_be_packed_again_into_the_same_memory(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(4, 0);
    const nb_geom g = geom_of(4, 4, 3, 5, 3, 1, 1);
    void *packed = aligned_alloc(64, nb_iconv_packed_bytes(&g)),
         *scratch = aligned_alloc(64, nb_iconv_scratch_bytes(&g));
    assert_true(packed && scratch);
    for (int32_t i = 0; i < 20; i++) { /* small and large weights in turns: the method may change, too */
        uint8_t x[48];
        int8_t w[5 * 27];
        int32_t got[80], want[80];
        const int32_t most = i % 2 ? 127 : 3;
        random_codes(&r, x, sizeof x, (nb_icodes){0, 255});
        random_codes(&r, (uint8_t *)w, sizeof w, (nb_icodes){-most, most});
        ref_iconv(want, x, 0, 9, w, &g);
        nb_iconv_pack(packed, w, (nb_icodes){0, 255}, &g);
        nb_iconv_run(got, x, 0, 9, packed, &g, scratch);
        assert_memory_equal(got, want, sizeof want);
    }
    free(packed);
    free(scratch);
}

static void rows_become_codes_on_the_way_as_requantize_does_it(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(5, 0);
    for (int32_t i = 0; i < 200; i++) {
        const nb_geom g = random_geom(&r);
        const size_t n_y = (size_t)g.oh * (size_t)g.ow * (size_t)g.oc, n_x = (size_t)g.h * (size_t)g.w * (size_t)g.c;
        const size_t n_w = (size_t)g.oc * (size_t)g.kh * (size_t)g.kw * (size_t)(g.c / g.groups), c = (size_t)g.oc;
        ref_guard y = ref_guard_alloc(n_y, pick(&r, 0, 1) ? GUARD_BEGIN : GUARD_END);
        uint8_t *x = malloc(n_x), *codes = y.data, *want = malloc(n_y);
        int8_t *w = malloc(n_w);
        int32_t *acc = malloc(n_y * 4), *table = malloc(3 * c * 4);
        void *packed = aligned_alloc(64, nb_iconv_packed_bytes(&g)),
             *scratch = aligned_alloc(64, nb_iconv_scratch_bytes(&g));
        assert_true(x && codes && want && w && acc && table && packed && scratch);
        random_codes(&r, x, n_x, (nb_icodes){0, 255});
        random_codes(&r, (uint8_t *)w, n_w, (nb_icodes){-31, 31});
        for (size_t k = 0; k < c; k++) {
            table[k] = pick(&r, -1000, 1000);
            table[c + k] = (1 << 30) + (int32_t)(nb_rng_u32(&r) >> 2);
            table[2 * c + k] = pick(&r, i % 4 ? 33 : 31, 42);
        }
        const nb_irequant q = {.bias = table, .mult = table + c, .shift = table + 2 * c, .zero = 7, .lo = 0, .hi = 255};
        const nb_iconv_output out = {.codes = codes, .q = &q};
        const nb_iconv_input in = {.x = x, .zero = 3};
        ref_iconv(acc, x, 0, 3, w, &g);
        nb_iconv_requantize(want, acc, &q, (int64_t)g.oh * g.ow, g.oc);
        nb_iconv_pack(packed, w, (nb_icodes){0, 255}, &g);
        const int32_t cut = pick(&r, 0, g.oh);
        nb_iconv_rows(&out, &in, packed, &g, cut, g.oh, scratch);
        nb_iconv_rows(&out, &in, packed, &g, 0, cut, scratch);
        assert_memory_equal(codes, want, n_y);
        ref_guard_free(&y);
        void *all[] = {x, want, w, acc, table, packed, scratch};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
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
    bad[5].stride.h = 0;
    bad[6].dilation.w = 0;
    bad[7].kh = 0;
    bad[8].pad.bottom = -1;
    bad[9].c = -4;
    bad[10].pad.left = INT32_MAX;
    bad[11].dilation.h = INT32_MAX;
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
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
        memset(codes.data, 0xA5, n);
        nb_iconv_requantize_on(v, codes.data, a, &q, rc->rows, rc->c);
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
        cmocka_unit_test(avx2_takes_bytes_only_when_no_pair_can_saturate),
        cmocka_unit_test(padding_holds_the_zero_point),
        cmocka_unit_test(weights_may_be_packed_again_into_the_same_memory),
        cmocka_unit_test(rows_become_codes_on_the_way_as_requantize_does_it),
        cmocka_unit_test(geometries_that_are_none_or_too_large_are_refused),
        cmocka_unit_test(requantize_equals_rescale_for_any_channels_shifts_and_extreme_sums),
        cmocka_unit_test(requantize_to_int32_keeps_wide_values_and_saturates),
    };
    return cmocka_run_group_tests_name("iconv", tests, NULL, NULL);
}
