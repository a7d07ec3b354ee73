/* feature_fit.c - the map of features to 8-bit codes, measured over the training samples.
 *
 * Each column (every number of a sample, every channel, or all) is normalised by its mean and deviation; the range of
 * the normalised values, common to all columns, becomes 256 codes. Order statistics are exact and sums run in order, in
 * double, so the map is the same on every machine. */
#include "samples.h"

#include "base/check.h"
#include "base/numtext.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = 1 << 16 };

typedef struct {
    const float *x;
    int64_t count;         /* numbers */
    int32_t n;             /* columns: number i is of column i % n */
    double *mean, *spread; /* [n] */
} columns;

static float normalised(const columns *k, int64_t i)
{
    const int64_t c = i % k->n;
    return (float)(((double)k->x[i] - k->mean[c]) / k->spread[c]);
}

/* A constant column has no spread to divide by: its values become 0 by their mean alone. */
static void measure(columns *k)
{
    const int64_t rows = k->count / k->n; /* whole samples: it divides */
    const double each = (double)rows;
    for (int64_t i = 0; i < k->count; i++)
        k->mean[i % k->n] += (double)k->x[i] / each;
    for (int64_t i = 0; i < k->count; i++) {
        const double d = (double)k->x[i] - k->mean[i % k->n];
        k->spread[i % k->n] += d * d / each;
    }
    for (int32_t c = 0; c < k->n; c++) {
        const double size = fabs(k->mean[c]) * 1e-6;
        k->spread[c] = sqrt(k->spread[c]);
        k->spread[c] = k->spread[c] > size && k->spread[c] > 0 ? k->spread[c] : 1;
    }
}

