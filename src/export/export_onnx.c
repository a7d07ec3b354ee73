/* export_onnx.c - the integer model as ONNX: per-channel weights, NCHW, in one of two forms.
 *
 * qdq       float operators between QuantizeLinear and DequantizeLinear, which is what most run times look for to
 *           compute in integers. Weights of 2 to 4 bits are INT4 (opset 21), or widened to int8 for opset 13.
 * operator  convolutions and linear layers as QLinearConv and ConvInteger (onnx_conv.c), for whoever executes a file
 *           as it stands. Opset 13; there is no such operator for INT4. Sums, means and concatenations have no integer
 *           operator in the standard: they stay DequantizeLinear, operator, QuantizeLinear, so that a file needs no
 *           other domain. ONNX Runtime makes QLinearAdd, QLinearConcat and the like of them by itself.
 *
 * Pixels go in as they are, u8: the table of the first step is a Gather, and so are those of activations, which the
 * standard has no exact operator for. The output are real logits.
 *
 * Run times round x / s half to even in float where the engine rounds a 62-bit product half up: codes can differ by one
 * where the two disagree. */
#include <nibble/export.h>

#include "base/check.h"
#include "export/onnx_float.h"

#ifdef NB_ONNX

#    include "base/textbuf.h"
#    include "engine/engine_check.h"
#    include "export/onnx_take.h"
#    include "export/onnx_writer.h"
#    include "kernels/integer/ipool.h"
#    include "lower/intcheck.h"

#    include <inttypes.h>
#    include <string.h>

/* What is read, and where its table begins: entries are in the order of codes, of s8 ones from -128 on. */
static const char *put_index(onnx_writer *w, int32_t i, const char *what, bool is_signed)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = onnx_tensor(w, s->out);
    const int32_t n = s->one_table ? 1 : y->c, moved = is_signed && !onnx_moved(w, s->in[0]) ? 128 : 0;
    const char *x = s->n_in ? onnx_codes(w, s->in[0], i, y->h, y->w, y->c) : what;
    const char *index = onnx_add(w->o, "Cast", onnx_name(w->o, "%s.index", what), &x, 1);
    onnx_int(w->o, "to", ONNX_INT32);
    if (n == 1 && !moved)
        return index;
    int32_t *first = nb_alloc(w->ctx, (size_t)n * sizeof *first);
    for (int32_t c = 0; first && c < n; c++)
        first[c] = 256 * c + moved;
    const int64_t dims[4] = {1, n, 1, 1};
    const char *in[2] = {index};
    if (first)
        in[1] = onnx_constant(w->o, onnx_name(w->o, "%s.first", what), ONNX_INT32, dims, 4, first,
                              (size_t)n * sizeof *first);
    nb_free(w->ctx, first);
    return first ? onnx_add(w->o, "Add", onnx_name(w->o, "%s.entry", what), in, 2) : NULL;
}

/* code = table[channel * 256 + x] */
static nb_status put_table(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const int64_t count = 256 * (int64_t)nb_estep_tables(s, onnx_tensor(w, s->out));
    const bool is_signed = s->n_in && onnx_tensor(w, s->in[0])->type == NB_EI_S8;
    const char *what = s->n_in ? w->m->steps[i].name : "pixels", *index = put_index(w, i, what, is_signed);
    uint8_t *table = nb_alloc(w->ctx, (size_t)count);
    if (!index || !table) {
        nb_free(w->ctx, table);
        return NB_E_NOMEM;
    }
    for (int64_t k = 0; k < count; k++) /* s8 moved by 128 is the top bit turned over */
        table[k] = (uint8_t)(s->table[is_signed ? k ^ 128 : k] ^ onnx_moved(w, s->out));
    const char *in[2] = {
        onnx_constant(w->o, onnx_name(w->o, "%s.table", what), onnx_type(w, s->out), &count, 1, table, (size_t)count),
        index};
    nb_free(w->ctx, table);
    w->name[s->out] = onnx_add(w->o, "Gather", w->m->tensors[s->out].name, in, 2);
    return NB_OK;
}

static void put_join(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const bool concat = s->kind == NB_STEP_CONCAT;
    const char *op = concat ? "Concat" : s->kind == NB_STEP_MUL ? "Mul" : s->mult[1] < 0 ? "Sub" : "Add";
    const char *in[NB_ENGINE_MAX_IN];
    for (int32_t k = 0; k < s->n_in; k++) {
        const char *what = onnx_name(w->o, "%s.dq.%d.%d", w->name[s->in[k]], i, k); /* x + x has two */
        in[k] = onnx_dequantize(w, what, s->in[k], w->name[s->in[k]]);
    }
    const char *real = onnx_add(w->o, op, onnx_name(w->o, "%s.real", w->m->steps[i].name), in, s->n_in);
    if (concat)
        onnx_int(w->o, "axis", 1);
    onnx_quantize(w, i, real);
}

