/* policy.c - where fake-quant nodes go: the one pass that reads the `quant` section.
 *
 * A value is open while it is an exact function of an accumulator: conv -> batchnorm -> relu stays open and gets ONE
 * fake-quant node at its end, after the fused activation (white paper 2.3.1). Rules:
 *   - the input, and every open value that something other than the next link of its chain reads, is closed;
 *   - what joins (add, sub, concat), products, activations by table, pools and MACs read is codes; pools keep their
 *     input's grid;
 *   - the network's output stays open (int32 logits) unless output_bits is set;
 *   - an avgpool opens with means: own;
 *   - every MAC's weight gets a node of its own;
 *   - TRAIN_ONLY layers (dropout) are taken out;
 *   - where one node cannot make integers, or was left out (off), the whole network is simulated (integers.c). */
#include "quant/policy.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

static bool is_closed(const nb_node *n)
{
    if (nb_is_quantizer(n))
        return true;
    bool keeps = (n->op->role == NB_ROLE_KEEP && !(n->flags & NB_NODE_REGRIDS)) || n->op->role == NB_ROLE_CLAMP;
    return keeps && is_closed(n->in[0]);
}

/* An activation's value, or what relus leave of it: a table so far. */
static bool is_table(const nb_node *n)
{
    while (n->op->role == NB_ROLE_CLAMP)
        n = n->in[0];
    return n->op->role == NB_ROLE_TABLE;
}

/* Can reader r go on with the open value of n, so that both become one engine step? */
static bool continues(const nb_node *n, const nb_node *r)
{
    if (r->op->role == NB_ROLE_CLAMP)
        return n->op->role != NB_ROLE_INPUT;
    if (r->op->role == NB_ROLE_TABLE)
        return is_table(n);
    if (r->op->role == NB_ROLE_AFFINE)
        return n->op->role == NB_ROLE_MAC || n->op->role == NB_ROLE_AFFINE;
    return false;
}

static bool must_close(const nb_quant_rules *rules, const nb_node *n)
{
    static const bool opens[] = {
        [NB_ROLE_INPUT] = true, [NB_ROLE_MAC] = true,    [NB_ROLE_AFFINE] = true, [NB_ROLE_CLAMP] = true,
        [NB_ROLE_TABLE] = true, [NB_ROLE_JOIN] = true,   [NB_ROLE_LOSS] = false,  [NB_ROLE_QUANTIZER] = false,
        [NB_ROLE_KEEP] = false, [NB_ROLE_PRODUCT] = true};
    if ((!opens[n->op->role] && !(n->flags & NB_NODE_REGRIDS)) || is_closed(n))
        return false;
    const nb_node *r = nb_node_only_reader(rules->g, n);
    if (r && r->op->role == NB_ROLE_LOSS)
        return rules->section.output_bits > 0;
    return !(r && continues(n, r));
}

static nb_status remove_train_only(nb_graph *g)
{
    for (int32_t i = g->n - 1; i >= 0; i--) {
        nb_node *n = g->node[i];
        if (!(n->op->flags & NB_OP_TRAIN_ONLY))
            continue;
        nb_graph_rewire(g, n, n->in[0], NULL);
        nb_graph_remove(g, i);
    }
    return NB_OK;
}

/* Overrides of any layer of the chain that ends in n, the first layer's last so that it wins. */
static nb_status chain_overrides(const nb_quant_rules *rules, const nb_node *n, nb_fakequant_attr *a)
{
    for (;; n = n->in[0]) {
        NB_TRY(nb_quant_rules_override(rules, n->name, "activations", a));
        const nb_role role = n->op->role;
        const bool inner = role == NB_ROLE_AFFINE || role == NB_ROLE_CLAMP || role == NB_ROLE_TABLE;
        if (!inner || is_closed(n->in[0]))
            return NB_OK;
    }
}

bool nb_quant_only_read_by(const nb_graph *g, const nb_node *x, nb_role role)
{
    bool read = false;
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++)
            if (g->node[i]->in[k] == x && g->node[i]->op->role != role)
                return false;
            else if (g->node[i]->in[k] == x)
                read = true;
    return read;
}

/* From where on, outwards, an activation gives what it gives far away; far itself where that is nowhere near. */
static float flat_end(const nb_node *r, float far)
{
    float inner = 0, outer = far, there, y;
    r->op->each(r, &there, &far, 1);
    for (int32_t i = 0; i < 40 && isfinite(there); i++) {
        const float middle = 0.5f * (inner + outer);
        r->op->each(r, &y, &middle, 1);
        *(y == there ? &outer : &inner) = middle;
    }
    return fabsf(outer) < 100 ? outer : far;
}

