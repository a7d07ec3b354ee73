/* kbench_sweep.c - times the sweeps over tensors: bytes to and from memory should be all they cost, so that is what is
 * counted. The same sweep on a tensor in the nearest cache tells whether it is. */
#include "bench/kbench.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/sweeps/fused_sweep.h"
#include "kernels/sweeps/sweep.h"

#include <math.h>

#include "base/measure.h"
#include "base/rng.h"

enum {
    CHANNELS = 32,
    ROWS = 1 << 17,
    VALUES = CHANNELS * ROWS, /* 16 MiB of floats */
    NEAR_ROWS = 64,
    NEAR_TIMES = 256
}; /* 8 KiB, so often */

struct nb_kbench_tensors {
    int64_t rows;       /* that a sweep takes */
    float *x, *y;       /* [VALUES] */
    const int32_t *acc; /* x as integers: any will do */
    uint8_t *codes, *more, *mask;
    double sum[NB_END_LANES], sumsq[CHANNELS]; /* of lanes, or of channels */
    float min[CHANNELS], max[CHANNELS], a[CHANNELS], b[CHANNELS];
    int32_t bias[CHANNELS], mult[CHANNELS], shift[CHANNELS];
    nb_kreals reals;
};
typedef struct nb_kbench_tensors tensors;

static const nb_kclamp relu = {.relu = 1, .cap = INFINITY};
static const nb_kgrid grid = {.scale = 0.01f, .zero = 0, .lo = 0, .hi = 255};

static void minmax(tensors *t)
{
    nb_k_minmax(t->min, t->max, t->x, t->rows * CHANNELS);
}

static void quantize(tensors *t)
{
    nb_k_quantize(t->codes, t->mask, t->x, t->rows * CHANNELS, grid.scale, grid.zero, grid.lo, grid.hi);
}

static void dequantize(tensors *t)
{
    nb_k_dequantize(t->y, t->codes, t->rows * CHANNELS, grid.scale, grid.zero, 0);
}

static void ste_backward(tensors *t)
{
    nb_k_ste_backward(t->y, t->x, t->mask, t->rows * CHANNELS, 0);
}

static void channel_stats(tensors *t)
{
    nb_k_channel_stats(t->sum, t->sumsq, t->min, t->max, t->x, t->rows, CHANNELS);
}

static void map_codes(tensors *t)
{
    nb_k_map_codes(t->codes, t->mask, t->x, &(nb_kmap){t->a, t->b, relu}, &grid, t->rows, CHANNELS);
}

static void scale_grad(tensors *t)
{
    nb_k_scale_grad(t->sum, t->y, t->x, &(nb_kmap){t->a, t->b, relu}, &grid, t->rows, CHANNELS);
}

static void end_grads(tensors *t)
{
    nb_k_end_grads(t->sum, t->y, t->x, &(nb_kmap){t->a, t->b, relu}, &grid, t->rows, CHANNELS);
}

static void channel_grad_sums(tensors *t)
{
    nb_k_channel_grad_sums(t->sum, t->sumsq, t->y, t->mask, t->x, t->a, t->rows, CHANNELS);
}

static void channel_grad(tensors *t)
{
    nb_k_channel_grad(t->y, t->y, t->mask, t->x, &(nb_kgrad){t->a, t->b, t->a}, t->rows, CHANNELS, 0);
}

static void join_codes(tensors *t)
{
    const nb_kjoin j = {{{t->codes, 0.01f, 3, 0}, {t->more, 0.02f, 5, 0}}, 2, 1, relu};
    nb_k_join_codes(t->codes, t->mask, &j, &grid, t->rows * CHANNELS);
}

static void acc_to_real(tensors *t)
{
    nb_k_acc_to_real(t->y, t->acc, t->bias, t->a, t->b, t->rows, CHANNELS);
}

static void quantize_reals(tensors *t)
{
    nb_k_quantize_reals(t->y, t->mask, t->x, t->rows * CHANNELS, 0.03f, &t->reals);
}

static void scale_grad_reals(tensors *t)
{
    nb_k_scale_grad_reals(t->sum, t->y, t->x, 0.03f, &t->reals, t->rows * CHANNELS);
}

static void grid_errors(tensors *t)
{
    nb_ktries tries = {.n = NB_TRIES};
    for (int32_t k = 0; k < NB_TRIES; k++) {
        tries.scale[k] = 0.01f * (float)(k + 1);
        tries.first[k] = -127.0f;
        tries.last[k] = 127.0f;
    }
    nb_k_grid_errors(t->sum, t->x, t->rows * CHANNELS, &tries);
}

static void requantize(tensors *t)
{
    nb_iconv_requantize(t->codes, t->acc, &(nb_irequant){t->bias, t->mult, t->shift, 0, 0, 255}, t->rows, CHANNELS);
}

static void add_codes(tensors *t)
{
    const nb_ipair add = {0, {0, 0}, {3, 5}, {1 << 28, 1 << 29}, 30, 0, 0, 255};
    nb_k_pair_codes(t->codes, t->codes, t->more, t->rows * CHANNELS, &add);
}

static void mul_codes(tensors *t)
{
    const nb_ipair mul = {1, {0, 0}, {3, 5}, {1 << 30, 0}, 38, 0, 0, 255};
    nb_k_pair_codes(t->codes, t->codes, t->more, t->rows * CHANNELS, &mul);
}

