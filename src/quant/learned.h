/* learned.h - what fakequant.c and learned.c share: a node's tables, and its rows of state. */
#ifndef NB_QUANT_LEARNED_H
#define NB_QUANT_LEARNED_H

#include "quant/fakequant.h"

#include "kernels/sweeps/sweep.h"

typedef struct {
    nb_qparams q;
    nb_grid grid;
    int8_t level[256];
    nb_klevels levels; /* of grid.level */
    float *lo, *hi;    /* per chunk extremes of the last observation */
    int32_t n_chunks_max;
    const nb_node *reader; /* of weights: the layer that multiplies with them */
    double *lane;          /* [parts][n_lanes] sums of a backward; NULL: nothing is learned */
    int32_t n_lanes;       /* NB_SCALE_LANES, or NB_END_LANES */
    float *warped;         /* of weights: what is quantized in their place; NULL: nothing is */
} nb_fq_priv;

/* Of channel c: the range's floats, and one more that is 1 once something was observed. */
static inline float *nb_fq_state(const nb_node *n, int32_t c)
{
    const nb_fakequant_attr *a = n->attr;
    return (float *)n->in[1]->out.data + (int64_t)c * (a->range->n_state + 1);
}

static inline bool nb_fq_seen(const nb_node *n, int32_t c)
{
    const nb_fakequant_attr *a = n->attr;
    return nb_fq_state(n, c)[a->range->n_state] != 0.0f;
}

nb_status nb_fq_learned_leaf(nb_graph *g, nb_node *n, int32_t channels);
nb_status nb_fq_learned_prepare(nb_graph *g, nb_node *n);
/* The values that are quantized: what comes in, or what nb_fq_warp has made of it. */
static inline const float *nb_fq_values(const nb_node *n)
{
    const nb_fq_priv *p = n->priv;
    return p->warped ? p->warped : n->in[0]->out.data;
}
void nb_fq_warp(const nb_node *n);
/* All channels have begun to learn: the range is not needed any more. Also where nothing is learned: false. */
bool nb_fq_learning(const nb_node *n);
/* After the range of channel c was observed: begins, or, in a calibration, begins anew. */
void nb_fq_learned_begin(const nb_node *n, int32_t c, const nb_observation *seen);
/* Replaces the range's scale and zero point by the learned ones, if there are any yet. */
void nb_fq_learned_params(const nb_node *n, int32_t c, float *scale, int32_t *zero);
/* The whole backward of what is learned, node by node. */
void nb_fq_learned_backward(nb_node *n);

#endif
