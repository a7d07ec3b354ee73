/* hard.h - the hardest part of a batch (Jordan 2024, airbench96): those images that the network as it is gets the largest loss on. */
#ifndef NB_TRAIN_HARD_H
#define NB_TRAIN_HARD_H

#include "train/loader.h"
#include "train/train_job.h"

typedef struct nb_hard nb_hard;

/* NULL where job learns from whole batches. */
nb_status nb_hard_create(nb_ctx *ctx, const nb_train_job *job, nb_hard **out);
void nb_hard_free(nb_ctx *ctx, nb_hard *h); /* NULL is fine */
/* What the network as it is answers to all images of a batch, as an evaluation would: the mean of the losses, and how many are right;
 * 0 images where nobody asked it, or where the loss is no number. */
typedef struct {
    double loss;
    int32_t correct, images;
} nb_hard_seen;

/* The part of b that g is to learn from, in b's order, valid until the next call; g's batch becomes its size. ready: g has seen images
 * (a quantizer has no range before); else it is the first images of b. */
const nb_batch *nb_hard_pick(nb_hard *h, nb_graph *g, const nb_batch *b, bool ready, nb_hard_seen *seen);

#endif
