/* score.h - what outputs are worth, by the task that the loss gives a network: the same for the float forward pass and for
 * the integer engine. */
#ifndef NB_CORE_SCORE_H
#define NB_CORE_SCORE_H

#include <nibble/extend/op.h>

/* Of one sample. */
typedef struct {
    double loss;    /* cross entropy; mean squared error */
    double energy;  /* mean square of the target, where there is one */
    int32_t answer; /* the class of the largest output, ties to the first */
    bool right;
} nb_score;
/* out [n]; target [n] where nb_task_has_target. label < n where the outputs are classes. */
nb_score nb_score_of(nb_task task, const double *out, const double *target, int32_t n, int32_t label);
static inline bool nb_task_has_target(nb_task task)
{
    return task == NB_TASK_RECONSTRUCT;
}

/* Sums over samples, in the caller's order; losses and labels [n] where nb_task_has_target. Fills accuracy, loss and metric of
 * an nb_eval whose n and correct are there. */
typedef struct {
    double loss, energy;
    const double *losses;
    const int32_t *labels;
} nb_score_sums;
nb_status nb_score_finish(nb_ctx *ctx, nb_task task, const nb_score_sums *sums, nb_eval *e);

/* Area under the ROC curve: the share of pairs of a sample with label 0 and one with another label in which the second has
 * the larger score, ties half. Exact. *out is -1 where there are no such pairs. */
nb_status nb_auc(nb_ctx *ctx, const double *scores, const int32_t *labels, int32_t n, double *out);

/* Does the network's data give what its loss asks for: images of its size, and labels of its classes? */
nb_status nb_score_check(nb_ctx *ctx, const nb_dsinfo *network, const nb_dsinfo *data);

#endif
