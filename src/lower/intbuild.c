/* intbuild.c - puts an integer model together in memory.
 *
 * Everything lies in the arena that becomes the model's. Steps are checked when they come (shape, then values) and may
 * only read tensors an earlier step has written, so a finished model has no cycles by construction. What can be derived
 * (macs, accumulator bounds, prepared weights, arena size) is derived here and never read from a file. */
#include "lower/intbuild.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/memplan.h"
#include "core/feature_map.h"
#include "lower/intcheck.h"
#include "lower/intfile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

struct nb_intbuilder {
    nb_ctx *ctx;
    const char *where;
    nb_arena *arena;
    nb_intmodel *m; /* in the arena; its arrays are those below */
    nb_etensor *tensors;
    nb_tinfo *tinfo;
    nb_sinfo *sinfo;
    bool forgets_weights;
};

nb_status nb_intbuilder_create(nb_ctx *ctx, const char *where, nb_intbuilder **out)
{
    nb_intbuilder *b = nb_alloc(ctx, sizeof *b);
    if (!b)
        return NB_E_NOMEM;
    b->ctx = ctx;
    b->where = where;
    nb_status st = nb_arena_create(ctx, &b->arena);
    if (st == NB_OK && !(b->m = nb_arena_alloc(b->arena, sizeof *b->m)))
        st = NB_E_NOMEM;
    if (st != NB_OK) {
        nb_intbuilder_free(b);
        return st;
    }
    b->m->e.tensor_bytes = SIZE_MAX / 2; /* not planned yet: no place is outside */
    *out = b;
    return NB_OK;
}

void nb_intbuilder_forget_weights(nb_intbuilder *b)
{
    b->forgets_weights = true;
}

void nb_intbuilder_free(nb_intbuilder *b)
{
    if (!b)
        return;
    nb_arena_free(b->arena);
    nb_free(b->ctx, b);
}

const nb_emodel *nb_intbuilder_model(const nb_intbuilder *b)
{
    return &b->m->e;
}

const nb_sinfo *nb_intbuilder_info(const nb_intbuilder *b, int32_t step)
{
    return &b->sinfo[step];
}

const nb_tinfo *nb_intbuilder_tensor_info(const nb_intbuilder *b, int32_t tensor)
{
    return &b->tinfo[tensor];
}

