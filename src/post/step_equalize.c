/* step_equalize.c - cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721, section 4.1; white paper 3.2).
 *
 * Where f(s x) = s f(x), a channel's values may be divided by s > 0 where they arise and the weights that read them
 * multiplied by it: the network computes the same, but its channels share one grid better. So
 *
 *   source -> [relu, pools, flatten, dropout] -> MAC       s = sqrt(r1 / r2), after which both ranges are sqrt(r1 r2)
 *   MAC -> depthwise MAC -> MAC                            all three ranges become (r1 r2 r3)^(1/3), in one go
 *
 * with r2 the largest |weight| that reads the channel, and r1 that of what is quantized at the source:
 *   a MAC            its weights, as nothing behind it undoes their scale: the channel's filter and bias are divided
 *   a batch norm     its output: gamma and beta are divided, what stands before it is not touched. The range is max(beta,
 *                    0) + 6 |gamma| before a relu, |beta| + 6 |gamma| elsewhere (white paper 3.1, ranges without data),
 *                    in units in which the median of r1 / r2 is 1: weights and activations share no grid
 * (batchnorm: fold leaves MACs only, with gamma in their weights: this is the method of the paper.)
 *
 * A batch norm that is kept takes the scale of each filter in front of it out again, so those are free: they all get
 * the range of the median one, and the running statistics are what such filters give: mean times a, var times a^2;
 * gamma makes up for eps, so that evaluation is the same but for rounding.
 *
 * Nothing goes across a relu with a cap (one for all channels), a join, a value with several readers, the input. All is
 * done in sweeps until no channel moves by more than TOLERANCE; what is that equal already keeps its bits. Serial code:
 * the same for any number of threads. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include "base/check.h"
#include "base/numtext.h"
#include "core/oihw.h"
#include "post/links.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-3
#define SIGMAS    6.0
#define LIMIT     65536.0 /* a channel moves by at most so much, 2^16, over all sweeps: what would is as good as dead */

typedef struct {
    int32_t iterations;
} equalize_attr;

extern const nb_post_step nb_post_step_equalize;

static const nb_key equalize_keys[] = {
    NB_KEY_INT(equalize_attr, iterations, "20", 1, 1000, "sweeps over the network at most; it stops when all is equal"),
    {0}};

/* A source, its only reader behind what may be crossed, and both ranges. */
typedef struct {
    nb_link at;                       /* source NULL: nothing to do */
    int32_t triplet;                  /* source of the link that goes on from this depthwise sink: its index, or -1 */
    bool inner;                       /* second link of a triplet */
    double *moved, *r1, *r2, *sorted; /* [channels]: product of s so far; work space */
    double before;
} link;

/* Filters in front of a batch norm. */
typedef struct {
    const nb_node *mac, *norm;
    double *moved, *range, *sorted; /* [channels], as in a link */
    double before;
} filters;

typedef struct {
    const nb_post_input *in;
    link *link;
    filters *free;
    int32_t n_links, n_free;
    double change; /* largest |log s| of this sweep */
} work;

/* ---- weights ---- */

/* Largest |weight| of each filter. */
static void filter_ranges(double *r, const nb_node *mac)
{
    const float *w = mac->in[1]->out.data;
    const int64_t size = nb_link_filter_size(mac);
    for (int32_t c = 0; c < mac->in[1]->out.shape.d[0]; c++) {
        r[c] = 0;
        for (int64_t k = 0; k < size; k++)
            r[c] = fmax(r[c], fabs((double)w[c * size + k]));
    }
}

static void scale_filter(const nb_node *mac, int32_t c, double by)
{
    float *w = (float *)mac->in[1]->out.data + c * nb_link_filter_size(mac);
    for (int64_t k = 0; k < nb_link_filter_size(mac); k++)
        w[k] = (float)((double)w[k] * by);
    if (mac->n_in > 2)
        ((float *)mac->in[2]->out.data)[c] = (float)((double)((float *)mac->in[2]->out.data)[c] * by);
}

static void sink_ranges(double *range, const link *l)
{
    const float *w = l->at.sink->in[1]->out.data;
    const nb_link_reader r = nb_link_reader_of(l->at.sink, l->at.channels);
    memset(range, 0, (size_t)l->at.channels * sizeof *range);
    for (int32_t o = 0; o < r.filters; o++)
        for (int64_t i = 0; i < r.size; i++) {
            double *at = &range[nb_link_channel_read(&r, o, i)];
            *at = fmax(*at, fabs((double)w[o * r.size + i]));
        }
}

