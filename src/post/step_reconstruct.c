/* step_reconstruct.c - block reconstruction (BRECQ, Li et al. 2021, arXiv:2102.05426).
 *
 * Block by block (partition.h), in order of execution: the weights of all its layers are rounded together, so that what
 * the block gives in the quantized network, whose blocks before it are rounded already, comes as near as it can to what it
 * gives in the float network (block_solve.h). Scales of weights stay, those of activations are learned along; both are held
 * from then on, and so are the codes (held_codes.h). */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>
#include <nibble/extend/quant.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"
#include "base/rng.h"
#include "post/block_solve.h"
#include "post/held_codes.h"
#include "post/paired.h"
#include "quant/fakequant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    int32_t iterations, batch, images, granularity;
    float lr, scale_lr, lambda, warmup, drop;
    bool fisher;
} reconstruct_attr;

extern const nb_post_step nb_post_step_reconstruct;

static const nb_key reconstruct_keys[] = {
    NB_KEY_INT(reconstruct_attr, iterations, "1000", 1, 1000000, "steps of learning for each block"),
    NB_KEY_INT(reconstruct_attr, batch, "32", 1, 4096, "images that a step looks at"),
    NB_KEY_INT(reconstruct_attr, images, "0", 0, INT32_MAX,
               "of the sample that ranges are found on, the first so many; 0 = all of it"),
    NB_KEY_ENUM(reconstruct_attr, granularity, "block", "block|layer",
                "block: also runs of plain layers; layer: what can be cut off alone, a residual block whole"),
    NB_KEY_BOOL(reconstruct_attr, fisher, "yes",
                "errors count by the squared gradient of the float network's loss; no: all alike"),
    NB_KEY_FLOAT(reconstruct_attr, lr, "0.1", 1e-6, 1, "learning rate of Adam, of the rounding"),
    NB_KEY_FLOAT(reconstruct_attr, scale_lr, "0.001", 0, 1,
                 "of scales of activations, in proportion to them; falls to 0. 0 = they stay"),
    NB_KEY_FLOAT(reconstruct_attr, lambda, "0.3", 0, 1000,
                 "weight of the term that drives every weight to one of its codes"),
    NB_KEY_FLOAT(reconstruct_attr, warmup, "0.2", 0, 0.9, "share of the steps before that term is there"),
    NB_KEY_FLOAT(reconstruct_attr, drop, "0", 0, 1,
                 "share of activations that are left unrounded while learning (QDrop: 0.5)"),
    {0}};

typedef struct {
    const nb_post_input *in;
    const reconstruct_attr *attr;
    nb_block_source source;
    nb_arena *arena;
    nb_post_block *block;
    int32_t n, at;     /* blocks, the one under way */
    double work, done; /* of all blocks, of those before this one */
    double before, after, flipped, weights;
} state;

/* ---- one block ---- */

/* What a block's part of the step is: weights of its layers, scales of its activations, and what is said of it. */
enum { BEFORE, AFTER, FLIPPED, BETTER, HOLDS, SAID };
typedef struct {
    float *values, *scale, *said; /* [n] of all three, and where the last two begin */
    nb_node **fq;                 /* [n_fq] fake-quant nodes whose scales are learned */
    int64_t n;
    int32_t n_fq;
} block_part;

static double work_of(const nb_post_block *b)
{
    double sum = 0;
    for (int32_t i = 0; i < b->n_macs; i++)
        sum += b->mac[i]->op->macs ? (double)b->mac[i]->op->macs(b->mac[i]) : 0;
    return sum;
}

static int64_t weights_of(const nb_post_block *b)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < b->n_macs; i++)
        sum += nb_codes_count(b->mac[i]);
    return sum;
}

static void tell(void *ud, double share)
{
    const state *s = ud;
    const nb_post_block *b = &s->block[s->at];
    const nb_post_report *r = s->in->report;
    if (r && r->progress)
        r->progress(r->ud, &nb_post_step_reconstruct, b->name, (s->done + share * work_of(b)) / s->work);
}

