/* export_onnx.c - the integer model as ONNX: QDQ form, per-channel weights, NCHW.
 *
 * Every tensor of codes keeps its grid: QuantizeLinear writes it, a DequantizeLinear of its own stands before each
 * reader, which is what run times look for to run integers. Weights of 2 to 4 bits are INT4 (opset 21), or widened to
 * int8 for opset 13. A channel's weight scale is what the multiplier says: mult / 2^shift * s_y / s_x, so batch norm is
 * in it. Pixels go in as they are, u8: the table of the first step is a Gather. The output are real logits.
 *
 * Run times round x / s half to even in float where the engine rounds a 62-bit product half up: codes can differ by one
 * where the two disagree. */
#include <nibble/export.h>

#include "base/check.h"

#ifdef NB_ONNX

#    include "export/cgen.h"
#    include "export/onnx_model.h"
#    include "lower/pack.h"

#    include <math.h>
#    include <stdio.h>
#    include <string.h>

enum { OPSET_INT8 = 13, OPSET_INT4 = 21 };

typedef struct {
    nb_ctx *ctx;
    const nb_intmodel *m;
    onnx_model *o;
    int32_t opset;
    const char **name; /* [n_tensors] of the codes */
} writer;

static int32_t type_of(const nb_etensor *t)
{
    return t->type == NB_EI_S8 ? ONNX_INT8 : ONNX_UINT8;
}

static const nb_etensor *tensor(const writer *w, int32_t t)
{
    return &w->m->e.tensors[t];
}

static const char *scalar_pair(writer *w, const char *what, int32_t t, const char **zero)
{
    *zero = onnx_scalar(w->o, onnx_name(w->o, "%s.zero", what), type_of(tensor(w, t)), tensor(w, t)->zero);
    return onnx_scalar(w->o, onnx_name(w->o, "%s.scale", what), ONNX_FLOAT, (double)w->m->tensors[t].scale);
}

