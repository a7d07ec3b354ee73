/* moments.h - what batch norms say of values without looking at any: mean and standard deviation of each channel. */
#ifndef NB_QUANT_MOMENTS_H
#define NB_QUANT_MOMENTS_H

#include <nibble/extend/op.h>

/* Of channel c of n's values in the float network (quantizers are passed through): beta and |gamma| behind a batch norm, those of a
 * clipped normal behind a relu, sums of independent normals behind an add; an average pool keeps the mean, and at most the
 * deviation. false: nobody says, as behind a max pool, a convolution without batch norm, or of the images. */
bool nb_value_moments(const nb_node *n, int32_t c, double *mean, double *deviation);

/* Of min(max(x, low), high) with x normal: moments in place. low may be -INFINITY, high INFINITY. */
void nb_clip_moments(double low, double high, double *mean, double *deviation);

#endif
