/* fdispatch.h - the float kernels behind fconv.h, sweep.h and fused_sweep.h: their types, and the table of those that fit
 * this processor. */
#ifndef NB_KERNELS_FKERNELS_H
#define NB_KERNELS_FKERNELS_H

#include "kernels/sweeps/fused_sweep.h"
#include "kernels/sweeps/sweep.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum { NB_PANEL = 16 }; /* columns of a weight panel: two AVX2 vectors, one of AVX-512, four of NEON */

/* One block of at most NB_PANEL columns of "rows times taps":
 *   dense:  out[out_off[i] + j] (+)= bias[j] + sum over s of in[row_off[i] + sum_off[s]]     * b[s * ldb + j]
 *   depth:  out[out_off[i] + j] (+)= bias[j] + sum over s of in[row_off[i] + sum_off[s] + j] * b[s * ldb + j]
 * Forward: rows are output pixels, the sum runs over taps. Weight gradient: rows are taps, the sum runs over pixels.
 * NB_PANEL floats are read at every row of b, and by depth also of `in`, whatever n_cols is; only n_cols are written.
 * The sum is taken in the order of s, starting from bias, so a row's value does not depend on its neighbours. */
typedef struct {
    float *out;
    const float *in, *b, *bias; /* bias may be NULL */
    const int32_t *out_off, *row_off, *sum_off;
    int32_t n_rows, n_sum, n_cols, ldb;
    bool add; /* += instead of = */
} nb_frows;

typedef void nb_fn_dense_f32(const nb_frows *r);
typedef void nb_fn_depth_f32(const nb_frows *r);

/* One row of a depthwise 3x3 convolution whose image has a border of one zero, channels innermost everywhere:
 *   depth3:        out[x][j] (+)= bias[j] + sum over k, t of in[k][x * stride + t - 1][j] * w[k][t * ldw + j]
 *   depth3_spread: out[x][j] (+)= bias[j] + sum over k, t of in[k][(x + 1 - t) / 2][j] * w[k][t * ldw + j], where that
 *                  is whole: the gradient of stride 2
 * Rows outside the image are not listed in `in`, columns outside are not read. w is padded to NB_PANEL channels. Sums
 * start from the bias and go on by k, then by ascending pixel, so a pixel's value does not depend on its place. */
typedef struct {
    float *out;         /* [n_out][c] */
    const float *in[3]; /* [n_in][c] each */
    const float *w[3];
    const float *bias; /* may be NULL */
    ptrdiff_t ldw;
    int32_t n_rows, n_in, n_out, c, stride;
    uintptr_t in_ahead, out_ahead; /* addresses that will be read and written soon: a hint, nothing need be there */
    bool add;                      /* += instead of = */
} nb_fdepth_row;

/* Rows of the weight gradient: out[(3k + t) * ldw + j] += sum over y, x of dy[y][x][j] * in[y * stride + k][x * stride
 * + t - 1][j], in the order of y and x. out is padded to NB_PANEL channels; what it holds beyond c is not defined. */
typedef struct {
    float *out;
    const float *const *in; /* rows [n_in][c], NULL outside the image */
    const float *dy;        /* [n_rows][n_out][c] */
    ptrdiff_t ldw;
    int32_t n_rows, n_in, n_out, c, stride;
    uintptr_t in_ahead, dy_ahead; /* as above */
} nb_fdepth_sums;

typedef void nb_fn_depth3(const nb_fdepth_row *r);
typedef void nb_fn_depth3_spread(const nb_fdepth_row *r);
typedef void nb_fn_depth3_weights(const nb_fdepth_sums *r);

/* The sweeps of sweep.h, which says what they do. */
typedef void nb_fn_minmax(float *min, float *max, const float *x, int64_t n);
typedef void nb_fn_quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero,
                            int32_t lo, int32_t hi);
typedef void nb_fn_dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed);
typedef void nb_fn_ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add);
typedef void nb_fn_scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                              int64_t rows, int32_t c);
typedef nb_fn_scale_grad nb_fn_end_grads;
typedef void nb_fn_channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows,
                                 int32_t c);
typedef void nb_fn_channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c);
typedef void nb_fn_channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask,
                                     const float *x, const float *mean, int64_t rows, int32_t c);
typedef void nb_fn_channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                                int64_t rows, int32_t c, int32_t add);
typedef void nb_fn_acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale,
                               const float *shift, int64_t rows, int32_t c);

/* Those of fused_sweep.h. */
typedef void nb_fn_map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c);
typedef void nb_fn_map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g,
                             int64_t rows, int32_t c);
typedef void nb_fn_join_minmax(float *min, float *max, const nb_kjoin *j, int64_t n);
typedef void nb_fn_join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n);
typedef void nb_fn_join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n);

#define X(kernel, features, function) nb_fn_##kernel function;
#include "kernels/float/fdispatch.def"
#undef X

typedef struct {
    nb_fn_dense_f32 *dense_f32;
    nb_fn_depth_f32 *depth_f32;
    nb_fn_depth3 *depth3;
    nb_fn_depth3_spread *depth3_spread;
    nb_fn_depth3_weights *depth3_weights;
    nb_fn_minmax *minmax;
    nb_fn_quantize *quantize;
    nb_fn_dequantize *dequantize;
    nb_fn_ste_backward *ste_backward;
    nb_fn_scale_grad *scale_grad;
    nb_fn_end_grads *end_grads;
    nb_fn_channel_stats *channel_stats;
    nb_fn_channel_affine *channel_affine;
    nb_fn_channel_grad_sums *channel_grad_sums;
    nb_fn_channel_grad *channel_grad;
    nb_fn_acc_to_real *acc_to_real;
    nb_fn_map_float *map_float;
    nb_fn_map_codes *map_codes;
    nb_fn_join_minmax *join_minmax;
    nb_fn_join_float *join_float;
    nb_fn_join_codes *join_codes;
} nb_fdispatch;

/* The best kernels this processor (masked by NB_CPU) can run; chosen once. */
const nb_fdispatch *nb_fdispatch_get(void);

#endif
