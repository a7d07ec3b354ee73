/* post.c - the registry of steps, and the list `quant.steps`: bound, and done. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include "base/arena.h"
#include "base/check.h"

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
    if (!steps)
        return NB_OK;
    if (!nb_conf_is_list(steps))
        return nb_conf_fail(ctx, steps, "quant.steps", NB_E_CONFIG, "must be a list of steps, [a, b: {key: value}]");
    if (nb_conf_count(steps) > MAX_STEPS)
        return nb_conf_fail(ctx, steps, "quant.steps", NB_E_CONFIG, "%d steps: at most %d", nb_conf_count(steps),
                            MAX_STEPS);
    for (int32_t i = 0; i < nb_conf_count(steps); i++)
        NB_TRY(bind_entry(ctx, l, nb_conf_at(steps, i), known));
    return NB_OK;
}

nb_status nb_post_bind(nb_ctx *ctx, const nb_conf *quant, const nb_post_step *const *known, nb_post_list *out)
{
    nb_post_list l = {0};
    NB_TRY(nb_arena_create(ctx, &l.arena));
    l.entry = nb_arena_array(l.arena, MAX_STEPS, sizeof *l.entry);
    nb_status st = l.entry ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK && nb_conf_is_map(quant))
        st = bind_all(ctx, &l, nb_conf_get(quant, "steps"), known);
    if (st == NB_OK)
        *out = l;
    else
        nb_post_free(&l);
    return st;
}

void nb_post_free(nb_post_list *list)
{
    nb_arena_free(list->arena);
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
    for (int32_t i = 0; i < list->n; i++) {
        const nb_post_entry *e = &list->entry[i];
        const char *why = e->step->pointless ? e->step->pointless(g) : NULL;
        char where[WHERE_BYTES];
        snprintf(where, sizeof where, "quant.steps[%d]", i);
        if (why)
            return nb_conf_fail(g->ctx, e->conf, where, NB_E_CONFIG, "%s changes nothing: %s", e->step->name, why);
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

nb_status nb_post_run(const nb_post_list *list, nb_post_stage stage, const nb_post_input *in)
{
    const nb_graph *g = in->graph;
    NB_ASSERT(g->quantized == (stage == NB_POST_QUANTIZED) && g->frozen == g->quantized);
    for (int32_t i = 0; i < list->n; i++) {
        const nb_post_entry *e = &list->entry[i];
        char summary[NB_POST_SUMMARY] = "";
        if (e->step->stage != stage)
            continue;
        NB_TRY(e->step->run(in, e->attr, summary));
        NB_TRY(check_finite(e->step, g));
        if (in->report && in->report->done)
            in->report->done(in->report->ud, e->step, summary);
    }
    return NB_OK;
}

const char *nb_post_step_name(const nb_post_step *step)
{
    return step->name;
}

const char *nb_post_step_measure(const nb_post_step *step)
{
    return step->measure;
}

void nb_post_say(const nb_post_input *in, const nb_post_step *step, const nb_post_row *row)
{
    if (in->report && in->report->row)
        in->report->row(in->report->ud, step, row);
}
