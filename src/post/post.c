/* post.c - the registry of steps, and the list `quant.steps`: bound, and done. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>
#include <nibble/extend/quant.h>
#include <nibble/model.h>
#include <nibble/train.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/rng.h"
#include "post/gain.h"
#include "post/paired.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define NB_POST_STEP(name) extern const nb_post_step nb_post_step_##name;
#include "post/steps.def"
#undef NB_POST_STEP

#define NB_POST_STEP(name) &nb_post_step_##name,
const nb_post_step *const nb_post_steps[] = {
#include "post/steps.def"
    NULL};
#undef NB_POST_STEP

enum { MAX_STEPS = 32, WHERE_BYTES = 192 };

static nb_status bind_entry(nb_ctx *ctx, nb_post_list *l, const nb_conf *e, const nb_post_step *const *known)
{
    char where[WHERE_BYTES];
    const char *name;
    const nb_conf *keys;
    snprintf(where, sizeof where, "quant.steps[%d]", l->n);
    if (!nb_conf_is_map(e) && !nb_conf_text(e))
        return nb_conf_fail(ctx, e, where, NB_E_CONFIG, "must be the name of a step, or one name with its keys");
    NB_TRY(nb_conf_named(ctx, e, where, &name, &keys));
    const nb_post_step *s = nb_registry_choose(ctx, known, name, e, where, "step");
    if (!s)
        return NB_E_CONFIG;
    if (l->n > 0 && s->stage < l->entry[l->n - 1].step->stage)
        return nb_conf_fail(ctx, e, where, NB_E_CONFIG,
                            "%s works on the float network and %s on the quantized one: put %s first", s->name,
                            l->entry[l->n - 1].step->name, s->name);
    void *attr;
    snprintf(where, sizeof where, "quant.steps[%d] %s", l->n, s->name);
    NB_TRY(nb_entry_bind(ctx, l->arena, s, keys, where, (nb_binding){0}, &attr));
    l->entry[l->n++] = (nb_post_entry){s, attr, e};
    return NB_OK;
}

static nb_status bind_all(nb_ctx *ctx, nb_post_list *l, const nb_conf *steps, const nb_post_step *const *known)
{
    const char *word = nb_conf_text(steps);
    if (!steps || (word && strcmp(word, "none") == 0))
        return NB_OK;
    if (!nb_conf_is_list(steps))
        return nb_conf_fail(ctx, steps, "quant.steps", NB_E_CONFIG,
                            "must be a list of steps, [a, b: {key: value}], or recommended, or none");
    if (nb_conf_count(steps) > MAX_STEPS)
        return nb_conf_fail(ctx, steps, "quant.steps", NB_E_CONFIG, "%d steps: at most %d", nb_conf_count(steps),
                            MAX_STEPS);
    for (int32_t i = 0; i < nb_conf_count(steps); i++)
        NB_TRY(bind_entry(ctx, l, nb_conf_at(steps, i), known));
    return NB_OK;
}

static nb_status bind(nb_ctx *ctx, const nb_conf *steps, const nb_post_step *const *known, nb_post_list *out)
{
    nb_post_list l = {.ctx = ctx};
    NB_TRY(nb_arena_create(ctx, &l.arena));
    l.entry = nb_arena_array(l.arena, MAX_STEPS, sizeof *l.entry);
    nb_status st = l.entry ? nb_post_reference_create(ctx, &l.reference) : NB_E_NOMEM;
    if (st == NB_OK)
        st = bind_all(ctx, &l, steps, known);
    if (st == NB_OK)
        *out = l;
    else
        nb_post_free(&l);
    return st;
}

nb_status nb_post_recommended(nb_ctx *ctx, bool data_free, nb_post_list *out)
{
    static const char with_images[] =
        "steps: [equalize, absorb, reestimate_bn, adaround: {iterations: 200}, bias_correct]",
                      without[] = "steps: [equalize, absorb, bias_correct: {mode: analytic}]";
    const char *text = data_free ? without : with_images;
    nb_config *own;
    NB_TRY(nb_config_parse(ctx, "recommended steps", text, strlen(text), NULL, 0, &own));
    nb_status st = bind(ctx, nb_conf_get(nb_config_root(own), "steps"), nb_post_steps, out);
    if (st != NB_OK) {
        nb_config_free(ctx, own);
        return st;
    }
    out->own = own;
    out->tried = true;
    return NB_OK;
}

nb_status nb_post_bind(nb_ctx *ctx, const nb_conf *quant, const nb_post_step *const *known, nb_post_list *out)
{
    const nb_conf *steps = nb_conf_is_map(quant) ? nb_conf_get(quant, "steps") : NULL;
    const char *word = nb_conf_text(steps);
    if (!word || strcmp(word, "recommended") != 0)
        return bind(ctx, steps, known, out);
    nb_quant_section section = {0};
    const nb_binding b = {nb_quant_section_keys, &section};
    NB_TRY(nb_conf_bind(ctx, quant, "quant", &b, 1));
    return nb_post_recommended(ctx, section.data_free, out);
}

void nb_post_leave_unrounded(nb_post_list *list)
{
    int32_t kept = 0;
    if (!list->tried)
        return;
    for (int32_t i = 0; i < list->n; i++)
        if (!list->entry[i].step->rounds)
            list->entry[kept++] = list->entry[i];
    list->n = kept;
}

void nb_post_free(nb_post_list *list)
{
    nb_arena_free(list->arena);
    if (list->ctx)
        nb_post_reference_free(list->ctx, list->reference);
    if (list->own)
        nb_config_free(list->ctx, list->own);
    *list = (nb_post_list){0};
}

bool nb_post_has(const nb_post_list *list, nb_post_stage stage)
{
    for (int32_t i = 0; i < list->n; i++)
        if (list->entry[i].step->stage == stage)
            return true;
    return false;
}

nb_status nb_post_check(const nb_post_list *list, const nb_graph *g)
{
    for (int32_t i = 0; i < list->n && !list->tried; i++) {
        const nb_post_entry *e = &list->entry[i];
        const char *why = e->step->pointless ? e->step->pointless(g) : NULL;
        char where[WHERE_BYTES], text[NB_POST_SUMMARY];
        snprintf(where, sizeof where, "quant.steps[%d]", i);
        if (why)
            return nb_conf_fail(g->ctx, e->conf, where, NB_E_CONFIG, "%s changes nothing: %s", e->step->name, why);
        if (e->step->refuse && e->step->refuse(g, text, sizeof text))
            return nb_conf_fail(g->ctx, e->conf, where, NB_E_CONFIG, "%s: %s", e->step->name, text);
    }
    return NB_OK;
}

nb_status nb_post_check_blind(const nb_post_list *list)
{
    for (int32_t i = 0; i < list->n; i++) {
        const nb_post_entry *e = &list->entry[i];
        char where[WHERE_BYTES];
        snprintf(where, sizeof where, "quant.steps[%d]", i);
        if (e->step->looks && e->step->looks(e->attr))
            return nb_conf_fail(
                list->ctx, e->conf, where, NB_E_CONFIG,
                "%s looks at images, and --data-free (quant.data_free: yes) allows none: leave that out, "
                "or take steps that need none (--steps recommended, quant.steps: recommended)",
                e->step->name);
    }
    return NB_OK;
}

/* What a step left must be numbers: a NaN would come out of every kernel after it as some integer. */
static nb_status check_finite(const nb_post_step *s, const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        const float *v = n->out.data;
        if (!(n->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)))
            continue;
        for (int64_t k = 0; k < nb_count(&n->out); k++)
            if (!isfinite(v[k]))
                return nb_fail(g->ctx, NB_E_DIVERGED, "step %s: %s holds a value that is not a finite number", s->name,
                               n->name);
    }
    return NB_OK;
}

