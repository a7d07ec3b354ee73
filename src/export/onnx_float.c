/* onnx_float.c - a float network as ONNX, as PyTorch would write it: NCHW, OIHW, one node per layer, opset 13.
 *
 * The input are normalised images; what they are normalised with stands in the metadata ("mean", "std"), so that import
 * finds it again. Parameters keep their names: import gives the same tensors back. */
#include "export/onnx_float.h"

#include "base/check.h"
#include "base/numtext.h"

#ifdef NB_ONNX

#    include "core/oihw.h"
#    include "export/onnx_each.h"
#    include "export/onnx_model.h"
#    include "export/onnx_take.h"

#    include <math.h>
#    include <stdio.h>
#    include <string.h>

enum { OPSET = 13, MAX_DIMS = 4 };

typedef struct {
    nb_ctx *ctx;
    const nb_graph *g;
    onnx_model *o;
    const char **name; /* [g->n] of the values */
} writer;

static const char *in_name(const writer *w, const nb_node *n, int32_t k)
{
    return w->name[n->in[k]->id];
}

/* The leaf in their order as a constant of its name; window: as [o, i, y, x], else as a matrix or a vector. */
static nb_status put_leaf(writer *w, const nb_node *layer, const nb_node *leaf, bool window, const char **name)
{
    const nb_oihw r = nb_oihw_of(layer, leaf);
    const int64_t count = nb_count(&leaf->out), matrix[2] = {r.o, r.i};
    int64_t image[4];
    nb_oihw_sizes(&r, image);
    const bool vector = leaf->out.shape.ndim == 1;
    const float *from = leaf->out.data;
    float *to = nb_alloc(w->ctx, (size_t)count * sizeof *to);
    if (!to)
        return NB_E_NOMEM;
    for (int64_t o = 0; o < r.o; o++)
        for (int64_t y = 0; y < r.y; y++)
            for (int64_t x = 0; x < r.x; x++)
                for (int64_t i = 0; i < r.i; i++)
                    to[nb_oihw_place(&r, o, y, x, i)] = *from++;
    *name = onnx_constant(w->o, leaf->name, ONNX_FLOAT,
                          vector   ? &count
                          : window ? image
                                   : matrix,
                          vector   ? 1
                          : window ? 4
                                   : 2,
                          to, (size_t)count * sizeof *to);
    nb_free(w->ctx, to);
    return NB_OK;
}

static void put_window(writer *w, const nb_geom *g)
{
    onnx_ints(w->o, "kernel_shape", (const int64_t[]){g->kh, g->kw}, 2);
    onnx_ints(w->o, "strides", (const int64_t[]){g->stride.h, g->stride.w}, 2);
    onnx_ints(w->o, "pads", (const int64_t[]){g->pad.top, g->pad.left, g->pad.bottom, g->pad.right}, 4);
}

/* Is n the zeros between pixels of a transposed convolution, and nothing else? */
static bool is_between(const nb_node *n)
{
    const nb_hw *between = nb_bound_key(n, "between", NB_K_HW);
    if (!between || (between->h == 0 && between->w == 0))
        return false;
    const nb_take *t = n->priv;
    return t->out[0] == (t->in[0] - 1) * (between->h + 1) + 1 && t->out[1] == (t->in[1] - 1) * (between->w + 1) + 1 &&
           t->out[2] == t->in[2];
}

/* Zeros between pixels as a transposed convolution of its own, with one weight of 1 for each channel. */
static nb_status put_between(writer *w, const nb_node *n)
{
    const nb_hw *between = nb_bound_key(n, "between", NB_K_HW);
    const int32_t c = nb_channels(&n->out);
    const int64_t dims[4] = {c, 1, 1, 1};
    float *ones = nb_alloc(w->ctx, (size_t)c * sizeof *ones);
    if (!ones)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < c; i++)
        ones[i] = 1;
    const char *in[2] = {in_name(w, n, 0), onnx_constant(w->o, onnx_name(w->o, "%s.ones", n->name), ONNX_FLOAT, dims, 4,
                                                         ones, (size_t)c * sizeof *ones)};
    w->name[n->id] = onnx_add(w->o, "ConvTranspose", n->name, in, 2);
    onnx_ints(w->o, "kernel_shape", (const int64_t[]){1, 1}, 2);
    onnx_ints(w->o, "strides", (const int64_t[]){between->h + 1, between->w + 1}, 2);
    onnx_int(w->o, "group", c);
    nb_free(w->ctx, ones);
    return NB_OK;
}

