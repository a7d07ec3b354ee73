/* block_run.c - see block_run.h. */
#include "post/block_run.h"

#include <nibble/extend/fusion.h>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "quant/learned.h"

#include <string.h>

enum { CHUNK = 8192 /* a multiple of 8, which are drawn at once */ };

/* ---- the copy ---- */

nb_status nb_block_graph_open(const nb_graph *g, const nb_experiment *experiment, int32_t batch, nb_graph **out)
{
    const nb_graph_spec spec = {.experiment = experiment,
                                .info = &g->info,
                                .max_batch = batch,
                                .quant = true,
                                .simulate = true,
                                .plan = NB_PLAN_TRAIN,
                                .reference = true};
    return nb_graph_open(g->ctx, &spec, &(nb_params_source){.graph = g, .mode = NB_PARAMS_EXACT}, out);
}

void nb_block_graph_update(nb_graph *copy, const nb_graph *g)
{
    NB_ASSERT(copy->n == g->n);
    for (int32_t i = 0; i < g->n; i++) {
        const nb_tensor *t = &g->node[i]->out;
        NB_ASSERT(strcmp(g->node[i]->name, copy->node[i]->name) == 0);
        if (g->node[i]->flags & NB_NODE_LEAF)
            memcpy(copy->node[i]->out.data, t->data, (size_t)nb_count(t) * sizeof(float));
    }
}

static nb_node *node_of(const nb_graph *g, int32_t step)
{
    NB_ASSERT(g->step[step].n == 1);
    return g->step[step].node[0];
}

static bool of_weights(const nb_node *n)
{
    return nb_is_quantizer(n) && nb_fakequant_of_weights(n);
}

void nb_block_graph_run(nb_graph *g, const nb_node *until, const nb_run *r)
{
    for (int32_t i = 0; i < g->n_steps; i++) {
        nb_node *n = node_of(g, i);
        nb_forward_step(g, i, r);
        if (of_weights(n) && nb_fq_held(n, 0)) /* the scale that made them may be one that keeps sums of integers */
            memcpy(n->out.data, n->in[0]->out.data, (size_t)nb_count(&n->out) * sizeof(float));
        if (n == until)
            return;
    }
}

/* ---- a block of it ---- */

static nb_status open_layer(nb_arena *arena, const nb_node *mac, nb_block_layer *l)
{
    *l = (nb_block_layer){.mac = mac, .n = nb_count(&mac->in[1]->out)};
    l->w = nb_arena_array(arena, (size_t)l->n, sizeof *l->w);
    l->grad = nb_arena_array(arena, (size_t)l->n, sizeof *l->grad);
    return l->w && l->grad ? NB_OK : NB_E_NOMEM;
}

static nb_status open_value(nb_arena *arena, const nb_graph *g, nb_node *fq, nb_block_value *v)
{
    const size_t count = (size_t)nb_count(&fq->out);
    int32_t zero;
    *v = (nb_block_value){.fq = fq, .scalable = nb_fakequant_scalable(fq)};
    if (v->scalable)
        NB_TRY(nb_fakequant_snapshot(g->ctx, fq, NULL, &(nb_qparams){.scale = &v->scale, .zero = &zero}, NULL));
    v->before = nb_arena_array(arena, count, sizeof *v->before);
    v->dropped = nb_arena_array(arena, count, sizeof *v->dropped);
    return v->before && v->dropped ? NB_OK : NB_E_NOMEM;
}

