/* reestimate.h - passes over a sample of images: what is checked before them. They are in nibble/train.h. */
#ifndef NB_TRAIN_REESTIMATE_H
#define NB_TRAIN_REESTIMATE_H

#include <nibble/train.h>

/* Is `reestimate_bn` of this phase, whose network is g, one that can be done? */
nb_status nb_check_reestimate(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_graph *g);

#endif
