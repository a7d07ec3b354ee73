/* fdispatch.c - chooses the float kernels once, from the processor's features; the public sweeps go through the table.
 */
#include "kernels/float/fdispatch.h"

#include <pthread.h>

static nb_fdispatch table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Later lines of fdispatch.def are better, so the last one that fits stays. */
static void choose(void)
{
    uint32_t have = nb_cpu_features();
#define X(kernel, features, function)                                                                                  \
    if ((have & (uint32_t)(features)) == (uint32_t)(features))                                                         \
        table.kernel = function;
#include "kernels/float/fdispatch.def"
#undef X
}

const nb_fdispatch *nb_fdispatch_get(void)
{
    pthread_once(&once, choose);
    return &table;
}

void nb_k_minmax(float *min, float *max, const float *x, int64_t n)
{
    nb_fdispatch_get()->minmax(min, max, x, n);
}

void nb_k_quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero, int32_t lo,
                   int32_t hi)
{
    nb_fdispatch_get()->quantize(codes, mask, x, n, scale, zero, lo, hi);
}

void nb_k_dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed)
{
    nb_fdispatch_get()->dequantize(y, codes, n, scale, zero, is_signed);
}

void nb_k_ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add)
{
    nb_fdispatch_get()->ste_backward(dx, dy, mask, n, add);
}

void nb_k_scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                     int32_t c)
{
    nb_fdispatch_get()->scale_grad(lane, dy, x, m, g, rows, c);
}

void nb_k_end_grads(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                    int32_t c)
{
    nb_fdispatch_get()->end_grads(lane, dy, x, m, g, rows, c);
}

void nb_k_channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c)
{
    nb_fdispatch_get()->channel_stats(sum, sumsq, min, max, x, rows, c);
}

void nb_k_channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c)
{
    nb_fdispatch_get()->channel_affine(y, x, a, b, rows, c);
}

void nb_k_channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                            const float *mean, int64_t rows, int32_t c)
{
    nb_fdispatch_get()->channel_grad_sums(sum_dy, sum_dyx, dy, mask, x, mean, rows, c);
}

void nb_k_channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k, int64_t rows,
                       int32_t c, int32_t add)
{
    nb_fdispatch_get()->channel_grad(dx, dy, mask, x, k, rows, c, add);
}

void nb_k_acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                      int64_t rows, int32_t c)
{
    nb_fdispatch_get()->acc_to_real(y, acc, bias, scale, shift, rows, c);
}

void nb_k_map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c)
{
    nb_fdispatch_get()->map_float(y, mask, x, m, rows, c);
}

void nb_k_map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                    int32_t c)
{
    nb_fdispatch_get()->map_codes(codes, mask, x, m, g, rows, c);
}

void nb_k_join_minmax(float *min, float *max, const nb_kjoin *j, int64_t n)
{
    nb_fdispatch_get()->join_minmax(min, max, j, n);
}

void nb_k_join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n)
{
    nb_fdispatch_get()->join_float(y, mask, j, n);
}

void nb_k_join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n)
{
    nb_fdispatch_get()->join_codes(codes, mask, j, g, n);
}
