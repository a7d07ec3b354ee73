/* intfile_read.c - reads an integer checkpoint, trusting nothing; the format is specified in intfile.c.
 *
 * Three layers of checks: the container (base/safetensors.c: sizes, dtypes, overlaps), the fields here (every key
 * present once and of its type, every tensor of the dtype and shape its step asks for, none left over), the model in
 * intbuild.c (order, geometry, codes, accumulator bounds, arena, nb_engine_check). Shapes are checked before any length
 * is computed from them. */
#include "lower/intfile.h"

#include "base/check.h"
#include "base/numtext.h"
#include "base/safetensors.h"
#include "core/feature_map.h"
#include "lower/intbuild.h"
#include "lower/intcheck.h"
#include "lower/intfile_json.h"
#include "lower/pack.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    nb_ctx *ctx;
    const char *file; /* name for messages */
    const nb_st_file *st;
    int version, needed; /* of the format: the file's, and what it has so far asks for */
    int32_t used;        /* tensors of the file some step asked for */
    nb_intbuilder *builder;
    nb_arena *arena;        /* until the file is read */
    const nb_emodel *model; /* the builder's, so far */
} reader;

/* A step while it is read. */
typedef struct {
    nb_estep e;
    nb_sinfo info;
    nb_packing packing; /* as the file says */
    int8_t *unpacked;   /* weights, when they cannot be used where they lie; freed with the step */
} filed_step;

static nb_status bad(const reader *r, const char *fmt, ...) NB_PRINTF(2, 3);
static nb_status bad(const reader *r, const char *fmt, ...)
{
    char why[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return nb_fail(r->ctx, NB_E_FORMAT, "%s: %s", r->file, why);
}

/* ---- the graph ---- */

/* What was read so far is in files of this version, or a later one. */
static void needs(reader *r, int version)
{
    r->needed = version > r->needed ? version : r->needed;
}

static nb_status read_tensor(reader *r, const nb_json *o, nb_etensor *t, nb_tinfo *info)
{
    double scale;
    double offset;
    NB_TRY(nb_json_expect(o, 9));
    NB_TRY(nb_json_text(o, "name", &info->name));
    NB_TRY(nb_json_int(o, "h", &t->h));
    NB_TRY(nb_json_int(o, "w", &t->w));
    NB_TRY(nb_json_int(o, "c", &t->c));
    NB_TRY(nb_json_choice(o, "type", nb_etype_names, 3, &t->type));
    NB_TRY(nb_json_int(o, "bits", &info->bits));
    NB_TRY(nb_json_double(o, "scale", &scale));
    NB_TRY(nb_json_int(o, "zero", &t->zero));
    NB_TRY(nb_json_double(o, "offset", &offset));
    NB_TRY(nb_json_whole(o, "offset", offset, 0, 9007199254740992.0)); /* 2^53: beyond it a double skips integers */
    if (scale < 0 || scale > FLT_MAX)
        return bad(r, "graph: tensor %d: scale: %g: must be a positive float", o->index, scale);
    if (info->bits == 1 && r->version < NB_INTFILE_GRIDS)
        return bad(r, "graph: tensor %d: bits: 1: only format \"%s%d\" has it", o->index, NB_INTFILE_FAMILY,
                   NB_INTFILE_GRIDS);
    needs(r, info->bits == 1 ? NB_INTFILE_GRIDS : NB_INTFILE_PLAIN);
    info->scale = (float)scale;
    t->offset = (uint64_t)offset;
    return NB_OK;
}

static nb_status read_tensors(reader *r, const cJSON *list)
{
    const int32_t n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > NB_ENGINE_MAX_TENSORS)
        return bad(r, "graph: \"tensors\" must be a list of 1..%d", NB_ENGINE_MAX_TENSORS);
    const cJSON *item;
    int32_t index = -1;
    cJSON_ArrayForEach(item, list)
    {
        const nb_json o = {r->ctx, r->file, item, "tensor", index + 1};
        nb_etensor t = {0};
        nb_tinfo info = {0};
        NB_TRY(read_tensor(r, &o, &t, &info));
        NB_TRY(nb_intbuilder_tensor(r->builder, &t, &info, &index));
    }
    return NB_OK;
}

