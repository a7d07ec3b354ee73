/* lower.c - the walk from graph to integer model: conv and linear open an accumulator, batch norm and relu edit it,
 * fake-quant closes it.
 *
 * The graph is only read: weight codes and scales come from parameters and quantizer state, not from the last forward.
 * Scales stay in double until they become multiplier and shift (quant/requant.h). */
#include "lower/lower_value.h"

#include <nibble/extend/quant.h>
#include <nibble/lower.h>

#include "base/check.h"
#include "kernels/integer/ipool.h"

#include <math.h>
#include <string.h>

/* A value as an engine tensor: [n, h, w, c] or [n, features]. */
static nb_etensor tensor_of(const nb_node *n)
{
    const nb_shape *s = &n->out.shape;
    nb_etensor t = {.h = 1, .w = 1, .c = s->d[s->ndim - 1]};
    if (s->ndim == 4) {
        t.h = s->d[1];
        t.w = s->d[2];
    }
    return t;
}

static nb_status not_codes(nb_lowering *lo, const nb_node *n, const nb_node *x)
{
    return nb_fail(lo->ctx, NB_E_UNSUPPORTED, "%s: its input %s is not quantized: add a fake-quant after %s", n->name,
                   x->name, x->name);
}

static nb_status closed_input(nb_lowering *lo, const nb_node *n, int32_t k, const nb_lval **out)
{
    const nb_lval *v = &lo->val[n->in[k]->id];
    if (v->kind != NB_LVAL_CLOSED)
        return not_codes(lo, n, n->in[k]);
    *out = v;
    return NB_OK;
}

static nb_lval open_value(nb_lval_kind kind, const nb_node *n)
{
    return (nb_lval){.kind = kind, .opener = n, .low = -INFINITY, .high = INFINITY};
}

nb_status nb_lower_input(nb_lowering *lo, const nb_node *n, const float *real)
{
    nb_lval v = open_value(NB_LVAL_TABLE, n);
    v.real = real;
    v.n_real = nb_channels(&n->out);
    lo->val[n->id] = v;
    return NB_OK;
}

/* What the float network makes of the codes, which are all 256 bytes, before n. */
static nb_status open_table(nb_lowering *lo, const nb_node *n, const nb_lval *x, nb_lval *v)
{
    float *real = nb_arena_array(lo->arena, 256, sizeof *real);
    if (!real)
        return NB_E_NOMEM;
    *v = open_value(NB_LVAL_TABLE, n);
    v->n_in = 1;
    v->in[0] = n->in[0]->id;
    v->n_real = 1;
    v->real = real;
    nb_code_reals(real, x->info.scale, x->t.zero, x->t.type == NB_EI_S8);
    return NB_OK;
}

nb_status nb_lower_each(nb_lowering *lo, const nb_node *n, int32_t maps)
{
    nb_lval v = lo->val[n->in[0]->id];
    if (v.kind == NB_LVAL_CLOSED) {
        const nb_lval x = v;
        NB_TRY(open_table(lo, n, &x, &v));
    }
    if (v.kind != NB_LVAL_TABLE)
        return not_codes(lo, n, n->in[0]);
    NB_ASSERT(maps == 1 || maps == nb_channels(&n->out));
    const int32_t tables = maps > v.n_real ? maps : v.n_real;
    float *x = nb_arena_array(lo->arena, (size_t)tables * 256, 3 * sizeof *x);
    if (!x)
        return NB_E_NOMEM;
    float *y = x + 256 * tables, *real = y + 256 * tables;
    for (int32_t i = 0; i < 256 * tables; i++) /* rows of channels */
        x[i] = nb_lval_clamp(&v, v.real[(v.n_real > 1 ? i % tables * 256 : 0) + i / tables]);
    n->op->each(n, y, x, 256 * tables / maps);
    for (int32_t i = 0; i < 256 * tables; i++)
        real[i % tables * 256 + i / tables] = y[i];
    v.real = real;
    v.n_real = tables;
    v.low = -INFINITY;
    v.high = INFINITY;
    lo->val[n->id] = v;
    return NB_OK;
}

