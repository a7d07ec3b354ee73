/* sweep_isa.h - what variants of the sweeps provide: the functions that sweep.h and fused_sweep.h describe, nb_k_NAME
 * there. One that is NULL is the next worse variant's (kernels/variant.h). */
#ifndef NB_KERNELS_SWEEP_ISA_H
#define NB_KERNELS_SWEEP_ISA_H

#include "kernels/sweeps/fused_sweep.h"
#include "kernels/sweeps/sweep.h"
#include "kernels/variant.h"

typedef struct {
    void (*minmax)(float *min, float *max, const float *x, int64_t n);
    void (*quantize)(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero, int32_t lo,
                     int32_t hi);
    void (*dequantize)(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed);
    void (*ste_backward)(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add);
    void (*channel_stats)(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c);
    void (*channel_affine)(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c);
    void (*channel_grad_sums)(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                              const float *mean, int64_t rows, int32_t c);
    void (*channel_grad)(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                         int64_t rows, int32_t c, int32_t add);
    void (*acc_to_real)(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                        int64_t rows, int32_t c);
} nb_sweep_isa;

typedef struct {
    void (*map_float)(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c);
    void (*map_codes)(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                      int32_t c);
    void (*scale_grad)(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                       int32_t c);
    void (*join_minmax)(float *min, float *max, const nb_kjoin *j, int64_t n);
    void (*join_float)(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n);
    void (*join_codes)(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n);
} nb_fused_isa;

#define VARIANT(name, needs) extern const nb_sweep_isa nb_sweep_##name;
#include "kernels/sweeps/sweep.def"
#undef VARIANT
#define VARIANT(name, needs) extern const nb_fused_isa nb_fused_##name;
#include "kernels/sweeps/fused_sweep.def"
#undef VARIANT

extern const nb_variant nb_sweep_variants[]; /* kernels: nb_sweep_isa */
extern const nb_variant nb_fused_variants[]; /* kernels: nb_fused_isa */

#endif
