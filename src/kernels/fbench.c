/* fbench.c - times the convolutions of training. The clock is the thread's processor time, so that other programs
 * disturb little. */
#include "fbench.h"

#include "fconv.h"
#include "qgrad.h"

#include <base/check.h>
#include <base/rng.h>
#include <nibble/tensor.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_ROUNDS = 1000, ROUND_OPS = 20000000 }; /* a round is about 0.2 ms at 100 GFLOP/s: thousands of clock ticks */

#define SQUARE(size, in, out, k, s, n)                                                                                 \
    {                                                                                                                  \
        .h = size, .w = size, .c = in, .oh = (size + s - 1) / s, .ow = (size + s - 1) / s, .oc = out, .kh = k,         \
        .kw = k, .stride = s, .pad = k / 2, .dilation = 1, .groups = n                                                 \
    }
#define LINEAR(rows, in, out)                                                                                          \
    {                                                                                                                  \
        .h = 1, .w = rows, .c = in, .oh = 1, .ow = rows, .oc = out, .kh = 1, .kw = 1, .stride = 1, .dilation = 1,      \
        .groups = 1                                                                                                    \
    }
/* clang-format off */
const nb_fbench_case nb_fbench_cases[] = {
    {"3x3 1->16 at 28x28",            SQUARE(28,  1, 16, 3, 1,  1)},
    {"3x3 3->16 at 32x32",            SQUARE(32,  3, 16, 3, 1,  1)},
    {"3x3 16->16 at 32x32",           SQUARE(32, 16, 16, 3, 1,  1)},
    {"3x3 16->32 at 32x32, stride 2", SQUARE(32, 16, 32, 3, 2,  1)},
    {"3x3 32->32 at 16x16",           SQUARE(16, 32, 32, 3, 1,  1)},
    {"3x3 64->64 at 8x8",             SQUARE( 8, 64, 64, 3, 1,  1)},
    {"1x1 64->64 at 16x16",           SQUARE(16, 64, 64, 1, 1,  1)},
    {"1x1 16->96 at 32x32",           SQUARE(32, 16, 96, 1, 1,  1)},
    {"1x1 96->16 at 32x32",           SQUARE(32, 96, 16, 1, 1,  1)},
    {"1x1 160->1280 at 4x4",          SQUARE( 4, 160, 1280, 1, 1,  1)},
    {"3x3 depthwise 32 at 32x32",     SQUARE(32, 32, 32, 3, 1, 32)},
    {"3x3 depthwise 96 at 32x32",     SQUARE(32, 96, 96, 3, 1, 96)},
    {"3x3 depthwise 96, stride 2",    SQUARE(32, 96, 96, 3, 2, 96)},
    {"3x3 depthwise 128 at 16x16",    SQUARE(16, 128, 128, 3, 1, 128)},
    {"3x3 depthwise 480 at 4x4",      SQUARE( 4, 480, 480, 3, 1, 480)},
    {"5x5 depthwise 96 at 16x16",     SQUARE(16, 96, 96, 5, 1, 96)},
    {"linear 784->128, 128 rows",     LINEAR(128, 784, 128)},
    {0},
};
/* clang-format on */

typedef struct {
    nb_fconv_plan *plan;
    nb_qgrad_plan *codes; /* NULL: no such kernels for this geometry */
    void *mem, *panels, *scratch, *slot, *code_mem, *code_panels, *code_scratch;
    float *x, *w, *y;
    uint8_t *bytes; /* [all of x or all of w]: codes of either */
} job;

static float *random_floats(nb_ctx *ctx, nb_rng *r, int64_t n)
{
    float *p = nb_alloc(ctx, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < n && p; i++)
        p[i] = nb_rng_uniform(r) - 0.5f;
    return p;
}

static nb_status open_codes(nb_ctx *ctx, job *j, const nb_geom *g, nb_rng *r)
{
    size_t bytes, x = (size_t)g->h * (size_t)g->w * (size_t)g->c;
    const size_t w = (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups);
    if (!nb_qgrad_plan_bytes(j->plan, &bytes))
        return NB_OK;
    if (!(j->code_mem = nb_alloc(ctx, bytes)))
        return NB_E_NOMEM;
    j->codes = nb_qgrad_plan_init(j->code_mem, j->plan);
    if (!(j->code_panels = nb_alloc(ctx, nb_qgrad_panel_bytes(j->codes))) ||
        !(j->code_scratch = nb_alloc(ctx, nb_qgrad_scratch_bytes(j->codes))) ||
        !(j->bytes = nb_alloc(ctx, x > w ? x : w)))
        return NB_E_NOMEM;
    for (size_t i = 0; i < (x > w ? x : w); i++)
        j->bytes[i] = (uint8_t)nb_rng_below(r, 128);
    nb_qgrad_pack(j->codes, j->code_panels, (const int8_t *)j->bytes, &(float){0.01f}, 1);
    return NB_OK;
}