/* The range of what a hardswish reads need not hold what is below -3, however far that goes. */
static void find_flat_ends(const nb_node *r, nb_fakequant_attr *a)
{
    static const float far = 1e6f;
    if (!r || r->op->role != NB_ROLE_TABLE || r->n_in != 1) /* with leaves: another function for each channel */
        return;
    a->flat = true;
    a->flat_from = flat_end(r, -far);
    a->flat_to = flat_end(r, far);
}

static nb_status close_value(const nb_quant_rules *rules, nb_node *n)
{
    nb_graph *g = rules->g;
    nb_fakequant_attr a = rules->activations;
    const nb_node *r = nb_node_only_reader(g, n);
    if (n->op->role == NB_ROLE_INPUT) {
        a.range = nb_registry_find(nb_ranges, "minmax"); /* pixels have a known, closed range: one batch shows it */
        a.range_attr = NULL;
        a.learning = nb_registry_find(nb_learnings, "none");
        a.learning_attr = NULL;
        nb_quant_give_bits(rules->section.first_last_bits, &a);
    }
    if (nb_quant_only_read_by(g, n, NB_ROLE_JOIN))
        nb_quant_give_bits(rules->section.join_bits, &a);
    if (nb_quant_only_read_by(g, n, NB_ROLE_TABLE))
        nb_quant_give_bits(rules->section.table_bits, &a);
    nb_quant_for_value(n, &a);
    const bool logits = r && r->op->role == NB_ROLE_LOSS;
    if (logits) {
        a.bits = rules->section.output_bits;
        a.off = false;
    }
    NB_TRY(chain_overrides(rules, n, &a));
    if (a.off)
        return nb_quant_simulate(g, "a map of keys, {bits: 8}, would do", "activations of %s: off", n->name);
    NB_TRY(nb_quant_rules_pick_range(rules, n, logits, &a));
    if (a.scheme == NB_SCHEME_UNSIGNED && !(n->flags & NB_NODE_NONNEGATIVE)) {
        if (a.bits == 1)
            return nb_fail(
                g->ctx, NB_E_CONFIG,
                "quant.activations: bits: 1: is 0 or 1 times a scale, but the values of %s can be negative: put a "
                "relu behind it, or give it 2 bits or more (quant.layers.%s.activations.bits; for the input "
                "quant.first_last_bits)",
                n->name, n->name);
        a.scheme = NB_SCHEME_SYMMETRIC;
    }
    NB_TRY(nb_quant_check_value(rules, n, &a));
    find_flat_ends(r, &a);
    char name[256];
    snprintf(name, sizeof name, "%s.fq", n->name);
    nb_node *fq;
    NB_TRY(nb_graph_insert(g, n->id + 1, &nb_op_fakequant, name, &a, &n, 1, &fq));
    nb_graph_rewire(g, n, fq, fq);
    return NB_OK;
}

/* A batch norm that follows codes (after a pool, or a value others read too) gets them as floats, and so does the loss.
 */
static nb_status dequantize_for(nb_graph *g, nb_node *n)
{
    bool wants_floats = n->op->role == NB_ROLE_AFFINE || n->op->role == NB_ROLE_LOSS;
    if (!wants_floats || !is_closed(n->in[0]))
        return NB_OK;
    char name[256];
    snprintf(name, sizeof name, "%s.in", n->name);
    nb_node *dq;
    NB_TRY(nb_graph_insert(g, n->id, &nb_op_dequantize, name, NULL, &n->in[0], 1, &dq));
    n->in[0] = dq;
    return NB_OK;
}

static nb_status quantize_weight(const nb_quant_rules *rules, nb_node *mac, bool first_or_last)
{
    nb_graph *g = rules->g;
    nb_fakequant_attr a = rules->weights;
    if (first_or_last)
        nb_quant_give_bits(rules->section.first_last_bits, &a);
    NB_TRY(nb_quant_rules_override(rules, mac->name, "weights", &a));
    if (a.off)
        return nb_quant_simulate(g, "a map of keys, {bits: 8}, would do", "weights of %s: off", mac->name);
    const nb_tensor *w = &mac->in[1]->out;
    if (a.per_last && nb_count(w) == w->shape.d[0] * nb_channels(w)) /* else every single weight would have a scale */
        a.per_last = false;
    NB_TRY(nb_quant_rules_pick_range(rules, mac->in[1], false, &a));
    char name[256];
    snprintf(name, sizeof name, "%s.fq", mac->in[1]->name);
    nb_node *fq;
    NB_TRY(nb_graph_insert(g, mac->id, &nb_op_fakequant, name, &a, &mac->in[1], 1, &fq));
    mac->in[1] = fq;
    return NB_OK;
}

