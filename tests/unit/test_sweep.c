/* test_sweep.c - the sweeps: the scalar ones against their definition, every other variant bit-equal to them, on
 * guarded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "kernels/sweeps/sweep_isa.h"
#include "ref/guard.h"

/* The function of a variant or, where it has none, of the next worse. */
#define SWEEP(v, function) NB_VARIANT_FUNCTION(nb_sweep_isa, nb_sweep_variants, v, function)
#define FUSED(v, function) NB_VARIANT_FUNCTION(nb_fused_isa, nb_fused_variants, v, function)

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

/* Mostly ordinary values, some on ties of scale 0.5, some special. */
static float value(nb_rng *r, bool special)
{
    static const float odd[] = {0.0f, -0.0f, 1e30f, -1e30f, 1e-40f, INFINITY, -INFINITY, NAN};
    switch (pick(r, 0, 7)) {
    case 0:
        return (float)pick(r, -40, 40) * 0.25f;
    case 1:
        return special ? odd[pick(r, 0, 7)] : 1.0f;
    default:
        return nb_rng_normal(r) * 3;
    }
}

static ref_guard floats(nb_rng *r, int64_t n, bool special)
{
    ref_guard g = ref_guard_alloc((size_t)n * sizeof(float), pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
    for (int64_t i = 0; i < n; i++)
        ((float *)g.data)[i] = value(r, special);
    return g;
}

static ref_guard bytes(nb_rng *r, int64_t n)
{
    ref_guard g = ref_guard_alloc((size_t)n, pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
    for (int64_t i = 0; i < n; i++)
        ((uint8_t *)g.data)[i] = (uint8_t)pick(r, 0, 255);
    return g;
}

/* Equal bytes, except that one NaN is as good as another. */
static void assert_same_floats(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])))
            assert_memory_equal(&a[i], &b[i], sizeof *a);
}

/* ---- definitions ---- */

static void codes_are_rounded_half_to_even_and_clamped_after_the_zero_point(void **state)
{
    (void)state;
    const float x[] = {0.25f, 0.75f, -0.25f, -0.75f, 1.0f, 100.0f, -100.0f, INFINITY, -INFINITY, NAN};
    const uint8_t want[] = {3 + 0, 3 + 2, 3 - 0, 3 - 2, 3 + 2, 15, 0, 15, 0, 3};
    uint8_t got[10], mask[2];
    nb_k_quantize(got, mask, x, 10, 0.5f, 3, 0, 15);
    assert_memory_equal(got, want, 10);
    assert_int_equal(mask[0], 0x1f); /* 100, -100 and infinity were outside */
    assert_int_equal(mask[1], 0x00); /* so were -infinity and NaN; bits past the end are 0 */
}

#ifdef NB_EMULATED /* hundreds of times slower: fewer values, and every seventh length */
enum { RANDOM_VALUES = 300, LENGTH_STEP = 7 };
#else
enum { RANDOM_VALUES = 3000, LENGTH_STEP = 1 };
#endif

static void codes_follow_the_formula_in_double(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(1, 1);
    for (int round = 0; round < RANDOM_VALUES; round++) {
        int32_t bits = pick(&r, 2, 8), is_signed = pick(&r, 0, 1);
        int32_t hi = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1, lo = is_signed ? -hi : 0,
                zero = pick(&r, lo, hi);
        float scale = pick(&r, 0, 1) ? 0.5f : nb_rng_uniform(&r) + 0.01f, x = value(&r, false);
        double unclamped = nearbyint((double)(x / scale)) + zero;
        double want = unclamped < lo ? lo : unclamped > hi ? hi : unclamped;
        uint8_t code, mask;
        nb_k_quantize(&code, &mask, &x, 1, scale, zero, lo, hi);
        assert_int_equal(is_signed ? (int8_t)code : code, (int)want);
        assert_int_equal(mask, unclamped >= lo && unclamped <= hi);
        float back;
        nb_k_dequantize(&back, &code, 1, scale, zero, is_signed);
        assert_true(back == scale * (float)((int)want - zero));
    }
}

