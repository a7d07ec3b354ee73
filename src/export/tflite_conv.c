/* tflite_conv.c - convolutions and linear layers in TensorFlow Lite.
 *
 * A channel's weight scale is what the engine's multiplier says, mult / 2^shift * s_y / s_x, so that the run time's
 * own multiplier s_x * s_w / s_y is the engine's, to a float's 24 bits. Bias scales are s_x * s_w.
 *
 * Int8 weights that leave bits of a byte unused are multiplied by a power of two, and their scales divided: a run time
 * that rounds products twice then rounds them the first time to more bits.
 *
 * Int32 logits have no int8 or int32 form. They become int16: the input goes to int16 on its own grid less the zero
 * point (QUANTIZE, exact), and the layer is an int16 one with int8 weights. A step of theirs is the engine's times the
 * smallest power of two with which no logit can saturate: no data are needed to find it, and 8 bits would make too many
 * images ties. */
#include "export/tflite_writer.h"

#include "base/check.h"
#include "engine/engine_check.h"
#include "export/cgen.h"
#include "lower/pack.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const nb_estep *s;
    const char *name;
    int64_t n; /* weights */
    int32_t channels, n_scales;
    int32_t up; /* weights and biases are the engine's times 2^up */
    bool int4, depthwise, linear, logits;
    double largest;      /* of the engine's logits */
    int8_t *weights;     /* [n] as they lie in the file, unpacked */
    uint8_t *packed;     /* two to a byte */
    float *scale, *sums; /* [channels] of the weights, of the sums they make with the input */
    int32_t *bias;       /* [channels] for codes less their zero point */
    int64_t *wide;       /* [channels] the same, as int16 layers have them */
} layer;

static void layer_close(nb_ctx *ctx, layer *l)
{
    nb_free(ctx, l->weights);
    nb_free(ctx, l->packed);
    nb_free(ctx, l->scale);
    nb_free(ctx, l->bias);
    nb_free(ctx, l->wide);
}

static bool fits_int4(const tfl_writer *w, int32_t i, const layer *l)
{
    bool fits = w->int4 && !l->logits && w->m->steps[i].weight_bits <= 4;
    for (int64_t k = 0; fits && k < l->n; k++)
        fits = l->s->weights[k] >= -8 && l->s->weights[k] <= 7;
    return fits;
}

/* Depthwise weights are [1, kh, kw, oc], others [oc, kh, kw, c / groups] as the engine's. */
static void arrange(const layer *l)
{
    const int64_t window = l->n / l->channels;
    for (int32_t o = 0; o < l->channels; o++)
        for (int64_t k = 0; k < window; k++)
            l->weights[l->depthwise ? k * l->channels + o : o * window + k] =
                (int8_t)(l->s->weights[o * window + k] * (1 << l->up));
}

/* The largest magnitude that a channel's sum can have: of the whole, and of any part of it and the bias. */
static int64_t largest_sum(const tfl_writer *w, const layer *l, int32_t c, int64_t *parts)
{
    const nb_erange x = nb_engine_codes(&w->m->e, l->s->in[0]);
    const int64_t zero = tfl_etensor(w, l->s->in[0])->zero, row = l->n / l->channels;
    int64_t lo = l->bias[c], hi = l->bias[c];
    *parts = llabs(lo);
    for (int64_t k = 0; k < row; k++) {
        const int64_t v = l->s->weights[c * row + k], a = v * (x.lo - zero), b = v * (x.hi - zero);
        lo += a < b ? a : b;
        hi += a < b ? b : a;
        *parts += llabs(a) > llabs(b) ? llabs(a) : llabs(b);
    }
    return llabs(lo) > llabs(hi) ? llabs(lo) : llabs(hi);
}

/* Of the engine's logits. */
static double largest_logit(const tfl_writer *w, const layer *l)
{
    double largest = 1;
    int64_t parts;
    for (int32_t c = 0; c < l->channels; c++)
        largest = fmax(largest, (double)largest_sum(w, l, c, &parts) * tfl_factor(l->s, c));
    return largest;
}

/* How many bits neither a weight nor a sum uses. */
static int32_t unused_bits(const tfl_writer *w, const layer *l)
{
    int32_t weight = 1, up = 0;
    int64_t sum = 1, parts;
    for (int64_t k = 0; k < l->n; k++)
        weight = abs(l->s->weights[k]) > weight ? abs(l->s->weights[k]) : weight;
    for (int32_t c = 0; c < l->channels; c++) {
        largest_sum(w, l, c, &parts);
        sum = parts > sum ? parts : sum;
    }
    while ((weight << (up + 1)) <= INT8_MAX && (sum << (up + 1)) <= INT32_MAX)
        up++;
    return up;
}

