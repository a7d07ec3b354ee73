/* test_reals.c - rounding to levels that are no integers: every variant has the bits of the search through the table, at
 * the ends of each level, for subnormals, infinities and NaN, and for levels that are no floats with few bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include <nibble/extend/quant.h>

#include "base/rng.h"
#include "kernels/sweeps/sweep_isa.h"
#include "ref/guard.h"

#define REALS(v, function) NB_VARIANT_FUNCTION(nb_sweep_isa, nb_sweep_variants, v, function)

enum { PER_LEVEL = 12, MORE = 400, MAX = PER_LEVEL * NB_REALS + MORE };

typedef struct {
    const char *format;
    int32_t attr[3], bits; /* of minifloat: exponent, mantissa, top */
    bool few_bits;
} reals_case;

static const reals_case cases[] = {
    {"fp4", {0}, 4, true},
    {"fp6_e2m3", {0}, 6, true},
    {"fp6_e3m2", {0}, 6, true},
    {"fp8_e4m3", {0}, 8, true},
    {"fp8_e5m2", {0}, 8, true},
    {"minifloat", {3, 1, 0}, 5, true},
    {"minifloat", {6, 1, 0}, 8, true},
    {"minifloat", {2, 5, 0}, 8, true},
    {"minifloat", {4, 2, 2}, 7, true},
    {"minifloat", {4, 0, 0}, 5, false}, /* ties go to an even power, not to an even mantissa */
    {"minifloat", {7, 0, 0}, 8, false},
    {"log", {0}, 5, false},
    {"log", {0}, 8, false},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static int32_t levels_of(const reals_case *c, float *level)
{
    const nb_format *f = nb_registry_find(nb_formats, c->format);
    return f->reals(f->attr ? f->attr : c->attr, c->bits, level);
}

/* Around where each level begins, in units of a scale that is no power of two, and what no level has to do with. */
static int64_t fill(float *x, const nb_kreals *t, float scale, nb_rng *r)
{
    static const float odd[] = {0.0f,     -0.0f,    1e-45f,    -1e-45f, 1.17e-38f, -1.17e-38f, 3.4e38f,
                                -3.4e38f, INFINITY, -INFINITY, NAN,     -NAN,      1e-40f,     -1e-40f};
    int64_t n = 0;
    for (int32_t i = 0; i < NB_REALS; i++) {
        float at[4] = {t->from[i], t->level[i], t->first, t->last};
        for (int32_t k = 0; k < 4; k++) {
            const float v = at[k] * scale;
            x[n++] = nextafterf(v, -INFINITY);
            x[n++] = v;
            x[n++] = nextafterf(v, INFINITY);
        }
    }
    for (int32_t i = 0; i < MORE; i++) {
        const uint32_t bits = nb_rng_u32(r);
        memcpy(&x[n], &bits, sizeof bits);
        if (i % 4 == 0)
            x[n] = odd[i / 4 % 14];
        n++;
    }
    return n;
}

static void check_values(const float *x, int64_t n, float scale, const nb_kreals *t)
{
    static float want[MAX], got[MAX];
    uint8_t want_mask[MAX / 8 + 1], mask[MAX / 8 + 1];
    nb_sweep_scalar.quantize_reals(want, want_mask, x, n, scale, t);
    for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
        memset(got, 0xff, sizeof got);
        memset(mask, 0xff, sizeof mask);
        REALS(v, quantize_reals)(got, mask, x, n, scale, t);
        assert_memory_equal(got, want, (size_t)n * sizeof *got);
        assert_memory_equal(mask, want_mask, (size_t)(n + 7) / 8);
        memset(got, 0xff, sizeof got);
        REALS(v, quantize_reals)(got, NULL, x, n, scale, t);
        assert_memory_equal(got, want, (size_t)n * sizeof *got);
    }
}

static void every_variant_rounds_as_the_search_does(void **state)
{
    (void)state;
    static float x[MAX];
    static const float scales[] = {1.0f, 0.0371f, 1e-30f, 3e-39f, 1e30f};
    nb_rng r = nb_rng_make(1, 1);
    for (int32_t i = 0; i < N_CASES; i++) {
        float level[NB_REALS];
        nb_kreals t;
        nb_k_reals(&t, level, levels_of(&cases[i], level));
        if ((t.least != 0) != cases[i].few_bits)
            fail_msg("%s %d.%d: %s few bits", cases[i].format, cases[i].attr[0], cases[i].attr[1],
                     t.least ? "has" : "has not");
        for (int32_t k = 0; k < 5; k++)
            check_values(x, fill(x, &t, scales[k], &r), scales[k], &t);
    }
}

