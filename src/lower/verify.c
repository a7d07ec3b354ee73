/* verify.c - the engine against the graph it was lowered from (quantized, in floats), layer by layer.
 *
 * Every tensor of the integer model is the value of one node of the graph (they share the name). The graph runs step by
 * step over a batch; each such value is copied while it is alive. Then every step of the engine is run twice per image:
 * on the reference's codes (what can this layer alone do wrong? every difference is judged, judge.h) and on the
 * engine's own (what does it add up to?).
 * Images run in parallel; counts are integers, so their order does not matter. */
#include <nibble/extend/fusion.h>
#include <nibble/lower.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/measure.h"
#include "base/parallel.h"
#include "engine/engine_check.h"
#include "lower/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CODES = 4 << 20 /* of a batch of images */ };

typedef struct {
    const nb_intmodel *m;
    nb_judge judge;
    const nb_node **node;    /* [n_tensors]: whose value it is, behind all views */
    const nb_estep **writer; /* [n_tensors] */
    int32_t *image_codes;    /* [batch][stride]: reference codes of all tensors */
    int64_t *at, stride;     /* where a tensor's codes start */
    uint8_t *pixels;
    int32_t *labels;
    int64_t image_bytes;
    unsigned char *arenas; /* two per thread: fed, running */
    size_t arena_bytes;
    nb_verify_row *rows; /* [threads][n_steps] */
    int64_t *same_top1;  /* [threads] */
} verify_job;

static int32_t code_at(const nb_etensor *t, const void *data, int64_t i)
{
    if (t->type == NB_EI_S32)
        return ((const int32_t *)data)[i];
    return t->type == NB_EI_S8 ? ((const int8_t *)data)[i] : ((const uint8_t *)data)[i];
}

/* The node's value for the whole batch as integers: its codes, or for float logits what they would be on the engine's
 * scale. */
static void keep_value(verify_job *j, int32_t t, const nb_node *n, int32_t batch)
{
    const nb_etensor *e = &j->m->e.tensors[t];
    int64_t count = nb_etensor_values(e);
    double scale = j->m->tensors[t].scale;
    for (int32_t b = 0; b < batch; b++) {
        int32_t *to = j->image_codes + b * j->stride + j->at[t];
        for (int64_t i = 0; i < count; i++) {
            if (n->out.q)
                to[i] = code_at(e, n->out.data, b * count + i);
            else
                to[i] = (int32_t)fmax(fmin(nearbyint(((const float *)n->out.data)[b * count + i] / scale), INT32_MAX),
                                      INT32_MIN);
        }
    }
}

static void run_graph(verify_job *j, nb_graph *g, int32_t batch)
{
    nb_graph_set_batch(g, batch);
    nb_run r = {.pixels = j->pixels};
    for (int32_t i = 0; i < g->n_steps; i++) {
        nb_forward_step(g, i, &r);
        for (int32_t t = 0; t < j->m->e.n_tensors; t++)
            if (j->node[t] == nb_step_last(&g->step[i]))
                keep_value(j, t, j->node[t], batch);
    }
}

/* What writes the tensor clamps to lo..hi, and the proof that no accumulator overflows relies on it: integers of
 * another network must not be fed more. */
static void feed(const nb_etensor *e, const nb_estep *writer, void *to, const int32_t *codes)
{
    for (int64_t i = 0, n = nb_etensor_values(e); i < n; i++) {
        int32_t code = codes[i] < writer->lo ? writer->lo : codes[i] > writer->hi ? writer->hi : codes[i];
        if (e->type == NB_EI_S32)
            ((int32_t *)to)[i] = code;
        else
            ((uint8_t *)to)[i] = (uint8_t)code;
    }
}

static void keep_largest(int32_t *largest, int64_t difference)
{
    int32_t capped = difference > INT32_MAX ? INT32_MAX : (int32_t)difference;
    *largest = *largest > capped ? *largest : capped;
}

/* A step's outputs against the reference's, when its inputs were the reference's: codes of all tensors of the image. */
static void judge_step(const verify_job *j, int32_t s, const void *got, const int32_t *codes, nb_verify_row *row)
{
    const nb_estep *step = &j->m->e.steps[s];
    const nb_etensor *y = &j->m->e.tensors[step->out];
    const int32_t *want = codes + j->at[step->out];
    nb_verdict v = {.step = s};
    for (int32_t k = 0; k < step->n_in; k++)
        v.in[k] = codes + j->at[step->in[k]];
    for (int64_t i = 0, n = nb_etensor_values(y); i < n; i++) {
        v.at = i;
        v.engine = code_at(y, got, i);
        v.graph = want[i];
        if (v.engine == v.graph)
            continue;
        bool rounding = nb_judge_is_rounding(&j->judge, &v);
        row->rounding += rounding;
        row->faults += !rounding;
        keep_largest(&row->largest, llabs((long long)v.engine - v.graph));
    }
    row->outputs += nb_etensor_values(y);
}

