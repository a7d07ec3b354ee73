/* onnx_file.c - protobuf-c on hostile bytes.
 *
 * protobuf-c recurses as deep as the file says and allocates a struct for every two bytes of it, so the bytes are
 * walked first, along the same descriptors: nesting and the number of things are bounded before anything is unpacked.
 * Tensors must then hold exactly what their dimensions say. */
#include "import/onnx_file.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "import/onnx_external.h"

#ifdef NB_ONNX

#    include <onnx.pb-c.h>

#    include <string.h>

enum { TYPE_UINT4 = 21, TYPE_INT4 = 22 }; /* younger than the schema that Debian ships */
enum { MAX_DEPTH = 16, MAX_THINGS = 1 << 18, MAX_TENSOR_DIM = 1 << 30, MAX_FLAGS = 1 << 20 };
static const size_t max_file_bytes = (size_t)1 << 30;
static const int64_t max_elements = (int64_t)1 << 32;

struct onnx_memory {
    nb_arena *arena;
    Onnx__ModelProto *model;
    onnx_externals externals;
    ProtobufCAllocator allocator;
};

/* ---- the walk ---- */

typedef struct {
    const uint8_t *at, *end;
    int32_t *things;
} wire;

static bool read_varint(wire *w, uint64_t *v)
{
    *v = 0;
    for (int32_t shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        uint8_t byte = *w->at++;
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static const char *walk(const ProtobufCMessageDescriptor *type, wire w, int32_t depth);

/* One field behind its tag; NULL when it is sound. */
static const char *walk_field(const ProtobufCMessageDescriptor *type, wire *w, uint64_t tag, int32_t depth)
{
    uint64_t n = (tag & 7) == 1 ? 8 : 4;
    if ((tag & 7) == 0)
        return read_varint(w, &n) ? NULL : "a number is cut short";
    if ((tag & 7) != 1 && (tag & 7) != 2 && (tag & 7) != 5)
        return "a field of an unknown wire type";
    if ((tag & 7) == 2 && !read_varint(w, &n))
        return "a length is cut short";
    if (n > (uint64_t)(w->end - w->at))
        return "a field reaches behind the end (cut short?)";
    const ProtobufCFieldDescriptor *f =
        tag >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3)) : NULL;
    const char *bad = NULL;
    if ((tag & 7) == 2 && ++*w->things > MAX_THINGS)
        return "more than 262144 nodes, names and tensors";
    if ((tag & 7) == 2 && f && f->type == PROTOBUF_C_TYPE_MESSAGE)
        bad = depth < MAX_DEPTH ? walk(f->descriptor, (wire){w->at, w->at + n, w->things}, depth + 1)
                                : "is nested too deep";
    w->at += n;
    return bad;
}

static const char *walk(const ProtobufCMessageDescriptor *type, wire w, int32_t depth)
{
    while (w.at < w.end) {
        uint64_t tag;
        if (!read_varint(&w, &tag) || tag >> 3 == 0)
            return "a tag is no tag";
        const char *bad = walk_field(type, &w, tag, depth);
        if (bad)
            return bad;
    }
    return NULL;
}

static void *take(void *ctx, size_t bytes)
{
    return nb_alloc(ctx, bytes);
}

static void give(void *ctx, void *p)
{
    nb_free(ctx, p);
}

/* ---- protobuf to ours ---- */

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    const char *path;
    onnx_externals *externals; /* NULL: the model is no file, and nothing lies beside it */
    bool narrow;               /* integers of 8 and 4 bits are read, too */
} reader;

static const char *text(const char *s)
{
    return s ? s : "";
}

static nb_status bad_tensor(const reader *r, const char *name, const char *what)
{
    return nb_fail(r->ctx, NB_E_FORMAT, "%s: tensor '%.100s': %s", r->path, name, what);
}