/* ---- what a step gains ---- */

/* Values of all leaves a step may change, to go back to. Weights are most of a network: of a step that leaves them alone
 * their hash is enough. */
typedef struct {
    const nb_graph *g;
    float *values;
    bool weights;
    uint64_t other; /* hash of the weights, if they are not among the values */
} snapshot;

static bool is_kept(const nb_node *n)
{
    return n->flags & (NB_NODE_PARAM | NB_NODE_BUFFER);
}

static bool is_in(const snapshot *s, const nb_node *n)
{
    return is_kept(n) && (s->weights || !(n->flags & NB_NODE_DECAY));
}

static uint64_t hash_other(const snapshot *s)
{
    uint64_t h = 0;
    for (int32_t i = 0; i < s->g->n; i++) {
        const nb_node *n = s->g->node[i];
        if (is_kept(n) && !is_in(s, n))
            h = nb_mix(h, nb_hash_bytes(n->out.data, (size_t)nb_count(&n->out) * sizeof(float)));
    }
    return h;
}

static nb_status take(const nb_graph *g, bool weights, snapshot *s)
{
    int64_t count = 0, at = 0;
    *s = (snapshot){.g = g, .weights = weights};
    for (int32_t i = 0; i < g->n; i++)
        count += is_in(s, g->node[i]) ? nb_count(&g->node[i]->out) : 0;
    s->values = nb_alloc(g->ctx, (size_t)count * sizeof(float));
    if (!s->values)
        return NB_E_NOMEM;
    s->other = hash_other(s);
    for (int32_t i = 0; i < g->n; i++) {
        const nb_tensor *t = &g->node[i]->out;
        if (!is_in(s, g->node[i]))
            continue;
        memcpy(s->values + at, t->data, (size_t)nb_count(t) * sizeof(float));
        at += nb_count(t);
    }
    return NB_OK;
}