static void count_differences(const nb_etensor *e, const void *got, const int32_t *want, nb_verify_row *row)
{
    for (int64_t i = 0, n = nb_etensor_values(e); i < n; i++) {
        int64_t d = llabs((long long)code_at(e, got, i) - want[i]);
        row->differ_run += d >= 1;
        keep_largest(&row->largest_run, d);
    }
}

static void one_image(void *arg, int64_t image, int32_t thread)
{
    verify_job *j = arg;
    const nb_emodel *e = &j->m->e;
    nb_verify_row *rows = j->rows + (int64_t)thread * e->n_steps;
    unsigned char *fed = j->arenas + 2 * (size_t)thread * j->arena_bytes, *running = fed + j->arena_bytes;
    const int32_t *codes = j->image_codes + image * j->stride;
    const uint8_t *pixels = j->pixels + image * j->image_bytes;
    const void *own = NULL;
    for (int32_t s = 0; s < e->n_steps; s++) {
        const nb_estep *step = &e->steps[s];
        const nb_etensor *y = &e->tensors[step->out];
        for (int32_t k = 0; k < step->n_in; k++)
            feed(&e->tensors[step->in[k]], j->writer[step->in[k]], nb_engine_tensor(e, fed, step->in[k]),
                 codes + j->at[step->in[k]]);
        const void *alone = nb_engine_run_step(e, fed, s, pixels);
        own = nb_engine_run_step(e, running, s, pixels);
        judge_step(j, s, alone, codes, &rows[s]);
        count_differences(y, own, codes + j->at[step->out], &rows[s]);
    }
    int32_t last = e->steps[e->n_steps - 1].out;
    j->same_top1[thread] +=
        nb_engine_argmax(e, own) == nb_argmax_int(codes + j->at[last], nb_etensor_values(&e->tensors[last]));
}

/* The engine's tensor holds what the node does: as many values, of the same type. */
static bool corresponds(const nb_node *n, const nb_etensor *e, int32_t batch)
{
    nb_dtype type = e->type == NB_EI_S8 ? NB_S8 : e->type == NB_EI_U8 ? NB_U8 : NB_F32; /* logits are floats there */
    return !(n->flags & NB_NODE_LEAF) && nb_count(&n->out) == nb_etensor_values(e) * batch && n->out.dtype == type &&
           (n->out.q != NULL) == (type != NB_F32);
}

static nb_status another_network(nb_ctx *ctx, const char *name, const char *why)
{
    return nb_fail(ctx, NB_E_SHAPE, "%s: %s: the integers were lowered from another network", name, why);
}

static nb_status find_nodes(verify_job *j, const nb_graph *g)
{
    for (int32_t s = 0; s < j->m->e.n_steps; s++) {
        int32_t t = j->m->e.steps[s].out;
        const char *name = j->m->tensors[t].name;
        const nb_node *n = nb_graph_find(g, name);
        while (n && n->op->flags & NB_OP_VIEW)
            n = n->in[0];
        if (!n)
            return another_network(g->ctx, name, "is not in the graph");
        if (!corresponds(n, &j->m->e.tensors[t], g->cut.images))
            return another_network(g->ctx, name, "has another size or type in the graph");
        j->writer[t] = &j->m->e.steps[s];
        j->node[t] = n;
        if (!nb_judge_fits(&j->judge, s))
            return another_network(g->ctx, name, "is made from something else in the graph");
    }
    return NB_OK;
}

