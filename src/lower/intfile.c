/* clang-format off */
/* intfile.c - the integer checkpoint, *.int.safetensors: the format, and writing it. Reading is in intfile_read.c.
 *
 * A safetensors file: 8 bytes little-endian header length, JSON header, raw little-endian tensors. Everything is an integer
 * except scales, which the engine never uses. Equal models give equal bytes; what is written, read and written again is
 * byte-equal. Unknown, missing and spare fields and tensors are errors.
 *
 * Tensors, in the order of steps, named after the step ("c1.weight"):
 *   <table>.table          U8  [c, 256] or [1, 256]   byte v of channel c, or of any -> code (bit patterns of s8 for s8 tensors): of a
 *                                                   pixel, or of a code; one where more than one channel has the same needs
 *                                                   version 6
 *   <conv>.weight          I8  [oc, kh, kw, c/groups]   packing "i8" (8 bits; written before version 3, 5..8): one code per byte
 *                          U8  [bytes]              packing "s4" (4 bits; before version 3, 3 and 4): two codes per byte, first in
 *                                                   the low nibble
 *                          U8  [bytes]              packing "s2" (2 bits): four codes per byte, first in the lowest bits
 *       Two's complement, OHWI order, packed without gaps; unused bits of the last byte are 0 (pack.h). Narrow grid:
 *       -(2^(bits-1) - 1) .. 2^(bits-1) - 1.
 *                          U8  [oc * bytes]         packings "bits" and "offset" (1..8 bits): indices, a little-endian stream of
 *       weight_bits each in the order kh, kw, c/groups: index i is bits i * weight_bits and up of its channel, bit k of a channel
 *       is bit k % 8 of its byte k / 8. Every output channel begins on a byte: bytes = ceil(kh * kw * c/groups * weight_bits / 8);
 *       the spare bits of its last byte are 0.
 *                          U8  [oc * bytes]         packing "block" (2..7 bits): such a stream of a channel's blocks, `block` weights
 *       each, of which the last may have fewer: an exponent of 3 bits, then a mantissa of weight_bits for each weight, two's
 *       complement, -(2^(bits-1) - 1) .. 2^(bits-1) - 1. weight = mantissa * 2^exponent, in -127..127. The exponent is the smallest
 *       that does. bytes = ceil((kh * kw * c/groups * weight_bits + 3 * blocks) / 8).
 *   <conv>.levels          I8  [n] or [oc, n]       with packing "bits": weight = levels[index], of one table or of the channel's;
 *       2 to 2^weight_bits integers, ascending, in -127..127. 0 need not be one.
 *   <conv>.low             I8  [1] or [oc]          with packing "offset": weight = low + index: the smallest weight of the layer
 *       where one low serves all channels, else of each channel.
 *   <conv>.bias            I32 [oc]                 at scale s_x * s_w[c]; holds -zero_x * sum(w)
 *   <conv>.weight_scale    F32 [1] or [oc]          real weight = weight_scale * code; for readers, not used to run.
 *       (Batch norm lives in mult and bias; where its gamma is negative, that channel's codes, and its levels if it has
 *       some of its own, are negated.)
 *   <conv>.mult, .shift    I32 [oc]                 both absent when the output is the plain int32 sum
 *   <add>.mult, .shift     I32 [2], [1]
 *   <concat>.mult, .shift  I32 [inputs], [inputs]
 *   <avgpool>.mult, .shift I32 [1], [1] (avgpool_inside as well)
 *   <take>.rows, .columns, .channels   I32 [h], [w], [c] of the output: which of the input's, -1: the zero point
 *   <blend>.rows, .columns             I32 [h], [w]: places between the input's, in 2048ths
 *   <mul>.mult, .shift     I32 [1], [1]
 *
 * __metadata__ (every value is a string):
 *   format       "nibble-int 1"; "nibble-int 2" when a layer has levels; "nibble-int 3" when weights are offsets or channels have
 *                levels of their own, or a tensor has 1 bit; "nibble-int 4" when weights are in blocks; "nibble-int 5" when
 *                stride, pad or dilation is a list, or a mean has padding; "nibble-int 6" for take, blend and mul, for tables of
 *                codes, for sums with a negative multiplier or inputs that are repeated, and when channels share a table or
 *                there are features: the smallest that will do
 *   graph        JSON, see below
 *   classes      "10", which is how many values come out, whatever they are
 *   class_names  JSON list of strings; absent when unknown
 *   task         "reconstruct": the outputs are the input's values again; absent where they are logits of classes (version 6)
 *   features     "float32 ZERO STEP N CENTER... GAIN...": what the input's 8 bits are, code = clamp(round((x - center) * gain) +
 *                zero, 0, 255) with number i of a sample in column i % N; absent of pixels
 *   config       text of the experiment's YAML; absent when empty
 *   accuracy     "0.9213" on the evaluation set; absent when not measured
 *   crc32        "89abcdef": CRC-32 of tensors and metadata (base/safetensors.h), checked by who reads; absent in files of
 *                programs that did not know it
 *
 * graph: {"tensors": [T...], "steps": [S...]}
 *   T = {"name", "h", "w", "c", "type": "u8"|"s8"|"s32", "bits", "scale", "zero", "offset"}
 *       real = scale * (code - zero). offset: byte in the engine's arena, a multiple of 64; tensors alive at the same time
 *       do not overlap.
 *   S = {"kind": "table"|"conv"|"add"|"concat"|"maxpool"|"avgpool"|"avgpool_inside"|"take"|"blend"|"mul", "name", "in": [tensor...], "out": tensor, "lo", "hi"}
 *       lo..hi: clamp of the output codes (fused relu included).
 *       conv and pools: "geom": {"h", "w", "c", "oh", "ow", "oc", "kh", "kw", "stride", "pad", "dilation", "groups"};
 *       stride and dilation are numbers, or [rows, columns] where these differ, pad is a number or [top, left, bottom, right]
 *       conv: "weight_bits", "packing"; with packing "block" alone: "block"
 * Steps stand in execution order; step 0 is a table and reads the pixels; the last step's output are the logits. The
 * arithmetic is in include/nibble/engine.h and src/kernels/rescale.h. Floats are written so that they read back exactly. */
