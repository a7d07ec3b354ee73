/* phase_graph.h - the network of one phase of a training. */
#ifndef NB_TRAIN_PHASE_GRAPH_H
#define NB_TRAIN_PHASE_GRAPH_H

#include <nibble/train.h>

/* Frozen for training, with values from `from`; where it becomes a quantized network for the first time, with what the job does
 * before that. Ranks share its batches. */
nb_status nb_phase_graph_open(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_params_source *from,
                              nb_graph **out);

#endif