static void ties_go_to_even_for_every_code(void **state)
{
    (void)state;
    for (int i = -300; i <= 300; i++) {
        float x = (float)i + 0.5f;
        uint8_t code;
        nb_k_quantize(&code, NULL, &x, 1, 1.0f, 100, 0, 255);
        int even = i % 2 == 0 ? i : i + 1, want = even + 100 < 0 ? 0 : even + 100 > 255 ? 255 : even + 100;
        assert_int_equal(code, want);
    }
}

static void minmax_finds_the_ends_wherever_they_are_and_nan_spoils_both(void **state)
{
    (void)state;
    float x[70];
    for (int n = 1; n <= 70; n++)
        for (int at = 0; at < n; at++) {
            float min, max;
            for (int i = 0; i < n; i++)
                x[i] = 1.0f;
            x[at] = -2.0f;
            x[(at + 7) % n] = n > 7 ? 5.0f : x[(at + 7) % n];
            nb_k_minmax(&min, &max, x, n);
            assert_true(min == (n > 7 && (at + 7) % n == at ? 5.0f : -2.0f));
            assert_true(max == (n > 7 ? 5.0f : n > 1 ? 1.0f : -2.0f));
            x[at] = NAN;
            nb_k_minmax(&min, &max, x, n);
            assert_true(isnan(min) && isnan(max));
        }
}

static void the_sign_of_zero_does_not_depend_on_order(void **state)
{
    (void)state;
    float x[2] = {0.0f, -0.0f}, min, max;
    for (int i = 0; i < 2; i++) {
        nb_k_minmax(&min, &max, x + i, 1);
        assert_false(signbit(min) || signbit(max));
    }
}

static void accumulators_lose_the_zero_point_before_they_become_floats(void **state)
{
    (void)state;
    const int32_t acc[] = {INT32_MAX, 7, INT32_MIN, -7}, bias[] = {-INT32_MAX, 3};
    const float scale[] = {0.5f, 2.0f}, shift[] = {1.0f, -1.0f};
    float y[4];
    nb_k_acc_to_real(y, acc, bias, scale, shift, 2, 2);
    assert_true(y[0] == 1.0f && y[1] == 19.0f);
    assert_true(y[2] == 0.5f * 1 + 1.0f && y[3] == -9.0f); /* INT32_MIN - INT32_MAX wraps to 1 */
}

static void channel_sweeps_do_what_their_formulas_say(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6}, dy[] = {1, -1, 2, -2, 3, -3}, a[] = {2, 3}, b[] = {10, 20}, d[] = {100, 200};
    double sum[2] = {100, 0}, sumsq[2] = {0, 100}, sum_dy[2] = {0}, sum_dyx[2] = {0};
    float y[6];
    float min[2] = {INFINITY, 3}, max[2] = {-INFINITY, 5};
    nb_k_channel_stats(sum, sumsq, min, max, x, 3, 2);
    assert_true(sum[0] == 109 && sum[1] == 12 && sumsq[0] == 35 && sumsq[1] == 156);
    assert_true(min[0] == 1 && max[0] == 5 && min[1] == 2 && max[1] == 6);
    nb_k_channel_affine(y, x, a, b, 3, 2);
    assert_true(y[0] == 12 && y[1] == 26 && y[4] == 20 && y[5] == 38);
    nb_k_channel_grad_sums(sum_dy, sum_dyx, dy, NULL, x, a, 3, 2); /* mean = 2, 3 */
    assert_true(sum_dy[0] == 6 && sum_dy[1] == -6 && sum_dyx[0] == -1 + 2 + 9 && sum_dyx[1] == 1 - 2 - 9);
    nb_k_channel_grad(y, dy, NULL, x, &(nb_kgrad){a, b, d}, 3, 2, 0);
    assert_true(y[0] == 112 && y[1] == 237 && y[4] == 156 && y[5] == 311);
    nb_k_channel_grad(y, dy, NULL, x, &(nb_kgrad){a, b, d}, 3, 2, 1);
    assert_true(y[0] == 224 && y[5] == 622);
}