/* "<where>: sentence" */
static nb_status refuse(const nb_intbuilder *b, nb_status st, const char *fmt, ...) NB_PRINTF(3, 4);
static nb_status refuse(const nb_intbuilder *b, nb_status st, const char *fmt, ...)
{
    char why[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return nb_fail(b->ctx, st, "%s%s%s", b->where, *b->where ? ": " : "", why);
}

/* An array with room for entry n: itself, or where it is full (at 16, 32, 64...) a copy of twice the length, which
 * leaves the old one to the arena; NULL when memory is out. */
static void *with_room(nb_arena *a, void *array, int32_t n, size_t size)
{
    const size_t used = (uint32_t)n;
    if (used > 0 && (used < 16 || (used & (used - 1)) != 0))
        return array;
    void *bigger = nb_arena_array(a, used ? 2 * used : 16, size);
    return bigger && used ? memcpy(bigger, array, used * size) : bigger;
}

static nb_intcheck check_of(const nb_intbuilder *b)
{
    return (nb_intcheck){b->ctx, b->where, b->m};
}

nb_status nb_intbuilder_tensor(nb_intbuilder *b, const nb_etensor *t, const nb_tinfo *info, int32_t *index)
{
    const nb_intcheck check = check_of(b);
    const int32_t n = b->m->e.n_tensors;
    if (n == NB_ENGINE_MAX_TENSORS)
        return refuse(b, NB_E_SHAPE, "more than %d tensors", NB_ENGINE_MAX_TENSORS);
    nb_etensor *tensors = with_room(b->arena, b->tensors, n, sizeof *tensors);
    nb_tinfo *tinfo = with_room(b->arena, b->tinfo, n, sizeof *tinfo);
    if (!tensors || !tinfo)
        return NB_E_NOMEM;
    b->m->e.tensors = b->tensors = tensors;
    b->m->tensors = b->tinfo = tinfo;
    tensors[n] = *t;
    tinfo[n] = *info;
    NB_TRY(nb_intcheck_tensor(&check, n));
    tinfo[n].name = nb_arena_strdup(b->arena, info->name);
    if (!tinfo[n].name)
        return NB_E_NOMEM;
    *index = b->m->e.n_tensors++;
    return NB_OK;
}

/* NULL stays NULL; *failed is set when memory is out. */
static const void *keep(nb_arena *a, const void *array, int64_t count, size_t size, bool *failed)
{
    if (!array || count == 0)
        return NULL;
    void *copy = nb_arena_array(a, (size_t)count, size);
    if (!copy) {
        *failed = true;
        return NULL;
    }
    return memcpy(copy, array, (size_t)count * size);
}

/* How the weights, which were checked, will be stored; false when memory is out. */
static bool set_packing(nb_arena *a, const nb_estep *s, nb_sinfo *info)
{
    const int64_t n = nb_estep_weights(s);
    info->packing = info->level ? NB_PACKING_LEVELS : info->block ? NB_PACKING_BLOCKS : NB_PACKING_CODES;
    if (info->level || info->block || nb_pack_plain(s->weights, n, info->weight_bits))
        return true;
    const nb_stream p = nb_stream_of(s, info);
    int8_t *low = nb_arena_alloc(a, (size_t)p.rows);
    if (!low)
        return false;
    info->packing = NB_PACKING_OFFSET;
    info->n_low = nb_pack_lows(low, s->weights, &p);
    info->low = low;
    NB_ASSERT(info->n_low > 0);
    return true;
}

/* What the kind does not use is zero, so that equal models give equal files. */
static nb_status keep_step(nb_intbuilder *b, nb_estep *s, nb_sinfo *info)
{
    const bool conv = s->kind == NB_STEP_CONV;
    const bool pool = nb_step_has_geom(s->kind) && !conv;
    const bool one_channel = b->tensors[s->out].c == 1;
    const int64_t table = (int64_t)nb_estep_tables(s, &b->tensors[s->out]) * 256;
    bool failed = false;
    for (int32_t k = s->n_in; k < NB_ENGINE_MAX_IN; k++)
        s->in[k] = 0;
    s->one_table = table > 0 && !one_channel ? s->one_table : 0;
    if (!conv && !pool)
        s->geom = (nb_geom){0};
    if (pool)
        s->geom.groups = s->geom.c;
    info->weight_bits = conv ? info->weight_bits : 0;
    info->block = conv ? info->block : 0;
    info->packing = NB_PACKING_CODES;
    info->low = NULL;
    info->n_low = 0;
    info->n_scale = conv ? info->n_scale : 0;
    info->n_levels = conv && info->level ? info->n_levels : 0;
    info->n_tables = conv && info->level ? info->n_tables : 0;
    info->name = keep(b->arena, info->name, (int64_t)strlen(info->name) + 1, 1, &failed);
    s->table = keep(b->arena, s->table, table, 1, &failed);
    s->weights = b->forgets_weights ? NULL : keep(b->arena, s->weights, nb_estep_weights(s), 1, &failed);
    s->bias = keep(b->arena, s->bias, conv ? s->geom.oc : 0, sizeof *s->bias, &failed);
    s->mult = keep(b->arena, s->mult, nb_estep_mults(s), sizeof *s->mult, &failed);
    s->shift = keep(b->arena, s->shift, nb_estep_shifts(s), sizeof *s->shift, &failed);
    for (int32_t axis = 0; axis < 3; axis++)
        s->index[axis] =
            keep(b->arena, s->index[axis], nb_estep_indices(&b->m->e, s, axis), sizeof **s->index, &failed);
    info->weight_scale = keep(b->arena, info->weight_scale, info->n_scale, sizeof *info->weight_scale, &failed);
    info->level = keep(b->arena, info->level, (int64_t)info->n_tables * info->n_levels, 1, &failed);
    if (!failed && s->weights)
        failed = !set_packing(b->arena, s, info);
    return failed ? NB_E_NOMEM : NB_OK;
}

/* Puts the step behind the others, where the checks see it. */
nb_status nb_intbuilder_shape(nb_intbuilder *b, const nb_estep *s, const nb_sinfo *info)
{
    const nb_intcheck check = check_of(b);
    const int32_t n = b->m->e.n_steps;
    if (n == NB_ENGINE_MAX_STEPS)
        return refuse(b, NB_E_SHAPE, "more than %d steps", NB_ENGINE_MAX_STEPS);
    nb_estep *steps = with_room(b->arena, b->m->e.steps, n, sizeof *steps);
    nb_sinfo *sinfo = with_room(b->arena, b->sinfo, n, sizeof *sinfo);
    if (!steps || !sinfo)
        return NB_E_NOMEM;
    b->m->e.steps = steps;
    b->m->steps = b->sinfo = sinfo;
    steps[n] = *s;
    sinfo[n] = *info;
    b->m->e.n_steps++;
    nb_status st = nb_intcheck_shape(&check, n);
    b->m->e.n_steps--;
    return st;
}

nb_status nb_intbuilder_step(nb_intbuilder *b, const nb_estep *s, const nb_sinfo *info)
{
    const nb_intcheck check = check_of(b);
    const int32_t n = b->m->e.n_steps;
    NB_TRY(nb_intbuilder_shape(b, s, info));
    b->m->e.n_steps++; /* the builder is spent when this fails */
    NB_TRY(nb_intcheck_values(&check, n, &b->sinfo[n].acc_bound));
    NB_TRY(keep_step(b, &b->m->e.steps[n], &b->sinfo[n]));
    const nb_geom *g = &b->m->e.steps[n].geom;
    b->sinfo[n].macs = (int64_t)g->oh * g->ow * nb_estep_weights(&b->m->e.steps[n]);
    return NB_OK;
}

/* ---- finish ---- */

/* A tensor must hold still from the step that writes it to the last that reads it; the network's output to the end. */
static nb_status plan(nb_intbuilder *b)
{
    const nb_emodel *e = &b->m->e;
    size_t total = 0;
    nb_usage *u = nb_alloc(b->ctx, (size_t)e->n_tensors * sizeof *u);
    if (!u)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < e->n_steps; i++) {
        const nb_estep *s = &e->steps[i];
        for (int32_t k = 0; k < s->n_in; k++)
            u[s->in[k]].last = i;
        u[s->out] = (nb_usage){.first = i, .last = i, .bytes = (size_t)nb_etensor_bytes(&e->tensors[s->out])};
    }
    u[nb_intmodel_output(b->m)].last = e->n_steps;
    nb_status st = nb_memplan(b->ctx, u, e->n_tensors, 64, &total);
    for (int32_t i = 0; st == NB_OK && i < e->n_tensors; i++)
        b->tensors[i].offset = u[i].offset;
    nb_free(b->ctx, u);
    return st;
}

