/* intcheck.c - see intcheck.h. The engine's own rules, and their order, are in src/engine/engine_check.c. */
#include "lower/intcheck.h"

#include "base/check.h"
#include "base/textbuf.h"
#include "lower/pack.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

const char *const nb_step_names[NB_STEP_KINDS] = {"table",   "conv",           "add",  "concat", "maxpool",
                                                  "avgpool", "avgpool_inside", "take", "blend",  "mul"};
const char *const nb_index_names[3] = {"rows", "columns", "channels"};
const char *const nb_etype_names[3] = {"u8", "s8", "s32"};

static const char *name_of(const nb_intcheck *p, int32_t where)
{
    const nb_emodel *e = &p->m->e;
    const char *name = where <= e->n_steps ? p->m->steps[where - 1].name : p->m->tensors[where - 1 - e->n_steps].name;
    return name ? name : "";
}

/* NB_OK of a verdict without fault; else st with the place, then the verdict's sentence with its numbers and names. */
static nb_status report(const nb_intcheck *p, nb_status st, const nb_everdict *v)
{
    if (!v->why)
        return NB_OK;
    const nb_emodel *e = &p->m->e;
    const int32_t step = v->where - 1, tensor = step - e->n_steps;
    const int64_t *n = v->n;
    nb_text why;
    nb_text_init(p->ctx, &why);
    if (tensor >= 0) {
        nb_text_printf(&why, "tensor %d", tensor);
    } else {
        const int32_t kind = e->steps[step].kind;
        nb_text_printf(&why, "%s step %d", kind >= 0 && kind < NB_STEP_KINDS ? nb_step_names[kind] : "?", step);
    }
    nb_text_printf(&why, " \"%.200s\": ", name_of(p, v->where));
    for (const char *c = v->why; *c; c++) {
        if (*c == '#')
            nb_text_printf(&why, "%" PRId64, *n++);
        else if (*c == '@')
            nb_text_printf(&why, "\"%.200s\"", name_of(p, 1 + e->n_steps + (int32_t)*n++));
        else
            nb_text_bytes(&why, c, 1);
    }
    if (why.st == NB_OK)
        nb_fail(p->ctx, st, "%s%s%s", p->where, *p->where ? ": " : "", why.s);
    else
        st = why.st;
    nb_text_free(&why);
    return st;
}

/* Names become JSON keys, safetensors keys and lines of a listing: no control characters. */
static const char *name_fault(const char *name)
{
    if (!name || !*name)
        return "has no name";
    if (strlen(name) > NB_INT_MAX_NAME)
        return "has a name of more than 200 bytes";
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "has a control character in its name";
    return NULL;
}

/* A float that is no scale, as text for a sentence. */
static const char *scale_fault(float s, const char *what, int32_t index, char *text, size_t size)
{
    if (isnormal(s) && s > 0)
        return NULL;
    snprintf(text, size, "%s: %g: must be a positive normal number", what, (double)s);
    if (index >= 0)
        snprintf(text, size, "%s[%d]: %g: must be a positive normal number", what, index, (double)s);
    return text;
}

nb_erange nb_int_grid(int32_t type, int32_t bits)
{
    if (type == NB_EI_S32)
        return (nb_erange){INT32_MIN, INT32_MAX};
    const int64_t half = (int64_t)1 << (bits - 1);
    return type == NB_EI_U8 ? (nb_erange){0, 2 * half - 1} : (nb_erange){-half, half - 1};
}

nb_status nb_intcheck_tensor(const nb_intcheck *p, int32_t tensor)
{
    const nb_etensor *t = &p->m->e.tensors[tensor];
    const nb_tinfo *info = &p->m->tensors[tensor];
    const int32_t where = 1 + p->m->e.n_steps + tensor;
    char text[96];
    nb_everdict v = {where, name_fault(info->name), {0}};
    if (!v.why)
        v = nb_engine_check_tensor(&p->m->e, tensor);
    NB_TRY(report(p, NB_E_SHAPE, &v));
    v.where = where;
    if (t->type == NB_EI_S32 ? info->bits != 32 : info->bits < 1 || info->bits > 8)
        v = (nb_everdict){where, "bits: #: must be 1..8, and 32 for s32", {info->bits}};
    else if (scale_fault(info->scale, "scale", -1, text, sizeof text))
        v.why = text;
    else if (t->zero < nb_int_grid(t->type, info->bits).lo || t->zero > nb_int_grid(t->type, info->bits).hi)
        v = (nb_everdict){where, "zero point #: must be a code of the grid, and 0 for s32", {t->zero}};
    else if (t->offset > NB_INT_MAX_BYTES)
        v = (nb_everdict){where, "offset #: must be at most #", {(int64_t)t->offset, (int64_t)NB_INT_MAX_BYTES}};
    return report(p, NB_E_SHAPE, &v);
}

