/* optim.h - an optimizer at work on one graph: its moments, the averaged weights, and one parallel sweep per step. */
#ifndef NB_TRAIN_OPTIM_H
#define NB_TRAIN_OPTIM_H

#include <nibble/extend/op.h>
#include <nibble/extend/optimizer.h>
#include <nibble/extend/quant.h>
#include <nibble/train.h>

#define NB_OPTIMIZER(x) extern const nb_optimizer nb_optimizer_##x;
#include "train/optimizers.def"
#undef NB_OPTIMIZER

typedef struct {
    nb_node *leaf;
    float *moment[NB_MAX_MOMENTS]; /* as many as the optimizer has, else NULL */
    float *average;                /* averaged weights, or NULL when off */
    float *slow;                   /* lookahead's, or NULL when off */
    float *work;                   /* of an optimizer that takes it as a matrix, or NULL */
    nb_matrix_size size;
    bool still; /* train.layers says so */
    int64_t n;
    float weight_decay, lr;      /* lr: factor on the learning rate */
    const nb_learning *learning; /* of a quantizer, or NULL: stands still with the ranges, 0 is no value of it yet */
} nb_slot;

/* Values that resuming needs: a tensor of a checkpoint, of its leaf's shape. */
typedef struct {
    const nb_node *leaf;
    const char *name;
    float *data;
    bool nonnegative;
} nb_kept;

typedef struct nb_optim nb_optim;

/* One slot per trained leaf of g, in graph order; moments are zero and averages start as the weights are now. plan and
 * g are borrowed. */
nb_status nb_optim_create(nb_ctx *ctx, const nb_train_plan *plan, nb_graph *g, nb_optim **out);
void nb_optim_free(nb_ctx *ctx, nb_optim *o);
int32_t nb_optim_count(const nb_optim *o);
const nb_slot *nb_optim_slot(const nb_optim *o, int32_t i);
/* More state of slot i: a zeroed array of its size that is kept as "opt/<leaf>/<what>". */
nb_status nb_optim_keep(nb_optim *o, int32_t i, const char *what, bool nonnegative, float **out);
/* Zeroed memory that lives as long as o; NULL sets the sentence. */
void *nb_optim_alloc(nb_optim *o, size_t bytes);
/* Everything that is kept beside the leaves themselves: moments, averages, what nb_optim_keep added. */
const nb_kept *nb_optim_kept(const nb_optim *o, int32_t *n);
/* Averages and lookahead's := weights, after parameters were set from outside. */
void nb_optim_restart_average(nb_optim *o);

/* Euclidean norm of all gradients, summed in double in a fixed order; not finite when any gradient is not. */
double nb_optim_grad_norm(nb_optim *o);
/* Update t (1-based) from the leaves' gradients, which clipping may scale in place. norm: from nb_optim_grad_norm. */
void nb_optim_step(nb_optim *o, double lr, int64_t t, double norm);
/* Lookahead, after step t of n of the phase (1-based), where it is due: part of the way from where it was before is taken. */
void nb_optim_look(nb_optim *o, int64_t t, int64_t n);
/* While on, steps leave what quantizers learn alone. */
void nb_optim_freeze_ranges(nb_optim *o, bool on);
/* Exchanges weights and averages; nothing happens without averages. Twice is as before. */
void nb_optim_swap(nb_optim *o);

#endif