/* A pad that only its convolution reads goes into that. */
static bool goes_into_conv(const writer *w, const nb_node *n)
{
    const nb_node *r = nb_node_only_reader(w->g, n);
    const bool *turned = r ? nb_bound_key(r, "turned", NB_K_BOOL) : NULL;
    return turned && *turned && is_between(n);
}

/* Rows that input k of n holds, in the order of `like`, whose order others have as well; NULL: in ours. */
static nb_status put_order(writer *w, const nb_node *n, int32_t k, const nb_node *like, const char **out)
{
    const nb_node *x = n->in[k];
    *out = in_name(w, n, k);
    if (x->out.shape.ndim != 2)
        return NB_OK;
    const int64_t count = nb_channels(&x->out);
    int64_t *index = nb_alloc(w->ctx, (size_t)count * sizeof *index);
    bool same = true;
    if (!index)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < count; i++) {
        const int64_t to = like ? nb_oihw_column(like, i) : i;
        index[to] = nb_oihw_column(x, i);
        same = same && index[to] == to;
    }
    if (!same) {
        const char *both[2] = {*out, onnx_constant(w->o, onnx_name(w->o, "%s.order.%d", n->name, k), ONNX_INT64, &count,
                                                   1, index, (size_t)count * sizeof *index)};
        *out = onnx_add(w->o, "Gather", onnx_name(w->o, "%s.ordered.%d", n->name, k), both, 2);
        onnx_int(w->o, "axis", 1);
    }
    nb_free(w->ctx, index);
    return NB_OK;
}

static nb_status put_take(writer *w, const nb_node *n)
{
    const onnx_values v = {n->out.shape.ndim, ONNX_FLOAT, 0};
    w->name[n->id] = n->name;
    const char *x;
    NB_TRY(put_order(w, n, 0, NULL, &x));
    return onnx_take(w->ctx, w->o, n->name, x, n->priv, &v);
}

static nb_status put_pad(writer *w, const nb_node *n)
{
    w->name[n->id] = n->name;
    if (goes_into_conv(w, n)) {
        w->name[n->id] = in_name(w, n, 0);
        return NB_OK;
    }
    if (is_between(n))
        return put_between(w, n);
    return put_take(w, n);
}

static nb_status put_upsample(writer *w, const nb_node *n)
{
    static const char *const aligns[] = {"half_pixel", "align_corners", "asymmetric"};
    const nb_take *t = n->priv;
    const bool bilinear = *(const int32_t *)nb_bound_key(n, "mode", NB_K_ENUM);
    const int32_t align = *(const int32_t *)nb_bound_key(n, "align", NB_K_ENUM);
    if (!bilinear && (t->out[0] % t->in[0] || t->out[1] % t->in[1]))
        return put_take(w, n); /* a scale in floats might miss a pixel */
    const float scales[4] = {1, 1, (float)t->out[0] / (float)t->in[0], (float)t->out[1] / (float)t->in[1]};
    const int64_t four = 4;
    const char *in[3] = {
        in_name(w, n, 0), "",
        onnx_constant(w->o, onnx_name(w->o, "%s.scales", n->name), ONNX_FLOAT, &four, 1, scales, sizeof scales)};
    w->name[n->id] = onnx_add(w->o, "Resize", n->name, in, 3);
    onnx_string(w->o, "mode", bilinear ? "linear" : "nearest");
    onnx_string(w->o, "coordinate_transformation_mode", aligns[align]);
    if (!bilinear)
        onnx_string(w->o, "nearest_mode", align == 2 ? "floor" : "round_prefer_ceil");
    return NB_OK;
}

/* What it is to others: strides, and pads that the output lacks (src/model/block_convtranspose2d.c). */
static nb_status put_turned(writer *w, const nb_node *n, const char *const *in, int32_t n_in)
{
    const nb_geom g = n->op->window(n);
    const nb_hw *between = is_between(n->in[0]) && goes_into_conv(w, n->in[0])
                               ? nb_bound_key(n->in[0], "between", NB_K_HW)
                               : &(const nb_hw){0, 0};
    const int64_t high = g.dilation.h * (g.kh - 1), wide = g.dilation.w * (g.kw - 1);
    const int64_t more[2] = {g.pad.bottom > high ? g.pad.bottom - high : 0,
                             g.pad.right > wide ? g.pad.right - wide : 0};
    w->name[n->id] = onnx_add(w->o, "ConvTranspose", n->name, in, n_in);
    onnx_ints(w->o, "kernel_shape", (const int64_t[]){g.kh, g.kw}, 2);
    onnx_ints(w->o, "strides", (const int64_t[]){between->h + 1, between->w + 1}, 2);
    onnx_ints(w->o, "pads",
              (const int64_t[]){high - g.pad.top, wide - g.pad.left, high - g.pad.bottom + more[0],
                                wide - g.pad.right + more[1]},
              4);
    onnx_ints(w->o, "output_padding", more, 2);
    onnx_ints(w->o, "dilations", (const int64_t[]){g.dilation.h, g.dilation.w}, 2);
    onnx_int(w->o, "group", g.groups);
    return NB_OK;
}

