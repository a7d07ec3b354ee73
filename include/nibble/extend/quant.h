/* quant.h - quantizers (format, range, learning, rounding), fake-quant nodes, and the policy that places them.
 *
 * Formulas after Nagel et al. 2021 (arXiv:2106.08295), sections 2.2, 3.1 and 4.1. The contract for codes is in
 * src/kernels/rescale.h: q = clamp(round_half_even(x / s) + z, lo, hi), real = s * (q - z). */
#ifndef NIBBLE_EXTEND_QUANT_H
#define NIBBLE_EXTEND_QUANT_H

#include <nibble/extend/keys.h>
#include <nibble/extend/op.h>

#ifdef __cplusplus
extern "C" {
#endif

/* With b bits: asymmetric 0..2^b-1 with a zero point; symmetric -2^(b-1)..2^(b-1)-1, of weights without the first of these
 * (narrow); unsigned 0..2^b-1; full, for weights, -2^(b-1)..2^(b-1)-1. */
typedef enum { NB_SCHEME_ASYMMETRIC, NB_SCHEME_SYMMETRIC, NB_SCHEME_UNSIGNED, NB_SCHEME_FULL } nb_scheme;
typedef enum {
    NB_GRANULARITY_CHANNEL,
    NB_GRANULARITY_TENSOR,
    NB_GRANULARITY_GROUP,
    NB_GRANULARITY_FULL
} nb_granularity;

/* ---- what a quantizer is: four answers, each a table in a file of its own; none knows the others ---- */

enum { NB_MOST_LEVEL = 127 }; /* a code of weights is an 8-bit integer that can be negated */

/* Weights in a row of an output channel that have an exponent in common. */
typedef struct {
    int32_t n;        /* of a block, the last of a channel may have fewer; 0: there are none */
    int32_t depth;    /* exponents are 0..depth */
    bool least_error; /* a block has the exponent of least squared error, else the smallest that cuts nothing off */
} nb_weight_blocks;

/* The codes there are: every integer of lo..hi, or the levels, or with blocks every mantissa of lo / 2^depth..hi / 2^depth
 * times 2^exponent. */
typedef struct nb_grid {
    int32_t bits, lo, hi;
    nb_dtype dtype;
    nb_scheme scheme;
    bool weights;
    const int8_t
        *level; /* [n_levels] ascending; NULL: every integer. 0 is among them, but for weights of some formats */
    int32_t n_levels;
    const float
        *edge; /* [n_levels - 1] where level i ends and i + 1 begins, in units of the scale; NULL: in the middle */
    const float *real; /* [n_levels] levels that are no integers, in units of the scale; the largest is hi. NULL else */
    nb_weight_blocks block;
    const nb_format *format; /* rounds scales; NULL: any will do */
    const void *format_attr;
} nb_grid;

/* Grid of every integer of `bits` for a scheme. */
NB_API nb_grid nb_grid_make(int32_t bits, nb_scheme scheme, bool weights);
/* The grid of a format; level [256] holds its levels, if it has any, as long as the grid is used. Of a format with a book
 * n_levels is known, the levels are not: nb_grid_book. */
NB_API nb_grid nb_grid_of(const nb_format *f, const void *attr, int32_t bits, nb_scheme scheme, bool weights,
                          int8_t *level);
/* Of a grid without levels: those of its format that are no integers, if it has such at these bits. real [256] as
 * level above. */
NB_API void nb_grid_take_reals(nb_grid *g, float *real);
/* A scale that the grid can have in place of this one: normal, positive, no smaller than keeps units of accumulators in
 * proportion, and one of the format's. */
NB_API float nb_grid_scale(const nb_grid *g, float wanted);
/* Scale and zero point that cover a real range. The range is widened to hold 0 and has a floor; for asymmetric grids
 * the zero point is an integer code (nudged). */
NB_API void nb_params_cover(const nb_grid *g, float lo, float hi, float *scale, int32_t *zero);
/* Has it a zero point that can be any code? */
NB_API bool nb_grid_has_zero(const nb_grid *g);
/* The zero point nearest to z, of a grid that has one: a code. */
NB_API int32_t nb_grid_zero(const nb_grid *g, float z);
/* The level nearest to v, which is in units of the scale; of two the smaller in size. With edges the level that has v. */
NB_API int32_t nb_grid_nearest(const nb_grid *g, float v);
/* The same for every grid, real ones included (of two levels of these the one that is an even number from 0). */
NB_API float nb_grid_round(const nb_grid *g, float v);
/* Of a grid with blocks: that of the mantissas, and the exponent of a block of n weights. */
NB_API nb_grid nb_grid_mantissas(const nb_grid *g);
NB_API int32_t nb_grid_exponent(const nb_grid *g, float scale, const float *w, int64_t n);
/* The smallest power of two that is not below v, which is normal and positive. */
NB_API float nb_power_of_two(float v);
/* Levels and edges that follow from a range's state, for formats that have them so: level [n_levels], edge [n_levels - 1]
 * are filled in, and are g's from then on. */
NB_API void nb_grid_book(nb_grid *g, const float *state, int8_t *level, float *edge);

/* 1. What does a code mean? Files format_<name>.c, listed in formats.def. Codes are always integers -127..127; a format
 * says which of them there are and what scales they can have. Real 0 is a code of every activation. */
struct nb_format {
    NB_ENTRY;
    const void *attr;           /* of one without keys: what its functions get */
    int32_t min_bits, max_bits; /* others are no such codes, or do not fit -127..127; 0: the 2 and 8 there are */
    bool weights_only;
    /* Writes the integers that are codes of weights, ascending, at most 2^bits, and returns how many; NULL or 0: all of
     * the grid. */
    int32_t (*levels)(const void *attr, int32_t bits, int8_t *level);
    /* Where levels gives none, what they are in units of the scale: as far above 0 as below, the largest a whole number.
     * A network with such a quantizer is simulated. NULL or 0: there are only integers. */
    int32_t (*reals)(const void *attr, int32_t bits, float *level);
    /* Of weights: codes are mantissas of `bits` bits times 2^exponent, one exponent for the weights of a block. A network where
     * such a code is more than 127 is simulated. NULL, or without n or depth: every code is of its own. */
    nb_weight_blocks (*blocks)(const void *attr, int32_t bits);
    /* Bits of a code, where the format's keys say them; NULL: the key `bits` does. */
    int32_t (*width)(const void *attr);
    float (*scale)(const void *attr, float wanted); /* not below wanted; NULL: wanted itself */
    /* The scale's rule belongs to such codes: no other range can be named. Its attributes are the format's. NULL: any. */
    const nb_range *range;
    /* Levels that the weights decide, every channel its own: n_levels = 2^bits of them, from the state of `range`. */
    void (*book)(const void *attr, const float *state, int32_t bits, int8_t *level);
    /* Where levels end, in units of the range's scale, if not in the middle to the next: edge [n_levels - 1], ascending. */
    void (*edges)(const void *attr, const float *state, int32_t n_levels, float *edge);
    /* What is wrong with the attributes, in words that follow the format's name, or NULL; no function: nothing ever is. */
    const char *(*fault)(const void *attr);
    /* The largest of what all nodes with these attributes want is the scale of all; nothing is learned. */
    bool one_scale;
    /* Straight-through up to this |w|, which may be INFINITY; 0: up to half a step beyond the last level. */
    float passes;
};

/* Values one by one, for observers that look at some of them: a fused chain has not stored them, but can say each. Asked
 * from several threads at once. */
typedef struct {
    float (*at)(const void *arg, int64_t i);
    const void *arg;
} nb_values;

/* What an observer is shown: one tensor, or one output channel of a weight tensor. min and max are already reduced
 * (NaN-free data: NaN anywhere gives NaN here). */
typedef struct {
    nb_values values;  /* those that are here, by their places in the tensor; valid during the call */
    int64_t n;         /* of all ranks */
    const nb_cut *cut; /* of a shared batch: who has which; NULL: all n are here. nb_observed knows */
    float min, max;
    const nb_node *of; /* whose values they are: what the fake-quant node reads */
    const nb_grid *grid;
    bool first;          /* nothing was observed before: state is all zero */
    int32_t calibration; /* as in nb_run: averages over batches take the share below then */
} nb_observation;
/* The new batch's share in a moving average of this momentum. In a calibration it is bias-corrected as Adam's moments
 * are, momentum / (1 - (1 - momentum)^t) for batch t: the first batch, which is all of the average at the start, then
 * counts no more than any other, and few batches give nearly their plain mean. */
NB_API float nb_observation_share(const nb_observation *o, float momentum);

/* What a range is asked for. */
typedef struct {
    const nb_node *of; /* as in nb_observation */
    int32_t bits;
    bool weights, logits; /* logits: the network's output, with output_bits */
} nb_range_use;

/* 2. Where does the grid lie? Files range_<name>.c, listed in ranges.def. state: n_state floats per channel (or group), the range's
 * ends first, all zero before the first observation; of activations n_history more, which only observe() reads: what
 * earlier batches were like (weights are looked at anew each time). In the BUFFER leaf "<fake-quant>.state" one more
 * follows them: 1 once something was observed, 2 when it is held (nb_fakequant_hold). */
struct nb_range {
    NB_ENTRY;
    int32_t n_state, n_history;
    int32_t n_state_per_level; /* times 2^bits more floats, behind the n_state */
    bool data_free;            /* of activations: the state does not depend on their values */
    bool ends;                 /* of what it observes, it looks at min and max alone */
    bool reads_all;            /* it looks at any of the values: all n are brought here first */
    /* The name of the method that takes its place, attributes and all; NULL: itself. */
    const char *(*pick)(const nb_range_use *use);
    /* true: cannot be used so, and why[size] says what is missing and what would do; NULL: can be used everywhere. */
    bool (*refuse)(const void *attr, const nb_range_use *use, char *why, size_t size);
    void (*observe)(const void *attr, float *state, const nb_observation *o);
    void (*params)(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero);
    bool (*sound)(const float *state); /* could observe() have left it? Its values are finite. */
    bool (*history_sound)(const float *history);
};

/* What reaches a learned state on the way back. x is a value before it is rounded, y = scale * (code - zero) after, the code
 * clamped to the grid: clipped values are those beyond half a step from its end, where the gradient of x stops. */
typedef struct {
    double by_scale; /* sum of dL/dy * dy/dscale: inside the grid round(x / scale) - x / scale, outside the end of the
                            grid less zero */
    double above, below; /* sums of dL/dy of values clipped at the last code, at the first; if `ends` asks for them */
    int64_t n;           /* values that share the scale; those of one image, if they are activations */
    float scale;         /* that these codes have */
    int32_t zero;
} nb_learn_sums;

/* Where learning begins: what the range says, and what it was shown. */
typedef struct {
    float scale;
    int32_t zero;
    const nb_grid *grid;
    const nb_values *values; /* n of them */
    int64_t n;
} nb_learn_start;

/* What a learning is asked to learn for. */
typedef struct {
    const nb_grid *grid;
    bool nonnegative, per_channel; /* values are; scales are */
} nb_learn_site;

/* All weights of a tensor, and the state of its first channel (NULL: there is none). */
typedef struct {
    const void *attr;
    const nb_grid *grid;
    const float *param, *w;
    int64_t n;
} nb_warping;

/* What every learning with a state has, and its attributes begin with. */
typedef struct {
    float lr, decay; /* factor on the learning rate; L2, added to the gradient as the optimizer adds that of weights */
} nb_learning_keys;
#define NB_LEARNING_KEYS(lr_, decay_)                                                                                  \
    NB_KEY_FLOAT(nb_learning_keys, lr, lr_, 0, 1000, "factor on the optimizer's learning rate"),                       \
        NB_KEY_FLOAT(nb_learning_keys, decay, decay_, 0, 100, "weight decay, in place of the optimizer's")

/* 3. Is the state trained? Files learn_<name>.c, listed in learnings.def. param: n_state floats per channel, a PARAM
 * leaf "<fake-quant>.<name>", so that a file is not taken for what another learning means; momentum and averages of weights
 * (train.ema) are theirs, too. All zero until the range has seen a batch, from which init() begins, and never again: what
 * a step of the optimizer makes 0 becomes the smallest there is. From then on the range stands still, unless it is
 * calibrated, and bounds what is learned: the scale is no less than 1/256 of the range's. */
struct nb_learning {
    NB_ENTRY;
    const char *leaf;   /* the leaf's last name, if it is not the learning's */
    int32_t n_state;    /* 0: there is nothing to learn, and at most a scale that never changes */
    int32_t n_positive; /* the optimizer keeps so many of them, the first, above 0 */
    bool ends;          /* backward reads above and below, which cost as much again as by_scale */
    /* Why it cannot be there, and what would do, for "learn: NAME: ..."; NULL: it can. The function may be NULL: always. */
    const char *(*refuses)(const nb_learn_site *site);
    void (*init)(const void *attr, const nb_learn_start *s, float *param);
    float (*scale)(const void *attr, const float *param, const nb_grid *g);
    /* With n_state 0 these are constants, and param is NULL. scale: of the codes, after the format has rounded the wish. NULL: what the range said stands. */
    int32_t (*zero)(const void *attr, const float *param, const nb_grid *g, float scale);
    /* Adds. NULL: there is nothing to learn, or unwarp does it. */
    void (*backward)(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param, float *dparam);
    /* Weights are quantized as what this makes of them, y [n]; they themselves stay what is trained. Not called before
     * learning has begun. */
    void (*warp)(const nb_warping *p, float *y);
    /* From dy, the gradient of y: adds those of the weights and, unless dparam is NULL, of the state. */
    void (*unwarp)(const nb_warping *p, const float *dy, float *dw, float *dparam);
    /* Levels in place of the grid's, of a node with one scale: the integers -127..127, ascending, that stand for what is
     * learned, in units of the scale; returns how many, at most 2^bits. param NULL: before there is anything. */
    int32_t (*book)(const nb_grid *g, const float *param, float scale, int8_t *level);
};

/* What LSQ divides gradients by, sqrt(n * Q): n values that share a scale, Q the last code. A scale then moves about as
 * fast, in proportion, as weights do. */
NB_API double nb_learn_divisor(const nb_grid *g, const nb_learn_sums *s);
/* 4. To which of two codes does a value between them go? Files rounding_<name>.c, listed in roundings.def. */
struct nb_rounding {
    NB_ENTRY;
    bool random; /* for training alone: evaluation, calibration and integers round to nearest */
    /* below <= v < above, neighbours in units of the scale; u: uniform in [0, 1), the value's own in this step. Returns
     * one of the two. NULL: the nearest. */
    float (*choose)(float v, float below, float above, float u);
};

/* One section `weights:` or `activations:`. */
typedef struct {
    int32_t bits, granularity, group, scheme;
    const char *format, *range, *learn, *rounding;
} nb_quant_keys;

typedef enum { NB_BATCHNORM_KEEP, NB_BATCHNORM_FOLD, NB_BATCHNORM_FOLD_CORRECTED } nb_batchnorm;

typedef enum { NB_MEANS_KEEP, NB_MEANS_OWN } nb_quant_means;

/* The `quant` section. */
typedef struct {
    const nb_conf *weights, *activations, *layers;
    int32_t first_last_bits; /* 0 = as the others */
    int32_t join_bits;       /* of values that only adds and concats read; 0 = as the others */
    int32_t means;           /* nb_quant_means: the grid of what an avgpool gives */
    int32_t table_bits;      /* of values that only activations by table read; 0 = as the others */
    int32_t output_bits;     /* 0 = int32 logits, left unquantized */
    int32_t batchnorm;       /* nb_batchnorm */
    bool simulate;           /* although it could become integers */
    const nb_conf *steps;    /* bound by nb_post_bind (post.h) */
    bool data_free;          /* quantized without images */
    const char *allocated;   /* the budget that `nibble allocate` chose the layers' bits for; "": nobody did */
} nb_quant_section;

extern const nb_op nb_op_fakequant;  /* in[0] float -> codes; in[1] the range's state, in[2] what is learned, if so */
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
NB_API int32_t nb_fakequant_channels(const nb_node *fq); /* scales it has: 1, or one per output channel */
NB_API bool nb_fakequant_of_weights(const nb_node *fq);
/* Weights were chosen for the scale they have now, or for that of these activations: the range stands still from here on, in training
 * and calibrations, until it starts anew (NB_PARAMS_CALIBRATE). What is learned goes on from there in training, and in no
 * calibration. */
NB_API void nb_fakequant_hold(nb_node *fq);
NB_API nb_status nb_fakequant_snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q,
                                       int8_t *codes);

