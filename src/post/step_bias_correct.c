/* step_bias_correct.c - bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2; white paper 3.3).
 *
 * Rounded weights and codes shift what a layer gives: E[y] of the quantized network is not that of the float one, channel by channel. The
 * difference goes into the layer's bias, or into beta of the batch norm behind it, in the order of the network:
 *
 *   b += E[y, float] - E[y, quantized]
 *
 * empirical   both means over the images (paired.h), the quantized one with the layers before it quantized and corrected
 * analytic    no image: E[y] = sum W E[x] + b with the float weights and with the rounded ones, and E[x] from the batch norms
 *             before x, cut by relus (moments.h: a clipped normal); padding and what rounding does to x are passed over
 *
 * y is taken behind the batch norm, where one is all that reads the MAC: its statistics may be other ones than in
 * the float network (reestimate_bn). A MAC without either leaf is left out. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include "base/check.h"
#include "core/oihw.h"
#include "post/links.h"
#include "post/paired.h"
#include "quant/moments.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { AUTO, EMPIRICAL, ANALYTIC };

typedef struct {
    int32_t mode;
} correct_attr;

extern const nb_post_step nb_post_step_bias_correct;

static const nb_key correct_keys[] = {NB_KEY_ENUM(correct_attr, mode, "auto", "auto|empirical|analytic",
                                                  "means over the images, or from batch norms, of values that are "
                                                  "taken to be normal; auto: over images if there are any"),
                                      {0}};

/* A layer: a MAC and what is added to it. */
typedef struct {
    const nb_node *mac, *norm;         /* norm: all that reads the MAC, or NULL */
    const nb_node *f_mac, *f_norm;     /* in the float network */
    float *bias;                       /* values of the leaf that takes the correction; NULL: there is none */
    nb_pair_moments m;                 /* of both MACs */
    double *mul, *add, *f_mul, *f_add; /* [channels] of both norms; ones and zeros without */
} layer;

typedef struct {
    const nb_post_input *in;
    layer *layer;
    const char **name;
    int32_t n;
    double *moments;      /* of one layer's input, [channels][mean, deviation] */
    float *kept;          /* room for one layer's part */
    double before, after; /* of all layers: the largest error of a channel's mean, in its deviations */
    int32_t corrected;
} work;

/* ---- layers ---- */

static const nb_node *norm_behind(const nb_graph *g, const nb_node *mac)
{
    const nb_node *r = nb_node_only_reader(g, mac);
    return r && r->op->affine && nb_link_is_norm(r) ? r : NULL;
}

static nb_status add_layer(work *k, const nb_node *mac)
{
    const nb_graph *g = k->in->graph;
    const int32_t c = nb_channels(&mac->out);
    layer *l = &k->layer[k->n];
    k->name[k->n++] = mac->name;
    *l = (layer){.mac = mac, .norm = norm_behind(g, mac), .f_mac = nb_graph_find(k->in->floats, mac->name)};
    l->f_norm = l->norm ? nb_graph_find(k->in->floats, l->norm->name) : NULL;
    l->bias = l->norm ? nb_link_leaf(l->norm, "beta") : mac->n_in > 2 ? mac->in[2]->out.data : NULL;
    l->m = (nb_pair_moments){.channels = c};
    l->mul = nb_alloc(g->ctx, 4 * (size_t)c * sizeof *l->mul);
    if (!l->mul)
        return NB_E_NOMEM;
    l->add = l->mul + c;
    l->f_mul = l->add + c;
    l->f_add = l->f_mul + c;
    return NB_OK;
}

static nb_status find_layers(work *k)
{
    const nb_graph *g = k->in->graph;
    k->layer = nb_alloc(g->ctx, (size_t)g->n * sizeof *k->layer);
    k->name = nb_alloc(g->ctx, (size_t)g->n * sizeof *k->name);
    if (!k->layer || !k->name)
        return NB_E_NOMEM;
    int32_t most = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (n->op->role != NB_ROLE_MAC)
            continue;
        NB_TRY(add_layer(k, n));
        most = nb_channels(&n->out) > most ? nb_channels(&n->out) : most;
    }
    k->kept = nb_alloc(g->ctx, ((size_t)most + 2) * sizeof *k->kept);
    return k->kept ? NB_OK : NB_E_NOMEM;
}

static void affine_of(const nb_node *norm, double *mul, double *add, int32_t c)
{
    for (int32_t i = 0; i < c; i++) {
        mul[i] = 1;
        add[i] = 0;
    }
    if (norm)
        norm->op->affine(norm, mul, add);
}

/* E[y, float] - E[y, quantized] of a channel, and its deviation in the float network. */
static double shift_of(const layer *l, int32_t c)
{
    return l->f_mul[c] * l->m.floats_mean[c] + l->f_add[c] - l->mul[c] * l->m.quantized_mean[c] - l->add[c];
}

