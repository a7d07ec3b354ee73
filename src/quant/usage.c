/* usage.c - what the quantizers of a network are like: their ranges by name, whether images are needed for them, and how
 * many of the codes weights use. */
#include "quant/learned.h"

#include "base/check.h"
#include "base/textbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double ZERO_SHARE = 0.6, USED_SHARE = 0.25; /* beyond these a layer is named */

static const nb_fakequant_attr *quantizer(const nb_node *n)
{
    return nb_is_quantizer(n) ? n->attr : NULL;
}

static bool of_input(const nb_node *fq)
{
    return fq->in[0]->op->role == NB_ROLE_INPUT;
}

/* ---- which ranges ---- */

/* Bit b: a quantizer of b bits has this range. */
static uint32_t bits_with(const nb_graph *g, const nb_range *range, bool weights)
{
    uint32_t bits = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_fakequant_attr *a = quantizer(g->node[i]);
        if (a && a->range == range && a->weights == weights && !of_input(g->node[i]))
            bits |= 1u << a->bits;
    }
    return bits;
}

static void add(char *buf, size_t size, const char *text)
{
    const size_t at = strlen(buf);
    snprintf(buf + at, size - at, "%s", text);
}

void nb_quant_ranges_text(const nb_graph *g, char *buf, size_t size)
{
    buf[0] = '\0';
    for (int32_t part = 0; part < 2; part++) {
        bool any = false;
        for (int32_t i = 0; nb_ranges[i]; i++) {
            const uint32_t bits = bits_with(g, nb_ranges[i], part == 0);
            if (!bits)
                continue;
            add(buf, size, any ? ", " : *buf ? "; activations " : part ? "activations " : "weights ");
            add(buf, size, nb_ranges[i]->name);
            const char *before = " (";
            for (int32_t b = 0; b < 32; b++) {
                char number[24];
                snprintf(number, sizeof number, "%s%d", before, b);
                if (!(bits >> b & 1))
                    continue;
                add(buf, size, number);
                before = ", ";
            }
            add(buf, size, bits == 1u << 1 ? " bit)" : " bits)");
            any = true;
        }
    }
}

const nb_node *nb_quant_needs_data(const nb_graph *g)
{
    const nb_range *extremes = nb_registry_find(nb_ranges, "minmax"); /* those of pixels are known */
    for (int32_t i = 0; i < g->n; i++) {
        const nb_fakequant_attr *a = quantizer(g->node[i]);
        if (a && !a->weights && !a->range->data_free && !(of_input(g->node[i]) && a->range == extremes))
            return g->node[i];
    }
    return NULL;
}

bool nb_quant_data_free(const nb_graph *g)
{
    return !nb_quant_needs_data(g);
}

/* ---- how many bytes weights take ---- */

static bool symmetric(const nb_qparams *q)
{
    if (!q->level)
        return q->lo == -q->hi;
    for (int32_t t = 0; t < q->n_tables; t++)
        for (int32_t i = 0, last = q->n_levels - 1; i <= last; i++)
            if (q->level[t * q->n_levels + i] != -q->level[t * q->n_levels + last - i])
                return false;
    return true;
}

bool nb_quant_storage_settled(const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        const nb_fakequant_attr *a = quantizer(g->node[i]);
        const bool moves = a && a->weights && (a->format->book || (a->learning && a->learning->book));
        if (moves || (a && a->weights && !symmetric(g->node[i]->out.q)))
            return false;
    }
    return true;
}

/* ---- how many codes are used ---- */

typedef struct {
    const nb_node *fq;
    double zero; /* share of nonzero weights whose code is 0 */
    int32_t used, levels;
    double badness; /* > 1: to be named */
} usage;

/* How many codes there are with blocks: 0, and every mantissa at the finest step, at each coarser one those that are new, the
 * upper half. */
static int32_t codes_in_blocks(const nb_grid *g)
{
    const int32_t most = nb_grid_mantissas(g).hi;
    return 1 + 2 * (most + g->block.depth * (most - most / 2));
}

