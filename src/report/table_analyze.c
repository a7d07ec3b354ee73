/* table_analyze.c - see table_analyze.h. Numbers that are not there (no weights, no answers) are blank. */
#include "report/table_analyze.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

#define NEGLIGIBLE_BIAS 0.02 /* of a standard deviation */

typedef struct {
    const char *key, *header;
    nb_table_align align;
    const char *group;
} heading;

static nb_status create(nb_ctx *ctx, const heading *h, int32_t n, nb_table **out)
{
    NB_TRY(nb_table_create(ctx, out));
    for (int32_t i = 0; i < n; i++) {
        nb_table_group(*out, h[i].group);
        nb_table_column(*out, h[i].key, h[i].header, h[i].align);
    }
    return NB_OK;
}
#define CREATE(ctx, headings, out) create(ctx, headings, (int32_t)(sizeof(headings) / sizeof *(headings)), out)

static double per_image(const nb_probe_score *s, double sum)
{
    return sum / (double)s->n;
}

/* Of the mean of what was more: from image to image it is as uncertain as this. */
static void add_error(nb_table *t, const nb_probe_score *s)
{
    const double n = (double)s->n, mean = s->more / n;
    if (s->n > 1)
        nb_table_add_real(t, sqrt(fmax(s->more_squared / n - mean * mean, 0) / (n - 1)), 5);
    else
        nb_table_add_blank(t); /* one image tells nothing of that */
}

/* Of one network: accuracy, loss beyond the float network's, how uncertain that is, divergence. */
#define SCORE_HEADINGS(key, group)                                                                                     \
    {key "_accuracy_percent", "accuracy %", NB_RIGHT, group}, {key "_loss_more", "loss, more", NB_RIGHT, group},       \
        {key "_loss_error", "±", NB_RIGHT, group},                                                                     \
    {                                                                                                                  \
        key "_divergence", "divergence", NB_RIGHT, group                                                               \
    }

static void add_score(nb_table *t, const nb_probe_score *s)
{
    nb_table_add_real(t, 100 * per_image(s, (double)s->correct), 2);
    nb_table_add_real(t, per_image(s, s->more), 5);
    add_error(t, s);
    nb_table_add_real(t, per_image(s, s->kl), 6);
}

nb_status nb_table_of_networks(nb_ctx *ctx, const nb_network_row *rows, int32_t n, nb_table **out)
{
    static const heading h[] = {
        {"network", "network", NB_LEFT, NULL},     {"accuracy_percent", "accuracy %", NB_RIGHT, NULL},
        {"loss", "loss", NB_RIGHT, NULL},          {"loss_more", "loss, more", NB_RIGHT, NULL},
        {"loss_error", "±", NB_RIGHT, NULL},       {"divergence", "divergence", NB_RIGHT, NULL},
        {"logits_db", "logits dB", NB_RIGHT, NULL}};
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < n; i++) {
        const nb_probe_score *s = rows[i].score;
        nb_table_row(t);
        nb_table_add_text(t, rows[i].name);
        nb_table_add_real(t, 100 * (s ? per_image(s, (double)s->correct) : rows[i].accuracy), 2);
        nb_table_add_real(t, s ? per_image(s, s->loss) : rows[i].loss, 5);
        if (!s || s->noise == 0)
            continue;
        nb_table_add_real(t, per_image(s, s->more), 5);
        add_error(t, s);
        nb_table_add_real(t, per_image(s, s->kl), 6);
        nb_table_add_real(t, nb_decibels(s->signal, s->noise), 1);
    }
    *out = t;
    return NB_OK;
}

static double all_cost(const nb_analysis *a)
{
    double sum = 0;
    for (int32_t i = 0; i < a->n_sites; i++)
        sum += a->site[i].cost;
    return sum > 0 ? sum : 1;
}

static void add_bits(nb_table *t, const nb_analysis *a, int32_t site)
{
    if (site >= 0)
        nb_table_add_int(t, a->site[site].bits);
    else
        nb_table_add_blank(t);
}

static void add_db(nb_table *t, double db, int32_t site)
{
    if (site >= 0)
        nb_table_add_real(t, db, 1);
    else
        nb_table_add_blank(t);
}

