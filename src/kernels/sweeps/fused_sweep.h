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

typedef struct { /* of y = clamp(x * a[c] + b[c]) */
    const float *a, *b;
    nb_kclamp clamp;
} nb_kmap;

enum { NB_SCALE_ROWS = 8, NB_SCALE_RUN = 256 }; /* of nb_k_scale_grad */

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

/* What there is, and what it does. */
#define SWEEP(name, parameters, arguments) void nb_k_##name parameters;
#include "kernels/sweeps/fused_sweep_list.def"
#undef SWEEP

#endif
