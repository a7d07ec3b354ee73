/* learned.c - the learned state of a fake-quant node: leaf, beginning, parameters, gradient.
 *
 * The range is observed until it has seen one batch; the learning begins from its scale and the range then stands
 * still, so that what it says of the zero point holds. All zero means: not yet.
 *
 * backward sums over values before rounding and their gradients, in parts that depend on sizes alone: an output channel
 * where each has a scale, else a share of axis 0 (of the batch, for activations), as fusion.h cuts it. A fused chain
 * brings the same rows in the same order, so its sums are the same bits. */
#include "quant/learned.h"

#include "base/check.h"
#include "base/parallel.h"
#include "core/cut_gather.h"

#include <math.h>
#include <string.h>

static const char range_leaf[] = "state";

/* A step that overshoots cannot lose the network: no learned scale is less than the range's over this. */
static const float MOST = 256;

static const char *leaf_of(const nb_learning *l)
{
    return l->leaf ? l->leaf : l->name;
}

nb_status nb_fq_learned_leaf(nb_graph *g, nb_node *n)
{
    const int32_t rows = nb_fq_rows(n);
    const nb_fakequant_attr *a = n->attr;
    const uint32_t kept = NB_NODE_BUFFER | NB_NODE_QUANTIZER;
    NB_TRY(nb_graph_leaf(g, n, range_leaf, nb_shape_of(2, rows, nb_fq_range_floats(a) + 1, 0, 0), kept, NULL));
    if (a->learning->n_state == 0)
        return NB_OK;
    const uint32_t trained = NB_NODE_PARAM | NB_NODE_QUANTIZER;
    return nb_graph_leaf(g, n, leaf_of(a->learning), nb_shape_of(2, rows, a->learning->n_state, 0, 0), trained, NULL);
}

const nb_node *nb_quantizer_of(const nb_graph *g, const nb_node *leaf)
{
    for (int32_t i = leaf->id; (leaf->flags & NB_NODE_QUANTIZER) && i < g->n; i++)
        for (int32_t k = 1; nb_is_quantizer(g->node[i]) && k < g->node[i]->n_in; k++)
            if (g->node[i]->in[k] == leaf)
                return g->node[i];
    return NULL;
}

bool nb_quantizer_names(const char *leaf)
{
    const char *dot = strrchr(leaf, '.');
    bool known = dot && strcmp(dot + 1, range_leaf) == 0;
    for (int32_t i = 0; dot && nb_learnings[i]; i++)
        known |= nb_learnings[i]->n_state > 0 && strcmp(dot + 1, leaf_of(nb_learnings[i])) == 0;
    return known;
}

nb_learning_keys nb_fakequant_rates(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return a->learning_attr ? *(const nb_learning_keys *)a->learning_attr : (nb_learning_keys){.lr = 1};
}

bool nb_fakequant_learned_sound(const nb_node *n, const float *param)
{
    const nb_learning *l = ((const nb_fakequant_attr *)n->attr)->learning;
    int32_t zeros = 0, positive = 0;
    for (int32_t i = 0; i < l->n_state; i++) {
        zeros += param[i] == 0.0f;
        positive += i < l->n_positive && param[i] > 0.0f;
    }
    return zeros == l->n_state || positive == l->n_positive;
}

double nb_learn_divisor(const nb_grid *g, const nb_learn_sums *s)
{
    return sqrt((double)s->n * (double)g->hi);
}

bool nb_fakequant_can_learn(const nb_node *n)
{
    return ((const nb_fakequant_attr *)n->attr)->learning->n_state > 0;
}

static bool is_batched(const nb_node *n)
{
    return n->flags & NB_NODE_BATCHED;
}

static bool has_many(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return a->per_channel || a->per_last;
}

/* Where there are many scales: one each. Else as many as extend/cut.h makes of axis 0, which is the batch or output channels. */
static int64_t parts_of(const nb_node *n)
{
    return has_many(n) ? nb_fq_rows(n) : nb_tap_parts(is_batched(n) ? n->cut->batch : n->out.shape.d[0]);
}

static int32_t part_at(const nb_node *n, int32_t i)
{
    return is_batched(n) ? nb_cut_part_at(n->cut, i) : nb_tap_part(n->out.shape.d[0], i);
}

/* Values [*first, *first + result) are part i's. */
static int64_t part_rows(const nb_node *n, int64_t i, int64_t *first)
{
    const nb_fakequant_attr *a = n->attr;
    const int64_t each = nb_count(&n->out) / n->out.shape.d[0];
    *first = (a->per_channel ? i * nb_fq_group(n) : part_at(n, (int32_t)i)) * each;
    return (a->per_channel ? nb_fq_row_end(n, (int32_t)i) : part_at(n, (int32_t)i + 1)) * each - *first;
}