static nb_status alloc_channels(nb_lowering *lo, nb_lval *v, int32_t oc, int64_t weights)
{
    v->scale = nb_arena_array(lo->arena, (size_t)oc, sizeof(double));
    v->bias = nb_arena_array(lo->arena, (size_t)oc, sizeof(double));
    v->err_scale = nb_arena_array(lo->arena, (size_t)oc, sizeof(double));
    v->err_bias = nb_arena_array(lo->arena, (size_t)oc, sizeof(double));
    v->weight_scale = nb_arena_array(lo->arena, (size_t)oc, sizeof(float));
    v->weights = nb_arena_alloc(lo->arena, (size_t)weights);
    bool got = v->scale && v->bias && v->err_scale && v->err_bias && v->weight_scale && v->weights;
    return got ? NB_OK : NB_E_NOMEM;
}

nb_status nb_lower_mac(nb_lowering *lo, const nb_node *n, const nb_geom *geom)
{
    const nb_lval *x = NULL;
    NB_TRY(closed_input(lo, n, 0, &x));
    const nb_node *w = n->in[1];
    if (w->op->role != NB_ROLE_QUANTIZER)
        return nb_fail(lo->ctx, NB_E_UNSUPPORTED, "%s: its weight is not quantized", n->name);
    nb_lval v = open_value(NB_LVAL_MAC, n);
    v.n_in = 1;
    v.in[0] = n->in[0]->id;
    v.geom = *geom;
    /* a linear layer reads a whole image: the same sum as a convolution with one window, in OHWI order */
    if (geom->kh == 1 && geom->kw == 1 && geom->h * geom->w == 1 && x->t.h * x->t.w > 1)
        v.geom = nb_geom_whole(x->t.h, x->t.w, x->t.c, geom->oc, 1);
    int32_t oc = geom->oc, channels = nb_fakequant_channels(w);
    NB_TRY(alloc_channels(lo, &v, oc, nb_count(&w->out)));
    nb_qparams q = {.scale = v.weight_scale, .zero = nb_arena_array(lo->arena, (size_t)channels, sizeof(int32_t))};
    if (!q.zero)
        return NB_E_NOMEM;
    const float *bias = n->n_in > 2 ? n->in[2]->out.data : NULL;
    float x_scale = x->info.scale;
    int32_t x_zero = x->t.zero;
    const nb_qparams x_codes = {.n = 1, .scale = &x_scale, .zero = &x_zero, .lo = x->lo, .hi = x->hi};
    NB_TRY(nb_fakequant_snapshot(lo->ctx, w, &(nb_weight_use){.x = &x_codes, .bias = bias}, &q, v.weights));
    v.weight_bits = q.bits;
    v.level = q.level;
    v.n_levels = q.n_levels;
    v.n_tables = q.n_tables;
    v.block = q.block;
    v.n_weight_scale = q.n;
    for (int32_t c = 0; c < oc; c++) {
        v.scale[c] = (double)x->info.scale * q.scale[q.n > 1 ? c : 0];
        v.bias[c] = bias ? nb_round_to_unit(bias[c], v.scale[c]) : 0.0;
        /* the sum, the unit, their product, and the sum with the bias; the bias, and that sum */
        v.err_scale[c] = 4 * NB_FLOAT_ROUNDING * v.scale[c];
        v.err_bias[c] = 2 * NB_FLOAT_ROUNDING * fabs(v.bias[c]);
    }
    lo->val[n->id] = v;
    return NB_OK;
}

/* Codes that an affine layer reads: a depthwise convolution with one constant weight opens the accumulator. */
static nb_status open_identity(nb_lowering *lo, const nb_node *n, const nb_lval *x, nb_lval *v)
{
    *v = open_value(NB_LVAL_MAC, n);
    v->n_in = 1;
    v->in[0] = n->in[0]->id;
    v->geom = nb_geom_pixels(x->t.h, x->t.w, x->t.c, x->t.c, x->t.c);
    v->weight_bits = 8;
    v->n_weight_scale = 1;
    NB_TRY(alloc_channels(lo, v, x->t.c, x->t.c));
    v->weight_scale[0] = 1.0f / NB_IDENTITY_WEIGHT;
    for (int32_t c = 0; c < x->t.c; c++) {
        v->weights[c] = NB_IDENTITY_WEIGHT;
        v->scale[c] = (double)x->info.scale / NB_IDENTITY_WEIGHT;
        v->err_scale[c] = NB_FLOAT_ROUNDING * v->scale[c];
    }
    return NB_OK;
}