static void a_masked_gradient_counts_as_zero(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6}, dy[] = {1, NAN, 2, -2, INFINITY, -3}, a[] = {2, 3}, b[] = {10, 20},
                d[] = {100, 200};
    const uint8_t mask[] = {1, 3, 2}; /* a byte per row: channel 0, both, channel 1 */
    double sum[2] = {0}, product[2] = {0};
    float y[6];
    nb_k_channel_grad_sums(sum, product, dy, mask, x, a, 3, 2);
    assert_true(sum[0] == 3 && sum[1] == -5 && product[0] == -1 + 2 && product[1] == -2 - 9);
    nb_k_channel_grad(y, dy, mask, x, &(nb_kgrad){a, b, d}, 3, 2, 0);
    assert_true(y[0] == 112 && y[1] == 240 && y[4] == 150 && y[5] == 311);
}

static void the_extremes_of_a_channel_keep_a_nan_and_no_sign_of_zero(void **state)
{
    (void)state;
    const float x[] = {-0.0f, 1, NAN, 2}, again[] = {5, 5};
    double sum[2] = {0}, sumsq[2] = {0};
    float min[2] = {INFINITY, INFINITY}, max[2] = {-INFINITY, -INFINITY};
    nb_k_channel_stats(sum, sumsq, min, max, x, 1, 2);
    assert_true(min[0] == 0 && !signbit(min[0]) && !signbit(max[0]));
    nb_k_channel_stats(sum, sumsq, min, max, x + 2, 1, 2);
    nb_k_channel_stats(sum, sumsq, min, max, again, 1, 2);
    assert_true(isnan(min[0]) && isnan(max[0]) && min[1] == 1 && max[1] == 5);
}

/* ---- every variant equals the scalar one ---- */

static void every_quantize_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(2, 1);
    for (int64_t n = 1; n < 140; n += LENGTH_STEP) {
        int32_t is_signed = pick(&r, 0, 1), hi = is_signed ? 127 : pick(&r, 3, 255), lo = is_signed ? -127 : 0;
        int32_t zero = pick(&r, lo, hi);
        float scale = pick(&r, 0, 2) ? 0.5f : 1e-38f + nb_rng_uniform(&r);
        ref_guard x = floats(&r, n, true), want = bytes(&r, n), want_mask = bytes(&r, (n + 7) / 8),
                  want_y = floats(&r, n, false);
        nb_sweep_scalar.quantize(want.data, want_mask.data, x.data, n, scale, zero, lo, hi);
        nb_sweep_scalar.dequantize(want_y.data, want.data, n, scale, zero, is_signed);
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            ref_guard got = bytes(&r, n), mask = bytes(&r, (n + 7) / 8);
            SWEEP(v, quantize)(got.data, mask.data, x.data, n, scale, zero, lo, hi);
            assert_memory_equal(got.data, want.data, (size_t)n);
            assert_memory_equal(mask.data, want_mask.data, (size_t)(n + 7) / 8);
            SWEEP(v, quantize)(got.data, NULL, x.data, n, scale, zero, lo, hi);
            assert_memory_equal(got.data, want.data, (size_t)n);
            ref_guard_free(&got);
            ref_guard_free(&mask);
        }
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            ref_guard y = floats(&r, n, true);
            SWEEP(v, dequantize)(y.data, want.data, n, scale, zero, is_signed);
            assert_same_floats(y.data, want_y.data, n);
            ref_guard_free(&y);
        }
        ref_guard_free(&x);
        ref_guard_free(&want);
        ref_guard_free(&want_mask);
        ref_guard_free(&want_y);
    }
}

static void every_ste_backward_and_minmax_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(3, 1);
    for (int64_t n = 1; n < 140; n += LENGTH_STEP) {
        ref_guard dy = floats(&r, n, true), mask = bytes(&r, (n + 7) / 8), want = floats(&r, n, false),
                  x = floats(&r, n, false);
        float min, max;
        nb_sweep_scalar.minmax(&min, &max, x.data, n);
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            float got[2];
            SWEEP(v, minmax)(&got[0], &got[1], x.data, n);
            assert_memory_equal(&got[0], &min, sizeof min);
            assert_memory_equal(&got[1], &max, sizeof max);
        }
        for (int32_t add = 0; add <= 1; add++) {
            memcpy(want.data, x.data, (size_t)n * sizeof(float));
            nb_sweep_scalar.ste_backward(want.data, dy.data, mask.data, n, add);
            for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v;
                 v = nb_variant_below(nb_sweep_variants, v)) {
                ref_guard dx = floats(&r, n, false);
                memcpy(dx.data, x.data, (size_t)n * sizeof(float));
                SWEEP(v, ste_backward)(dx.data, dy.data, mask.data, n, add);
                assert_same_floats(dx.data, want.data, n);
                ref_guard_free(&dx);
            }
        }
        ref_guard_free(&dy);
        ref_guard_free(&mask);
        ref_guard_free(&want);
        ref_guard_free(&x);
    }
}

