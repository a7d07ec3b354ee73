/* onnx_model.c - the protobuf side of ONNX, on the structs that protoc-c makes of Debian's onnx.proto. */
#include "export/onnx_model.h"

#ifdef NB_ONNX

#    include "base/arena.h"
#    include "base/check.h"
#    include "base/files.h"
#    include "core/feature_map.h"

#    include <onnx.pb-c.h>

#    include <stdarg.h>
#    include <string.h>

typedef struct { /* an array of pointers that grows by doubling inside the arena */
    void **item;
    size_t n, cap;
} list;

struct onnx_model {
    nb_ctx *ctx;
    nb_arena *arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    list nodes, constants, inputs, outputs, metas, attributes; /* attributes: of the node made last */
    nb_status st;
};

static void *get(onnx_model *o, size_t bytes)
{
    void *p = o->st == NB_OK ? nb_arena_alloc(o->arena, bytes) : NULL;
    if (!p)
        o->st = o->st == NB_OK ? NB_E_NOMEM : o->st;
    return p;
}

static char *copy(onnx_model *o, const char *s)
{
    char *p = get(o, strlen(s) + 1);
    if (p)
        memcpy(p, s, strlen(s) + 1);
    return p;
}

static void append(onnx_model *o, list *l, void *item)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        void **bigger = get(o, cap * sizeof *bigger);
        if (!bigger)
            return;
        if (l->n)
            memcpy(bigger, l->item, l->n * sizeof *bigger);
        l->item = bigger;
        l->cap = cap;
    }
    if (item)
        l->item[l->n++] = item;
}

nb_status onnx_create(nb_ctx *ctx, int64_t opset, onnx_model **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    onnx_model *o = nb_arena_alloc(arena, sizeof *o);
    if (!o) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    *o = (onnx_model){.ctx = ctx, .arena = arena};
    onnx__model_proto__init(&o->model);
    onnx__graph_proto__init(&o->graph);
    onnx__operator_set_id_proto__init(&o->opset);
    o->opset.has_version = 1;
    o->opset.version = opset;
    o->opset.domain = copy(o, "");
    o->opsets[0] = &o->opset;
    o->model.n_opset_import = 1;
    o->model.opset_import = o->opsets;
    o->model.has_ir_version = 1;
    o->model.ir_version = opset < 21 ? 7 : 10;
    o->model.producer_name = copy(o, "nibble");
    o->model.graph = &o->graph;
    o->graph.name = copy(o, "nibble");
    *out = o;
    return NB_OK;
}

void onnx_free(onnx_model *o)
{
    if (o)
        nb_arena_free(o->arena);
}

const char *onnx_name(onnx_model *o, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *name = copy(o, text);
    return name ? name : "";
}

static Onnx__NodeProto *last_node(onnx_model *o)
{
    return o->st == NB_OK && o->nodes.n ? o->nodes.item[o->nodes.n - 1] : NULL;
}

const char *onnx_add(onnx_model *o, const char *op, const char *out, const char *const *in, int32_t n_in)
{
    Onnx__NodeProto *n = get(o, sizeof *n);
    char **names = get(o, ((size_t)n_in + 1) * sizeof *names);
    if (!n || !names)
        return "";
    onnx__node_proto__init(n);
    for (int32_t i = 0; i < n_in; i++)
        names[i] = copy(o, in[i]);
    names[n_in] = copy(o, out);
    n->op_type = copy(o, op);
    n->name = names[n_in];
    n->input = names;
    n->n_input = (size_t)n_in;
    n->output = names + n_in;
    n->n_output = 1;
    append(o, &o->nodes, n);
    o->attributes = (list){0};
    return o->st == NB_OK ? names[n_in] : "";
}

void onnx_more_output(onnx_model *o, const char *out)
{
    Onnx__NodeProto *n = last_node(o);
    char **names = n ? get(o, (n->n_output + 1) * sizeof *names) : NULL;
    if (!names)
        return;
    memcpy(names, n->output, n->n_output * sizeof *names);
    names[n->n_output++] = copy(o, out);
    n->output = names;
}

static Onnx__AttributeProto *attribute(onnx_model *o, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = get(o, sizeof *a);
    Onnx__NodeProto *n = last_node(o);
    if (!a || !n)
        return NULL;
    onnx__attribute_proto__init(a);
    a->name = copy(o, name);
    a->has_type = 1;
    a->type = type;
    append(o, &o->attributes, a);
    n->attribute = (Onnx__AttributeProto **)(void *)o->attributes.item;
    n->n_attribute = o->attributes.n;
    return a;
}

void onnx_int(onnx_model *o, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = attribute(o, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a)
        return;
    a->has_i = 1;
    a->i = v;
}

