/* qnet_ops.c - the operators of quantized ONNX graphs but those with weights. */
#include "import/fill.h"
#include "import/qnet.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

/* ---- where codes come from ---- */

static bool reads(const onnx_node *d, const char *name, size_t at)
{
    return at < d->n_in && strcmp(d->in[at], name) == 0;
}

static const struct {
    const char *op;
    size_t value, scale, zero;
} operands[] = {{"DequantizeLinear", 0, 1, 2},
                {"QGemm", 0, 1, 2},
                {"QLinearAdd", 0, 1, 2},
                {"QLinearAdd", 3, 4, 5},
                {"QLinearAveragePool", 0, 1, 2},
                {"QLinearConv", 0, 1, 2},
                {"QLinearGlobalAveragePool", 0, 1, 2},
                {"QLinearMatMul", 0, 1, 2},
                {"QLinearMul", 0, 1, 2},
                {"QLinearMul", 3, 4, 5}};
enum { N_OPERANDS = sizeof operands / sizeof *operands, CONCAT_FIRST = 2, CONCAT_EACH = 3, MOST_BASE = 1 << 16 };

/* Whether input `at` of the node is codes, and which inputs say their scale and zero point. */
static bool says_grid(const onnx_node *d, size_t at, size_t *scale, size_t *zero)
{
    *scale = at + 1;
    *zero = at + 2;
    if (strcmp(d->op, "QLinearConcat") == 0)
        return at >= CONCAT_FIRST && (at - CONCAT_FIRST) % CONCAT_EACH == 0;
    for (size_t k = 0; k < N_OPERANDS; k++)
        if (operands[k].value == at && strcmp(d->op, operands[k].op) == 0) {
            *scale = operands[k].scale;
            *zero = operands[k].zero;
            return true;
        }
    return false;
}

static nb_status check_grid(const qnet *n, const onnx_node *d, int32_t tensor, const q_grid *g, const char *name)
{
    const q_grid has = q_tensor_grid(n, tensor);
    if (fabs(has.scale - g->scale) > 1e-6 * has.scale || has.zero != g->zero)
        return q_fail(n, d, "scale %g and zero point %d are not those '%.80s' was made with", g->scale, g->zero, name);
    return NB_OK;
}

nb_status q_check_operands(const qnet *n, const onnx_node *d)
{
    size_t scale, zero;
    for (size_t at = 0; at < d->n_in; at++) {
        const q_value *v = q_input(n, d, at);
        q_grid g;
        if (!v || v->kind != Q_REAL || !v->open.in_codes || !says_grid(d, at, &scale, &zero))
            continue;
        NB_TRY(q_grid_of(n, d, scale, zero, &g));
        NB_TRY(check_grid(n, d, v->open.in[0], &g, d->in[at]));
    }
    return NB_OK;
}

/* The grid on which whoever reads `name` takes it. */
static nb_status reader_grid(const qnet *n, const onnx_node *d, const char *name, int32_t depth, q_grid *g)
{
    size_t scale, zero;
    for (size_t i = 0; i < n->file->n_nodes; i++) {
        const onnx_node *r = &n->file->node[i];
        for (size_t at = 0; at < r->n_in; at++)
            if (reads(r, name, at) && says_grid(r, at, &scale, &zero))
                return q_grid_of(n, r, scale, zero, g);
        if (strcmp(r->op, "ConvInteger") == 0 && reads(r, name, 0)) {
            const q_value *zero_point = q_input(n, r, 2);
            *g = (q_grid){1, zero_point && zero_point->kind == Q_CONSTANT ? (int32_t)q_number(&zero_point->t, 0) : 0,
                          false};
            return NB_OK;
        }
        if (depth < 8 && reads(r, name, 0) && r->n_out == 1 &&
            (strcmp(r->op, "MaxPool") == 0 || strcmp(r->op, "Transpose") == 0 || strcmp(r->op, "Reshape") == 0 ||
             strcmp(r->op, "Clip") == 0 || strcmp(r->op, "Flatten") == 0))
            return reader_grid(n, d, r->out[0], depth + 1, g);
    }
    return q_fail(n, d, "nobody says which scale '%.80s' has", name);
}

nb_status q_reader_grid(const qnet *n, const onnx_node *d, const char *name, q_grid *g)
{
    return q_said_grid(n, name, g) ? NB_OK : reader_grid(n, d, name, 0, g);
}

