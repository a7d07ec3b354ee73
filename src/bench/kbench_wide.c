/* kbench_wide.c - times whole batches of float layers by our own kernels (fconv.h) and by OpenBLAS (fwide.h), side by
 * side: the measurements behind nb_fwide_rule. Everything a training step does counts: packing weights into panels,
 * adding slots up, writing windows out. One thread, its processor time; both take turns. */
#include "bench/kbench.h"
#include "kernels/float/fblas.h"
#include "kernels/float/fconv.h"
#include "kernels/float/fwide.h"

#include <nibble/extend/tensor.h>
#include <string.h>

#include "base/check.h"
#include "base/measure.h"
#include "base/rng.h"

#define SQUARE(size, in, out, k, s)                                                                                    \
    {                                                                                                                  \
        .h = size, .w = size, .c = in, .oh = (size + s - 1) / s, .ow = (size + s - 1) / s, .oc = out, .kh = k,         \
        .kw = k, .stride = {s, s}, .pad = {k / 2, k / 2, k / 2, k / 2}, .dilation = {1, 1}, .groups = 1                \
    }
/* clang-format off */
const nb_kbench_wide nb_kbench_wides[] = {
    {"3x3 32->32 at 32x32, batch 4",      4, SQUARE(32,   32,   32, 3, 1)},
    {"3x3 64->64 at 32x32, batch 4",      4, SQUARE(32,   64,   64, 3, 1)},
    {"3x3 64->64 at 8x8, batch 32",      32, SQUARE( 8,   64,   64, 3, 1)},
    {"3x3 128->128 at 32x32, batch 4",    4, SQUARE(32,  128,  128, 3, 1)},
    {"3x3 128->128 at 8x8, batch 32",    32, SQUARE( 8,  128,  128, 3, 1)},
    {"3x3 128->256 at 16x16, stride 2",  16, SQUARE(16,  128,  256, 3, 2)},
    {"3x3 256->256 at 16x16, batch 8",    8, SQUARE(16,  256,  256, 3, 1)},
    {"3x3 512->512 at 8x8, batch 16",    16, SQUARE( 8,  512,  512, 3, 1)},
    {"3x3 512->512 at 4x4, batch 64",    64, SQUARE( 4,  512,  512, 3, 1)},
    {"3x3 1024->1024 at 4x4, batch 32",  32, SQUARE( 4, 1024, 1024, 3, 1)},
    {"1x1 64->256 at 16x16, batch 8",     8, SQUARE(16,   64,  256, 1, 1)},
    {"1x1 256->64 at 16x16, batch 8",     8, SQUARE(16,  256,   64, 1, 1)},
    {"1x1 256->256 at 8x8, batch 32",    32, SQUARE( 8,  256,  256, 1, 1)},
    {"1x1 512->512 at 8x8, batch 32",    32, SQUARE( 8,  512,  512, 1, 1)},
    {"linear 784->128, batch 128",      128, SQUARE( 1,  784,  128, 1, 1)},
    {"linear 1024->1024, batch 64",      64, SQUARE( 1, 1024, 1024, 1, 1)},
    {"linear 4096->1024, batch 64",      64, SQUARE( 1, 4096, 1024, 1, 1)},
    {"linear 12544->1024, batch 64",     64, SQUARE( 1, 12544, 1024, 1, 1)},
    {0},
};
/* clang-format on */

typedef struct {
    const nb_kbench_wide *shape;
    nb_geom g;      /* of one image */
    nb_geom chunk;  /* what fconv.h sees at a time: an image, or 16 rows of a linear layer */
    int32_t chunks; /* of the batch */
    int64_t x_len, y_len, w_len;
    nb_fconv_plan *plan;
    void *mem, *panels, *scratch, *slot;
    float *x, *y, *w, *cols;
} job;

enum { ROWS = 16, TAP_CHANNELS = 128, MATRIX_CHANNELS = 512 }; /* as layers/linear.c and mac_wide.c have them */

static float *floats(nb_ctx *ctx, nb_rng *r, int64_t n)
{
    float *p = nb_alloc(ctx, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < n && p; i++)
        p[i] = nb_rng_uniform(r) - 0.5f;
    return p;
}

static int32_t tap_channels(const nb_geom *g)
{
    const int32_t most = nb_fwide_is_matrix(g) ? MATRIX_CHANNELS : TAP_CHANNELS;
    return g->c < most ? g->c : most;
}

static nb_status open_job(nb_ctx *ctx, job *j, const nb_kbench_wide *s)
{
    const nb_geom *g = &s->geom;
    const bool linear = g->h == 1;
    nb_rng r = nb_rng_make(1, 1);
    size_t bytes;
    *j = (job){.shape = s, .g = *g, .chunk = *g, .chunks = linear ? s->batch / ROWS : s->batch};
    if (linear)
        j->chunk.w = j->chunk.ow = ROWS;
    j->x_len = (int64_t)g->h * g->w * g->c;
    j->y_len = (int64_t)g->oh * g->ow * g->oc;
    j->w_len = (int64_t)g->oc * g->kh * g->kw * g->c;
    if (!nb_fconv_plan_bytes(&j->chunk, NB_FCONV_FAST, &bytes))
        return nb_fail(ctx, NB_E_UNSUPPORTED, "benchmark: %s is too large", s->name);
    if (!(j->mem = nb_alloc(ctx, bytes)))
        return NB_E_NOMEM;
    j->plan = nb_fconv_plan_init(j->mem, &j->chunk, NB_FCONV_FAST);
    const size_t cols = nb_fwide_cols(g, nb_fwide_group(g), false), tap = nb_fwide_tap_cols(g, tap_channels(g));
    if (!(j->panels = nb_alloc(ctx, nb_fconv_panel_bytes(j->plan))) ||
        !(j->scratch = nb_alloc(ctx, nb_fconv_scratch_bytes(j->plan))) ||
        !(j->slot = nb_alloc(ctx, nb_fconv_slot_bytes(j->plan))) || !(j->x = floats(ctx, &r, s->batch * j->x_len)) ||
        !(j->y = floats(ctx, &r, s->batch * j->y_len)) || !(j->w = floats(ctx, &r, j->w_len)) ||
        !(j->cols = nb_alloc(ctx, (cols > tap ? cols : tap) * sizeof(float))))
        return NB_E_NOMEM;
    return NB_OK;
}