static nb_status prepare(verify_job *j, const nb_graph *g, int32_t batch, nb_arena *a)
{
    const nb_emodel *e = &j->m->e;
    size_t threads = (size_t)nb_threads();
    j->node = nb_arena_array(a, (size_t)e->n_tensors, sizeof(void *));
    j->writer = nb_arena_array(a, (size_t)e->n_tensors, sizeof(void *));
    j->at = nb_arena_array(a, (size_t)e->n_tensors, sizeof(int64_t));
    if (!j->node || !j->writer || !j->at)
        return NB_E_NOMEM;
    for (int32_t t = 0; t < e->n_tensors; t++) {
        j->at[t] = j->stride;
        j->stride += nb_etensor_values(&e->tensors[t]);
    }
    nb_lval *val;
    NB_TRY(nb_lower_values(g, a, &val));
    j->judge = (nb_judge){.m = j->m, .val = val, .node = j->node};
    NB_TRY(find_nodes(j, g));
    j->image_bytes = (int64_t)g->info.h * g->info.w * g->info.c;
    j->arena_bytes = nb_round64(nb_engine_arena_bytes(e));
    j->image_codes = nb_arena_array(a, (size_t)(batch * j->stride), sizeof(int32_t));
    j->pixels = nb_arena_array(a, (size_t)batch, (size_t)j->image_bytes);
    j->labels = nb_arena_array(a, (size_t)batch, sizeof(int32_t));
    j->arenas = nb_arena_array(a, 2 * threads, j->arena_bytes);
    j->rows = nb_arena_array(a, threads * (size_t)e->n_steps, sizeof *j->rows);
    j->same_top1 = nb_arena_array(a, threads, sizeof *j->same_top1);
    bool got = j->image_codes && j->pixels && j->labels && j->arenas && j->rows && j->same_top1;
    return got ? NB_OK : NB_E_NOMEM;
}

static void collect(const verify_job *j, nb_verify_report *out)
{
    int32_t steps = j->m->e.n_steps;
    for (int32_t s = 0; s < steps; s++)
        out->rows[s].name = j->m->steps[s].name;
    for (int32_t k = 0; k < nb_threads() * steps; k++) {
        nb_verify_row *to = &out->rows[k % steps];
        const nb_verify_row *from = &j->rows[k];
        to->outputs += from->outputs;
        to->rounding += from->rounding;
        to->faults += from->faults;
        to->differ_run += from->differ_run;
        to->largest = to->largest > from->largest ? to->largest : from->largest;
        to->largest_run = to->largest_run > from->largest_run ? to->largest_run : from->largest_run;
    }
    for (int32_t k = 0; k < nb_threads(); k++)
        out->same_top1 += (int32_t)j->same_top1[k];
}

/* At most `most` images at a time. */
static nb_status verify_batches(nb_graph *g, verify_job *j, nb_arena *a, const nb_data *data, int32_t n, int32_t most,
                                nb_verify_report *out)
{
    NB_TRY(prepare(j, g, most, a));
    out->rows = nb_alloc(g->ctx, (size_t)j->m->e.n_steps * sizeof *out->rows);
    if (!out->rows)
        return NB_E_NOMEM;
    for (int32_t from = 0; from < n; from += most) {
        int32_t batch = n - from < most ? n - from : most;
        for (int32_t b = 0; b < batch; b++)
            nb_data_get(data, from + b, j->pixels + b * j->image_bytes, &j->labels[b]);
        run_graph(j, g, batch);
        nb_parallel_for(batch, one_image, j);
    }
    NB_TRY(nb_data_check(g->ctx, data));
    out->images = n;
    collect(j, out);
    return NB_OK;
}

static nb_status verify_in(nb_graph *g, verify_job *j, nb_arena *a, const nb_data *data, int32_t n,
                           nb_verify_report *out)
{
    int64_t codes = 0;
    for (int32_t t = 0; t < j->m->e.n_tensors; t++)
        codes += nb_etensor_values(&j->m->e.tensors[t]);
    const int32_t fit = (int32_t)(MOST_CODES / codes) + 1, room = n < g->room ? n : g->room;
    const bool shared = g->shared;
    g->shared = false; /* every rank looks at the same few images */
    nb_status st = verify_batches(g, j, a, data, n, room < fit ? room : fit, out);
    g->shared = shared;
    nb_graph_set_batch(g, g->max_batch);
    return st;
}

nb_status nb_verify(nb_graph *g, const nb_intmodel *m, const nb_data *data, int32_t n, nb_verify_report *out)
{
    NB_ASSERT(g->frozen && g->quantized && n >= 1 && n <= nb_data_info(data)->count);
    const nb_dsinfo *info = nb_data_info(data);
    if (info->h != g->info.h || info->w != g->info.w || info->c != g->info.c)
        return nb_fail(g->ctx, NB_E_SHAPE, "the data set's images have another size than the network's input");
    nb_arena *a;
    NB_TRY(nb_arena_create(g->ctx, &a));
    verify_job j = {.m = m};
    nb_verify_report r = {0};
    nb_status st = verify_in(g, &j, a, data, n, &r);
    nb_arena_free(a);
    if (st == NB_OK)
        *out = r;
    else
        nb_free(g->ctx, r.rows);
    return st;
}