static void put_maxpool(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const char *x = onnx_codes(w, s->in[0], i, g->h, g->w, g->c);
    const bool pools = !nb_geom_is_pixels(g);
    if (pools || !onnx_clamps(w, i)) {
        x = onnx_add(w->o, "MaxPool", onnx_unclamped(w, i), &x, 1);
        onnx_window(w, g);
    }
    onnx_clamp(w, i, x);
}

/* The mean of an even number n of codes is often halfway between two. The engine sends it up where its multiplier is 1
 * / n exactly, else away from zero or towards it, as the multiplier is above or below. Moving every mean that way by
 * less than half a step of the sum does the same here, and changes nothing else. */
static const char *settle_ties(onnx_writer *w, int32_t i, const char *mean, int32_t n)
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

/* From means over whole windows to those over their pixels of the image, whose number differs from place to place; ties
 * are settled as above. */
static const char *count_inside(onnx_writer *w, int32_t i, const char *mean)
{
    const nb_geom *g = &w->m->e.steps[i].geom;
    const char *name = w->m->steps[i].name, *in[2] = {mean};
    const int64_t dims[4] = {1, 1, g->oh, g->ow};
    const size_t bytes = (size_t)g->oh * (size_t)g->ow * sizeof(float);
    float *factor = nb_alloc(w->ctx, bytes), *move = nb_alloc(w->ctx, bytes);
    for (int32_t p = 0; factor && move && p < g->oh * g->ow; p++) {
        const int32_t n = nb_pool_pixels(g, p / g->ow, p % g->ow), whole = g->kh * g->kw;
        int32_t mult, shift;
        nb_avgpool_multiplier(n, &mult, &shift);
        const int64_t above = (int64_t)mult * n - ((int64_t)1 << shift);
        const double nudge = n % 2 || above == 0 ? 0 : above > 0 ? 0.25 / 256 / n : -0.25 / 256 / n;
        factor[p] = (float)((1 + nudge) * whole / n);
        move[p] = n % 2 || above != 0 ? 0 : (float)(0.25 * (double)w->m->tensors[w->m->e.steps[i].in[0]].scale / n);
    }
    in[1] = onnx_constant(w->o, onnx_name(w->o, "%s.inside", name), ONNX_FLOAT, dims, 4, factor, bytes);
    in[0] = onnx_add(w->o, "Mul", onnx_name(w->o, "%s.counted", name), in, 2);
    in[1] = onnx_constant(w->o, onnx_name(w->o, "%s.moves", name), ONNX_FLOAT, dims, 4, move, bytes);
    nb_free(w->ctx, factor);
    nb_free(w->ctx, move);
    return onnx_add(w->o, "Add", onnx_name(w->o, "%s.settled", name), in, 2);
}

static void put_avgpool(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const char *x = onnx_codes(w, s->in[0], i, g->h, g->w, g->c);
    x = onnx_dequantize(w, onnx_name(w->o, "%s.dq.%d", w->name[s->in[0]], i), s->in[0], x);
    const bool global = g->kh == g->h && g->kw == g->w && nb_geom_inside(g);
    x = onnx_add(w->o, global ? "GlobalAveragePool" : "AveragePool", onnx_name(w->o, "%s.mean", w->m->steps[i].name),
                 &x, 1);
    if (!global)
        onnx_window(w, g);
    if (!nb_geom_inside(g))
        onnx_int(w->o, "count_include_pad", 1);
    if (s->kind == NB_STEP_AVGPOOL_INSIDE && !nb_geom_inside(g))
        x = count_inside(w, i, x);
    else if (g->kh * g->kw % 2 == 0 && w->m->tensors[s->in[0]].scale == w->m->tensors[s->out].scale)
        x = settle_ties(w, i, x, g->kh * g->kw);
    onnx_quantize(w, i, x);
}

static nb_status put_take(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *in = onnx_tensor(w, s->in[0]), *out = onnx_tensor(w, s->out);
    const nb_take t = {
        .in = {in->h, in->w, in->c}, .out = {out->h, out->w, out->c}, .index = {s->index[0], s->index[1], s->index[2]}};
    const onnx_values v = {4, onnx_type(w, s->out), out->zero + onnx_moved(w, s->out)};
    const char *name = w->m->tensors[s->out].name, *x = w->name[s->in[0]];
    w->name[s->out] = name;
    return s->kind == NB_STEP_TAKE ? onnx_take(w->ctx, w->o, name, x, &t, &v)
                                   : onnx_blend(w->ctx, w->o, name, x, &t, v.type);
}

static nb_status put_step(onnx_writer *w, int32_t i)
{
    switch ((nb_step_kind)w->m->e.steps[i].kind) {
    case NB_STEP_TABLE:
        return put_table(w, i);
    case NB_STEP_CONV:
        return onnx_conv(w, i);
    case NB_STEP_ADD:
    case NB_STEP_CONCAT:
    case NB_STEP_MUL:
        put_join(w, i);
        break;
    case NB_STEP_MAXPOOL:
        put_maxpool(w, i);
        break;
    case NB_STEP_AVGPOOL:
    case NB_STEP_AVGPOOL_INSIDE:
        put_avgpool(w, i);
        break;
    case NB_STEP_TAKE:
    case NB_STEP_BLEND:
        return put_take(w, i);
    case NB_STEP_KINDS:
        break;
    }
    return NB_OK;
}