static nb_status open_job(nb_ctx *ctx, job *j, const nb_geom *g)
{
    size_t bytes;
    if (!nb_fconv_plan_bytes(g, &bytes))
        return nb_fail(ctx, NB_E_UNSUPPORTED, "benchmark: a convolution of %dx%dx%d is too large", g->h, g->w, g->c);
    nb_rng r = nb_rng_make(1, 1);
    if (!(j->mem = nb_alloc(ctx, bytes)))
        return NB_E_NOMEM;
    j->plan = nb_fconv_plan_init(j->mem, g);
    if (!(j->panels = nb_alloc(ctx, nb_fconv_panel_bytes(j->plan))) ||
        !(j->scratch = nb_alloc(ctx, nb_fconv_scratch_bytes(j->plan))) ||
        !(j->slot = nb_alloc(ctx, nb_fconv_slot_bytes(j->plan))) ||
        !(j->x = random_floats(ctx, &r, (int64_t)g->h * g->w * g->c)) ||
        !(j->w = random_floats(ctx, &r, (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups))) ||
        !(j->y = random_floats(ctx, &r, (int64_t)g->oh * g->ow * g->oc)))
        return NB_E_NOMEM;
    nb_fconv_pack(j->plan, j->panels, j->w);
    return open_codes(ctx, j, g, &r);
}

static void close_job(nb_ctx *ctx, job *j)
{
    void *all[] = {j->mem, j->panels,   j->scratch,     j->slot,         j->x,    j->w,
                   j->y,   j->code_mem, j->code_panels, j->code_scratch, j->bytes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(ctx, all[i]);
}

static void once(const job *j, int32_t pass)
{
    const nb_fconv_image image = {j->x, NB_F32, 0}, codes = {j->bytes, NB_U8, 3};
    if (pass == NB_FBENCH_FORWARD)
        nb_fconv_forward(j->plan, j->y, &image, j->panels, NULL, j->scratch);
    else if (pass == NB_FBENCH_INPUT_GRAD)
        nb_fconv_input_grad(j->plan, j->x, false, j->y, j->panels, j->scratch);
    else if (pass == NB_FBENCH_WEIGHT_GRAD)
        nb_fconv_weight_grad(j->plan, j->slot, &image, j->y, j->scratch);
    else if (pass == NB_FBENCH_INPUT_GRAD_INT16)
        nb_qgrad_input(j->codes, j->x, false, j->y, j->code_panels, j->code_scratch);
    else
        nb_qgrad_weight(j->codes, j->slot, &codes, j->y, j->code_scratch);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

nb_status nb_fbench_run(nb_ctx *ctx, const nb_geom *g, int32_t rounds, double gflops[NB_FBENCH_PASSES])
{
    job j = {0};
    nb_status st = open_job(ctx, &j, g);
    double ops = 2.0 * g->oh * g->ow * g->oc * g->kh * g->kw * (g->c / g->groups), took[MAX_ROUNDS];
    const int32_t n = rounds < MAX_ROUNDS ? rounds : MAX_ROUNDS, repeat = 1 + (int32_t)(ROUND_OPS / ops);
    for (int32_t pass = 0; pass < NB_FBENCH_PASSES && st == NB_OK; pass++) {
        gflops[pass] = 0;
        if (pass >= NB_FBENCH_INPUT_GRAD_INT16 && !j.codes)
            continue;
        once(&j, pass); /* warm caches */
        for (int32_t i = 0; i < n; i++) {
            double start = seconds();
            for (int32_t k = 0; k < repeat; k++)
                once(&j, pass);
            took[i] = (seconds() - start) / repeat;
        }
        qsort(took, (size_t)n, sizeof *took, ascending);
        gflops[pass] = ops / took[n / 2] * 1e-9;
    }
    close_job(ctx, &j);
    return st;
}