/* table: [tables][256] codes as the engine has them */
static nb_status add_table(qnet *n, const onnx_node *d, const q_value *image, const q_grid *g, const uint8_t *codes,
                           int32_t tables)
{
    q_value v = *image;
    if (nb_intbuilder_model(n->b)->n_steps)
        return q_fail(n, d, "quantizes the images a second time");
    nb_estep s = {.kind = NB_STEP_TABLE, .table = codes, .one_table = tables == 1 && image->c > 1};
    s.lo = g->is_signed ? INT8_MIN : 0;
    s.hi = g->is_signed ? INT8_MAX : UINT8_MAX;
    const nb_sinfo info = {.name = d->out[0]};
    NB_TRY(q_tensor(n, d->out[0], &v, *g, &s.out));
    NB_TRY(nb_intbuilder_step(n->b, &s, &info));
    v.kind = Q_REAL;
    v.open =
        (q_open){.kind = NB_STEP_KINDS, .in = {s.out}, .n_in = 1, .lo = -INFINITY, .hi = INFINITY, .in_codes = true};
    return q_output(n, d, v);
}

/* Float images, normalised as the options say: code = round(((p / 255 - mean) / std) / scale) + zero. */
static nb_status quantize_images(qnet *n, const onnx_node *d, const q_value *image, const q_grid *g)
{
    const float *mean = n->options->mean, *std = n->options->std;
    uint8_t *codes = nb_arena_array(n->arena, (size_t)image->c, 256);
    if (!codes)
        return NB_E_NOMEM;
    if (!mean || !std)
        return q_fail(n, d, "its images are normalised floats, and the file does not say how: --mean and --std do");
    const int32_t lo = g->is_signed ? INT8_MIN : 0, hi = g->is_signed ? INT8_MAX : UINT8_MAX;
    for (int32_t c = 0; c < image->c; c++)
        for (int32_t p = 0; p < 256; p++) {
            const float x = ((float)p / 255.0f - mean[c]) / std[c];
            const double code = nearbyint((double)(x / (float)g->scale)) + g->zero;
            codes[c * 256 + p] = (uint8_t)(int32_t)(code < lo ? lo : code > hi ? hi : code);
        }
    return add_table(n, d, image, g, codes, image->c);
}

static nb_status op_quantize(qnet *n, const onnx_node *d)
{
    const q_value *v = q_input(n, d, 0);
    q_grid g;
    q_value out;
    NB_TRY(q_grid_of(n, d, 1, 2, &g));
    if (v && v->kind == Q_IMAGE)
        return quantize_images(n, d, v, &g);
    NB_TRY(q_real(n, d, 0, &v));
    NB_TRY(q_close(n, d, v, &g, &out));
    return q_output(n, d, out);
}

/* u8 pixels as they are. */
static nb_status pixels_are_codes(qnet *n, const onnx_node *d, const q_value *image, const q_grid *g)
{
    uint8_t *codes = nb_arena_array(n->arena, 256, 1);
    if (!codes)
        return NB_E_NOMEM;
    if (g->is_signed)
        return q_fail(n, d, "images must be uint8, or floats");
    for (int32_t p = 0; p < 256; p++)
        codes[p] = (uint8_t)p;
    return add_table(n, d, image, g, codes, 1);
}

static nb_status op_dequantize(qnet *n, const onnx_node *d)
{
    const q_value *v = q_input(n, d, 0);
    q_grid g;
    if (v && v->kind == Q_CONSTANT) {
        q_value w = *v;
        NB_TRY(q_constant(n, d, 1, &w.scale));
        w.zero = NULL;
        if (q_input(n, d, 2))
            NB_TRY(q_constant(n, d, 2, &w.zero));
        return q_output(n, d, w);
    }
    NB_TRY(q_grid_of(n, d, 1, 2, &g));
    if (v && v->kind == Q_IMAGE)
        return pixels_are_codes(n, d, v, &g);
    NB_TRY(q_real(n, d, 0, &v));
    q_value real = *v;
    int32_t tensor;
    NB_TRY(q_codes(n, d, v, &tensor));
    NB_TRY(check_grid(n, d, tensor, &g, d->in[0]));
    real.open.in_codes = false;
    return q_output(n, d, real);
}