nb_status nb_table_of_blame(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out)
{
    static const char bits[] = "bits of", output[] = "dB of what it puts out";
    static const heading h[] = {{"layer", "layer", NB_LEFT, NULL},
                                {"kind", "kind", NB_LEFT, NULL},
                                {"weight_bits", "weights", NB_RIGHT, bits},
                                {"output_bits", "output", NB_RIGHT, bits},
                                {"divergence", "divergence", NB_RIGHT, NULL},
                                {"share_percent", "share %", NB_RIGHT, NULL},
                                {"weights_db", "weights dB", NB_RIGHT, NULL},
                                {"by_weights_db", "by weights", NB_RIGHT, output},
                                {"by_output_db", "by output", NB_RIGHT, output},
                                {"local_db", "by both", NB_RIGHT, output},
                                {"cumulative_db", "by all before", NB_RIGHT, output},
                                {"note", "note", NB_LEFT, NULL}};
    const double all = all_cost(a);
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < a->n_layers && (!most || i < most); i++) {
        const nb_analysis_layer *y = &a->layer[a->layers_by_cost[i]];
        nb_table_row(t);
        nb_table_add_text(t, y->name);
        nb_table_add_text(t, y->kind);
        add_bits(t, a, y->weights);
        add_bits(t, a, y->output);
        nb_table_add_real(t, y->cost, 6);
        nb_table_add_real(t, 100 * y->cost / all, 1);
        add_db(t, y->weights >= 0 ? a->site[y->weights].sqnr : 0, y->weights);
        add_db(t, y->by_weights, y->weights);
        add_db(t, y->by_output, y->output);
        nb_table_add_real(t, y->local, 1);
        nb_table_add_real(t, y->cumulative, 1);
        nb_table_add_text(t, y->negligible ? "negligible" : "");
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_biases(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out)
{
    static const heading h[] = {{"layer", "layer", NB_LEFT, NULL},
                                {"channels", "channels", NB_RIGHT, NULL},
                                {"worst_channel", "worst channel", NB_RIGHT, NULL},
                                {"bias", "its mean error", NB_RIGHT, NULL},
                                {"bias_rms", "all channels", NB_RIGHT, NULL},
                                {"bias_corrected", "corrected", NB_RIGHT, NULL},
                                {"note", "note", NB_LEFT, NULL}};
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < a->n_layers && (!most || i < most); i++) {
        const nb_analysis_layer *y = &a->layer[a->layers_by_bias[i]];
        nb_table_row(t);
        nb_table_add_text(t, y->name);
        nb_table_add_int(t, y->channels);
        if (y->worst_channel < 0)
            continue;
        nb_table_add_int(t, y->worst_channel);
        nb_table_add_real(t, y->bias, 3);
        nb_table_add_real(t, y->bias_all, 3);
        nb_table_add_real(t, y->bias_after, 3);
        nb_table_add_text(t, y->bias_all < NEGLIGIBLE_BIAS ? "negligible" : "");
    }
    *out = t;
    return NB_OK;
}

const char *nb_quantizer_title(const nb_analysis_site *s, char *buf, size_t size)
{
    snprintf(buf, size, "%s %s", s->name, s->weights ? "weights" : "output");
    return buf;
}

int64_t nb_remedy_bytes(const nb_analysis *a, const nb_analysis_remedy *r)
{
    const nb_analysis_site *s = &a->site[r->site];
    return s->weights ? (s->values * r->bits + 7) / 8 - (s->values * s->bits + 7) / 8 : 0;
}

nb_status nb_table_of_quantizers(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out)
{
    static const heading h[] = {{"layer", "layer", NB_LEFT, NULL},   {"of", "of", NB_LEFT, NULL},
                                {"bits", "bits", NB_RIGHT, NULL},    {"range", "range", NB_LEFT, NULL},
                                {"sqnr_db", "dB", NB_RIGHT, NULL},   {"share_percent", "share %", NB_RIGHT, NULL},
                                SCORE_HEADINGS("alone", "on alone"), SCORE_HEADINGS("without", "off alone"),
                                {"note", "note", NB_LEFT, NULL}};
    const double all = all_cost(a);
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < a->n_sites && (!most || i < most); i++) {
        const nb_analysis_site *s = &a->site[a->sites_by_cost[i]];
        nb_table_row(t);
        nb_table_add_text(t, s->name);
        nb_table_add_text(t, s->weights ? "weights" : "output");
        nb_table_add_int(t, s->bits);
        nb_table_add_text(t, s->range);
        nb_table_add_real(t, s->sqnr, 1);
        nb_table_add_real(t, 100 * s->cost / all, 1);
        add_score(t, &s->alone);
        add_score(t, &s->without);
        nb_table_add_text(t, s->negligible ? "negligible" : "");
    }
    *out = t;
    return NB_OK;
}

/* Errors of quantizers can cancel each other: a worse one may by luck make the network better. */
static const char *note_of(const nb_analysis *a, const nb_analysis_remedy *r)
{
    return r->network.kl > a->quantized.kl    ? "worse"
           : r->cost_after > r->cost_before   ? "worse by itself"
           : r->network.kl >= a->quantized.kl ? "no change"
                                              : "";
}

nb_status nb_table_of_remedies(nb_ctx *ctx, const nb_analysis *a, nb_table **out)
{
    static const char before[] = "on alone, before", after[] = "on alone, with it";
    static const heading h[] = {{"layer", "layer", NB_LEFT, NULL},
                                {"of", "of", NB_LEFT, NULL},
                                {"remedy", "with", NB_LEFT, NULL},
                                {"bytes_more", "bytes more", NB_RIGHT, NULL},
                                SCORE_HEADINGS("network", "the whole network with it"),
                                {"before_db", "dB", NB_RIGHT, before},
                                {"divergence_before", "divergence", NB_RIGHT, before},
                                {"after_db", "dB", NB_RIGHT, after},
                                {"divergence_after", "divergence", NB_RIGHT, after},
                                {"note", "note", NB_LEFT, NULL}};
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < a->n_remedies; i++) {
        const nb_analysis_remedy *r = &a->remedy[i];
        nb_table_row(t);
        nb_table_add_text(t, a->site[r->site].name);
        nb_table_add_text(t, a->site[r->site].weights ? "weights" : "output");
        nb_table_add_text(t, r->text);
        nb_table_add_int(t, nb_remedy_bytes(a, r));
        add_score(t, &r->network);
        nb_table_add_real(t, r->before, 1);
        nb_table_add_real(t, r->cost_before, 6);
        nb_table_add_real(t, r->after, 1);
        nb_table_add_real(t, r->cost_after, 6);
        nb_table_add_text(t, note_of(a, r));
    }
    *out = t;
    return NB_OK;
}