/* The codes of tensor t as step i reads them: the engine reads a flattened image in its own order of pixels. */
static const char *codes(writer *w, int32_t t, int32_t i, int32_t h, int32_t width, int32_t c)
{
    const nb_etensor *e = tensor(w, t);
    if (e->h == h && e->w == width && e->c == c)
        return w->name[t];
    const char *in = w->name[t];
    if (e->h * e->w > 1) {
        in = onnx_add(w->o, "Transpose", onnx_name(w->o, "%s.nhwc.%d", w->name[t], i), &in, 1);
        onnx_ints(w->o, "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    }
    const int64_t dims[4] = {0, c, h, width}, four = 4;
    const char *both[2] = {in, onnx_constant(w->o, onnx_name(w->o, "%s.shape.%d", w->name[t], i), ONNX_INT64, &four, 1,
                                             dims, sizeof dims)};
    return onnx_add(w->o, "Reshape", onnx_name(w->o, "%s.flat.%d", w->name[t], i), both, 2);
}

static const char *dequantize(writer *w, int32_t t, int32_t i, const char *from)
{
    const char *what = onnx_name(w->o, "%s.dq.%d", w->name[t], i), *zero;
    const char *scale = scalar_pair(w, what, t, &zero);
    return onnx_add(w->o, "DequantizeLinear", what, (const char *const[]){from, scale, zero}, 3);
}

/* Step i's real value onto the grid of its output: the clamp, where the type's own saturation is not it, then codes. */
static void quantize(writer *w, int32_t i, const char *real)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = tensor(w, s->out);
    const double unit = (double)w->m->tensors[s->out].scale;
    const char *name = w->m->tensors[s->out].name, *zero;
    const bool s8 = y->type == NB_EI_S8;
    if (s->lo > (s8 ? -128 : 0) || s->hi < (s8 ? 127 : 255)) {
        const char *lo = onnx_scalar(w->o, onnx_name(w->o, "%s.min", name), ONNX_FLOAT, unit * (s->lo - y->zero));
        const char *hi = onnx_scalar(w->o, onnx_name(w->o, "%s.max", name), ONNX_FLOAT, unit * (s->hi - y->zero));
        real = onnx_add(w->o, "Clip", onnx_name(w->o, "%s.clip", name), (const char *const[]){real, lo, hi}, 3);
    }
    const char *scale = scalar_pair(w, onnx_name(w->o, "%s.q", name), s->out, &zero);
    w->name[s->out] = onnx_add(w->o, "QuantizeLinear", name, (const char *const[]){real, scale, zero}, 3);
}

/* ---- weights ---- */

/* OHWI codes as OIHW. */
static void transpose(int8_t *to, const int8_t *from, const nb_geom *g)
{
    const int32_t c = g->c / g->groups;
    for (int32_t o = 0; o < g->oc; o++)
        for (int32_t i = 0; i < c; i++)
            for (int32_t k = 0; k < g->kh * g->kw; k++)
                *to++ = from[((int64_t)o * g->kh * g->kw + k) * c + i];
}

static double weight_scale(const writer *w, const nb_estep *s, int32_t c)
{
    double ratio = s->mult ? ldexp((double)s->mult[c], -s->shift[c]) : 1.0;
    return ratio * (double)w->m->tensors[s->out].scale / (double)w->m->tensors[s->in[0]].scale;
}

static nb_status put_weights(writer *w, int32_t i, const char **weight, const char **bias)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const char *name = w->m->steps[i].name;
    const int64_t row = cgen_row(g), n = row * g->oc, channels = g->oc;
    const bool int4 = w->m->steps[i].weight_bits <= 4 && w->opset >= OPSET_INT4;
    int8_t *codes_oihw = nb_alloc(w->ctx, (size_t)n);
    uint8_t *packed = nb_alloc(w->ctx, nb_pack_bytes(n, 4));
    float *scale = nb_alloc(w->ctx, 2 * (size_t)channels * sizeof *scale);
    int32_t *b = nb_alloc(w->ctx, (size_t)channels * sizeof *b);
    nb_status st = codes_oihw && packed && scale && b ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK)
        st = cgen_real_bias(w->ctx, w->m, i, b);
    for (int32_t c = 0; st == NB_OK && c < g->oc; c++) {
        scale[c] = (float)weight_scale(w, s, c);
        scale[channels + c] = (float)(weight_scale(w, s, c) * (double)w->m->tensors[s->in[0]].scale);
    }
    if (st == NB_OK) {
        const int64_t dims[4] = {g->oc, g->c / g->groups, g->kh, g->kw};
        transpose(codes_oihw, s->weights, g);
        if (int4)
            nb_pack(packed, codes_oihw, n, 4);
        const char *in[3];
        in[0] = onnx_constant(w->o, onnx_name(w->o, "%s.weight", name), int4 ? ONNX_INT4 : ONNX_INT8, dims, 4,
                              int4 ? (const void *)packed : codes_oihw, int4 ? nb_pack_bytes(n, 4) : (size_t)n);
        in[1] = onnx_constant(w->o, onnx_name(w->o, "%s.weight.scale", name), ONNX_FLOAT, &channels, 1, scale,
                              (size_t)channels * sizeof *scale);
        memset(packed, 0,
               nb_pack_bytes(n, 4)); /* zero points: all 0, spelled out because not every run time knows the default */
        memset(codes_oihw, 0, (size_t)n);
        in[2] = onnx_constant(w->o, onnx_name(w->o, "%s.weight.zero", name), int4 ? ONNX_INT4 : ONNX_INT8, &channels, 1,
                              int4 ? (const void *)packed : codes_oihw,
                              int4 ? nb_pack_bytes(channels, 4) : (size_t)channels);
        *weight = onnx_add(w->o, "DequantizeLinear", onnx_name(w->o, "%s.weight.dq", name), in, 3);
        onnx_int(w->o, "axis", 0);
        in[0] = onnx_constant(w->o, onnx_name(w->o, "%s.bias", name), ONNX_INT32, &channels, 1, b,
                              (size_t)channels * sizeof *b);
        in[1] = onnx_constant(w->o, onnx_name(w->o, "%s.bias.scale", name), ONNX_FLOAT, &channels, 1, scale + channels,
                              (size_t)channels * sizeof *scale);
        *bias = onnx_add(w->o, "DequantizeLinear", onnx_name(w->o, "%s.bias.dq", name), in, 2);
        onnx_int(w->o, "axis", 0);
    }
    nb_free(w->ctx, codes_oihw);
    nb_free(w->ctx, packed);
    nb_free(w->ctx, scale);
    nb_free(w->ctx, b);
    return st;
}

/* ---- steps ---- */

static void put_window(writer *w, const nb_geom *g)
{
    onnx_ints(w->o, "kernel_shape", (const int64_t[]){g->kh, g->kw}, 2);
    onnx_ints(w->o, "strides", (const int64_t[]){g->stride, g->stride}, 2);
    /* The engine drops what is left of the last stride; so does ONNX, by rounding down. */
    onnx_ints(w->o, "pads", (const int64_t[]){g->pad, g->pad, g->pad, g->pad}, 4);
}

