/* tflite_model.c - the schema side of TensorFlow Lite: what lies in which field of which table. */
#include "export/tflite_model.h"

#include "base/arena.h"
#include "base/check.h"
#include "export/flatbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SCHEMA_VERSION = 3, DATA_ALIGN = 16 }; /* of constants: kernels read them where they lie */

typedef struct {
    const char *name;
    tfl_type type;
    tfl_shape shape;
    int32_t n_scales, zero, axis;
    const float *scale;
    uint32_t buffer; /* 0: none */
} tensor;

typedef struct {
    tfl_operator op;
    int32_t version, n_in, in[TFL_MAX_IN], out;
    tfl_options options;
} operation;

typedef struct {
    const void *bytes;
    size_t len;
} buffer;

typedef struct {
    const char *name;
    uint32_t buffer;
} metadata;

typedef struct { /* items of one size; grows by doubling inside the arena */
    void *item;
    int32_t n, cap;
} list;

struct tfl_model {
    nb_ctx *ctx;
    nb_arena *arena;
    list tensors, ops, buffers, metas;
    nb_status st;
};

/* Of what has options: the number in the union BuiltinOptions, and the widths of its fields: b bytes, i int32. */
static const struct {
    tfl_operator op;
    int32_t version; /* that has int8 */
    int32_t options;
    const char *fields;
} operators[] = {
    {TFL_ADD, 2, 11, "b"},                    /* activation */
    {TFL_AVERAGE_POOL_2D, 2, 5, "biiiib"},    /* padding, stride w h, window w h, activation */
    {TFL_CONCATENATION, 2, 10, "ib"},         /* axis, activation */
    {TFL_CONV_2D, 3, 1, "biibii"},            /* padding, stride w h, activation, dilation w h */
    {TFL_DEPTHWISE_CONV_2D, 3, 2, "biiibii"}, /* padding, stride w h, multiplier, activation, dilation w h */
    {TFL_FULLY_CONNECTED, 4, 8, "b"},         /* activation */
    {TFL_MAX_POOL_2D, 2, 5, "biiiib"},
    {TFL_MUL, 3, 21, "b"},
    {TFL_RESHAPE, 1, 17, ""},
    {TFL_PAD, 2, 22, ""},
    {TFL_GATHER, 2, 23, "i"}, /* axis */
    {TFL_MEAN, 2, 27, "b"},   /* keep dimensions */
    {TFL_SUB, 2, 28, "b"},
    {TFL_CAST, 1, 37, "bb"}, /* from, to */
    {TFL_MAXIMUM, 2, 39, ""},
    {TFL_MINIMUM, 2, 39, ""},
    {TFL_PADV2, 2, 43, ""},
    {TFL_QUANTIZE, 1, 89, ""},
};

enum { N_OPERATORS = sizeof operators / sizeof *operators };

/* What a table's fields are called in the schema. */
enum { MODEL_VERSION, MODEL_CODES, MODEL_SUBGRAPHS, MODEL_DESCRIPTION, MODEL_BUFFERS, MODEL_METADATA = 6 };
enum { GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPERATORS, GRAPH_NAME };
enum { OP_CODE, OP_INPUTS, OP_OUTPUTS, OP_OPTIONS_TYPE, OP_OPTIONS };
enum { CODE_OLD, CODE_VERSION = 2, CODE_NEW };
enum { TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANTIZATION };
enum { QUANTIZATION_SCALE = 2, QUANTIZATION_ZERO, QUANTIZATION_AXIS = 6 };
enum { BUFFER_DATA };
enum { METADATA_NAME, METADATA_BUFFER };

/* ---- collecting ---- */

static void *get(tfl_model *o, size_t bytes)
{
    void *p = o->st == NB_OK ? nb_arena_alloc(o->arena, bytes) : NULL;
    if (!p)
        o->st = o->st == NB_OK ? NB_E_NOMEM : o->st;
    return p;
}

static const void *copy(tfl_model *o, const void *bytes, size_t len)
{
    void *p = get(o, len);
    if (p && len)
        memcpy(p, bytes, len);
    return p;
}

/* Returns the new item's index. */
static int32_t append(tfl_model *o, list *l, const void *item, size_t size)
{
    if (l->n == l->cap) {
        const int32_t cap = l->cap ? 2 * l->cap : 16;
        void *bigger = get(o, (size_t)cap * size);
        if (!bigger)
            return 0;
        if (l->n)
            memcpy(bigger, l->item, (size_t)l->n * size);
        l->item = bigger;
        l->cap = cap;
    }
    memcpy((char *)l->item + (size_t)l->n * size, item, size);
    return l->n++;
}

static tensor *tensor_at(const tfl_model *o, int32_t i)
{
    return (tensor *)o->tensors.item + i;
}

nb_status tfl_create(nb_ctx *ctx, tfl_model **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    tfl_model *o = nb_arena_alloc(arena, sizeof *o);
    if (!o) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    *o = (tfl_model){.ctx = ctx, .arena = arena};
    append(o, &o->buffers, &(buffer){0}, sizeof(buffer)); /* number 0 is what tensors without bytes have */
    *out = o;
    return NB_OK;
}

