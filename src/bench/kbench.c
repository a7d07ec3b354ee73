/* kbench.c - times the convolutions of training and of the engine. The clock is the thread's processor time, so that
 * other programs disturb little. */
#include "bench/kbench.h"

#include "kernels/float/fconv.h"
#include "kernels/grad16/qgrad_isa.h"
#include "kernels/integer/iconv_isa.h"

#include <nibble/extend/tensor.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/measure.h"
#include "base/rng.h"

enum { ROUND_MACS = 10000000 }; /* a round is about 0.2 ms at 50 GMAC/s: thousands of clock ticks */

#define SQUARE(size, in, out, k, s, n)                                                                                 \
    {                                                                                                                  \
        .h = size, .w = size, .c = in, .oh = (size + s - 1) / s, .ow = (size + s - 1) / s, .oc = out, .kh = k,         \
        .kw = k, .stride = {s, s}, .pad = {k / 2, k / 2, k / 2, k / 2}, .dilation = {1, 1}, .groups = n                \
    }
#define LINEAR(rows, in, out)                                                                                          \
    {                                                                                                                  \
        .h = 1, .w = rows, .c = in, .oh = 1, .ow = rows, .oc = out, .kh = 1, .kw = 1, .stride = {1, 1},                \
        .dilation = {1, 1}, .groups = 1                                                                                \
    }
/* clang-format off */
const nb_kbench_shape nb_kbench_shapes[] = {
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

const char *const nb_kbench_pass_name[NB_KBENCH_PASSES] = {
    "float forward",         "float input gradient", "float weight gradient", "int16 input gradient",
    "int16 weight gradient", "W8A8 forward",         "W4A4 forward"};

typedef struct {
    const nb_geom *geom;
    int64_t x_len, w_len, y_len;
    nb_fconv_plan *plan, *plain; /* plain: whose tables gradients of codes read */
    nb_qgrad_plan *codes;        /* NULL: no such kernels for this geometry */
    void *mem, *plain_mem, *panels, *scratch, *slot, *code_mem, *code_panels, *code_scratch;
    float *x, *w, *y;
    void *packed[2], *int_scratch; /* integer forward: W8A8, W4A4 */
    uint8_t *bytes, *out;          /* bytes: all of x or all of w, codes below 16 */
    int32_t *requant;              /* bias, mult, shift: [oc] each */
} job;

static float *random_floats(nb_ctx *ctx, nb_rng *r, int64_t n)
{
    float *p = nb_alloc(ctx, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < n && p; i++)
        p[i] = nb_rng_uniform(r) - 0.5f;
    return p;
}

/* Codes of either operand: as weights -7..7 or -127..127, as pixels the same bytes. */
static void random_codes(uint8_t *p, nb_rng *r, int64_t n, int32_t max)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = (uint8_t)((int32_t)nb_rng_below(r, (uint32_t)(2 * max + 1)) - max);
}

static nb_status open_gradients(nb_ctx *ctx, job *j)
{
    size_t bytes;
    if (!nb_qgrad_plan_bytes(j->plain, &bytes))
        return NB_OK;
    if (!(j->code_mem = nb_alloc(ctx, bytes)))
        return NB_E_NOMEM;
    j->codes = nb_qgrad_plan_init(j->code_mem, j->plain);
    if (!(j->code_panels = nb_alloc(ctx, nb_qgrad_panel_bytes(j->codes))) ||
        !(j->code_scratch = nb_alloc(ctx, nb_qgrad_scratch_bytes(j->codes))))
        return NB_E_NOMEM;
    nb_qgrad_pack(j->codes, j->code_panels, (const int8_t *)j->bytes, &(float){0.01f}, 1);
    return NB_OK;
}