/* What enters the last MAC is as wide as its weights, unless its layer says otherwise. */
static nb_status widen_last_input(const nb_quant_rules *rules, const nb_node *last)
{
    nb_node *x = last->in[0];
    while (x->op->role == NB_ROLE_KEEP || x->op->role == NB_ROLE_CLAMP)
        x = x->in[0];
    if (!nb_is_quantizer(x) || !rules->section.first_last_bits)
        return NB_OK;
    nb_fakequant_attr *a = x->attr;
    nb_quant_give_bits(rules->section.first_last_bits, a);
    if (a->auto_range)
        a->range = nb_registry_find(nb_ranges, "auto"); /* by the bits it has now */
    NB_TRY(chain_overrides(rules, x->in[0], a));
    NB_TRY(nb_quant_rules_pick_range(rules, x->in[0], false, a));
    return nb_fakequant_set_range(rules->g, x, a->range);
}

/* Once all rules were applied: what cannot be integers makes the whole network floats, so that every layer is what it is
 * in a float network. */
static nb_status settle_simulation(const nb_quant_rules *rules, const nb_conf *quant, bool any_mac)
{
    nb_graph *g = rules->g;
    int32_t n = 0;
    if (rules->section.simulate)
        NB_TRY(nb_quant_simulate(g, "no would do", "quant.simulate: yes"));
    for (int32_t i = 0; i < g->n; i++)
        if (nb_is_quantizer(g->node[i]) && ++n)
            NB_TRY(nb_quant_check_integers(g, g->node[i]));
    if (any_mac && n == 0)
        return nb_conf_fail(g->ctx, quant, "quant", NB_E_CONFIG,
                            "weights and activations are off: nothing is quantized (a phase with quant: off is float)");
    for (int32_t i = 0; g->simulated && i < g->n; i++)
        if (nb_is_quantizer(g->node[i]))
            ((nb_fakequant_attr *)g->node[i]->attr)->simulated = true;
    return NB_OK;
}

static bool leads_to_loss(const nb_graph *g, const nb_node *n)
{
    const nb_node *r = nb_node_only_reader(g, n);
    while (r && r->op->role == NB_ROLE_KEEP)
        r = nb_node_only_reader(g, r);
    return r && r->op->role == NB_ROLE_LOSS;
}

/* Where nothing but the loss reads them, their input's codes are the logits. */
static void open_means(const nb_quant_rules *rules)
{
    nb_graph *g = rules->g;
    for (int32_t i = 0; rules->section.means == NB_MEANS_OWN && i < g->n; i++) {
        nb_node *n = g->node[i];
        if (n->op->regrids && n->op->regrids(n) && !leads_to_loss(g, n))
            n->flags |= NB_NODE_REGRIDS;
    }
}

nb_status nb_quant_place(nb_graph *g, const nb_conf *quant)
{
    NB_ASSERT(!g->frozen && !g->quantized);
    nb_quant_rules rules;
    NB_TRY(nb_quant_rules_bind(g, quant, &rules));
    NB_TRY(nb_quant_rules_check_names(&rules));
    NB_TRY(remove_train_only(g));
    open_means(&rules);
    if (rules.section.batchnorm == NB_BATCHNORM_FOLD_CORRECTED)
        NB_TRY(nb_quant_fold_corrected(g, quant));
    nb_node *first = NULL, *last = NULL;
    for (int32_t i = 0; i < g->n; i++) {
        if (g->node[i]->op->role != NB_ROLE_MAC)
            continue;
        first = first ? first : g->node[i];
        last = g->node[i];
    }
    for (int32_t i = 0; i < g->n;
         i++) { /* insertions put nodes before or right after i: n->id is where it stands now */
        nb_node *n = g->node[i];
        if (n->op->role == NB_ROLE_MAC)
            NB_TRY(quantize_weight(&rules, n, n == first || n == last));
        NB_TRY(dequantize_for(g, n));
        if (must_close(&rules, n))
            NB_TRY(close_value(&rules, n));
        i = n->id;
    }
    if (last)
        NB_TRY(widen_last_input(&rules, last));
    NB_TRY(nb_quant_rules_check_used(&rules));
    NB_TRY(settle_simulation(&rules, quant, last != NULL));
    g->quantized = true;
    return NB_OK;
}