static bool is_learned(const state *s, const nb_node *n)
{
    return s->attr->scale_lr > 0 && nb_is_quantizer(n) && nb_fakequant_scalable(n);
}

static nb_status open_part(const state *s, const nb_post_block *b, block_part *p)
{
    const nb_graph *g = s->in->graph;
    *p = (block_part){0};
    for (int32_t i = b->from->id + 1; i <= b->to->id; i++)
        p->n_fq += is_learned(s, g->node[i]);
    p->n = weights_of(b) + p->n_fq + SAID;
    p->values = nb_alloc(g->ctx, (size_t)p->n * sizeof *p->values);
    nb_node **fq = nb_alloc(g->ctx, (size_t)(p->n_fq + 1) * sizeof(void *));
    p->fq = fq;
    if (!p->values || !fq)
        return NB_E_NOMEM;
    p->said = p->values + p->n - SAID;
    p->scale = p->said - p->n_fq;
    for (int32_t i = b->from->id + 1; i <= b->to->id; i++)
        if (is_learned(s, g->node[i]))
            *fq++ = g->node[i];
    return NB_OK;
}

static void close_part(const state *s, block_part *p)
{
    nb_free(s->in->graph->ctx, p->values);
    nb_free(s->in->graph->ctx, (void *)p->fq);
}

static void say(state *s, const nb_post_block *b, const float *said)
{
    char text[NB_POST_SUMMARY];
    const double weights = (double)weights_of(b);
    nb_post_row row = {.layer = b->name, .text = text, .done = said[HOLDS] > 0};
    row.before = (double)said[BEFORE];
    row.after = (double)said[AFTER];
    if (!row.done)
        snprintf(text, sizeof text, "as it was: other codes would ask for another scale, so that sums fit 32 bits");
    else if (!(said[BETTER] > 0))
        snprintf(text, sizeof text, "as it was: what was learned is no better");
    else
        snprintf(text, sizeof text, "%d layer%s, %.1f %% of weights to the other neighbour", b->n_macs,
                 nb_plural(b->n_macs), 100 * (double)said[FLIPPED] / weights);
    s->before += row.before;
    s->after += row.after;
    s->flipped += (double)said[FLIPPED];
    s->weights += weights;
    nb_post_say(s->in, &nb_post_step_reconstruct, &row);
}

static void hold(const nb_post_block *b, const block_part *p)
{
    for (int32_t i = 0; i < b->n_macs; i++)
        nb_fakequant_hold(b->mac[i]->in[1]);
    for (int32_t i = 0; i < p->n_fq; i++)
        nb_fakequant_hold(p->fq[i]);
}

static void take_scales(const block_part *p, const float *scale)
{
    for (int32_t i = 0; i < p->n_fq; i++)
        nb_fakequant_take_scale(p->fq[i], scale[i]);
}

/* An earlier run of the same command has done this block. */
static bool recall(state *s, const nb_post_block *b, const block_part *p)
{
    const float *w = p->values;
    if (!nb_post_recall(s->in, b->name, p->values, p->n))
        return false;
    for (int32_t i = 0; i < b->n_macs; w += nb_codes_count(b->mac[i]), i++)
        nb_codes_take_back(b->mac[i], w);
    if (p->said[HOLDS] > 0) {
        take_scales(p, p->scale);
        hold(b, p);
    }
    say(s, b, p->said);
    return true;
}

static void see_nothing(void *ud, const nb_pair_view *v)
{
    (void)ud;
    (void)v;
}

/* Scales and zero points of the quantized network are those of its last forward pass. */
static nb_status refresh(const state *s, const nb_post_block *b)
{
    const nb_pair dark = {.quantized = s->in->graph, .n = 1};
    return nb_pair_run(&dark, &b->mac[b->n_macs - 1]->name, 1, see_nothing, NULL);
}

/* The scales that learning has come to, or those that it began with, of the nodes that have a place in the part. */
static void read_scales(const nb_block_problem *from, const block_part *p, bool start)
{
    for (int32_t i = 0, k = 0; i < from->run->n_values && k < p->n_fq; i++)
        if (from->run->value[i].fq->id == p->fq[k]->id)
            p->scale[k++] = start ? from->start[i] : from->run->value[i].scale;
}

