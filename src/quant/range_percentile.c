/* range_percentile.c - the range between two percentiles: what is rare lies outside.
 *
 * Of a weight tensor they are exact, as NumPy's default says them: at rank p/100 (n - 1) of the sorted values, linear
 * between two of them; a value of a rank is selected digit by digit of its bits, without sorting or memory. Of
 * activations they are those of all batches together, from a histogram (histogram.h), uniform within a bin. */
#include "quant/histogram.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    nb_range_average average; /* first */
    float low, high;
} percentile_attr;

static const nb_key percentile_keys[] = {
    NB_KEY_FLOAT(nb_range_average, momentum, "0.05", 1e-6, 1,
                 "activations in training: share of the new batch in the histogram"),
    NB_KEY_FLOAT(percentile_attr, low, "0.1", 0, 50, "the range's low end, as a percentile"),
    NB_KEY_FLOAT(percentile_attr, high, "99.9", 50, 100, "its high end"),
    {0}};

static bool percentile_refuse(const void *attr, const nb_range_use *use, char *why, size_t size)
{
    const percentile_attr *a = attr;
    (void)use;
    if (a->high > a->low)
        return false;
    snprintf(why, size, "low and high are both 50: the range between them is empty, set high above low");
    return true;
}

/* ---- exact, of a tensor ---- */

enum { DIGIT = 11, DIGITS = 1 << DIGIT }; /* 3 of them are a float's 32 bits */

/* Bits that are ordered as the values are. */
static uint32_t ordered(float v)
{
    uint32_t u;
    v += 0.0f; /* no -0 */
    memcpy(&u, &v, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static float value_of(uint32_t key)
{
    const uint32_t u = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* The value of a rank, from 0. */
static float select(const nb_observation *o, int64_t rank)
{
    uint32_t key = 0;
    for (int32_t shift = 2 * DIGIT; shift >= 0; shift -= DIGIT) {
        int64_t count[DIGITS] = {0};
        for (int64_t i = 0; i < o->n; i++) {
            const uint32_t k = ordered(o->values.at(o->values.arg, i));
            if (shift == 2 * DIGIT || k >> (shift + DIGIT) == key >> (shift + DIGIT))
                count[k >> shift & (DIGITS - 1)]++;
        }
        uint32_t digit = 0;
        for (; rank >= count[digit]; digit++)
            rank -= count[digit];
        key |= digit << shift;
    }
    return value_of(key);
}

static float exact(const nb_observation *o, double percent)
{
    const double at = percent / 100 * (double)(o->n - 1);
    const int64_t below = (int64_t)at, above = below + 1 < o->n ? below + 1 : below;
    const double low = (double)select(o, below),
                 high = above > below && at > (double)below ? (double)select(o, above) : low;
    return (float)(low + (high - low) * (at - (double)below));
}

/* ---- of all batches ---- */

static float of_histogram(const nb_histogram *h, double percent)
{
    double all = 0, sum = 0;
    int32_t last = 0;
    for (int32_t i = 0; i < NB_BINS; i++) {
        all += (double)h->share[i];
        last = h->share[i] > 0 ? i : last;
    }
    const double wanted = percent / 100 * all;
    for (int32_t i = 0; i <= last; i++) {
        const double here = (double)h->share[i], low = nb_histogram_edge(h, i), high = nb_histogram_edge(h, i + 1);
        if (here > 0 && (sum + here >= wanted || i == last))
            return (float)(low + (high - low) * fmin((wanted - sum) / here, 1));
        sum += here;
    }
    return 0; /* nothing but zeros */
}

static void percentile_observe(const void *attr, float *state, const nb_observation *o)
{
    const percentile_attr *a = attr;
    const double low = (double)a->low, high = (double)a->high;
    if (o->grid->weights) {
        state[NB_LOW] = exact(o, low);
        state[NB_HIGH] = exact(o, high);
        return;
    }
    nb_histogram *h = (nb_histogram *)(state + NB_ENDS);
    nb_histogram_add(h, o, a->average.momentum);
    state[NB_LOW] = of_histogram(h, low);
    state[NB_HIGH] = of_histogram(h, high);
}

const nb_range nb_range_percentile = {.name = "percentile",
                                      .help = "between two percentiles of the values",
                                      .keys = percentile_keys,
                                      .attr_size = sizeof(percentile_attr),
                                      .n_state = NB_ENDS,
                                      .n_history = NB_HISTOGRAM_FLOATS,
                                      .refuse = percentile_refuse,
                                      .observe = percentile_observe,
                                      .params = nb_ends_params,
                                      .sound = nb_ends_sound,
                                      .history_sound = nb_histogram_sound};