/* The arena ends behind the last tensor. */
static void set_arena(nb_emodel *e)
{
    e->tensor_bytes = 0;
    for (int32_t i = 0; i < e->n_tensors; i++) {
        const uint64_t end = (e->tensors[i].offset + nb_etensor_bytes(&e->tensors[i]) + 63) / 64 * 64;
        e->tensor_bytes = end > e->tensor_bytes ? end : e->tensor_bytes;
    }
}

static nb_status check_whole(const nb_intbuilder *b, const nb_intmeta *meta)
{
    const nb_intcheck check = check_of(b);
    const nb_emodel *e = &b->m->e;
    NB_TRY(nb_intcheck_whole(&check));
    const int32_t out = nb_intmodel_output(b->m);
    const int64_t values = nb_etensor_values(&e->tensors[out]);
    if (meta->classes < 1 || meta->classes > NB_INT_MAX_CLASSES || meta->classes != values)
        return refuse(b, NB_E_SHAPE, "%d classes, but the output \"%s\" has %" PRId64 " values", meta->classes,
                      b->tinfo[out].name, values);
    if (meta->task == NB_TASK_RECONSTRUCT && values != nb_etensor_values(&e->tensors[nb_intmodel_input(b->m)]))
        return refuse(b, NB_E_SHAPE,
                      "the output \"%s\" has %" PRId64 " values, the input that it is compared with %" PRId64,
                      b->tinfo[out].name, values, nb_etensor_values(&e->tensors[nb_intmodel_input(b->m)]));
    if (!(meta->accuracy <= 1))
        return refuse(b, NB_E_SHAPE, "accuracy: %g: must be at most 1", meta->accuracy);
    const uint64_t arena = nb_engine_arena_bytes(e), packed = nb_engine_packed_bytes(e);
    if (arena > NB_INT_MAX_BYTES || packed > NB_INT_MAX_BYTES)
        return refuse(b, NB_E_SHAPE,
                      "the model needs %" PRIu64 " bytes of arena and %" PRIu64
                      " of prepared weights: at most %" PRIu64,
                      arena, packed, NB_INT_MAX_BYTES);
    return NB_OK;
}

