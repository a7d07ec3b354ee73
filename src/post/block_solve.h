/* block_solve.h - the weights of all layers of a block, rounded together (BRECQ, Li et al. 2021, arXiv:2102.05426): so that
 * what the block gives is what it gives in the float network,
 *
 *   sum(weight * (given - wanted)^2) / the same when it begins * filters + regularizer (soft_round.h),
 *
 * over random batches of images. `filters` is the number of them in the block: lambda then means what it means for the
 * filters of a layer, one by one (adaround.c). Scales of activations are learned along. */
#ifndef NB_POST_BLOCK_SOLVE_H
#define NB_POST_BLOCK_SOLVE_H

#include "post/block_data.h"
#include "post/block_run.h"
#include "post/soft_round.h"

typedef struct {
    nb_soft_keys soft;
    int32_t batch;  /* images of one */
    float scale_lr; /* of scales of activations, in proportion to them; falls to 0. 0: they stay */
    float drop;     /* share of values that are not rounded */
    uint64_t seed;
} nb_block_keys;

/* Sums over all images of the weighted squared error. */
typedef struct {
    double before, after; /* after: no larger */
    double wanted;        /* of y itself */
    bool better;          /* false: all is as it was */
    int64_t flipped;      /* codes that are not what they were */
} nb_block_gain;

/* Told now and then how much of the work is done, 0..1. May be NULL. */
typedef struct {
    void (*done)(void *ud, double share);
    void *ud;
} nb_block_watch;

/* What a layer begins with and comes to. */
typedef struct {
    nb_soft soft;
    float *step;           /* [filters] */
    int32_t *first, *last; /* [filters] */
    int32_t *start, *code; /* [weights] codes that it has, and is to have */
    int32_t filters;
    int64_t size; /* weights of a filter */
} nb_block_codes;

typedef struct {
    nb_ctx *ctx;
    const nb_graph *g, *floats; /* the quantized network, after a forward pass, and the float one */
    nb_block_run *run;
    const nb_block_data *data;
    const nb_block_keys *keys;
    nb_block_codes *codes; /* [run->n_layers] */
    float *dy;             /* [batch][out] */
    double *errors;        /* [batch] */
    float *start, *moment; /* [n_values] scales, [n_values][2] */
    uint8_t *mixed;        /* [batch][in] what is read from the float network */
    int32_t *order;        /* [n] images */
    float unit;            /* of the error in the loss of a batch */
    int32_t batch, filters;
} nb_block_problem;

/* Reads grids, codes and float weights. p: g .. keys are set. Memory is the arena's. */
nb_status nb_block_problem_open(nb_arena *arena, nb_block_problem *p);
/* Sets p->codes[].code and the scales of p->run. */
void nb_block_solve(nb_block_problem *p, const nb_block_watch *watch, nb_block_gain *gain);

/* In pieces, for tests. The error of all images with codes: p->codes[].start or .code. */
double nb_block_error(nb_block_problem *p, bool start);
/* The loss of images order[0..batch-1] without the regularizer, and with `train` its gradients in p->run: by what layers
 * multiply with, by scales. */
double nb_block_loss(nb_block_problem *p, const nb_block_pass *pass);
/* What layers multiply with, from p->codes[].soft. */
void nb_block_soften(nb_block_problem *p);

#endif
