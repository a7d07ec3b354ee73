/* named_model.h - a random integer model (random_model.h) with names, scales and levels: one that has a file. */
#ifndef NB_REF_NAMED_MODEL_H
#define NB_REF_NAMED_MODEL_H

#include <nibble/intmodel.h>

#include "ref/random_model.h"

/* Tensors keep their places; steps are named "s0", "s1"... */
nb_status ref_named_model(nb_ctx *ctx, const ref_model *r, nb_intmodel **out);
/* The weights of a "bits" and of an "offset" tensor, taken apart bit by bit as the format's text says. apart: from a channel's
 * levels or low to the next one's, 0 where they are for all. */
void ref_read_levels(int8_t *weights, const uint8_t *bytes, const int8_t *level, int32_t apart, int32_t bits,
                     const nb_geom *g);
void ref_read_offsets(int8_t *weights, const uint8_t *bytes, const int8_t *low, int32_t apart, int32_t bits,
                      const nb_geom *g);

#endif