static nb_status read_dims(const reader *r, const Onnx__TensorProto *t, nb_st_tensor *out)
{
    if (t->n_dims > NB_ST_MAX_DIM)
        return bad_tensor(r, out->name, "has more than 8 dimensions");
    out->ndim = (int32_t)t->n_dims;
    out->count = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0 || t->dims[i] > MAX_TENSOR_DIM || (t->dims[i] && out->count > max_elements / t->dims[i]))
            return bad_tensor(r, out->name, "has dimensions that cannot be");
        out->shape[i] = t->dims[i];
        out->count *= t->dims[i];
    }
    return NB_OK;
}

static bool read_number(const char *digits, int64_t *v)
{
    const size_t n = strspn(digits, "0123456789");
    *v = 0;
    for (size_t i = 0; i < n && i < 15; i++)
        *v = *v * 10 + digits[i] - '0';
    return n > 0 && n <= 15 && !digits[n];
}

static bool is_external(const Onnx__TensorProto *t)
{
    return t->n_external_data ||
           (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
}

/* "location", "offset" and "length", of which the first must be there. */
static nb_status read_external(const reader *r, const Onnx__TensorProto *t, nb_st_tensor *out)
{
    onnx_place at = {.length = -1, .bytes = (int64_t)out->bytes};
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = text(t->external_data[i]->key), *value = text(t->external_data[i]->value);
        int64_t *number = strcmp(key, "offset") == 0 ? &at.offset : strcmp(key, "length") == 0 ? &at.length : NULL;
        if (strcmp(key, "location") == 0)
            at.location = value;
        if (number && !read_number(value, number))
            return bad_tensor(r, out->name, "says no number where its values lie in another file");
    }
    if (!at.location)
        return bad_tensor(r, out->name, "its values are in another file, and it does not say which");
    if (!r->externals)
        return bad_tensor(r, out->name, "its values are in another file");
    const nb_status st = onnx_external_read(r->ctx, r->arena, r->externals, r->path, &at, &out->data);
    if (st == NB_OK || st == NB_E_NOMEM)
        return st;
    return nb_fail(r->ctx, st, "%s: tensor '%.100s': %s", r->path, out->name, nb_ctx_error(r->ctx));
}

/* The bytes of a tensor that holds them as they are, here or in another file; NULL: it lists numbers. */
static nb_status read_raw(const reader *r, const Onnx__TensorProto *t, nb_st_tensor *out)
{
    if (is_external(t))
        return read_external(r, t, out);
    if (t->has_raw_data && t->raw_data.len != out->bytes)
        return bad_tensor(r, out->name, "does not hold as many values as its dimensions say");
    out->data = t->has_raw_data ? t->raw_data.data : NULL;
    return NB_OK;
}

/* INT32 and BOOL become INT64, and floats of 16 bits that are listed become bits. */
static nb_status read_listed(const reader *r, const Onnx__TensorProto *t, size_t bytes, nb_st_tensor *out)
{
    const uint8_t *raw = out->data;
    const bool half = out->dtype != NB_ST_I64;
    void *data = nb_arena_array(r->arena, (size_t)out->count + 1, half ? 2 : 8);
    if (!data)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < out->count; i++) {
        int32_t v = raw ? raw[i] : t->int32_data[i];
        if (raw && bytes == 4)
            memcpy(&v, raw + 4 * i, sizeof v);
        if (half)
            ((uint16_t *)data)[i] = (uint16_t)v;
        else
            ((int64_t *)data)[i] = bytes == 1 ? v != 0 : v;
    }
    out->data = data;
    out->bytes = (size_t)out->count * (half ? 2 : 8);
    return NB_OK;
}

/* Integers of 8 bits, or of 4 in halves of bytes, the first in the low one. */
static nb_status read_narrow(const reader *r, const Onnx__TensorProto *t, nb_st_tensor *out)
{
    const bool halves = t->data_type == TYPE_INT4 || t->data_type == TYPE_UINT4;
    const bool is_signed = t->data_type == TYPE_INT4 || t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    out->dtype = is_signed ? NB_ST_I8 : NB_ST_U8;
    out->bytes = (size_t)(halves ? (out->count + 1) / 2 : out->count);
    NB_TRY(read_raw(r, t, out));
    const uint8_t *raw = out->data;
    if (!raw && (halves || t->n_int32_data != (size_t)out->count))
        return bad_tensor(r, out->name, "does not hold as many values as its dimensions say");
    uint8_t *data = nb_arena_array(r->arena, (size_t)out->count + 1, 1);
    if (!data)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < out->count; i++) {
        const int32_t half = halves ? raw[i / 2] >> 4 * (i % 2) & 15 : 0;
        data[i] = (uint8_t)(!halves ? (raw ? raw[i] : t->int32_data[i]) : is_signed && half > 7 ? half - 16 : half);
    }
    out->data = data;
    out->bytes = (size_t)out->count;
    return NB_OK;
}

