/* adaround.h - for one layer: which weights are rounded up and which down (AdaRound, Nagel et al. 2020,
 * arXiv:2004.10568; white paper 3.4).
 *
 * The layer is a matrix of what its filters see in the quantized network, a row per output pixel, and what each filter
 * gives in the float network at that pixel, activation included. Nothing here knows of graphs. */
#ifndef NB_POST_ADAROUND_H
#define NB_POST_ADAROUND_H

#include "post/soft_round.h"

typedef struct {
    int32_t filters, size; /* size: weights of a filter */
    int32_t groups;        /* filters that see the same inputs are one; 1: all do */
    int32_t rows;
    const float *x;         /* see nb_adaround_input */
    const float *y;         /* [rows][filters], wanted in place of clamp(mul * (codes . x) * step + add, low, high) */
    const float *mul, *add; /* [filters] */
    float low, high;        /* may be infinite */
    const float *w, *step;  /* [filters][size], [filters] */
    const int32_t *first, *last; /* [filters] codes there are, every integer between these */
} nb_adaround_problem;

/* Where x has the `size` inputs that the filters of a group see in a row. Of [rows * groups * size] floats. */
int64_t nb_adaround_input(const nb_adaround_problem *p, int32_t row, int32_t group);

typedef struct {
    nb_soft_keys soft;
    int32_t batch;  /* rows of one */
    int32_t refine; /* sweeps over single weights at the end, at most */
} nb_adaround_keys;

/* Sums over all rows and filters of the squared error. */
typedef struct {
    double nearest, learned;
    double wanted;   /* of y itself */
    int64_t flipped; /* codes that are not the nearest */
} nb_adaround_gain;

/* Told now and then how much of the work is done, 0..1; from the calling thread. May be NULL. */
typedef struct {
    void (*done)(void *ud, double share);
    void *ud;
} nb_adaround_watch;

/* code [filters][size]. A filter that learning did not make better keeps its nearest codes. Serial from the outside; the same codes for
 * any number of threads. */
nb_status nb_adaround_solve(nb_ctx *ctx, const nb_adaround_problem *p, const nb_adaround_keys *k,
                            const nb_adaround_watch *watch, int32_t *code, nb_adaround_gain *gain);

#endif
