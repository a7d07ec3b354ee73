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

/* A table of up to NB_REALS levels that are no integers, ascending, with 0 among them, the largest as large as the
 * smallest is below 0: the nearest, of two the one that is an even number of levels from 0. */
enum { NB_REALS = 256 };
typedef struct {
    float level[NB_REALS];
    float from[NB_REALS]; /* the smallest value that goes to level i; infinite past the end */
    float first, last;    /* values outside are cut off: beyond half a step from the ends */
    int32_t zero;         /* level[zero] == 0 */
    uint32_t least, up;   /* of floats with few bits (reals.c), else 0 */
} nb_kreals;
void nb_k_reals(nb_kreals *t, const float *level, int32_t n);

enum { NB_SCALE_LANES = 16, NB_END_LANES = 3 * NB_SCALE_LANES };

/* n grids of equal steps that are tried side by side: codes first..last times a scale. Those behind them may be any. */
enum { NB_TRIES = 8 };
typedef struct {
    int32_t n;
    float scale[NB_TRIES], first[NB_TRIES], last[NB_TRIES];
} nb_ktries;

/* What there is, and what it does. */
#define SWEEP(name, parameters, arguments) void nb_k_##name parameters;
#include "kernels/sweeps/sweep_list.def"
#undef SWEEP

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

/* As nb_k_scale_grad (fused_sweep.h), of one row to levels. */
void nb_k_scale_grad_levels(double *lane, const float *dy, const float *x, float scale, const nb_klevels *t, int64_t n);

#endif
