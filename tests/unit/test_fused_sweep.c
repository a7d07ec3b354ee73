/* test_fused_sweep.c - the sweeps of fused chains: the scalar ones against the sweeps they replace, every other variant
 * bit-equal to them, on guarded memory. */
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

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static ref_guard floats(nb_rng *r, int64_t n, bool special)
{
    static const float odd[] = {0.0f, -0.0f, 1e30f, -1e30f, 1e-40f, INFINITY, -INFINITY, NAN};
    ref_guard g = ref_guard_alloc((size_t)n * sizeof(float), pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
    for (int64_t i = 0; i < n; i++)
        ((float *)g.data)[i] = special && pick(r, 0, 7) == 0 ? odd[pick(r, 0, 7)] : nb_rng_normal(r) * 3;
    return g;
}

static ref_guard bytes(nb_rng *r, int64_t n)
{
    ref_guard g = ref_guard_alloc((size_t)n, pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
    for (int64_t i = 0; i < n; i++)
        ((uint8_t *)g.data)[i] = (uint8_t)pick(r, 0, 255);
    return g;
}

static void free_all(ref_guard *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ref_guard_free(all[i]);
}
#define FREE_ALL(...)                                                                                                  \
    free_all((ref_guard *const[]){__VA_ARGS__}, sizeof((ref_guard *const[]){__VA_ARGS__}) / sizeof(ref_guard *))

static bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static nb_kclamp some_clamp(nb_rng *r)
{
    int32_t kind = pick(r, 0, 2);
    return (nb_kclamp){.relu = kind > 0, .cap = kind == 2 ? 2.0f : INFINITY};
}

static nb_kgrid some_grid(nb_rng *r)
{
    int32_t is_signed = pick(r, 0, 1), bits = pick(r, 2, 8);
    int32_t hi = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1, lo = is_signed ? -hi - 1 : 0;
    return (nb_kgrid){pick(r, 0, 1) ? 0.5f : 0.01f + nb_rng_uniform(r), pick(r, lo, hi), lo, hi};
}

static bool bit(const uint8_t *mask, int64_t i)
{
    return mask[i / 8] >> (i % 8) & 1;
}

/* ---- what the layers do one after the other ---- */

static float layered(const nb_kclamp *k, float y, bool *pass)
{
    if (!k->relu)
        return y;
    float v = y < 0.0f ? 0.0f : y;
    v = v > k->cap ? k->cap : v;
    *pass = v > 0.0f && v < k->cap;
    return v;
}

static void a_map_is_affine_then_relu_then_quantize(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(1, 7);
    for (int32_t round = 0; round < 400; round++) {
        int32_t c = pick(&r, 1, 40), rows = pick(&r, 1, 5);
        ref_guard x = floats(&r, rows * c, true), a = floats(&r, c, false), b = floats(&r, c, false),
                  y = floats(&r, rows * c, false), got = floats(&r, rows * c, false), codes = bytes(&r, rows * c),
                  mask = bytes(&r, rows * nb_mask_bytes(c)), code_mask = bytes(&r, rows * nb_mask_bytes(c));
        const nb_kmap m = {a.data, b.data, some_clamp(&r)};
        const nb_kgrid g = some_grid(&r);
        nb_k_channel_affine(y.data, x.data, a.data, b.data, rows, c);
        nb_k_map_float(got.data, mask.data, x.data, &m, rows, c);
        nb_k_map_codes(codes.data, code_mask.data, x.data, &m, &g, rows, c);
        for (int32_t i = 0; i < rows * c; i++) {
            bool pass = true;
            float v = layered(&m.clamp, ((float *)y.data)[i], &pass);
            uint8_t code, inside;
            nb_k_quantize(&code, &inside, &v, 1, g.scale, g.zero, g.lo, g.hi);
            int64_t at = i / c * nb_mask_bytes(c) * 8 + i % c;
            assert_true(same_float(((float *)got.data)[i], v));
            assert_int_equal(bit(mask.data, at), pass);
            assert_int_equal(((uint8_t *)codes.data)[i], code);
            assert_int_equal(bit(code_mask.data, at), pass && inside);
        }
        FREE_ALL(&x, &a, &b, &y, &got, &codes, &mask, &code_mask);
    }
}

/* Operands of n values at `data`; codes are u8 or s8. */
static nb_kjoin some_join(nb_rng *r, const ref_guard *a, const ref_guard *b, bool codes)
{
    nb_kjoin j = {.n_in = pick(r, 1, 2), .codes = codes, .clamp = some_clamp(r)};
    for (int32_t k = 0; k < 2; k++) {
        j.in[k] = (nb_koperand){.data = (k ? b : a)->data};
        if (codes) {
            j.in[k].scale = 0.01f + nb_rng_uniform(r) / 20;
            j.in[k].is_signed = pick(r, 0, 1);
            j.in[k].zero = j.in[k].is_signed ? pick(r, -128, 127) : pick(r, 0, 255);
        }
    }
    return j;
}

static ref_guard operand_values(nb_rng *r, int64_t n, bool codes)
{
    return codes ? bytes(r, n) : floats(r, n, pick(r, 0, 3) == 0);
}

static void a_join_is_dequantize_then_add_then_relu_then_quantize(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(2, 7);
    for (int32_t n = 1; n < 200; n++) {
        bool codes = n % 2;
        ref_guard a = operand_values(&r, n, codes), b = operand_values(&r, n, codes), y = floats(&r, n, false),
                  z = floats(&r, n, false), got = floats(&r, n, false), mask = bytes(&r, nb_mask_bytes(n)),
                  out = bytes(&r, n), code_mask = bytes(&r, nb_mask_bytes(n));
        const nb_kjoin j = some_join(&r, &a, &b, codes);
        const nb_kgrid g = some_grid(&r);
        float *sum = y.data, min, max, want_min, want_max;
        for (int32_t k = 0; k < j.n_in; k++) {
            float *to = k ? z.data : y.data;
            if (codes)
                nb_k_dequantize(to, j.in[k].data, n, j.in[k].scale, j.in[k].zero, j.in[k].is_signed);
            else
                memcpy(to, j.in[k].data, (size_t)n * sizeof(float));
        }
        bool pass[200];
        for (int32_t i = 0; i < n; i++) {
            pass[i] = true;
            sum[i] = layered(&j.clamp, j.n_in > 1 ? sum[i] + ((float *)z.data)[i] : sum[i], &pass[i]);
        }
        nb_k_minmax(&want_min, &want_max, sum, n);
        nb_k_join_minmax(&min, &max, &j, n);
        assert_true(same_float(min, want_min) && same_float(max, want_max));
        nb_k_join_float(got.data, mask.data, &j, n);
        nb_k_join_codes(out.data, code_mask.data, &j, &g, n);
        for (int32_t i = 0; i < n; i++) {
            uint8_t code, inside;
            nb_k_quantize(&code, &inside, &sum[i], 1, g.scale, g.zero, g.lo, g.hi);
            assert_true(same_float(((float *)got.data)[i], sum[i]));
            assert_int_equal(bit(mask.data, i), pass[i]);
            assert_int_equal(((uint8_t *)out.data)[i], code);
            assert_int_equal(bit(code_mask.data, i), pass[i] && inside);
        }
        FREE_ALL(&a, &b, &y, &z, &got, &mask, &out, &code_mask);
    }
}

/* ---- every variant equals the scalar one ---- */

/* The function of a variant or, where it has none, of the next worse. */
#define FUSED(v, function) NB_VARIANT_FUNCTION(nb_fused_isa, nb_fused_variants, v, function)

static void every_map_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(3, 7);
    for (int32_t round = 0; round < 300; round++) {
        int32_t c = pick(&r, 1, 70), rows = pick(&r, 1, 9), n = rows * c, m_bytes = (int32_t)(rows * nb_mask_bytes(c));
        ref_guard x = floats(&r, n, true), a = floats(&r, c, false), b = floats(&r, c, round % 9 == 0),
                  want = floats(&r, n, false), got = floats(&r, n, false), want_codes = bytes(&r, n),
                  codes = bytes(&r, n), want_mask = bytes(&r, m_bytes), mask = bytes(&r, m_bytes);
        const nb_kmap m = {a.data, b.data, some_clamp(&r)};
        const nb_kgrid g = some_grid(&r);
        for (const nb_variant *v = nb_variant_best(nb_fused_variants); v; v = nb_variant_below(nb_fused_variants, v)) {
            nb_fused_scalar.map_float(want.data, want_mask.data, x.data, &m, rows, c);
            FUSED(v, map_float)(got.data, mask.data, x.data, &m, rows, c);
            for (int32_t k = 0; k < n; k++)
                assert_true(same_float(((float *)got.data)[k], ((float *)want.data)[k]));
            assert_memory_equal(mask.data, want_mask.data, (size_t)m_bytes);
            nb_fused_scalar.map_codes(want_codes.data, want_mask.data, x.data, &m, &g, rows, c);
            FUSED(v, map_codes)(codes.data, mask.data, x.data, &m, &g, rows, c);
            assert_memory_equal(mask.data, want_mask.data, (size_t)m_bytes);
            assert_memory_equal(codes.data, want_codes.data, (size_t)n);
            memset(codes.data, 0, (size_t)n);
            FUSED(v, map_codes)(codes.data, NULL, x.data, &m, &g, rows, c);
            assert_memory_equal(codes.data, want_codes.data, (size_t)n);
        }
        FREE_ALL(&x, &a, &b, &want, &got, &want_codes, &codes, &want_mask, &mask);
    }
}

static void every_join_is_bit_equal_to_scalar(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(4, 7);
    for (int32_t n = 1; n < 300; n++) {
        bool from_codes = n % 3 != 0;
        int32_t m_bytes = (int32_t)nb_mask_bytes(n);
        ref_guard a = operand_values(&r, n, from_codes), b = operand_values(&r, n, from_codes),
                  want = floats(&r, n, false), got = floats(&r, n, false), want_codes = bytes(&r, n),
                  codes = bytes(&r, n), want_mask = bytes(&r, m_bytes), mask = bytes(&r, m_bytes);
        const nb_kjoin j = some_join(&r, &a, &b, from_codes);
        const nb_kgrid g = some_grid(&r);
        for (const nb_variant *v = nb_variant_best(nb_fused_variants); v; v = nb_variant_below(nb_fused_variants, v)) {
            float ends[2], want_ends[2];
            nb_fused_scalar.join_minmax(&want_ends[0], &want_ends[1], &j, n);
            FUSED(v, join_minmax)(&ends[0], &ends[1], &j, n);
            assert_true(same_float(ends[0], want_ends[0]) && same_float(ends[1], want_ends[1]));
            nb_fused_scalar.join_float(want.data, want_mask.data, &j, n);
            FUSED(v, join_float)(got.data, mask.data, &j, n);
            for (int32_t k = 0; k < n; k++)
                assert_true(same_float(((float *)got.data)[k], ((float *)want.data)[k]));
            assert_memory_equal(mask.data, want_mask.data, (size_t)m_bytes);
            nb_fused_scalar.join_codes(want_codes.data, want_mask.data, &j, &g, n);
            FUSED(v, join_codes)(codes.data, mask.data, &j, &g, n);
            assert_memory_equal(mask.data, want_mask.data, (size_t)m_bytes);
            assert_memory_equal(codes.data, want_codes.data, (size_t)n);
            FUSED(v, join_float)(got.data, NULL, &j, n);
            FUSED(v, join_codes)(codes.data, NULL, &j, &g, n);
            assert_memory_equal(codes.data, want_codes.data, (size_t)n);
        }
        FREE_ALL(&a, &b, &want, &got, &want_codes, &codes, &want_mask, &mask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_affine_then_relu_then_quantize),
        cmocka_unit_test(a_join_is_dequantize_then_add_then_relu_then_quantize),
        cmocka_unit_test(every_map_is_bit_equal_to_scalar),
        cmocka_unit_test(every_join_is_bit_equal_to_scalar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
