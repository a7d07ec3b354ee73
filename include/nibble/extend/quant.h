/* quant.h - quantizers (how a range is found), fake-quant nodes, and the policy that places them.
 *
 * Formulas after Nagel et al. 2021 (arXiv:2106.08295), sections 2.2, 3.1 and 4.1. The contract for codes is in
 * src/kernels/rescale.h: q = clamp(round_half_even(x / s) + z, lo, hi), real = s * (q - z). */
#ifndef NIBBLE_EXTEND_QUANT_H
#define NIBBLE_EXTEND_QUANT_H

#include <nibble/extend/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { NB_SCHEME_ASYMMETRIC, NB_SCHEME_SYMMETRIC, NB_SCHEME_UNSIGNED } nb_scheme;
typedef enum { NB_GRANULARITY_CHANNEL, NB_GRANULARITY_TENSOR } nb_granularity;

/* Values one by one, for observers that look at some of them: a fused chain has not stored them, but can say each. */
typedef struct {
    float (*at)(const void *arg, int64_t i);
    const void *arg;
} nb_values;

/* What an observer is shown: one tensor, or one output channel of a weight tensor. min and max are already reduced
 * (NaN-free data: NaN anywhere gives NaN here). */
typedef struct {
    nb_values values; /* n of them; valid during the call */
    int64_t n;
    float min, max;
    int32_t bits;
    bool symmetric, weights;
    int32_t calibration; /* as in nb_run: averages over batches take the share below then */
} nb_observation;
/* The new batch's share in a moving average of this momentum. In a calibration it is bias-corrected as Adam's moments
 * are, momentum / (1 - (1 - momentum)^t) for batch t: the first batch, which is all of the average at the start, then
 * counts no more than any other, and few batches give nearly their plain mean. */
NB_API float nb_observation_share(const nb_observation *o, float momentum);

/* How ranges are found; owns no tensors. One file per method in src/quant/, listed in quantizers.def.
 * state: n_state >= 1 floats per channel, a BUFFER leaf "<fake-quant>.state", all zero before the first observation;
 * observe() sets the last one to 1, which is how everyone else knows that a range is there. */
typedef struct nb_quantizer {
    NB_ENTRY;
    int32_t n_state;
    void (*observe)(const void *attr, float *state, const nb_observation *o);
    void (*range)(const void *attr, const float *state, float *lo, float *hi); /* real range to cover */
    bool (*sound)(const float *state); /* could observe() have left it? beyond the range's order; NULL: yes */
} nb_quantizer;

NB_API const nb_quantizer *nb_quantizer_find(const char *name); /* NULL when unknown */

/* Grid of `bits` for a scheme: sets lo, hi, dtype, bits. Weights (weights = true) use the narrow symmetric grid. */
NB_API void nb_grid(nb_qparams *q, int32_t bits, nb_scheme scheme, bool weights);
/* Scale and zero point of channel c from a real range. The range is widened to hold 0 and has a floor, so that scale is
 * normal and positive; for asymmetric grids the zero point is an integer code (nudged). */
NB_API void nb_qparams_set(nb_qparams *q, int32_t c, nb_scheme scheme, float lo, float hi);

/* One section `weights:` or `activations:`. */
typedef struct {
    int32_t bits, granularity, scheme;
    const char *range;
} nb_quant_keys;

/* The `quant` section. */
typedef struct {
    const nb_conf *weights, *activations, *layers;
    int32_t first_last_bits; /* 0 = as the others */
    int32_t output_bits;     /* 0 = int32 logits, left unquantized */
    int32_t batchnorm;       /* 0 keep, 1 fold */
    const nb_conf *steps;    /* bound by nb_post_bind (post.h) */
} nb_quant_section;

extern const nb_op nb_op_fakequant;  /* in[0] float -> codes; in[1] the state leaf */
extern const nb_op nb_op_dequantize; /* codes -> float, for layers that only take floats */

/* What weights are multiplied with and added to: a scale of weights is at least as large as keeps a channel's sums in
 * 32 bits (fakequant.c). */
typedef struct {
    const nb_qparams *x; /* of the layer's input; NULL: nothing to keep */
    const float *bias;   /* of the layer; NULL: none */
} nb_weight_use;

/* The parameters of a fake-quant node from its current state, and for a weight node the codes of the current weights:
 * what the next evaluation would use, without running anything. use: of a weight node, else NULL. q->scale and q->zero
 * must have room for the channels; codes [count] may be NULL. */
NB_API int32_t nb_fakequant_channels(const nb_node *fq);
NB_API nb_status nb_fakequant_snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q,
                                       int8_t *codes);

/* A batch norm on codes becomes a depthwise convolution with this constant weight: the largest, so that its bias is as
 * fine as can be. */
enum { NB_IDENTITY_WEIGHT = 127 };

/* Real value of one accumulator unit of an open value that stems from integers (a MAC on codes or dequantized codes, or
 * batch norms after them), per channel; false for other values. mul and add [channels] are work space. Valid during a
 * forward pass, after n's inputs ran. */
NB_API bool nb_accumulator_unit(const nb_node *n, double *unit, double *mul, double *add);
/* v to the nearest whole number of units, as a bias is stored; v itself when that would not fit an int32. */
NB_API double nb_round_to_unit(double v, double unit);

/* Puts fake-quant nodes on the edges of an unfrozen float graph: the input, every MAC's weight, values after the fused
 * activation, after joins; pools keep their input's grid. Removes TRAIN_ONLY nodes. quant: the config's section, may be
 * NULL for defaults. */
NB_API nb_status nb_quant_place(nb_graph *g, const nb_conf *quant);
/* Static folding (batchnorm: fold): every batch norm that directly follows a MAC goes into its weights and bias, values
 * included: load float parameters before. Runs before nb_quant_place. */
NB_API nb_status nb_quant_fold(nb_graph *g);

#ifdef __cplusplus
}
#endif
#endif
