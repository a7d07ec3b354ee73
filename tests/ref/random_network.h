/* random_network.h - random networks from a seed: odd sizes, residual adds, concats, gates, depthwise and grouped
 * convolutions, both pools, dilation, rows that are joined, batch norms in every place that is legal, with gamma < 0,
 * ~0 and 0, 2..8 bits. */
#ifndef NB_REF_RANDOM_NETWORK_H
#define NB_REF_RANDOM_NETWORK_H

#include "ref/street.h"

enum { REF_NETWORK_BYTES = 8192, REF_NETWORK_BATCH = 8 };

/* The config of network `seed` into text [REF_NETWORK_BYTES]. */
void ref_network_text(int32_t seed, char *text);
/* The same with residual blocks and sums of sums among the layers. */
void ref_network_text_residual(int32_t seed, char *text);
/* The same network with batch norms that are folded in every step; false: it has none that can be, text stays. */
bool ref_network_fold_corrected(char *text);
/* Batch norms of g as training seldom leaves them: negative, zero and nearly zero gamma. */
void ref_network_disturb(int32_t seed, nb_graph *g);
/* The network of that text, quantized, its batch norms disturbed; stops the test when it cannot be built. Close with
 * ref_street_close. */
void ref_network_open(int32_t seed, const char *text, ref_street *s);
/* Trains a few steps and lowers. NB_E_RANGE: lowering refuses, because a bias in units of next to nothing cannot be
 * proven to fit. */
nb_status ref_network_integers(ref_street *s, nb_intmodel **out);

#endif