/* Is the graph as it was? With back, it is afterwards. */
static bool compare(const snapshot *s, bool back)
{
    bool same = true;
    int64_t at = 0;
    NB_ASSERT(hash_other(s) == s->other); /* the step says that it moves no weights */
    for (int32_t i = 0; i < s->g->n; i++) {
        const nb_tensor *t = &s->g->node[i]->out;
        if (!is_in(s, s->g->node[i]))
            continue;
        const size_t bytes = (size_t)nb_count(t) * sizeof(float);
        same = same && memcmp(t->data, s->values + at, bytes) == 0;
        if (back)
            memcpy(t->data, s->values + at, bytes);
        at += nb_count(t);
    }
    return same;
}

/* ---- doing ---- */

typedef struct {
    const nb_post_list *list;
    nb_post_input *in;
    bool measured;
    nb_post_gain now; /* the quantized network as it stands, if measured */
} work;

static uint64_t hash_leaves(uint64_t h, const nb_graph *g)
{
    for (int32_t i = 0; g && i < g->n; i++)
        if (is_kept(g->node[i]))
            h = nb_mix(h, nb_hash_bytes(g->node[i]->out.data, (size_t)nb_count(&g->node[i]->out) * sizeof(float)));
    return h;
}

static uint64_t beginning(const work *w, const nb_post_entry *e)
{
    const uint64_t place = (uint64_t)(e - w->list->entry);
    return hash_leaves(hash_leaves(nb_mix(nb_hash_text(e->step->name), place), w->in->graph), w->in->floats);
}

/* Runs a step, looks at what it left, and takes it back if it was tried in vain. */
static nb_status try_step(work *w, const nb_post_entry *e, const snapshot *before, nb_post_result *r, char *summary)
{
    w->in->begin = w->in->store ? beginning(w, e) : 0;
    NB_TRY(e->step->run(w->in, e->attr, summary));
    NB_TRY(check_finite(e->step, w->in->graph));
    r->changed = !compare(before, false);
    r->kept = r->changed || !w->list->tried;
    if (!w->measured)
        return NB_OK;
    r->measured = true;
    r->before = r->after = w->now.eval;
    r->sqnr_before = r->sqnr_after = w->now.sqnr;
    if (!r->changed)
        return NB_OK;
    nb_post_gain then;
    NB_TRY(nb_post_gain_measure(w->list, w->in, &then));
    r->after = then.eval;
    r->sqnr_after = then.sqnr;
    r->kept = !w->list->tried || nb_post_gain_is(&w->now, &then);
    nb_post_gain_free(w->in->graph->ctx, r->kept ? &w->now : &then);
    if (r->kept)
        w->now = then;
    else
        compare(before, true);
    return NB_OK;
}

