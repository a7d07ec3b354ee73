/* params.c - parameters by name: from a checkpoint or another graph into a graph.
 *
 * One lookup serves both sources, so starting a phase, `init:`, resuming and evaluating all check the same things. A
 * value is copied only when name and shape agree. What quantizers keep is the exception: in mode START it becomes zero,
 * which means "nothing observed yet", where it is missing or belongs to another granularity or grid, in mode CALIBRATE
 * always. */
#include <nibble/model.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/safetensors.h"
#include "core/sound.h"
#include "quant/fakequant.h"
#include "train/checkpoint.h"
#include "train/train_layers.h"

#include <string.h>

typedef struct {
    nb_shape shape;
    const float *data;
    const char *prefix; /* of the name in the file */
} view;

typedef struct source {
    const char *what;          /* for messages: a path, or "the phase before" */
    const nb_checkpoint *file; /* one of the two */
    const nb_graph *graph;
    bool averaged; /* prefer ema/<name> */
    const nb_conf *except;
    nb_params_mode mode;
} source;

static bool find_in_graph(const nb_graph *g, const char *name, view *out)
{
    const nb_node *n = nb_graph_find(g, name);
    if (!n || !(n->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)))
        return false;
    *out = (view){n->out.shape, n->out.data, ""};
    return true;
}

/* A tensor that is no float or has impossible sizes is found with ndim -1: its shape then agrees with nothing. */
static bool find_in_file(const source *s, const char *name, view *out)
{
    char ema[320];
    snprintf(ema, sizeof ema, "ema/%s", name);
    const nb_st_tensor *t = s->averaged ? nb_st_find(s->file->file, ema) : NULL;
    const char *prefix = t ? "ema/" : "";
    if (!t)
        t = nb_st_find(s->file->file, name);
    if (!t)
        return false;
    *out = (view){.data = t->data, .shape = {.ndim = t->dtype == NB_ST_F32 ? t->ndim : -1}, .prefix = prefix};
    for (int32_t i = 0; i < t->ndim; i++) {
        if (t->ndim > NB_MAX_DIM || t->shape[i] > INT32_MAX)
            out->shape.ndim = -1;
        else
            out->shape.d[i] = (int32_t)t->shape[i];
    }
    return true;
}

static bool find(const source *s, const char *name, view *out)
{
    return s->graph ? find_in_graph(s->graph, name, out) : find_in_file(s, name, out);
}

/* NaN and infinity would pass through every kernel and come out as some integer; a negative variance has no root. */
static nb_status check_values(const nb_graph *g, const source *s, const nb_node *leaf, const view *v)
{
    const bool nonnegative = leaf->flags & NB_NODE_NONNEGATIVE;
    const int64_t n = nb_count(&leaf->out), bad = nb_first_fault(v->data, n, nonnegative);
    if (bad < n)
        return nb_fail(g->ctx, NB_E_FORMAT, "%s: tensor %s%s: value %lld is %g: %s", s->what, v->prefix, leaf->name,
                       (long long)bad, (double)v->data[bad], nb_value_fault(v->data[bad], nonnegative));
    const nb_node *quantizer = nb_quantizer_of(g, leaf);
    const int32_t rows = leaf->out.shape.d[0], each = rows ? (int32_t)(n / rows) : 0;
    for (int32_t c = 0; quantizer && c < rows; c++) {
        const float *row = v->data + (int64_t)c * each;
        const bool learned = leaf->flags & NB_NODE_PARAM;
        if (learned && !nb_fakequant_learned_sound(quantizer, row))
            return nb_fail(g->ctx, NB_E_FORMAT,
                           "%s: tensor %s%s: row %d, which begins with %g, is none that learn: %s leaves", s->what,
                           v->prefix, leaf->name, c, (double)row[0],
                           ((const nb_fakequant_attr *)quantizer->attr)->learning->name);
        if (!learned && !nb_fakequant_state_sound(quantizer, row))
            return nb_fail(g->ctx, NB_E_FORMAT,
                           "%s: tensor %s%s: row %d, the range %g to %g, is none that training leaves", s->what,
                           v->prefix, leaf->name, c, (double)row[0], (double)row[1]);
    }
    return NB_OK;
}