nb_status nb_intcheck_shape(const nb_intcheck *p, int32_t step)
{
    const nb_intmodel *m = p->m;
    const nb_estep *s = &m->e.steps[step];
    nb_everdict v = {1 + step, name_fault(m->steps[step].name), {0}};
    if (!v.why)
        v = nb_engine_check_shape(&m->e, step);
    NB_TRY(report(p, NB_E_SHAPE, &v));
    v.where = 1 + step;
    const nb_erange grid = nb_int_grid(m->e.tensors[s->out].type, m->tensors[s->out].bits);
    if (s->lo < grid.lo || s->hi > grid.hi)
        v = (nb_everdict){
            1 + step, "clamp #..#: must lie within the grid of @, #..#", {s->lo, s->hi, s->out, grid.lo, grid.hi}};
    if (s->kind == NB_STEP_MAXPOOL && m->tensors[s->in[0]].scale != m->tensors[s->out].scale)
        v = (nb_everdict){
            1 + step, "@ and @ must have one type, scale and zero point: a maximum keeps its grid", {s->in[0], s->out}};
    if ((s->kind == NB_STEP_TAKE || s->kind == NB_STEP_BLEND) && m->tensors[s->in[0]].scale != m->tensors[s->out].scale)
        v = (nb_everdict){1 + step,
                          "@ and @ must have one type, scale and zero point: what moves codes keeps their grid",
                          {s->in[0], s->out}};
    for (int32_t i = 0; i < step && !v.why; i++) /* names are the keys of the file's tensors */
        if (strcmp(m->steps[i].name, m->steps[step].name) == 0)
            v.why = "an earlier step has the same name";
    return report(p, NB_E_SHAPE, &v);
}

/* Ascending, in -127..127, as many as their index can say, one table or one for each channel. */
static nb_everdict level_fault(const nb_sinfo *info, int32_t where, int32_t channels)
{
    if (info->weight_bits < 1 || info->weight_bits > NB_PACK_MAX_BITS)
        return (nb_everdict){where, "weight_bits: #: must be 1..8 with levels", {info->weight_bits}};
    if (info->n_levels < 2 || info->n_levels > 1 << info->weight_bits)
        return (nb_everdict){where,
                             "# levels: must be 2..#, of weight_bits #",
                             {info->n_levels, 1 << info->weight_bits, info->weight_bits}};
    if (info->n_tables != 1 && info->n_tables != channels)
        return (nb_everdict){where, "# tables of levels: must be 1 or #", {info->n_tables, channels}};
    for (int32_t i = 0; i < info->n_levels * info->n_tables; i++) {
        if (info->level[i] == -128)
            return (nb_everdict){where, "levels[#]: -128: must be -127..127", {i}};
        if (i % info->n_levels > 0 && info->level[i] <= info->level[i - 1])
            return (nb_everdict){
                where, "levels[#]: #: must be more than the one before, #", {i, info->level[i], info->level[i - 1]}};
    }
    return (nb_everdict){0};
}

static nb_everdict unlike_levels(const nb_estep *s, const nb_sinfo *info, int32_t where)
{
    const int64_t n = nb_estep_weights(s), row = n / s->geom.oc;
    bool allowed[256] = {false};
    for (int64_t i = 0; i < n; i++) {
        const int64_t table = info->n_tables > 1 ? i / row : 0;
        const int8_t *level = info->level + table * info->n_levels;
        if (i % row == 0 && (i == 0 || info->n_tables > 1)) {
            memset(allowed, 0, sizeof allowed);
            for (int32_t k = 0; k < info->n_levels; k++)
                allowed[level[k] + 128] = true;
        }
        if (!allowed[s->weights[i] + 128])
            return (nb_everdict){
                where, "weight[#][#]: #: is none of its # levels", {i / row, i % row, s->weights[i], info->n_levels}};
    }
    return (nb_everdict){0};
}

