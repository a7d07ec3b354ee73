/* build.c - walks the `model` list and lists inside of blocks, names layers, resolves `in`, expands blocks, and checks
 * what only the whole can tell. */
#include <nibble/extend/block.h>
#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>
#include <nibble/model.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 120, MAX_KINDS = 128, WHERE_BYTES = 160 };

struct nb_model_builder {
    nb_ctx *ctx;
    nb_graph *g;
    nb_arena *arena;   /* attributes while they are bound */
    const char *where; /* "path:line" of the entry being built */
    const char *kind;  /* what it is */
    const char *at;    /* and its path: "model[3] branches" */
    nb_node *last;
    int32_t counts[MAX_KINDS]; /* default names: <kind><running number> */
};

typedef struct {
    const char *name;
    const nb_conf *in;
} common_keys;

const nb_key nb_model_common_keys[] = {
    NB_KEY_STRING(common_keys, name, "", "name used in messages, checkpoints and `in` (default: kind and number)"),
    NB_KEY_NODE(common_keys, in, "NAME or [NAME, NAME]", "what the layer reads (default: the layer above)"),
    {0}};

#define NB_BLOCK(name) extern const nb_block nb_block_##name;
#include "model/blocks.def"
#undef NB_BLOCK
#define NB_BLOCK(name) &nb_block_##name,
const nb_block *const nb_blocks[] = {
#include "model/blocks.def"
    NULL};
#undef NB_BLOCK

nb_ctx *nb_block_ctx(const nb_model_builder *b)
{
    return b->ctx;
}

nb_status nb_block_fail(const nb_model_builder *b, const char *name, nb_status st, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nb_fail(b->ctx, st, "%s: %s %s: %s", b->where, b->kind, name, text);
}

/* One entry of the list, looked up but not yet bound. */
typedef struct {
    const char *kind;
    const nb_conf *conf, *map; /* the entry; its keys or NULL */
    const nb_op *op;
    const nb_block *block;
    int32_t kind_index;
    char where[WHERE_BYTES]; /* "model[3] conv2d" */
} entry;

static nb_status find_kind(nb_model_builder *b, const nb_conf *e, const char *where, entry *out)
{
    *out = (entry){.conf = e};
    NB_TRY(nb_conf_named(b->ctx, e, where, &out->kind, &out->map));
    snprintf(out->where, sizeof out->where, "%s %s", where, out->kind);
    const int32_t layer = nb_registry_index(nb_layers, out->kind), block = nb_registry_index(nb_blocks, out->kind);
    out->op = layer < 0 ? NULL : nb_layers[layer];
    out->block = block < 0 ? NULL : nb_blocks[block];
    const char *names[MAX_KINDS];
    int32_t n = nb_registry_names(nb_layers, names, MAX_KINDS);
    out->kind_index = layer < 0 ? n + block : layer;
    n += nb_registry_names(nb_blocks, names + n, MAX_KINDS - n);
    NB_ASSERT(n < MAX_KINDS);
    if (out->op || out->block)
        return NB_OK;
    return nb_conf_unknown(b->ctx, e, where, "layer", names, n);
}

typedef struct {
    nb_model_builder *b;
    const entry *e;
    nb_node *in[NB_MAX_IN];
    int32_t n;
} in_list;

static nb_status add_input(void *ud, const char *text, const nb_conf *node)
{
    in_list *l = ud;
    nb_graph *g = l->b->g;
    char where[WHERE_BYTES + 4];
    snprintf(where, sizeof where, "%s.in", l->e->where);
    if (l->n == NB_MAX_IN)
        return nb_conf_fail(g->ctx, node, where, NB_E_CONFIG, "more than %d inputs", NB_MAX_IN);
    nb_node *x = nb_graph_find(g, text);
    if (x && !(x->flags & NB_NODE_LEAF)) {
        l->in[l->n++] = x;
        return NB_OK;
    }
    const char **names = nb_alloc(g->ctx, (size_t)(g->n + 1) * sizeof *names);
    if (!names)
        return NB_E_NOMEM;
    int32_t n = 0;
    for (int32_t i = 0; i < g->n; i++)
        if (!(g->node[i]->flags & NB_NODE_LEAF))
            names[n++] = g->node[i]->name;
    nb_status st = nb_conf_unknown(g->ctx, node, where, "layer above", names, n);
    nb_free(g->ctx, names);
    return st;
}

static nb_status collect_inputs(nb_model_builder *b, const entry *e, const nb_conf *in, in_list *l)
{
    *l = (in_list){.b = b, .e = e};
    if (in)
        return nb_conf_each_text(b->ctx, in, e->where, add_input, l);
    if (b->last)
        l->in[l->n++] = b->last;
    return NB_OK;
}