/* The largest |shift| of a channel, in deviations of the channel; one that is dead has none. */
static double worst_shift(layer *l)
{
    double worst = 0;
    affine_of(l->norm, l->mul, l->add, l->m.channels);
    affine_of(l->f_norm, l->f_mul, l->f_add, l->m.channels);
    for (int32_t c = 0; c < l->m.channels; c++) {
        const double deviation = fabs(l->f_mul[c]) * sqrt(l->m.floats_var[c]), shift = fabs(shift_of(l, c));
        worst = deviation > 0 ? fmax(worst, shift / deviation) : worst;
    }
    return worst;
}

static void correct(layer *l)
{
    for (int32_t c = 0; c < l->m.channels; c++)
        l->bias[c] = (float)((double)l->bias[c] + shift_of(l, c));
}

static const char *no_place = "has neither bias nor batch norm to be corrected";

static void say(work *k, const layer *l, double before, double after)
{
    nb_post_say(
        k->in, &nb_post_step_bias_correct,
        &(nb_post_row){l->mac->name, l->norm ? "in the batch norm behind it" : "in its bias", true, before, after});
    k->before = fmax(k->before, before);
    k->after = fmax(k->after, after);
    k->corrected++;
}

static void say_why(const work *k, const layer *l, const char *why)
{
    nb_post_say(k->in, &nb_post_step_bias_correct, &(nb_post_row){.layer = l->mac->name, .text = why});
}

/* ---- empirical ---- */

/* The means of layer i in the quantized network as it stands, and those of the one before it that was corrected last. */
static nb_status look_at(const work *k, int32_t last, int32_t i)
{
    const nb_pair p = {.quantized = k->in->graph, .data = k->in->data, .indices = k->in->indices, .n = k->in->n};
    const int32_t which[2] = {last < 0 ? i : last, i}, n = last < 0 || last == i ? 1 : 2;
    const char *const name[2] = {k->name[which[0]], k->name[which[1]]};
    nb_pair_moments m[2] = {{0}};
    nb_status st = nb_pair_measure(&p, name, n, m);
    for (int32_t j = 0; j < n; j++) {
        const nb_pair_moments *of = &k->layer[which[j]].m;
        if (st == NB_OK)
            memcpy(of->quantized_mean, m[j].quantized_mean, (size_t)of->channels * sizeof(double));
        nb_free(k->in->graph->ctx, m[j].floats_mean);
    }
    return st;
}

/* What is kept of a layer: its leaf, and both numbers of its row. */
static bool recall(work *k, const layer *l)
{
    const int32_t c = l->m.channels;
    if (!nb_post_recall(k->in, l->mac->name, k->kept, c + 2))
        return false;
    memcpy(l->bias, k->kept, (size_t)c * sizeof *l->bias);
    say(k, l, (double)k->kept[c], (double)k->kept[c + 1]);
    return true;
}

static nb_status finish(work *k, int32_t i, double before)
{
    layer *l = &k->layer[i];
    const double after = worst_shift(l);
    const int32_t c = l->m.channels;
    say(k, l, before, after);
    memcpy(k->kept, l->bias, (size_t)c * sizeof *l->bias);
    k->kept[c] = (float)before;
    k->kept[c + 1] = (float)after;
    return nb_post_keep(k->in, l->mac->name, k->kept, c + 2);
}

/* In order; what is left of a layer's shift is seen in the pass for the next. */
static nb_status correct_in_order(work *k)
{
    int32_t last = -1;
    double before = 0;
    for (int32_t i = 0; i < k->n; i++) {
        layer *l = &k->layer[i];
        if (!l->bias)
            say_why(k, l, no_place);
        if (!l->bias || (last < 0 && recall(k, l)))
            continue;
        NB_TRY(look_at(k, last, i));
        if (last >= 0)
            NB_TRY(finish(k, last, before));
        before = worst_shift(l);
        correct(l);
        last = i;
    }
    if (last < 0)
        return NB_OK;
    NB_TRY(look_at(k, last, last));
    return finish(k, last, before);
}

static nb_status empirical(work *k)
{
    const nb_pair p = {.floats = k->in->floats, .data = k->in->data, .indices = k->in->indices, .n = k->in->n};
    nb_pair_moments *m = nb_alloc(k->in->graph->ctx, (size_t)k->n * sizeof *m);
    if (!m)
        return NB_E_NOMEM;
    nb_status st = nb_pair_measure(&p, k->name, k->n, m); /* the float network stays as it is: one pass for all */
    for (int32_t i = 0; i < k->n; i++)
        k->layer[i].m = m[i];
    nb_free(k->in->graph->ctx, m);
    return st == NB_OK ? correct_in_order(k) : st;
}

/* ---- analytic ---- */