enum { MAX_CHANNELS = 304 };

/* Both sums and, if asked, both extremes of every variant, from the same start. */
static void check_stats(nb_rng *r, int64_t rows, int32_t c, bool extremes)
{
    ref_guard x = floats(r, rows * c, extremes);
    double start[MAX_CHANNELS] = {0}, want[2][MAX_CHANNELS];
    float ends[2][MAX_CHANNELS];
    for (int32_t j = 0; j < c; j++)
        start[j] = (double)value(r, false);
    memcpy(want[0], start, sizeof start);
    memcpy(want[1], start, sizeof start);
    for (int32_t j = 0; j < c; j++) {
        ends[0][j] = INFINITY;
        ends[1][j] = -INFINITY;
    }
    nb_sweep_scalar.channel_stats(want[0], want[1], extremes ? ends[0] : NULL, extremes ? ends[1] : NULL, x.data, rows,
                                  c);
    const size_t n = (size_t)c * sizeof(double), n_ends = (size_t)c * sizeof(float);
    for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
        ref_guard s = ref_guard_alloc(n, GUARD_END), q = ref_guard_alloc(n, GUARD_END);
        ref_guard lo = ref_guard_alloc(n_ends, GUARD_END), hi = ref_guard_alloc(n_ends, GUARD_END);
        memcpy(s.data, start, n);
        memcpy(q.data, start, n);
        for (int32_t j = 0; j < c; j++) {
            ((float *)lo.data)[j] = INFINITY;
            ((float *)hi.data)[j] = -INFINITY;
        }
        SWEEP(v, channel_stats)(s.data, q.data, extremes ? lo.data : NULL, extremes ? hi.data : NULL, x.data, rows, c);
        for (int32_t j = 0; j < c && !extremes; j++) {
            assert_memory_equal((double *)s.data + j, &want[0][j], sizeof(double));
            assert_memory_equal((double *)q.data + j, &want[1][j], sizeof(double));
        }
        if (extremes) {
            assert_same_floats(lo.data, ends[0], c);
            assert_same_floats(hi.data, ends[1], c);
        }
        ref_guard *all[] = {&s, &q, &lo, &hi};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            ref_guard_free(all[k]);
    }
    ref_guard_free(&x);
}

static void check_grad_sums(nb_rng *r, int64_t rows, int32_t c, bool masked)
{
    ref_guard x = floats(r, rows * c, false), dy = floats(r, rows * c, false), mean = floats(r, c, false),
              mask = bytes(r, rows * ((c + 7) / 8));
    double start[MAX_CHANNELS], want[2][MAX_CHANNELS];
    for (int32_t j = 0; j < c; j++)
        start[j] = (double)value(r, false);
    memcpy(want[0], start, sizeof start);
    memcpy(want[1], start, sizeof start);
    const uint8_t *bits = masked ? mask.data : NULL;
    nb_sweep_scalar.channel_grad_sums(want[0], want[1], dy.data, bits, x.data, mean.data, rows, c);
    const size_t n = (size_t)c * sizeof(double);
    for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
        ref_guard s = ref_guard_alloc(n, GUARD_END), q = ref_guard_alloc(n, GUARD_END);
        memcpy(s.data, start, n);
        memcpy(q.data, start, n);
        SWEEP(v, channel_grad_sums)(s.data, q.data, dy.data, bits, x.data, mean.data, rows, c);
        assert_memory_equal(s.data, want[0], n);
        assert_memory_equal(q.data, want[1], n);
        ref_guard_free(&s);
        ref_guard_free(&q);
    }
    ref_guard *all[] = {&x, &dy, &mean, &mask};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        ref_guard_free(all[k]);
}

