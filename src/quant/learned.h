/* learned.h - what fakequant.c, simulate.c and learned.c share: a node's tables, and its rows of state. */
#ifndef NB_QUANT_LEARNED_H
#define NB_QUANT_LEARNED_H

#include "quant/fakequant.h"

#include "kernels/sweeps/sweep.h"

typedef struct {
    nb_qparams q;
    nb_grid grid;
    int8_t level[256];
    nb_klevels levels; /* of grid.level, where these are the same for all */
    float real[NB_REALS];
    nb_kreals reals; /* of grid.real */
    int8_t *
        book; /* [q.n][n_levels] and [q.n][n_levels - 1], where they follow from the state: of every channel; or NULL */
    float *edge;
    uint8_t *exponent;     /* [output channels][blocks], of the last scale; NULL: there are no blocks */
    const nb_graph *graph; /* it is in */
    float one_scale;       /* of all nodes of its kind, where a format has that */
    float *lo, *hi;        /* per chunk extremes of the last observation */
    nb_lost_counts *lost;  /* per chunk, of the last evaluation; NULL: all levels are integers */
    int32_t n_chunks_max;
    const nb_node *reader; /* of weights: the layer that multiplies with them */
    double *lane;          /* [parts][n_lanes] sums of a backward; NULL: nothing is learned */
    int32_t n_lanes;       /* NB_SCALE_LANES, or NB_END_LANES */
    float *every;  /* [values of all ranks], where the range looks at any of them and a batch is shared; or NULL */
    float *warped; /* of weights: what is quantized in their place; NULL: nothing is */
} nb_fq_priv;

/* Channels with a state in common are a row of it. */
static inline int32_t nb_fq_group(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return a->per_last ? 1 : !a->per_channel ? n->out.shape.d[0] : a->group > 1 ? a->group : 1;
}

static inline int32_t nb_fq_rows(const nb_node *n)
{
    return (nb_fakequant_channels(n) - 1) / nb_fq_group(n) + 1;
}

/* The channel after row r's last. */
static inline int32_t nb_fq_row_end(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    const int32_t end = (r + 1) * nb_fq_group(n);
    const int32_t channels = a->per_last ? nb_fakequant_channels(n) : n->out.shape.d[0];
    return end < channels ? end : channels;
}

/* Of row r: the range's floats, and one more: 0 until something was observed, then 1, or 2 when the range is held. */
enum { NB_FQ_UNSEEN, NB_FQ_SEEN, NB_FQ_HELD };
static inline float *nb_fq_state(const nb_node *n, int32_t r)
{
    return (float *)n->in[1]->out.data + (int64_t)r * (nb_fq_range_floats(n->attr) + 1);
}

static inline bool nb_fq_seen(const nb_node *n, int32_t r)
{
    return nb_fq_state(n, r)[nb_fq_range_floats(n->attr)] != NB_FQ_UNSEEN;
}

static inline bool nb_fq_held(const nb_node *n, int32_t r)
{
    return nb_fq_state(n, r)[nb_fq_range_floats(n->attr)] == NB_FQ_HELD;
}

/* Of row r: its levels and edges, if these follow from the state. */
nb_grid nb_fq_grid(const nb_node *n, int32_t r);
/* The table that codes of row r are looked up in; *own has room for one that is not the node's. */
const nb_klevels *nb_fq_levels(const nb_node *n, int32_t r, nb_klevels *own);

enum { NB_FQ_CHUNK = 16384 /* a multiple of 8: mask bytes are not shared between chunks */ };

/* Who has which of the values: NULL where all are here. */
static inline const nb_cut *nb_fq_cut(const nb_node *n)
{
    return (n->flags & NB_NODE_BATCHED) && n->cut->shared ? n->cut : NULL;
}

/* The values of row r, which share a scale: first, first + stride, ..., count of them. */
typedef struct {
    int64_t first, stride, count;
} nb_fq_slice;
static inline nb_fq_slice nb_fq_slice_of(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    const int64_t all = nb_count(&n->out), each = all / n->out.shape.d[0], stride = nb_channels(&n->out);
    const int32_t first = r * nb_fq_group(n);
    if (!a->per_last)
        return (nb_fq_slice){first * each, 1, (nb_fq_row_end(n, r) - first) * each};
    const int64_t outer = a->per_channel ? each : all; /* values that hold each channel once and again */
    return (nb_fq_slice){r / stride * outer + r % stride, stride, outer / stride};
}
/* Values [at, at + n) of a slice of x: where they stand, or copied to buf. */
const float *nb_fq_gather(float *buf, const float *x, const nb_fq_slice *s, int64_t at, int64_t n);