nb_status nb_fq_learned_prepare(nb_graph *g, nb_node *n)
{
    nb_fq_priv *p = n->priv;
    const nb_fakequant_attr *a = n->attr;
    if (a->weights && a->learning->warp) {
        p->warped = nb_graph_alloc(g, (size_t)nb_count(&n->out) * sizeof *p->warped);
        if (!p->warped)
            return NB_E_NOMEM;
        n->flags |= NB_NODE_READS_IN; /* unwarp does */
    }
    if (!nb_fakequant_can_learn(n))
        return NB_OK;
    if (nb_fq_cut(n) && has_many(n))
        return nb_node_fail(
            g, n, NB_E_UNSUPPORTED,
            "ranks cannot share learned scales of the channels of activations: train on one, or with one "
            "scale for all");
    n->flags |= NB_NODE_READS_IN;
    p->n_lanes = a->learning->ends ? NB_END_LANES : NB_SCALE_LANES;
    p->lane = nb_graph_alloc(g, (size_t)parts_of(n) * (size_t)p->n_lanes * sizeof *p->lane);
    return p->lane ? NB_OK : NB_E_NOMEM;
}

static float *row(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    return (float *)n->in[2]->out.data + (int64_t)r * a->learning->n_state;
}

static bool has_begun(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    for (int32_t i = 0; i < a->learning->n_state; i++)
        if (row(n, r)[i] != 0.0f)
            return true;
    return false;
}

static nb_warping warping(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    return (nb_warping){.attr = a->learning_attr,
                        .grid = &p->grid,
                        .param = nb_fakequant_can_learn(n) ? row(n, 0) : NULL,
                        .w = n->in[0]->out.data,
                        .n = nb_count(&n->out)};
}

void nb_fq_warp(const nb_node *n)
{
    const nb_fq_priv *p = n->priv;
    if (!p->warped)
        return;
    const nb_warping w = warping(n);
    if (w.param && !has_begun(n, 0)) /* it begins with the weights themselves */
        memcpy(p->warped, w.w, (size_t)w.n * sizeof *w.w);
    else
        ((const nb_fakequant_attr *)n->attr)->learning->warp(&w, p->warped);
}

void nb_fq_unwarp(const nb_node *n, const float *dy, bool learns)
{
    const nb_warping w = warping(n);
    ((const nb_fakequant_attr *)n->attr)
        ->learning->unwarp(&w, dy, n->in[0]->out.grad, learns ? n->in[2]->out.grad : NULL);
}

void nb_fq_learned_book(const nb_node *n, nb_qparams *q, float scale)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    if (!a->learning->book)
        return;
    nb_grid *g = &p->grid;
    g->level = p->level;
    g->n_levels = a->learning->book(g, scale > 0 && has_begun(n, 0) ? row(n, 0) : NULL, scale, p->level);
    g->hi = NB_MOST_LEVEL;
    g->lo = -g->hi;
    nb_k_levels(&p->levels, p->level, g->n_levels);
    q->n_levels = g->n_levels;
}

bool nb_fq_learning(const nb_node *n)
{
    if (!nb_fakequant_can_learn(n))
        return false;
    for (int32_t r = 0; r < nb_fq_rows(n); r++)
        if (!has_begun(n, r))
            return false;
    return true;
}

void nb_fq_learned_begin(const nb_node *n, int32_t r, const nb_observation *seen)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    const bool anew = seen->calibration > 0;
    if (!nb_fakequant_can_learn(n) || !nb_fq_seen(n, r) || (has_begun(n, r) && !anew))
        return;
    const nb_values weights = {nb_fq_stored, n->in[0]->out.data};
    nb_learn_start s = {.grid = &p->grid, .values = p->warped ? &weights : &seen->values, .n = seen->n};
    a->range->params(a->range_attr, nb_fq_state(n, r), &p->grid, &s.scale, &s.zero);
    a->learning->init(a->learning_attr, &s, row(n, r));
    nb_fq_warp(n); /* by what has just begun */
}

void nb_fq_learned_params(const nb_node *n, int32_t r, float *scale, int32_t *zero)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    const nb_learning *l = a->learning;
    const bool constant = l->n_state == 0;
    if (!l->scale || (!constant && !has_begun(n, r)))
        return;
    const float *param = constant ? NULL : row(n, r), least = constant ? 0 : *scale / MOST;
    *scale = nb_grid_scale(&p->grid, fmaxf(l->scale(a->learning_attr, param, &p->grid), least));
    if (l->zero)
        *zero = l->zero(a->learning_attr, param, &p->grid, *scale);
}