static void check_grads(nb_rng *r, int64_t rows, int32_t c, bool masked)
{
    ref_guard x = floats(r, rows * c, true), dy = floats(r, rows * c, true), want = floats(r, rows * c, false),
              start = floats(r, rows * c, false), got = floats(r, rows * c, false);
    ref_guard a = floats(r, c, false), b = floats(r, c, false), d = floats(r, c, false),
              mask = bytes(r, rows * ((c + 7) / 8));
    const nb_kgrad k = {a.data, b.data, d.data};
    const uint8_t *bits = masked ? mask.data : NULL;
    for (int32_t add = 0; add <= 1; add++) {
        memcpy(want.data, start.data, (size_t)(rows * c) * sizeof(float));
        nb_sweep_scalar.channel_grad(want.data, dy.data, bits, x.data, &k, rows, c, add);
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            memcpy(got.data, start.data, (size_t)(rows * c) * sizeof(float));
            SWEEP(v, channel_grad)(got.data, dy.data, bits, x.data, &k, rows, c, add);
            assert_same_floats(got.data, want.data, rows * c);
        }
    }
    ref_guard *all[] = {&x, &dy, &want, &start, &got, &a, &b, &d, &mask};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ref_guard_free(all[i]);
}

static void check_sweeps(nb_rng *r, int64_t rows, int32_t c)
{
    ref_guard x = floats(r, rows * c, true), want = floats(r, rows * c, false), got = floats(r, rows * c, false);
    ref_guard a = floats(r, c, false), b = floats(r, c, false);
    ref_guard acc = bytes(r, rows * c * 4), bias = bytes(r, (int64_t)c * 4); /* any bits are an int32 */
    nb_sweep_scalar.channel_affine(want.data, x.data, a.data, b.data, rows, c);
    for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
        SWEEP(v, channel_affine)(got.data, x.data, a.data, b.data, rows, c);
        assert_same_floats(got.data, want.data, rows * c);
    }
    nb_sweep_scalar.acc_to_real(want.data, acc.data, bias.data, a.data, b.data, rows, c);
    for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
        SWEEP(v, acc_to_real)(got.data, acc.data, bias.data, a.data, b.data, rows, c);
        assert_same_floats(got.data, want.data, rows * c);
    }
    ref_guard *all[] = {&x, &want, &a, &b, &got, &acc, &bias};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        ref_guard_free(all[k]);
}

/* dy * d(real)/d(scale) of one value, from the codes of nb_k_quantize. */
static double by_scale(float x, float dy, const nb_kgrid *g)
{
    uint8_t code, inside;
    nb_sweep_scalar.quantize(&code, &inside, &x, 1, g->scale, g->zero, g->lo, g->hi);
    const int32_t steps = (g->lo < 0 ? (int8_t)code : code) - g->zero;
    return (double)dy * (inside ? (double)steps - (double)x / (double)g->scale : steps);
}

static nb_kgrid some_grid(nb_rng *r)
{
    static const nb_kgrid grids[] = {
        {0.25f, 0, -7, 7}, {0.1f, 100, 0, 255}, {0.5f, 0, -128, 127}, {0.3f, 2, 0, 3}, {0.4f, 0, 0, 3}};
    return grids[pick(r, 0, 4)];
}