/* Integers of other widths stay OTHER: they belong to networks that are quantized already. */
static nb_status read_tensor(const reader *r, const Onnx__TensorProto *t, nb_st_tensor *out)
{
    static const struct {
        int32_t type;
        nb_st_dtype dtype;
        size_t bytes;
    } types[] = {{ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NB_ST_F32, 4},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, NB_ST_F64, 8},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, NB_ST_F16, 2},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, NB_ST_BF16, 2},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__INT64, NB_ST_I64, 8},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__INT32, NB_ST_I64, 4},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, NB_ST_I64, 1}};
    *out = (nb_st_tensor){.name = text(t->name), .dtype = NB_ST_OTHER};
    NB_TRY(read_dims(r, t, out));
    if (r->narrow && (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8 || t->data_type == TYPE_INT4 ||
                      t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 || t->data_type == TYPE_UINT4))
        return read_narrow(r, t, out);
    size_t i = 0, n_types = sizeof types / sizeof *types;
    while (i < n_types && types[i].type != t->data_type)
        i++;
    if (i == n_types || (types[i].bytes == 1 && out->count > MAX_FLAGS))
        return NB_OK;
    out->dtype = types[i].dtype;
    out->bytes = (size_t)out->count * types[i].bytes;
    NB_TRY(read_raw(r, t, out));
    const bool listed = (out->dtype == NB_ST_I64 && types[i].bytes < 8) || (types[i].bytes == 2 && !out->data);
    size_t given = (size_t)out->count;
    if (!out->data && listed)
        given = t->n_int32_data;
    else if (!out->data && out->dtype == NB_ST_F32)
        given = t->n_float_data;
    else if (!out->data && out->dtype == NB_ST_F64)
        given = t->n_double_data;
    else if (!out->data)
        given = t->n_int64_data;
    if (given != (size_t)out->count)
        return bad_tensor(r, out->name, "does not hold as many values as its dimensions say");
    if (listed)
        return read_listed(r, t, types[i].bytes, out);
    if (!out->data)
        out->data = out->dtype == NB_ST_F32   ? (const void *)t->float_data
                    : out->dtype == NB_ST_F64 ? (const void *)t->double_data
                                              : (const void *)t->int64_data;
    return NB_OK;
}

static nb_status read_attr(const reader *r, const Onnx__AttributeProto *a, onnx_attr *out)
{
    *out = (onnx_attr){.name = text(a->name), .kind = ONNX_A_OTHER};
    char *s;
    switch (a->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        out->kind = ONNX_A_INT;
        out->i = a->i;
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        out->kind = ONNX_A_FLOAT;
        out->f = a->f;
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        out->kind = ONNX_A_STRING;
        out->s = s = nb_arena_alloc(r->arena, a->s.len + 1);
        if (!s)
            return NB_E_NOMEM;
        if (a->s.len)
            memcpy(s, a->s.data, a->s.len);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        out->kind = ONNX_A_INTS;
        out->ints = a->ints;
        out->n = a->n_ints;
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        out->kind = ONNX_A_FLOATS;
        out->floats = a->floats;
        out->n = a->n_floats;
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        out->kind = a->t ? ONNX_A_TENSOR : ONNX_A_OTHER;
        return a->t ? read_tensor(r, a->t, &out->t) : NB_OK;
    default:
        break;
    }
    return NB_OK;
}