/* What a channel's sums are multiplied by. XNNPACK takes less than 256; from 255 on every sum but 0 saturates, so that
 * it does not matter how much more it is. */
static double factor_of(const layer *l, int32_t c)
{
    const double factor = tfl_factor(l->s, c);
    return factor > UINT8_MAX && !l->logits ? UINT8_MAX : factor;
}

static nb_status set_scales(const tfl_writer *w, layer *l)
{
    const nb_estep *s = l->s;
    const double x = (double)w->m->tensors[s->in[0]].scale, y = (double)w->m->tensors[s->out].scale;
    bool same = true;
    for (int32_t c = 0; c < l->channels; c++) {
        const double scale = ldexp(factor_of(l, c) * y / x, -l->up);
        l->scale[c] = (float)scale;
        l->sums[c] = (float)(scale * x);
        l->bias[c] *= 1 << l->up;
        l->wide[c] = l->bias[c];
        same = same && l->scale[c] == l->scale[0];
        if (!(l->scale[c] >= FLT_MIN && l->scale[c] <= FLT_MAX && l->sums[c] >= FLT_MIN))
            return nb_fail(w->ctx, NB_E_UNSUPPORTED,
                           "%s: channel %d: its weights would need a scale of %g, which is no "
                           "normal float",
                           l->name, c, scale);
    }
    l->n_scales = same ? 1 : l->channels;
    return NB_OK;
}

static nb_status layer_open(const tfl_writer *w, int32_t i, layer *l)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    *l = (layer){.s = s, .name = w->m->steps[i].name, .n = nb_estep_weights(s), .channels = g->oc};
    l->depthwise = g->groups > 1 && g->groups == g->c;
    l->linear = g->h == 1 && g->w == 1 && g->kh == 1 && g->kw == 1 && g->groups == 1 && nb_geom_inside(g);
    l->logits = tfl_etensor(w, s->out)->type == NB_EI_S32;
    l->int4 = fits_int4(w, i, l);
    l->weights = nb_alloc(w->ctx, (size_t)l->n);
    l->packed = nb_alloc(w->ctx, nb_pack_bytes(l->n, 4));
    l->scale = nb_alloc(w->ctx, 2 * (size_t)l->channels * sizeof *l->scale);
    l->bias = nb_alloc(w->ctx, (size_t)l->channels * sizeof *l->bias);
    l->wide = nb_alloc(w->ctx, (size_t)l->channels * sizeof *l->wide);
    nb_status st = l->weights && l->packed && l->scale && l->bias && l->wide ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK)
        st = cgen_real_bias(w->ctx, w->m, i, l->bias);
    if (st == NB_OK) {
        l->sums = l->scale + l->channels;
        l->largest = largest_logit(w, l);
        l->up = l->int4 ? 0 : unused_bits(w, l);
        arrange(l);
        st = set_scales(w, l);
    }
    if (st != NB_OK)
        layer_close(w->ctx, l);
    return st;
}

/* Kernels of microcontrollers have one scale for INT4 weights of a fully connected layer, but many for a convolution's. */
static tfl_operator operator_of(const layer *l)
{
    return l->depthwise                                  ? TFL_DEPTHWISE_CONV_2D
           : l->linear && (l->n_scales == 1 || !l->int4) ? TFL_FULLY_CONNECTED
                                                         : TFL_CONV_2D;
}

static int32_t put_weights(tfl_writer *w, int32_t i, const layer *l, tfl_operator op)
{
    const nb_geom *g = &l->s->geom;
    const int32_t inputs = g->c / g->groups;
    const tfl_shape shape = op == TFL_FULLY_CONNECTED     ? (tfl_shape){2, {g->oc, g->c}}
                            : op == TFL_DEPTHWISE_CONV_2D ? (tfl_shape){4, {1, g->kh, g->kw, g->oc}}
                                                          : (tfl_shape){4, {g->oc, g->kh, g->kw, inputs}};
    if (l->int4)
        nb_pack(l->packed, l->weights, l->n, 4);
    const int32_t made =
        tfl_constant(w->o, tfl_printf(w->o, "%s.weight", w->m->steps[i].name), l->int4 ? TFL_INT4 : TFL_INT8, shape,
                     l->int4 ? (const void *)l->packed : l->weights, l->int4 ? nb_pack_bytes(l->n, 4) : (size_t)l->n);
    tfl_quantize(w->o, made, l->scale, op == TFL_FULLY_CONNECTED ? l->n_scales : l->channels, 0,
                 op == TFL_DEPTHWISE_CONV_2D ? 3 : 0);
    return made;
}

