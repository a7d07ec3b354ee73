/* requant.h - from real scales to the integers of the contract: multiplier, shift, int32 bias. Serves lowering and the
 * frozen steps of the training plan, so both rescale alike. */
#ifndef NB_QUANT_REQUANT_H
#define NB_QUANT_REQUANT_H

#include <nibble/tensor.h>

/* m = mult * 2^-shift to 31 bits, mult in [2^30, 2^31), shift in [1, 62]; false when m is not positive or does not fit.
 */
bool nb_multiplier(double m, int32_t *mult, int32_t *shift);

/* One output channel of a MAC: real value = scale * sum w (x - x_zero) + bias, wanted on the grid out_scale * (y -
 * y_zero). */
typedef struct {
    double scale, bias; /* scale of either sign: gamma < 0 flips the filter */
    double out_scale;
    int32_t x_lo, x_hi, x_zero; /* grid of the input */
    int32_t y_zero, y_lo, y_hi; /* clamp of the output codes */
} nb_requant_spec;

typedef struct {
    int32_t bias, mult, shift; /* bias contains -x_zero * sum w */
    int64_t bound;             /* proven: no partial sum exceeds it, bound < 2^31 */
} nb_requant;

/* w: the channel's codes, `n` of them; negated when scale < 0, zeroed when the channel is constant (|scale| ~ 0). Exact
 * in both cases because the grid is narrow. False when the accumulator cannot be proven to fit: nothing is changed
 * then. */
bool nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out);

#endif
