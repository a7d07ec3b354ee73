/* sweep.h - sweeps over floats and codes: ranges, quantization, batch-norm statistics.
 *
 * Each works on one contiguous chunk; callers cut tensors into fixed chunks (base/parallel.h), so results do not depend
 * on the thread count. Every sweep is bit-equal on every instruction set: same operations, same order per value,
 * nothing contracted. Sums over rows go row by row. rows x c: channels last. */
#ifndef NB_KERNELS_SWEEP_H
#define NB_KERNELS_SWEEP_H

#include <stdint.h>

typedef struct { /* of nb_k_channel_grad, [c] each */
    const float *a, *b, *d;
} nb_kgrad;

/* Rows whose products nb_k_channel_grad_sums adds in float before they go into the doubles: the blocks begin with the
 * first row of a call. */
enum { NB_GRAD_BLOCK = 8 };

/* What there is, and what it does. */
#define SWEEP(name, parameters, arguments) void nb_k_##name parameters;
#include "kernels/sweeps/sweep_list.def"
#undef SWEEP

/* A table of levels, ascending integers of -127..127 with 0 among them: the nearest of each half step of value / scale. */
enum { NB_HALF_STEPS = 257 };
typedef struct {
    int8_t near[2][NB_HALF_STEPS]; /* of values >= 0 and < 0: those in ((k - 1) / 2, k / 2] in size, the last: above */
    float most;                    /* the largest size */
} nb_klevels;
void nb_k_levels(nb_klevels *t, const int8_t *level, int32_t n);
/* As nb_k_quantize, to the nearest level, of two the smaller in size; inside is up to half a step beyond the largest. */
void nb_k_quantize_levels(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, const nb_klevels *t);
enum { NB_SCALE_LANES = 16 };
/* As nb_k_scale_grad (fused_sweep.h), of one row to levels. */
void nb_k_scale_grad_levels(double *lane, const float *dy, const float *x, float scale, const nb_klevels *t, int64_t n);

#endif