void onnx_string(onnx_model *o, const char *name, const char *v)
{
    Onnx__AttributeProto *a = attribute(o, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *text = copy(o, v);
    if (!a || !text)
        return;
    a->has_s = 1;
    a->s.len = strlen(v);
    a->s.data = (uint8_t *)text;
}

void onnx_float(onnx_model *o, const char *name, float v)
{
    Onnx__AttributeProto *a = attribute(o, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a)
        return;
    a->has_f = 1;
    a->f = v;
}

void onnx_ints(onnx_model *o, const char *name, const int64_t *v, int32_t n)
{
    Onnx__AttributeProto *a = attribute(o, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *values = get(o, (size_t)n * sizeof *values);
    if (!a || !values)
        return;
    memcpy(values, v, (size_t)n * sizeof *values);
    a->ints = values;
    a->n_ints = (size_t)n;
}

const char *onnx_constant(onnx_model *o, const char *name, int32_t type, const int64_t *dims, int32_t n_dims,
                          const void *bytes, size_t len)
{
    Onnx__TensorProto *t = get(o, sizeof *t);
    int64_t *d = get(o, ((size_t)n_dims + 1) * sizeof *d);
    uint8_t *data = get(o, len);
    if (!t || !d || !data)
        return "";
    onnx__tensor_proto__init(t);
    if (n_dims)
        memcpy(d, dims, (size_t)n_dims * sizeof *d);
    if (len)
        memcpy(data, bytes, len);
    t->dims = d;
    t->n_dims = (size_t)n_dims;
    t->has_data_type = 1;
    t->data_type = type;
    t->name = copy(o, name);
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){.len = len, .data = data};
    append(o, &o->constants, t);
    return o->st == NB_OK ? t->name : "";
}

const char *onnx_scalar(onnx_model *o, const char *name, int32_t type, double v)
{
    if (type == ONNX_FLOAT) {
        const float f = (float)v;
        return onnx_constant(o, name, type, NULL, 0, &f, sizeof f);
    }
    const int8_t byte = (int8_t)(uint8_t)(int32_t)v;
    return onnx_constant(o, name, type, NULL, 0, &byte, 1);
}

static Onnx__TensorShapeProto *shape_of(onnx_model *o, const int64_t *dims, int32_t n)
{
    Onnx__TensorShapeProto *s = get(o, sizeof *s);
    Onnx__TensorShapeProto__Dimension *d = get(o, (size_t)n * sizeof *d), **all = get(o, (size_t)n * sizeof *all);
    if (!s || !d || !all)
        return NULL;
    onnx__tensor_shape_proto__init(s);
    for (int32_t i = 0; i < n; i++) {
        onnx__tensor_shape_proto__dimension__init(&d[i]);
        all[i] = &d[i];
        if (dims[i] < 0) {
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d[i].dim_param = copy(o, "N");
        } else {
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d[i].dim_value = dims[i];
        }
    }
    s->dim = all;
    s->n_dim = (size_t)n;
    return s;
}

void onnx_value(onnx_model *o, bool is_output, const char *name, int32_t type, const int64_t *dims, int32_t n_dims)
{
    Onnx__ValueInfoProto *v = get(o, sizeof *v);
    Onnx__TypeProto *t = get(o, sizeof *t);
    Onnx__TypeProto__Tensor *tensor = get(o, sizeof *tensor);
    if (!v || !t || !tensor)
        return;
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = type;
    tensor->shape = shape_of(o, dims, n_dims);
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = tensor;
    v->name = copy(o, name);
    v->type = t;
    append(o, is_output ? &o->outputs : &o->inputs, v);
}

void onnx_meta(onnx_model *o, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *e = get(o, sizeof *e);
    if (!e)
        return;
    onnx__string_string_entry_proto__init(e);
    e->key = copy(o, key);
    e->value = copy(o, value);
    append(o, &o->metas, e);
}

void onnx_features(onnx_model *o, const nb_features *f)
{
    nb_text t;
    if (!f)
        return;
    nb_text_init(o->ctx, &t);
    nb_features_print(&t, f);
    if (t.st == NB_OK)
        onnx_meta(o, "features", t.s);
    else
        o->st = t.st;
    nb_text_free(&t);
}

nb_status onnx_finish(onnx_model *o, const char *path)
{
    o->graph.node = (Onnx__NodeProto **)(void *)o->nodes.item;
    o->graph.n_node = o->nodes.n;
    o->graph.initializer = (Onnx__TensorProto **)(void *)o->constants.item;
    o->graph.n_initializer = o->constants.n;
    o->graph.input = (Onnx__ValueInfoProto **)(void *)o->inputs.item;
    o->graph.n_input = o->inputs.n;
    o->graph.output = (Onnx__ValueInfoProto **)(void *)o->outputs.item;
    o->graph.n_output = o->outputs.n;
    o->model.metadata_props = (Onnx__StringStringEntryProto **)(void *)o->metas.item;
    o->model.n_metadata_props = o->metas.n;
    size_t len = o->st == NB_OK ? onnx__model_proto__get_packed_size(&o->model) : 0;
    uint8_t *bytes = get(o, len);
    NB_TRY(o->st);
    onnx__model_proto__pack(&o->model, bytes);
    return nb_file_write(o->ctx, path, bytes, len);
}

#endif
