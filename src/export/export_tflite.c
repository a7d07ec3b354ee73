/* export_tflite.c - the integer model as TensorFlow Lite, for LiteRT, TensorFlow Lite Micro and the compilers that read
 * its files: int8 activations, int8 weights per channel, int32 biases, NHWC. Option int4: weights of up to 4 bits are
 * INT4, which takes half the flash, but LiteRT has only its slower kernels for it, and those round twice.
 *
 * The input are int8 codes, of which real = scale * (code - zero) is the normalised image. The first step's table, which
 * says the code of every pixel value, goes along as metadata "nibble.pixels": int8 [256], or [channels][256] where the
 * channels differ. With option pixels the input are u8 pixels and the table is in the network: QUANTIZE where
 * the codes are the pixels, moved; else CAST and GATHER, which take four bytes of RAM a pixel.
 *
 * Multipliers follow from scales (tflite_writer.h). Kernels round as they will: CMSIS-NN and the reference kernels round
 * a product twice, XNNPACK once in float, where the engine rounds half up once. Codes can differ by one where they
 * disagree. */
#include <nibble/export.h>

#include "base/check.h"
#include "export/tflite_writer.h"

#include <math.h>

/* ADD, SUB and MUL, which repeat sides of 1 as the engine does. */
static nb_status put_two(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = tfl_etensor(w, s->out);
    const bool mul = s->kind == NB_STEP_MUL;
    int32_t in[2];
    for (int32_t k = 0; k < 2; k++) {
        const nb_etensor *x = tfl_etensor(w, s->in[k]);
        nb_estep one = *s; /* both of a sum have one shift */
        one.mult = s->mult + (mul ? 0 : k);
        const double ratio = tfl_ratio(w, s->in[k], s->out) * (mul ? (double)w->m->tensors[s->in[1 - k]].scale : 1);
        NB_TRY(tfl_ratio_fits(w, i, fabs(tfl_factor(&one, 0)), ratio, mul ? UINT8_MAX * UINT8_MAX : UINT8_MAX));
        in[k] = tfl_codes(w, s->in[k], tfl_shape4(x->h, x->w, x->c));
    }
    const tfl_activation fused = tfl_fused(w, i);
    tfl_output(w, i,
               mul              ? TFL_MUL
               : s->mult[1] < 0 ? TFL_SUB
                                : TFL_ADD,
               in, 2, tfl_shape4(y->h, y->w, y->c), (tfl_options){.v = {(int32_t)fused}}, fused);
    return NB_OK;
}

/* CONCATENATION takes what is on the output's grid already: the others go there first. */
static nb_status put_concat(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = tfl_etensor(w, s->out);
    int32_t in[NB_ENGINE_MAX_IN];
    for (int32_t k = 0; k < s->n_in; k++) {
        const tfl_shape shape = tfl_shape4(y->h, y->w, tfl_etensor(w, s->in[k])->c);
        NB_TRY(tfl_ratio_fits(w, i, tfl_factor(s, k), tfl_ratio(w, s->in[k], s->out), UINT8_MAX));
        in[k] = tfl_codes(w, s->in[k], shape);
        if (tfl_same_grid(w, s->in[k], s->out))
            continue;
        const int32_t x = in[k];
        in[k] = tfl_on_grid(w, s->out, tfl_printf(w->o, "%s.%d", w->m->tensors[s->out].name, k), shape);
        tfl_op(w->o, TFL_QUANTIZE, &x, 1, in[k], (tfl_options){0});
    }
    tfl_output(w, i, TFL_CONCATENATION, in, s->n_in, tfl_shape4(y->h, y->w, y->c), (tfl_options){.v = {3}}, TFL_NONE);
    return NB_OK;
}

static nb_status put_step(tfl_writer *w, int32_t i)
{
    switch ((nb_step_kind)w->m->e.steps[i].kind) {
    case NB_STEP_CONV:
        return tfl_conv(w, i);
    case NB_STEP_ADD:
    case NB_STEP_MUL:
        return put_two(w, i);
    case NB_STEP_CONCAT:
        return put_concat(w, i);
    case NB_STEP_MAXPOOL:
        tfl_maxpool(w, i);
        return NB_OK;
    case NB_STEP_AVGPOOL:
    case NB_STEP_AVGPOOL_INSIDE:
        return tfl_avgpool(w, i);
    case NB_STEP_TAKE:
        return tfl_take(w, i);
    case NB_STEP_BLEND:
        return nb_fail(
            w->ctx, NB_E_UNSUPPORTED,
            "%s: a bilinear upsample mixes pixels with shares in 2048ths, which TensorFlow Lite does not know",
            w->m->steps[i].name);
    case NB_STEP_TABLE:
        return tfl_table(w, i);
    case NB_STEP_KINDS:
        break;
    }
    return NB_OK;
}

static nb_status write_tflite(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    static const nb_export_options defaults = {0};
    const nb_export_options *o = options ? options : &defaults;
    tfl_writer w = {.ctx = ctx, .m = m, .int4 = o->tflite_int4};
    w.at = nb_alloc(ctx, (size_t)m->e.n_tensors * sizeof *w.at);
    nb_status st = w.at ? tfl_create(ctx, &w.o) : NB_E_NOMEM;
    int32_t input = 0;
    if (st == NB_OK)
        st = tfl_pixels(&w, o->tflite_pixels, &input);
    for (int32_t i = 1; st == NB_OK && i < m->e.n_steps; i++)
        st = put_step(&w, i);
    if (st == NB_OK)
        st = tfl_finish(w.o, input, tfl_codes(&w, nb_intmodel_output(m), tfl_shape2(m->classes)), path);
    tfl_free(w.o);
    nb_free(ctx, w.at);
    return st;
}

const nb_exporter nb_exporter_tflite = {.name = "tflite",
                                        .ext = ".tflite",
                                        .help = "TensorFlow Lite, for LiteRT and microcontrollers",
                                        .in_flash = true,
                                        .write = write_tflite};
