/* graph.c - building a graph: nodes and leaves in one array, passes that insert and remove.
 *
 * Invariants: ids are array positions; every input stands before its reader; names are unique. A node is appended after
 * its build() ran, so the leaves that build() makes stand right before it. */
#include "planning.h"

#include <nibble/extend/op.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/rng.h"
#include "core/cut_gather.h"
#include "core/gather_later.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const nb_op op_leaf = {
    .name = "leaf", .help = "a parameter, statistic or quantizer state", .flags = NB_OP_INTERNAL};

nb_status nb_graph_create(nb_ctx *ctx, const nb_dsinfo *info, int32_t max_batch, nb_graph **out)
{
    NB_ASSERT(max_batch >= 1);
    nb_graph *g = nb_alloc(ctx, sizeof *g);
    if (!g)
        return NB_E_NOMEM;
    nb_status st = nb_arena_create(ctx, &g->arena);
    if (st != NB_OK) {
        nb_free(ctx, g);
        return st;
    }
    g->ctx = ctx;
    g->info = *info;
    g->batch = g->max_batch = g->room = max_batch;
    g->cut = nb_cut_of(max_batch, false);
    *out = g;
    return NB_OK;
}

void nb_graph_share(nb_graph *g)
{
    NB_ASSERT(g->n == 0);
    g->shared = true;
    g->room = nb_cut_room(g->max_batch, true);
    g->cut = nb_cut_of(g->max_batch, true);
}

void nb_graph_free(nb_graph *g)
{
    if (!g)
        return;
    nb_later_free(g->ctx, g->later);
    nb_free(g->ctx, g->buffer);
    nb_free(g->ctx, g->node);
    nb_arena_free(g->arena);
    nb_free(g->ctx, g);
}

nb_graph_facts nb_graph_about(const nb_graph *g)
{
    nb_graph_facts about = {.info = &g->info,
                            .param_bytes = g->param_bytes,
                            .planned_bytes = g->planned_bytes,
                            .steps = g->n_steps,
                            .quantized = g->quantized,
                            .simulated = g->simulated,
                            .instead = g->instead};
    for (int32_t i = 0; i < g->n; i++)
        about.params += g->node[i]->flags & NB_NODE_PARAM ? nb_count(&g->node[i]->out) : 0;
    return about;
}

void *nb_graph_alloc(nb_graph *g, size_t bytes)
{
    return nb_arena_alloc(g->arena, bytes);
}

nb_status nb_node_fail(nb_graph *g, const nb_node *n, nb_status st, const char *fmt, ...)
{
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool placed = n->where && n->where[0];
    return nb_fail(g->ctx, st, "%s%s%s %s: %s", placed ? n->where : "", placed ? ": " : "", n->op->name, n->name, text);
}

nb_node *nb_graph_find(const nb_graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n; i++)
        if (strcmp(g->node[i]->name, name) == 0)
            return g->node[i];
    return NULL;
}

static nb_status append(nb_graph *g, nb_node *n)
{
    if (g->n == g->cap) {
        int32_t cap = g->cap ? 2 * g->cap : 64;
        nb_node **bigger = nb_alloc(g->ctx, (size_t)cap * sizeof *bigger);
        if (!bigger)
            return NB_E_NOMEM;
        if (g->n)
            memcpy(bigger, g->node, (size_t)g->n * sizeof *bigger);
        nb_free(g->ctx, g->node);
        g->node = bigger;
        g->cap = cap;
    }
    n->id = g->n;
    g->node[g->n++] = n;
    return NB_OK;
}

static nb_node *new_node(nb_graph *g, const nb_op *op, const char *name, const char *where)
{
    nb_node *n = nb_arena_alloc(g->arena, sizeof *n);
    if (!n)
        return NULL;
    n->op = op;
    n->cut = &g->cut;
    n->name = nb_arena_strdup(g->arena, name);
    n->where = nb_arena_strdup(g->arena, where ? where : "");
    return n->name && n->where ? n : NULL;
}