static nb_status put_conv(writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const char *in[3];
    NB_TRY(put_weights(w, i, &in[1], &in[2]));
    in[0] = dequantize(w, s->in[0], i, codes(w, s->in[0], i, g->h, g->w, g->c));
    const char *y = onnx_add(w->o, "Conv", onnx_name(w->o, "%s.conv", w->m->steps[i].name), in, 3);
    put_window(w, g);
    onnx_ints(w->o, "dilations", (const int64_t[]){g->dilation, g->dilation}, 2);
    onnx_int(w->o, "group", g->groups);
    if (tensor(w, s->out)->type == NB_EI_S32)
        w->name[s->out] = y; /* real logits */
    else
        quantize(w, i, y);
    return NB_OK;
}

/* code = table[channel * 256 + pixel] */
static void put_table(writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *t = tensor(w, s->out);
    const int64_t count = (int64_t)t->c * 256, dims[4] = {1, t->c, 1, 1};
    const char *index = onnx_add(w->o, "Cast", "pixels.index", (const char *const[]){"pixels"}, 1);
    onnx_int(w->o, "to", ONNX_INT32);
    if (t->c > 1) {
        int32_t first[4];
        for (int32_t c = 0; c < t->c; c++)
            first[c] = 256 * c;
        const char *in[2] = {
            index, onnx_constant(w->o, "pixels.first", ONNX_INT32, dims, 4, first, (size_t)t->c * sizeof *first)};
        index = onnx_add(w->o, "Add", "pixels.entry", in, 2);
    }
    const char *in[2] = {onnx_constant(w->o, "pixels.table", type_of(t), &count, 1, s->table, (size_t)count), index};
    w->name[s->out] = onnx_add(w->o, "Gather", w->m->tensors[s->out].name, in, 2);
}

static void put_join(writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = tensor(w, s->out);
    const bool add = s->kind == NB_STEP_ADD;
    const char *in[NB_ENGINE_MAX_IN];
    for (int32_t k = 0; k < s->n_in; k++) {
        const char *from = codes(w, s->in[k], i, y->h, y->w, add ? y->c : tensor(w, s->in[k])->c);
        const char *what = onnx_name(w->o, "%s.dq.%d.%d", w->name[s->in[k]], i, k), *zero; /* x + x has two */
        const char *scale = scalar_pair(w, what, s->in[k], &zero);
        in[k] = onnx_add(w->o, "DequantizeLinear", what, (const char *const[]){from, scale, zero}, 3);
    }
    const char *real =
        onnx_add(w->o, add ? "Add" : "Concat", onnx_name(w->o, "%s.real", w->m->steps[i].name), in, s->n_in);
    if (!add)
        onnx_int(w->o, "axis", 1);
    quantize(w, i, real);
}

static void put_maxpool(writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const nb_etensor *y = tensor(w, s->out);
    const char *name = w->m->tensors[s->out].name, *x = codes(w, s->in[0], i, g->h, g->w, g->c);
    const bool s8 = y->type == NB_EI_S8, clamps = s->lo > (s8 ? -128 : 0) || s->hi < (s8 ? 127 : 255);
    const bool pools = g->kh > 1 || g->kw > 1 || g->stride > 1;
    if (pools || !clamps) {
        x = onnx_add(w->o, "MaxPool", clamps ? onnx_name(w->o, "%s.pool", name) : name, &x, 1);
        put_window(w, g);
    }
    if (clamps) {
        const char *lo = onnx_scalar(w->o, onnx_name(w->o, "%s.lo", name), type_of(y), s->lo);
        const char *hi = onnx_scalar(w->o, onnx_name(w->o, "%s.hi", name), type_of(y), s->hi);
        x = onnx_add(w->o, "Clip", name, (const char *const[]){x, lo, hi}, 3);
    }
    w->name[s->out] = x;
}

/* The mean of an even number n of codes is often halfway between two. The engine sends it up where its multiplier is 1
 * / n exactly, else away from zero or towards it, as the multiplier is above or below. Moving every mean that way by
 * less than half a step of the sum does the same here, and changes nothing else. */
static const char *settle_ties(writer *w, int32_t i, const char *mean, int32_t n)
{
    const nb_estep *s = &w->m->e.steps[i];
    const char *name = w->m->steps[i].name, *in[2] = {mean};
    const int64_t above = (int64_t)s->mult[0] * n - ((int64_t)1 << s->shift[0]);
    const double step = (double)w->m->tensors[s->in[0]].scale / n;
    in[1] = onnx_scalar(w->o, onnx_name(w->o, "%s.move", name), ONNX_FLOAT,
                        above == 0  ? 0.25 * step
                        : above > 0 ? 1 + 0.25 / 256 / n
                                    : 1 - 0.25 / 256 / n);
    return onnx_add(w->o, above == 0 ? "Add" : "Mul", onnx_name(w->o, "%s.settled", name), in, 2);
}