/* Scales first: sums that fit 32 bits depend on them. What does not last leaves the block as it was. */
static nb_status write_block(const state *s, const nb_block_problem *from, const block_part *p, bool *holds)
{
    const nb_post_block *b = &s->block[s->at];
    float *w = p->values;
    read_scales(from, p, false);
    take_scales(p, p->scale);
    NB_TRY(refresh(s, b));
    *holds = true;
    for (int32_t i = 0; i < b->n_macs; w += nb_codes_count(b->mac[i]), i++)
        *holds = nb_codes_write(b->mac[i], from->codes[i].step, from->codes[i].code, w) && *holds;
    if (*holds) {
        hold(b, p);
        return NB_OK;
    }
    w = p->values;
    for (int32_t i = 0; i < b->n_macs; w += nb_codes_count(b->mac[i]), i++)
        nb_codes_take_back(b->mac[i], w);
    read_scales(from, p, true);
    take_scales(p, p->scale);
    return NB_OK;
}

static nb_status settle(state *s, const nb_block_problem *from, const nb_block_gain *g, const block_part *p)
{
    const nb_post_block *b = &s->block[s->at];
    const double all = g->wanted > 0 ? g->wanted : 1;
    float *w = p->values;
    bool holds;
    NB_TRY(write_block(s, from, p, &holds));
    p->said[HOLDS] = holds;
    p->said[BETTER] = holds && g->better;
    p->said[BEFORE] = (float)(100 * sqrt(g->before / all));
    p->said[AFTER] = holds ? (float)(100 * sqrt(g->after / all)) : p->said[BEFORE];
    p->said[FLIPPED] = holds ? (float)g->flipped : 0;
    for (int32_t i = 0; i < b->n_macs; w += nb_codes_count(b->mac[i]), i++)
        memcpy(w, nb_codes_leaf(b->mac[i]), (size_t)nb_codes_count(b->mac[i]) * sizeof *w);
    say(s, b, p->said);
    return nb_post_keep(s->in, b->name, p->values, p->n);
}

static nb_status learn(state *s, nb_block_data *data, nb_block_gain *gain, nb_arena *arena, nb_block_problem *p)
{
    const reconstruct_attr *a = s->attr;
    nb_block_run *run = nb_arena_alloc(arena, sizeof *run);
    nb_block_keys *keys = nb_arena_alloc(arena, sizeof *keys);
    const nb_post_block *b = &s->block[s->at];
    if (!run || !keys)
        return NB_E_NOMEM;
    NB_TRY(nb_block_data_read(&s->source, b, data));
    NB_TRY(nb_block_run_open(arena, s->source.copy, b, run));
    NB_TRY(refresh(s, b));
    *keys = (nb_block_keys){.soft = {a->iterations, a->lr, a->lambda, a->warmup},
                            .batch = a->batch,
                            .scale_lr = a->scale_lr,
                            .drop = a->drop,
                            .seed = nb_hash_text(b->name)};
    *p = (nb_block_problem){
        .ctx = s->in->graph->ctx, .g = s->in->graph, .floats = s->in->floats, .run = run, .data = data, .keys = keys};
    NB_TRY(nb_block_problem_open(arena, p));
    nb_block_solve(p, &(nb_block_watch){tell, s}, gain);
    return NB_OK;
}

static nb_status do_block(state *s, const block_part *part)
{
    nb_ctx *ctx = s->in->graph->ctx;
    nb_block_data data = {0};
    nb_block_problem p;
    nb_block_gain gain;
    nb_arena *arena;
    nb_block_graph_update(s->source.copy, s->in->graph);
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_status st = learn(s, &data, &gain, arena, &p);
    nb_block_data_free(ctx, &data);
    if (st == NB_OK)
        st = settle(s, &p, &gain, part);
    nb_arena_free(arena);
    return st;
}