nb_status nb_lower_affine(nb_lowering *lo, const nb_node *n, const double *mul, const double *add)
{
    nb_lval v = lo->val[n->in[0]->id];
    if (v.kind == NB_LVAL_CLOSED) {
        const nb_lval x = v;
        NB_TRY(open_identity(lo, n, &x, &v));
    }
    if (v.kind != NB_LVAL_MAC || !isinf(v.low) || !isinf(v.high))
        return not_codes(lo, n, n->in[0]);
    NB_ASSERT(v.geom.oc == nb_channels(&n->out)); /* mul and add have one entry for each of n's channels */
    for (int32_t c = 0; c < v.geom.oc; c++) {
        /* the factor, the product and the sum, of either part; the shift, and the sum */
        v.err_scale[c] = fabs(mul[c]) * (v.err_scale[c] + 3 * NB_FLOAT_ROUNDING * fabs(v.scale[c]));
        v.err_bias[c] = fabs(mul[c]) * (v.err_bias[c] + 3 * NB_FLOAT_ROUNDING * fabs(v.bias[c]));
        v.err_bias[c] += 2 * NB_FLOAT_ROUNDING * fabs(add[c]);
        v.scale[c] *= mul[c];
        v.bias[c] = v.bias[c] * mul[c] + nb_round_to_unit(add[c], v.scale[c]);
    }
    lo->val[n->id] = v;
    return NB_OK;
}

static int32_t code_of(const nb_lval *x, double real)
{
    double v = nearbyint(real / x->info.scale) + x->t.zero;
    return (int32_t)(v < x->lo ? x->lo : v > x->hi ? x->hi : v);
}

/* A step that moves codes one by one, a 1x1 max pool: with a narrower clamp it is a relu, else it gives a view a tensor
 * of its own shape. */
static nb_status each_code(nb_lowering *lo, const nb_node *n, const nb_lval *x, int32_t lowest, int32_t highest)
{
    nb_lval y = *x;
    y.info.name = n->name;
    y.viewed = false;
    NB_TRY(nb_intbuilder_tensor(lo->builder, &y.t, &y.info, &y.tensor));
    nb_estep s = {.kind = NB_STEP_MAXPOOL, .n_in = 1, .in = {x->tensor}, .out = y.tensor, .lo = lowest, .hi = highest};
    s.geom = nb_geom_pixels(x->t.h, x->t.w, x->t.c, x->t.c, 1);
    lo->val[n->id] = y;
    return nb_intbuilder_step(lo->builder, &s, &(nb_sinfo){.name = n->name});
}

nb_status nb_lower_clamp(nb_lowering *lo, const nb_node *n, double low, double high)
{
    nb_lval v = lo->val[n->in[0]->id];
    if (v.kind == NB_LVAL_CLOSED)
        return each_code(lo, n, &v, code_of(&v, low), code_of(&v, high));
    v.low = fmax(v.low, low);
    v.high = fmin(v.high, high);
    lo->val[n->id] = v;
    return NB_OK;
}

static nb_status open_join(nb_lowering *lo, const nb_node *n, nb_lval_kind kind)
{
    nb_lval v = open_value(kind, n);
    for (int32_t k = 0; k < n->n_in; k++) {
        const nb_lval *x = NULL;
        NB_TRY(closed_input(lo, n, k, &x));
        if (x->viewed) /* a join's tensors must agree in rows and columns */
            NB_TRY(each_code(lo, n->in[k], x, x->lo, x->hi));
        v.in[v.n_in++] = n->in[k]->id;
    }
    lo->val[n->id] = v;
    return NB_OK;
}

nb_status nb_lower_add(nb_lowering *lo, const nb_node *n)
{
    return open_join(lo, n, NB_LVAL_ADD);
}

nb_status nb_lower_sub(nb_lowering *lo, const nb_node *n)
{
    NB_TRY(open_join(lo, n, NB_LVAL_ADD));
    lo->val[n->id].minus = true;
    return NB_OK;
}

nb_status nb_lower_mul(nb_lowering *lo, const nb_node *n)
{
    return open_join(lo, n, NB_LVAL_MUL);
}

nb_status nb_lower_concat(nb_lowering *lo, const nb_node *n)
{
    return open_join(lo, n, NB_LVAL_CONCAT);
}

