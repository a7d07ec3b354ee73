/* mixup.c - see mixup.h. Batches are shuffled, so any pairs will do; those of fixed places need no copy of the batch. */
#include "train/mixup.h"

#include <math.h>

enum { UNIT = 256 };

/* Johnk 1964: two uniform numbers to the power 1 / a, drawn until their sum is at most 1. */
float nb_mixup_draw(nb_rng *rng, float a)
{
    for (int32_t tries = 0; tries < 1000; tries++) {
        const double u = pow((double)nb_rng_uniform(rng), 1.0 / (double)a);
        const double v = pow((double)nb_rng_uniform(rng), 1.0 / (double)a);
        if (u + v <= 1.0 && u + v > 0.0)
            return (float)(u / (u + v));
    }
    return 0;
}

static void mix(uint8_t *x, uint8_t *y, int64_t n, int32_t share)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t a = x[i], b = y[i];
        x[i] = (uint8_t)(((UNIT - share) * a + share * b + UNIT / 2) / UNIT);
        y[i] = (uint8_t)(((UNIT - share) * b + share * a + UNIT / 2) / UNIT);
    }
}

void nb_mixup(const nb_mixed *m, float a, uint64_t key, int32_t *other, float *share)
{
    for (int32_t i = 0, j = m->n - 1; i <= j; i++, j--) {
        if (!nb_mixup_reads(m, i))
            continue;
        nb_rng rng = nb_rng_make(key, (uint64_t)i);
        const float drawn = i < j ? nb_mixup_draw(&rng, a) : 0;
        const int32_t of_256 = (int32_t)((drawn > 0.5f ? 1.0f - drawn : drawn) * UNIT + 0.5f);
        other[i] = m->label[j];
        other[j] = m->label[i];
        share[i] = share[j] = (float)of_256 / UNIT;
        if (of_256)
            mix(m->pixels + i * m->bytes, m->pixels + j * m->bytes, m->bytes, of_256);
    }
}