static int32_t put_bias(tfl_writer *w, const layer *l, tfl_operator op)
{
    const size_t n = (size_t)l->channels;
    const int32_t made = tfl_constant(w->o, tfl_printf(w->o, "%s.bias", l->name), l->logits ? TFL_INT64 : TFL_INT32,
                                      (tfl_shape){1, {l->channels}}, l->logits ? (const void *)l->wide : l->bias,
                                      n * (l->logits ? sizeof *l->wide : sizeof *l->bias));
    tfl_quantize(w->o, made, l->sums, op == TFL_FULLY_CONNECTED ? l->n_scales : l->channels, 0, 0);
    return made;
}

/* The version that has INT4 weights, int16 inputs or groups; 0: the usual one. */
static int32_t version_of(const layer *l, tfl_operator op)
{
    const bool fc = op == TFL_FULLY_CONNECTED;
    if (l->int4)
        return fc ? 10 : 7;
    if (op == TFL_CONV_2D && l->s->geom.groups > 1)
        return 6;
    return !l->logits ? 0 : fc ? 7 : op == TFL_CONV_2D ? 4 : 5;
}

static tfl_options options_of(const layer *l, tfl_operator op, tfl_padding how, tfl_activation fused)
{
    const nb_geom *g = &l->s->geom;
    const int32_t pad = (int32_t)how, a = (int32_t)fused, version = version_of(l, op);
    if (op == TFL_FULLY_CONNECTED)
        return (tfl_options){{a}, version};
    if (op == TFL_DEPTHWISE_CONV_2D)
        return (tfl_options){{pad, g->stride.w, g->stride.h, g->oc / g->c, a, g->dilation.w, g->dilation.h}, version};
    return (tfl_options){{pad, g->stride.w, g->stride.h, a, g->dilation.w, g->dilation.h}, version};
}

/* x, which holds int8 codes, as int16 without a zero point. */
static int32_t put_int16(tfl_writer *w, int32_t i, int32_t x)
{
    const int32_t t = w->m->e.steps[i].in[0];
    const int32_t made =
        tfl_tensor(w->o, tfl_printf(w->o, "%s.int16", w->m->tensors[t].name), TFL_INT16, tfl_shape_of(w->o, x));
    tfl_quantize(w->o, made, &w->m->tensors[t].scale, 1, 0, 0);
    tfl_op(w->o, TFL_QUANTIZE, &x, 1, made, (tfl_options){.version = 2});
    return made;
}

static void put_logits(tfl_writer *w, const layer *l, tfl_operator op, const int32_t *in, tfl_shape shape,
                       tfl_options options)
{
    const int32_t t = l->s->out;
    const double over = l->largest / INT16_MAX;
    const float scale = (float)ldexp((double)w->m->tensors[t].scale, over > 1 ? (int)ceil(log2(over)) : 0);
    const int32_t y = tfl_tensor(w->o, w->m->tensors[t].name, TFL_INT16, shape);
    tfl_quantize(w->o, y, &scale, 1, 0, 0);
    tfl_op(w->o, op, in, 3, y, options);
    w->at[t] = y;
}

nb_status tfl_conv(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    layer l;
    NB_TRY(layer_open(w, i, &l));
    const tfl_operator op = operator_of(&l);
    const bool flat = op == TFL_FULLY_CONNECTED;
    const tfl_shape shape = flat ? tfl_shape2(g->oc) : tfl_shape4(g->oh, g->ow, g->oc);
    tfl_padding how;
    int32_t in[3] = {tfl_codes(w, s->in[0], flat ? tfl_shape2(g->c) : tfl_shape4(g->h, g->w, g->c))};
    in[0] = tfl_padded(w, i, in[0], false, &how);
    if (l.logits)
        in[0] = put_int16(w, i, in[0]);
    in[1] = put_weights(w, i, &l, op);
    in[2] = put_bias(w, &l, op);
    const tfl_activation fused = l.logits ? TFL_NONE : tfl_fused(w, i);
    const tfl_options options = options_of(&l, op, how, fused);
    if (l.logits)
        put_logits(w, &l, op, in, shape, options);
    else
        tfl_output(w, i, op, in, 3, shape, options, fused);
    layer_close(w->ctx, &l);
    return NB_OK;
}