static nb_status put_conv(writer *w, const nb_node *n)
{
    const nb_node *weight = nb_leaf_of(n, "weight"), *bias = nb_leaf_of(n, "bias");
    const nb_geom g = n->op->window(n);
    const char *in[3] = {in_name(w, n, 0)};
    NB_TRY(put_leaf(w, n, weight, true, &in[1]));
    if (bias)
        NB_TRY(put_leaf(w, n, bias, false, &in[2]));
    if (nb_oihw_of(n, weight).turned)
        return put_turned(w, n, in, bias ? 3 : 2);
    w->name[n->id] = onnx_add(w->o, "Conv", n->name, in, bias ? 3 : 2);
    put_window(w, &g);
    onnx_ints(w->o, "dilations", (const int64_t[]){g.dilation.h, g.dilation.w}, 2);
    onnx_int(w->o, "group", g.groups);
    return NB_OK;
}

static const char *put_rows(writer *w, const nb_node *n, const char *as)
{
    const char *x = in_name(w, n, 0);
    if (n->in[0]->out.shape.ndim == 2)
        return x;
    x = onnx_add(w->o, "Flatten", as, &x, 1);
    onnx_int(w->o, "axis", 1);
    return x;
}

static nb_status put_linear(writer *w, const nb_node *n)
{
    const nb_node *bias = nb_leaf_of(n, "bias");
    const char *in[3] = {put_rows(w, n, onnx_name(w->o, "%s.rows", n->name))};
    NB_TRY(put_leaf(w, n, nb_leaf_of(n, "weight"), false, &in[1]));
    if (bias)
        NB_TRY(put_leaf(w, n, bias, false, &in[2]));
    w->name[n->id] = onnx_add(w->o, "Gemm", n->name, in, bias ? 3 : 2);
    onnx_int(w->o, "transB", 1);
    return NB_OK;
}

static nb_status put_batchnorm(writer *w, const nb_node *n)
{
    static const char *const what[4] = {"gamma", "beta", "mean", "var"};
    const char *in[5] = {in_name(w, n, 0)};
    for (int32_t i = 0; i < 4; i++)
        NB_TRY(put_leaf(w, n, nb_leaf_of(n, what[i]), false, &in[i + 1]));
    w->name[n->id] = onnx_add(w->o, "BatchNormalization", n->name, in, 5);
    onnx_float(w->o, "epsilon", *(const float *)nb_bound_key(n, "eps", NB_K_FLOAT));
    return NB_OK;
}

static nb_status put_relu(writer *w, const nb_node *n)
{
    const float cap = *(const float *)nb_bound_key(n, "cap", NB_K_FLOAT);
    const char *in[3] = {in_name(w, n, 0)};
    if (isfinite(cap)) {
        in[1] = onnx_scalar(w->o, onnx_name(w->o, "%s.min", n->name), ONNX_FLOAT, 0);
        in[2] = onnx_scalar(w->o, onnx_name(w->o, "%s.max", n->name), ONNX_FLOAT, (double)cap);
    }
    w->name[n->id] = onnx_add(w->o, in[1] ? "Clip" : "Relu", n->name, in, in[1] ? 3 : 1);
    return NB_OK;
}

static nb_status put_maxpool(writer *w, const nb_node *n)
{
    const char *x = in_name(w, n, 0);
    const nb_geom g = n->op->window(n);
    w->name[n->id] = onnx_add(w->o, "MaxPool", n->name, &x, 1);
    put_window(w, &g);
    return NB_OK;
}

static nb_status put_avgpool(writer *w, const nb_node *n)
{
    const char *x = in_name(w, n, 0);
    const nb_geom g = n->op->window(n);
    const bool global = g.kh == g.h && g.kw == g.w && nb_geom_inside(&g);
    w->name[n->id] = onnx_add(w->o, global ? "GlobalAveragePool" : "AveragePool", n->name, &x, 1);
    if (!global)
        put_window(w, &g);
    if (!global && *(const bool *)nb_bound_key(n, "count_pad", NB_K_BOOL) &&
        !*(const bool *)nb_bound_key(n, "ceil", NB_K_BOOL))
        onnx_int(w->o, "count_include_pad", 1);
    return NB_OK;
}

