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
    const int8_t *level;        /* [n_levels] what codes can be; NULL: any integer of a narrow grid */
    int32_t n_levels;
} nb_requant_spec;

typedef struct {
    int32_t bias, mult, shift; /* bias contains -x_zero * sum w */
    int64_t bound;             /* proven: no partial sum exceeds it, bound < 2^31 */
} nb_requant;

typedef enum {
    NB_REQUANT_DONE,
    NB_REQUANT_TOO_LARGE,  /* the accumulator cannot be proven to fit in 31 bits */
    NB_REQUANT_UNSYMMETRIC /* scale < 0, and a level has no counterpart of the other sign */
} nb_requant_result;

/* w: the channel's codes, `n` of them; negated when scale < 0, which a narrow grid and a symmetric table allow. When the
 * channel is constant (|scale| ~ 0) they become 0; without a level 0 they stay, and a multiplier that makes nothing of
 * their sum closes the channel. Unless DONE, nothing is changed. */
nb_requant_result nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out);

#endif