static nb_status copy_meta(const nb_intbuilder *b, const nb_intmeta *meta)
{
    nb_intmodel *m = b->m;
    m->classes = meta->classes;
    m->task = meta->task;
    m->accuracy = meta->accuracy < 0 ? -1 : meta->accuracy;
    m->config = nb_arena_strdup(b->arena, meta->config ? meta->config : "");
    m->features = nb_features_copy(b->arena, meta->features);
    if (!m->config || (meta->features && !m->features))
        return NB_E_NOMEM;
    if (!meta->class_names)
        return NB_OK;
    const char **names = nb_arena_array(b->arena, (size_t)meta->classes, sizeof *names);
    if (!names)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < meta->classes; i++) {
        names[i] = nb_arena_strdup(b->arena, meta->class_names[i]);
        if (!names[i])
            return NB_E_NOMEM;
    }
    m->class_names = names;
    return NB_OK;
}

nb_status nb_intbuilder_finish(nb_intbuilder *b, nb_int_placing placing, const nb_intmeta *meta, nb_intmodel **out)
{
    nb_intmodel *m = b->m;
    if (m->e.n_steps == 0)
        return refuse(b, NB_E_SHAPE, "the model has no steps");
    if (placing == NB_INT_PLAN)
        NB_TRY(plan(b));
    set_arena(&m->e);
    NB_TRY(check_whole(b, meta));
    NB_TRY(copy_meta(b, meta));
    m->packed = nb_arena_alloc(b->arena, nb_engine_packed_bytes(&m->e));
    if (!m->packed)
        return NB_E_NOMEM;
    nb_engine_prepare(&m->e, m->packed);
    m->arena = b->arena;
    b->arena = NULL; /* moved out */
    *out = m;
    return NB_OK;
}

void nb_intmodel_sizes(const nb_intmodel *m, int32_t *h, int32_t *w, int32_t *c, int32_t *classes)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    *h = in->h;
    *w = in->w;
    *c = in->c;
    *classes = m->classes;
}

const char *nb_intmodel_class_name(const nb_intmodel *m, int32_t label)
{
    return m->class_names ? m->class_names[label] : "";
}

void nb_intmodel_free(nb_ctx *ctx, nb_intmodel *m)
{
    (void)ctx;
    if (m)
        nb_arena_free(m->arena); /* the model itself lies in it */
}