static void count_codes(const nb_node *fq, const int8_t *code, const nb_qparams *q, usage *u)
{
    const float *w = fq->in[0]->out.data;
    const int64_t n = nb_count(&fq->out);
    int64_t zeros = 0, nonzero = 0, seen[256] = {0};
    for (int64_t i = 0; i < n; i++) {
        seen[(uint8_t)code[i]]++;
        nonzero += w[i] != 0.0f;
        zeros += w[i] != 0.0f && code[i] == 0;
    }
    *u = (usage){.fq = fq, .zero = nonzero ? (double)zeros / (double)nonzero : 0};
    const nb_grid *g = &((const nb_fq_priv *)fq->priv)->grid;
    u->levels = q->level ? q->n_levels : q->block ? codes_in_blocks(g) : q->hi - q->lo + 1;
    for (int32_t i = 0; i < 256; i++)
        u->used += seen[i] > 0;
    const double could = nonzero < u->levels ? (double)nonzero : (double)u->levels;
    const double by_use = u->used ? USED_SHARE * could / u->used : 0, by_zero = u->zero / ZERO_SHARE;
    u->badness = by_use > by_zero ? by_use : by_zero;
}

static nb_status usage_of(const nb_graph *g, const nb_node *fq, usage *u)
{
    const size_t channels = (size_t)nb_fakequant_channels(fq);
    nb_qparams q = {.scale = nb_alloc(g->ctx, channels * sizeof *q.scale)};
    q.zero = nb_alloc(g->ctx, channels * sizeof *q.zero);
    int8_t *code = nb_alloc(g->ctx, (size_t)nb_count(&fq->out));
    nb_status st = q.scale && q.zero && code ? nb_fakequant_snapshot(g->ctx, fq, NULL, &q, code) : NB_E_NOMEM;
    if (st == NB_OK)
        count_codes(fq, code, &q, u);
    nb_free(g->ctx, code);
    nb_free(g->ctx, q.zero);
    nb_free(g->ctx, q.scale);
    return st;
}

static void describe(const usage *u, char *buf, size_t size)
{
    const nb_fakequant_attr *a = u->fq->attr;
    const bool mse = a->range == nb_registry_find(nb_ranges, "mse") || a->format->range; /* or no range can be named */
    const char *otherwise =
        a->format->min_bits && a->format->min_bits == a->format->max_bits ? "another format" : "more bits";
    char what[96];
    if (u->zero > ZERO_SHARE)
        snprintf(what, sizeof what, "%.0f %% of them become 0", 100 * u->zero);
    else
        snprintf(what, sizeof what, "they use %d of %d levels", u->used, u->levels);
    snprintf(buf, size, "%s: range %s leaves most codes of its %d-bit weights unused, %s; %s%s%s would help",
             u->fq->in[0]->name, a->range->name, a->bits, what, mse ? "" : "range: mse",
             mse || a->per_channel ? "" : " and ", a->per_channel ? (mse ? otherwise : "") : "granularity: channel");
}

/* Not where weights are no numbers. */
static bool observed(const nb_node *fq)
{
    for (int32_t c = 0; c < nb_fakequant_channels(fq); c++)
        if (!nb_fq_seen(fq, c))
            return false;
    return true;
}

nb_status nb_quant_unused_text(const nb_graph *g, char *buf, size_t size)
{
    usage worst = {.badness = 1};
    buf[0] = '\0';
    for (int32_t i = 0; i < g->n; i++) {
        const nb_fakequant_attr *a = quantizer(g->node[i]);
        usage u;
        if (!a || !a->weights || !observed(g->node[i]))
            continue;
        NB_TRY(usage_of(g, g->node[i], &u));
        if (u.badness > worst.badness)
            worst = u;
    }
    if (worst.fq)
        describe(&worst, buf, size);
    return NB_OK;
}
