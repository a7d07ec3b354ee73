/* intbuild.c - puts an integer model together in memory.
 *
 * The builder's arrays grow on the heap; everything they point to lives in the arena that becomes the model's. Steps
 * are checked when they come (shape, then values) and may only read tensors an earlier step has written, so a finished
 * model has no cycles by construction. What can be derived (macs, accumulator bounds, prepared weights, arena size) is
 * derived here and never read from a file. */
#include "lower/intbuild.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/memplan.h"
#include "lower/intcheck.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

/* Nothing a CPU runs image by image needs more; a hostile file must not make us ask for more. */
static const uint64_t MAX_BYTES = (uint64_t)1 << 30;

struct nb_intbuilder {
    nb_ctx *ctx;
    const char *where;
    nb_arena *arena;
    nb_inttensor *tensors; /* [n_tensors], names in the arena */
    int32_t *writer;       /* [n_tensors] step that writes it, -1 = none yet */
    int32_t *reader;       /* [n_tensors] last step that reads it, -1 = none yet */
    int32_t n_tensors, cap_tensors;
    nb_intstep *steps; /* [n_steps], arrays in the arena */
    int64_t *bounds;   /* [n_steps] */
    int32_t n_steps, cap_steps;
};

nb_status nb_intbuilder_create(nb_ctx *ctx, const char *where, nb_intbuilder **out)
{
    nb_intbuilder *b = nb_alloc(ctx, sizeof *b);
    if (!b)
        return NB_E_NOMEM;
    b->ctx = ctx;
    b->where = where;
    nb_status st = nb_arena_create(ctx, &b->arena);
    if (st == NB_OK)
        *out = b;
    else
        nb_intbuilder_free(b);
    return st;
}