static nb_status read_geom(reader *r, const nb_json *step, nb_geom *g)
{
    const nb_json o = {r->ctx, r->file, cJSON_GetObjectItemCaseSensitive(step->json, "geom"), "geom of step",
                       step->index};
    NB_TRY(nb_json_expect(&o, 12));
    NB_TRY(nb_json_int(&o, "h", &g->h));
    NB_TRY(nb_json_int(&o, "w", &g->w));
    NB_TRY(nb_json_int(&o, "c", &g->c));
    NB_TRY(nb_json_int(&o, "oh", &g->oh));
    NB_TRY(nb_json_int(&o, "ow", &g->ow));
    NB_TRY(nb_json_int(&o, "oc", &g->oc));
    NB_TRY(nb_json_int(&o, "kh", &g->kh));
    NB_TRY(nb_json_int(&o, "kw", &g->kw));
    NB_TRY(nb_json_ints(&o, "stride", &g->stride.h, 2));
    NB_TRY(nb_json_ints(&o, "pad", &g->pad.top, 4));
    NB_TRY(nb_json_ints(&o, "dilation", &g->dilation.h, 2));
    return nb_json_int(&o, "groups", &g->groups);
}

static nb_status read_inputs(reader *r, const nb_json *o, nb_estep *s)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o->json, "in");
    const cJSON *item;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > NB_ENGINE_MAX_IN)
        return bad(r, "graph: step %d: \"in\" must be a list of at most %d", o->index, NB_ENGINE_MAX_IN);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNumber(item))
            return bad(r, "graph: step %d: \"in\" must hold numbers", o->index);
        NB_TRY(nb_json_whole(o, "in", item->valuedouble, 0, r->model->n_tensors - 1));
        s->in[s->n_in++] = (int32_t)item->valuedouble;
    }
    return NB_OK;
}

/* Does the step's packing have a size of blocks? */
static bool has_block(const cJSON *step)
{
    const cJSON *packing = cJSON_GetObjectItemCaseSensitive(step, "packing");
    return cJSON_IsString(packing) && strcmp(packing->valuestring, NB_PACK_BLOCKS) == 0;
}

static nb_status read_block(reader *r, const nb_json *o, nb_sinfo *s)
{
    if (s->weight_bits < NB_PACK_MIN_BITS || s->weight_bits > NB_PACK_MAX_MANTISSA)
        return bad(r, "graph: step %d: weight_bits: %d: must be 2..%d in blocks", o->index, s->weight_bits,
                   NB_PACK_MAX_MANTISSA);
    NB_TRY(nb_json_int(o, "block", &s->block));
    if (s->block < 1)
        return bad(r, "graph: step %d: block: %d: must be 1 or more", o->index, s->block);
    return NB_OK;
}

static nb_status read_packing(reader *r, const nb_json *o, filed_step *f)
{
    nb_sinfo *s = &f->info;
    const char *packing;
    NB_TRY(nb_json_int(o, "weight_bits", &s->weight_bits));
    NB_TRY(nb_json_text(o, "packing", &packing));
    f->packing = strcmp(packing, NB_PACK_LEVELS) == 0   ? NB_PACKING_LEVELS
                 : strcmp(packing, NB_PACK_OFFSET) == 0 ? NB_PACKING_OFFSET
                 : strcmp(packing, NB_PACK_BLOCKS) == 0 ? NB_PACKING_BLOCKS
                                                        : NB_PACKING_CODES;
    const int asks = nb_intfile_version(&(nb_sinfo){.packing = f->packing});
    if (asks > r->version)
        return bad(r, "graph: step %d: packing: \"%s\": only format \"%s%d\" has it", o->index, packing,
                   NB_INTFILE_FAMILY, asks);
    if (f->packing == NB_PACKING_BLOCKS) {
        needs(r, asks);
        return read_block(r, o, s);
    }
    if (f->packing != NB_PACKING_CODES && (s->weight_bits < 1 || s->weight_bits > NB_PACK_MAX_BITS))
        return bad(r, "graph: step %d: weight_bits: %d: must be 1..8", o->index, s->weight_bits);
    needs(r, asks);
    if (f->packing != NB_PACKING_CODES)
        return NB_OK;
    if (s->weight_bits < NB_PACK_MIN_BITS || s->weight_bits > NB_PACK_MAX_BITS)
        return bad(r, "graph: step %d: weight_bits: %d: must be 2..8", o->index, s->weight_bits);
    if (strcmp(packing, nb_pack_name(s->weight_bits)) != 0)
        return bad(r, "graph: step %d: packing: \"%.100s\": must be \"%s\" for %d bits", o->index, packing,
                   nb_pack_name(s->weight_bits), s->weight_bits);
    return NB_OK;
}