/* Is it of a layer that does not start from the source? */
static bool is_excepted(const source *s, const char *leaf)
{
    if (nb_conf_is_scalar(s->except))
        return nb_leaf_is_of(leaf, nb_conf_text(s->except));
    for (int32_t i = 0; s->except && i < nb_conf_count(s->except); i++)
        if (nb_leaf_is_of(leaf, nb_conf_text(nb_conf_at(s->except, i))))
            return true;
    return false;
}

/* What a quantizer keeps is of codes of a width and a format: with others it begins anew. */
static bool same_grid(const nb_graph *g, const source *s, const nb_node *leaf)
{
    const nb_node *now = s->mode == NB_PARAMS_START ? nb_quantizer_of(g, leaf) : NULL;
    if (!now)
        return true;
    if (s->file)
        return nb_checkpoint_same_grid(s->file, now);
    const nb_node *was = nb_graph_find(s->graph, now->name);
    const nb_fakequant_attr *a = now->attr, *b = was && nb_is_quantizer(was) ? was->attr : a;
    return a->bits == b->bits && a->format == b->format;
}

static nb_status load_leaf(nb_graph *g, const source *s, nb_node *leaf)
{
    view v;
    char theirs[64], ours[64];
    const bool found = find(s, leaf->name, &v);
    const nb_node *keeper = found && v.shape.ndim == 2 ? nb_quantizer_of(g, leaf) : NULL;
    if (keeper && keeper->in[1] == leaf && s->mode < NB_PARAMS_START)
        NB_TRY(nb_fakequant_take_earlier_default(g, g->node[keeper->id], v.shape.d[1]));
    const bool fits = found && nb_shape_equal(&v.shape, &leaf->out.shape) && same_grid(g, s, leaf);
    const size_t bytes = (size_t)nb_count(&leaf->out) * sizeof(float);
    if (s->mode >= NB_PARAMS_START && (!fits || s->mode == NB_PARAMS_CALIBRATE) && (leaf->flags & NB_NODE_QUANTIZER)) {
        memset(leaf->out.data, 0, bytes);
        return NB_OK;
    }
    if (fits && v.data == leaf->out.data) /* lent */
        return NB_OK;
    if (fits) {
        if (s->file)
            NB_TRY(check_values(g, s, leaf, &v));
        memcpy(leaf->out.data, v.data, bytes);
        return NB_OK;
    }
    if (!found)
        return nb_fail(g->ctx, NB_E_FORMAT, "%s: tensor %s is missing: it is a checkpoint of another network", s->what,
                       leaf->name);
    nb_shape_text(&leaf->out.shape, ours, sizeof ours);
    if (v.shape.ndim < 0)
        return nb_fail(g->ctx, NB_E_FORMAT, "%s: tensor %s is not a float tensor of shape %s", s->what, leaf->name,
                       ours);
    return nb_fail(g->ctx, NB_E_SHAPE, "%s: tensor %s is %s, the network has %s", s->what, leaf->name,
                   nb_shape_text(&v.shape, theirs, sizeof theirs), ours);
}

static nb_status load_leaves(nb_graph *g, const source *s)
{
    for (int32_t i = 0; i < g->n; i++)
        if ((g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) && !is_excepted(s, g->node[i]->name))
            NB_TRY(load_leaf(g, s, g->node[i]));
    return NB_OK;
}

/* A tensor nobody asked for: the file is of a larger network, and what we would compute is not what it was trained for.
 */