/* ---- all of them ---- */

/* found: all blocks so far were done by an earlier run. */
static nb_status next_block(state *s, bool *found)
{
    const nb_post_block *b = &s->block[s->at];
    block_part part;
    nb_status st = open_part(s, b, &part);
    *found = *found && st == NB_OK && recall(s, b, &part);
    if (st == NB_OK && !*found)
        st = do_block(s, &part);
    close_part(s, &part);
    s->done += work_of(b);
    return st;
}

static nb_status all_blocks(state *s)
{
    const nb_graph *g = s->in->graph;
    char why[NB_POST_SUMMARY];
    bool found = true;
    if (nb_codes_refuse(g, why, sizeof why))
        return nb_fail(g->ctx, NB_E_CONFIG, "quant.steps: reconstruct: %s", why);
    const nb_block_size size = s->attr->granularity == 0 ? NB_BLOCKS : NB_BLOCKS_SINGLE;
    NB_TRY(nb_blocks_find(s->arena, g, size, &s->block, &s->n));
    for (int32_t i = 0; i < s->n; i++)
        s->work += work_of(&s->block[i]);
    for (; s->at < s->n; s->at++)
        NB_TRY(next_block(s, &found));
    return NB_OK;
}

static nb_status with_graphs(state *s)
{
    const nb_post_input *in = s->in;
    NB_TRY(nb_block_graph_open(in->graph, in->experiment, s->attr->batch, &s->source.copy));
    nb_graph_set_batch(in->floats, in->floats->max_batch);
    nb_status st = s->attr->fisher ? nb_graph_freeze(in->floats, NB_PLAN_TRAIN) : NB_OK; /* gradients */
    if (st == NB_OK)
        st = all_blocks(s);
    nb_graph_set_batch(in->floats, in->floats->max_batch);
    if (st == NB_OK && s->attr->fisher)
        st = nb_graph_freeze(in->floats, NB_PLAN_INFER);
    nb_graph_free(s->source.copy);
    return st;
}

static nb_status reconstruct_run(const nb_post_input *in, const void *attr, char *summary)
{
    const reconstruct_attr *a = attr;
    const int32_t n = a->images ? a->images : in->n;
    state s = {.in = in,
               .attr = a,
               .source = {.floats = in->floats,
                          .data = in->data,
                          .indices = in->indices,
                          .n = n,
                          .mix = a->drop > 0,
                          .fisher = a->fisher}};
    if (n > in->n || n < 1)
        return nb_fail(in->graph->ctx, NB_E_CONFIG,
                       "quant.steps: reconstruct: images: %d: there are %d to look at; in `nibble quantize` --images "
                       "says how many",
                       n, in->n);
    NB_TRY(nb_arena_create(in->graph->ctx, &s.arena));
    nb_status st = with_graphs(&s);
    nb_arena_free(s.arena);
    if (st != NB_OK)
        return st;
    snprintf(
        summary, NB_POST_SUMMARY,
        "%d block%s over %d image%s; error of what they give, mean of blocks, %.3g %% -> %.3g %%; %.1f %% of weights "
        "to the other neighbour",
        s.n, nb_plural(s.n), n, nb_plural(n), s.before / s.n, s.after / s.n, 100 * s.flipped / s.weights);
    return st;
}

static bool reconstruct_looks(const void *attr)
{
    (void)attr;
    return true;
}

const nb_post_step nb_post_step_reconstruct = {
    .name = "reconstruct",
    .help = "learns the rounding of all weights of a block together, for what the block gives, and the scales of its "
            "activations (BRECQ)",
    .keys = reconstruct_keys,
    .attr_size = sizeof(reconstruct_attr),
    .stage = NB_POST_QUANTIZED,
    .needs_float = true,
    .rounds = true,
    .moves_weights = true,
    .measure = "error %",
    .run = reconstruct_run,
    .looks = reconstruct_looks,
    .refuse = nb_codes_refuse,
    .examples = (const char *const[]){"reconstruct", "reconstruct: {iterations: 5000, drop: 0.5}", NULL},
};