static nb_status read_fields(reader *r, const nb_json *o, filed_step *f)
{
    nb_estep *s = &f->e;
    if (!cJSON_IsObject(o->json))
        return bad(r, "graph: step %d: must be an object", o->index);
    NB_TRY(nb_json_choice(o, "kind", nb_step_names, NB_STEP_KINDS, &s->kind));
    NB_TRY(nb_json_expect(o, s->kind == NB_STEP_CONV ? 9 + has_block(o->json) : nb_step_has_geom(s->kind) ? 7 : 6));
    NB_TRY(nb_json_text(o, "name", &f->info.name));
    NB_TRY(read_inputs(r, o, s));
    NB_TRY(nb_json_int(o, "out", &s->out));
    NB_TRY(nb_json_int(o, "lo", &s->lo));
    NB_TRY(nb_json_int(o, "hi", &s->hi));
    if (nb_step_has_geom(s->kind))
        NB_TRY(read_geom(r, o, &s->geom));
    if (nb_intfile_of_step(s) > r->version)
        return bad(r, "graph: step %d: its kind, input or window: only format \"%s%d\" has it", o->index,
                   NB_INTFILE_FAMILY, nb_intfile_of_step(s));
    needs(r, nb_intfile_of_step(s));
    return s->kind == NB_STEP_CONV ? read_packing(r, o, f) : NB_OK;
}

/* ---- arrays ---- */

/* What a step expects of the file: "<step>.<what>". */
typedef struct {
    const char *what;
    nb_st_dtype dtype;
    int32_t ndim;
    int64_t shape[4];
} wanted;

