/* range_ends.h - what ranges share whose state begins with two ends: averaging them, and looking at some of the values. */
#ifndef NB_QUANT_RANGE_ENDS_H
#define NB_QUANT_RANGE_ENDS_H

#include <nibble/extend/quant.h>

enum { NB_LOW, NB_HIGH, NB_ENDS };

/* Attributes of a range that averages begin with these. */
typedef struct {
    float momentum;
} nb_range_average;
#define NB_KEY_MOMENTUM                                                                                                \
    NB_KEY_FLOAT(nb_range_average, momentum, "0.05", 1e-6, 1,                                                          \
                 "activations: share of the new batch in the moving average")

/* nb_range.params and .sound of a range that is its two ends. */
void nb_ends_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero);
bool nb_ends_sound(const float *state);
/* The share of what is shown now: all for weights, which are looked at anew each time. */
float nb_ends_share(const nb_observation *o, float momentum);
/* Moves the ends towards these by that share. */
void nb_ends_follow(float *state, const nb_observation *o, float momentum, float low, float high);

/* Is the grid as wide on both sides of 0? */
static inline bool nb_grid_symmetric(const nb_grid *g)
{
    return g->scheme == NB_SCHEME_SYMMETRIC || g->scheme == NB_SCHEME_FULL;
}

/* Some of the values, or all where there are few, in the same order for whoever computes them: one from each of as many
 * stretches of equal length, at a place that a hash of the stretch's number says: every n-th value would be of a few
 * channels, rows or columns only wherever n shares a factor with theirs. */
enum { NB_SAMPLES = 2048, NB_CALIBRATION_SAMPLES = 65536, NB_SAMPLE_BLOCK = 2048 };
typedef struct {
    const nb_observation *o;
    int64_t at, stretch;
} nb_sample;
nb_sample nb_sample_start(const nb_observation *o, int64_t samples);
/* NB_SAMPLES of them, in a calibration, which has few batches, more: the tails are rare, and what misses them cuts them
 * off. */
nb_sample nb_sample_usual(const nb_observation *o);
/* The next of them, at most NB_SAMPLE_BLOCK; 0: that was all. All ranks ask for the same. */
int32_t nb_sample_next(nb_sample *s, float x[NB_SAMPLE_BLOCK]);
/* How many blocks of the usual sample there are, at most NB_SAMPLE_BLOCKS, and f for each: on several threads, in any
 * order, but where ranks have parts of the values, and with them messages, one after the other. */
enum { NB_SAMPLE_BLOCKS = NB_CALIBRATION_SAMPLES / NB_SAMPLE_BLOCK };
typedef void nb_sample_fn(void *arg, int32_t block, const float *x, int32_t n);
int32_t nb_sample_each(const nb_observation *o, nb_sample_fn *f, void *arg);

#endif
