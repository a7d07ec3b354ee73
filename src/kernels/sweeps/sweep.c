/* sweep.c - the sweeps of sweep.h and fused_sweep.h, each by the best variant here that has it. */
#include "kernels/sweeps/sweep_isa.h"

const nb_variant nb_sweep_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_sweep_##name},
#include "kernels/sweeps/sweep.def"
#undef VARIANT
    {0}};

const nb_variant nb_fused_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_fused_##name},
#include "kernels/sweeps/fused_sweep.def"
#undef VARIANT
    {0}};

#define SWEEP(function)                                                                                                \
    NB_VARIANT_FUNCTION(nb_sweep_isa, nb_sweep_variants, nb_variant_best(nb_sweep_variants), function)
#define FUSED(function)                                                                                                \
    NB_VARIANT_FUNCTION(nb_fused_isa, nb_fused_variants, nb_variant_best(nb_fused_variants), function)

void nb_k_minmax(float *min, float *max, const float *x, int64_t n)
{
    SWEEP(minmax)(min, max, x, n);
}

void nb_k_quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero, int32_t lo,
                   int32_t hi)
{
    SWEEP(quantize)(codes, mask, x, n, scale, zero, lo, hi);
}

void nb_k_dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed)
{
    SWEEP(dequantize)(y, codes, n, scale, zero, is_signed);
}

void nb_k_ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add)
{
    SWEEP(ste_backward)(dx, dy, mask, n, add);
}

void nb_k_scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                     int32_t c)
{
    FUSED(scale_grad)(lane, dy, x, m, g, rows, c);
}

void nb_k_channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c)
{
    SWEEP(channel_stats)(sum, sumsq, min, max, x, rows, c);
}

void nb_k_channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c)
{
    SWEEP(channel_affine)(y, x, a, b, rows, c);
}

void nb_k_channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                            const float *mean, int64_t rows, int32_t c)
{
    SWEEP(channel_grad_sums)(sum_dy, sum_dyx, dy, mask, x, mean, rows, c);
}

void nb_k_channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k, int64_t rows,
                       int32_t c, int32_t add)
{
    SWEEP(channel_grad)(dx, dy, mask, x, k, rows, c, add);
}

void nb_k_acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                      int64_t rows, int32_t c)
{
    SWEEP(acc_to_real)(y, acc, bias, scale, shift, rows, c);
}

void nb_k_map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c)
{
    FUSED(map_float)(y, mask, x, m, rows, c);
}

void nb_k_map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                    int32_t c)
{
    FUSED(map_codes)(codes, mask, x, m, g, rows, c);
}

void nb_k_join_minmax(float *min, float *max, const nb_kjoin *j, int64_t n)
{
    FUSED(join_minmax)(min, max, j, n);
}

void nb_k_join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n)
{
    FUSED(join_float)(y, mask, j, n);
}

void nb_k_join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n)
{
    FUSED(join_codes)(codes, mask, j, g, n);
}