static const nb_st_tensor *find(const reader *r, const char *step, const char *what)
{
    char name[NB_INT_MAX_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", step, what);
    return nb_st_find(r->st, name);
}

static nb_status get_array(reader *r, const char *step, const wanted *w, const nb_st_tensor **out)
{
    static const nb_st_tensor none = {0};
    const nb_st_tensor *t = find(r, step, w->what);
    *out = &none;
    if (!t)
        return bad(r, "tensor \"%s.%s\" is missing", step, w->what);
    if (t->dtype != w->dtype)
        return bad(r, "tensor \"%s.%s\" is %s: must be %s", step, w->what,
                   t->dtype == NB_ST_OTHER ? "of another dtype" : nb_st_dtype_name(t->dtype),
                   nb_st_dtype_name(w->dtype));
    bool same = t->ndim == w->ndim;
    for (int32_t i = 0; same && i < t->ndim; i++)
        same = t->shape[i] == w->shape[i];
    if (!same)
        return bad(r, "tensor \"%s.%s\" has %" PRId64 " values: must have %" PRId64 " x %" PRId64 " in %d dimensions",
                   step, w->what, t->count, w->shape[0],
                   w->ndim == 4   ? w->shape[1] * w->shape[2] * w->shape[3]
                   : w->ndim == 2 ? w->shape[1]
                                  : 1,
                   w->ndim);
    r->used++;
    *out = t;
    return NB_OK;
}

static nb_status get_i32(reader *r, const char *step, const char *what, int32_t n, const int32_t **out)
{
    const nb_st_tensor *t;
    NB_TRY(get_array(r, step, &(wanted){what, NB_ST_I32, 1, {n}}, &t));
    *out = t->data;
    return NB_OK;
}

/* One table, or from version 3 on one for each channel. */
static nb_status get_levels(reader *r, filed_step *s)
{
    const char *name = s->info.name;
    const nb_st_tensor *t = find(r, name, "levels");
    const int64_t most = (int64_t)1 << s->info.weight_bits;
    const bool own = t && t->ndim == 2 && r->version >= NB_INTFILE_GRIDS && s->e.geom.oc > 1;
    const int64_t n = !t ? 2 : own ? t->shape[1] : t->count;
    if (n < 2 || n > most)
        return bad(r, "tensor \"%s.levels\" has %" PRId64 " values%s: must have 2..%" PRId64, name, n,
                   own ? " for each channel" : "", most);
    const wanted one = {"levels", NB_ST_I8, 1, {n}}, each = {"levels", NB_ST_I8, 2, {s->e.geom.oc, n}};
    NB_TRY(get_array(r, name, own ? &each : &one, &t));
    s->info.level = t->data;
    s->info.n_levels = (int32_t)n;
    s->info.n_tables = own ? s->e.geom.oc : 1;
    needs(r, own ? NB_INTFILE_GRIDS : NB_INTFILE_LEVELS);
    return NB_OK;
}

static nb_status get_lows(reader *r, filed_step *s)
{
    const nb_st_tensor *t = find(r, s->info.name, "low");
    s->info.n_low = t && t->count == 1 ? 1 : s->e.geom.oc;
    NB_TRY(get_array(r, s->info.name, &(wanted){"low", NB_ST_I8, 1, {s->info.n_low}}, &t));
    s->info.low = t->data;
    return NB_OK;
}

static nb_status get_stream(reader *r, filed_step *s)
{
    const char *name = s->info.name;
    const nb_st_tensor *w;
    NB_TRY(s->packing == NB_PACKING_LEVELS   ? get_levels(r, s)
           : s->packing == NB_PACKING_OFFSET ? get_lows(r, s)
                                             : NB_OK);
    const nb_stream p = nb_stream_of(&s->e, &s->info);
    NB_TRY(get_array(r, name, &(wanted){"weight", NB_ST_U8, 1, {(int64_t)nb_stream_bytes(&p)}}, &w));
    s->e.weights = s->unpacked = nb_alloc(r->ctx, (size_t)nb_estep_weights(&s->e));
    if (!s->unpacked)
        return NB_E_NOMEM;
    int64_t at = 0;
    switch (nb_stream_unpack(s->unpacked, w->data, &p, &at)) {
    case NB_STREAM_BAD_EXPONENT:
        return bad(r,
                   "tensor \"%s.weight\": the block that begins with weight %" PRId64 " of channel %" PRId64
                   " has not the smallest exponent that does",
                   name, at % p.row, at / p.row);
    case NB_STREAM_BAD_INDEX:
        if (p.block)
            return bad(r,
                       "tensor \"%s.weight\": weight %" PRId64 " of channel %" PRId64
                       " is more than 127, or its mantissa is not %d..%d",
                       name, at % p.row, at / p.row, 1 - (1 << (p.bits - 1)), (1 << (p.bits - 1)) - 1);
        if (!p.level)
            return bad(r, "tensor \"%s.weight\": index %" PRId64 " of channel %" PRId64 " is a weight of more than 127",
                       name, at % p.row, at / p.row);
        return bad(r, "tensor \"%s.weight\": index %" PRId64 " of channel %" PRId64 " is none of its %d levels", name,
                   at % p.row, at / p.row, p.n_levels);
    case NB_STREAM_SPARE_BITS:
        return bad(r, "tensor \"%s.weight\": channel %" PRId64 ": unused bits of the last byte must be 0", name, at);
    case NB_STREAM_FINE:
        break;
    }
    return NB_OK;
}

/* Plain codes are those of a narrow grid. */
static nb_status check_codes(const reader *r, const filed_step *s, int64_t n)
{
    const int32_t limit = (1 << (s->info.weight_bits - 1)) - 1;
    const int64_t row = n / s->e.geom.oc;
    for (int64_t i = 0; i < n; i++)
        if (s->e.weights[i] < -limit || s->e.weights[i] > limit)
            return bad(r, "tensor \"%s.weight\": weight[%" PRId64 "][%" PRId64 "]: %d: must be %d..%d (%d bit%s)",
                       s->info.name, i / row, i % row, s->e.weights[i], -limit, limit, s->info.weight_bits,
                       nb_plural(s->info.weight_bits));
    return NB_OK;
}

static nb_status get_weights(reader *r, filed_step *s)
{
    if (s->packing != NB_PACKING_CODES)
        return get_stream(r, s);
    const nb_geom *g = &s->e.geom;
    const nb_st_tensor *t;
    const int64_t n = nb_estep_weights(&s->e);
    const int32_t bits = s->info.weight_bits;
    if (nb_pack_per_byte(bits) == 1) {
        const wanted w = {"weight", NB_ST_I8, 4, {g->oc, g->kh, g->kw, g->c / g->groups}};
        NB_TRY(get_array(r, s->info.name, &w, &t));
        s->e.weights = t->data;
        return check_codes(r, s, n);
    }
    NB_TRY(get_array(r, s->info.name, &(wanted){"weight", NB_ST_U8, 1, {(int64_t)nb_pack_bytes(n, bits)}}, &t));
    s->e.weights = s->unpacked = nb_alloc(r->ctx, (size_t)n);
    if (!s->unpacked)
        return NB_E_NOMEM;
    if (!nb_unpack(s->unpacked, t->data, n, bits))
        return bad(r, "tensor \"%s.weight\": unused bits of the last byte must be 0", s->info.name);
    return check_codes(r, s, n);
}

static nb_status get_conv(reader *r, filed_step *s)
{
    const nb_st_tensor *t = find(r, s->info.name, "weight_scale");
    NB_TRY(get_weights(r, s));
    NB_TRY(get_i32(r, s->info.name, "bias", s->e.geom.oc, &s->e.bias));
    s->info.n_scale = t && t->count == 1 ? 1 : s->e.geom.oc;
    NB_TRY(get_array(r, s->info.name, &(wanted){"weight_scale", NB_ST_F32, 1, {s->info.n_scale}}, &t));
    s->info.weight_scale = t->data;
    return NB_OK;
}

/* One for each channel, or from version 6 on one for all. */
static nb_status get_table(reader *r, filed_step *s, const nb_etensor *out)
{
    const nb_st_tensor *t = find(r, s->info.name, "table");
    const bool one = t && t->ndim == 2 && t->shape[0] == 1 && out->c > 1 && r->version >= NB_INTFILE_STEPS;
    NB_TRY(get_array(r, s->info.name, &(wanted){"table", NB_ST_U8, 2, {one ? 1 : out->c, 256}}, &t));
    s->e.table = t->data;
    s->e.one_table = one;
    needs(r, nb_intfile_of_step(&s->e));
    return NB_OK;
}

static nb_status get_arrays(reader *r, filed_step *s)
{
    const char *name = s->info.name;
    const nb_etensor *out = &r->model->tensors[s->e.out];
    if (s->e.kind == NB_STEP_TABLE)
        NB_TRY(get_table(r, s, out));
    if (s->e.kind == NB_STEP_CONV)
        NB_TRY(get_conv(r, s));
    for (int32_t axis = 0; axis < 3; axis++)
        if (nb_estep_indices(r->model, &s->e, axis))
            NB_TRY(get_i32(r, name, nb_index_names[axis], nb_estep_indices(r->model, &s->e, axis), &s->e.index[axis]));
    const bool raw = out->type == NB_EI_S32 && !find(r, name, "mult") && !find(r, name, "shift");
    if (nb_estep_mults(&s->e) > 0 && !raw) {
        NB_TRY(get_i32(r, name, "mult", nb_estep_mults(&s->e), &s->e.mult));
        NB_TRY(get_i32(r, name, "shift", nb_estep_shifts(&s->e), &s->e.shift));
    }
    const int asks = nb_intfile_of_sum(r->model, &s->e);
    if (asks > r->version)
        return bad(r, "step \"%s\": a difference or a repeated input: only format \"%s%d\" has it", name,
                   NB_INTFILE_FAMILY, asks);
    needs(r, asks);
    return NB_OK;
}

/* Offsets are stored where they have to be, from the lows that they have to have: equal models are equal files. */
static nb_status check_lows(const reader *r, int32_t step, const nb_sinfo *filed)
{
    const nb_sinfo *s = nb_intbuilder_info(r->builder, step);
    if (s->packing == NB_PACKING_OFFSET && s->n_low == filed->n_low &&
        memcmp(s->low, filed->low, (size_t)s->n_low) == 0)
        return NB_OK;
    return bad(
        r,
        "tensor \"%s.low\": must be the layer's smallest weight where that serves all channels, else each one's, "
        "of weights that packing \"%s\" could not hold",
        s->name, nb_pack_name(s->weight_bits));
}

static nb_status read_step(reader *r, const cJSON *json, int32_t index)
{
    const nb_json o = {r->ctx, r->file, json, "step", index};
    filed_step s = {0};
    NB_TRY(read_fields(r, &o, &s));
    NB_TRY(nb_intbuilder_shape(r->builder, &s.e, &s.info));
    nb_status st = get_arrays(r, &s);
    const nb_sinfo filed = s.info;
    if (st == NB_OK)
        st = nb_intbuilder_step(r->builder, &s.e, &s.info);
    if (st == NB_OK && s.packing == NB_PACKING_OFFSET)
        st = check_lows(r, index, &filed);
    nb_free(r->ctx, s.unpacked);
    return st;
}

static nb_status read_graph(reader *r, const cJSON *graph)
{
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(graph, "steps");
    const cJSON *item;
    if (!cJSON_IsObject(graph) || cJSON_GetArraySize(graph) != 2)
        return bad(r, "__metadata__ graph: must be a JSON object with \"tensors\" and \"steps\"");
    NB_TRY(read_tensors(r, cJSON_GetObjectItemCaseSensitive(graph, "tensors")));
    if (!cJSON_IsArray(steps))
        return bad(r, "graph: \"steps\" must be a list");
    int32_t index = 0;
    cJSON_ArrayForEach(item, steps) NB_TRY(read_step(r, item, index++));
    static const char *const keys[] = {"features", "task"};
    for (int32_t i = 0; i < 2; i++) {
        if (nb_st_meta(r->st, keys[i]) && r->version < NB_INTFILE_STEPS)
            return bad(r, "__metadata__ %s: only format \"%s%d\" has it", keys[i], NB_INTFILE_FAMILY, NB_INTFILE_STEPS);
        needs(r, nb_st_meta(r->st, keys[i]) ? NB_INTFILE_STEPS : NB_INTFILE_PLAIN);
    }
    if (r->version != r->needed)
        return bad(r, "format \"%s%d\" is for %s: there are none", NB_INTFILE_FAMILY, r->version,
                   r->version == NB_INTFILE_LEVELS ? "layers with levels"
                   : r->version == NB_INTFILE_GRIDS
                       ? "layers with offsets or levels of each channel, or tensors of 1 bit"
                   : r->version == NB_INTFILE_BLOCKS  ? "layers with blocks"
                   : r->version == NB_INTFILE_WINDOWS ? "oblong windows and means with padding"
                                                      : "features, and steps that no older one has");
    if (r->used != nb_st_count(r->st))
        return bad(r, "%d tensors belong to no step", nb_st_count(r->st) - r->used);
    return NB_OK;
}

/* ---- the rest of __metadata__ ---- */

/* A whole JSON document that is one number. */
static nb_status meta_number(const reader *r, const char *key, double min, double max, double *out)
{
    const char *text = nb_st_meta(r->st, key);
    cJSON *v = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    const bool good = v && cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max;
    *out = good ? v->valuedouble : min;
    cJSON_Delete(v);
    return good ? NB_OK : bad(r, "__metadata__ %s: must be a number in %g..%g", key, min, max);
}

/* names: one allocation of pointers into json, freed by the caller. */
static nb_status read_class_names(const reader *r, const cJSON *json, int32_t classes, const char ***names)
{
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != classes)
        return bad(r, "__metadata__ class_names: must be a list of %d strings", classes);
    *names = nb_alloc(r->ctx, (size_t)classes * sizeof **names);
    if (!*names)
        return NB_E_NOMEM;
    int32_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsString(item))
            return bad(r, "__metadata__ class_names: must be a list of %d strings", classes);
        (*names)[i++] = item->valuestring;
    }
    return NB_OK;
}