nb_status nb_block_run_open(nb_arena *arena, nb_graph *g, const nb_post_block *block, nb_block_run *out)
{
    nb_block_run b = {.g = g, .from = g->node[block->from->id], .to = g->node[block->to->id]};
    const size_t most = (size_t)(b.to->id - b.from->id);
    b.layer = nb_arena_array(arena, most, sizeof *b.layer);
    b.value = nb_arena_array(arena, most, sizeof *b.value);
    b.lane = nb_arena_array(arena, (size_t)NB_TAP_MAX_PARTS * NB_SCALE_LANES, sizeof *b.lane);
    if (!b.layer || !b.value || !b.lane)
        return NB_E_NOMEM;
    nb_graph_set_batch(g, g->max_batch);
    for (int32_t i = 0; i < g->n_steps; i++) {
        nb_node *n = node_of(g, i);
        b.begin = n->id <= b.from->id ? i + 1 : b.begin;
        b.end = n->id <= b.to->id ? i + 1 : b.end;
        if (n->id <= b.from->id || n->id > b.to->id)
            continue;
        if (n->op->role == NB_ROLE_MAC)
            NB_TRY(open_layer(arena, n, &b.layer[b.n_layers++]));
        else if (nb_is_quantizer(n) && !nb_fakequant_of_weights(n))
            NB_TRY(open_value(arena, g, n, &b.value[b.n_values++]));
    }
    *out = b;
    return NB_OK;
}

float *nb_block_reads(const nb_block_run *b)
{
    return b->from->out.data;
}

const float *nb_block_gives(const nb_block_run *b)
{
    return b->to->out.data;
}

static nb_block_layer *layer_with(const nb_block_run *b, const nb_node *weights)
{
    for (int32_t i = 0; of_weights(weights) && i < b->n_layers; i++)
        if (b->layer[i].mac->in[1] == weights)
            return &b->layer[i];
    return NULL;
}

static nb_block_value *value_of(const nb_block_run *b, const nb_node *fq)
{
    for (int32_t i = 0; i < b->n_values; i++)
        if (b->value[i].fq == fq)
            return &b->value[i];
    return NULL;
}

static nb_run run_of(const nb_block_pass *p)
{
    return (nb_run){.train = p->train, .freeze_bn = true, .freeze_ranges = true, .seed = p->seed, .step = p->at};
}

/* ---- what is not rounded ---- */

typedef struct {
    uint8_t *dropped;
    int64_t n;
    uint64_t key;
    uint32_t below;
} draw_job;

static void draw_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const draw_job *j = arg;
    for (int64_t i = chunk * CHUNK; i < nb_chunk_end(j->n, CHUNK, chunk); i += 8) {
        uint32_t word[4];
        nb_philox(word, j->key, (uint64_t)i / 8, 0);
        for (int64_t k = 0; k < 8 && i + k < j->n; k++)
            j->dropped[i + k] = (word[k / 2] >> k % 2 * 16 & 0xffff) < j->below;
    }
}

void nb_block_draw(uint8_t *dropped, int64_t n, float drop, uint64_t key)
{
    draw_job j = {dropped, n, key, (uint32_t)(drop * 65536)};
    nb_parallel_for(nb_chunks(n, CHUNK), draw_chunk, &j);
}

static void keep_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_block_value *v = arg;
    const int64_t end = nb_chunk_end(nb_count(&v->fq->out), CHUNK, chunk);
    float *y = v->fq->out.data;
    for (int64_t i = chunk * CHUNK; i < end; i++)
        y[i] = v->dropped[i] ? v->before[i] : y[i];
}

static void pass_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_block_value *v = arg;
    const int64_t end = nb_chunk_end(nb_count(&v->fq->out), CHUNK, chunk);
    const float *dy = v->fq->out.grad;
    float *dx = v->fq->in[0]->out.grad;
    for (int64_t i = chunk * CHUNK; i < end; i++)
        dx[i] = v->dropped[i] ? dy[i] : dx[i];
}

/* ---- forward ---- */

