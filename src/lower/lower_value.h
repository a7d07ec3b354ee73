/* lower_value.h - what the parts of lowering share: the value each node has on the integer side. */
#ifndef NB_LOWER_LOWER_VALUE_H
#define NB_LOWER_LOWER_VALUE_H

#include <nibble/extend/lowering.h>

#include "base/arena.h"
#include "lower/intbuild.h"

typedef enum {
    NB_LVAL_NONE,
    NB_LVAL_CLOSED,
    NB_LVAL_TABLE,
    NB_LVAL_MAC,
    NB_LVAL_ADD,
    NB_LVAL_CONCAT,
    NB_LVAL_MUL,
    NB_LVAL_MEAN
} nb_lval_kind;

/* A node's value while lowering: an integer tensor (CLOSED), or one that is still open. */
typedef struct {
    nb_lval_kind kind;
    const nb_node *opener; /* names the step */
    double low, high;      /* clamp, real */
    /* CLOSED: t has the node's own shape, which is another than that of the integer tensor behind a view */
    int32_t tensor;
    nb_etensor t;
    nb_tinfo info;
    int32_t lo, hi; /* its grid */
    bool viewed;
    /* integer tensors it reads, as node ids; of the input none */
    int32_t n_in, in[NB_MAX_IN];
    /* TABLE */
    const float *real; /* [n_real][256] of the bytes that are read */
    int32_t n_real;    /* tables: 1, or one for each channel */
    bool minus;        /* ADD: a difference */
    nb_geom geom;      /* MEAN, MAC */
    /* MAC: real = scale[c] * sum w (x - zero) + bias[c] */
    int8_t *weights;
    int32_t weight_bits, n_weight_scale;
    float *weight_scale;
    const int8_t *level; /* [n_tables][n_levels] what weights can be; NULL: what 2^weight_bits integers in a row hold */
    int32_t n_levels, n_tables;
    int32_t block; /* as in nb_qparams */
    double *scale, *bias;
    /* MAC: how far the float network, which computes the same in single precision, can be from that real value before
     * it quantizes: err_scale[c] * |sum| + err_bias[c] */
    double *err_scale, *err_bias;
} nb_lval;

/* What the float network's relus, which compare like this, make of a real value of an open one. */
static inline float nb_lval_clamp(const nb_lval *v, float x)
{
    x = x < (float)v->low ? (float)v->low : x;
    return x > (float)v->high ? (float)v->high : x;
}

/* Rounding one operation to a float changes its result by this share at most. */
#define NB_FLOAT_ROUNDING 0x1p-24

struct nb_lowering {
    nb_ctx *ctx;
    nb_arena *arena; /* everything temporary */
    nb_intbuilder *builder;
    nb_lval *val; /* by node id */
};

/* The values of a quantized graph's nodes, by node id, as lowering sees them; all memory is the arena's. */
nb_status nb_lower_values(const nb_graph *g, nb_arena *arena, nb_lval **val);

/* Writes the step that closes an open value onto y (codes or int32 logits): its t, info, lo, hi; sets its tensor.
 * src/lower/close_value.c. */
nb_status nb_lval_close(nb_lowering *lo, const nb_lval *v, nb_lval *y);

#endif