/* Pixels to indices, and sums to floats: neither changes a value. */
static nb_status op_same(qnet *n, const onnx_node *d)
{
    const q_value *v = q_input(n, d, 0);
    if (!v || (v->kind != Q_IMAGE && v->kind != Q_REAL))
        NB_TRY(q_real(n, d, 0, &v));
    return v->kind == Q_REAL && v->open.kind == NB_STEP_BLEND ? q_end_blend(n, d, v) : q_output(n, d, *v);
}

/* The table of pixels. */
static nb_status op_gather(qnet *n, const onnx_node *d)
{
    const nb_st_tensor *t;
    const q_value *image = q_input(n, d, 1);
    q_grid g;
    if (!image || image->kind != Q_IMAGE)
        return q_op_gather(n, d);
    NB_TRY(q_constant(n, d, 0, &t));
    if ((t->dtype != NB_ST_U8 && t->dtype != NB_ST_I8) || t->ndim != 1 ||
        (t->count != 256 && t->count != 256 * (int64_t)image->c))
        return q_fail(n, d, "a table of pixels has 256 codes for all channels, or for each");
    NB_TRY(q_reader_grid(n, d, d->out[0], &g));
    g.is_signed = t->dtype == NB_ST_I8;
    return add_table(n, d, image, &g, t->data, (int32_t)(t->count / 256));
}

/* ---- arithmetic ---- */

static bool ends_with(const char *s, const char *end)
{
    const size_t a = strlen(s), b = strlen(end);
    return a >= b && strcmp(s + a - b, end) == 0;
}

static nb_status two(qnet *n, const onnx_node *d, nb_step_kind kind, double sign)
{
    const q_value *a, *b;
    q_value v;
    NB_TRY(q_real(n, d, 0, &a));
    NB_TRY(q_real(n, d, 1, &b));
    q_value row[2];
    if (a->flat != b->flat || a->last != b->last) {
        NB_TRY(q_as_row(n, d, a, &row[0]));
        NB_TRY(q_as_row(n, d, b, &row[1]));
        a = &row[0];
        b = &row[1];
    }
    v = *a;
    if (a->flat != b->flat || a->last != b->last)
        return q_fail(n, d, "its operands are in different orders");
    v.open = (q_open){.kind = kind, .n_in = 2, .sign = sign, .lo = -INFINITY, .hi = INFINITY};
    v.c = a->c > b->c ? a->c : b->c;
    v.h = a->h > b->h ? a->h : b->h;
    v.w = a->w > b->w ? a->w : b->w;
    NB_TRY(q_codes(n, d, a, &v.open.in[0]));
    NB_TRY(q_codes(n, d, b, &v.open.in[1]));
    return q_output(n, d, v);
}

static nb_status op_add(qnet *n, const onnx_node *d)
{
    const q_value *a = q_input(n, d, 0), *b = q_input(n, d, 1);
    if (a && a->kind == Q_CONSTANT) {
        const q_value *c = a;
        a = b;
        b = c;
    }
    if (!a || !b || (a->kind != Q_REAL && a->kind != Q_IMAGE))
        return q_fail(n, d, "adds what does not come from the images");
    if (b->kind == Q_REAL)
        return two(n, d, NB_STEP_ADD, 1);
    if (b->kind == Q_CONSTANT && (a->kind == Q_IMAGE || (n->ours && ends_with(d->out[0], ".settled"))))
        return q_output(n, d, *a); /* where each channel's table begins; how our exporter settles ties */
    if (b->kind == Q_CONSTANT && a->open.kind == NB_STEP_BLEND)
        return q_round_blend(n, d, a, q_number(&b->t, 0));
    if (b->kind == Q_CONSTANT && a->open.in_codes && !nb_fill_is_float(&b->t)) { /* where tables begin */
        q_value index = *a;
        index.open.base += (int32_t)q_number(&b->t, 0) & (MOST_BASE - 1);
        return q_output(n, d, index);
    }
    if (b->kind != Q_CONSTANT || !q_is_open_mac(a))
        return q_fail(n, d, "a constant can be added right behind a layer with weights");
    return q_add_bias(n, d, a, b);
}

static bool is_blend(const q_value *v)
{
    return v && v->kind == Q_REAL && v->open.kind == NB_STEP_BLEND;
}

static nb_status op_div(qnet *n, const onnx_node *d)
{
    const q_value *a = q_input(n, d, 0), *b = q_input(n, d, 1);
    return is_blend(a) && b && b->kind == Q_CONSTANT ? q_round_blend(n, d, a, q_number(&b->t, 0))
                                                     : q_fail(n, d, "integers have no such operator");
}