/* Tables that are nearly floats of few bits: a level aside, one left out, the largest not where it would be. */
static void a_level_elsewhere_is_seen(void **state)
{
    (void)state;
    static float x[MAX];
    nb_rng r = nb_rng_make(1, 2);
    for (int32_t at = 1; at <= 126; at++) {
        float level[NB_REALS];
        nb_kreals t;
        const int32_t n = levels_of(&cases[3], level), zero = n / 2;
        level[zero + at] += 0.25f * (level[zero + at] - level[zero + at - 1]);
        level[zero - at] = -level[zero + at];
        nb_k_reals(&t, level, n);
        check_values(x, fill(x, &t, 0.3f, &r), 0.3f, &t);
        assert_true(t.least == 0 || at == 126); /* the largest is where values end, and may be anywhere */
    }
}

static ref_guard guarded(nb_rng *r, int64_t n, const float *from)
{
    ref_guard g = ref_guard_alloc((size_t)n * sizeof *from, nb_rng_below(r, 2) ? GUARD_BEGIN : GUARD_END);
    memcpy(g.data, from, (size_t)n * sizeof *from);
    return g;
}

/* A NaN is as good as another, lanes begin with anything, 0 of either sign among them. */
static void every_gradient_of_a_scale_is_that_of_the_search(void **state)
{
    (void)state;
    static float x[MAX], dy[MAX];
    nb_rng r = nb_rng_make(1, 3);
    for (int32_t i = 0; i < N_CASES; i++) {
        float level[NB_REALS];
        nb_kreals t;
        nb_k_reals(&t, level, levels_of(&cases[i], level));
        const int64_t all = fill(x, &t, 0.7f, &r);
        for (int64_t k = 0; k < all; k++)
            dy[k] = nb_rng_normal(&r);
        for (int64_t n = 1; n <= all; n += n < 70 ? 1 : 997) {
            ref_guard gx = guarded(&r, n, x + all - n), gy = guarded(&r, n, dy);
            double start[NB_SCALE_LANES] = {0.0, -0.0, 1.0}, want[NB_SCALE_LANES], got[NB_SCALE_LANES];
            memcpy(want, start, sizeof want);
            nb_sweep_scalar.scale_grad_reals(want, gy.data, gx.data, 0.7f, &t, n);
            for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v;
                 v = nb_variant_below(nb_sweep_variants, v)) {
                memcpy(got, start, sizeof got);
                REALS(v, scale_grad_reals)(got, gy.data, gx.data, 0.7f, &t, n);
                assert_memory_equal(got, want, sizeof got);
            }
            ref_guard_free(&gx);
            ref_guard_free(&gy);
        }
    }
}

static void ends_of_memory_are_respected(void **state)
{
    (void)state;
    static float x[MAX];
    float level[NB_REALS];
    nb_kreals t;
    nb_rng r = nb_rng_make(1, 4);
    nb_k_reals(&t, level, levels_of(&cases[4], level));
    const int64_t all = fill(x, &t, 0.7f, &r);
    for (int64_t n = 1; n < 70; n++) {
        ref_guard gx = guarded(&r, n, x + all - n), want = guarded(&r, n, x), want_mask = guarded(&r, 1 + n / 32, x);
        nb_sweep_scalar.quantize_reals(want.data, want_mask.data, gx.data, n, 0.7f, &t);
        for (const nb_variant *v = nb_variant_best(nb_sweep_variants); v; v = nb_variant_below(nb_sweep_variants, v)) {
            ref_guard y = guarded(&r, n, x), mask = ref_guard_alloc((size_t)(n + 7) / 8, GUARD_END);
            REALS(v, quantize_reals)(y.data, mask.data, gx.data, n, 0.7f, &t);
            assert_memory_equal(y.data, want.data, (size_t)n * sizeof *x);
            assert_memory_equal(mask.data, want_mask.data, (size_t)(n + 7) / 8);
            ref_guard_free(&y);
            ref_guard_free(&mask);
        }
        ref_guard_free(&gx);
        ref_guard_free(&want);
        ref_guard_free(&want_mask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_rounds_as_the_search_does),
        cmocka_unit_test(a_level_elsewhere_is_seen),
        cmocka_unit_test(every_gradient_of_a_scale_is_that_of_the_search),
        cmocka_unit_test(ends_of_memory_are_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