/* Both integer forms of the layer, and multipliers that spread sums over the codes. */
static nb_status open_integers(nb_ctx *ctx, job *j, nb_rng *r)
{
    const nb_geom *g = j->geom;
    if (!(j->int_scratch = nb_alloc(ctx, nb_iconv_scratch_bytes(g))) ||
        !(j->requant = nb_alloc(ctx, 3 * (size_t)g->oc * sizeof *j->requant)) ||
        !(j->out = nb_alloc(ctx, (size_t)j->y_len)))
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->oc; i++) {
        j->requant[i] = 0;
        j->requant[g->oc + i] = 1 << 30;
        j->requant[2 * g->oc + i] = 40;
    }
    for (int32_t i = 0; i < 2; i++) {
        if (!(j->packed[i] = nb_alloc(ctx, nb_iconv_packed_bytes(g))))
            return NB_E_NOMEM;
        random_codes(j->bytes, r, j->w_len, i ? 7 : 127);
        nb_iconv_pack(j->packed[i], (const int8_t *)j->bytes, (nb_icodes){0, i ? 15 : 255}, g);
    }
    for (int64_t i = 0; i < j->x_len; i++) /* from here on they are the input of either form */
        j->bytes[i] = (uint8_t)nb_rng_below(r, 16);
    return NB_OK;
}

static nb_status open_job(nb_ctx *ctx, job *j, const nb_geom *g)
{
    size_t bytes, plain;
    if (!nb_fconv_plan_bytes(g, NB_FCONV_FAST, &bytes) || !nb_fconv_plan_bytes(g, NB_FCONV_PLAIN, &plain) ||
        !nb_iconv_supports(g))
        return nb_fail(ctx, NB_E_UNSUPPORTED, "benchmark: a convolution of %dx%dx%d is too large", g->h, g->w, g->c);
    nb_rng r = nb_rng_make(1, 1);
    *j = (job){.geom = g,
               .x_len = (int64_t)g->h * g->w * g->c,
               .w_len = (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups),
               .y_len = (int64_t)g->oh * g->ow * g->oc};
    if (!(j->mem = nb_alloc(ctx, bytes)) || !(j->plain_mem = nb_alloc(ctx, plain)))
        return NB_E_NOMEM;
    j->plain = nb_fconv_plan_init(j->plain_mem, g, NB_FCONV_PLAIN);
    j->plan = nb_fconv_plan_init(j->mem, g, NB_FCONV_FAST);
    if (!(j->panels = nb_alloc(ctx, nb_fconv_panel_bytes(j->plan))) ||
        !(j->scratch = nb_alloc(ctx, nb_fconv_scratch_bytes(j->plan))) ||
        !(j->slot = nb_alloc(ctx, nb_fconv_slot_bytes(j->plan) + nb_fconv_slot_bytes(j->plain))) ||
        !(j->x = random_floats(ctx, &r, j->x_len)) || !(j->w = random_floats(ctx, &r, j->w_len)) ||
        !(j->y = random_floats(ctx, &r, j->y_len)) ||
        !(j->bytes = nb_alloc(ctx, (size_t)(j->x_len > j->w_len ? j->x_len : j->w_len))))
        return NB_E_NOMEM;
    nb_fconv_pack(j->plan, j->panels, j->w);
    random_codes(j->bytes, &r, j->w_len, 127);
    NB_TRY(open_gradients(ctx, j));
    return open_integers(ctx, j, &r);
}

static void close_job(nb_ctx *ctx, job *j)
{
    void *all[] = {j->mem,       j->plain_mem, j->panels,      j->scratch,  j->slot,        j->x,
                   j->w,         j->y,         j->bytes,       j->code_mem, j->code_panels, j->code_scratch,
                   j->packed[0], j->packed[1], j->int_scratch, j->out,      j->requant};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(ctx, all[i]);
}

