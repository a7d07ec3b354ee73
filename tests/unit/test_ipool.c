/* test_ipool.c - pools and concat on codes against their definitions in 64-bit integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/integer/ipool.h"
#include "ref/guard.h"
#include "ref/ref_rescale.h"

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static int32_t code(uint8_t byte, int32_t is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

static void random_bytes(nb_rng *r, uint8_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t v = nb_rng_u32(r);
        x[i] = v & 0x300 ? (uint8_t)v : v & 0x400 ? 0x80 : 0x7f;
    }
}

/* A grid: limits within u8 or s8 with the zero point between them. */
static void random_grid(nb_rng *r, int32_t *zero, int32_t *lo, int32_t *hi)
{
    const int32_t s8 = pick(r, 0, 1), min = s8 ? -128 : 0, max = s8 ? 127 : 255, full = pick(r, 0, 1);
    *zero = pick(r, min, max);
    *lo = full ? min : pick(r, min, *zero);
    *hi = full ? max : pick(r, *zero, max);
}

static nb_regrid random_regrid(nb_rng *r)
{
    nb_regrid g = {.x_signed = pick(r, 0, 1)};
    g.x_zero = g.x_signed ? pick(r, -128, 127) : pick(r, 0, 255);
    g.mult = (1 << 30) + (int32_t)(nb_rng_u32(r) >> 2);
    g.shift = pick(r, 0, 4) ? pick(r, 29, 33) : pick(r, 1, 62);
    random_grid(r, &g.y_zero, &g.lo, &g.hi);
    return g;
}

static nb_geom random_pool(nb_rng *r, int32_t max_pad)
{
    for (;;) {
        nb_geom g = {.h = pick(r, 1, 9),
                     .w = pick(r, 1, 9),
                     .kh = pick(r, 1, 4),
                     .kw = pick(r, 1, 4),
                     .stride = {pick(r, 1, 3), pick(r, 1, 3)}};
        g.dilation = nb_hw_of(1);
        g.c = g.oc = pick(r, 1, 2) == 1 ? pick(r, 1, 10) : pick(r, 60, 140);
        g.pad = (nb_sides){pick(r, 0, max_pad), pick(r, 0, max_pad), pick(r, 0, max_pad), pick(r, 0, max_pad)};
        nb_geom_fit(&g);
        if (g.oh > 0 && g.ow > 0 && nb_pool_touches(&g))
            return g;
    }
}

enum { MAX, MEAN, MEAN_INSIDE };

/* Largest code or sum of codes - zero of the window of output (oy, ox), channel c; its pixels of the image. */
static int64_t window(const nb_geom *g, const uint8_t *x, int32_t is_signed, int32_t zero, int32_t kind, int32_t oy,
                      int32_t ox, int32_t c, int32_t *pixels)
{
    int64_t sum = 0, most = -1000;
    *pixels = 0;
    for (int32_t iy = oy * g->stride.h - g->pad.top; iy < oy * g->stride.h - g->pad.top + g->kh; iy++)
        for (int32_t ix = ox * g->stride.w - g->pad.left; ix < ox * g->stride.w - g->pad.left + g->kw; ix++) {
            if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                continue;
            const int32_t v = code(x[(iy * g->w + ix) * g->c + c], is_signed);
            sum += v - zero;
            ++*pixels;
            most = v > most ? v : most;
        }
    return kind == MAX ? most : sum;
}

static void compare_pool(nb_rng *r, int32_t kind)
{
    const nb_geom g = random_pool(r, 3);
    const ref_guard_side side = pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END;
    ref_guard x = ref_guard_alloc((size_t)(g.h * g.w * g.c), side),
              y = ref_guard_alloc((size_t)(g.oh * g.ow * g.c), side);
    random_bytes(r, x.data, (size_t)(g.h * g.w * g.c));
    nb_regrid q = random_regrid(r);
    if (kind != MAX) {
        nb_k_avgpool_codes(y.data, x.data, &q, &g, kind == MEAN_INSIDE);
    } else { /* the grid stays: lo and hi are on the input's */
        q.lo = q.x_signed ? pick(r, -128, 0) : pick(r, 0, 100);
        q.hi = q.x_signed ? pick(r, 1, 127) : pick(r, 101, 255);
        nb_k_maxpool_codes(y.data, x.data, q.x_signed, q.lo, q.hi, &g);
    }
    const uint8_t *got = y.data;
    for (int32_t oy = 0; oy < g.oh; oy++)
        for (int32_t ox = 0; ox < g.ow; ox++)
            for (int32_t c = 0; c < g.c; c++) {
                int32_t pixels, mult = q.mult, shift = q.shift;
                const int32_t v = (int32_t)window(&g, x.data, q.x_signed, q.x_zero, kind, oy, ox, c, &pixels);
                const int32_t clamped = v < q.lo ? q.lo : v > q.hi ? q.hi : v;
                if (kind == MEAN_INSIDE && pixels < g.kh * g.kw)
                    nb_avgpool_multiplier(pixels, &mult, &shift);
                const int32_t want = kind == MAX ? clamped : ref_rescale(v, mult, shift, q.y_zero, q.lo, q.hi);
                assert_int_equal(*got++, (uint8_t)want);
            }
    ref_guard_free(&x);
    ref_guard_free(&y);
}