static void close_job(nb_ctx *ctx, job *j)
{
    void *all[] = {j->mem, j->panels, j->scratch, j->slot, j->x, j->y, j->w, j->cols};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(ctx, all[i]);
}

/* The whole batch by fconv.h. Panels for both passes are packed in the forward pass. */
static void own_pass(job *j, int32_t pass)
{
    const int64_t x = (int64_t)j->chunk.w * j->chunk.h * j->chunk.c, y = (int64_t)j->chunk.ow * j->chunk.oh * j->g.oc;
    if (pass == NB_KBENCH_FORWARD)
        nb_fconv_pack(j->plan, j->panels, j->w);
    if (pass == NB_KBENCH_WEIGHT_GRAD)
        memset(j->slot, 0, nb_fconv_slot_bytes(j->plan));
    for (int32_t i = 0; i < j->chunks; i++) {
        const nb_fconv_image image = {j->x + i * x, NB_F32, 0};
        if (pass == NB_KBENCH_FORWARD)
            nb_fconv_forward(j->plan, j->y + i * y, &image, j->panels, NULL, j->scratch);
        else if (pass == NB_KBENCH_INPUT_GRAD)
            nb_fconv_input_grad(j->plan, j->x + i * x, false, j->y + i * y, j->panels, j->scratch);
        else
            nb_fconv_weight_grad(j->plan, j->slot, &image, j->y + i * y, j->scratch);
    }
    if (pass == NB_KBENCH_WEIGHT_GRAD)
        nb_fconv_weight_grad_finish(j->plan, j->w, &(nb_fconv_slots){&j->slot, 1, 1e-3f});
}

/* The same by fwide.h, in the parts that mac_wide.c makes. */
static void blas_pass(job *j, int32_t pass)
{
    const nb_geom *g = &j->g;
    const int32_t group = nb_fwide_group(g), batch = j->shape->batch, block = tap_channels(g);
    if (pass == NB_KBENCH_WEIGHT_GRAD) {
        const nb_fconv_image image = {j->x, NB_F32, 0};
        for (int32_t tap = 0; tap < g->kh * g->kw; tap++)
            for (int32_t c = 0; c < g->c; c += block) {
                const nb_fwide_part part = {batch, c, g->c - c < block ? g->c - c : block, 1e-3f};
                nb_fwide_weight_grad(g, &part, tap, j->w, true, &image, j->y, j->cols);
            }
        return;
    }
    for (int32_t i = 0; i < batch; i += group) {
        const nb_fconv_image image = {j->x + i * j->x_len, NB_F32, 0};
        const bool forward = pass == NB_KBENCH_FORWARD;
        const nb_fwide_part part = {batch - i < group ? batch - i : group, 0, forward ? g->oc : g->c, 1.0f};
        if (forward)
            nb_fwide_forward(g, &part, j->y + i * j->y_len, &image, j->w, NULL, j->cols);
        else
            nb_fwide_input_grad(g, &part, j->x + i * j->x_len, false, j->y + i * j->y_len, j->w, j->cols);
    }
}

static double timed(job *j, int32_t pass, void (*run)(job *j, int32_t pass))
{
    const double start = nb_thread_seconds();
    run(j, pass);
    return nb_thread_seconds() - start;
}

nb_status nb_kbench_run_wide(nb_ctx *ctx, const nb_kbench_wide *s, int32_t rounds, nb_kbench_wide_result *out)
{
    job j = {0};
    nb_status st = open_job(ctx, &j, s);
    double own[NB_KBENCH_MAX_ROUNDS], blas[NB_KBENCH_MAX_ROUNDS];
    const int32_t n = rounds < NB_KBENCH_MAX_ROUNDS ? rounds : NB_KBENCH_MAX_ROUNDS;
    *out = (nb_kbench_wide_result){.macs = (double)(j.y_len * (j.w_len / s->geom.oc)) * s->batch,
                                   .blas_wins = nb_fwide_wins(&s->geom, s->batch)};
    nb_fblas_begin();
    for (int32_t pass = 0; pass < NB_KBENCH_WIDE_PASSES && st == NB_OK; pass++) {
        own_pass(&j, pass); /* warm caches */
        for (int32_t i = 0; i < n; i++) {
            own[i] = timed(&j, pass, own_pass);
            blas[i] = nb_fblas_width() ? timed(&j, pass, blas_pass) : 0;
        }
        out->own[pass] = nb_median(own, n);
        out->blas[pass] = nb_median(blas, n);
    }
    nb_fblas_end();
    close_job(ctx, &j);
    return st;
}
