/* onnx_conv.c - convolutions and linear layers in ONNX, in both forms.
 *
 * A channel's weight scale is what the multiplier says: mult / 2^shift * s_y / s_x, so batch norm is in it.
 *
 * Levels have no form of their own in ONNX: such weights are int8.
 *
 * qdq       Conv on dequantized codes, weights (INT4 with opset 21) and int32 bias; QuantizeLinear.
 * operator  QLinearConv with int8 weights and int32 bias. The logits, which are 32 bits wide, come from ConvInteger and
 *           Add: the engine's accumulators exactly. Then mult / 2^shift, Round where the engine rounds, and the scale.
 */
#include "export/onnx_writer.h"

#ifdef NB_ONNX

#    include "base/check.h"
#    include "engine/engine_check.h"
#    include "export/cgen.h"
#    include "lower/pack.h"

#    include <math.h>
#    include <string.h>

typedef struct { /* the constants of one layer, before they have names; all in one allocation each */
    const nb_estep *s;
    const char *name;
    int64_t n, channels; /* weights; output channels */
    bool int4;
    int8_t *oihw;        /* [n] */
    uint8_t *packed;     /* [n] in halves of bytes */
    float *scale, *sums; /* [channels] of the weights, of the sums they make with the input */
    int32_t *bias;       /* [channels] */
} layer;

bool onnx_fits_int4(const nb_intmodel *m, int32_t i)
{
    const nb_sinfo *info = &m->steps[i];
    const nb_estep *s = &m->e.steps[i];
    bool fits = s->kind == NB_STEP_CONV && info->weight_bits <= 4 && !info->level;
    for (int64_t k = 0, n = fits ? nb_estep_weights(s) : 0; fits && k < n; k++)
        fits = s->weights[k] >= -8 && s->weights[k] <= 7; /* not those less a zero point, or -8..7 negated */
    return fits;
}

/* OHWI codes as OIHW. */
static void transpose(int8_t *to, const int8_t *from, const nb_geom *g)
{
    const int32_t c = g->c / g->groups;
    for (int32_t o = 0; o < g->oc; o++)
        for (int32_t i = 0; i < c; i++)
            for (int32_t k = 0; k < g->kh * g->kw; k++)
                *to++ = from[((int64_t)o * g->kh * g->kw + k) * c + i];
}

static double ratio(const nb_estep *s, int32_t c)
{
    return s->mult ? ldexp((double)s->mult[c], -s->shift[c]) : 1.0;
}

static void layer_close(nb_ctx *ctx, layer *l)
{
    nb_free(ctx, l->oihw);
    nb_free(ctx, l->packed);
    nb_free(ctx, l->scale);
    nb_free(ctx, l->bias);
}

static nb_status layer_open(const onnx_writer *w, int32_t i, layer *l)
{
    const nb_estep *s = &w->m->e.steps[i];
    const double x = (double)w->m->tensors[s->in[0]].scale, y = (double)w->m->tensors[s->out].scale;
    *l = (layer){.s = s, .name = w->m->steps[i].name, .n = nb_estep_weights(s), .channels = s->geom.oc};
    l->int4 = onnx_fits_int4(w->m, i) && w->opset >= ONNX_OPSET_INT4;
    l->oihw = nb_alloc(w->ctx, (size_t)l->n);
    l->packed = nb_alloc(w->ctx, nb_pack_bytes(l->n, 4));
    l->scale = nb_alloc(w->ctx, 2 * (size_t)l->channels * sizeof *l->scale);
    l->bias = nb_alloc(w->ctx, (size_t)l->channels * sizeof *l->bias);
    nb_status st = l->oihw && l->packed && l->scale && l->bias ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK)
        st = cgen_real_bias(w->ctx, w->m, i, l->bias);
    if (st != NB_OK) {
        layer_close(w->ctx, l);
        return st;
    }
    l->sums = l->scale + l->channels;
    for (int32_t c = 0; c < s->geom.oc; c++) {
        const double scale = ratio(s, c) * y / x;
        l->scale[c] = (float)scale;
        l->sums[c] = (float)(scale * x);
    }
    transpose(l->oihw, s->weights, &s->geom);
    return NB_OK;
}

/* ---- constants ---- */

static const char *put_codes(onnx_writer *w, layer *l, const char *what, const int64_t *dims, int32_t n_dims, int64_t n)
{
    if (l->int4)
        nb_pack(l->packed, l->oihw, n, 4);
    return onnx_constant(w->o, onnx_name(w->o, "%s.%s", l->name, what), l->int4 ? ONNX_INT4 : ONNX_INT8, dims, n_dims,
                         l->int4 ? (const void *)l->packed : l->oihw, l->int4 ? nb_pack_bytes(n, 4) : (size_t)n);
}

static const char *put_weight(onnx_writer *w, layer *l)
{
    const nb_geom *g = &l->s->geom;
    return put_codes(w, l, "weight", (const int64_t[]){g->oc, g->c / g->groups, g->kh, g->kw}, 4, l->n);
}

/* All 0, spelled out because not every run time knows the default. Uses up the codes. */
static const char *put_weight_zero(onnx_writer *w, layer *l)
{
    memset(l->oihw, 0, (size_t)l->n);
    return put_codes(w, l, "weight.zero", &l->channels, 1, l->channels);
}

static const char *put_per_channel(onnx_writer *w, const layer *l, const char *what, const float *v)
{
    return onnx_constant(w->o, onnx_name(w->o, "%s.%s", l->name, what), ONNX_FLOAT, &l->channels, 1, v,
                         (size_t)l->channels * sizeof *v);
}