void tfl_free(tfl_model *o)
{
    if (o)
        nb_arena_free(o->arena);
}

const char *tfl_printf(tfl_model *o, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *name = copy(o, text, strlen(text) + 1);
    return name ? name : "";
}

int32_t tfl_tensor(tfl_model *o, const char *name, tfl_type type, tfl_shape shape)
{
    const tensor t = {.name = copy(o, name, strlen(name) + 1), .type = type, .shape = shape};
    return append(o, &o->tensors, &t, sizeof t);
}

int32_t tfl_like(tfl_model *o, int32_t t, const char *name, tfl_shape shape)
{
    tensor like = t < o->tensors.n ? *tensor_at(o, t) : (tensor){0};
    like.name = copy(o, name, strlen(name) + 1);
    like.shape = shape;
    like.buffer = 0;
    return append(o, &o->tensors, &like, sizeof like);
}

tfl_shape tfl_shape_of(const tfl_model *o, int32_t t)
{
    return t < o->tensors.n ? tensor_at(o, t)->shape : (tfl_shape){0};
}

static uint32_t add_buffer(tfl_model *o, const void *bytes, size_t len)
{
    const buffer b = {.bytes = copy(o, bytes, len), .len = len};
    return (uint32_t)append(o, &o->buffers, &b, sizeof b);
}

int32_t tfl_constant(tfl_model *o, const char *name, tfl_type type, tfl_shape shape, const void *bytes, size_t len)
{
    const int32_t t = tfl_tensor(o, name, type, shape);
    const uint32_t b = add_buffer(o, bytes, len);
    if (o->st == NB_OK)
        tensor_at(o, t)->buffer = b;
    return t;
}

void tfl_quantize(tfl_model *o, int32_t t, const float *scale, int32_t n, int32_t zero, int32_t axis)
{
    const float *own = copy(o, scale, (size_t)n * sizeof *scale);
    if (o->st != NB_OK)
        return;
    tensor *to = tensor_at(o, t);
    to->scale = own;
    to->n_scales = n;
    to->zero = zero;
    to->axis = axis;
}

static int32_t number_of(tfl_operator op)
{
    int32_t i = 0;
    while (operators[i].op != op)
        i++;
    return i;
}

void tfl_op(tfl_model *o, tfl_operator op, const int32_t *in, int32_t n_in, int32_t out, tfl_options options)
{
    NB_ASSERT(n_in <= TFL_MAX_IN);
    operation x = {.op = op, .n_in = n_in, .out = out, .options = options};
    x.version = options.version ? options.version : operators[number_of(op)].version;
    memcpy(x.in, in, (size_t)n_in * sizeof *in);
    append(o, &o->ops, &x, sizeof x);
}

void tfl_metadata(tfl_model *o, const char *name, const void *bytes, size_t len)
{
    const metadata m = {.name = copy(o, name, strlen(name) + 1), .buffer = add_buffer(o, bytes, len)};
    append(o, &o->metas, &m, sizeof m);
}

/* ---- bytes ---- */

static fb_ref put_quantization(fb_builder *b, const tfl_model *o, const tensor *t)
{
    if (!t->n_scales)
        return 0;
    int64_t *zeros = nb_alloc(o->ctx, (size_t)t->n_scales * sizeof *zeros);
    if (!zeros) {
        b->st = NB_E_NOMEM;
        return 0;
    }
    for (int32_t i = 0; i < t->n_scales; i++)
        zeros[i] = t->zero;
    const fb_ref zero = fb_vector(b, zeros, (size_t)t->n_scales, sizeof *zeros, sizeof *zeros);
    const fb_ref scale = fb_vector(b, t->scale, (size_t)t->n_scales, sizeof *t->scale, sizeof *t->scale);
    nb_free(o->ctx, zeros);
    fb_begin(b);
    fb_to(b, QUANTIZATION_SCALE, scale);
    fb_to(b, QUANTIZATION_ZERO, zero);
    fb_i32(b, QUANTIZATION_AXIS, t->axis);
    return fb_end(b);
}

static fb_ref put_tensor(fb_builder *b, const tfl_model *o, int32_t i)
{
    const tensor *t = tensor_at(o, i);
    const fb_ref quantization = put_quantization(b, o, t), name = fb_string(b, t->name),
                 shape = fb_vector(b, t->shape.d, (size_t)t->shape.n, sizeof *t->shape.d, 4);
    fb_begin(b);
    fb_to(b, TENSOR_SHAPE, shape);
    fb_i32(b, TENSOR_BUFFER, (int32_t)t->buffer);
    fb_to(b, TENSOR_NAME, name);
    fb_to(b, TENSOR_QUANTIZATION, quantization);
    fb_i8(b, TENSOR_TYPE, t->type);
    return fb_end(b);
}

/* The first operation that has the same code and version. */
static int32_t code_of(const tfl_model *o, int32_t op)
{
    const operation *all = o->ops.item;
    int32_t i = 0;
    while (all[i].op != all[op].op || all[i].version != all[op].version)
        i++;
    return i;
}