bool nb_fakequant_learns(const nb_node *n, const nb_run *r)
{
    return nb_fakequant_can_learn(n) && !r->freeze_ranges && n->in[2]->out.grad;
}

void nb_fakequant_learn_start(const nb_node *n, int64_t part)
{
    const nb_fq_priv *p = n->priv;
    memset(p->lane + part * p->n_lanes, 0, (size_t)p->n_lanes * sizeof *p->lane);
}

void nb_fakequant_learn_rows(const nb_node *n, int64_t part, const float *x, const nb_kmap *m, const float *dy,
                             int64_t rows, int32_t c)
{
    const nb_fq_priv *p = n->priv;
    const int64_t channel = p->q.n > 1 ? part * nb_fq_group(n) : 0;
    double *lane = p->lane + part * p->n_lanes;
    if (p->grid.real) {
        nb_k_scale_grad_reals(lane, dy, x, p->q.scale[channel], &p->reals, rows * c);
        return;
    }
    if (p->grid.n_levels) {
        nb_klevels own;
        const nb_klevels *t = nb_fq_levels(n, p->q.n > 1 ? (int32_t)part : 0, &own);
        nb_k_scale_grad_levels(lane, dy, x, p->q.scale[channel], t, rows * c);
        return;
    }
    const nb_kgrid g = {p->q.scale[channel], p->q.zero[channel], p->q.lo, p->q.hi};
    if (p->n_lanes == NB_END_LANES)
        nb_k_end_grads(lane, dy, x, m, &g, rows, c);
    else
        nb_k_scale_grad(lane, dy, x, m, &g, rows, c);
}

/* The values of a scale that lie apart. */
static void learn_apart(const nb_node *n, int64_t part)
{
    enum { BLOCK = 256 };
    const nb_fq_slice s = nb_fq_slice_of(n, (int32_t)part);
    float x[BLOCK], dy[BLOCK];
    nb_fakequant_learn_start(n, part);
    for (int64_t at = 0; at < s.count; at += BLOCK) {
        const int64_t k = s.count - at < BLOCK ? s.count - at : BLOCK;
        nb_fakequant_learn_rows(n, part, nb_fq_gather(x, nb_fq_values(n), &s, at, k), NULL,
                                nb_fq_gather(dy, n->out.grad, &s, at, k), k, 1);
    }
}

static void learn_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    int64_t first;
    if (((const nb_fakequant_attr *)n->attr)->per_last) {
        learn_apart(n, part);
        return;
    }
    const int64_t count = part_rows(n, part, &first);
    const bool values = is_batched(n); /* rows are pixels; of weights, output channels */
    const int64_t c = values ? nb_channels(&n->out) : nb_count(&n->out) / n->out.shape.d[0];
    nb_fakequant_learn_start(n, part);
    nb_fakequant_learn_rows(n, part, nb_fq_values(n) + first, NULL, n->out.grad + first, count / c, (int32_t)c);
}

static void add_lanes(nb_learn_sums *s, const double *lane, bool ends)
{
    for (int32_t k = 0; k < NB_SCALE_LANES; k++) {
        s->by_scale += lane[k];
        s->above += ends ? lane[NB_SCALE_LANES + k] : 0;
        s->below += ends ? lane[2 * NB_SCALE_LANES + k] : 0;
    }
}

void nb_fakequant_learn(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    const int64_t parts = parts_of(n), count = nb_count(&n->out);
    const int64_t images = a->weights ? 1 : n->out.shape.d[0];
    nb_learn_sums s = {0};
    if (is_batched(n) && !has_many(n))
        nb_gather_parts(n->cut, &(nb_gathered){p->lane, (size_t)p->n_lanes * sizeof *p->lane}, 1);
    for (int64_t part = 0; part < parts; part++) {
        add_lanes(&s, p->lane + part * p->n_lanes, a->learning->ends);
        if (!has_many(n) && part + 1 < parts)
            continue;
        const int32_t r = has_many(n) ? (int32_t)part : 0;
        const int64_t channel = p->q.n > 1 ? (int64_t)r * nb_fq_group(n) : 0;
        s.n = (has_many(n) ? nb_fq_slice_of(n, r).count : count) / images;
        s.scale = p->q.scale[channel];
        s.zero = p->q.zero[channel];
        a->learning->backward(a->learning_attr, &p->grid, &s, row(n, r),
                              n->in[2]->out.grad + (int64_t)r * a->learning->n_state);
        s = (nb_learn_sums){0};
    }
}

void nb_fq_learned_backward(nb_node *n)
{
    if (is_batched(n) && !has_many(n))
        nb_cut_run(n->cut, learn_part, n);
    else
        nb_parallel_for(parts_of(n), learn_part, n);
    nb_fakequant_learn(n);
}