static nb_status put_join(writer *w, const nb_node *n, const char *op)
{
    const char *in[NB_MAX_IN];
    const nb_node *like = NULL;
    for (int32_t k = 0; k < n->n_in; k++) {
        const bool whole = nb_channels(&n->in[k]->out) == nb_channels(&n->out);
        in[k] = in_name(w, n, k);
        if (whole && !like && n->out.shape.ndim == 2)
            like = n->in[k];
        if (whole)
            NB_TRY(put_order(w, n, k, like, &in[k]));
        if (n->in[k]->out.shape.ndim < n->out.shape.ndim) { /* rows beside images: as images of one pixel */
            const int64_t dims[4] = {0, nb_channels(&n->in[k]->out), 1, 1}, four = 4;
            const char *shape = onnx_name(w->o, "%s.pixel.%d", n->name, k);
            const char *both[2] = {in[k], onnx_constant(w->o, shape, ONNX_INT64, &four, 1, dims, sizeof dims)};
            in[k] = onnx_add(w->o, "Reshape", onnx_name(w->o, "%s.image.%d", n->name, k), both, 2);
        }
    }
    w->name[n->id] = onnx_add(w->o, op, n->name, in, n->n_in);
    return NB_OK;
}

static nb_status put_arithmetic(writer *w, const nb_node *n)
{
    const char *op = n->op->name;
    return put_join(w, n, strcmp(op, "add") == 0 ? "Add" : strcmp(op, "sub") == 0 ? "Sub" : "Mul");
}

static nb_status put_concat(writer *w, const nb_node *n)
{
    NB_TRY(put_join(w, n, "Concat"));
    onnx_int(w->o, "axis", 1);
    return NB_OK;
}

static nb_status put_flatten(writer *w, const nb_node *n)
{
    w->name[n->id] = put_rows(w, n, n->name);
    return NB_OK;
}

static nb_status put_nothing(writer *w, const nb_node *n)
{
    w->name[n->id] = in_name(w, n, 0);
    return NB_OK;
}

/* ---- activations, scale and shift ---- */

/* Numbers of a layer, one per channel where there are more, as a constant that lies along the channels. */
static nb_status put_channels(writer *w, const nb_node *n, const char *what, const char **name)
{
    const nb_node *leaf = nb_leaf_of(n, what);
    const int64_t count = nb_count(&leaf->out), dims[3] = {count, 1, 1};
    if (n->out.shape.ndim == 2 && count > 1)
        return put_leaf(w, n, leaf, false, name);
    *name = onnx_constant(w->o, leaf->name, ONNX_FLOAT, dims, count > 1 ? 3 : 1, leaf->out.data,
                          (size_t)count * sizeof(float));
    return NB_OK;
}

static nb_status put_prelu(writer *w, const nb_node *n)
{
    const char *slope;
    NB_TRY(put_channels(w, n, "slope", &slope));
    w->name[n->id] = onnx_add(w->o, "PRelu", n->name, (const char *[]){in_name(w, n, 0), slope}, 2);
    return NB_OK;
}

static nb_status put_affine(writer *w, const nb_node *n)
{
    const char *mul, *add;
    NB_TRY(put_channels(w, n, "mul", &mul));
    NB_TRY(put_channels(w, n, "add", &add));
    const char *x =
        onnx_add(w->o, "Mul", onnx_name(w->o, "%s.scaled", n->name), (const char *[]){in_name(w, n, 0), mul}, 2);
    w->name[n->id] = onnx_add(w->o, "Add", n->name, (const char *[]){x, add}, 2);
    return NB_OK;
}

/* The first version that has the operators. */
static int64_t opset_of(const nb_graph *g)
{
    int64_t opset = OPSET;
    for (int32_t i = 0; i < g->n; i++) {
        const int64_t asks = onnx_opset_of_each(g->node[i]);
        opset = asks > opset ? asks : opset;
    }
    return opset;
}

/* ---- the ends ---- */

typedef struct {
    const nb_graph *g;
    float *v;
    int32_t n;
} numbers;

static nb_status take_number(void *ud, const char *text, const nb_conf *node)
{
    static const nb_key any = {.kind = NB_K_FLOAT, .min = -1000, .max = 1000};
    numbers *l = ud;
    (void)text;
    return l->n < NB_MAX_CHANNELS ? nb_conf_value(l->g->ctx, node, "input", &any, &l->v[l->n++]) : NB_OK;
}