/* The state of row r from what there is to see; skips a tensor with NaN or infinity (the trainer stops on the loss
 * it makes). */
void nb_fq_observe(const nb_node *n, int32_t r, const nb_observation *seen);
/* Finds the scale of all nodes that share the format of n, if they have one: the largest that a row of theirs wants by
 * now. Not while rows are being observed. */
void nb_fq_set_one_scale(const nb_node *n);
/* Scale and zero point of row r from its state; use: of weights in a network of integers, else NULL. */
void nb_fq_set_params(const nb_node *n, nb_qparams *q, int32_t r, const nb_weight_use *use);
/* How a step rounds; choose NULL: to nearest. */
typedef struct {
    float (*choose)(float v, float below, float above, float u);
    uint64_t key;
    int64_t from; /* the number, in all ranks' slice, of the first value that is here */
} nb_fq_draw;
nb_fq_draw nb_fq_draw_of(const nb_node *n, const nb_run *r);
/* out[i] is x[i] moved to the code that was chosen; first: number of x[0] in the tensor, or slice after slice. */
void nb_fq_round(float *out, const float *x, int64_t n, float scale, const nb_grid *g, const nb_fq_draw *d,
                 int64_t first);

/* n values, the first of that number. */
typedef struct {
    const float *x;
    int64_t n, first;
    nb_fq_draw draw;
} nb_fq_span;
/* Of weights in blocks (blocks.c): room for exponents; those of row r at this scale; y[i] = unit * mantissa * 2^exponent, and what
 * was inside its block's grid. place: of v's first value in the tensor. */
nb_status nb_fq_blocks_prepare(nb_graph *g, nb_node *n);
void nb_fq_set_exponents(const nb_node *n, int32_t r, float scale);
void nb_fq_round_blocks(const nb_node *n, float *y, uint8_t *mask, const nb_fq_span *v, int64_t place, float scale,
                        float unit);
/* A node's forward pass, and the straight-through part of its backward one (dx: of the values that are quantized; add: to
 * what is there), in a network that is simulated. */
void nb_fq_simulate(nb_node *n, const nb_run *r);
void nb_fq_simulate_backward(nb_node *n, float *dx, bool add);

nb_status nb_fq_learned_leaf(nb_graph *g, nb_node *n);
nb_status nb_fq_learned_prepare(nb_graph *g, nb_node *n);
/* nb_values of floats that are in memory: x [n]. */
static inline float nb_fq_stored(const void *x, int64_t i)
{
    return ((const float *)x)[i];
}

/* The values that are quantized: what comes in, or what nb_fq_warp has made of it. */
static inline const float *nb_fq_values(const nb_node *n)
{
    const nb_fq_priv *p = n->priv;
    return p->warped ? p->warped : n->in[0]->out.data;
}
void nb_fq_warp(const nb_node *n);
/* The gradients of what comes in and of what warping has learned, from that of the values in its place: dy [all]. */
void nb_fq_unwarp(const nb_node *n, const float *dy, bool learns);
/* The levels that stand for what is learned, at this scale (0: nothing has been); elsewhere those of the format stay. */
void nb_fq_learned_book(const nb_node *n, nb_qparams *q, float scale);
/* All rows have begun to learn: the range is not needed any more. Also where nothing is learned: false. */
bool nb_fq_learning(const nb_node *n);
/* After the range of row r was observed: begins, or, in a calibration, begins anew. */
void nb_fq_learned_begin(const nb_node *n, int32_t r, const nb_observation *seen);
/* Replaces the range's scale and zero point by the learned ones, if there are any yet. */
void nb_fq_learned_params(const nb_node *n, int32_t r, float *scale, int32_t *zero);
/* The whole backward of what is learned, node by node. */
void nb_fq_learned_backward(nb_node *n);

#endif
