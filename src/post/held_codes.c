/* held_codes.c - see held_codes.h. */
#include "post/held_codes.h"

#include "post/paired.h"
#include "quant/fakequant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool refuse(const nb_node *mac, char *why, size_t size)
{
    const nb_node *fq = mac->in[1];
    int8_t level[256];
    float real[256];
    const nb_fakequant_attr *a = fq->attr;
    if (!nb_is_quantizer(fq)) {
        snprintf(why, size, "they are not quantized");
        return true;
    }
    nb_grid grid = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, true, level);
    nb_grid_take_reals(&grid, real);
    if (a->format->book || a->format->edges || a->format->blocks || grid.level || grid.real)
        snprintf(why, size, "format %s has not every integer as a code; uniform, pow2 or fixed would do",
                 a->format->name);
    else if (a->learning->warp)
        snprintf(why, size, "learn: %s quantizes what it makes of them; none or lsq would do", a->learning->name);
    else if (a->per_last)
        snprintf(why, size, "granularity full has several scales in a filter; channel or tensor would do");
    else if (!(fq->in[0]->flags & NB_NODE_LEAF))
        snprintf(why, size, "batchnorm: fold_corrected makes them anew from the statistics; fold or keep would do");
    else
        return false;
    return true;
}

bool nb_codes_refuse(const nb_graph *g, char *why, size_t size)
{
    char reason[192];
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->op->role == NB_ROLE_MAC && refuse(g->node[i], reason, sizeof reason)) {
            snprintf(why, size, "weights of %s: %s", g->node[i]->name, reason);
            return true;
        }
    return false;
}

int32_t nb_codes_bits(const nb_node *mac)
{
    const nb_node *fq = mac->in[1];
    return nb_is_quantizer(fq) ? ((const nb_fakequant_attr *)fq->attr)->bits : INT32_MAX;
}

void nb_codes_read_grid(const nb_node *mac, const nb_codes_grid *out)
{
    const nb_qparams *q = mac->in[1]->out.q;
    for (int32_t k = 0; k < mac->in[1]->out.shape.d[0]; k++) {
        const int32_t at = q->n == 1 ? 0 : k;
        out->step[k] = q->scale[at];
        out->first[k] = q->lo - q->zero[at];
        out->last[k] = q->hi - q->zero[at];
    }
}

/* Does rounding to nearest make these codes of what was written? A scale that keeps sums in 32 bits depends on them. */
static bool holds(const nb_node *mac, const float *w)
{
    nb_node *fq = mac->in[1];
    const nb_qparams *q = fq->out.q;
    const int64_t count = nb_codes_count(mac), each = count / q->n;
    fq->op->forward(fq, &(nb_run){0});
    for (int64_t i = 0; i < count; i++) {
        float buf;
        if (fabsf(*nb_pair_floats(&buf, fq, i, 1) - w[i]) > 0.25f * q->scale[i / each])
            return false;
    }
    return true;
}

bool nb_codes_write(const nb_node *mac, const float *step, const int32_t *code, float *before)
{
    float *w = nb_codes_leaf(mac);
    const int64_t filters = mac->in[1]->out.shape.d[0], size = nb_codes_count(mac) / filters;
    memcpy(before, w, (size_t)nb_codes_count(mac) * sizeof *w);
    for (int64_t c = 0; c < filters; c++)
        for (int64_t i = c * size; i < (c + 1) * size; i++)
            w[i] = step[c] * (float)code[i];
    if (holds(mac, w))
        return true;
    nb_codes_take_back(mac, before);
    return false;
}

void nb_codes_take_back(const nb_node *mac, const float *before)
{
    memcpy(nb_codes_leaf(mac), before, (size_t)nb_codes_count(mac) * sizeof *before);
}
