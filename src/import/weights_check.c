/* weights_check.c - what the two sides of a mapping look like, and why it cannot be. */
#include "import/weights.h"

#include "import/fill.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/textbuf.h"
#include "core/oihw.h"

#include <math.h>
#include <string.h>

enum { NAMES_SHOWN = 6 };

/* PyTorch's default, and ours. */
#define BN_EPS 1e-5f

static bool is_norm(const nb_weights *m, const nb_weights_item *it)
{
    for (int32_t i = 0; i < m->n; i++)
        if (nb_weights_same_module(&m->items[i], it) && (strcmp(nb_weights_part(&m->items[i]), "running_mean") == 0 ||
                                                         strcmp(nb_weights_part(&m->items[i]), "mean") == 0))
            return true;
    return false;
}

/* One value per channel and nothing else: a norm, though none with running statistics. */
static bool looks_like_norm(const nb_weights *m, const nb_weights_item *it)
{
    bool yes = true;
    for (int32_t i = 0; i < m->n; i++)
        if (nb_weights_same_module(&m->items[i], it) &&
            strcmp(nb_weights_part(&m->items[i]), "num_batches_tracked") != 0)
            yes = yes && m->items[i].t->ndim == 1;
    return yes;
}

static const char *shape_text(const nb_weights *m, const nb_st_tensor *t)
{
    nb_text text;
    nb_text_init(m->ctx, &text);
    for (int32_t i = 0; i < t->ndim; i++)
        nb_text_printf(&text, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
    nb_text_add(&text, t->ndim ? "" : "one value");
    char *s = NULL, *kept = nb_text_take(&text, &s) == NB_OK ? nb_arena_strdup(m->arena, s) : NULL;
    nb_free(m->ctx, s);
    return kept;
}

static bool is_given(const nb_weights *m, const nb_node *leaf)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->items[i].leaf == leaf)
            return true;
    return false;
}

/* In order of execution a difference shows at the first pair that is no pair. */
static nb_status check_pair(const nb_weights *m, const nb_weights_item *it)
{
    char ours[64];
    if (!it->layer || it->ignored)
        return NB_OK;
    const bool norm = it->layer->op->moments;
    const char *hint =
        it->rule->ours ? "" : "; the networks differ here, or the order does (--list shows what goes where)";
    if (norm && !is_norm(m, it) && looks_like_norm(m, it) && !is_given(m, nb_leaf_of(it->layer, "mean")))
        return nb_fail(m->ctx, NB_E_FORMAT,
                       "%s: %.*s has no running_mean, which the batch norm %s needs (made with "
                       "track_running_stats=False, or another kind of norm?)",
                       nb_st_name(m->file), (int)(it->module + m->prefix), it->t->name, it->layer->name);
    if (!it->rule->ours && norm != is_norm(m, it))
        return nb_fail(m->ctx, NB_E_FORMAT, "%s: %.100s %s a batch norm, but is to become %s, %s%s",
                       nb_st_name(m->file), it->t->name, norm ? "is not of" : "is of", it->layer->name,
                       norm ? "which is one" : "which is none", hint);
    if (!it->leaf)
        return NB_OK;
    if (!nb_fill_is_float(it->t))
        return nb_fail(m->ctx, NB_E_FORMAT, "%s: %.100s: must hold floats (F32, F16, BF16 or F64)", nb_st_name(m->file),
                       it->t->name);
    const char *theirs = shape_text(m, it->t);
    if (!theirs)
        return NB_E_NOMEM;
    if (!nb_fill_fits(it->layer, it->leaf, it->t, m->map.ohwi))
        return nb_fail(m->ctx, NB_E_FORMAT,
                       "%s: %.100s is %s, which does not become %s of %s (out, rows, columns, in)%s",
                       nb_st_name(m->file), it->t->name, theirs, it->leaf->name,
                       nb_shape_text(&it->leaf->out.shape, ours, sizeof ours), hint);
    return NB_OK;
}

static nb_status check_twice(const nb_weights *m)
{
    for (int32_t i = 0; i < m->n; i++)
        for (int32_t k = 0; k < i && m->items[i].leaf; k++)
            if (m->items[k].leaf == m->items[i].leaf)
                return nb_fail(m->ctx, NB_E_FORMAT, "%s: %.100s and %.100s both become %s", nb_st_name(m->file),
                               m->items[k].t->name, m->items[i].t->name, m->items[i].leaf->name);
    return NB_OK;
}

typedef struct {
    nb_text text;
    int32_t n;
} name_list;

static void list_name(name_list *l, const char *name)
{
    if (l->n++ < NAMES_SHOWN)
        nb_text_printf(&l->text, "%s%.100s", l->n > 1 ? ", " : "", name);
}

