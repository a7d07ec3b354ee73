/* table_layers.c - what a graph or an integer model is made of: shapes, bits, parameters, MACs, bytes. */
#include "report/tables.h"

#include <nibble/extend/quant.h>

#include "base/check.h"
#include "lower/intcheck.h"
#include "lower/intfile.h"

#include <stdio.h>

static void shape_of_image(const nb_shape *s, char *buf, size_t len)
{
    nb_shape image = {.ndim = s->ndim - 1};
    for (int32_t i = 1; i < s->ndim; i++)
        image.d[i - 1] = s->d[i];
    nb_shape_text(&image, buf, len);
}

/* The leaf behind a fake-quant node, or the leaf itself; NULL when x is a value. */
static const nb_node *leaf_behind(const nb_node *x)
{
    const bool weights = x->op->role == NB_ROLE_QUANTIZER && nb_fakequant_of_weights(x);
    const nb_node *leaf = x;
    while (weights && !(leaf->flags & NB_NODE_LEAF))
        leaf = leaf->in[0];
    return leaf->flags & NB_NODE_LEAF ? leaf : NULL;
}

static int32_t bits_after(const nb_graph *g, const nb_node *n)
{
    if (!g->quantized)
        return n->out.dtype == NB_F32 ? 32 : 8;
    if (n->out.q)
        return n->out.q->bits;
    for (int32_t i = n->id + 1; i < g->n; i++)
        if (g->node[i]->op->role == NB_ROLE_QUANTIZER && g->node[i]->in[0] == n)
            return g->node[i]->out.q->bits;
    return g->loss && g->loss->in[0] == n ? 32 : 0;
}

static void fill_row(const nb_graph *g, const nb_node *n, nb_layer_row *r)
{
    *r = (nb_layer_row){.kind = n->op->name, .macs = n->op->macs ? n->op->macs(n) : 0};
    snprintf(r->name, sizeof r->name, "%s", n->name);
    shape_of_image(&n->out.shape, r->output, sizeof r->output);
    r->output_bits = bits_after(g, n);
    for (int32_t k = 0; k < n->n_in; k++) {
        const nb_node *leaf = leaf_behind(n->in[k]);
        if (!leaf)
            continue;
        int64_t count = nb_count(&leaf->out);
        bool weight = k == 1 && n->op->role == NB_ROLE_MAC;
        if (leaf->flags & NB_NODE_PARAM)
            r->parameters += count;
        int64_t exponents = 0;
        if (weight) {
            const int32_t block = n->in[k]->out.q ? n->in[k]->out.q->block : 0, channels = leaf->out.shape.d[0];
            exponents = block > 0 ? channels * ((count / channels + block - 1) / block) : 0;
            r->weight_bits = n->in[k]->out.q ? n->in[k]->out.q->bits : 32;
            r->levels = n->in[k]->out.q ? n->in[k]->out.q->n_levels : 0;
        }
        r->bytes += weight ? (count * r->weight_bits + exponents * NB_PACK_EXPONENT_BITS + 7) / 8 : 4 * count;
    }
}

nb_status nb_layers_of_graph(const nb_graph *g, nb_layer_rows *out)
{
    nb_layer_rows l = {.rows = nb_alloc(g->ctx, (size_t)g->n * sizeof *l.rows)};
    if (!l.rows)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        bool layer = !(n->flags & NB_NODE_LEAF) && !(n->op->flags & NB_OP_INTERNAL) && n->op->role != NB_ROLE_LOSS;
        if (layer)
            fill_row(g, n, &l.rows[l.n++]);
    }
    *out = l;
    return NB_OK;
}

/* Bits of the smallest signed integer that holds -bound..bound. */
static int32_t signed_bits(int64_t bound)
{
    int32_t bits = 1;
    while (bound >> (bits - 1))
        bits++;
    return bits;
}