/* Names become keys of checkpoints and lines of listings. */
static bool is_name(const char *name)
{
    while (*name) {
        uint32_t cp;
        name += nb_utf8_next(name, &cp);
        if (cp == '/' || nb_utf8_is_control(cp))
            return false;
    }
    return true;
}

/* What an entry is called: its own name, behind the block's that it is written in; or the default. */
static nb_status name_entry(nb_model_builder *b, const entry *e, const char *own, const char *block, const char *dflt,
                            char name[MAX_NAME])
{
    int len;
    if (own[0])
        len = snprintf(name, MAX_NAME, "%s%s%s", block, block[0] ? "." : "", own);
    else if (dflt[0])
        len = snprintf(name, MAX_NAME, "%s.%s", block, dflt);
    else
        len = snprintf(name, MAX_NAME, "%s%d", e->kind, ++b->counts[e->kind_index]);
    if (len < 0 || len >= MAX_NAME || !is_name(name))
        return nb_conf_fail(b->ctx, own[0] ? nb_conf_get(e->map, "name") : e->conf, e->where, NB_E_CONFIG,
                            "name: must be shorter than %d bytes and without '/' and control characters", MAX_NAME);
    return NB_OK;
}

/* Reads b->last unless it says something else, and becomes b->last. */
static nb_status build_entry(nb_model_builder *b, const entry *e, const char *block, const char *dflt)
{
    const void *kind = e->op ? (const void *)e->op : e->block;
    void *attr;
    common_keys common = {0};
    NB_TRY(nb_entry_bind(b->ctx, b->arena, kind, e->map, e->where, (nb_binding){nb_model_common_keys, &common}, &attr));
    char name[MAX_NAME];
    NB_TRY(name_entry(b, e, common.name, block, dflt, name));
    b->where = nb_conf_place(e->conf);
    b->kind = e->kind;
    b->at = e->where;
    in_list l;
    NB_TRY(collect_inputs(b, e, common.in, &l));
    if (e->op && e->op->role == NB_ROLE_INPUT)
        l.n = common.in ? l.n : 0;
    if (e->op)
        return nb_graph_add(b->g, e->op, name, b->where, attr, l.in, l.n, &b->last);
    if (l.n != 1)
        return nb_conf_fail(b->ctx, e->conf, e->where, NB_E_CONFIG, "takes one input");
    nb_node *out;
    NB_TRY(e->block->expand(b, name, attr, l.in[0], &out));
    b->last = out;
    return NB_OK;
}

nb_status nb_model_entry(nb_model_builder *b, const nb_conf *conf, const char *part, const char *block,
                         const char *name, nb_node **x)
{
    const nb_model_builder outer = *b;
    char where[WHERE_BYTES];
    entry e;
    snprintf(where, sizeof where, "%s.%s", b->at, part);
    NB_TRY(find_kind(b, conf, where, &e));
    if (e.op && e.op->role == NB_ROLE_INPUT)
        return nb_conf_fail(b->ctx, conf, e.where, NB_E_CONFIG,
                            "only the first layer of the model is the input: name it in an `in` to read it here");
    b->last = *x;
    NB_TRY(build_entry(b, &e, block, name));
    *x = b->last;
    b->last = outer.last;
    b->where = outer.where;
    b->kind = outer.kind;
    b->at = outer.at;
    return NB_OK;
}

nb_status nb_model_add(nb_model_builder *b, const char *kind, const char *name, const nb_conf *keys, nb_node *const *in,
                       int32_t n_in, nb_node **out)
{
    const nb_op *op = nb_registry_find(nb_layers, kind);
    const nb_block *block = op ? NULL : nb_registry_find(nb_blocks, kind);
    NB_ASSERT(op || (block && n_in == 1));
    void *attr;
    NB_TRY(nb_entry_bind(b->ctx, b->arena, op ? (const void *)op : block, keys, name, (nb_binding){0}, &attr));
    return op ? nb_graph_add(b->g, op, name, b->where, attr, in, n_in, out) : block->expand(b, name, attr, in[0], out);
}

nb_status nb_model_layer(nb_model_builder *b, const char *op, const char *name, const char *keys, nb_node *const *in,
                         int32_t n_in, nb_node **out)
{
    nb_config *cfg = NULL;
    if (keys[0])
        NB_TRY(nb_config_parse(b->ctx, name, keys, strlen(keys), NULL, 0, &cfg));
    const nb_status st = nb_model_add(b, op, name, cfg ? nb_config_root(cfg) : NULL, in, n_in, out);
    nb_config_free(b->ctx, cfg);
    return st;
}

