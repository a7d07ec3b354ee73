/* learned.h - what fakequant.c and learned.c share: a node's tables, and its rows of state. */
#ifndef NB_QUANT_LEARNED_H
#define NB_QUANT_LEARNED_H

#include "quant/fakequant.h"

#include "kernels/sweeps/sweep.h"

typedef struct {
    nb_qparams q;
    nb_grid grid;
    int8_t level[256];
    nb_klevels levels; /* of grid.level, where these are the same for all */
    int8_t *
        book; /* [q.n][n_levels] and [q.n][n_levels - 1], where they follow from the state: of every channel; or NULL */
    float *edge;
    const nb_graph *graph; /* it is in */
    float one_scale;       /* of all nodes of its kind, where a format has that */
    float *lo, *hi;        /* per chunk extremes of the last observation */
    int32_t n_chunks_max;
    const nb_node *reader; /* of weights: the layer that multiplies with them */
    double *lane;          /* [parts][NB_SCALE_LANES] sums of a backward; NULL: nothing is learned */
} nb_fq_priv;

/* Channels with a state in common are a row of it. */
static inline int32_t nb_fq_group(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return !a->per_channel ? n->out.shape.d[0] : a->group > 1 ? a->group : 1;
}

static inline int32_t nb_fq_rows(const nb_node *n)
{
    const int32_t group = nb_fq_group(n);
    return (n->out.shape.d[0] - 1) / group + 1;
}

/* The channel after row r's last. */
static inline int32_t nb_fq_row_end(const nb_node *n, int32_t r)
{
    const int32_t end = (r + 1) * nb_fq_group(n), channels = n->out.shape.d[0];
    return end < channels ? end : channels;
}

/* Of row r: the range's floats, and one more that is 1 once something was observed. */
static inline float *nb_fq_state(const nb_node *n, int32_t r)
{
    return (float *)n->in[1]->out.data + (int64_t)r * (nb_fq_states(n->attr) + 1);
}

static inline bool nb_fq_seen(const nb_node *n, int32_t r)
{
    return nb_fq_state(n, r)[nb_fq_states(n->attr)] != 0.0f;
}

/* Of row r: its levels and edges, if these follow from the state. */
nb_grid nb_fq_grid(const nb_node *n, int32_t r);
/* The table that codes of row r are looked up in; *own has room for one that is not the node's. */
const nb_klevels *nb_fq_levels(const nb_node *n, int32_t r, nb_klevels *own);

nb_status nb_fq_learned_leaf(nb_graph *g, nb_node *n);
nb_status nb_fq_learned_prepare(nb_graph *g, nb_node *n);
/* All rows have begun to learn: the range is not needed any more. Also where nothing is learned: false. */
bool nb_fq_learning(const nb_node *n);
/* After the range of row r was observed: begins, or begins anew. */
void nb_fq_learned_begin(const nb_node *n, int32_t r, bool anew);
/* Replaces the range's scale and zero point by the learned ones, if there are any yet. */
void nb_fq_learned_params(const nb_node *n, int32_t r, float *scale, int32_t *zero);
/* The whole backward of what is learned, node by node. */
void nb_fq_learned_backward(nb_node *n);

#endif