/* A mask is a bit per value. */
const nb_kbench_sweep nb_kbench_sweeps[] = {
    {"minmax", "range of a tensor", 4, minmax},
    {"quantize", "floats to codes and gradient mask", 4 + 1 + 0.125, quantize},
    {"dequantize", "codes to floats", 1 + 4, dequantize},
    {"ste_backward", "straight-through gradient", 4 + 4 + 0.125, ste_backward},
    {"channel_stats", "batch norm forward: sums, ranges", 4, channel_stats},
    {"map_codes", "batch norm + relu + fake-quant", 4 + 1 + 0.125, map_codes},
    {"scale_grad", "learned scale: sum behind batch norm + relu", 4 + 4, scale_grad},
    {"end_grads", "learned scale and offset: sums, as above", 4 + 4, end_grads},
    {"channel_grad_sums", "batch norm backward: sums", 4 + 4 + 0.125, channel_grad_sums},
    {"channel_grad", "batch norm backward: gradient", 4 + 4 + 4 + 0.125, channel_grad},
    {"join_codes", "residual add + relu + fake-quant", 1 + 1 + 1 + 0.125, join_codes},
    {"acc_to_real", "accumulators to floats", 4 + 4, acc_to_real},
    {"quantize_reals", "floats to FP8 (E4M3), simulated", 4 + 4 + 0.125, quantize_reals},
    {"scale_grad_reals", "learned scale of FP8: sum", 4 + 4, scale_grad_reals},
    {"grid_errors", "range by error: eight grids tried", 4, grid_errors},
    {"requantize", "accumulators to codes", 4 + 1, requantize},
    {"add_codes", "residual add of the engine", 1 + 1 + 1, add_codes},
    {"mul_codes", "product of two tensors in the engine", 1 + 1 + 1, mul_codes},
    {0}};
enum { SWEEPS = (int)(sizeof nb_kbench_sweeps / sizeof *nb_kbench_sweeps) - 1 };

/* E4M3's numbers in steps of the largest, as src/quant/format_minifloat.c has them. */
static void fill_reals(nb_kreals *t)
{
    enum { ZERO = 126 };
    float level[2 * ZERO + 1] = {0};
    for (int32_t i = 1; i <= ZERO; i++) {
        level[ZERO + i] = i < 8 ? ldexpf((float)i, -14) : ldexpf((float)(8 + i % 8), i / 8 - 15);
        level[ZERO - i] = -level[ZERO + i];
    }
    nb_k_reals(t, level, 2 * ZERO + 1);
}

static void fill(tensors *t)
{
    fill_reals(&t->reals);
    nb_rng r = nb_rng_make(1, 2);
    for (int32_t i = 0; i < VALUES; i++) {
        t->x[i] = nb_rng_uniform(&r) - 0.5f;
        t->y[i] = t->x[i];
        t->codes[i] = t->more[i] = (uint8_t)(i % 251);
    }
    for (int32_t i = 0; i < VALUES / 8; i++)
        t->mask[i] = (uint8_t)(i * 37);
    for (int32_t i = 0; i < CHANNELS; i++) {
        t->a[i] = 0.5f;
        t->b[i] = 0.1f;
        t->mult[i] = 1 << 30;
        t->shift[i] = 52;
    }
}

/* Values per second, the median of n rounds. */
static double speed(tensors *t, const nb_kbench_sweep *s, int64_t rows, int32_t times, int32_t n)
{
    double took[NB_KBENCH_MAX_ROUNDS];
    t->rows = rows;
    for (int32_t i = 0; i < n; i++) {
        const double start = nb_thread_seconds();
        for (int32_t k = 0; k < times; k++)
            s->run(t);
        took[i] = nb_thread_seconds() - start;
    }
    return (double)(times * rows * CHANNELS) / nb_median(took, n);
}

nb_status nb_kbench_run_sweeps(nb_ctx *ctx, int32_t rounds, nb_kbench_speed *out)
{
    tensors *t = nb_alloc(ctx, sizeof *t);
    float *x = nb_alloc(ctx, 2 * (size_t)VALUES * sizeof *x);
    uint8_t *codes = nb_alloc(ctx, 2 * (size_t)VALUES + VALUES / 8);
    const bool ok = t && x && codes;
    if (ok) {
        *t = (tensors){.x = x,
                       .acc = (const int32_t *)x,
                       .y = x + VALUES,
                       .codes = codes,
                       .more = codes + VALUES,
                       .mask = codes + 2 * (size_t)VALUES};
        fill(t);
    }
    const int32_t n = rounds < NB_KBENCH_MAX_ROUNDS ? rounds : NB_KBENCH_MAX_ROUNDS;
    for (int32_t s = 0; s < SWEEPS && ok; s++)
        out[s] = (nb_kbench_speed){speed(t, &nb_kbench_sweeps[s], ROWS, 1, n),
                                   speed(t, &nb_kbench_sweeps[s], NEAR_ROWS, NEAR_TIMES, n)};
    nb_free(ctx, codes);
    nb_free(ctx, x);
    nb_free(ctx, t);
    return ok ? NB_OK : NB_E_NOMEM;
}
