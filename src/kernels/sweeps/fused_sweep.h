/* fused_sweep.h - sweeps of fused chains: several layers' worth of arithmetic per value, nothing stored in between.
 *
 * The same operations in the same order as the sweeps of sweep.h and the layers one after the other, so the results
 * are the same bits. Contracts are those of sweep.h: one contiguous chunk, rows x c with channels last, bit-equal on
 * every instruction set.
 *
 * Masks say where the gradient passes, one bit per value: bit j%8 of byte j/8 of a row, every row beginning with a new
 * byte (nb_mask_bytes(c) per row); bits past the row's end are 0. A flat tensor of n values is one row. */
#ifndef NB_KERNELS_FUSED_SWEEP_H
#define NB_KERNELS_FUSED_SWEEP_H

#include "kernels/sweeps/sweep.h"

#include <stddef.h>
#include <stdint.h>

static inline int64_t nb_mask_bytes(int64_t c)
{
    return (c + 7) / 8;
}

/* relu: y = min(max(v, 0), cap), NaN stays; passes the gradient where 0 < y < cap. Without relu all passes. */
typedef struct {
    int32_t relu;
    float cap; /* infinity: none */
} nb_kclamp;

/* The grid of codes, as nb_k_quantize takes it; passes the gradient where the unclamped code is inside. */
typedef struct {
    float scale;
    int32_t zero, lo, hi;
} nb_kgrid;

/* y = clamp(x * a[c] + b[c]); mask may be NULL in both. */
typedef struct {
    const float *a, *b;
    nb_kclamp clamp;
} nb_kmap;
void nb_k_map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c);
void nb_k_map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                    int32_t c);

/* What a scale's gradient is made of: sum over rows x c of dy * t. t is round(v) - v inside the grid, for v = y * (1 /
 * scale) and y as nb_k_map_float has it (m NULL: x itself), and outside the end of the grid less zero; NaN counts as
 * the first end. The value of channel j is added to lane[j % 16]: in float over NB_SCALE_ROWS rows, or, where rows are
 * longer than NB_SCALE_RUN, over such a run of one row; then in double. */
enum { NB_SCALE_ROWS = 8, NB_SCALE_RUN = 256 };
void nb_k_scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                     int32_t c);
/* The same, and in the same sweep what reaches the ends of the grid: the sum of dy over values whose code was above the
 * last, to lane[16 + j % 16], and over those below the first, to lane[32 + j % 16]. A NaN is neither. */
void nb_k_end_grads(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                    int32_t c);

/* One operand of a join: floats, or u8 or s8 codes worth scale * (code - zero). */
typedef struct {
    const void *data;
    float scale;
    int32_t zero, is_signed;
} nb_koperand;

/* y = clamp(in[0] + in[1]), or clamp(in[0]) for one operand; all floats or all codes. */
typedef struct {
    nb_koperand in[2];
    int32_t n_in, codes;
    nb_kclamp clamp;
} nb_kjoin;
void nb_k_join_minmax(float *min, float *max, const nb_kjoin *j, int64_t n); /* as nb_k_minmax of y */
void nb_k_join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n);
void nb_k_join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n);

#endif