/* clang-format on */
#include "lower/intfile.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"
#include "base/safetensors.h"
#include "base/textbuf.h"
#include "base/utf8.h"
#include "core/feature_map.h"
#include "lower/intcheck.h"
#include "lower/pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A name that JSON could not hold is refused here, not changed. */
static void put_string(nb_text *b, const char *s)
{
    if (b->st == NB_OK && !nb_utf8_valid(s, strlen(s)))
        b->st = nb_fail(b->ctx, NB_E_FORMAT, "the name \"%.100s\" is not valid UTF-8 and cannot be stored", s);
    nb_text_json(b, s);
}

/* ---- metadata ---- */

static void put_tensor(nb_text *b, const nb_intmodel *m, int32_t i)
{
    const nb_etensor *t = &m->e.tensors[i];
    char scale[NB_NUMTEXT];
    nb_text_add(b, "{\"name\":");
    put_string(b, m->tensors[i].name);
    nb_text_printf(b, ",\"h\":%d,\"w\":%d,\"c\":%d,\"type\":\"%s\",\"bits\":%d", t->h, t->w, t->c,
                   nb_etype_names[t->type], m->tensors[i].bits);
    nb_text_printf(b, ",\"scale\":%s,\"zero\":%d,\"offset\":%" PRIu64 "}", nb_float_text(scale, m->tensors[i].scale),
                   t->zero, t->offset);
}

static const char *packing_name(const nb_sinfo *info)
{
    return info->packing == NB_PACKING_LEVELS   ? NB_PACK_LEVELS
           : info->packing == NB_PACKING_BLOCKS ? NB_PACK_BLOCKS
           : info->packing == NB_PACKING_OFFSET ? NB_PACK_OFFSET
                                                : nb_pack_name(info->weight_bits);
}

/* One number where all are equal, else a list. */
static void put_numbers(nb_text *b, const char *name, const int32_t *v, int32_t n)
{
    bool equal = true;
    for (int32_t i = 1; i < n; i++)
        equal = equal && v[i] == v[0];
    nb_text_printf(b, ",\"%s\":", name);
    for (int32_t i = 0; i < (equal ? 1 : n); i++)
        nb_text_printf(b, "%s%d", equal ? "" : i ? "," : "[", v[i]);
    nb_text_add(b, equal ? "" : "]");
}