static fb_ref put_code(fb_builder *b, const tfl_model *o, int32_t i)
{
    const operation *op = (const operation *)o->ops.item + i;
    fb_begin(b);
    fb_i32(b, CODE_VERSION, op->version);
    fb_i32(b, CODE_NEW, (int32_t)op->op);
    fb_i8(b, CODE_OLD, (int32_t)op->op); /* all of ours are below 127 */
    return fb_end(b);
}

static fb_ref put_op(fb_builder *b, const tfl_model *o, int32_t i)
{
    const operation *op = (const operation *)o->ops.item + i;
    const int32_t number = number_of(op->op);
    const char *fields = operators[number].fields;
    int32_t index = 0; /* among the codes, which stand in the order of their first operations */
    for (int32_t k = 0; k < code_of(o, i); k++)
        index += code_of(o, k) == k;
    const fb_ref in = fb_vector(b, op->in, (size_t)op->n_in, sizeof *op->in, 4),
                 out = fb_vector(b, &op->out, 1, sizeof op->out, 4);
    fb_begin(b);
    for (int32_t k = 0; fields[k]; k++)
        if (fields[k] == 'i')
            fb_i32(b, k, op->options.v[k]);
    for (int32_t k = 0; fields[k]; k++)
        if (fields[k] == 'b')
            fb_i8(b, k, op->options.v[k]);
    const fb_ref options = fb_end(b);
    fb_begin(b);
    fb_i32(b, OP_CODE, index);
    fb_to(b, OP_INPUTS, in);
    fb_to(b, OP_OUTPUTS, out);
    fb_to(b, OP_OPTIONS, options);
    fb_i8(b, OP_OPTIONS_TYPE, operators[number].options);
    return fb_end(b);
}

static fb_ref put_buffer(fb_builder *b, const tfl_model *o, int32_t i)
{
    const buffer *x = (const buffer *)o->buffers.item + i;
    const fb_ref data = x->len ? fb_vector(b, x->bytes, x->len, 1, DATA_ALIGN) : 0;
    fb_begin(b);
    fb_to(b, BUFFER_DATA, data);
    return fb_end(b);
}

static fb_ref put_metadata(fb_builder *b, const tfl_model *o, int32_t i)
{
    const metadata *x = (const metadata *)o->metas.item + i;
    const fb_ref name = fb_string(b, x->name);
    fb_begin(b);
    fb_to(b, METADATA_NAME, name);
    fb_i32(b, METADATA_BUFFER, (int32_t)x->buffer);
    return fb_end(b);
}

/* Tables of one kind; of the codes, one for every operator and version. */
static fb_ref put_all(fb_builder *b, const tfl_model *o, int32_t n,
                      fb_ref (*put)(fb_builder *, const tfl_model *, int32_t))
{
    fb_ref *to = nb_alloc(o->ctx, ((size_t)n + 1) * sizeof *to);
    if (!to) {
        b->st = NB_E_NOMEM;
        return 0;
    }
    size_t count = 0;
    for (int32_t i = 0; i < n; i++)
        if (put != put_code || code_of(o, i) == i)
            to[count++] = put(b, o, i);
    const fb_ref all = fb_refs(b, to, count);
    nb_free(o->ctx, to);
    return all;
}

static fb_ref put_graph(fb_builder *b, const tfl_model *o, int32_t input, int32_t output)
{
    const fb_ref tensors = put_all(b, o, o->tensors.n, put_tensor), ops = put_all(b, o, o->ops.n, put_op),
                 in = fb_vector(b, &input, 1, sizeof input, 4), out = fb_vector(b, &output, 1, sizeof output, 4),
                 name = fb_string(b, "main");
    fb_begin(b);
    fb_to(b, GRAPH_TENSORS, tensors);
    fb_to(b, GRAPH_INPUTS, in);
    fb_to(b, GRAPH_OUTPUTS, out);
    fb_to(b, GRAPH_OPERATORS, ops);
    fb_to(b, GRAPH_NAME, name);
    const fb_ref graph = fb_end(b);
    return fb_refs(b, &graph, 1);
}

nb_status tfl_finish(tfl_model *o, int32_t input, int32_t output, const char *path)
{
    NB_TRY(o->st);
    fb_builder b;
    fb_open(&b, o->ctx);
    const fb_ref buffers = put_all(&b, o, o->buffers.n, put_buffer), metas = put_all(&b, o, o->metas.n, put_metadata),
                 graph = put_graph(&b, o, input, output), codes = put_all(&b, o, o->ops.n, put_code),
                 description = fb_string(&b, "made by nibble");
    fb_begin(&b);
    fb_i32(&b, MODEL_VERSION, SCHEMA_VERSION);
    fb_to(&b, MODEL_CODES, codes);
    fb_to(&b, MODEL_SUBGRAPHS, graph);
    fb_to(&b, MODEL_DESCRIPTION, description);
    fb_to(&b, MODEL_BUFFERS, buffers);
    fb_to(&b, MODEL_METADATA, metas);
    const fb_ref root = fb_end(&b);
    const nb_status st = fb_finish(&b, root, "TFL3", path);
    fb_close(&b);
    return st;
}