nb_status nb_lower_pool(nb_lowering *lo, const nb_node *n, nb_pool_kind kind, const nb_geom *geom)
{
    const nb_lval *x = NULL;
    NB_TRY(closed_input(lo, n, 0, &x));
    nb_lval y = *x;
    y.info.name = n->name;
    y.t.h = geom->oh;
    y.t.w = geom->ow;
    y.viewed = false;
    NB_TRY(nb_intbuilder_tensor(lo->builder, &y.t, &y.info, &y.tensor));
    static const nb_step_kind steps[] = {NB_STEP_MAXPOOL, NB_STEP_AVGPOOL, NB_STEP_AVGPOOL_INSIDE};
    nb_estep s = {.kind = steps[kind], .n_in = 1};
    s.in[0] = x->tensor;
    s.out = y.tensor;
    s.lo = x->lo;
    s.hi = x->hi;
    s.geom = *geom;
    int32_t mult = 0, shift = 0;
    if (kind != NB_POOL_MAX) {
        nb_avgpool_multiplier(geom->kh * geom->kw, &mult, &shift);
        s.mult = &mult;
        s.shift = &shift;
    }
    lo->val[n->id] = y;
    return nb_intbuilder_step(lo->builder, &s, &(nb_sinfo){.name = n->name});
}

/* A view becomes a tensor of its own shape first. */
nb_status nb_lower_take(nb_lowering *lo, const nb_node *n, const nb_take *t)
{
    const nb_lval *x = NULL;
    NB_TRY(closed_input(lo, n, 0, &x));
    if (x->viewed)
        NB_TRY(each_code(lo, n->in[0], x, x->lo, x->hi));
    nb_lval y = *x;
    y.info.name = n->name;
    y.t.h = t->out[0];
    y.t.w = t->out[1];
    y.t.c = t->out[2];
    NB_TRY(nb_intbuilder_tensor(lo->builder, &y.t, &y.info, &y.tensor));
    nb_estep s = {.kind = t->index[2] ? NB_STEP_TAKE : NB_STEP_BLEND, .n_in = 1, .in = {x->tensor}, .out = y.tensor};
    s.lo = x->lo;
    s.hi = x->hi;
    memcpy(s.index, t->index, sizeof s.index);
    lo->val[n->id] = y;
    return nb_intbuilder_step(lo->builder, &s, &(nb_sinfo){.name = n->name});
}

nb_status nb_lower_mean(nb_lowering *lo, const nb_node *n, const nb_geom *geom)
{
    const nb_lval *x = NULL;
    NB_TRY(closed_input(lo, n, 0, &x));
    nb_lval v = open_value(NB_LVAL_MEAN, n);
    v.n_in = 1;
    v.in[0] = n->in[0]->id;
    v.geom = *geom;
    lo->val[n->id] = v;
    return NB_OK;
}

/* A view's codes are the same, its channels are not: a flattened image is one pixel with a channel per value. */
nb_status nb_lower_same(nb_lowering *lo, const nb_node *n)
{
    nb_lval v = lo->val[n->in[0]->id];
    const nb_etensor t = tensor_of(n);
    const bool changes = !nb_shape_equal(&n->out.shape, &n->in[0]->out.shape);
    if (changes && v.kind != NB_LVAL_CLOSED)
        return not_codes(lo, n, n->in[0]);
    if (changes && (t.h != v.t.h || t.w != v.t.w || t.c != v.t.c)) {
        v.t.h = t.h;
        v.t.w = t.w;
        v.t.c = t.c;
        v.viewed = true;
    }
    lo->val[n->id] = v;
    return NB_OK;
}

nb_status nb_lower_close(nb_lowering *lo, const nb_node *n)
{
    if (nb_fakequant_of_weights(n))
        return NB_OK; /* taken when its MAC opens */
    const nb_lval *v = &lo->val[n->in[0]->id];
    if (v->kind == NB_LVAL_NONE || v->kind == NB_LVAL_CLOSED)
        return nb_fail(lo->ctx, NB_E_UNSUPPORTED, "%s: its input %s cannot be quantized", n->name, n->in[0]->name);
    float scale;
    int32_t zero;
    nb_qparams q = {.scale = &scale, .zero = &zero};
    NB_TRY(nb_fakequant_snapshot(lo->ctx, n, NULL, &q, NULL));
    nb_lval y = {.kind = NB_LVAL_CLOSED, .t = tensor_of(n), .lo = q.lo, .hi = q.hi};
    y.t.type = q.dtype == NB_S8 ? NB_EI_S8 : NB_EI_U8;
    y.t.zero = zero;
    y.info = (nb_tinfo){.name = n->name, .scale = scale, .bits = q.bits};
    NB_TRY(nb_lval_close(lo, v, &y));
    lo->val[n->id] = y;
    return NB_OK;
}