static void round_value(nb_block_run *b, nb_block_value *v, int32_t step, const nb_block_pass *p)
{
    const nb_run r = run_of(p);
    const int64_t n = nb_count(&v->fq->out);
    if (v->scalable)
        nb_fakequant_take_scale(v->fq, v->scale);
    if (p->train)
        memcpy(v->before, v->fq->in[0]->out.data, (size_t)n * sizeof *v->before);
    nb_forward_step(b->g, step, &r);
    if (!(p->drop > 0))
        return;
    nb_block_draw(v->dropped, n, p->drop, nb_mix(nb_mix(p->seed, p->at), (uint64_t)v->fq->id));
    nb_parallel_for(nb_chunks(n, CHUNK), keep_chunk, v);
}

void nb_block_forward(nb_block_run *b, const nb_block_pass *p)
{
    const nb_run r = run_of(p);
    for (int32_t i = b->begin; i < b->end; i++) {
        nb_node *n = node_of(b->g, i);
        const nb_block_layer *l = layer_with(b, n);
        nb_block_value *v = value_of(b, n);
        if (l)
            memcpy(n->out.data, l->w, (size_t)l->n * sizeof *l->w);
        else if (v)
            round_value(b, v, i, p);
        else
            nb_forward_step(b->g, i, &r);
    }
}

/* ---- backward ---- */

typedef struct {
    const nb_block_run *b;
    const nb_block_value *v;
    bool drop;
} scale_job;

/* Of the images of one part (fusion.h). */
static void scale_part(void *arg, int64_t part, int32_t thread)
{
    enum { BLOCK = 1024 };
    (void)thread;
    const scale_job *j = arg;
    const nb_tensor *t = &j->v->fq->out;
    const nb_qparams *q = t->q;
    const nb_kgrid grid = {q->scale[0], q->zero[0], q->lo, q->hi};
    const int64_t each = nb_count(t) / t->shape.d[0], end = nb_tap_part(t->shape.d[0], (int32_t)part + 1) * each;
    double *lane = j->b->lane + part * NB_SCALE_LANES;
    float dy[BLOCK];
    memset(lane, 0, NB_SCALE_LANES * sizeof *lane);
    for (int64_t at = nb_tap_part(t->shape.d[0], (int32_t)part) * each; at < end; at += BLOCK) {
        const int64_t n = end - at < BLOCK ? end - at : BLOCK;
        for (int64_t i = 0; i < n; i++)
            dy[i] = j->drop && j->v->dropped[at + i] ? 0.0f : t->grad[at + i];
        nb_k_scale_grad(lane, dy, j->v->before + at, NULL, &grid, n, 1);
    }
}

static void back_through(nb_block_run *b, nb_block_value *v, int32_t step, const nb_block_pass *p)
{
    const nb_run r = run_of(p);
    const int32_t parts = nb_tap_parts(v->fq->out.shape.d[0]);
    v->by_scale = 0;
    if (v->scalable) {
        nb_parallel_for(parts, scale_part, &(scale_job){b, v, p->drop > 0});
        for (int32_t i = 0; i < parts * NB_SCALE_LANES; i++)
            v->by_scale += b->lane[i];
    }
    nb_backward_step(b->g, step, &r);
    if (p->drop > 0 && v->fq->in[0]->out.grad)
        nb_parallel_for(nb_chunks(nb_count(&v->fq->out), CHUNK), pass_chunk, v);
}

/* Memory is planned for a whole step of training, of which this is a part: what the block keeps is there, and what
 * others keep is not asked for. */
void nb_block_backward(nb_block_run *b, const nb_block_pass *p, const float *dy)
{
    const nb_run r = run_of(p);
    nb_backward_begin(b->g);
    memcpy(b->to->out.grad, dy, (size_t)nb_count(&b->to->out) * sizeof *dy);
    for (int32_t i = b->end - 1; i >= b->begin; i--) {
        const nb_node *n = node_of(b->g, i);
        nb_block_layer *l = layer_with(b, n);
        nb_block_value *v = value_of(b, n);
        if (l)
            memcpy(l->grad, n->out.grad, (size_t)l->n * sizeof *l->grad);
        else if (v)
            back_through(b, v, i, p);
        else
            nb_backward_step(b->g, i, &r);
    }
}