static void put_step(nb_text *b, const nb_intmodel *m, int32_t i)
{
    const nb_estep *s = &m->e.steps[i];
    const nb_geom *g = &s->geom;
    nb_text_printf(b, "{\"kind\":\"%s\",\"name\":", nb_step_names[s->kind]);
    put_string(b, m->steps[i].name);
    nb_text_add(b, ",\"in\":[");
    for (int32_t k = 0; k < s->n_in; k++)
        nb_text_printf(b, "%s%d", k ? "," : "", s->in[k]);
    nb_text_printf(b, "],\"out\":%d,\"lo\":%d,\"hi\":%d", s->out, s->lo, s->hi);
    if (nb_step_has_geom(s->kind)) {
        nb_text_printf(b, ",\"geom\":{\"h\":%d,\"w\":%d,\"c\":%d", g->h, g->w, g->c);
        nb_text_printf(b, ",\"oh\":%d,\"ow\":%d,\"oc\":%d", g->oh, g->ow, g->oc);
        nb_text_printf(b, ",\"kh\":%d,\"kw\":%d", g->kh, g->kw);
        put_numbers(b, "stride", &g->stride.h, 2);
        put_numbers(b, "pad", &g->pad.top, 4);
        put_numbers(b, "dilation", &g->dilation.h, 2);
        nb_text_printf(b, ",\"groups\":%d}", g->groups);
    }
    if (s->kind == NB_STEP_CONV)
        nb_text_printf(b, ",\"weight_bits\":%d,\"packing\":\"%s\"", m->steps[i].weight_bits,
                       packing_name(&m->steps[i]));
    if (m->steps[i].packing == NB_PACKING_BLOCKS)
        nb_text_printf(b, ",\"block\":%d", m->steps[i].block);
    nb_text_add(b, "}");
}

static nb_status set_graph(nb_text *b, nb_st_writer *w, const nb_intmodel *m)
{
    nb_text_add(b, "{\"tensors\":[");
    for (int32_t i = 0; i < m->e.n_tensors; i++) {
        nb_text_add(b, i ? "," : "");
        put_tensor(b, m, i);
    }
    nb_text_add(b, "],\"steps\":[");
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        nb_text_add(b, i ? "," : "");
        put_step(b, m, i);
    }
    nb_text_add(b, "]}");
    return b->st != NB_OK ? b->st : nb_st_set_meta(w, "graph", b->s);
}

static nb_status set_class_names(nb_text *b, nb_st_writer *w, const nb_intmodel *m)
{
    for (int32_t i = 0; i < m->classes; i++) {
        nb_text_add(b, i ? "," : "[");
        put_string(b, m->class_names[i]);
    }
    nb_text_add(b, "]");
    return b->st != NB_OK ? b->st : nb_st_set_meta(w, "class_names", b->s);
}

static nb_status set_features(nb_text *b, nb_st_writer *w, const nb_features *f)
{
    nb_features_print(b, f);
    return b->st != NB_OK ? b->st : nb_st_set_meta(w, "features", b->s);
}

static int version_of(const nb_intmodel *m)
{
    int version = NB_INTFILE_PLAIN;
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        const int asks[] = {nb_intfile_version(&m->steps[i]), nb_intfile_of_step(s), nb_intfile_of_sum(&m->e, s)};
        for (int32_t k = 0; k < 3; k++)
            version = asks[k] > version ? asks[k] : version;
    }
    for (int32_t i = 0; i < m->e.n_tensors; i++)
        if (m->tensors[i].bits == 1 && version < NB_INTFILE_GRIDS)
            version = NB_INTFILE_GRIDS;
    return m->features || m->task != NB_TASK_CLASSES ? NB_INTFILE_STEPS : version;
}

static nb_status set_metadata(nb_ctx *ctx, nb_st_writer *w, const nb_intmodel *m)
{
    char number[NB_NUMTEXT];
    nb_text graph;
    nb_text names;
    nb_text features;
    nb_text_init(ctx, &features);
    nb_text_init(ctx, &graph);
    nb_text_init(ctx, &names);
    snprintf(number, sizeof number, "%s%d", NB_INTFILE_FAMILY, version_of(m));
    nb_status st = nb_st_set_meta(w, "format", number);
    if (st == NB_OK)
        st = set_graph(&graph, w, m);
    snprintf(number, sizeof number, "%d", m->classes);
    if (st == NB_OK)
        st = nb_st_set_meta(w, "classes", number);
    if (st == NB_OK && m->class_names)
        st = set_class_names(&names, w, m);
    if (st == NB_OK && m->task == NB_TASK_RECONSTRUCT)
        st = nb_st_set_meta(w, "task", NB_INTFILE_RECONSTRUCT);
    if (st == NB_OK && m->features)
        st = set_features(&features, w, m->features);
    if (st == NB_OK && *m->config)
        st = nb_st_set_meta(w, "config", m->config);
    if (st == NB_OK && m->accuracy >= 0)
        st = nb_st_set_meta(w, "accuracy", nb_double_text(number, m->accuracy));
    nb_text_free(&graph);
    nb_text_free(&names);
    nb_text_free(&features);
    return st;
}

/* ---- tensors ---- */

typedef struct {
    nb_st_writer *w;
    nb_arena *arena;  /* names and packed weights, until the file is written */
    const char *step; /* the current one */
} sink;