/* axes: 1, or 4 to be added to [n, oc, h, w]. */
static const char *put_bias(onnx_writer *w, const layer *l, int32_t axes)
{
    const int64_t dims[4] = {1, l->channels, 1, 1};
    return onnx_constant(w->o, onnx_name(w->o, "%s.bias", l->name), ONNX_INT32, axes == 4 ? dims : &l->channels, axes,
                         l->bias, (size_t)l->channels * sizeof *l->bias);
}

static void put_attributes(onnx_writer *w, const nb_geom *g)
{
    onnx_window(w, g);
    onnx_ints(w->o, "dilations", (const int64_t[]){g->dilation.h, g->dilation.w}, 2);
    onnx_int(w->o, "group", g->groups);
}

/* ---- qdq ---- */

static void put_conv(onnx_writer *w, int32_t i, layer *l, const char *x)
{
    const nb_estep *s = l->s;
    const char *in[3], *at[3] = {put_weight(w, l), put_per_channel(w, l, "weight.scale", l->scale)};
    at[2] = put_weight_zero(w, l);
    in[1] = onnx_add(w->o, "DequantizeLinear", onnx_name(w->o, "%s.weight.dq", l->name), at, 3);
    onnx_int(w->o, "axis", 0);
    at[0] = put_bias(w, l, 1);
    at[1] = put_per_channel(w, l, "bias.scale", l->sums);
    in[2] = onnx_add(w->o, "DequantizeLinear", onnx_name(w->o, "%s.bias.dq", l->name), at, 2);
    onnx_int(w->o, "axis", 0);
    in[0] = onnx_dequantize(w, onnx_name(w->o, "%s.dq.%d", w->name[s->in[0]], i), s->in[0], x);
    const char *y = onnx_add(w->o, "Conv", onnx_name(w->o, "%s.conv", l->name), in, 3);
    put_attributes(w, &s->geom);
    if (onnx_tensor(w, s->out)->type == NB_EI_S32)
        w->name[s->out] = y; /* real logits */
    else
        onnx_quantize(w, i, y);
}

/* ---- operator ---- */

static void put_qlinear(onnx_writer *w, int32_t i, layer *l, const char *x)
{
    const nb_estep *s = l->s;
    const char *in[9] = {x};
    in[1] = onnx_grid(w, onnx_name(w->o, "%s.x", l->name), s->in[0], &in[2]);
    in[3] = put_weight(w, l);
    in[4] = put_per_channel(w, l, "weight.scale", l->scale);
    in[5] = put_weight_zero(w, l);
    in[6] = onnx_grid(w, onnx_name(w->o, "%s.y", l->name), s->out, &in[7]);
    in[8] = put_bias(w, l, 1);
    const char *y = onnx_add(w->o, "QLinearConv", onnx_unclamped(w, i), in, 9);
    put_attributes(w, &s->geom);
    onnx_clamp(w, i, y);
}

static const char *times(onnx_writer *w, const char *name, const char *x, const char *factor)
{
    return onnx_add(w->o, "Mul", name, (const char *const[]){x, factor}, 2);
}

static void put_logits(onnx_writer *w, layer *l, const char *x)
{
    const nb_estep *s = l->s;
    const int64_t dims[4] = {1, l->channels, 1, 1};
    const char *zero, *in[3] = {x};
    onnx_grid(w, onnx_name(w->o, "%s.x", l->name), s->in[0], &zero);
    in[1] = put_weight(w, l);
    in[2] = zero;
    in[0] = onnx_add(w->o, "ConvInteger", onnx_name(w->o, "%s.sum", l->name), in, 3);
    put_attributes(w, &s->geom);
    in[1] = put_bias(w, l, 4);
    const char *y = onnx_add(w->o, "Add", onnx_name(w->o, "%s.acc", l->name), in, 2);
    y = onnx_add(w->o, "Cast", onnx_name(w->o, "%s.acc.float", l->name), &y, 1);
    onnx_int(w->o, "to", ONNX_FLOAT);
    if (s->mult) {
        for (int32_t c = 0; c < s->geom.oc; c++)
            l->scale[c] = (float)ratio(s, c);
        y = times(w, onnx_name(w->o, "%s.rescaled", l->name), y,
                  onnx_constant(w->o, onnx_name(w->o, "%s.ratio", l->name), ONNX_FLOAT, dims, 4, l->scale,
                                (size_t)l->channels * sizeof *l->scale));
        y = onnx_add(w->o, "Round", onnx_name(w->o, "%s.rounded", l->name), &y, 1);
    }
    w->name[s->out] =
        times(w, onnx_name(w->o, "%s.real", l->name), y,
              onnx_scalar(w->o, onnx_name(w->o, "%s.step", l->name), ONNX_FLOAT, (double)w->m->tensors[s->out].scale));
}

nb_status onnx_conv(onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    layer l;
    NB_TRY(layer_open(w, i, &l));
    const char *x = onnx_codes(w, s->in[0], i, g->h, g->w, g->c);
    if (w->form == NB_ONNX_QDQ)
        put_conv(w, i, &l, x);
    else if (onnx_tensor(w, s->out)->type == NB_EI_S32)
        put_logits(w, &l, x);
    else
        put_qlinear(w, i, &l, x);
    layer_close(w->ctx, &l);
    return NB_OK;
}

#endif
