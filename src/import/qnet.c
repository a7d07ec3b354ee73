/* qnet.c - reads the nodes of a quantized ONNX graph in order, and keeps what every name stands for. */
#include "import/qnet.h"

#include "base/check.h"
#include "base/rng.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

nb_status q_fail(const qnet *n, const onnx_node *d, const char *fmt, ...)
{
    char text[512], node[100];
    const char *from = *d->name || !d->n_out ? d->name : d->out[0];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t i = 0; /* names come from the file */
    for (; from[i] && i + 1 < sizeof node; i++)
        node[i] = (char)(from[i] >= ' ' && from[i] < 127 ? from[i] : '?');
    node[i] = '\0';
    return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: node '%s' (%.40s): %s", n->file->path, node, d->op, text);
}

/* ---- names ---- */

/* Where the name stands in the index, or would. */
static int32_t *place(const qnet *n, const char *name)
{
    uint32_t at = (uint32_t)nb_hash_text(name) & n->mask;
    while (n->index[at] && strcmp(n->value[n->index[at] - 1].name, name) != 0)
        at = (at + 1) & n->mask;
    return &n->index[at];
}

q_value *q_find(const qnet *n, const char *name)
{
    const int32_t at = *place(n, name);
    return at ? &n->value[at - 1] : NULL;
}

const q_value *q_input(const qnet *n, const onnx_node *d, size_t k)
{
    return k < d->n_in && *d->in[k] ? q_find(n, d->in[k]) : NULL;
}

static nb_status add_value(qnet *n, const q_value *v)
{
    if (n->n_values == n->most_values)
        return nb_fail(n->ctx, NB_E_FORMAT, "%s: more names than nodes", n->file->path);
    int32_t *at = place(n, v->name);
    n->value[n->n_values++] = *v;
    *at = n->n_values; /* given twice: the later one */
    return NB_OK;
}

nb_status q_output(qnet *n, const onnx_node *d, q_value v)
{
    v.name = d->out[0];
    return add_value(n, &v);
}

nb_status q_real(const qnet *n, const onnx_node *d, size_t k, const q_value **out)
{
    const q_value *v = q_input(n, d, k);
    if (!v || v->kind != Q_REAL)
        return q_fail(n, d, "input %zu must come from the images, quantized", k);
    *out = v;
    return NB_OK;
}

nb_status q_constant(const qnet *n, const onnx_node *d, size_t k, const nb_st_tensor **out)
{
    const q_value *v = q_input(n, d, k);
    if (!v || v->kind != Q_CONSTANT || v->t.dtype == NB_ST_OTHER || v->t.count < 1)
        return q_fail(n, d, "input %zu must be a constant of floats or of integers with 4, 8, 32 or 64 bits", k);
    *out = &v->t;
    return NB_OK;
}

double q_number(const nb_st_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case NB_ST_F32:
        return (double)((const float *)t->data)[i];
    case NB_ST_I8:
        return ((const int8_t *)t->data)[i];
    case NB_ST_U8:
        return ((const uint8_t *)t->data)[i];
    case NB_ST_I64:
        return (double)((const int64_t *)t->data)[i];
    default:
        return NAN;
    }
}

nb_status q_grid_of(const qnet *n, const onnx_node *d, size_t scale, size_t zero, q_grid *out)
{
    const nb_st_tensor *s = NULL, *z = NULL;
    NB_TRY(q_constant(n, d, scale, &s));
    if (q_input(n, d, zero))
        NB_TRY(q_constant(n, d, zero, &z));
    *out = (q_grid){.scale = q_number(s, 0)};
    if (s->count != 1 || (z && z->count != 1))
        return q_fail(n, d, "activations have one scale and one zero point here");
    if (!(out->scale > 0) || !isfinite(out->scale))
        return q_fail(n, d, "scale: %g: must be positive", out->scale);
    if (z && z->dtype != NB_ST_U8 && z->dtype != NB_ST_I8)
        return q_fail(n, d, "activations must be int8 or uint8");
    out->zero = z ? (int32_t)q_number(z, 0) : 0;
    out->is_signed = z && z->dtype == NB_ST_I8;
    return NB_OK;
}

static const onnx_attr *attribute(const onnx_node *d, const char *name)
{
    for (size_t i = 0; i < d->n_attr; i++)
        if (strcmp(d->attr[i].name, name) == 0)
            return &d->attr[i];
    return NULL;
}

int64_t q_int(const onnx_node *d, const char *name, int64_t dflt)
{
    const onnx_attr *a = attribute(d, name);
    return a && a->kind == ONNX_A_INT ? a->i : a && a->kind == ONNX_A_FLOAT ? (int64_t)a->f : dflt;
}

nb_status q_ints(const qnet *n, const onnx_node *d, const char *name, int64_t *out, size_t count)
{
    const onnx_attr *a = attribute(d, name);
    if (a && (a->kind != ONNX_A_INTS || a->n != count))
        return q_fail(n, d, "%s: must be %zu integers", name, count);
    for (size_t i = 0; a && i < count; i++) {
        if (a->ints[i] < 0 || a->ints[i] > 1 << 14)
            return q_fail(n, d, "%s: %lld: cannot be", name, (long long)a->ints[i]);
        out[i] = a->ints[i];
    }
    return NB_OK;
}

/* ---- the graph ---- */