static void source_ranges(double *r, const link *l)
{
    if (!nb_link_is_norm(l->at.source)) {
        filter_ranges(r, l->at.source);
        return;
    }
    const float *gamma = nb_link_leaf(l->at.source, "gamma"), *beta = nb_link_leaf(l->at.source, "beta");
    for (int32_t c = 0; c < l->at.channels; c++)
        r[c] = SIGMAS * fabs((double)gamma[c]) + fmax(l->at.relu ? 0.0 : -(double)beta[c], (double)beta[c]);
}

static void scale_source(const link *l, int32_t c, double by)
{
    if (!nb_link_is_norm(l->at.source)) {
        scale_filter(l->at.source, c, by);
        return;
    }
    float *gamma = nb_link_leaf(l->at.source, "gamma"), *beta = nb_link_leaf(l->at.source, "beta");
    gamma[c] = (float)((double)gamma[c] * by);
    beta[c] = (float)((double)beta[c] * by);
}

static void scale_sink(const link *l, const double *by)
{
    float *w = l->at.sink->in[1]->out.data;
    const nb_link_reader r = nb_link_reader_of(l->at.sink, l->at.channels);
    for (int32_t o = 0; o < r.filters; o++)
        for (int64_t i = 0; i < r.size; i++) {
            const double s = by[nb_link_channel_read(&r, o, i)];
            w[o * r.size + i] = s == 1.0 ? w[o * r.size + i] : (float)((double)w[o * r.size + i] * s);
        }
}

/* ---- what belongs together ---- */

static bool is_depthwise(const nb_node *mac)
{
    return mac->out.shape.ndim == 4 && mac->in[1]->out.shape.d[3] == 1 &&
           mac->in[1]->out.shape.d[0] == nb_channels(&mac->in[0]->out);
}

/* A depthwise MAC between two links has one range per channel for both: they are one triplet. */
static void find_triplets(work *k)
{
    for (int32_t i = 0; i < k->n_links; i++)
        for (int32_t j = 0; j < k->n_links; j++) {
            link *a = &k->link[i], *b = &k->link[j];
            if (!a->at.source || a->inner || b->at.source != a->at.sink || !is_depthwise(a->at.sink))
                continue;
            a->triplet = j;
            b->inner = true;
        }
}

/* n of each array, the first filled with ones. */
static nb_status room(const work *k, int32_t n, double **ones, double **a, double **b, double **c)
{
    *ones = nb_alloc(k->in->graph->ctx, 4 * (size_t)n * sizeof **ones);
    if (!*ones)
        return NB_E_NOMEM;
    *a = *ones + n;
    *b = *a + n;
    *c = *b + n;
    for (int32_t i = 0; i < n; i++)
        (*ones)[i] = 1;
    return NB_OK;
}

static nb_status find_all(work *k)
{
    nb_graph *g = k->in->graph;
    k->link = nb_alloc(g->ctx, (size_t)g->n * sizeof *k->link);
    k->free = nb_alloc(g->ctx, (size_t)g->n * sizeof *k->free);
    if (!k->link || !k->free)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i], *r = nb_node_only_reader(g, n);
        if (n->op->role != NB_ROLE_MAC)
            continue;
        link *l = &k->link[k->n_links++];
        *l = (link){.at = nb_link_find(g, n), .triplet = -1};
        NB_TRY(room(k, l->at.channels, &l->moved, &l->r1, &l->r2, &l->sorted));
        if (!r || !nb_link_is_norm(r) || !nb_leaf_of(r, "mean") || !nb_leaf_of(r, "var") ||
            !nb_bound_key(r, "eps", NB_K_FLOAT))
            continue;
        filters *f = &k->free[k->n_free++];
        double *unused;
        *f = (filters){.mac = n, .norm = r};
        NB_TRY(room(k, nb_channels(&n->out), &f->moved, &f->range, &f->sorted, &unused));
    }
    find_triplets(k);
    return NB_OK;
}

/* ---- one sweep ---- */