/* Mean and variance of what the MAC gives where every value it reads is its own normal, cut by relus: x [channels read][2]. */
static void from_moments(const nb_node *mac, const double *x, double *mean, double *var)
{
    const nb_link_reader r = nb_link_reader_of(mac, nb_channels(&mac->in[0]->out));
    for (int32_t o = 0; o < r.filters; o++) {
        float buf[64];
        double sum = mac->n_in > 2 ? (double)((const float *)mac->in[2]->out.data)[o] : 0, squares = 0;
        for (int64_t at = 0; at < r.size; at += 64) {
            const int64_t n = r.size - at < 64 ? r.size - at : 64;
            const float *w = nb_pair_floats(buf, mac->in[1], o * r.size + at, n);
            for (int64_t i = 0; i < n; i++) {
                const double *v = &x[2 * nb_link_channel_read(&r, o, at + i)];
                sum += (double)w[i] * v[0];
                squares += (double)w[i] * (double)w[i] * v[1] * v[1];
            }
        }
        mean[o] = sum;
        if (var)
            var[o] = squares;
    }
}

/* The moments of what l reads, [channels][2]; false: nobody knows them. */
static bool read_moments(const layer *l, double *x)
{
    const nb_node *from = l->f_mac->in[0];
    for (int32_t c = 0; c < nb_channels(&from->out); c++)
        if (!nb_value_moments(from, c, &x[2 * c], &x[2 * c + 1]))
            return false;
    return true;
}

/* A MAC's weights are codes while it runs: one image, of no content, shows them. */
static void see_weights(void *ud, const nb_pair_view *v)
{
    work *k = ud;
    layer *l = &k->layer[v->layer];
    double *x = k->moments;
    if (!l->bias) {
        say_why(k, l, no_place);
        return;
    }
    if (!read_moments(l, x)) {
        say_why(k, l, "no batch norm says what it reads");
        return;
    }
    from_moments(v->floats, x, l->m.floats_mean, l->m.floats_var);
    from_moments(v->quantized, x, l->m.quantized_mean, NULL);
    const double before = worst_shift(l);
    correct(l);
    say(k, l, before, 0);
}

static nb_status analytic(work *k)
{
    nb_ctx *ctx = k->in->graph->ctx;
    int32_t most = 1;
    for (int32_t i = 0; i < k->n; i++) {
        nb_pair_moments *m = &k->layer[i].m;
        const int32_t c = m->channels, read = nb_channels(&k->layer[i].f_mac->in[0]->out);
        double *block = nb_alloc(ctx, 4 * (size_t)c * sizeof *block);
        if (!block)
            return NB_E_NOMEM;
        *m = (nb_pair_moments){c, block, block + c, block + 2 * c, block + 3 * c};
        most = read > most ? read : most;
    }
    k->moments = nb_alloc(ctx, 2 * (size_t)most * sizeof *k->moments);
    const nb_pair p = {.quantized = k->in->graph, .floats = k->in->floats, .n = 1};
    return k->moments ? nb_pair_run(&p, k->name, k->n, see_weights, k) : NB_E_NOMEM;
}

/* ---- all of it ---- */

static void free_work(const work *k)
{
    nb_ctx *ctx = k->in->graph->ctx;
    for (int32_t i = 0; i < k->n; i++) {
        nb_free(ctx, k->layer[i].m.floats_mean);
        nb_free(ctx, k->layer[i].mul);
    }
    nb_free(ctx, k->kept);
    nb_free(ctx, k->moments);
    nb_free(ctx, k->name);
    nb_free(ctx, k->layer);
}

static nb_status correct_run(const nb_post_input *in, const void *attr, char *summary)
{
    const int32_t asked = ((const correct_attr *)attr)->mode, mode = asked != AUTO ? asked
                                                                     : in->n       ? EMPIRICAL
                                                                                   : ANALYTIC;
    if (mode == EMPIRICAL && in->n < 1)
        return nb_fail(
            in->graph->ctx, NB_E_CONFIG,
            "quant.steps: bias_correct: mode: empirical: there are no images to look at; analytic needs none");
    work k = {.in = in};
    nb_status st = find_layers(&k);
    if (st == NB_OK)
        st = mode == EMPIRICAL ? empirical(&k) : analytic(&k);
    free_work(&k);
    int at =
        snprintf(summary, NB_POST_SUMMARY, "%s, %d of %d layers; means were off by up to %.3g of a channel's deviation",
                 mode == EMPIRICAL ? "empirical" : "analytic", k.corrected, k.n, k.before);
    if (mode == EMPIRICAL && at > 0 && at < NB_POST_SUMMARY)
        snprintf(summary + at, (size_t)(NB_POST_SUMMARY - at), ", now by %.2g", k.after);
    return st;
}

static bool correct_looks(const void *attr)
{
    return ((const correct_attr *)attr)->mode == EMPIRICAL;
}

const nb_post_step nb_post_step_bias_correct = {
    .name = "bias_correct",
    .help = "bias correction: takes out of every channel by how much rounding moves its mean",
    .keys = correct_keys,
    .attr_size = sizeof(correct_attr),
    .stage = NB_POST_QUANTIZED,
    .needs_float = true,
    .measure = "mean error / sigma",
    .run = correct_run,
    .looks = correct_looks,
    .examples = (const char *const[]){"bias_correct", "bias_correct: {mode: analytic}", NULL},
};