static nb_status op_sub(qnet *n, const onnx_node *d)
{
    const q_value *a = q_input(n, d, 0), *b = q_input(n, d, 1);
    if (is_blend(a) && b && b->kind == Q_CONSTANT)
        return q_round_blend(n, d, a, q_number(&b->t, 0));
    return two(n, d, NB_STEP_ADD, -1);
}

/* By a constant: another scale of a layer's sums. */
static nb_status op_mul(qnet *n, const onnx_node *d)
{
    const q_value *a = q_input(n, d, 0), *b = q_input(n, d, 1);
    if (!a || !b || a->kind != Q_REAL || b->kind != Q_CONSTANT)
        return two(n, d, NB_STEP_MUL, 1);
    q_value v = *a;
    if (n->ours && (ends_with(d->out[0], ".settled") || ends_with(d->out[0], ".counted"))) {
        if (ends_with(d->out[0], ".counted"))
            v.open.kind = NB_STEP_AVGPOOL_INSIDE;
        return q_output(n, d, v);
    }
    const int32_t channels = v.c;
    if (!q_is_open_mac(a) || b->scale || (b->t.count != 1 && b->t.count != channels))
        return q_fail(n, d, "a constant can be multiplied right behind a layer with weights, one for each channel");
    v.open.unit = nb_arena_array(n->arena, (size_t)channels, sizeof *v.open.unit);
    if (!v.open.unit)
        return NB_E_NOMEM;
    for (int32_t c = 0; c < channels; c++) {
        const double by = q_number(&b->t, b->t.count > 1 ? c : 0);
        if (!(by > 0))
            return q_fail(n, d, "multiplies by %g: must be positive", by);
        v.open.unit[c] = a->open.unit[c] * by;
    }
    return q_output(n, d, v);
}

static nb_status clamp(qnet *n, const onnx_node *d, const q_value *v, double lo, double hi)
{
    q_value out = *v;
    if (v->open.in_codes && v->open.kind == NB_STEP_KINDS) { /* limits in codes */
        const q_grid g = q_tensor_grid(n, v->open.in[0]);
        lo = (lo - g.zero) * g.scale;
        hi = (hi - g.zero) * g.scale;
    }
    out.open.lo = fmax(v->open.lo, lo);
    out.open.hi = fmin(v->open.hi, hi);
    if (out.open.lo > out.open.hi)
        return q_fail(n, d, "clamps to nothing");
    if (v->open.in_codes && v->open.kind == NB_STEP_KINDS) {
        const q_grid same = q_tensor_grid(n, v->open.in[0]);
        q_value closed;
        NB_TRY(q_close(n, d, &out, &same, &closed));
        return q_output(n, d, closed);
    }
    return q_output(n, d, out);
}

static nb_status op_relu(qnet *n, const onnx_node *d)
{
    const q_value *v;
    NB_TRY(q_real(n, d, 0, &v));
    return clamp(n, d, v, 0, INFINITY);
}

static nb_status op_clip(qnet *n, const onnx_node *d)
{
    const q_value *v;
    const nb_st_tensor *t;
    double limit[2] = {-INFINITY, INFINITY};
    NB_TRY(q_real(n, d, 0, &v));
    for (size_t k = 0; k < 2; k++)
        if (q_input(n, d, k + 1)) {
            NB_TRY(q_constant(n, d, k + 1, &t));
            limit[k] = q_number(t, 0);
        }
    return clamp(n, d, v, limit[0], limit[1]);
}

/* ---- pools and joins ---- */

static nb_status pool(qnet *n, const onnx_node *d, nb_step_kind kind, const nb_geom *g)
{
    const q_value *v;
    NB_TRY(q_real(n, d, 0, &v));
    q_value out = *v;
    if ((v->flat || v->last) && v->h * v->w > 1 && !nb_geom_is_pixels(g)) /* pixel by pixel, no order matters */
        return q_fail(n, d, "its input is no image [N, channels, rows, columns]");
    out.open = (q_open){.kind = kind, .n_in = 1, .geom = *g, .lo = -INFINITY, .hi = INFINITY};
    NB_TRY(q_codes(n, d, v, &out.open.in[0]));
    out.h = g->oh;
    out.w = g->ow;
    if (v->open.in_codes && kind == NB_STEP_MAXPOOL) {
        const q_grid same = q_tensor_grid(n, out.open.in[0]);
        q_value closed;
        NB_TRY(q_close(n, d, &out, &same, &closed));
        return q_output(n, d, closed);
    }
    return q_output(n, d, out);
}