static nb_status read_node(const reader *r, const Onnx__NodeProto *n, onnx_node *out)
{
    onnx_attr *attr = nb_arena_array(r->arena, n->n_attribute + 1, sizeof *attr);
    if (!attr)
        return NB_E_NOMEM;
    for (size_t i = 0; i < n->n_attribute; i++)
        NB_TRY(read_attr(r, n->attribute[i], &attr[i]));
    *out = (onnx_node){.name = text(n->name),
                       .op = text(n->op_type),
                       .domain = text(n->domain),
                       .in = (const char *const *)n->input,
                       .out = (const char *const *)n->output,
                       .n_in = n->n_input,
                       .n_out = n->n_output,
                       .attr = attr,
                       .n_attr = n->n_attribute};
    return NB_OK;
}

static void read_value(const Onnx__ValueInfoProto *v, onnx_port *out)
{
    *out = (onnx_port){.name = text(v->name), .ndim = -1};
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !v->type->tensor_type)
        return;
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    out->type = t->elem_type;
    if (!t->shape || t->shape->n_dim > ONNX_FILE_DIMS)
        return;
    out->ndim = (int32_t)t->shape->n_dim;
    for (int32_t i = 0; i < out->ndim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
        bool known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        out->dim[i] = known && d->dim_value > 0 ? d->dim_value : -1;
    }
}

static bool is_constant(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (strcmp(text(g->initializer[i]->name), text(name)) == 0)
            return true;
    return false;
}

/* Older files list their initializers among the inputs. */
static nb_status read_values(const reader *r, const Onnx__GraphProto *g, onnx_file *f)
{
    if (g->n_input > ONNX_FILE_NODES || g->n_output > ONNX_FILE_NODES || g->n_initializer > ONNX_FILE_NODES)
        return nb_fail(r->ctx, NB_E_UNSUPPORTED, "%s: more than %d inputs, outputs or initializers", r->path,
                       ONNX_FILE_NODES);
    onnx_port *in = nb_arena_array(r->arena, g->n_input + 1, sizeof *in);
    onnx_port *out = nb_arena_array(r->arena, g->n_output + 1, sizeof *out);
    if (!in || !out)
        return NB_E_NOMEM;
    for (size_t i = 0; i < g->n_input; i++)
        if (!is_constant(g, g->input[i]->name))
            read_value(g->input[i], &in[f->n_inputs++]);
    for (size_t i = 0; i < g->n_output; i++)
        read_value(g->output[i], &out[f->n_outputs++]);
    f->input = in;
    f->output = out;
    return NB_OK;
}

static nb_status read_meta(const reader *r, const Onnx__ModelProto *m, onnx_file *f)
{
    const char **meta = nb_arena_array(r->arena, 2 * m->n_metadata_props + 1, sizeof *meta);
    if (!meta)
        return NB_E_NOMEM;
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        meta[2 * i] = text(m->metadata_props[i]->key);
        meta[2 * i + 1] = text(m->metadata_props[i]->value);
    }
    f->meta = meta;
    f->n_meta = m->n_metadata_props;
    for (size_t i = 0; i < m->n_opset_import; i++)
        if (*text(m->opset_import[i]->domain) == '\0' || strcmp(m->opset_import[i]->domain, "ai.onnx") == 0)
            f->opset = m->opset_import[i]->version;
    return NB_OK;
}

static nb_status read_model(const reader *r, const Onnx__ModelProto *m, onnx_file *f)
{
    const Onnx__GraphProto *g = m->graph;
    if (!g)
        return nb_fail(r->ctx, NB_E_FORMAT, "%s: holds no graph: not an ONNX model", r->path);
    if (g->n_node > ONNX_FILE_NODES)
        return nb_fail(r->ctx, NB_E_UNSUPPORTED, "%s: %zu nodes are more than %d", r->path, g->n_node, ONNX_FILE_NODES);
    if (g->n_sparse_initializer)
        return nb_fail(r->ctx, NB_E_UNSUPPORTED, "%s: sparse initializers are not supported", r->path);
    NB_TRY(read_values(r, g, f));
    NB_TRY(read_meta(r, m, f));
    onnx_node *node = nb_arena_array(r->arena, g->n_node + 1, sizeof *node);
    nb_st_tensor *constant = nb_arena_array(r->arena, g->n_initializer + 1, sizeof *constant);
    if (!node || !constant)
        return NB_E_NOMEM;
    for (size_t i = 0; i < g->n_initializer; i++)
        NB_TRY(read_tensor(r, g->initializer[i], &constant[f->n_constants++]));
    for (size_t i = 0; i < g->n_node; i++)
        NB_TRY(read_node(r, g->node[i], &node[f->n_nodes++]));
    f->node = node;
    f->constant = constant;
    return NB_OK;
}

