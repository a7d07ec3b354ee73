/* partition.c - see partition.h. */
#include "post/partition.h"

#include <nibble/extend/quant.h>

#include "base/check.h"

#include <string.h>

typedef struct {
    nb_arena *arena;
    const nb_graph *g;
    nb_block_size size;
    const nb_node **mac; /* all of them, in order of execution */
    nb_post_block *block;
    int32_t all, n_macs, n; /* layers; those up to here, blocks up to here */
    bool joins;             /* of the block before this one: */
    bool linear;            /* it ends without an activation */
} cutting;

static const nb_node *root_of(const nb_node *x)
{
    while (x->op->flags & NB_OP_VIEW)
        x = x->in[0];
    return x;
}

static bool is_value(const nb_node *n)
{
    return (n->flags & NB_NODE_BATCHED) && !(n->op->flags & NB_OP_VIEW) && n->op->role != NB_ROLE_LOSS;
}

/* The last node that reads n, or one of its views; *inside: one makes the same layer's value of it (norm, activation,
 * rounding). */
static int32_t last_reader(const nb_graph *g, const nb_node *n, bool *inside)
{
    int32_t last = n->id;
    *inside = false;
    for (int32_t i = n->id + 1; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++) {
            const nb_role role = g->node[i]->op->role;
            if (root_of(g->node[i]->in[k]) != n)
                continue;
            last = i;
            *inside = *inside || role == NB_ROLE_AFFINE || role == NB_ROLE_CLAMP || role == NB_ROLE_TABLE ||
                      role == NB_ROLE_QUANTIZER;
        }
    return last;
}

/* No activation stands between the value and the layer or join that made it. */
static bool is_linear(const nb_node *to)
{
    while (to->op->role == NB_ROLE_QUANTIZER || to->op->role == NB_ROLE_AFFINE)
        to = to->in[0];
    return to->op->role != NB_ROLE_CLAMP && to->op->role != NB_ROLE_TABLE;
}

static const char *name_of(nb_arena *arena, const nb_node *const *mac, int32_t n)
{
    const char *first = mac[0]->name, *dot = strrchr(first, '.');
    if (n == 1)
        return first;
    const size_t len = dot ? (size_t)(dot - first) + 1 : 0;
    bool same = len > 0;
    for (int32_t i = 1; i < n; i++)
        same = same && strncmp(mac[i]->name, first, len) == 0;
    return same ? nb_arena_printf(arena, "%.*s", (int)len - 1, first)
                : nb_arena_printf(arena, "%s..%s", first, mac[n - 1]->name);
}

/* Does a plain layer go on with the run that the block before it is? */
static bool continues(const cutting *c, bool joins)
{
    return c->size == NB_BLOCKS && c->n > 1 && !joins && !c->joins && !c->linear && c->n_macs < c->all &&
           c->block[c->n - 1].n_macs < NB_MOST_RUN;
}

/* What stands between two cuts, with layers from the first-th on. */
static void take(cutting *c, const nb_node *from, const nb_node *to, int32_t first, bool joins)
{
    if (continues(c, joins)) {
        c->block[c->n - 1].to = to;
        c->block[c->n - 1].n_macs += c->n_macs - first;
    } else {
        c->block[c->n++] = (nb_post_block){.from = from, .to = to, .mac = c->mac + first, .n_macs = c->n_macs - first};
    }
    c->joins = joins;
    c->linear = is_linear(to);
}

static void cut(cutting *c)
{
    const nb_graph *g = c->g;
    const nb_node *from = NULL;
    int32_t reach = 0, first = 0; /* the last reader of anything so far; the first layer behind `from` */
    bool joins = false, inside;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (n->op->role == NB_ROLE_MAC)
            c->mac[c->n_macs++] = n;
        joins = joins || n->op->role == NB_ROLE_JOIN || n->op->role == NB_ROLE_PRODUCT;
        if (!is_value(n))
            continue;
        const int32_t read = last_reader(g, n, &inside);
        const bool alone = reach <= i && !inside && n->op->role != NB_ROLE_KEEP;
        reach = read > reach ? read : reach;
        if (!alone || (from && c->n_macs == first))
            continue;
        if (from)
            take(c, from, n, first, joins);
        from = n;
        first = c->n_macs;
        joins = false;
    }
}

nb_status nb_blocks_find(nb_arena *arena, const nb_graph *g, nb_block_size size, nb_post_block **out, int32_t *n)
{
    const nb_node **mac = nb_arena_array(arena, (size_t)g->n, sizeof(void *));
    cutting c = {.arena = arena, .g = g, .size = size, .mac = mac};
    c.block = nb_arena_array(arena, (size_t)g->n, sizeof *c.block);
    if (!c.mac || !c.block)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++)
        c.all += g->node[i]->op->role == NB_ROLE_MAC;
    cut(&c);
    for (int32_t i = 0; i < c.n; i++) {
        c.block[i].name = name_of(arena, c.block[i].mac, c.block[i].n_macs);
        if (!c.block[i].name)
            return NB_E_NOMEM;
    }
    *out = c.block;
    *n = c.n;
    return NB_OK;
}
