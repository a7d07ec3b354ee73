/* test_range_kl.c - the kl range against the published algorithm, bin by bin with nothing clever, over all thresholds. */
#include "ref/observed.h"

#include "quant/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { FLOATS = 2 + NB_HISTOGRAM_FLOATS, N = 20000 };

/* KL(P || Q) of the bins [from, to) of a histogram in `levels` groups. */
static double divergence(const float *share, int32_t from, int32_t to, int32_t levels)
{
    static double p[NB_BINS], q[NB_BINS];
    double p_sum = 0, q_sum = 0, kl = 0;
    const int32_t n = to - from;
    for (int32_t i = 0; i < n; i++)
        p[i] = (double)share[from + i];
    for (int32_t i = 0; i < from; i++) /* outliers go to the ends of P, and to P alone */
        p[0] += (double)share[i];
    for (int32_t i = to; i < NB_BINS; i++)
        p[n - 1] += (double)share[i];
    for (int32_t k = 0; k < levels; k++) {
        const int32_t a = n * k / levels, b = n * (k + 1) / levels;
        double sum = 0;
        int32_t used = 0;
        for (int32_t i = a; i < b; i++) {
            sum += (double)share[from + i];
            used += p[i] > 0;
        }
        for (int32_t i = a; i < b; i++)
            q[i] = p[i] > 0 ? sum / used : 0;
    }
    for (int32_t i = 0; i < n; i++) {
        p_sum += p[i];
        q_sum += q[i];
    }
    for (int32_t i = 0; i < n; i++)
        if (p[i] > 0)
            kl += q[i] > 0 ? p[i] / p_sum * log(p[i] / p_sum / (q[i] / q_sum)) : INFINITY;
    return kl;
}

/* Shows `batches` of a kind; the end that is largest becomes *found, and *least what the best threshold reaches. */
static void check(int32_t bits, nb_scheme scheme, int32_t kind, int32_t batches)
{
    static float x[N], s[FLOATS], share[NB_BINS];
    const float momentum = 0.05f;
    const nb_range *kl = nb_registry_find(nb_ranges, "kl");
    const nb_grid g = nb_grid_make(bits, scheme, false);
    memset(s, 0, sizeof s);
    for (int32_t b = 0; b < batches; b++) {
        observed_fill(x, N, kind, (uint64_t)(10 * kind + b));
        nb_observation o = observed(x, N, &g);
        o.first = b == 0;
        o.calibration = b + 1;
        kl->observe(&momentum, s, &o);
    }
    const nb_histogram *h = (const nb_histogram *)(s + 2);
    const int32_t zero = h->is_signed != 0 ? NB_BINS / 2 : 0;
    memcpy(share, h->share, sizeof share);
    share[zero] = share[zero + 1];
    int32_t first = 0, last = NB_BINS;
    while (!(share[first] > 0) && first < zero)
        first++;
    while (!(share[last - 1] > 0))
        last--;
    const int32_t widest = last - zero > zero - first ? last - zero : zero - first;
    if (scheme == NB_SCHEME_SYMMETRIC && zero) {
        first = zero - widest;
        last = zero + widest;
    }
    const int32_t levels = zero ? g.hi - g.lo + 1 : g.hi + 1;
    double least = INFINITY, mine = INFINITY;
    for (int32_t t = 1; t <= widest; t++) {
        const int32_t from = zero - t > first ? zero - t : first, to = zero + t < last ? zero + t : last;
        int32_t used = 0;
        double inside = 0, all = 0;
        for (int32_t i = 0; i < NB_BINS; i++) {
            const bool in = i >= from && i < to;
            all += (double)share[i];
            inside += in ? (double)share[i] : 0;
            used += in && share[i] > 0;
        }
        if ((used < levels || inside < all / 2) && t < widest)
            continue;
        const double d = divergence(share, from, to, levels);
        least = fmin(least, d);
        if ((float)nb_histogram_edge(h, from) == s[0] && (float)nb_histogram_edge(h, to) == s[1])
            mine = d;
    }
    assert_true(isfinite(least) && mine <= least + 1e-9);
}

static void no_threshold_has_less_divergence(void **state)
{
    (void)state;
    for (int32_t bits = 2; bits <= 8; bits += 2)
        for (int32_t kind = 0; kind < 4; kind++) {
            check(bits, NB_SCHEME_ASYMMETRIC, kind, 2);
            check(bits, NB_SCHEME_SYMMETRIC, kind, 1);
        }
}

/* Half of all values are zeros after a relu; they must not decide how many bins a level may have. */
static void zeros_do_not_narrow_the_range(void **state)
{
    (void)state;
    static float x[N], s[FLOATS];
    const float momentum = 0.05f;
    const nb_grid g = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false);
    observed_fill(x, N, 3, 5);
    nb_observation o = observed(x, N, &g);
    o.calibration = 1;
    ((const nb_range *)nb_registry_find(nb_ranges, "kl"))->observe(&momentum, s, &o);
    assert_true(s[0] == 0 && s[1] > 2.5f);
}

/* A join adds codes of few bits: values of few kinds, and bins between them that are always empty. */
static void sums_of_codes_keep_their_range(void **state)
{
    (void)state;
    static float x[N], s[FLOATS];
    const float momentum = 0.05f;
    const nb_grid g = nb_grid_make(4, NB_SCHEME_ASYMMETRIC, false);
    for (int32_t i = 0; i < N; i++)
        x[i] = 0.21f * (float)(int32_t)(16 * observed_uniform(1, (uint64_t)i)) +
               0.37f * (float)(int32_t)(8 * observed_uniform(2, (uint64_t)i) * observed_uniform(3, (uint64_t)i));
    nb_observation o = observed(x, N, &g);
    o.calibration = 1;
    ((const nb_range *)nb_registry_find(nb_ranges, "kl"))->observe(&momentum, s, &o);
    assert_true(s[0] == 0 && s[1] > 2);
}

/* One far value among many: with 2 bits a range that holds it has one level for all others. */
static void outliers_are_clipped_in_weights_too(void **state)
{
    (void)state;
    static float x[N], s[2];
    const float momentum = 0.05f;
    const nb_grid g = nb_grid_make(4, NB_SCHEME_SYMMETRIC, true);
    observed_fill(x, N, 0, 6);
    x[77] = 40;
    const nb_observation o = observed(x, N, &g);
    ((const nb_range *)nb_registry_find(nb_ranges, "kl"))->observe(&momentum, s, &o);
    assert_true(s[1] < 10 && s[0] == -s[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_threshold_has_less_divergence),
        cmocka_unit_test(zeros_do_not_narrow_the_range),
        cmocka_unit_test(sums_of_codes_keep_their_range),
        cmocka_unit_test(outliers_are_clipped_in_weights_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
