/* lower_value.h - what the parts of lowering share: the value each node has on the integer side. */
#ifndef NB_LOWER_LOWER_VALUE_H
#define NB_LOWER_LOWER_VALUE_H

#include <nibble/lowering.h>

#include "base/arena.h"
#include "lower/intbuild.h"

typedef enum { NB_LVAL_NONE, NB_LVAL_CLOSED, NB_LVAL_INPUT, NB_LVAL_MAC, NB_LVAL_ADD, NB_LVAL_CONCAT } nb_lval_kind;

/* A node's value while lowering: an integer tensor (CLOSED), or one that is still open. */
typedef struct {
    nb_lval_kind kind;
    const nb_node *opener; /* names the step */
    double low, high;      /* clamp, real */
    /* CLOSED */
    int32_t tensor;
    nb_inttensor t;
    int32_t lo, hi; /* its grid */
    /* INPUT */
    const float *real; /* [c][256] */
    /* MAC, ADD, CONCAT: integer tensors it reads, as node ids */
    int32_t n_in, in[NB_MAX_IN];
    /* MAC: real = scale[c] * sum w (x - zero) + bias[c] */
    nb_geom geom;
    int8_t *weights;
    int32_t weight_bits, n_weight_scale;
    float *weight_scale;
    double *scale, *bias;
} nb_lval;

struct nb_lowering {
    nb_ctx *ctx;
    nb_arena *arena; /* everything temporary */
    nb_intbuilder *builder;
    nb_lval *val; /* by node id */
};

/* Writes the step that closes an open value onto `t` (codes or int32 logits) with grid limits lo..hi;
 * src/lower/close.c. */
nb_status nb_lval_close(nb_lowering *lo, const nb_lval *v, const nb_inttensor *t, int32_t grid_lo, int32_t grid_hi,
                        int32_t *tensor);

#endif