static void a_scales_gradient_is_the_rounding_error_inside_and_the_end_of_the_grid_outside(void **state)
{
    (void)state;
    const nb_kgrid g = {0.5f, 0, -7, 7};
    const float x[] = {0.6f, -0.6f, 3.4f, 3.9f, 100, -100, NAN, INFINITY}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const double want[] = {1 - 1.2, -1 + 1.2, 7 - 6.8, 7, 7, -7, -7, 7};
    const int above[] = {0, 0, 0, 1, 1, 0, 0, 1}, below[] = {0, 0, 0, 0, 0, 1, 0, 0};
    for (int i = 0; i < 8; i++) {
        double lane[NB_END_LANES] = {0};
        nb_k_scale_grad(lane, ones, &x[i], NULL, &g, 1, 1);
        assert_true(fabs(lane[0] - want[i]) < 1e-6);
        nb_k_end_grads(lane, ones, &x[i], NULL, &g, 1, 1);
        assert_true(fabs(lane[0] - 2 * want[i]) < 1e-6);
        assert_true(lane[NB_SCALE_LANES] == above[i] && lane[2 * NB_SCALE_LANES] == below[i]);
    }
    nb_rng r = nb_rng_make(9, 1);
    for (int32_t round = 0; round < 200; round++) {
        const nb_kgrid k = some_grid(&r);
        const int32_t c = pick(&r, 1, 600), rows = pick(&r, 1, 5);
        ref_guard v = floats(&r, rows * c, false), dy = floats(&r, rows * c, false);
        double lane[NB_SCALE_LANES] = {0}, sum = 0, exact = 0;
        nb_k_scale_grad(lane, dy.data, v.data, NULL, &k, rows, c);
        for (int32_t i = 0; i < rows * c; i++)
            exact += by_scale(((float *)v.data)[i], ((float *)dy.data)[i], &k);
        for (int32_t i = 0; i < NB_SCALE_LANES; i++)
            sum += lane[i];
        assert_true(fabs(sum - exact) < 1e-3 * (1 + fabs(exact)));
        ref_guard_free(&v);
        ref_guard_free(&dy);
    }
}

/* Of whole blocks: what rows of at most a run may come in, and long rows by the run. */
typedef void sums(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                  int32_t c);

static sums *scale_grad_of(const nb_variant *v)
{
    return FUSED(v, scale_grad);
}

static sums *end_grads_of(const nb_variant *v)
{
    return FUSED(v, end_grads);
}

static void in_pieces(sums *fn, double *lane, const float *dy, const float *x, const nb_kgrid *g, int32_t rows,
                      int32_t c)
{
    const int32_t few = c > NB_SCALE_RUN ? 1 : NB_SCALE_ROWS, wide = c > NB_SCALE_RUN ? NB_SCALE_RUN : c;
    for (int32_t row = 0; row < rows; row += few)
        for (int32_t j = 0; j < c; j += wide)
            fn(lane, dy + row * c + j, x + row * c + j, NULL, g, rows - row < few ? rows - row : few,
               c - j < wide ? c - j : wide);
}

/* Of one sum, or of all three. */
static void every_variant_is(sums *(*of)(const nb_variant *v), sums *scalar, sums *best, nb_rng *r)
{
    const nb_kgrid g = some_grid(r);
    const int32_t c = pick(r, 0, 3) ? pick(r, 1, 80) : pick(r, 200, 600), rows = pick(r, 1, 20);
    ref_guard x = floats(r, rows * c, true), dy = floats(r, rows * c, false), y = floats(r, rows * c, false);
    ref_guard a = floats(r, c, false), b = floats(r, c, false);
    const nb_kmap m = {a.data, b.data, {.relu = pick(r, 0, 2) > 0, .cap = pick(r, 0, 1) ? INFINITY : 2}};
    double want[NB_END_LANES] = {1}, mapped[NB_END_LANES] = {1}, pieces[NB_END_LANES] = {1};
    scalar(want, dy.data, x.data, NULL, &g, rows, c);
    in_pieces(best, pieces, dy.data, x.data, &g, rows, c);
    assert_memory_equal(pieces, want, sizeof want);
    nb_k_map_float(y.data, NULL, x.data, &m, rows, c);
    scalar(mapped, dy.data, y.data, NULL, &g, rows, c);
    for (const nb_variant *v = nb_variant_best(nb_fused_variants); v; v = nb_variant_below(nb_fused_variants, v)) {
        sums *fn = of(v);
        double got[NB_END_LANES] = {1}, after[NB_END_LANES] = {1};
        fn(got, dy.data, x.data, NULL, &g, rows, c);
        assert_memory_equal(got, want, sizeof want);
        fn(after, dy.data, x.data, &m, &g, rows, c);
        assert_memory_equal(after, mapped, sizeof mapped);
    }
    ref_guard *all[] = {&x, &dy, &y, &a, &b};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        ref_guard_free(all[k]);
}