static nb_status leftovers(const nb_weights *m, name_list *theirs, name_list *ours)
{
    for (int32_t i = 0; i < m->n; i++)
        if (!m->items[i].leaf && !m->items[i].ignored)
            list_name(theirs, m->items[i].t->name);
    for (int32_t i = 0; i < m->g->n; i++)
        if ((m->g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) && !is_given(m, m->g->node[i]))
            list_name(ours, m->g->node[i]->name);
    if (theirs->n + ours->n == 0)
        return NB_OK;
    nb_text both;
    nb_text_init(m->ctx, &both);
    if (theirs->n)
        nb_text_printf(&both, "nobody takes %s", theirs->text.s ? theirs->text.s : "");
    if (theirs->n > NAMES_SHOWN)
        nb_text_printf(&both, " and %d more", theirs->n - NAMES_SHOWN);
    if (ours->n)
        nb_text_printf(&both, "%snobody gives %s", theirs->n ? "; " : "", ours->text.s ? ours->text.s : "");
    if (ours->n > NAMES_SHOWN)
        nb_text_printf(&both, " and %d more", ours->n - NAMES_SHOWN);
    char *text = NULL;
    nb_status st = nb_text_take(&both, &text);
    if (st == NB_OK)
        st = nb_fail(m->ctx, NB_E_FORMAT, "%s, map %s: %s (--list shows what goes where)", nb_st_name(m->file),
                     m->map.name, text);
    nb_free(m->ctx, text);
    return st;
}

static nb_status check_leftovers(const nb_weights *m)
{
    name_list theirs = {0}, ours = {0};
    nb_text_init(m->ctx, &theirs.text);
    nb_text_init(m->ctx, &ours.text);
    nb_status st = leftovers(m, &theirs, &ours);
    nb_text_free(&theirs.text);
    nb_text_free(&ours.text);
    return st;
}

/* In a map of the user's every line is meant. */
static nb_status check_rules_used(const nb_weights *m)
{
    for (int32_t i = 0; i < m->map.n_own; i++) {
        bool used = false;
        for (int32_t k = 0; k < m->n; k++)
            used = used || m->items[k].rule == &m->map.rules[i];
        if (used)
            continue;
        const char *wanted = m->map.rules[i].theirs;
        const char **names = nb_arena_array(m->arena, (size_t)m->n + 1, sizeof *names);
        if (!names)
            return NB_E_NOMEM;
        for (int32_t k = 0; k < m->n; k++) {
            names[k] = nb_arena_printf(m->arena, "%.*s", (int)m->items[k].module, m->items[k].name);
            if (!names[k])
                return NB_E_NOMEM;
        }
        return nb_fail(m->ctx, NB_E_FORMAT, "%s:%d: %s: %s has no such module%s", m->map.name, m->map.rules[i].line,
                       wanted, nb_st_name(m->file), nb_did_you_mean(wanted, names, m->n).text);
    }
    return NB_OK;
}

/* Running statistics mean nothing without the eps they were used with, which a state dict does not hold. */
static nb_status check_eps(const nb_weights *m, float eps)
{
    const float theirs = eps > 0 ? eps : BN_EPS;
    for (int32_t i = 0; i < m->n_layers; i++) {
        const float *ours = nb_bound_key(m->layers[i], "eps", NB_K_FLOAT);
        if (ours && m->layers[i]->op->role == NB_ROLE_AFFINE && fabsf(*ours - theirs) > 1e-3f * theirs)
            return nb_node_fail(m->g, m->layers[i], NB_E_CONFIG,
                                "eps: %g, but the weights are of a network with %g%s: set it in the config, or say "
                                "--bn-eps",
                                (double)*ours, (double)theirs, eps > 0 ? "" : " (PyTorch's default)");
    }
    return NB_OK;
}

nb_status nb_weights_report(const nb_weights *m, nb_import_report *r)
{
    char buf[64];
    r->rows = nb_arena_array(m->arena, (size_t)m->n + (size_t)m->g->n, sizeof *r->rows);
    r->map = m->map.name;
    if (!r->rows)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < m->n; i++) {
        const nb_weights_item *it = &m->items[i];
        nb_import_row *row = &r->rows[r->n++];
        row->theirs = nb_arena_strdup(m->arena, it->t->name);
        row->their_shape = shape_text(m, it->t);
        if (!row->theirs || !row->their_shape)
            return NB_E_NOMEM;
        row->note = it->ignored ? "left out" : !it->leaf ? "nobody takes it" : "";
        if (!it->leaf)
            continue;
        row->note = nb_fill_fits(it->layer, it->leaf, it->t, m->map.ohwi) ? "" : "does not fit";
        row->ours = it->leaf->name;
        row->our_shape = nb_arena_strdup(m->arena, nb_shape_text(&it->leaf->out.shape, buf, sizeof buf));
        if (!row->our_shape)
            return NB_E_NOMEM;
    }
    for (int32_t i = 0; i < m->g->n; i++) {
        const nb_node *leaf = m->g->node[i];
        if (!(leaf->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) || is_given(m, leaf))
            continue;
        nb_import_row *row = &r->rows[r->n++];
        *row = (nb_import_row){.ours = leaf->name, .note = "nobody gives it"};
        row->our_shape = nb_arena_strdup(m->arena, nb_shape_text(&leaf->out.shape, buf, sizeof buf));
        if (!row->our_shape)
            return NB_E_NOMEM;
    }
    return NB_OK;
}

nb_status nb_weights_check(const nb_weights *m, const nb_import_options *o)
{
    NB_TRY(check_rules_used(m));
    for (int32_t i = 0; i < m->n; i++)
        NB_TRY(check_pair(m, &m->items[i]));
    NB_TRY(check_twice(m));
    NB_TRY(check_leftovers(m));
    return m->map.ohwi && !(o && o->bn_eps > 0) ? NB_OK : check_eps(m, o ? o->bn_eps : 0);
}
