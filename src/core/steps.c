/* steps.c - the graph as a list of steps: every chain that a fusion's pattern matches, and all other nodes alone.
 *
 * A chain's nodes stand next to each other (leaves in between do not count), each read by the next one alone. So
 * running the chain at the place of its nodes changes no order of execution, and gradients of a value read several
 * times are added in the same order as node by node. Greedy from the front: the first fusion and pattern that match
 * count. */
#include "planning.h"

#include "base/check.h"

#include <string.h>

static bool is_step(const nb_node *n)
{
    return !(n->flags & NB_NODE_LEAF) && !(n->op->flags & NB_OP_VIEW);
}

/* The node behind n that can be fused with it: its only reader, through in[0], with nothing but leaves in between. */
static nb_node *next_link(const nb_graph *g, const nb_node *n)
{
    int32_t i = n->id + 1;
    while (i < g->n && (g->node[i]->flags & NB_NODE_LEAF))
        i++;
    return i < g->n && g->node[i]->in[0] == n && nb_node_consumers(g, n) == 1 ? g->node[i] : NULL;
}

/* Beyond in[0] a later link may read leaves only. */
static bool reads_leaves(const nb_node *n)
{
    for (int32_t k = 1; k < n->n_in; k++)
        if (!(n->in[k]->flags & NB_NODE_LEAF))
            return false;
    return true;
}

/* Matches one pattern from `first` on: as many optional links as there are. Returns the number of nodes, 0: no. */
static int32_t match(const nb_graph *g, nb_node *first, const char *pattern, nb_node **chain)
{
    nb_node *n = first;
    int32_t len = 0;
    while (*pattern) {
        size_t word = strcspn(pattern, " ");
        bool optional = *pattern == '[';
        const char *name = pattern + optional;
        size_t name_len = word - (optional ? 2 : 0);
        if (n && strlen(n->op->name) == name_len && strncmp(n->op->name, name, name_len) == 0) {
            NB_ASSERT(len < NB_MAX_CHAIN);
            chain[len++] = n;
            nb_node *next = next_link(g, n);
            n = next && reads_leaves(next) ? next : NULL;
        } else if (!optional) {
            return 0;
        }
        pattern += word + (pattern[word] == ' ');
    }
    return len;
}

static bool try_fusion(const nb_graph *g, const nb_fusion *f, nb_node *first, nb_step *s)
{
    for (const char *const *p = f->patterns; *p; p++) {
        *s = (nb_step){.fusion = f};
        s->n = match(g, first, *p, s->node);
        if (s->n > 0 && (!f->fits || f->fits(s)))
            return true;
    }
    return false;
}

static nb_step step_at(const nb_graph *g, nb_node *first)
{
    nb_step s;
    for (const nb_fusion *const *f = g->fusions; f && *f; f++)
        if (try_fusion(g, *f, first, &s))
            return s;
    return (nb_step){.node = {first}, .n = 1};
}

nb_status nb_plan_steps(nb_planning *p)
{
    nb_graph *g = p->g;
    p->step = nb_graph_alloc(g, (size_t)g->n * sizeof *p->step);
    if (!p->step)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++)
        p->step_of[i] = -1;
    for (int32_t i = 0; i < g->n; i++) {
        if (!is_step(g->node[i]) || p->step_of[i] >= 0)
            continue;
        nb_step *s = &p->step[p->n_steps];
        *s = step_at(g, g->node[i]);
        for (int32_t k = 0; k < s->n; k++)
            p->step_of[s->node[k]->id] = p->n_steps;
        p->n_steps++;
        if (s->fusion && s->fusion->prepare)
            NB_TRY(s->fusion->prepare(g, s));
    }
    p->end = 2 * p->n_steps - 1;
    return NB_OK;
}