static void put_avgpool(writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const char *x = dequantize(w, s->in[0], i, codes(w, s->in[0], i, g->h, g->w, g->c));
    const bool global = g->kh == g->h && g->kw == g->w;
    x = onnx_add(w->o, global ? "GlobalAveragePool" : "AveragePool", onnx_name(w->o, "%s.mean", w->m->steps[i].name),
                 &x, 1);
    if (!global)
        put_window(w, g);
    if (g->kh * g->kw % 2 == 0)
        x = settle_ties(w, i, x, g->kh * g->kw);
    quantize(w, i, x);
}

static nb_status put_step(writer *w, int32_t i)
{
    switch ((nb_step_kind)w->m->e.steps[i].kind) {
    case NB_STEP_TABLE:
        put_table(w, i);
        break;
    case NB_STEP_CONV:
        return put_conv(w, i);
    case NB_STEP_ADD:
    case NB_STEP_CONCAT:
        put_join(w, i);
        break;
    case NB_STEP_MAXPOOL:
        put_maxpool(w, i);
        break;
    case NB_STEP_AVGPOOL:
        put_avgpool(w, i);
        break;
    case NB_STEP_KINDS:
        break;
    }
    return NB_OK;
}

static void put_ends(writer *w)
{
    const nb_intmodel *m = w->m;
    const int32_t t = nb_intmodel_output(m);
    const nb_etensor *in = tensor(w, nb_intmodel_input(m)), *out = tensor(w, t);
    const int64_t pixels[4] = {-1, in->c, in->h, in->w}, logits[2] = {-1, m->classes}, shape[2] = {0, m->classes},
                  two = 2;
    const char *both[2] = {w->name[t], onnx_constant(w->o, "logits.shape", ONNX_INT64, &two, 1, shape, sizeof shape)};
    const bool real = out->type == NB_EI_S32;
    const char *flat = onnx_add(w->o, "Reshape", real ? "logits" : "logits.codes", both, 2);
    if (!real) {
        const char *zero, *scale = scalar_pair(w, "logits", t, &zero);
        onnx_add(w->o, "DequantizeLinear", "logits", (const char *const[]){flat, scale, zero}, 3);
    }
    onnx_value(w->o, false, "pixels", ONNX_UINT8, pixels, 4);
    onnx_value(w->o, true, "logits", ONNX_FLOAT, logits, 2);
    onnx_meta(w->o, "config", m->config);
}

/* 0: INT4 where it saves something. */
static nb_status choose_opset(nb_ctx *ctx, const nb_intmodel *m, int32_t asked, int32_t *out)
{
    if (asked && asked != OPSET_INT8 && asked != OPSET_INT4)
        return nb_fail(ctx, NB_E_CONFIG, "opset: %d: must be %d (weights as int8) or %d (up to 4 bits as INT4)", asked,
                       OPSET_INT8, OPSET_INT4);
    *out = asked ? asked : OPSET_INT8;
    for (int32_t i = 0; !asked && i < m->e.n_steps; i++)
        if (m->e.steps[i].kind == NB_STEP_CONV && m->steps[i].weight_bits <= 4)
            *out = OPSET_INT4;
    return NB_OK;
}

static nb_status write_onnx(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    writer w = {.ctx = ctx, .m = m};
    NB_TRY(choose_opset(ctx, m, options ? options->opset : 0, &w.opset));
    w.name = nb_alloc(ctx, (size_t)m->e.n_tensors * sizeof *w.name);
    nb_status st = w.name ? onnx_create(ctx, w.opset, &w.o) : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < m->e.n_steps; i++)
        st = put_step(&w, i);
    if (st == NB_OK) {
        put_ends(&w);
        st = onnx_finish(w.o, path);
    }
    onnx_free(w.o);
    nb_free(ctx, w.name);
    return st;
}

#else

static nb_status write_onnx(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    (void)m;
    (void)path;
    (void)options;
    return nb_fail(
        ctx, NB_E_UNSUPPORTED,
        "format onnx: this build has no ONNX: install libprotobuf-c-dev, protobuf-c-compiler and libonnx-dev, and "
        "build again");
}

#endif

const nb_exporter nb_exporter_onnx = {.name = "onnx",
                                      .ext = ".onnx",
                                      .help = "ONNX with QuantizeLinear and DequantizeLinear, for run times",
                                      .write = write_onnx};
