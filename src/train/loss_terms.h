/* loss_terms.h - what the loss compares with beside labels (nb_loss_terms), made anew for every batch: the teacher's logits, the labels of
 * mixed images; and weights of classes. */
#ifndef NB_TRAIN_LOSS_TERMS_H
#define NB_TRAIN_LOSS_TERMS_H

#include "train/loader.h"
#include "train/train_job.h"

typedef struct nb_terms nb_terms;

/* train.teacher into p, bound. */
nb_status nb_terms_bind(nb_ctx *ctx, nb_train_plan *p);
/* Has g, the network of this phase, a loss that takes what the phase asks for? */
nb_status nb_terms_check(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_graph *g);

nb_status nb_terms_create(nb_ctx *ctx, const nb_train_job *job, nb_terms **out);
void nb_terms_free(nb_ctx *ctx, nb_terms *t); /* NULL is fine */
/* The terms of this batch in this phase, valid until the next call; *out is NULL where there are none. */
nb_status nb_terms_of(nb_terms *t, int32_t phase, const nb_batch *b, const nb_loss_terms **out);

#endif