static nb_status add(const sink *o, const char *what, nb_st_dtype dtype, int64_t n, const void *data)
{
    const char *name = nb_arena_printf(o->arena, "%s.%s", o->step, what);
    return name ? nb_st_add(o->w, name, dtype, 1, &n, data) : NB_E_NOMEM;
}

static nb_status add_stream(const sink *o, const nb_estep *s, const nb_sinfo *info)
{
    const nb_stream p = nb_stream_of(s, info);
    const int64_t shape[2] = {info->n_tables, info->n_levels};
    uint8_t *packed = nb_arena_alloc(o->arena, nb_stream_bytes(&p));
    if (!packed)
        return NB_E_NOMEM;
    nb_stream_pack(packed, s->weights, &p);
    NB_TRY(add(o, "weight", NB_ST_U8, (int64_t)nb_stream_bytes(&p), packed));
    if (info->packing == NB_PACKING_BLOCKS)
        return NB_OK;
    if (!info->level)
        return add(o, "low", NB_ST_I8, info->n_low, info->low);
    if (info->n_tables == 1)
        return add(o, "levels", NB_ST_I8, info->n_levels, info->level);
    const char *name = nb_arena_printf(o->arena, "%s.levels", o->step);
    return name ? nb_st_add(o->w, name, NB_ST_I8, 2, shape, info->level) : NB_E_NOMEM;
}

static nb_status add_weights(const sink *o, const nb_estep *s, const nb_sinfo *info)
{
    const int32_t bits = info->weight_bits;
    if (info->packing != NB_PACKING_CODES)
        return add_stream(o, s, info);
    const nb_geom *g = &s->geom;
    const int64_t shape[4] = {g->oc, g->kh, g->kw, g->c / g->groups};
    const int64_t n = nb_estep_weights(s);
    if (nb_pack_per_byte(bits) > 1) {
        uint8_t *packed = nb_arena_alloc(o->arena, nb_pack_bytes(n, bits));
        if (!packed)
            return NB_E_NOMEM;
        nb_pack(packed, s->weights, n, bits);
        return add(o, "weight", NB_ST_U8, (int64_t)nb_pack_bytes(n, bits), packed);
    }
    const char *name = nb_arena_printf(o->arena, "%s.weight", o->step);
    return name ? nb_st_add(o->w, name, NB_ST_I8, 4, shape, s->weights) : NB_E_NOMEM;
}

static nb_status add_step(const sink *o, const nb_intmodel *m, int32_t i)
{
    const nb_estep *s = &m->e.steps[i];
    if (s->kind == NB_STEP_TABLE) {
        const int64_t shape[2] = {nb_estep_tables(s, &m->e.tensors[s->out]), 256};
        const char *name = nb_arena_printf(o->arena, "%s.table", o->step);
        return name ? nb_st_add(o->w, name, NB_ST_U8, 2, shape, s->table) : NB_E_NOMEM;
    }
    if (s->kind == NB_STEP_CONV) {
        NB_TRY(add_weights(o, s, &m->steps[i]));
        NB_TRY(add(o, "bias", NB_ST_I32, s->geom.oc, s->bias));
        NB_TRY(add(o, "weight_scale", NB_ST_F32, m->steps[i].n_scale, m->steps[i].weight_scale));
    }
    for (int32_t axis = 0; axis < 3; axis++)
        if (s->index[axis])
            NB_TRY(add(o, nb_index_names[axis], NB_ST_I32, nb_estep_indices(&m->e, s, axis), s->index[axis]));
    if (s->mult) {
        NB_TRY(add(o, "mult", NB_ST_I32, nb_estep_mults(s), s->mult));
        NB_TRY(add(o, "shift", NB_ST_I32, nb_estep_shifts(s), s->shift));
    }
    return NB_OK;
}

nb_status nb_intmodel_save(nb_ctx *ctx, const nb_intmodel *m, const char *path)
{
    sink o = {0};
    NB_TRY(nb_st_writer_create(ctx, &o.w));
    nb_status st = nb_arena_create(ctx, &o.arena);
    if (st == NB_OK)
        st = set_metadata(ctx, o.w, m);
    for (int32_t i = 0; st == NB_OK && i < m->e.n_steps; i++) {
        o.step = m->steps[i].name;
        st = add_step(&o, m, i);
    }
    if (st == NB_OK)
        st = nb_st_set_crc32(o.w);
    if (st == NB_OK)
        st = nb_st_save(o.w, path);
    nb_st_writer_free(o.w);
    nb_arena_free(o.arena);
    return st;
}
