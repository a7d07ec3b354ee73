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
    double *lane;          /* [parts][NB_SCALE_LANES] sums of a backward; NULL: nothing is learned */
} nb_fq_priv;

/* Of channel c: the range's floats, and one more that is 1 once something was observed. */
static inline float *nb_fq_state(const nb_node *n, int32_t c)
{
    const nb_fakequant_attr *a = n->attr;
    return (float *)n->in[1]->out.data + (int64_t)c * (nb_fq_range_floats(a) + 1);
}

static inline bool nb_fq_seen(const nb_node *n, int32_t c)
{
    const nb_fakequant_attr *a = n->attr;
    return nb_fq_state(n, c)[nb_fq_range_floats(a)] != 0.0f;
}

nb_status nb_fq_learned_leaf(nb_graph *g, nb_node *n, int32_t channels);
nb_status nb_fq_learned_prepare(nb_graph *g, nb_node *n);
/* All channels have begun to learn: the range is not needed any more. Also where nothing is learned: false. */
bool nb_fq_learning(const nb_node *n);
/* After the range of channel c was observed: begins, or begins anew. */
void nb_fq_learned_begin(const nb_node *n, int32_t c, bool anew);
/* Replaces the range's scale and zero point by the learned ones, if there are any yet. */
void nb_fq_learned_params(const nb_node *n, int32_t c, float *scale, int32_t *zero);
/* The whole backward of what is learned, node by node. */
void nb_fq_learned_backward(nb_node *n);

#endif