static void once(const job *j, nb_kbench_pass pass)
{
    const nb_fconv_image image = {j->x, NB_F32, 0}, codes = {j->bytes, NB_U8, 3};
    if (pass == NB_KBENCH_FORWARD)
        nb_fconv_forward(j->plan, j->y, &image, j->panels, NULL, j->scratch);
    else if (pass == NB_KBENCH_INPUT_GRAD)
        nb_fconv_input_grad(j->plan, j->x, false, j->y, j->panels, j->scratch);
    else if (pass == NB_KBENCH_WEIGHT_GRAD)
        nb_fconv_weight_grad(j->plan, j->slot, &image, j->y, j->scratch);
    else if (pass == NB_KBENCH_INPUT_GRAD_INT16) {
        nb_qgrad_measure(j->codes, j->y, j->code_scratch);
        nb_qgrad_input(j->codes, j->x, false, j->y, j->code_panels, j->code_scratch);
    } else if (pass == NB_KBENCH_WEIGHT_GRAD_INT16) {
        nb_qgrad_measure(j->codes, j->y, j->code_scratch);
        nb_qgrad_weight(j->codes, j->slot, &codes, j->y, j->code_scratch);
    } else {
        const int32_t oc = j->geom->oc;
        const nb_irequant q = {j->requant, j->requant + oc, j->requant + 2 * oc, 0, 0, 255};
        nb_iconv_rows(&(nb_iconv_output){.codes = j->out, .q = &q}, &(nb_iconv_input){j->bytes, 0, 3},
                      j->packed[pass - NB_KBENCH_W8A8], j->geom, 0, j->geom->oh, j->int_scratch);
    }
}

/* What a pass is made of, beside its time. */
static nb_kbench_result describe(const job *j, nb_kbench_pass pass)
{
    const nb_geom *g = j->geom;
    nb_kbench_result r = {.macs = (double)j->y_len * g->kh * g->kw * (g->c / g->groups),
                          .work = 1,
                          .bytes = 4.0 * (double)(j->x_len + j->w_len + j->y_len),
                          .unit = NB_PEAK_FLOAT,
                          .method = j->plan->tiles ? "winograd" : "float"};
    if (j->plan->tiles)
        r.work = 16.0 / 36;
    if (pass == NB_KBENCH_INPUT_GRAD_INT16 || pass == NB_KBENCH_WEIGHT_GRAD_INT16) {
        const bool input = pass == NB_KBENCH_INPUT_GRAD_INT16;
        r.bytes =
            4.0 * (double)j->y_len + (input ? 4.0 : 1.0) * (double)j->x_len + (input ? 1.0 : 4.0) * (double)j->w_len;
        r.unit = NB_PEAK_PAIRS;
        const bool tiles = j->codes && j->codes->tiles && j->codes->isa->winograd;
        r.method = tiles ? "winograd" : "pairs";
        r.work = tiles ? 16.0 / 36 : 1;
    } else if (pass >= NB_KBENCH_W8A8) {
        const nb_iconv_method *m = nb_iconv_method_of(j->packed[pass - NB_KBENCH_W8A8]);
        r.bytes = (double)(j->x_len + j->w_len + j->y_len);
        r.unit = m && m->form == NB_ICONV_BYTES ? NB_PEAK_QUADS : NB_PEAK_PAIRS;
        r.method = m ? m->name : "depthwise";
        r.work = m && m->form == NB_ICONV_WINOGRAD ? 36.0 / 144 : 1; /* points of a tile to products of its pixels */
    }
    return r;
}

nb_status nb_kbench_conv(nb_ctx *ctx, const nb_geom *g, int32_t rounds, nb_kbench_result out[NB_KBENCH_PASSES])
{
    job j = {0};
    nb_status st = open_job(ctx, &j, g);
    double took[NB_KBENCH_MAX_ROUNDS];
    const int32_t n = rounds < NB_KBENCH_MAX_ROUNDS ? rounds : NB_KBENCH_MAX_ROUNDS;
    for (int32_t pass = 0; pass < NB_KBENCH_PASSES && st == NB_OK; pass++) {
        out[pass] = describe(&j, (nb_kbench_pass)pass);
        const bool gradient = pass == NB_KBENCH_INPUT_GRAD_INT16 || pass == NB_KBENCH_WEIGHT_GRAD_INT16;
        if (gradient && !j.codes)
            continue;
        const int32_t repeat = 1 + (int32_t)(ROUND_MACS / out[pass].macs);
        once(&j, (nb_kbench_pass)pass); /* warm caches */
        for (int32_t i = 0; i < n; i++) {
            double start = nb_thread_seconds();
            for (int32_t k = 0; k < repeat; k++)
                once(&j, (nb_kbench_pass)pass);
            took[i] = (nb_thread_seconds() - start) / repeat;
        }
        out[pass].seconds = nb_median(took, n);
    }
    close_job(ctx, &j);
    return st;
}