static nb_status check_ends(nb_model_builder *b)
{
    nb_graph *g = b->g;
    if (!g->loss) /* it stands, for messages, where the last layer does */
        NB_TRY(nb_model_layer(b, "softmax_xent", "loss", "", &b->last, 1, &b->last));
    if (g->loss->id != g->n - 1)
        return nb_node_fail(g, g->loss, NB_E_CONFIG, "must be the last layer");
    for (int32_t i = 0; i < g->n - 1; i++)
        if (!(g->node[i]->flags & NB_NODE_LEAF) && nb_node_consumers(g, g->node[i]) == 0)
            return nb_node_fail(g, g->node[i], NB_E_CONFIG,
                                "its output is never used: remove the layer or name it in an `in`");
    return NB_OK;
}

static nb_status build_all(nb_model_builder *b, const nb_conf *model)
{
    if (!model || !nb_conf_is_list(model) || nb_conf_count(model) == 0)
        return nb_conf_fail(b->ctx, model, "model", NB_E_CONFIG, "must be a list of layers");
    for (int32_t i = 0; i < nb_conf_count(model); i++) {
        entry e;
        char where[32];
        snprintf(where, sizeof where, "model[%d]", i);
        NB_TRY(find_kind(b, nb_conf_at(model, i), where, &e));
        const bool input = e.op && e.op->role == NB_ROLE_INPUT;
        if (input != (i == 0))
            return nb_conf_fail(b->ctx, e.conf, e.where, NB_E_CONFIG,
                                input ? "only the first layer is the input: name it in an `in` to read it again"
                                      : "the first layer must be `input`");
        NB_TRY(build_entry(b, &e, "", ""));
    }
    return check_ends(b);
}

nb_status nb_model_build(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t max_batch,
                         nb_graph **out)
{
    return nb_model_build_lent(ctx, exp, info, max_batch, false, NULL, out);
}

nb_status nb_model_build_lent(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t max_batch,
                              bool shared, const nb_graph *lender, nb_graph **out)
{
    nb_model_builder b = {.ctx = ctx, .where = ""};
    nb_status st = nb_graph_create(ctx, info, max_batch, &b.g);
    if (st == NB_OK) {
        b.g->fusions = nb_fusions;
        b.g->lender = lender;
        if (shared)
            nb_graph_share(b.g);
        st = nb_arena_create(ctx, &b.arena);
    }
    if (st == NB_OK)
        st = build_all(&b, exp->model);
    nb_arena_free(b.arena);
    if (st == NB_OK)
        *out = b.g;
    else
        nb_graph_free(b.g);
    return st;
}

/* Of one image: what layers read and write, views aside. */
static int64_t widest_layer(const nb_graph *g)
{
    int64_t widest = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        int64_t values = n->flags & NB_NODE_BATCHED ? nb_count(&n->out) / n->out.shape.d[0] : 0;
        for (int32_t k = 0; k < n->n_in; k++)
            if (n->in[k]->flags & NB_NODE_BATCHED)
                values += nb_count(&n->in[k]->out) / n->in[k]->out.shape.d[0];
        widest = values > widest ? values : widest;
    }
    return widest * (int64_t)sizeof(float);
}

nb_status nb_model_batch(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t most, int32_t *batch)
{
    nb_graph *g;
    NB_TRY(nb_model_build(ctx, exp, info, 1, &g));
    const int64_t widest = widest_layer(g);
    nb_graph_free(g);
    for (*batch = most; *batch > 1 && *batch * widest > NB_BATCH_BYTES;)
        *batch /= 2;
    return NB_OK;
}

nb_status nb_model_folds(nb_ctx *ctx, const nb_conf *quant, bool *yes)
{
    nb_quant_section section = {0};
    nb_binding b = {nb_quant_section_keys, &section};
    NB_TRY(nb_conf_bind(ctx, quant, "quant", &b, 1));
    *yes = section.batchnorm == NB_BATCHNORM_FOLD;
    return NB_OK;
}

nb_status nb_model_fold(nb_graph *g, const nb_conf *quant)
{
    bool folds;
    NB_TRY(nb_model_folds(g->ctx, quant, &folds));
    return folds ? nb_quant_fold(g) : NB_OK;
}

nb_status nb_model_quantize(nb_graph *g, const nb_conf *quant)
{
    NB_TRY(nb_model_fold(g, quant));
    return nb_quant_place(g, quant);
}