/* *out lives in the reader's arena. */
static nb_status read_features(reader *r, const nb_features **out)
{
    const nb_etensor *in = &r->model->tensors[r->model->steps[0].out];
    nb_c_locale locale;
    if (!nb_c_locale_enter(&locale))
        return nb_fail(r->ctx, NB_E_NOMEM, "out of memory");
    const nb_status st = nb_features_parse(r->arena, nb_st_meta(r->st, "features"), nb_etensor_values(in), in->c, out);
    nb_c_locale_leave(&locale);
    NB_TRY(st);
    return *out ? NB_OK
                : bad(r,
                      "__metadata__ features: must be \"TYPE ZERO STEP N CENTER... GAIN...\" with N of 1, %d channels "
                      "or "
                      "%" PRId64 " numbers",
                      in->c, nb_etensor_values(in));
}

static nb_status finish(reader *r, nb_intmodel **out)
{
    const char *text = nb_st_meta(r->st, "class_names");
    const char **names = NULL;
    double classes;
    nb_intmeta meta = {.config = nb_st_meta(r->st, "config"), .accuracy = -1};
    NB_TRY(meta_number(r, "classes", 1, NB_INT_MAX_CLASSES, &classes));
    meta.classes = (int32_t)classes;
    if (meta.classes != classes)
        return bad(r, "__metadata__ classes: must be a whole number");
    if (nb_st_meta(r->st, "accuracy"))
        NB_TRY(meta_number(r, "accuracy", 0, 1, &meta.accuracy));
    const char *task = nb_st_meta(r->st, "task");
    if (task && strcmp(task, NB_INTFILE_RECONSTRUCT) != 0)
        return bad(r, "__metadata__ task: \"%.40s\": must be \"%s\"", task, NB_INTFILE_RECONSTRUCT);
    meta.task = task ? NB_TASK_RECONSTRUCT : NB_TASK_CLASSES;
    if (nb_st_meta(r->st, "features"))
        NB_TRY(read_features(r, &meta.features));
    cJSON *json = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    nb_status st = text ? read_class_names(r, json, meta.classes, &names) : NB_OK;
    meta.class_names = names;
    if (st == NB_OK)
        st = nb_intbuilder_finish(r->builder, NB_INT_PLACED, &meta, out);
    nb_free(r->ctx, names);
    cJSON_Delete(json);
    return st;
}