/* Open logits get int32 codes with one scale: that of the coarsest channel, so no channel's accumulator is widened; 24
 * bits are enough for biases of a layer whose weights are next to nothing. */
nb_status nb_lower_output(nb_lowering *lo, const nb_node *n)
{
    const nb_node *x = n->in[0];
    const nb_lval *v = &lo->val[x->id];
    if (v->kind == NB_LVAL_CLOSED)
        return NB_OK;
    if (v->kind != NB_LVAL_MAC)
        return nb_fail(lo->ctx, NB_E_UNSUPPORTED,
                       "%s: the network's output is neither a conv nor a linear layer: set quant.output_bits: 8",
                       x->name);
    nb_lval y = {.kind = NB_LVAL_CLOSED, .t = tensor_of(x), .lo = INT32_MIN, .hi = INT32_MAX};
    y.t.type = NB_EI_S32;
    double scale = 0, reach = 0, bias = 0;
    int64_t per = (int64_t)v->geom.kh * v->geom.kw * (v->geom.c / v->geom.groups);
    for (int32_t c = 0; c < v->geom.oc; c++) {
        scale = fmax(scale, fabs(v->scale[c]));
        bias = fmax(bias, fabs(v->bias[c]));
        reach = fmax(reach, fabs(v->scale[c]) * 127.0 * 255.0 * (double)per + fabs(v->bias[c]));
    }
    scale = fmax(fmax(scale, ldexp(reach, -30)), fmax(ldexp(bias, -20), 0x1p-100));
    y.info = (nb_tinfo){.name = x->name, .scale = (float)scale, .bits = 32};
    return nb_lval_close(lo, v, &y);
}

static nb_status lower_nodes(nb_lowering *lo, const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (n->flags & NB_NODE_LEAF)
            continue;
        if (!n->op->lower)
            return nb_fail(lo->ctx, NB_E_UNSUPPORTED, "%s: a %s layer has no integer form", n->name, n->op->name);
        NB_TRY(n->op->lower(lo, n));
    }
    return NB_OK;
}

static nb_status walk(nb_lowering *lo, const nb_graph *g, bool values_alone)
{
    if (!g->quantized)
        return nb_fail(g->ctx, NB_E_UNSUPPORTED, "the network is not quantized: its last phase must have quant: on");
    if (g->simulated)
        return nb_fail(g->ctx, NB_E_UNSUPPORTED, "the network is simulated in floats, it has no integers: %s; %s",
                       g->simulated, g->instead);
    NB_TRY(nb_intbuilder_create(g->ctx, "", &lo->builder));
    if (values_alone)
        nb_intbuilder_forget_weights(lo->builder);
    lo->val = nb_arena_array(lo->arena, (size_t)g->n, sizeof *lo->val);
    return lo->val ? lower_nodes(lo, g) : NB_E_NOMEM;
}

nb_status nb_lower_values(const nb_graph *g, nb_arena *arena, nb_lval **val)
{
    nb_lowering lo = {.ctx = g->ctx, .arena = arena};
    nb_status st = walk(&lo, g, true);
    nb_intbuilder_free(lo.builder);
    if (st == NB_OK)
        *val = lo.val;
    return st;
}

nb_status nb_lower(const nb_graph *g, const char *config, nb_intmodel **out)
{
    nb_lowering lo = {.ctx = g->ctx};
    NB_TRY(nb_arena_create(g->ctx, &lo.arena));
    nb_intmeta meta = {.classes = g->info.classes,
                       .class_names = g->info.class_names,
                       .features = g->info.features,
                       .task = g->info.task,
                       .config = config,
                       .accuracy = -1};
    nb_status st = walk(&lo, g, false);
    nb_arena_free(lo.arena); /* the builder has copies, and prepares weights, which takes several times their bytes */
    if (st == NB_OK)
        st = nb_intbuilder_finish(lo.builder, NB_INT_PLAN, &meta, out);
    nb_intbuilder_free(lo.builder);
    return st;
}