static nb_status window_of(qnet *n, const onnx_node *d, nb_geom *g)
{
    const q_value *v;
    int64_t kernel[2] = {0}, stride[2] = {1, 1}, pads[4] = {0}, dilation[2] = {1, 1};
    NB_TRY(q_real(n, d, 0, &v));
    NB_TRY(q_ints(n, d, "kernel_shape", kernel, 2));
    NB_TRY(q_ints(n, d, "strides", stride, 2));
    NB_TRY(q_ints(n, d, "pads", pads, 4));
    NB_TRY(q_ints(n, d, "dilations", dilation, 2));
    if (kernel[0] < 1 || kernel[1] < 1 || kernel[0] > 1024 || kernel[1] > 1024 || stride[0] < 1 || stride[1] < 1 ||
        dilation[0] != 1 || dilation[1] != 1 || q_int(d, "ceil_mode", 0))
        return q_fail(n, d, "kernel_shape, strides, dilations or ceil_mode are none that integers have");
    *g = nb_geom_pixels(v->h, v->w, v->c, v->c, v->c);
    g->kh = (int32_t)kernel[0];
    g->kw = (int32_t)kernel[1];
    g->stride = (nb_hw){(int32_t)stride[0], (int32_t)stride[1]};
    g->pad = (nb_sides){(int32_t)pads[0], (int32_t)pads[1], (int32_t)pads[2], (int32_t)pads[3]};
    nb_geom_fit(g);
    return g->oh > 0 && g->ow > 0 ? NB_OK : q_fail(n, d, "its window does not fit the image");
}

static nb_status op_maxpool(qnet *n, const onnx_node *d)
{
    nb_geom g;
    NB_TRY(window_of(n, d, &g));
    return pool(n, d, NB_STEP_MAXPOOL, &g);
}

static nb_status op_avgpool(qnet *n, const onnx_node *d)
{
    nb_geom g;
    NB_TRY(window_of(n, d, &g));
    const bool inside = nb_geom_inside(&g) || q_int(d, "count_include_pad", 0);
    return pool(n, d, inside ? NB_STEP_AVGPOOL : NB_STEP_AVGPOOL_INSIDE, &g);
}

static nb_status whole(const qnet *n, const onnx_node *d, nb_geom *g)
{
    const q_value *v;
    NB_TRY(q_real(n, d, 0, &v));
    *g = nb_geom_whole(v->h, v->w, v->c, v->c, v->c);
    return NB_OK;
}

static nb_status op_global_avgpool(qnet *n, const onnx_node *d)
{
    nb_geom g;
    NB_TRY(whole(n, d, &g));
    return pool(n, d, NB_STEP_AVGPOOL, &g);
}

static nb_status op_concat(qnet *n, const onnx_node *d)
{
    const q_value *v;
    q_value out = {.kind = Q_REAL, .open = {.kind = NB_STEP_CONCAT, .lo = -INFINITY, .hi = INFINITY}};
    if (d->n_in < 1 || d->n_in > NB_ENGINE_MAX_IN || q_int(d, "axis", 1) != 1)
        return q_fail(n, d, "must join 1 to %d values by their channels", NB_ENGINE_MAX_IN);
    for (size_t k = 0; k < d->n_in; k++) {
        q_value row;
        NB_TRY(q_real(n, d, k, &v));
        NB_TRY(q_as_row(n, d, v, &row));
        v = &row;
        if (k > 0 && (v->h != out.h || v->w != out.w || v->flat != out.flat || v->last))
            return q_fail(n, d, "joins images of different sizes");
        out.h = v->h;
        out.w = v->w;
        out.flat = v->flat;
        out.c += v->c;
        NB_TRY(q_codes(n, d, v, &out.open.in[out.open.n_in++]));
    }
    if (out.flat && out.h * out.w > 1)
        return q_fail(n, d, "joins flattened images");
    return q_output(n, d, out);
}

/* ---- operators of codes, with the grid of their output ---- */