static nb_status read_file(nb_ctx *ctx, const nb_st_file *file, nb_intmodel **out)
{
    reader r = {.ctx = ctx, .file = nb_st_name(file), .st = file};
    const char *text = nb_st_meta(file, "graph");
    NB_TRY(nb_st_check_format(ctx, file, NB_INTFILE_FAMILY, NB_INTFILE_VERSION, "an integer checkpoint"));
    r.version = (int)strtol(nb_st_meta(file, "format") + strlen(NB_INTFILE_FAMILY), NULL, 10);
    r.needed = NB_INTFILE_PLAIN;
    NB_TRY(nb_arena_create(ctx, &r.arena));
    nb_status st = nb_intbuilder_create(ctx, r.file, &r.builder);
    if (st != NB_OK) {
        nb_arena_free(r.arena);
        return st;
    }
    r.model = nb_intbuilder_model(r.builder);
    cJSON *graph = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    st = read_graph(&r, graph);
    if (st == NB_OK)
        st = finish(&r, out);
    cJSON_Delete(graph);
    nb_intbuilder_free(r.builder);
    nb_arena_free(r.arena);
    /* What would be a mistake of ours while lowering is here the file's. */
    return st == NB_E_SHAPE || st == NB_E_RANGE ? NB_E_FORMAT : st;
}

nb_status nb_intmodel_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_intmodel **out)
{
    nb_st_file *file = NULL;
    NB_TRY(nb_st_parse(ctx, name, bytes, len, &file));
    nb_status st = read_file(ctx, file, out);
    nb_st_close(ctx, file);
    return st;
}

nb_status nb_intmodel_load(nb_ctx *ctx, const char *path, nb_intmodel **out)
{
    nb_st_file *file = NULL;
    NB_TRY(nb_st_open(ctx, path, &file));
    nb_status st = read_file(ctx, file, out);
    nb_st_close(ctx, file);
    return st;
}
