/* fakequant.h - the attributes of a fake-quant node, filled by the policy, and its parts for fused chains. */
#ifndef NB_QUANT_FAKEQUANT_H
#define NB_QUANT_FAKEQUANT_H

#include <nibble/extend/quant.h>

#include "kernels/sweeps/fused_sweep.h"

typedef struct {
    const nb_format *format;
    const nb_range *range;
    const nb_learning *learning;
    const nb_rounding *rounding;                          /* NULL: nearest */
    const void *format_attr, *range_attr, *learning_attr; /* in the graph's arena */
    const nb_conf *range_conf; /* where the range is chosen, for messages; NULL: nowhere. Valid during placement */
    int32_t bits;
    nb_scheme scheme;
    bool weights;
    bool per_channel; /* along axis 0; weights only */
    bool auto_range;  /* the range was picked by bits (nb_range.pick) */
    int32_t group;    /* channels that share scale and zero point, the last group may have fewer; 0 as 1 */
    bool per_last;    /* along the last axis: channels of activations, input channels of weights; is simulated */
    bool off;         /* a rule alone: there is no such node */
    bool simulated;   /* the network is: floats come out, each the value of a code */
    bool flat;        /* to who reads it, all values below flat_from are one, and all above flat_to */
    float flat_from, flat_to;
} nb_fakequant_attr;

/* What a range keeps per row. */
static inline int32_t nb_fq_range_floats(const nb_fakequant_attr *a)
{
    return a->range->n_state + (a->range->n_state_per_level << a->bits) + (a->weights ? 0 : a->range->n_history);
}

static inline bool nb_fakequant_nearest(const nb_fakequant_attr *a)
{
    return !a->rounding || !a->rounding->choose;
}

static inline bool nb_is_quantizer(const nb_node *n)
{
    return n->op->role == NB_ROLE_QUANTIZER;
}

/* Can a chain compute n's codes itself? One grid for all values, found from their extremes. */
bool nb_fakequant_fusible(const nb_node *n);
/* Has it a range, for every scale? */
bool nb_fakequant_seen(const nb_node *n);
/* This step looks at the values before it quantizes them. */
bool nb_fakequant_observes(const nb_node *n, const nb_run *r);
/* What comes before quantizing: takes in the extremes of the values and what the observer asks of them (when this step
 * observes; NaN or infinite extremes are passed over), then sets n's scale and zero point. */
void nb_fakequant_settle(nb_node *n, const nb_run *r, float min, float max, const nb_values *values);
/* Can one row of the range's state be what the observer left: nothing seen yet, or a range the right way around? Its
 * values are finite. */
bool nb_fakequant_state_sound(const nb_node *n, const float *state);
/* n has another range from here on: its state is made anew, all zero. */
nb_status nb_fakequant_set_range(nb_graph *g, nb_node *n, const nb_range *range);
/* Before defaults went by bits a quantizer whose range is not named had minmax (weights) or ema: does a file have such
 * a state, of `floats` per channel, for one that has another range now? Then n has the earlier one from here on. */
nb_status nb_fakequant_take_earlier_default(nb_graph *g, nb_node *n, int32_t floats);

/* Another quantizer that can stand in for fq, of a frozen network that is simulated: it reads the same value and writes to
 * the same place (the caller sees to it that out.data and the batch are fq's), but is not in the graph, so whoever wants
 * it to act runs its forward instead of fq's. attr: its attributes, not of a format with one
 * scale for all; what a learning would have learned is not there. It has observed nothing yet. In the graph's arena. */
nb_status nb_fakequant_understudy(nb_graph *g, const nb_node *fq, const nb_fakequant_attr *attr, nb_node **out);

/* The codes of fq's weights as they are now, at the scale of its last forward pass: to nearest, less their zero points, of
 * channels first to end - 1 of scales, where they stand in codes [count]. */
void nb_fakequant_codes(const nb_node *fq, int8_t *codes, int32_t first, int32_t end);

/* A node of activations whose scale can be any: it has one, whose codes are every integer of a grid, and learns that or nothing. */
bool nb_fakequant_scalable(const nb_node *n);
/* Makes this its scale, from the next forward pass on; the zero point stays. */
void nb_fakequant_take_scale(nb_node *n, float scale);

/* What n did in the last forward pass of an evaluation: values that it rounded to levels that are no integers, how many of
 * them beyond the largest, how many to 0. Added to *c. */
typedef struct {
    int64_t values, over, under;
} nb_lost_counts;
void nb_fakequant_lost(const nb_node *n, nb_lost_counts *c);

/* In mac's prepare: fq's weights are what mac multiplies with, see nb_weight_use. Fails where rounding that is not to
 * nearest could take a sum out of 32 bits. */
nb_status nb_fakequant_read_by(nb_graph *g, const nb_node *fq, const nb_node *mac);

/* A quantizer whose range needs images; NULL: none does (usage.c). */
const nb_node *nb_quant_needs_data(const nb_graph *g);

/* ---- what is learned ---- */

/* The node that has made a leaf with NB_NODE_QUANTIZER; NULL for any other. */
const nb_node *nb_quantizer_of(const nb_graph *g, const nb_node *leaf);
/* Is that the name of a leaf that a quantizer makes? For files of networks that have other ones. */
bool nb_quantizer_names(const char *leaf);
/* Learning rate and decay of what n learns. */
nb_learning_keys nb_fakequant_rates(const nb_node *n);
/* Can one row of what n learns be what training left: nothing yet, or what must be above 0 is? Its values are finite. */
bool nb_fakequant_learned_sound(const nb_node *n, const float *param);

/* n has something to learn, and then backward needs the values before they are rounded. */
bool nb_fakequant_can_learn(const nb_node *n);
/* This step's gradient is asked for. */
bool nb_fakequant_learns(const nb_node *n, const nb_run *r);
/* Backward of an activation: the parts of the batch (fusion.h), each its values before rounding, or what m makes into
 * them, and their gradients, row by row; then the sum. Rows come in multiples of NB_SCALE_ROWS but for the last; one
 * longer than NB_SCALE_RUN may come in pieces of whole runs. */
void nb_fakequant_learn_start(const nb_node *n, int64_t part);
void nb_fakequant_learn_rows(const nb_node *n, int64_t part, const float *x, const nb_kmap *m, const float *dy,
                             int64_t rows, int32_t c);
void nb_fakequant_learn(const nb_node *n);

#endif
