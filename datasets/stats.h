/* stats.h - mean and deviation of pixels per channel from exact integer sums: the same on every machine. */
#ifndef NB_DATASETS_STATS_H
#define NB_DATASETS_STATS_H

#include <math.h>
#include <nibble/extend/dataset_loader.h>

typedef struct {
    uint64_t n, sum[NB_MAX_CHANNELS], sumsq[NB_MAX_CHANNELS]; /* 255^2 * 2^40 pixels fit with room */
} nb_pixel_stats;

static inline void nb_pixel_stats_add(nb_pixel_stats *s, const uint8_t *hwc, int64_t pixels, int32_t c)
{
    s->n += (uint64_t)pixels;
    for (int64_t i = 0; i < pixels; i++)
        for (int32_t k = 0; k < c; k++) {
            const uint32_t v = hwc[i * c + k];
            s->sum[k] += v;
            s->sumsq[k] += v * v;
        }
}

static inline void nb_pixel_stats_join(nb_pixel_stats *s, const nb_pixel_stats *more, int32_t c)
{
    s->n += more->n;
    for (int32_t k = 0; k < c; k++) {
        s->sum[k] += more->sum[k];
        s->sumsq[k] += more->sumsq[k];
    }
}

/* Of pixel/255. The deviation of a constant channel is taken as one grey level: it divides. */
static inline void nb_pixel_stats_finish(const nb_pixel_stats *s, int32_t c, float *mean, float *std)
{
    for (int32_t k = 0; k < c; k++) {
        const double m = (double)s->sum[k] / (double)s->n;
        const double var = (double)s->sumsq[k] / (double)s->n - m * m;
        mean[k] = (float)(m / 255.0);
        std[k] = (float)((var > 1.0 ? sqrt(var) : 1.0) / 255.0);
    }
}

#endif