static nb_status check_leftovers(const nb_graph *g, const source *s)
{
    for (int32_t i = 0; i < nb_st_count(s->file->file); i++) {
        const char *name = nb_st_at(s->file->file, i)->name;
        bool other = strncmp(name, "opt/", 4) == 0 || strncmp(name, "ema/", 4) == 0;
        if (other || nb_graph_find(g, name) || nb_quantizer_names(name) || is_excepted(s, name))
            continue;
        return nb_fail(g->ctx, NB_E_FORMAT,
                       "%s: has a tensor %s, which the network has not: it is a checkpoint of another network", s->what,
                       name);
    }
    return NB_OK;
}

static nb_status load(nb_graph *g, const source *s)
{
    NB_TRY(load_leaves(g, s));
    return s->file ? check_leftovers(g, s) : NB_OK;
}

typedef struct {
    const nb_graph *g;
} named;

static nb_status check_name(void *ud, const char *text, const nb_conf *node)
{
    const nb_graph *g = ((const named *)ud)->g;
    return nb_layer_is_there(g->ctx, g, text, node, "init.except");
}

static nb_status check_excepted(const nb_graph *g, const nb_conf *except)
{
    return nb_conf_each_text(g->ctx, except, "init.except", check_name, &(named){g});
}

/* Float values go in before batch norms are folded, values of a quantized graph have its structure; those whose ranges
 * start anew have nothing that placement adds, so they are there in time for what is done before it. */
static nb_status fill(nb_graph *g, const nb_graph_spec *spec, const nb_params_source *from)
{
    bool given = from->file || from->graph;
    bool after = spec->quant &&
                 ((from->file && from->file->quantized) || (from->graph && (from->graph->quantized || from->folded)));
    bool anew = after && from->mode == NB_PARAMS_CALIBRATE;
    NB_ASSERT(!after || anew || (!spec->unrounded && !from->folded)); /* else ranges would be looked for */
    source s = {.what = from->file ? from->file->path : "the phase before", .file = from->file, .graph = from->graph};
    s.mode = from->mode;
    s.averaged = from->mode != NB_PARAMS_EXACT;
    s.except = from->except;
    NB_TRY(check_excepted(g, from->except));
    if ((!given && !spec->blank) || from->except)
        nb_graph_init(g, spec->experiment->seed);
    if (given && !after)
        NB_TRY(load(g, &s));
    if (!spec->quant)
        return NB_OK;
    NB_TRY(nb_model_fold(g, spec->experiment->quant));
    if (anew) /* its file may be of no use any more once before_quant is called */
        NB_TRY(load(g, &s));
    if (spec->before_quant && (!after || anew))
        NB_TRY(spec->before_quant(spec->ud, g));
    if (spec->simulate) { /* the first reason counts */
        g->simulated = "it is looked at in floats";
        g->instead = "integers are made by nibble quantize";
    }
    if (!spec->unrounded)
        NB_TRY(nb_quant_place(g, spec->experiment->quant));
    return after && !anew ? load(g, &s) : NB_OK;
}

nb_status nb_graph_open(nb_ctx *ctx, const nb_graph_spec *spec, const nb_params_source *from, nb_graph **out)
{
    nb_graph *g;
    bool folds = false;
    if (spec->quant && from->lends)
        NB_TRY(nb_model_folds(ctx, spec->experiment->quant, &folds));
    NB_TRY(nb_model_build_lent(ctx, spec->experiment, spec->info, spec->max_batch, spec->shared,
                               from->lends && !folds ? from->graph : NULL, &g));
    g->compute = spec->compute;
    g->blank = spec->blank;
    const bool own = spec->bits[0] || spec->bits[1] || from->mode == NB_PARAMS_START;
    memcpy(g->bits, own || !from->file ? spec->bits : from->file->bits, sizeof g->bits);
    if (spec->reference)
        g->fusions = NULL;
    nb_status st = fill(g, spec, from);
    if (st == NB_OK)
        st = nb_graph_freeze(g, spec->plan);
    if (st == NB_OK)
        *out = g;
    else
        nb_graph_free(g);
    return st;
}