static void max_pools_take_the_largest_real_pixel_and_clamp(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(11, 0);
    for (int32_t i = 0; i < 500; i++)
        compare_pool(&r, MAX);
}

static void average_pools_sum_then_rescale_once(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(12, 0);
    for (int32_t i = 0; i < 500; i++)
        compare_pool(&r, i % 2 ? MEAN : MEAN_INSIDE);
}

static void the_largest_window_sums_do_not_overflow(void **state)
{
    (void)state;
    const nb_geom g = {.h = 2048,
                       .w = 2048,
                       .c = 1,
                       .oh = 1,
                       .ow = 1,
                       .oc = 1,
                       .kh = 2048,
                       .kw = 2048,
                       .stride = {1, 1},
                       .dilation = {1, 1}};
    uint8_t *x = malloc(2048 * 2048), y = 0;
    assert_non_null(x);
    nb_regrid q = {.x_signed = 0, .x_zero = 0, .y_zero = 0, .lo = 0, .hi = 255};
    nb_avgpool_multiplier(2048 * 2048, &q.mult, &q.shift);
    memset(x, 255, 2048 * 2048);
    nb_k_avgpool_codes(&y, x, &q, &g, 0);
    assert_int_equal(y, 255);
    q = (nb_regrid){
        .x_signed = 1, .x_zero = 127, .mult = q.mult, .shift = q.shift, .y_zero = 127, .lo = -128, .hi = 127};
    memset(x, 0x80, 2048 * 2048);
    nb_k_avgpool_codes(&y, x, &q, &g, 0);
    assert_int_equal((int8_t)y, -128);
    free(x);
}

static void the_multiplier_of_an_average_is_the_nearest(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= (int64_t)1 << 30; count += count < 5000 ? 1 : count / 7) {
        int32_t mult = 0, shift = 0;
        nb_avgpool_multiplier((int32_t)count, &mult, &shift);
        assert_true(mult >= 1 << 30 && shift >= 1 && shift <= 62);
        const int64_t error = mult * count - ((int64_t)1 << shift); /* |mult - 2^shift / count| <= 1/2 */
        assert_true(2 * error <= count && 2 * error >= -count);
    }
}

static void the_average_of_equal_codes_is_that_code(void **state)
{
    (void)state;
    for (int32_t count = 1; count < 3000; count++)
        for (int32_t v = -255; v <= 255; v += 15) {
            int32_t mult, shift;
            nb_avgpool_multiplier(count, &mult, &shift);
            assert_int_equal(ref_rescale(v * count, mult, shift, 0, -255, 255), v);
        }
}

static void one_input_of_a_concat_leaves_its_neighbours_alone(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(14, 0);
    for (int32_t i = 0; i < 200; i++) {
        const int32_t rows = pick(&r, 1, 20), c = pick(&r, 1, 40), before = pick(&r, 0, 3), after = pick(&r, 0, 3),
                      stride = before + c + after;
        uint8_t x[20 * 40], y[20 * 46];
        random_bytes(&r, x, sizeof x);
        memset(y, 0xA5, sizeof y);
        const nb_regrid q = random_regrid(&r);
        nb_k_concat_codes(y + before, stride, x, rows, c, &q);
        for (int32_t p = 0; p < rows * stride; p++) {
            const int32_t at = p % stride - before;
            if (at < 0 || at >= c) {
                assert_int_equal(y[p], 0xA5);
                continue;
            }
            const int32_t v = code(x[p / stride * c + at], q.x_signed) - q.x_zero;
            assert_int_equal(y[p], (uint8_t)ref_rescale(v, q.mult, q.shift, q.y_zero, q.lo, q.hi));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_pools_take_the_largest_real_pixel_and_clamp),
        cmocka_unit_test(average_pools_sum_then_rescale_once),
        cmocka_unit_test(the_largest_window_sums_do_not_overflow),
        cmocka_unit_test(the_multiplier_of_an_average_is_the_nearest),
        cmocka_unit_test(the_average_of_equal_codes_is_that_code),
        cmocka_unit_test(one_input_of_a_concat_leaves_its_neighbours_alone),
    };
    return cmocka_run_group_tests_name("ipool", tests, NULL, NULL);
}