/* For import, which reads multipliers to the last bit from here (src/import/qnet_close.c has the format). */
static nb_status put_multipliers(onnx_writer *w)
{
    nb_text t;
    nb_text_init(w->ctx, &t);
    for (int32_t i = 0; i < w->m->e.n_steps; i++) {
        const nb_estep *s = &w->m->e.steps[i];
        const bool logits = onnx_tensor(w, s->out)->type == NB_EI_S32;
        uint32_t bits;
        memcpy(&bits, &w->m->tensors[s->out].scale, sizeof bits);
        if (s->kind == NB_STEP_TABLE)
            nb_text_printf(&t, "%s\t%08" PRIx32 " %" PRId32 " 0\n", w->m->tensors[s->out].name, bits,
                           onnx_tensor(w, s->out)->zero + onnx_moved(w, s->out));
        if (!s->mult && !logits)
            continue;
        nb_text_printf(&t, "%s\t%08" PRIx32, logits ? "logits" : w->m->tensors[s->out].name, bits);
        for (int32_t k = 0; s->mult && k < nb_estep_mults(s); k++)
            nb_text_printf(&t, " %" PRId32 " %" PRId32, s->mult[k], s->shift[s->kind == NB_STEP_ADD ? 0 : k]);
        nb_text_add(&t, "\n");
    }
    const nb_status st = t.st;
    if (st == NB_OK && t.s)
        onnx_meta(w->o, "nibble.multipliers", t.s);
    nb_text_free(&t);
    return st;
}

static void put_ends(onnx_writer *w)
{
    const nb_intmodel *m = w->m;
    const int32_t t = nb_intmodel_output(m);
    const nb_etensor *in = onnx_tensor(w, nb_intmodel_input(m)), *out = onnx_tensor(w, t);
    const int64_t pixels[4] = {-1, in->c, in->h, in->w}, logits[2] = {-1, m->classes}, shape[2] = {0, m->classes},
                  two = 2;
    const char *x = w->name[t];
    if (out->h * out->w > 1) { /* in the engine's order */
        x = onnx_add(w->o, "Transpose", "logits.nhwc", &x, 1);
        onnx_ints(w->o, "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    }
    const char *both[2] = {x, onnx_constant(w->o, "logits.shape", ONNX_INT64, &two, 1, shape, sizeof shape)};
    const bool real = out->type == NB_EI_S32;
    const char *flat = onnx_add(w->o, "Reshape", real ? "logits" : "logits.codes", both, 2);
    if (!real)
        onnx_dequantize(w, "logits", t, flat);
    onnx_value(w->o, false, "pixels", ONNX_UINT8, pixels, 4);
    onnx_value(w->o, true, "logits", ONNX_FLOAT, logits, 2);
    onnx_meta(w->o, "config", m->config);
    onnx_features(w->o, m->features);
}

/* 0: INT4 where it saves something. */
static nb_status choose_opset(nb_ctx *ctx, const nb_intmodel *m, const nb_export_options *options, int32_t *out)
{
    const int32_t asked = options->opset;
    if (asked && asked != ONNX_OPSET_INT8 && asked != ONNX_OPSET_INT4)
        return nb_fail(ctx, NB_E_CONFIG, "opset: %d: must be %d (weights as int8) or %d (up to 4 bits as INT4)", asked,
                       ONNX_OPSET_INT8, ONNX_OPSET_INT4);
    if (options->onnx_form == NB_ONNX_OPERATOR && asked == ONNX_OPSET_INT4)
        return nb_fail(ctx, NB_E_CONFIG, "opset: %d: INT4 weights have no operator form: take opset %d, or form qdq",
                       asked, ONNX_OPSET_INT8);
    *out = asked ? asked : ONNX_OPSET_INT8;
    for (int32_t i = 0; !asked && options->onnx_form == NB_ONNX_QDQ && i < m->e.n_steps; i++)
        if (onnx_fits_int4(m, i))
            *out = ONNX_OPSET_INT4;
    return NB_OK;
}

static nb_status write_onnx(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options)
{
    static const nb_export_options defaults = {0};
    const nb_export_options *o = options ? options : &defaults;
    onnx_writer w = {.ctx = ctx, .m = m, .form = o->onnx_form};
    NB_TRY(choose_opset(ctx, m, o, &w.opset));
    w.name = nb_alloc(ctx, (size_t)m->e.n_tensors * sizeof *w.name);
    nb_status st = w.name ? onnx_create(ctx, w.opset, &w.o) : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < m->e.n_steps; i++)
        st = put_step(&w, i);
    if (st == NB_OK)
        st = put_multipliers(&w);
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
                                      .help = "ONNX, for run times",
                                      .write = write_onnx,
                                      .write_float = nb_onnx_write_float};