/* Floats in the order of their values. */
static uint32_t ordered(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* The float that has k smaller ones, from two counts of 16 bits each. */
static float kth(const columns *k, int64_t rank, int64_t *counts)
{
    uint32_t high = 0, low = 0;
    memset(counts, 0, HALF * sizeof *counts);
    for (int64_t i = 0; i < k->count; i++)
        counts[ordered(normalised(k, i)) >> 16]++;
    while (rank >= counts[high])
        rank -= counts[high++];
    memset(counts, 0, HALF * sizeof *counts);
    for (int64_t i = 0; i < k->count; i++) {
        const uint32_t o = ordered(normalised(k, i));
        if (o >> 16 == high)
            counts[o & 0xffff]++;
    }
    while (rank >= counts[low])
        rank -= counts[low++];
    const uint32_t o = high << 16 | low, bits = o >> 31 ? o & ~(UINT32_C(1) << 31) : ~o;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* A number, or n of them, into v; *given says whether there are any. */
static nb_status read_numbers(nb_ctx *ctx, const char *key, const nb_conf *c, int32_t n, double least, double *v)
{
    const int32_t have = nb_conf_is_list(c) ? nb_conf_count(c) : 1;
    nb_c_locale locale;
    if (have != 1 && have != n)
        return nb_fail(ctx, NB_E_CONFIG, "data.%s: %d numbers: must be one, or %d, one for each column", key, have, n);
    if (!nb_c_locale_enter(&locale))
        return nb_fail(ctx, NB_E_NOMEM, "out of memory");
    nb_status st = NB_OK;
    for (int32_t i = 0; i < n && st == NB_OK; i++) {
        const char *text = nb_conf_text(nb_conf_is_list(c) ? nb_conf_at(c, have == 1 ? 0 : i) : c);
        char *end = NULL;
        v[i] = text ? strtod(text, &end) : 0;
        if (!text || end == text || *end || !(fabs(v[i]) <= 1e30) || v[i] < least)
            st = nb_fail(ctx, NB_E_CONFIG, "data.%s: %s: must be a number%s", key, text ? text : "a list",
                         least > 0 ? " above 0" : "");
    }
    nb_c_locale_leave(&locale);
    return st;
}

static nb_status set_columns(nb_ctx *ctx, columns *k, const nb_sample_keys *keys)
{
    if (!keys->mean != !keys->std)
        return nb_fail(ctx, NB_E_CONFIG, "data.%s: goes together with data.%s", keys->mean ? "mean" : "std",
                       keys->mean ? "std" : "mean");
    if (keys->mean) {
        NB_TRY(read_numbers(ctx, "mean", keys->mean, k->n, -1e30, k->mean));
        return read_numbers(ctx, "std", keys->std, k->n, 1e-30, k->spread);
    }
    if (keys->normalise != NB_NORMALISE_NO) {
        measure(k);
        return NB_OK;
    }
    for (int32_t c = 0; c < k->n; c++)
        k->spread[c] = 1;
    return NB_OK;
}

/* The range of what is kept, widened to hold 0, becomes step and zero. */
static nb_status set_codes(nb_ctx *ctx, const char *name, const columns *k, float keep, nb_features *f)
{
    int64_t *counts = nb_alloc(ctx, HALF * sizeof *counts);
    if (!counts)
        return NB_E_NOMEM;
    const int64_t out = (int64_t)((double)k->count * (100 - (double)keep) / 200);
    double low = (double)kth(k, out, counts), high = (double)kth(k, k->count - 1 - out, counts);
    nb_free(ctx, counts);
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
    if (high - low < 1e-4)
        high = low + 1; /* nothing varies: any grid will do */
    if (!(high - low <= 1e5))
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: its numbers reach from %g to %g, too far for a network: leave data.normalise at auto, or "
                       "give data.mean and data.std",
                       name, low, high);
    f->step = (float)((high - low) / 255);
    f->zero = (int32_t)nearbyint(-low / (double)f->step);
    return NB_OK;
}

static int32_t columns_of(const nb_sample_layout *at, const nb_sample_keys *keys)
{
    const int32_t numbers = at->h * at->w * at->c;
    switch ((nb_normalise)keys->normalise) {
    case NB_NORMALISE_NUMBER:
        return numbers;
    case NB_NORMALISE_CHANNEL:
        return at->c;
    case NB_NORMALISE_AUTO:
        return at->vector ? numbers : at->c;
    case NB_NORMALISE_ALL:
    case NB_NORMALISE_NO:
        break;
    }
    return 1;
}

static nb_status fit(nb_ctx *ctx, const char *name, columns *k, const nb_sample_keys *keys, nb_features *f,
                     float *numbers)
{
    NB_TRY(set_columns(ctx, k, keys));
    NB_TRY(set_codes(ctx, name, k, keys->keep, f));
    for (int32_t c = 0; c < k->n; c++) {
        const double gain = 1 / (k->spread[c] * (double)f->step);
        if (!(gain >= (double)FLT_MIN && gain <= (double)FLT_MAX))
            return nb_fail(ctx, NB_E_CONFIG, "%s: column %d: a deviation of %g cannot be divided by", name, c,
                           k->spread[c]);
        numbers[c] = (float)k->mean[c];
        numbers[k->n + c] = (float)gain;
    }
    f->n = k->n;
    f->center = numbers;
    f->gain = numbers + k->n;
    return NB_OK;
}

nb_status nb_features_fit(nb_ctx *ctx, nb_arena *arena, const nb_feature_file *file, const nb_sample_layout *at,
                          const nb_sample_keys *keys, const nb_features **out)
{
    const size_t n = (size_t)columns_of(at, keys);
    columns k = {.x = file->x, .count = (int64_t)at->count * at->h * at->w * at->c, .n = (int32_t)n};
    nb_features *f = nb_arena_alloc(arena, sizeof *f);
    float *numbers = nb_arena_array(arena, 2 * n, sizeof *numbers);
    if (!f || !numbers)
        return NB_E_NOMEM;
    k.mean = nb_alloc(ctx, 2 * n * sizeof *k.mean);
    if (!k.mean)
        return NB_E_NOMEM;
    k.spread = k.mean + n;
    f->dtype = file->dtype;
    const nb_status st = fit(ctx, file->name, &k, keys, f, numbers);
    nb_free(ctx, k.mean);
    if (st == NB_OK)
        *out = f;
    return st;
}
