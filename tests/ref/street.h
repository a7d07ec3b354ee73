/* street.h - the whole street from a piece of YAML, for tests: config, data, graph, a few steps of training. */
#ifndef NB_REF_STREET_H
#define NB_REF_STREET_H

#include <nibble/extend/quant.h>
#include <nibble/lower.h>
#include <nibble/model.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_experiment exp;
    nb_data *train, *test;
    nb_graph *graph;
} ref_street;

typedef enum { REF_FLOAT, REF_QUANTIZED } ref_quantize;

/* Parses, opens the data, builds, initialises, quantizes; does not freeze. On failure returns the status and leaves the
 * sentence in s->ctx; close in any case. */
nb_status ref_street_open(ref_street *s, const char *yaml, int32_t batch, ref_quantize q);
/* The same of two convolutions (c: 5 filters, d: 7 of 3x3 over 5, then a batch norm) and a linear layer fc, with these keys
 * of quant.weights. */
nb_status ref_street_weights(ref_street *s, const char *keys);
/* Another graph of the same experiment with the same leaf values, frozen for inference. */
nb_status ref_street_copy(const ref_street *s, int32_t batch, ref_quantize q, nb_graph **out);
/* Plain gradient descent on the first batches of the data; the graph is frozen for training if it is not yet. Returns
 * the last loss. */
float ref_street_steps(ref_street *s, int32_t steps, float lr, bool freeze_bn);
void ref_street_close(ref_street *s);

#endif