static void *lent(const nb_graph *g, const nb_node *leaf)
{
    const nb_node *theirs = g->lender && (leaf->flags & NB_NODE_DECAY) ? nb_graph_find(g->lender, leaf->name) : NULL;
    return theirs && nb_shape_equal(&theirs->out.shape, &leaf->out.shape) ? theirs->out.data : NULL;
}

nb_status nb_graph_leaf(nb_graph *g, nb_node *n, const char *what, nb_shape shape, uint32_t flags, nb_node **out)
{
    char name[256];
    int len = snprintf(name, sizeof name, "%s.%s", n->name, what);
    if (len < 0 || (size_t)len >= sizeof name)
        return nb_node_fail(g, n, NB_E_CONFIG, "the name is too long");
    if (n->n_in >= NB_MAX_IN)
        return nb_node_fail(g, n, NB_E_CONFIG, "more than %d inputs", NB_MAX_IN);
    if (nb_graph_find(g, name))
        return nb_node_fail(g, n, NB_E_CONFIG, "two tensors are called %s", name);
    int64_t count = nb_shape_count(&shape);
    if (count <= 0 || count > INT32_MAX / 4)
        return nb_node_fail(g, n, NB_E_SHAPE, "tensor %s would have %lld elements", name, (long long)count);
    nb_node *leaf = new_node(g, &op_leaf, name, n->where);
    if (!leaf)
        return NB_E_NOMEM;
    leaf->flags = NB_NODE_LEAF | flags;
    leaf->out = (nb_tensor){.shape = shape, .dtype = NB_F32};
    leaf->out.data = lent(g, leaf);
    if (!leaf->out.data) {
        leaf->out.data = nb_arena_array(g->arena, (size_t)count, sizeof(float));
        g->param_bytes += (size_t)count * sizeof(float);
    }
    if (!leaf->out.data)
        return NB_E_NOMEM;
    NB_TRY(append(g, leaf));
    n->in[n->n_in++] = leaf;
    if (out)
        *out = leaf;
    return NB_OK;
}

static nb_status new_attr(nb_graph *g, nb_node *n, const void *attr)
{
    if (n->op->attr_size == 0)
        return NB_OK;
    n->attr = nb_arena_alloc(g->arena, n->op->attr_size);
    if (!n->attr)
        return NB_E_NOMEM;
    if (attr)
        memcpy(n->attr, attr, n->op->attr_size);
    return NB_OK;
}

nb_status nb_graph_add(nb_graph *g, const nb_op *op, const char *name, const char *where, const void *attr,
                       nb_node *const *in, int32_t n_in, nb_node **out)
{
    nb_node *n = new_node(g, op, name, where);
    if (!n)
        return NB_E_NOMEM;
    if (nb_graph_find(g, name))
        return nb_node_fail(g, n, NB_E_CONFIG, "this name is already taken: give one of the two another `name`");
    if (n_in < op->min_in || n_in > op->max_in || n_in > NB_MAX_IN) {
        char most[16] = "";
        if (op->max_in > op->min_in)
            snprintf(most, sizeof most, "..%d", op->max_in);
        return nb_node_fail(g, n, NB_E_CONFIG, "has %d inputs, takes %d%s", n_in, op->min_in, most);
    }
    n->n_in = n_in;
    n->flags = op->role == NB_ROLE_INPUT ? NB_NODE_BATCHED : 0;
    for (int32_t i = 0; i < n_in; i++) {
        n->in[i] = in[i];
        n->flags |= op->role == NB_ROLE_LOSS ? 0 : in[i]->flags & NB_NODE_BATCHED;
    }
    NB_TRY(new_attr(g, n, attr));
    NB_TRY(op->build(g, n));
    int64_t count = nb_shape_count(&n->out.shape);
    if (count <= 0 || count > INT32_MAX)
        return nb_node_fail(
            g, n, NB_E_SHAPE,
            "the output tensor is empty or has more than 2^31 elements; reduce train.batch or the layer");
    NB_TRY(append(g, n));
    if (op->role == NB_ROLE_INPUT)
        g->input = n;
    if (op->role == NB_ROLE_LOSS)
        g->loss = n;
    if (out)
        *out = n;
    return NB_OK;
}