static void every_scale_gradient_is_bit_equal_to_scalar_with_a_map_before_it_and_in_pieces(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(9, 2);
    for (int32_t round = 0; round < 300; round++) {
        every_variant_is(scale_grad_of, nb_fused_scalar.scale_grad, nb_k_scale_grad, &r);
        every_variant_is(end_grads_of, nb_fused_scalar.end_grads, nb_k_end_grads, &r);
    }
}

static void every_channel_sweep_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(4, 1);
    for (int32_t c = 1; c <= MAX_CHANNELS; c += c < 70 ? 1 : 29) { /* long rows are swept in pieces */
        int64_t rows = pick(&r, 1, 40);
        check_stats(&r, rows, c, false);
        check_stats(&r, rows, c, true);
        for (int masked = 0; masked <= 1; masked++) {
            check_grad_sums(&r, rows, c, masked);
            check_grads(&r, rows, c, masked);
        }
        check_sweeps(&r, rows, c);
    }
}

static void every_error_of_a_grid_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(12, 1);
    for (int32_t round = 0; round < 200; round++) {
        const int64_t n = pick(&r, 0, 300);
        ref_guard x = floats(&r, n, round % 4 == 3); /* NaN and infinities in every fourth */
        nb_ktries t = {.n = (int32_t)pick(&r, 1, NB_TRIES)};
        double want[NB_TRIES] = {0.25}, definition[NB_TRIES] = {0.25};
        for (int32_t k = 0; k < NB_TRIES; k++) {
            t.scale[k] = ldexpf(1.0f + nb_rng_uniform(&r), (int)pick(&r, 0, 6) - 5);
            t.first[k] = -(float)pick(&r, 0, 128);
            t.last[k] = t.first[k] + (float)pick(&r, 1, 255);
        }
        for (int32_t k = 0; k < t.n; k++)
            for (int64_t i = 0; i < n; i++) {
                const float value = ((float *)x.data)[i], q = rintf(value / t.scale[k]);
                const float code = q < t.first[k] ? t.first[k] : q > t.last[k] ? t.last[k] : q;
                const double e = (double)value - (double)(code * t.scale[k]);
                definition[k] += e * e;
            }
        nb_sweep_scalar.grid_errors(want, x.data, n, &t);
        assert_memory_equal(want, definition, (size_t)t.n * sizeof *want);
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            double got[NB_TRIES] = {0.25};
            SWEEP(v, grid_errors)(got, x.data, n, &t);
            for (int32_t k = 0; k < t.n; k++)
                assert_true(memcmp(&got[k], &want[k], sizeof *got) == 0 || (isnan(got[k]) && isnan(want[k])));
        }
        ref_guard_free(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_rounded_half_to_even_and_clamped_after_the_zero_point),
        cmocka_unit_test(codes_follow_the_formula_in_double),
        cmocka_unit_test(ties_go_to_even_for_every_code),
        cmocka_unit_test(minmax_finds_the_ends_wherever_they_are_and_nan_spoils_both),
        cmocka_unit_test(the_sign_of_zero_does_not_depend_on_order),
        cmocka_unit_test(accumulators_lose_the_zero_point_before_they_become_floats),
        cmocka_unit_test(channel_sweeps_do_what_their_formulas_say),
        cmocka_unit_test(a_masked_gradient_counts_as_zero),
        cmocka_unit_test(the_extremes_of_a_channel_keep_a_nan_and_no_sign_of_zero),
        cmocka_unit_test(every_quantize_is_bit_equal_to_scalar),
        cmocka_unit_test(every_ste_backward_and_minmax_is_bit_equal_to_scalar),
        cmocka_unit_test(a_scales_gradient_is_the_rounding_error_inside_and_the_end_of_the_grid_outside),
        cmocka_unit_test(every_scale_gradient_is_bit_equal_to_scalar_with_a_map_before_it_and_in_pieces),
        cmocka_unit_test(every_channel_sweep_is_bit_equal_to_scalar),
        cmocka_unit_test(every_error_of_a_grid_is_bit_equal_to_scalar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