/* s as it will be applied: 1 where there is nothing to gain or nothing to scale, and never beyond the limit. */
static double settle(work *k, double s, double *moved)
{
    if (!(s > 0) || !isfinite(s))
        return 1;
    s = fmin(fmax(s, 1 / (LIMIT * *moved)), LIMIT / *moved);
    if (fabs(s - 1) < TOLERANCE)
        return 1;
    *moved *= s;
    k->change = fmax(k->change, fabs(log(s)));
    return s;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of those that are positive numbers; 0 when there are none. Sorts v. */
static double median(double *v, int32_t n)
{
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++)
        if (v[i] > 0 && isfinite(v[i]))
            v[m++] = v[i];
    qsort(v, (size_t)m, sizeof *v, by_size);
    return m ? v[m / 2] : 0;
}

static void sweep_filters(work *k, const filters *f)
{
    const int32_t n = nb_channels(&f->mac->out);
    float *gamma = nb_link_leaf(f->norm, "gamma"), *mean = nb_link_leaf(f->norm, "mean");
    float *var = nb_link_leaf(f->norm, "var");
    const double eps = (double)*(const float *)nb_bound_key(f->norm, "eps", NB_K_FLOAT);
    filter_ranges(f->range, f->mac);
    memcpy(f->sorted, f->range, (size_t)n * sizeof(double));
    const double target = median(f->sorted, n);
    for (int32_t c = 0; c < n; c++) {
        const double a = settle(k, target / f->range[c], &f->moved[c]);
        if (a == 1)
            continue;
        const double was = (double)var[c] + eps;
        scale_filter(f->mac, c, a);
        mean[c] = (float)((double)mean[c] * a);
        var[c] = (float)((double)var[c] * a * a);
        gamma[c] = (float)((double)gamma[c] * sqrt((double)var[c] + eps) / (a * sqrt(was)));
    }
}

/* Both ranges of a link, in units that can be compared. */
static void measure(const link *l)
{
    source_ranges(l->r1, l);
    sink_ranges(l->r2, l);
    if (!nb_link_is_norm(l->at.source))
        return;
    for (int32_t c = 0; c < l->at.channels; c++)
        l->sorted[c] = l->r1[c] / l->r2[c];
    const double unit = median(l->sorted, l->at.channels);
    for (int32_t c = 0; c < l->at.channels && unit > 0; c++)
        l->r1[c] /= unit;
}

static void sweep_pair(work *k, const link *l)
{
    measure(l);
    for (int32_t c = 0; c < l->at.channels; c++) {
        const double s = settle(k, sqrt(l->r1[c] / l->r2[c]), &l->moved[c]);
        if (s != 1)
            scale_source(l, c, 1 / s);
        l->r1[c] = s;
    }
    scale_sink(l, l->r1);
}

static void sweep_triplet(work *k, const link *a, const link *b)
{
    measure(a);
    sink_ranges(b->r2, b);
    for (int32_t c = 0; c < a->at.channels; c++) {
        const double r = cbrt(a->r1[c] * a->r2[c] * b->r2[c]);
        const double s1 = settle(k, a->r1[c] / r, &a->moved[c]), s2 = settle(k, r / b->r2[c], &b->moved[c]);
        if (s1 != 1)
            scale_source(a, c, 1 / s1);
        a->r1[c] = s1;
        b->r1[c] = s2;
    }
    scale_sink(a, a->r1);
    for (int32_t c = 0; c < a->at.channels; c++)
        if (b->r1[c] != 1)
            scale_filter(a->at.sink, c, 1 / b->r1[c]);
    scale_sink(b, b->r1);
}

static int32_t sweep(work *k, int32_t most)
{
    int32_t done = 0;
    for (; done < most; done++) {
        k->change = 0;
        for (int32_t i = 0; i < k->n_free; i++)
            sweep_filters(k, &k->free[i]);
        for (int32_t i = 0; i < k->n_links; i++) {
            const link *l = &k->link[i];
            if (!l->at.source || l->inner)
                continue;
            if (l->triplet >= 0)
                sweep_triplet(k, l, &k->link[l->triplet]);
            else
                sweep_pair(k, l);
        }
        if (k->change == 0)
            break;
    }
    return done;
}

/* ---- what is said ---- */

/* Largest by smallest, of channels that have any. */
static double ratio(const double *r, int32_t n)
{
    double low = INFINITY, high = 0;
    for (int32_t c = 0; c < n; c++) {
        low = r[c] > 0 ? fmin(low, r[c]) : low;
        high = fmax(high, r[c]);
    }
    return high > 0 ? high / low : 1;
}

static double link_ratio(const link *l)
{
    measure(l);
    return fmax(ratio(l->r1, l->at.channels), ratio(l->r2, l->at.channels));
}

