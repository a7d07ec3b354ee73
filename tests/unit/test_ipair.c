/* test_ipair.c - sums and products of two tensors of codes against their definitions in 64-bit integers. */
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

static nb_ipair random_pair(nb_rng *r)
{
    nb_ipair p = {.product = pick(r, 0, 1)};
    p.shift = pick(r, 0, 3) ? pick(r, 28, p.product ? 40 : 33) : pick(r, 1, 62);
    for (int32_t k = 0; k < 2; k++) {
        p.x_signed[k] = pick(r, 0, 1);
        p.zero[k] = p.x_signed[k] ? pick(r, -128, 127) : pick(r, 0, 255);
        p.mult[k] = pick(r, 0, 9) ? (int32_t)(nb_rng_u32(r) >> pick(r, 1, 8)) : pick(r, 0, 1) ? INT32_MAX : 0;
    }
    p.mult[1] = pick(r, 0, 1) ? p.mult[1] : -p.mult[1];
    if (p.product)
        p.mult[0] = pick(r, 0, 9) ? (1 << 30) + (int32_t)(nb_rng_u32(r) >> 2) : INT32_MAX;
    const int32_t s8 = pick(r, 0, 1), min = s8 ? -128 : 0, max = s8 ? 127 : 255, full = pick(r, 0, 1);
    p.y_zero = pick(r, min, max);
    p.lo = full ? min : pick(r, min, p.y_zero);
    p.hi = full ? max : pick(r, p.y_zero, max);
    return p;
}

static uint8_t defined(uint8_t a, uint8_t b, const nb_ipair *p)
{
    const int64_t u = code(a, p->x_signed[0]) - p->zero[0], v = code(b, p->x_signed[1]) - p->zero[1];
    const int64_t wide = p->product ? u * v * p->mult[0] : u * p->mult[0] + v * p->mult[1];
    const int64_t y = ref_rescale_wide(wide, p->shift) + p->y_zero;
    return (uint8_t)(y < p->lo ? p->lo : y > p->hi ? p->hi : y);
}

static void sums_and_products_are_rounded_once_by_every_variant(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(13, 0);
    for (int32_t i = 0; i < 1000; i++) {
        const size_t n = (size_t)pick(&r, 0, 300);
        const ref_guard_side side = pick(&r, 0, 1) ? GUARD_BEGIN : GUARD_END;
        ref_guard a = ref_guard_alloc(n, side), b = ref_guard_alloc(n, side), y = ref_guard_alloc(n, side);
        random_bytes(&r, a.data, n);
        random_bytes(&r, b.data, n);
        const nb_ipair p = random_pair(&r);
        for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
            memset(y.data, 0xA5, n);
            if (p.product)
                NB_ICONV_FUNCTION(v, mul)(y.data, a.data, b.data, (int64_t)n, &p);
            else
                NB_ICONV_FUNCTION(v, add)(y.data, a.data, b.data, (int64_t)n, &p);
            for (size_t j = 0; j < n; j++)
                assert_int_equal(((uint8_t *)y.data)[j], defined(((uint8_t *)a.data)[j], ((uint8_t *)b.data)[j], &p));
        }
        ref_guard_free(&a);
        ref_guard_free(&b);
        ref_guard_free(&y);
    }
}

/* Every product of two codes with every zero point at the ends, where a multiplier of 1/2 has a tie in each odd one. */
static void ties_of_products_go_up(void **state)
{
    (void)state;
    const nb_ipair p = {.product = 1, .zero = {1, 2}, .mult = {1 << 30, 0}, .shift = 31, .y_zero = 100, .hi = 255};
    uint8_t a[256], b[256], y[256];
    for (int32_t k = 0; k < 6; k++) {
        for (int32_t i = 0; i < 256; i++) {
            a[i] = (uint8_t)i;
            b[i] = (uint8_t)k;
        }
        nb_k_pair_codes(y, a, b, 256, &p);
        for (int32_t i = 0; i < 256; i++) {
            const int32_t twice = (i - 1) * (k - 2), half = (twice + 1) >> 1, want = 100 + half;
            assert_int_equal(y[i], want < 0 ? 0 : want > 255 ? 255 : want);
        }
    }
}

/* Sides of 1 on either input, on both, and on none; channels fewer and more than what is written out at a time. */
static void a_side_of_one_is_repeated(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(15, 0);
    for (int32_t i = 0; i < 300; i++) {
        const nb_isize out = {pick(&r, 1, 6), pick(&r, 1, 40), pick(&r, 0, 9) ? pick(&r, 1, 40) : pick(&r, 1000, 2100)};
        nb_isize size[2] = {out, out};
        for (int32_t k = 0; k < 2; k++) {
            size[k].h = pick(&r, 0, 1) ? out.h : 1;
            size[k].w = pick(&r, 0, 1) ? out.w : 1;
            size[k].c = pick(&r, 0, 1) ? out.c : 1;
        }
        const ref_guard_side side = pick(&r, 0, 1) ? GUARD_BEGIN : GUARD_END;
        ref_guard x[2], y = ref_guard_alloc((size_t)(out.h * out.w * out.c), side);
        for (int32_t k = 0; k < 2; k++) {
            const size_t n = (size_t)(size[k].h * size[k].w * size[k].c);
            x[k] = ref_guard_alloc(n, side);
            random_bytes(&r, x[k].data, n);
        }
        const uint8_t *const data[2] = {x[0].data, x[1].data};
        const nb_ipair p = random_pair(&r);
        const int32_t cut = pick(&r, 0, out.h);
        nb_k_pair_rows(y.data, data, size, &out, 0, cut, &p);
        nb_k_pair_rows(y.data, data, size, &out, cut, out.h, &p);
        const uint8_t *got = y.data;
        for (int32_t at = 0; at < out.h * out.w * out.c; at++) {
            const int32_t c = at % out.c, col = at / out.c % out.w, row = at / out.c / out.w;
            uint8_t v[2];
            for (int32_t k = 0; k < 2; k++)
                v[k] = data[k][(row % size[k].h * size[k].w + col % size[k].w) * size[k].c + c % size[k].c];
            assert_int_equal(got[at], defined(v[0], v[1], &p));
        }
        ref_guard_free(&x[0]);
        ref_guard_free(&x[1]);
        ref_guard_free(&y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_are_rounded_once_by_every_variant),
        cmocka_unit_test(ties_of_products_go_up),
        cmocka_unit_test(a_side_of_one_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