/* Why a step that is only tried is not done; NULL: it is. text: room for it. */
static const char *not_tried(const work *w, const nb_post_step *s, char text[NB_POST_SUMMARY])
{
    if (!w->list->tried)
        return NULL;
    const char *why = nb_post_step_needless(s, w->in->graph);
    if (!why && s->pointless)
        why = s->pointless(w->in->graph);
    if (!why && s->refuse && s->refuse(w->in->graph, text, NB_POST_SUMMARY))
        why = text;
    return why;
}

static nb_status one_step(work *w, const nb_post_entry *e)
{
    char summary[NB_POST_SUMMARY] = "";
    nb_post_result r = {.summary = summary};
    const char *why = not_tried(w, e->step, summary);
    if (why) {
        r.summary = why;
    } else {
        snapshot before;
        NB_TRY(take(w->in->graph, e->step->moves_weights, &before));
        nb_status st = try_step(w, e, &before, &r, summary);
        nb_free(w->in->graph->ctx, before.values);
        NB_TRY(st);
    }
    if (w->in->report && w->in->report->done)
        w->in->report->done(w->in->report->ud, e->step, &r);
    return NB_OK;
}

static nb_status all_steps(work *w, nb_post_stage stage)
{
    w->measured = (w->list->tried || w->in->measure) && w->in->n > 0 && w->list->n > 0;
    if (w->measured)
        NB_TRY(nb_post_gain_start(w->list, w->in, &w->now));
    for (int32_t i = 0; i < w->list->n; i++)
        if (w->list->entry[i].step->stage == stage)
            NB_TRY(one_step(w, &w->list->entry[i]));
    return NB_OK;
}

nb_status nb_post_run(const nb_post_list *list, nb_post_stage stage, const nb_post_input *in)
{
    const nb_graph *g = in->graph;
    NB_ASSERT(g->quantized == (stage == NB_POST_QUANTIZED) && g->frozen == g->quantized);
    nb_post_input with_float = *in;
    work w = {.list = list, .in = &with_float};
    bool needs_float = false,
         lends = true; /* the float network's weights are the quantized one's, until a step moves them */
    for (int32_t i = 0; i < list->n; i++) {
        const nb_post_step *s = list->entry[i].step;
        needs_float = needs_float || (s->stage == stage && s->needs_float);
        lends = lends && !(s->stage == stage && s->moves_weights);
    }
    NB_ASSERT(in->experiment || !(needs_float || list->tried || in->measure));
    if (needs_float && g->quantized)
        NB_TRY(nb_pair_open_twin(g, in->experiment, lends, &with_float.floats));
    nb_status st = all_steps(&w, stage);
    nb_post_gain_free(g->ctx, &w.now);
    nb_graph_free(with_float.floats);
    return st;
}

const char *nb_post_step_name(const nb_post_step *step)
{
    return step->name;
}

const char *nb_post_step_measure(const nb_post_step *step)
{
    return step->measure;
}

bool nb_post_step_rounds(const nb_post_step *step)
{
    return step->rounds;
}

const char *nb_post_step_needless(const nb_post_step *step, const nb_graph *g)
{
    return step->needless ? step->needless(g) : NULL;
}

enum { PART_BYTES = 384 };

bool nb_post_recall(const nb_post_input *in, const char *part, float *values, int64_t n)
{
    char name[PART_BYTES];
    snprintf(name, sizeof name, "%016" PRIx64 "/%s", in->begin, part);
    return in->store && in->store->get(in->store->ud, name, values, n);
}

nb_status nb_post_keep(const nb_post_input *in, const char *part, const float *values, int64_t n)
{
    char name[PART_BYTES];
    snprintf(name, sizeof name, "%016" PRIx64 "/%s", in->begin, part);
    return in->store ? in->store->put(in->store->ud, name, values, n) : NB_OK;
}

void nb_post_say(const nb_post_input *in, const nb_post_step *step, const nb_post_row *row)
{
    if (in->report && in->report->row)
        in->report->row(in->report->ud, step, row);
}