static double filter_ratio(const filters *f)
{
    filter_ranges(f->range, f->mac);
    return ratio(f->range, nb_channels(&f->mac->out));
}

static void remember_ratios(const work *k)
{
    for (int32_t i = 0; i < k->n_links; i++)
        k->link[i].before = k->link[i].at.source ? link_ratio(&k->link[i]) : 1;
    for (int32_t i = 0; i < k->n_free; i++)
        k->free[i].before = filter_ratio(&k->free[i]);
}

static void say_link(const work *k, const link *l)
{
    char text[NB_POST_SUMMARY];
    nb_post_row row = {.layer = l->at.sink->name, .text = text, .done = l->at.source != NULL};
    if (l->at.source) {
        const bool triplet = l->inner || l->triplet >= 0;
        snprintf(text, sizeof text, "with %s%s", l->at.source->name, triplet ? ", part of a depthwise triplet" : "");
        row.before = l->before;
        row.after = link_ratio(l);
    } else if (l->at.stop->op->role == NB_ROLE_INPUT) {
        snprintf(text, sizeof text, "reads the images");
    } else {
        snprintf(text, sizeof text, "not across %s, %s", l->at.stop->name, l->at.why);
    }
    nb_post_say(k->in, &nb_post_step_equalize, &row);
}

static void say_all(const work *k, int32_t sweeps, char *summary)
{
    int32_t pairs = 0, triplets = 0, not_crossed = 0;
    double before = 1, after = 1;
    for (int32_t i = 0; i < k->n_links; i++) {
        const link *l = &k->link[i];
        say_link(k, l);
        triplets += l->triplet >= 0;
        pairs += l->at.source && l->triplet < 0 && !l->inner;
        not_crossed += !l->at.source && l->at.stop->op->role != NB_ROLE_INPUT;
        before = fmax(before, l->before);
        after = l->at.source ? fmax(after, link_ratio(l)) : after;
    }
    for (int32_t i = 0; i < k->n_free; i++) {
        const filters *f = &k->free[i];
        char text[NB_POST_SUMMARY];
        const double now = filter_ratio(f);
        snprintf(text, sizeof text, "its filters, before %s", f->norm->name);
        nb_post_say(k->in, &nb_post_step_equalize, &(nb_post_row){f->mac->name, text, true, f->before, now});
        before = fmax(before, f->before);
        after = fmax(after, now);
    }
    int at = snprintf(summary, NB_POST_SUMMARY,
                      "%d pair%s, %d depthwise triplet%s, filters before %d batch norm%s, %d sweep%s%s; largest ratio "
                      "of channel ranges %.3g -> %.3g",
                      pairs, nb_plural(pairs), triplets, nb_plural(triplets), k->n_free, nb_plural(k->n_free), sweeps,
                      nb_plural(sweeps), k->change > 0 ? " (not settled)" : "", before, after);
    if (not_crossed && at > 0 && at < NB_POST_SUMMARY)
        snprintf(summary + at, (size_t)(NB_POST_SUMMARY - at), "; %d layer%s could not be paired", not_crossed,
                 nb_plural(not_crossed));
}

static nb_status equalize_run(const nb_post_input *in, const void *attr, char *summary)
{
    nb_ctx *ctx = in->graph->ctx;
    work k = {.in = in};
    nb_status st = find_all(&k);
    if (st == NB_OK) {
        remember_ratios(&k);
        const int32_t sweeps = sweep(&k, ((const equalize_attr *)attr)->iterations);
        say_all(&k, sweeps, summary);
    }
    for (int32_t i = 0; i < k.n_links; i++)
        nb_free(ctx, k.link[i].moved);
    for (int32_t i = 0; i < k.n_free; i++)
        nb_free(ctx, k.free[i].moved);
    nb_free(ctx, k.link);
    nb_free(ctx, k.free);
    return st;
}

const nb_post_step nb_post_step_equalize = {
    .name = "equalize",
    .help = "cross-layer equalization: scales channels from layer to layer until they share one grid better; the "
            "float network computes the same",
    .keys = equalize_keys,
    .attr_size = sizeof(equalize_attr),
    .stage = NB_POST_FLOAT,
    .moves_weights = true,
    .measure = "ratio of ranges",
    .run = equalize_run,
    .examples = (const char *const[]){"equalize", "equalize: {iterations: 50}", NULL},
};