/* The layer's own numbers, or the data set's. */
static nb_status put_normalisation(writer *w, const nb_node *n, const char *key, const float *dflt)
{
    float v[NB_MAX_CHANNELS];
    char text[NB_MAX_CHANNELS * (NB_NUMTEXT + 1)], number[NB_NUMTEXT];
    size_t at = 0;
    const nb_conf *const *own = nb_bound_key(n, key, NB_K_NODE);
    numbers l = {.g = w->g, .v = v};
    memcpy(v, dflt, sizeof v);
    if (own && *own)
        NB_TRY(nb_conf_each_text(w->ctx, *own, "input", take_number, &l));
    for (int32_t c = 0; c < w->g->info.c; c++) {
        float x = l.n == 1 ? v[0] : v[c];
        if (strcmp(key, "std") == 0 && !(x > 0))
            x = 1; /* a constant channel, as in layers/input.c */
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", c ? " " : "", nb_float_text(number, x));
    }
    onnx_meta(w->o, key, text);
    return NB_OK;
}

static nb_status put_input(writer *w, const nb_node *n)
{
    const nb_dsinfo *d = &w->g->info;
    w->name[n->id] = "image";
    onnx_value(w->o, false, "image", ONNX_FLOAT, (const int64_t[]){-1, d->c, d->h, d->w}, MAX_DIMS);
    if (d->features) { /* it takes them normalised, (x - center) * gain * step */
        onnx_features(w->o, d->features);
        return NB_OK;
    }
    NB_TRY(put_normalisation(w, n, "mean", d->mean));
    return put_normalisation(w, n, "std", d->std);
}

static nb_status put_output(writer *w, const nb_node *n)
{
    const nb_shape *s = &n->in[0]->out.shape;
    const char *x = in_name(w, n, 0);
    if (s->ndim == 4 && (int64_t)s->d[1] * s->d[2] > 1) { /* logits stand in the order of ours */
        x = onnx_add(w->o, "Transpose", "logits.nhwc", &x, 1);
        onnx_ints(w->o, "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    }
    if (s->ndim == 2)
        NB_TRY(put_order(w, n, 0, NULL, &x));
    else {
        x = onnx_add(w->o, "Flatten", "logits.rows", &x, 1);
        onnx_int(w->o, "axis", 1);
    }
    onnx_add(w->o, "Identity", "logits", &x, 1);
    onnx_value(w->o, true, "logits", ONNX_FLOAT,
               (const int64_t[]){-1, nb_count(&n->in[0]->out) / n->in[0]->out.shape.d[0]}, 2);
    return NB_OK;
}

static nb_status put_node(writer *w, const nb_node *n)
{
    static const struct {
        const char *op;
        nb_status (*put)(writer *w, const nb_node *n);
    } table[] = {
        {"input", put_input},         {"conv2d", put_conv},   {"dwconv2d", put_conv},   {"linear", put_linear},
        {"batchnorm", put_batchnorm}, {"relu", put_relu},     {"maxpool", put_maxpool}, {"avgpool", put_avgpool},
        {"add", put_arithmetic},      {"concat", put_concat}, {"flatten", put_flatten}, {"dropout", put_nothing},
        {"softmax_xent", put_output}, {"mse", put_output},    {"sub", put_arithmetic},  {"mul", put_arithmetic},
        {"slice", put_take},          {"shuffle", put_take},  {"pad", put_pad},         {"upsample", put_upsample},
        {"affine", put_affine},       {"prelu", put_prelu},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].op, n->op->name) == 0)
            return table[i].put(w, n);
    if (n->op->role == NB_ROLE_TABLE) {
        w->name[n->id] = onnx_put_each(w->o, n, in_name(w, n, 0));
        return NB_OK;
    }
    return nb_fail(w->ctx, NB_E_UNSUPPORTED, "format onnx: layer %s (%s) has no float form", n->name, n->op->name);
}

nb_status nb_onnx_write_float(nb_ctx *ctx, const nb_graph *g, const char *path)
{
    writer w = {.ctx = ctx, .g = g};
    w.name = nb_alloc(ctx, (size_t)g->n * sizeof *w.name);
    nb_status st = w.name ? onnx_create(ctx, opset_of(g), &w.o) : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < g->n; i++)
        if (!(g->node[i]->flags & NB_NODE_LEAF))
            st = put_node(&w, g->node[i]);
    if (st == NB_OK)
        st = onnx_finish(w.o, path);
    onnx_free(w.o);
    nb_free(ctx, w.name);
    return st;
}

#else

nb_status nb_onnx_write_float(nb_ctx *ctx, const nb_graph *g, const char *path)
{
    (void)g;
    (void)path;
    return nb_fail(
        ctx, NB_E_UNSUPPORTED,
        "format onnx: this build has no ONNX: install libprotobuf-c-dev, protobuf-c-compiler and libonnx-dev, and "
        "build again");
}

#endif
