/* learn_codebook.c - a codebook of weights whose entries are trained: 2^bits real numbers per layer, at any distance.
 *
 * A weight is the entry nearest to it, of two the first. The gradient of an entry is the sum of dL/dy over its weights,
 * divided by the root of the number of weights (LSQ's factor); a weight's is dL/dy straight through, but not beyond the
 * ends by more than half the mean distance of entries. They begin at equal distance over the range. As integers they are
 * what is nearest in units of the largest / 127, where two may be one; their index is stored. */
#include <nibble/extend/quant.h>

#include <math.h>
#include <stdlib.h>

enum { MAX_BITS = 4, MAX_ENTRIES = 1 << MAX_BITS };

static const nb_key codebook_keys[] = {NB_LEARNING_KEYS("1", "0"), {0}};

static const char *codebook_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (!g->weights)
        return "is for weights: for activations set learn: lsq, lsqplus or pact";
    if (site->per_channel)
        return "has one book per layer: set granularity: tensor";
    return g->bits <= MAX_BITS && !g->level && !g->real
               ? NULL
               : "has values in place of a grid: set bits to at most 4 and format: uniform";
}

static void codebook_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    const int32_t n = 1 << s->grid->bits;
    const float end = s->scale * (float)s->grid->hi;
    for (int32_t k = 0; k < n; k++)
        param[k] = end * (float)(2 * k - n + 1) / (float)(n - 1);
}

static float codebook_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    float most = 0;
    for (int32_t k = 0; k < 1 << g->bits; k++)
        most = fmaxf(most, fabsf(param[k]));
    return most / (float)g->hi;
}

static int compare(const void *a, const void *b)
{
    return *(const int8_t *)a - *(const int8_t *)b;
}

static int32_t codebook_book(const nb_grid *g, const float *param, float scale, int8_t *level)
{
    const int32_t n = 1 << g->bits;
    for (int32_t k = 0; k < n; k++) {
        const float most = NB_MOST_LEVEL, v = param ? param[k] / scale : most * (float)(2 * k - n + 1) / (float)(n - 1);
        level[k] = (int8_t)nearbyintf(fmaxf(-most, fminf(most, v)));
    }
    qsort(level, (size_t)n, 1, compare);
    int32_t distinct = 1;
    for (int32_t k = 1; k < n; k++)
        if (level[k] != level[distinct - 1])
            level[distinct++] = level[k];
    if (distinct > 1)
        return distinct;
    level[1] = (int8_t)(level[0] < 0 ? level[0] + 1 : level[0]); /* a table has two at least */
    level[0] = (int8_t)(level[1] - 1);
    return 2;
}

static int32_t nearest(const nb_warping *p, float w)
{
    int32_t best = 0;
    for (int32_t k = 1; k < 1 << p->grid->bits; k++)
        if (fabsf(w - p->param[k]) < fabsf(w - p->param[best]))
            best = k;
    return best;
}

static void codebook_warp(const nb_warping *p, float *y)
{
    for (int64_t i = 0; i < p->n; i++)
        y[i] = p->param[nearest(p, p->w[i])];
}

static void codebook_unwarp(const nb_warping *p, const float *dy, float *dw, float *dparam)
{
    const int32_t n = 1 << p->grid->bits;
    double sum[MAX_ENTRIES] = {0};
    float lo = p->param[0], hi = p->param[0];
    for (int32_t k = 1; k < n; k++) {
        lo = fminf(lo, p->param[k]);
        hi = fmaxf(hi, p->param[k]);
    }
    const float half = (hi - lo) / (float)(2 * (n - 1));
    for (int64_t i = 0; i < p->n; i++) {
        sum[nearest(p, p->w[i])] += (double)dy[i];
        dw[i] += p->w[i] >= lo - half && p->w[i] <= hi + half ? dy[i] : 0;
    }
    for (int32_t k = 0; dparam && k < n; k++)
        dparam[k] += (float)(sum[k] / sqrt((double)p->n));
}

const nb_learning nb_learning_codebook = {
    .name = "codebook",
    .help = "weights of 2 to 4 bits: the loss trains the 2^bits values of a layer (granularity: tensor)",
    .keys = codebook_keys,
    .attr_size = sizeof(nb_learning_keys),
    .n_state = MAX_ENTRIES,
    .refuses = codebook_refuses,
    .init = codebook_init,
    .scale = codebook_scale,
    .warp = codebook_warp,
    .unwarp = codebook_unwarp,
    .book = codebook_book};
