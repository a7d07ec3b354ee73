/* moments.h - what batch norms say of values without looking at any: mean and standard deviation of each channel. */
#ifndef NB_QUANT_MOMENTS_H
#define NB_QUANT_MOMENTS_H

#include <nibble/extend/op.h>

/* Of channel c of n's values in the float network (quantizers are passed through): beta and |gamma| behind a batch norm, those of a
 * clipped normal behind a relu, of a function of a normal behind another activation, sums of independent normals behind an
 * add; an average pool keeps the mean, and at most the deviation. false: nobody says, as behind a max pool, a product, a
 * convolution without batch norm, or of the images. */
bool nb_value_moments(const nb_node *n, int32_t c, double *mean, double *deviation);

/* Where channel c's values lie: within a deviations of the mean, and what relus and activations make of that. */
bool nb_value_interval(const nb_node *n, int32_t c, double a, double *low, double *high);

/* Of min(max(x, low), high) with x normal: moments in place. low may be -INFINITY, high INFINITY. */
void nb_clip_moments(double low, double high, double *mean, double *deviation);

#endif