/* ---- in and out ---- */

static nb_status unpack(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file_kind kind,
                        onnx_file *f)
{
    int32_t things = 0;
    const char *bad = len ? walk(&onnx__model_proto__descriptor, (wire){bytes, bytes + len, &things}, 0) : "is empty";
    char other[NB_FILE_KIND_BYTES];
    if (bad && len && nb_file_kind(name, bytes, len, other, sizeof other) && strncmp(other, "an ONNX", 7) != 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not an ONNX model but %s", name, other);
    if (bad)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not an ONNX model, or damaged: %s", name, bad);
    f->memory->model = onnx__model_proto__unpack(&f->memory->allocator, len, bytes);
    if (!f->memory->model)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not an ONNX model, or damaged: it cannot be unpacked", name);
    const reader r = {ctx, f->memory->arena, f->path, kind & ONNX_ON_DISK ? &f->memory->externals : NULL,
                      (kind & ONNX_NARROW) != 0};
    return read_model(&r, f->memory->model, f);
}

nb_status onnx_file_parse_as(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file_kind kind,
                             onnx_file **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    onnx_file *f = nb_arena_alloc(arena, sizeof *f);
    struct onnx_memory *m = nb_arena_alloc(arena, sizeof *m);
    if (!f || !m) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    *m = (struct onnx_memory){.arena = arena, .allocator = {.alloc = take, .free = give, .allocator_data = ctx}};
    f->memory = m;
    f->path = nb_arena_strdup(arena, name);
    nb_status st = f->path ? unpack(ctx, name, bytes, len, kind, f) : NB_E_NOMEM;
    if (st == NB_OK)
        *out = f;
    else
        onnx_file_free(ctx, f);
    return st;
}

nb_status onnx_file_open_as(nb_ctx *ctx, const char *path, onnx_file_kind kind, onnx_file **out)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, max_file_bytes, &bytes, &len));
    nb_status st = onnx_file_parse_as(ctx, path, bytes, len, kind | ONNX_ON_DISK, out);
    nb_free(ctx, bytes);
    return st;
}

void onnx_file_free(nb_ctx *ctx, onnx_file *f)
{
    if (!f)
        return;
    struct onnx_memory *m = f->memory;
    if (m->model)
        onnx__model_proto__free_unpacked(m->model, &m->allocator);
    onnx_externals_free(ctx, &m->externals);
    nb_arena_free(m->arena);
}

#else

nb_status onnx_file_parse_as(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file_kind kind,
                             onnx_file **out)
{
    (void)bytes;
    (void)len;
    (void)kind;
    (void)out;
    return nb_fail(ctx, NB_E_UNSUPPORTED,
                   "%s: this build has no ONNX: install libprotobuf-c-dev, protobuf-c-compiler and libonnx-dev, and "
                   "build again",
                   name);
}

nb_status onnx_file_open_as(nb_ctx *ctx, const char *path, onnx_file_kind kind, onnx_file **out)
{
    return onnx_file_parse_as(ctx, path, NULL, 0, kind, out);
}

void onnx_file_free(nb_ctx *ctx, onnx_file *f)
{
    (void)ctx;
    (void)f;
}

#endif

nb_status onnx_file_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file **out)
{
    return onnx_file_parse_as(ctx, name, bytes, len, 0, out);
}

nb_status onnx_file_open(nb_ctx *ctx, const char *path, onnx_file **out)
{
    return onnx_file_open_as(ctx, path, 0, out);
}