static nb_status add_constants(qnet *n)
{
    for (size_t i = 0; i < n->file->n_constants; i++) {
        const q_value v = {.name = n->file->constant[i].name, .kind = Q_CONSTANT, .t = n->file->constant[i]};
        NB_TRY(add_value(n, &v));
    }
    return NB_OK;
}

static nb_status add_images(qnet *n)
{
    const onnx_file *f = n->file;
    const onnx_port *p = f->input;
    if (f->n_inputs != 1 || f->n_outputs != 1)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: has %zu inputs and %zu outputs: must be one of each", f->path,
                       f->n_inputs, f->n_outputs);
    if (p->ndim != 4 || p->dim[1] < 1 || p->dim[2] < 1 || p->dim[3] < 1 || p->dim[1] > 1024 || p->dim[2] > 1 << 14 ||
        p->dim[3] > 1 << 14)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED,
                       "%s: its input must be images [N, channels, rows, columns] of known size", f->path);
    const q_value v = {
        .name = p->name, .kind = Q_IMAGE, .c = (int32_t)p->dim[1], .h = (int32_t)p->dim[2], .w = (int32_t)p->dim[3]};
    return add_value(n, &v);
}

static nb_status walk(qnet *n)
{
    const onnx_file *f = n->file;
    n->most_values = (int32_t)(f->n_constants + f->n_nodes + 1);
    size_t places = 16;
    while (places < 2 * (size_t)n->most_values)
        places *= 2;
    n->mask = (uint32_t)(places - 1);
    n->value = nb_arena_array(n->arena, (size_t)n->most_values, sizeof *n->value);
    n->index = nb_arena_array(n->arena, places, sizeof *n->index);
    if (!n->value || !n->index)
        return NB_E_NOMEM;
    for (size_t i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[2 * i], "nibble.multipliers") == 0)
            n->ours = f->meta[2 * i + 1];
    NB_TRY(add_constants(n));
    NB_TRY(add_images(n));
    for (size_t i = 0; i < f->n_nodes; i++) {
        const q_fn fn = q_operator_find(f->node[i].op);
        if (!fn)
            return q_fail(n, &f->node[i], "integers have no such operator");
        if (f->node[i].n_out < 1)
            return q_fail(n, &f->node[i], "has no output");
        NB_TRY(q_check_operands(n, &f->node[i]));
        NB_TRY(fn(n, &f->node[i]));
    }
    const q_value *out = q_find(n, f->output[0].name);
    if (!out || out->kind != Q_REAL)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: its output does not come from quantized images", f->path);
    return q_close_logits(n, out);
}

static nb_status finish(qnet *n, nb_intmodel **out)
{
    const nb_emodel *e = nb_intbuilder_model(n->b);
    if (e->n_steps < 2)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: holds no quantized layer", n->file->path);
    const nb_etensor *t = &e->tensors[e->steps[e->n_steps - 1].out];
    nb_intmeta meta = {.classes = t->h * t->w * t->c, .accuracy = -1};
    for (size_t i = 0; i < n->file->n_meta; i++)
        if (strcmp(n->file->meta[2 * i], "config") == 0)
            meta.config = n->file->meta[2 * i + 1];
    return nb_intbuilder_finish(n->b, NB_INT_PLAN, &meta, out);
}

static nb_status translate(nb_ctx *ctx, const onnx_file *f, const nb_onnx_integers_options *options, nb_intmodel **out)
{
    static const nb_onnx_integers_options none = {0};
    qnet n = {.ctx = ctx, .file = f, .options = options ? options : &none};
    NB_TRY(nb_arena_create(ctx, &n.arena));
    nb_status st = nb_intbuilder_create(ctx, f->path, &n.b);
    if (st == NB_OK)
        st = walk(&n);
    if (st == NB_OK)
        st = finish(&n, out);
    nb_intbuilder_free(n.b);
    nb_arena_free(n.arena);
    return st;
}

nb_status nb_onnx_integers(nb_ctx *ctx, const char *path, const nb_onnx_integers_options *options, nb_intmodel **out)
{
    onnx_file *f;
    NB_TRY(onnx_file_open_as(ctx, path, ONNX_NARROW, &f));
    const nb_status st = translate(ctx, f, options, out);
    onnx_file_free(ctx, f);
    return st;
}

nb_status nb_onnx_integers_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len,
                                 const nb_onnx_integers_options *options, nb_intmodel **out)
{
    onnx_file *f;
    NB_TRY(onnx_file_parse_as(ctx, name, bytes, len, ONNX_NARROW, &f));
    const nb_status st = translate(ctx, f, options, out);
    onnx_file_free(ctx, f);
    return st;
}

nb_status nb_onnx_quantized_channels(nb_ctx *ctx, const char *path, int32_t *channels)
{
    onnx_file *f;
    bool is = false;
    NB_TRY(onnx_file_open(ctx, path, &f));
    for (size_t i = 0; i < f->n_nodes; i++)
        is = is || strcmp(f->node[i].op, "DequantizeLinear") == 0 || strncmp(f->node[i].op, "QLinear", 7) == 0 ||
             strcmp(f->node[i].op, "ConvInteger") == 0 || strcmp(f->node[i].op, "QGemm") == 0;
    const bool images = f->n_inputs == 1 && f->input[0].ndim == 4 && f->input[0].dim[1] >= 1;
    *channels = !is ? 0 : images && f->input[0].dim[1] <= NB_MAX_CHANNELS ? (int32_t)f->input[0].dim[1] : 1;
    onnx_file_free(ctx, f);
    return NB_OK;
}