/* A batch norm on codes becomes a depthwise convolution with this constant weight: the largest, so that its bias is as
 * fine as can be. */
enum { NB_IDENTITY_WEIGHT = 127 };

/* Real value of one accumulator unit of an open value that stems from integers (a MAC on codes or dequantized codes, or
 * batch norms after them), per channel; false for other values. mul and add [channels] are work space. Valid during a
 * forward pass, after n's inputs ran. */
NB_API bool nb_accumulator_unit(const nb_node *n, double *unit, double *mul, double *add);
/* What the 256 bytes stand for, as nb_k_dequantize says: real[byte] = scale * (code - zero). */
NB_API void nb_code_reals(float *real, float scale, int32_t zero, bool is_signed);
/* v to the nearest whole number of units, as a bias is stored; v itself when that would not fit an int32. */
NB_API double nb_round_to_unit(double v, double unit);

/* Puts fake-quant nodes on the edges of an unfrozen float graph: the input, every MAC's weight, values after the fused
 * activation, after joins; pools keep their input's grid. Removes TRAIN_ONLY nodes. quant: the config's section, may be
 * NULL for defaults. */
NB_API nb_status nb_quant_place(nb_graph *g, const nb_conf *quant);
/* Static folding (batchnorm: fold): every batch norm that directly follows a MAC goes into its weights and bias, values
 * included: load float parameters before. Runs before nb_quant_place. */
NB_API nb_status nb_quant_fold(nb_graph *g);
/* Folding in every step (batchnorm: fold_corrected): the same batch norms stay and are trained, but their factor goes
 * into the weights before these are quantized. NB_E_CONFIG when there is none; quant may be NULL. nb_quant_place does
 * it where the config says so. */
NB_API nb_status nb_quant_fold_corrected(nb_graph *g, const nb_conf *quant);

#ifdef __cplusplus
}
#endif
#endif
