/* histogram.h - how values are distributed, over batches, in bounded memory: NB_BINS equal bins and their reach.
 *
 * Over [0, reach] while no value is negative, else over [-reach, reach]. A value beyond doubles the reach and adds bins
 * up in twos, as often as needed, so what was counted stays counted where it was. Counts are shares of all values: in a
 * calibration every batch has the same weight, in training the new batch has the momentum's, and earlier ones fade. */
#ifndef NB_QUANT_HISTOGRAM_H
#define NB_QUANT_HISTOGRAM_H

#include "quant/range_ends.h"

enum { NB_BINS = 2048 };

/* As it lies in a range's state, all zero at first; floats only. */
typedef struct {
    float reach;          /* 0: nothing but zeros so far */
    float is_signed;      /* 0 or 1 */
    float share[NB_BINS]; /* in proportion */
} nb_histogram;
enum { NB_HISTOGRAM_FLOATS = sizeof(nb_histogram) / sizeof(float) };

/* Could one have left it? For nb_range.history_sound. */
bool nb_histogram_sound(const float *history);
/* Takes in the observation's sample, or all its values if they are weights. */
void nb_histogram_add(nb_histogram *h, const nb_observation *o, float momentum);
/* Bin i is [nb_histogram_edge(h, i), nb_histogram_edge(h, i + 1)). */
static inline double nb_histogram_edge(const nb_histogram *h, int32_t i)
{
    const double reach = (double)h->reach;
    return h->is_signed != 0 ? reach * (2 * i - NB_BINS) / NB_BINS : reach * i / NB_BINS;
}

#endif
