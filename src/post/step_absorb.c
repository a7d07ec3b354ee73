/* step_absorb.c - absorption of high biases (Nagel et al. 2019, arXiv:1906.04721, section 4.1.3).
 *
 * A channel whose values nearly all lie above some c > 0 before a relu wastes the codes below c, and equalization makes
 * such channels: it multiplies biases, too. Where x > c, relu(x - c) = relu(x) - c, so that
 *
 *   source -> relu -> [pools, flatten, dropout] -> MAC        source - c, and what the MAC then lacks, W c, is added there
 *
 * with c = max(0, mean - 3 deviations) of the channel: 99.87 % of a normal channel lie above it. Mean and deviation are a batch norm's
 * beta and |gamma|; of a MAC without one (batchnorm: fold) they are measured on the images. The source's bias, or beta,
 * takes c; W c goes to the MAC's bias, or out of the mean of the batch norm behind it, which then computes the same.
 *
 * Padding would be zeros that nobody has shifted: such a MAC is left out unless `padded` says that its borders do not
 * matter. Nothing goes across what links.h stops at, nor across a pool that pads. Sums are in double and serial, in order. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include "base/check.h"
#include "base/numtext.h"
#include "core/oihw.h"
#include "post/links.h"
#include "post/paired.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    float sigmas;
    bool padded;
} absorb_attr;

extern const nb_post_step nb_post_step_absorb;

static const nb_key absorb_keys[] = {
    NB_KEY_FLOAT(absorb_attr, sigmas, "3", 0, 100, "how many standard deviations below a channel's mean it is cut"),
    NB_KEY_BOOL(absorb_attr, padded, "no", "also into layers that pad with zeros, whose borders then change"),
    {0}};

typedef struct {
    const nb_post_input *in;
    const absorb_attr *a;
    int32_t layers, channels; /* done */
} work;

/* ---- where it may go ---- */

static bool pads(const nb_node *n)
{
    if (!n->op->window)
        return false;
    const nb_geom g = n->op->window(n);
    return !nb_geom_inside(&g);
}

/* The batch norm behind the sink whose mean can take W c, if there is no bias. */
static const nb_node *norm_behind(const nb_graph *g, const nb_node *sink)
{
    const nb_node *r = nb_node_only_reader(g, sink);
    return r && nb_link_is_norm(r) && nb_leaf_of(r, "mean") ? r : NULL;
}

/* Why nothing can be absorbed over the link, for people; NULL: it can. */
static const char *obstacle(const work *k, const nb_link *l)
{
    if (!l->relu)
        return "no relu stands before it";
    for (const nb_node *n = l->sink->in[0]; n != l->source; n = n->in[0])
        if (pads(n))
            return "a pool before it pads";
    if (pads(l->sink) && !k->a->padded)
        return "pads with zeros, which nothing would shift; `padded: yes` does it all the same";
    if (!nb_link_is_norm(l->source) && l->source->n_in < 3)
        return "what it reads has no bias to be absorbed";
    if (l->sink->n_in < 3 && !norm_behind(k->in->graph, l->sink))
        return "has neither bias nor batch norm to absorb into";
    return NULL;
}

/* ---- how much ---- */

/* Of a batch norm: from its parameters. */
static void cut_of_norm(const work *k, const nb_link *l, double *c)
{
    const float *gamma = nb_link_leaf(l->source, "gamma"), *beta = nb_link_leaf(l->source, "beta");
    for (int32_t i = 0; i < l->channels; i++)
        c[i] = fmax(0, (double)beta[i] - (double)k->a->sigmas * fabs((double)gamma[i]));
}

/* Of a MAC: from the images, with what was absorbed before it in place. */
static nb_status cut_of_mac(const work *k, const nb_link *l, double *c)
{
    nb_graph *g;
    NB_TRY(nb_pair_open_twin(k->in->graph, k->in->experiment, true, &g));
    const nb_pair p = {.floats = g, .data = k->in->data, .indices = k->in->indices, .n = k->in->n};
    nb_pair_moments m = {0};
    nb_status st = nb_pair_measure(&p, &l->source->name, 1, &m);
    for (int32_t i = 0; i < l->channels && st == NB_OK; i++)
        c[i] = fmax(0, m.floats_mean[i] - (double)k->a->sigmas * sqrt(m.floats_var[i]));
    nb_free(g->ctx, m.floats_mean);
    nb_graph_free(g);
    return st;
}

