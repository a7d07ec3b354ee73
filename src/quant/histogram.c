/* histogram.c - counting values whose extent is not known beforehand; see histogram.h. */
#include "quant/histogram.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Bins in twos, into the `half` bins from `to` on; the rest becomes 0. Any order of `to` is safe: it reads ahead. */
static void halve(nb_histogram *h, int32_t to)
{
    float narrow[NB_BINS] = {0};
    for (int32_t i = 0; i < NB_BINS / 2; i++)
        narrow[to + i] = h->share[2 * i] + h->share[2 * i + 1];
    memcpy(h->share, narrow, sizeof narrow);
}

static void make_room(nb_histogram *h, float min, float max)
{
    const float most = fmaxf(-min, max);
    if (h->reach == 0)
        h->reach = most;
    if (min < 0 && h->is_signed == 0) {
        halve(h, NB_BINS / 2); /* [0, reach] is the upper half now */
        h->is_signed = 1;
    }
    while (h->reach < most && h->reach <= FLT_MAX / 2) {
        halve(h, h->is_signed != 0 ? NB_BINS / 4 : 0);
        h->reach *= 2;
    }
}

static int64_t count(nb_histogram *h, const nb_observation *o, int64_t each[NB_BINS])
{
    const double reach = (double)h->reach, shift = h->is_signed != 0 ? reach : 0;
    const double per_unit = NB_BINS / (reach + shift);
    float x[NB_SAMPLE_BLOCK];
    int64_t n = 0;
    nb_sample some = o->grid->weights ? nb_sample_start(o, o->n) : nb_sample_usual(o);
    for (int32_t k; (k = nb_sample_next(&some, x)) > 0; n += k)
        for (int32_t i = 0; i < k; i++) {
            const double at = ((double)x[i] + shift) * per_unit;
            each[at <= 0 ? 0 : at >= NB_BINS - 1 ? NB_BINS - 1 : (int32_t)at]++;
        }
    return n;
}

bool nb_histogram_sound(const float *history)
{
    const nb_histogram *h = (const nb_histogram *)history;
    bool ok = h->reach >= 0 && (h->is_signed == 0 || h->is_signed == 1);
    for (int32_t i = 0; i < NB_BINS; i++)
        ok = ok && h->share[i] >= 0;
    return ok;
}

void nb_histogram_add(nb_histogram *h, const nb_observation *o, float momentum)
{
    const float m = o->first || o->grid->weights ? 1.0f : o->calibration ? 1.0f / (float)o->calibration : momentum;
    make_room(h, o->min, o->max);
    if (h->reach == 0)
        return;
    int64_t each[NB_BINS] = {0};
    const double n = (double)count(h, o, each);
    for (int32_t i = 0; i < NB_BINS; i++)
        h->share[i] = (1.0f - m) * h->share[i] + m * (float)((double)each[i] / n);
}