static void renumber(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++)
        g->node[i]->id = i;
}

/* Moves the nodes from `tail` to the end in front of node `before`, keeping their order. */
static void move_tail(nb_graph *g, int32_t tail, int32_t before)
{
    for (int32_t k = tail; k < g->n; k++) {
        nb_node *moved = g->node[k];
        int32_t to = before + (k - tail);
        memmove(&g->node[to + 1], &g->node[to], (size_t)(k - to) * sizeof g->node[0]);
        g->node[to] = moved;
    }
    renumber(g);
}

nb_status nb_graph_insert(nb_graph *g, int32_t before, const nb_op *op, const char *name, const void *attr,
                          nb_node *const *in, int32_t n_in, nb_node **out)
{
    int32_t tail = g->n;
    NB_TRY(nb_graph_add(g, op, name, g->node[before]->where, attr, in, n_in, out));
    move_tail(g, tail, before);
    return NB_OK;
}

nb_status nb_graph_late_leaf(nb_graph *g, nb_node *n, const char *what, nb_shape shape, uint32_t flags, nb_node **out)
{
    int32_t tail = g->n;
    NB_TRY(nb_graph_leaf(g, n, what, shape, flags, out));
    move_tail(g, tail, n->id);
    return NB_OK;
}

void nb_graph_rewire(nb_graph *g, const nb_node *from, nb_node *to, const nb_node *but)
{
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++)
            if (g->node[i]->in[k] == from && g->node[i] != but)
                g->node[i]->in[k] = to;
}

void nb_graph_move(nb_graph *g, int32_t id, int32_t before)
{
    NB_ASSERT(0 <= before && before <= id && id < g->n);
    nb_node *moved = g->node[id];
    memmove(&g->node[before + 1], &g->node[before], (size_t)(id - before) * sizeof moved);
    g->node[before] = moved;
    renumber(g);
}

void nb_graph_remove(nb_graph *g, int32_t id)
{
    NB_ASSERT(id >= 0 && id < g->n && nb_node_consumers(g, g->node[id]) == 0);
    memmove(&g->node[id], &g->node[id + 1], (size_t)(g->n - id - 1) * sizeof g->node[0]);
    g->n--;
    renumber(g);
}

int32_t nb_node_consumers(const nb_graph *g, const nb_node *x)
{
    int32_t edges = 0;
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++)
            edges += g->node[i]->in[k] == x;
    return edges;
}

const nb_node *nb_node_only_reader(const nb_graph *g, const nb_node *x)
{
    const nb_node *reader = NULL;
    for (int32_t i = x->id + 1; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++)
            reader = g->node[i]->in[k] == x ? g->node[i] : reader;
    return nb_node_consumers(g, x) == 1 ? reader : NULL;
}

void nb_graph_init(nb_graph *g, uint64_t seed)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->op->init)
            g->node[i]->op->init(g->node[i], nb_mix(seed, nb_hash_text(g->node[i]->name)));
}

void nb_graph_set_batch(nb_graph *g, int32_t batch)
{
    NB_ASSERT(batch >= 1 && batch <= g->max_batch);
    g->batch = batch;
    g->cut = nb_cut_of(batch, g->shared);
    g->cut.later = g->later;
    nb_graph_resize(g, g->cut.images);
}

void nb_graph_resize(nb_graph *g, int32_t images)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & NB_NODE_BATCHED)
            g->node[i]->out.shape.d[0] = images;
}