static nb_everdict block_fault(const nb_estep *s, const nb_sinfo *info, int32_t where)
{
    const int64_t n = nb_estep_weights(s), row = n / s->geom.oc;
    const int32_t bits = info->weight_bits;
    if (info->level)
        return (nb_everdict){where, "block: #: must be 0 with levels", {info->block}};
    if (bits < NB_PACK_MIN_BITS || bits > NB_PACK_MAX_MANTISSA)
        return (nb_everdict){where, "weight_bits: #: must be 2..# in blocks", {bits, NB_PACK_MAX_MANTISSA}};
    for (int64_t i = 0; i < n; i++)
        if (s->weights[i] == -128)
            return (nb_everdict){where, "weight[#][#]: -128: must be -127..127", {i / row, i % row}};
    for (int64_t at = 0; at < n; at += row)
        for (int64_t i = 0; i < row; i += info->block)
            if (nb_pack_exponent(s->weights + at + i, row - i < info->block ? row - i : info->block, bits) < 0)
                return (nb_everdict){
                    where,
                    "weight[#][#]: the block that begins here has no power of two of which all are whole # bit numbers",
                    {at / row, i, bits}};
    return (nb_everdict){0};
}

static nb_everdict weight_fault(const nb_estep *s, const nb_sinfo *info, int32_t where)
{
    if (info->block != 0)
        return block_fault(s, info, where);
    if (info->level) {
        const nb_everdict v = level_fault(info, where, s->geom.oc);
        return v.why ? v : unlike_levels(s, info, where);
    }
    const int64_t n = nb_estep_weights(s), row = n / s->geom.oc;
    const int32_t span = (1 << info->weight_bits) - 1;
    int32_t lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t w = s->weights[i];
        lo = i % row == 0 || w < lo ? w : lo;
        hi = i % row == 0 || w > hi ? w : hi;
        if (w == -128)
            return (nb_everdict){where, "weight[#][#]: -128: must be -127..127", {i / row, i % row}};
        if (hi - lo > span)
            return (nb_everdict){where,
                                 "weight[#][#]: #: the weights of a channel must lie within # of each other (# bits)",
                                 {i / row, i % row, w, span, info->weight_bits}};
    }
    return (nb_everdict){0};
}

/* What a CONV has for its readers: the width its weights fit in, and scales. */
static nb_status check_info(const nb_intcheck *p, int32_t step)
{
    const nb_estep *s = &p->m->e.steps[step];
    const nb_sinfo *info = &p->m->steps[step];
    char text[96];
    nb_everdict v = {1 + step, NULL, {0}};
    if (!info->weight_scale)
        v.why = "has no table, weights, bias or weight scales";
    else if (!info->level && (info->weight_bits < NB_PACK_MIN_BITS || info->weight_bits > NB_PACK_MAX_BITS))
        v = (nb_everdict){1 + step, "weight_bits: #: must be 2..8", {info->weight_bits}};
    else if (info->block < 0)
        v = (nb_everdict){1 + step, "block: #: must be 1 or more, 0 without blocks", {info->block}};
    else if (info->n_scale != 1 && info->n_scale != s->geom.oc)
        v = (nb_everdict){1 + step, "# weight scales: must be 1 or #", {info->n_scale, s->geom.oc}};
    for (int32_t i = 0; i < info->n_scale && !v.why; i++)
        v.why = scale_fault(info->weight_scale[i], "weight_scale", i, text, sizeof text);
    if (!v.why)
        v = weight_fault(s, info, 1 + step);
    return report(p, NB_E_RANGE, &v);
}

nb_status nb_intcheck_values(const nb_intcheck *p, int32_t step, int64_t *acc_bound)
{
    const nb_everdict v = nb_engine_check_values(&p->m->e, step, acc_bound);
    NB_TRY(report(p, NB_E_RANGE, &v));
    return p->m->e.steps[step].kind == NB_STEP_CONV ? check_info(p, step) : NB_OK;
}

nb_status nb_intcheck_whole(const nb_intcheck *p)
{
    const nb_everdict v = nb_engine_judge(&p->m->e);
    return report(p, NB_E_SHAPE, &v);
}