/* The operator of real values, of these inputs. */
static nb_status on_grid(qnet *n, const onnx_node *d, q_fn fn, const char *const *in, size_t n_in, size_t scale)
{
    onnx_node plain = *d;
    q_grid g;
    q_value out;
    plain.in = in;
    plain.n_in = n_in;
    NB_TRY(q_grid_of(n, d, scale, scale + 1, &g));
    NB_TRY(fn(n, &plain));
    q_value *made = &n->value[n->n_values - 1];
    NB_TRY(q_close(n, d, made, &g, &out));
    out.name = made->name;
    *made = out;
    return NB_OK;
}

static nb_status sum(qnet *n, const onnx_node *d)
{
    return two(n, d, NB_STEP_ADD, 1);
}

static nb_status product(qnet *n, const onnx_node *d)
{
    return two(n, d, NB_STEP_MUL, 1);
}

/* QLinearAdd, QLinearMul: a, s, z, b, s, z, s, z */
static nb_status op_qlinear_two(qnet *n, const onnx_node *d)
{
    if (d->n_in < 7)
        return q_fail(n, d, "must have 8 inputs");
    const char *in[2] = {d->in[0], d->in[3]};
    return on_grid(n, d, strcmp(d->op, "QLinearMul") == 0 ? product : sum, in, 2, 6);
}

/* s, z, and a, s, z of each */
static nb_status op_qlinear_concat(qnet *n, const onnx_node *d)
{
    const char *in[NB_ENGINE_MAX_IN];
    size_t n_in = 0;
    for (size_t at = CONCAT_FIRST; at < d->n_in && n_in < NB_ENGINE_MAX_IN; at += CONCAT_EACH)
        in[n_in++] = d->in[at];
    if (!n_in || d->n_in != CONCAT_FIRST + CONCAT_EACH * n_in)
        return q_fail(n, d, "must join 1 to %d values, each with scale and zero point", NB_ENGINE_MAX_IN);
    return on_grid(n, d, op_concat, in, n_in, 0);
}

static nb_status op_qlinear_pool(qnet *n, const onnx_node *d)
{
    if (q_int(d, "channels_last", 0))
        return q_fail(n, d, "channels_last: must be 0");
    return on_grid(n, d, strcmp(d->op, "QLinearAveragePool") == 0 ? op_avgpool : op_global_avgpool, d->in, 1, 3);
}

static nb_status op_constant(qnet *n, const onnx_node *d)
{
    for (size_t i = 0; i < d->n_attr; i++)
        if (d->attr[i].kind == ONNX_A_TENSOR)
            return q_output(n, d, (q_value){.kind = Q_CONSTANT, .t = d->attr[i].t});
    return q_fail(n, d, "holds no tensor");
}

static const q_operator operators[] = {
    {"Add", op_add},
    {"AveragePool", op_avgpool},
    {"Cast", op_same},
    {"Clip", op_clip},
    {"Concat", op_concat},
    {"Constant", op_constant},
    {"Conv", q_op_conv},
    {"ConvInteger", q_op_conv_integer},
    {"DequantizeLinear", op_dequantize},
    {"Div", op_div},
    {"Dropout", op_same},
    {"Flatten", q_op_flatten},
    {"Gather", op_gather},
    {"Gemm", q_op_gemm},
    {"GlobalAveragePool", op_global_avgpool},
    {"Identity", op_same},
    {"MatMul", q_op_matmul},
    {"MaxPool", op_maxpool},
    {"Mul", op_mul},
    {"Pad", q_op_pad},
    {"QGemm", q_op_qlinear_gemm},
    {"QLinearAdd", op_qlinear_two},
    {"QLinearAveragePool", op_qlinear_pool},
    {"QLinearConcat", op_qlinear_concat},
    {"QLinearConv", q_op_qlinear_conv},
    {"QLinearGlobalAveragePool", op_qlinear_pool},
    {"QLinearMatMul", q_op_qlinear_gemm},
    {"QLinearMul", op_qlinear_two},
    {"QuantizeLinear", op_quantize},
    {"Relu", op_relu},
    {"Reshape", q_op_reshape},
    {"Round", op_same},
    {"Slice", q_op_slice},
    {"Squeeze", q_op_squeeze},
    {"Sub", op_sub},
    {"Transpose", q_op_transpose},
    {"Unsqueeze", q_op_squeeze},
};

q_fn q_operator_find(const char *op)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].op, op) == 0)
            return operators[i].fn;
    return NULL;
}