nb_status nb_layers_of_integers(nb_ctx *ctx, const nb_intmodel *m, nb_layer_rows *out)
{
    nb_layer_rows l = {.rows = nb_alloc(ctx, (size_t)m->e.n_steps * sizeof *l.rows)};
    if (!l.rows)
        return NB_E_NOMEM;
    for (l.n = 0; l.n < m->e.n_steps; l.n++) {
        const nb_estep *e = &m->e.steps[l.n];
        const nb_sinfo *i = &m->steps[l.n];
        const nb_etensor *y = &m->e.tensors[e->out];
        nb_layer_row *r = &l.rows[l.n];
        *r = (nb_layer_row){.kind = nb_step_names[e->kind], .weight_bits = i->weight_bits, .macs = i->macs};
        snprintf(r->name, sizeof r->name, "%s", i->name);
        snprintf(r->output, sizeof r->output, "%dx%dx%d", y->h, y->w, y->c);
        r->output_bits = m->tensors[e->out].bits;
        r->bytes = 256 * (int64_t)nb_estep_tables(e, y);
        if (e->kind == NB_STEP_CONV) {
            const int64_t weights = nb_estep_weights(e), channels = e->geom.oc;
            r->parameters = weights + channels;
            r->acc_bits = signed_bits(i->acc_bound);
            r->levels = i->n_levels;
            const nb_stream p = nb_stream_of(e, i);
            r->bytes = (i->packing == NB_PACKING_CODES
                            ? (weights * i->weight_bits + 7) / 8
                            : (int64_t)nb_stream_bytes(&p) + (int64_t)i->n_tables * i->n_levels + i->n_low) +
                       (e->mult ? 12 : 4) * channels;
        }
    }
    *out = l;
    return NB_OK;
}

nb_layer_row nb_layers_total(const nb_layer_rows *l)
{
    nb_layer_row t = {.name = "all"};
    for (int32_t i = 0; i < l->n; i++) {
        t.parameters += l->rows[i].parameters;
        t.macs += l->rows[i].macs;
        t.bytes += l->rows[i].bytes;
    }
    return t;
}

static void add_bits(nb_table *t, int32_t bits)
{
    if (bits > 0)
        nb_table_add_int(t, bits);
    else
        nb_table_add_blank(t);
}

static void add_cells(nb_table *t, const nb_layer_row *r, bool levels, bool integers)
{
    nb_table_add_text(t, r->name);
    nb_table_add_text(t, r->kind ? r->kind : "");
    nb_table_add_text(t, r->output);
    add_bits(t, r->weight_bits);
    if (levels)
        add_bits(t, r->levels);
    add_bits(t, r->output_bits);
    if (integers)
        add_bits(t, r->acc_bits);
    nb_table_add_int(t, r->parameters);
    nb_table_add_int(t, r->macs);
    nb_table_add_int(t, r->bytes);
}

nb_status nb_table_of_layers(nb_ctx *ctx, const nb_layer_rows *l, nb_table **out)
{
    nb_table *t;
    bool integers = false, levels = false;
    for (int32_t i = 0; i < l->n; i++) {
        integers |= l->rows[i].acc_bits > 0;
        levels |= l->rows[i].levels > 0;
    }
    NB_TRY(nb_table_create(ctx, &t));
    nb_table_column(t, "layer", "layer", NB_LEFT);
    nb_table_column(t, "kind", "kind", NB_LEFT);
    nb_table_column(t, "output", "output", NB_LEFT);
    nb_table_column(t, "weight_bits", "weight bits", NB_RIGHT);
    if (levels)
        nb_table_column(t, "levels", "levels", NB_RIGHT);
    nb_table_column(t, "output_bits", "output bits", NB_RIGHT);
    if (integers)
        nb_table_column(t, "accumulator_bits", "accumulator bits", NB_RIGHT);
    nb_table_column(t, "parameters", "parameters", NB_RIGHT);
    nb_table_column(t, "macs", "MACs", NB_RIGHT);
    nb_table_column(t, "bytes", "bytes", NB_RIGHT);
    for (int32_t i = 0; i < l->n; i++) {
        nb_table_row(t);
        add_cells(t, &l->rows[i], levels, integers);
    }
    const nb_layer_row all = nb_layers_total(l);
    nb_table_footer(t);
    add_cells(t, &all, levels, integers);
    *out = t;
    return NB_OK;
}