void nb_intbuilder_free(nb_intbuilder *b)
{
    if (!b)
        return;
    nb_arena_free(b->arena);
    nb_free(b->ctx, b->tensors);
    nb_free(b->ctx, b->writer);
    nb_free(b->ctx, b->reader);
    nb_free(b->ctx, b->steps);
    nb_free(b->ctx, b->bounds);
    nb_free(b->ctx, b);
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

/* A larger copy of old (n entries), which is freed; NULL and old untouched when memory is out. */
static void *grown(nb_ctx *ctx, void *old, int32_t n, int32_t cap, size_t size)
{
    void *bigger = nb_alloc(ctx, (size_t)cap * size);
    if (!bigger)
        return NULL;
    if (n > 0)
        memcpy(bigger, old, (size_t)n * size);
    nb_free(ctx, old);
    return bigger;
}

static nb_status grow_tensors(nb_intbuilder *b)
{
    const int32_t n = b->n_tensors;
    const int32_t cap = n ? 2 * n : 16;
    nb_inttensor *t = grown(b->ctx, b->tensors, n, cap, sizeof *t);
    b->tensors = t ? t : b->tensors;
    int32_t *w = t ? grown(b->ctx, b->writer, n, cap, sizeof *w) : NULL;
    b->writer = w ? w : b->writer;
    int32_t *r = w ? grown(b->ctx, b->reader, n, cap, sizeof *r) : NULL;
    b->reader = r ? r : b->reader;
    b->cap_tensors = r ? cap : b->cap_tensors;
    return r ? NB_OK : NB_E_NOMEM;
}

static nb_status grow_steps(nb_intbuilder *b)
{
    const int32_t n = b->n_steps;
    const int32_t cap = n ? 2 * n : 16;
    nb_intstep *s = grown(b->ctx, b->steps, n, cap, sizeof *s);
    b->steps = s ? s : b->steps;
    int64_t *bounds = s ? grown(b->ctx, b->bounds, n, cap, sizeof *bounds) : NULL;
    b->bounds = bounds ? bounds : b->bounds;
    b->cap_steps = bounds ? cap : b->cap_steps;
    return bounds ? NB_OK : NB_E_NOMEM;
}

nb_status nb_intbuilder_tensor(nb_intbuilder *b, const nb_inttensor *t, int32_t *index)
{
    NB_TRY(nb_intcheck_tensor(&(nb_intplace){b->ctx, b->where, b->n_tensors}, t));
    if (b->n_tensors == NB_INT_MAX_TENSORS)
        return refuse(b, NB_E_SHAPE, "more than %d tensors", NB_INT_MAX_TENSORS);
    if (b->n_tensors == b->cap_tensors)
        NB_TRY(grow_tensors(b));
    nb_inttensor copy = *t;
    copy.name = nb_arena_strdup(b->arena, t->name);
    if (!copy.name)
        return NB_E_NOMEM;
    b->tensors[b->n_tensors] = copy;
    b->writer[b->n_tensors] = b->reader[b->n_tensors] = -1;
    *index = b->n_tensors++;
    return NB_OK;
}

static nb_status bad_order(const nb_intbuilder *b, const nb_intstep *s, int32_t tensor, const char *what)
{
    return refuse(b, NB_E_SHAPE, "step %" PRId32 " \"%s\": %s%s%s%s", b->n_steps, s->name, what,
                  tensor >= 0 ? " \"" : "", tensor >= 0 ? b->tensors[tensor].name : "", tensor >= 0 ? "\"" : "");
}

static nb_status check_order(const nb_intbuilder *b, const nb_intstep *s)
{
    if (b->n_steps == 0 && s->kind != NB_STEP_TABLE)
        return bad_order(b, s, -1, "the first step must be the table");
    if (b->n_steps > 0 && s->kind == NB_STEP_TABLE)
        return bad_order(b, s, -1, "only the first step may be a table");
    for (int32_t k = 0; k < s->n_in; k++)
        if (b->writer[s->in[k]] < 0)
            return bad_order(b, s, s->in[k], "reads a tensor no earlier step has written:");
    if (b->writer[s->out] >= 0)
        return bad_order(b, s, s->out, "writes a tensor an earlier step has written:");
    for (int32_t k = 0; k < b->n_steps; k++) /* names are the keys of the file's tensors */
        if (strcmp(b->steps[k].name, s->name) == 0)
            return bad_order(b, s, -1, "an earlier step has the same name");
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

/* What the kind does not use is zero, so that equal models give equal files. */
static nb_status copy_step(nb_intbuilder *b, const nb_intstep *s, nb_intstep *copy)
{
    const bool conv = s->kind == NB_STEP_CONV;
    const bool pool = s->kind == NB_STEP_MAXPOOL || s->kind == NB_STEP_AVGPOOL;
    const int64_t table = s->kind == NB_STEP_TABLE ? (int64_t)b->tensors[s->out].c * 256 : 0;
    bool failed = false;
    *copy = (nb_intstep){.kind = s->kind, .n_in = s->n_in, .out = s->out, .lo = s->lo, .hi = s->hi};
    memcpy(copy->in, s->in, (size_t)s->n_in * sizeof *s->in);
    if (conv || pool)
        copy->geom = s->geom;
    if (pool)
        copy->geom.groups = s->geom.c;
    copy->weight_bits = conv ? s->weight_bits : 0;
    copy->n_scale = conv ? s->n_scale : 0;
    copy->name = keep(b->arena, s->name, (int64_t)strlen(s->name) + 1, 1, &failed);
    copy->table = keep(b->arena, s->table, table, 1, &failed);
    copy->weights = keep(b->arena, s->weights, nb_int_weights(s), 1, &failed);
    copy->bias = keep(b->arena, s->bias, conv ? s->geom.oc : 0, sizeof *s->bias, &failed);
    copy->mult = keep(b->arena, s->mult, nb_int_mults(s), sizeof *s->mult, &failed);
    copy->shift = keep(b->arena, s->shift, nb_int_shifts(s), sizeof *s->shift, &failed);
    copy->weight_scale = keep(b->arena, s->weight_scale, copy->n_scale, sizeof *s->weight_scale, &failed);
    return failed ? NB_E_NOMEM : NB_OK;
}

/* What a reader of tensor t can see: its writer's clamp, the zero point (padding), and 0, which makes bounds of sums
 * bounds of partial sums. */
static nb_intrange codes_of(const nb_intbuilder *b, int32_t t)
{
    const nb_intstep *s = &b->steps[b->writer[t]];
    const int32_t zero = b->tensors[t].zero;
    nb_intrange x = {s->lo < zero ? s->lo : zero, s->hi > zero ? s->hi : zero};
    x.lo = x.lo < 0 ? x.lo : 0;
    x.hi = x.hi > 0 ? x.hi : 0;
    return x;
}

nb_status nb_intbuilder_step(nb_intbuilder *b, const nb_intstep *s)
{
    const nb_intplace place = {b->ctx, b->where, b->n_steps};
    if (b->n_steps == NB_INT_MAX_STEPS)
        return refuse(b, NB_E_SHAPE, "more than %d steps", NB_INT_MAX_STEPS);
    NB_TRY(nb_intcheck_shape(&place, s, b->tensors, b->n_tensors));
    NB_TRY(check_order(b, s));
    if (b->n_steps == b->cap_steps)
        NB_TRY(grow_steps(b));
    const nb_intrange x = s->n_in > 0 ? codes_of(b, s->in[0]) : (nb_intrange){0, 0};
    NB_TRY(nb_intcheck_values(&place, s, &b->tensors[s->out], x, &b->bounds[b->n_steps]));
    NB_TRY(copy_step(b, s, &b->steps[b->n_steps]));
    b->writer[s->out] = b->n_steps;
    for (int32_t k = 0; k < s->n_in; k++)
        b->reader[s->in[k]] = b->n_steps;
    b->n_steps++;
    return NB_OK;
}

/* ---- finish ---- */

/* A tensor must hold still from the step that writes it to the last that reads it; the network's output to the end. */
static void set_lifetimes(const nb_intbuilder *b, nb_usage *u)
{
    for (int32_t i = 0; i < b->n_tensors; i++) {
        u[i] = (nb_usage){.first = b->writer[i], .last = b->writer[i], .bytes = (size_t)nb_int_bytes(&b->tensors[i])};
        if (b->reader[i] > u[i].last)
            u[i].last = b->reader[i];
    }
    u[b->steps[b->n_steps - 1].out].last = b->n_steps;
}

static nb_status check_places(const nb_intbuilder *b, const nb_usage *u)
{
    for (int32_t i = 0; i < b->n_tensors; i++) {
        const nb_inttensor *t = &b->tensors[i];
        if (t->offset > MAX_BYTES)
            return refuse(b, NB_E_SHAPE, "tensor %" PRId32 " \"%s\": offset %" PRIu64 ": must be at most %" PRIu64, i,
                          t->name, t->offset, MAX_BYTES);
        for (int32_t k = 0; k < i; k++) {
            const nb_inttensor *o = &b->tensors[k];
            if (u[i].first <= u[k].last && u[k].first <= u[i].last && t->offset < o->offset + u[k].bytes &&
                o->offset < t->offset + u[i].bytes)
                return refuse(b, NB_E_SHAPE, "tensors %" PRId32 " \"%s\" and %" PRId32 " \"%s\" overlap in the arena",
                              k, o->name, i, t->name);
        }
    }
    return NB_OK;
}

static nb_status place_tensors(nb_intbuilder *b, nb_int_placing placing)
{
    nb_usage *u = nb_alloc(b->ctx, (size_t)b->n_tensors * sizeof *u);
    if (!u)
        return NB_E_NOMEM;
    size_t total = 0;
    set_lifetimes(b, u);
    nb_status st = placing == NB_INT_PLAN ? nb_memplan(b->ctx, u, b->n_tensors, 64, &total) : check_places(b, u);
    if (st == NB_OK && placing == NB_INT_PLAN)
        for (int32_t i = 0; i < b->n_tensors; i++)
            b->tensors[i].offset = u[i].offset;
    nb_free(b->ctx, u);
    return st;
}

static nb_status check_whole(const nb_intbuilder *b, const nb_intmeta *meta)
{
    if (b->n_steps == 0)
        return refuse(b, NB_E_SHAPE, "the model has no steps");
    for (int32_t i = 0; i < b->n_tensors; i++)
        if (b->writer[i] < 0)
            return refuse(b, NB_E_SHAPE, "tensor %" PRId32 " \"%s\": no step writes it", i, b->tensors[i].name);
    for (int32_t i = 0; i < b->n_steps - 1; i++)
        if (b->tensors[b->steps[i].out].type == NB_EI_S32)
            return refuse(b, NB_E_SHAPE, "step %" PRId32 " \"%s\": only the last step's output may be s32", i,
                          b->steps[i].name);
    const nb_inttensor *out = &b->tensors[b->steps[b->n_steps - 1].out];
    if (meta->classes < 1 || meta->classes > NB_INT_MAX_CLASSES || meta->classes != nb_int_values(out))
        return refuse(b, NB_E_SHAPE, "%" PRId32 " classes, but the output \"%s\" has %" PRId64 " values", meta->classes,
                      out->name, nb_int_values(out));
    if (!(meta->accuracy <= 1))
        return refuse(b, NB_E_SHAPE, "accuracy: %g: must be at most 1", meta->accuracy);
    return NB_OK;
}

static nb_status copy_meta(const nb_intbuilder *b, const nb_intmeta *meta, nb_intmodel *m)
{
    m->classes = meta->classes;
    m->accuracy = meta->accuracy < 0 ? -1 : meta->accuracy;
    m->config = nb_arena_strdup(b->arena, meta->config ? meta->config : "");
    if (!m->config)
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

static nb_status copy_tensors(const nb_intbuilder *b, nb_intmodel *m)
{
    const size_t n = (size_t)b->n_tensors;
    nb_etensor *e = nb_arena_array(b->arena, n, sizeof *e);
    nb_tinfo *info = nb_arena_array(b->arena, n, sizeof *info);
    if (!e || !info)
        return NB_E_NOMEM;
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        const nb_inttensor *t = &b->tensors[i];
        e[i] = (nb_etensor){.h = t->h, .w = t->w, .c = t->c, .type = t->type, .zero = t->zero, .offset = t->offset};
        info[i] = (nb_tinfo){.name = t->name, .scale = t->scale, .bits = t->bits};
        if (t->offset + nb_int_bytes(t) > end)
            end = t->offset + nb_int_bytes(t);
    }
    m->e.n_tensors = b->n_tensors;
    m->e.tensors = e;
    m->tensors = info;
    m->e.tensor_bytes = (end + 63) / 64 * 64;
    return NB_OK;
}

static nb_status copy_steps(const nb_intbuilder *b, nb_intmodel *m)
{
    const size_t n = (size_t)b->n_steps;
    nb_estep *e = nb_arena_array(b->arena, n, sizeof *e);
    nb_sinfo *info = nb_arena_array(b->arena, n, sizeof *info);
    if (!e || !info)
        return NB_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const nb_intstep *s = &b->steps[i];
        e[i] = (nb_estep){.kind = s->kind,
                          .n_in = s->n_in,
                          .out = s->out,
                          .lo = s->lo,
                          .hi = s->hi,
                          .geom = s->geom,
                          .table = s->table,
                          .weights = s->weights,
                          .bias = s->bias,
                          .mult = s->mult,
                          .shift = s->shift};
        memcpy(e[i].in, s->in, (size_t)s->n_in * sizeof *s->in);
        info[i] = (nb_sinfo){.name = s->name,
                             .weight_bits = s->weight_bits,
                             .n_scale = s->n_scale,
                             .weight_scale = s->weight_scale,
                             .macs = nb_int_macs(s),
                             .acc_bound = b->bounds[i]};
    }
    m->e.n_steps = b->n_steps;
    m->e.steps = e;
    m->steps = info;
    return NB_OK;
}

static nb_status check_engine(const nb_intbuilder *b, const nb_intmodel *m)
{
    int32_t fault = nb_engine_check(&m->e);
    if (fault > b->n_steps)
        return refuse(b, NB_E_SHAPE, "tensor %" PRId32 " \"%s\": the engine cannot hold it", fault - b->n_steps - 1,
                      b->tensors[fault - b->n_steps - 1].name);
    if (fault > 0)
        return refuse(b, NB_E_SHAPE, "%s step %" PRId32 " \"%s\": the engine cannot run it",
                      nb_step_names[b->steps[fault - 1].kind], fault - 1, b->steps[fault - 1].name);
    const uint64_t arena = nb_engine_arena_bytes(&m->e);
    const uint64_t packed = nb_engine_packed_bytes(&m->e);
    if (arena > MAX_BYTES || packed > MAX_BYTES)
        return refuse(b, NB_E_SHAPE,
                      "the model needs %" PRIu64 " bytes of arena and %" PRIu64
                      " of prepared weights: at most %" PRIu64,
                      arena, packed, MAX_BYTES);
    return NB_OK;
}

nb_status nb_intbuilder_finish(nb_intbuilder *b, nb_int_placing placing, const nb_intmeta *meta, nb_intmodel **out)
{
    NB_TRY(check_whole(b, meta));
    NB_TRY(place_tensors(b, placing));
    nb_intmodel *m = nb_arena_alloc(b->arena, sizeof *m);
    if (!m)
        return NB_E_NOMEM;
    NB_TRY(copy_meta(b, meta, m));
    NB_TRY(copy_tensors(b, m));
    NB_TRY(copy_steps(b, m));
    NB_TRY(check_engine(b, m));
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
