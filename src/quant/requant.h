/* requant.h - from real scales to the integers of the contract: multiplier, shift, int32 bias. Serves lowering and the
 * frozen steps of the training plan, so both rescale alike. */
#ifndef NB_QUANT_REQUANT_H
#define NB_QUANT_REQUANT_H

#include <nibble/extend/tensor.h>

/* m = mult * 2^-shift to 31 bits, mult in [2^30, 2^31), shift in [1, 62]; false when m is not positive or does not fit.
 */
bool nb_multiplier(double m, int32_t *mult, int32_t *shift);
/* The same, but a larger one becomes the largest, some 2^30. For outputs of at most 8 bits that is exact: every integer but
 * 0 is taken past the end of the grid by either. */
#define NB_MULTIPLIER_MOST ((double)INT32_MAX / 2)
bool nb_multiplier_or_most(double m, int32_t *mult, int32_t *shift);

/* One output channel of a MAC: real value = scale * sum w (x - x_zero) + bias, wanted on the grid out_scale * (y -
 * y_zero). */
typedef struct {
    double scale, bias; /* scale of either sign: gamma < 0 flips the filter */
    double out_scale;
    int32_t x_lo, x_hi, x_zero; /* grid of the input */
    int32_t y_zero, y_lo, y_hi; /* clamp of the output codes */
    const int8_t *level;        /* [n_levels] what codes can be; NULL: any integer */
    int32_t n_levels;
    bool blocks; /* codes are integers of few bits times a power of two: made coarser by another such power */
} nb_requant_spec;

typedef struct {
    int32_t bias, mult, shift; /* bias contains -x_zero * sum w */
    int64_t bound;             /* proven: no partial sum exceeds it, bound < 2^31 */
    bool negated;              /* codes have the other sign, and so have the channel's levels */
    double coarser; /* one unit of w is worth this many of those that came in; 1 unless they had to give way */
} nb_requant;

/* Can the sums of one channel leave 32 bits? Not when nb_sum_bound < NB_SUM_LIMIT. size: sum |w|, sum: sum w, bias
 * without the zero point's part, in units of the sum. */
#define NB_SUM_LIMIT ((int64_t)1 << 31)
int64_t nb_sum_bound(int32_t x_lo, int32_t x_hi, int32_t x_zero, int64_t size, int64_t sum, int64_t bias);
/* The smallest scale at which weights of this total magnitude, `n` of them, and this bias cannot, however they round;
 * bias in units of a sum of scale 1. */
double nb_scale_floor(int32_t x_lo, int32_t x_hi, int32_t x_zero, double total, int64_t n, double bias);

typedef enum {
    NB_REQUANT_DONE,
    NB_REQUANT_TOO_LARGE /* the scales are not numbers, or these are levels whose sums do not fit */
} nb_requant_result;

/* w: the channel's codes, `n` of them, -127..127; negated when scale < 0. When the
 * channel is constant (|scale| ~ 0) they become 0; without a level 0 they stay, and a multiplier that makes nothing of
 * their sum closes the channel. A bias that does not fit beside them (the weights are next to nothing) or sums that do
 * not make codes without levels coarser: what is lost is below 2^-30 of the bias, or of the largest sum. Unless DONE,
 * nothing is changed. */
nb_requant_result nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out);

#endif