/* ---- doing it ---- */

static void subtract(const nb_link *l, const double *c)
{
    float *from = nb_link_is_norm(l->source) ? nb_link_leaf(l->source, "beta") : l->source->in[2]->out.data;
    for (int32_t i = 0; i < l->channels; i++)
        from[i] = (float)((double)from[i] - c[i]);
}

static void give_to_sink(const work *k, const nb_link *l, const double *c)
{
    const float *w = l->sink->in[1]->out.data;
    const nb_link_reader r = nb_link_reader_of(l->sink, l->channels);
    float *bias = l->sink->n_in > 2 ? l->sink->in[2]->out.data : NULL;
    float *mean = bias ? NULL : nb_link_leaf(norm_behind(k->in->graph, l->sink), "mean");
    for (int32_t o = 0; o < r.filters; o++) {
        double sum = 0;
        for (int64_t i = 0; i < r.size; i++)
            sum += (double)w[o * r.size + i] * c[nb_link_channel_read(&r, o, i)];
        if (bias)
            bias[o] = (float)((double)bias[o] + sum);
        else
            mean[o] = (float)((double)mean[o] - sum);
    }
}

static void say_why(const work *k, const nb_link *l, const char *why)
{
    char text[NB_POST_SUMMARY];
    if (l->source)
        snprintf(text, sizeof text, "%s", why);
    else
        snprintf(text, sizeof text, "not across %s, %s", l->stop->name, why);
    if (l->stop->op->role != NB_ROLE_INPUT)
        nb_post_say(k->in, &nb_post_step_absorb, &(nb_post_row){.layer = l->sink->name, .text = text});
}

static void move_down(work *k, const nb_link *l, const double *c)
{
    char text[NB_POST_SUMMARY];
    int32_t cut = 0;
    double most = 0;
    for (int32_t i = 0; i < l->channels; i++) {
        cut += c[i] > 0;
        most = fmax(most, c[i]);
    }
    subtract(l, c);
    give_to_sink(k, l, c);
    k->channels += cut;
    k->layers += cut > 0;
    snprintf(text, sizeof text, "%d of %d channels of %s", cut, l->channels, l->source->name);
    nb_post_say(k->in, &nb_post_step_absorb, &(nb_post_row){l->sink->name, text, true, most, 0});
}

static nb_status one_link(work *k, const nb_link *l)
{
    const char *why = l->source ? obstacle(k, l) : l->why;
    const bool norm = l->source && nb_link_is_norm(l->source);
    if (!why && !norm && !(k->in->n > 0 && k->in->experiment))
        why = "no batch norm says what it reads, and there are no images";
    if (why) {
        say_why(k, l, why);
        return NB_OK;
    }
    double *c = nb_alloc(k->in->graph->ctx, (size_t)l->channels * sizeof *c);
    if (!c)
        return NB_E_NOMEM;
    nb_status st = NB_OK;
    if (norm)
        cut_of_norm(k, l, c);
    else
        st = cut_of_mac(k, l, c);
    if (st == NB_OK)
        move_down(k, l, c);
    nb_free(k->in->graph->ctx, c);
    return st;
}

static nb_status absorb_run(const nb_post_input *in, const void *attr, char *summary)
{
    nb_graph *g = in->graph;
    work k = {.in = in, .a = attr};
    nb_status st = NB_OK;
    for (int32_t i = 0; i < g->n && st == NB_OK; i++)
        if (g->node[i]->op->role == NB_ROLE_MAC) {
            const nb_link l = nb_link_find(g, g->node[i]);
            st = one_link(&k, &l);
        }
    if (k.channels)
        snprintf(summary, NB_POST_SUMMARY,
                 "%d channel%s before a relu, read by %d layer%s, lay far above 0 and were moved down", k.channels,
                 nb_plural(k.channels), k.layers, nb_plural(k.layers));
    else
        snprintf(summary, NB_POST_SUMMARY, "there is nothing to absorb");
    return st;
}

const nb_post_step nb_post_step_absorb = {
    .name = "absorb",
    .help = "moves channels that lie far above 0 before a relu down, and what the next layer then lacks into its bias; "
            "for after equalize",
    .keys = absorb_keys,
    .attr_size = sizeof(absorb_attr),
    .stage = NB_POST_FLOAT,
    .measure = "largest shift",
    .run = absorb_run,
    .examples = (const char *const[]){"absorb", "absorb: {sigmas: 4, padded: yes}", NULL},
};
