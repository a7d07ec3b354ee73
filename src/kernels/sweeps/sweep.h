/* sweep.h - sweeps over floats and codes: ranges, quantization, batch-norm statistics.
 *
 * Each works on one contiguous chunk; callers cut tensors into fixed chunks (base/parallel.h), so results do not depend
 * on the thread count. Every sweep is bit-equal on every instruction set: same operations, same order per value,
 * nothing contracted. Sums over rows go row by row. rows x c: channels last. */
#ifndef NB_KERNELS_SWEEP_H
#define NB_KERNELS_SWEEP_H

#include <stdint.h>

/* Smallest and largest of n >= 1 floats; NaN anywhere gives NaN in both. */
void nb_k_minmax(float *min, float *max, const float *x, int64_t n);

/* codes[i] = clamp(round_half_even(x[i] / scale) + zero, lo, hi) as u8 or s8 bytes. Infinities clamp; NaN gives zero.
 * If mask is not NULL, bit i%8 of mask[i/8] is 1 where the unclamped code was inside [lo, hi] (straight-through
 * estimator), 0 for NaN and past the end. lo <= zero <= hi; n <= 2^40. */
void nb_k_quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero, int32_t lo,
                   int32_t hi);
/* A table of levels, ascending integers of -127..127: the nearest of each half step of value / scale, or edges. */
enum { NB_HALF_STEPS = 257 };
typedef struct {
    int8_t near[2][NB_HALF_STEPS]; /* of values >= 0 and < 0: those in ((k - 1) / 2, k / 2] in size, the last: above */
    float most;                    /* the largest size */
    float passes;                  /* what is inside, of |x|; 0: up to half a step beyond the largest */
    const int8_t *level;           /* [n] and [n - 1]: with edges, `near` is not looked at */
    const float *edge;
    int32_t n;
} nb_klevels;
void nb_k_levels(nb_klevels *t, const int8_t *level, int32_t n);
/* The same with edges, as they are in nb_grid (extend/quant.h): level and edge are kept. */
void nb_k_levels_at(nb_klevels *t, const int8_t *level, const float *edge, int32_t n);
/* As nb_k_quantize, to the nearest level, of two the smaller in size; inside is up to half a step beyond the largest, unless
 * the table says otherwise. NaN gives 0, or the level it is nearest to. */
void nb_k_quantize_levels(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, const nb_klevels *t);

/* A table of up to NB_REALS levels that are no integers, ascending, with 0 among them, the largest as large as the
 * smallest is below 0: the nearest, of two the one that is an even number of levels from 0. */
enum { NB_REALS = 256 };
typedef struct {
    float level[NB_REALS];
    float from[NB_REALS]; /* the smallest value that goes to level i; infinite past the end */
    float first, last;    /* values outside are cut off: beyond half a step from the ends */
    int32_t zero;         /* level[zero] == 0 */
} nb_kreals;
void nb_k_reals(nb_kreals *t, const float *level, int32_t n);
/* y[i] = scale * the level nearest to x[i] / scale; masks as in nb_k_quantize. */
void nb_k_quantize_reals(float *y, uint8_t *mask, const float *x, int64_t n, float scale, const nb_kreals *t);

/* y[i] = scale * (code - zero); is_signed: codes are s8. */
void nb_k_dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed);
/* dx[i] (+)= mask bit i ? dy[i] : 0; add = 0 writes. */
void nb_k_ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add);

enum { NB_SCALE_LANES = 16 };
/* As nb_k_scale_grad (fused_sweep.h), of one row to levels. */
void nb_k_scale_grad_levels(double *lane, const float *dy, const float *x, float scale, const nb_klevels *t, int64_t n);
void nb_k_scale_grad_reals(double *lane, const float *dy, const float *x, float scale, const nb_kreals *t, int64_t n);

/* sum[c] += sum over rows of x, sumsq[c] += sum of squares, in double; min[c] and max[c], unless both NULL, take in x
 * (a NaN stays; start with +infinity and -infinity). */
void nb_k_channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c);
/* y = x * a[c] + b[c] */
void nb_k_channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c);
/* Rows whose products are added in float before they go into the doubles: the blocks begin with the first row of a
 * call.
 */
enum { NB_GRAD_BLOCK = 8 };
/* The two reductions of batch-norm backward: sum_dy[c] += sum g, sum_dyx[c] += sum g * (x - mean[c]), where g is dy, or
 * 0 where the bit of mask is 0 (fused_sweep.h says which; NULL: all are 1). */
void nb_k_channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                            const float *mean, int64_t rows, int32_t c);
/* dx (+)= a[c] * g + b[c] * x + d[c], with g as above; add = 0 writes */
typedef struct {
    const float *a, *b, *d;
} nb_kgrad;
void nb_k_channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k, int64_t rows,
                       int32_t c, int32_t add);
/* y[r][c] = (acc[r][c] + bias[c]) * scale[c] + shift[c]: accumulators to real values. The integer sum wraps (the true
 * value fits), so a zero point is taken out exactly; then one float multiplication and one addition, no fma. */
void nb_k_acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                      int64_t rows, int32_t c);

#endif
