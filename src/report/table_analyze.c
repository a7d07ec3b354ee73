/* table_analyze.c - see table_analyze.h. Numbers that are not there (no weights, no answers) are blank. */
#include "report/table_analyze.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

#define NEGLIGIBLE_BIAS 0.02 /* of a standard deviation */

typedef struct {
    const char *key, *header;
    nb_table_align align;
} heading;

static nb_status create(nb_ctx *ctx, const heading *h, int32_t n, nb_table **out)
{
    NB_TRY(nb_table_create(ctx, out));
    for (int32_t i = 0; i < n; i++)
        nb_table_column(*out, h[i].key, h[i].header, h[i].align);
    return NB_OK;
}
#define CREATE(ctx, headings, out) create(ctx, headings, (int32_t)(sizeof(headings) / sizeof *(headings)), out)

static double per_image(const nb_probe_score *s, double sum)
{
    return sum / (double)s->n;
}

/* Of the mean of what was more: from image to image it is as uncertain as this. */
static double standard_error(const nb_probe_score *s)
{
    const double n = (double)s->n, mean = s->more / n;
    return n > 1 ? sqrt(fmax(s->more_squared / n - mean * mean, 0) / (n - 1)) : NAN;
}

static void add_answers(nb_table *t, const nb_probe_score *s)
{
    nb_table_add_real(t, 100 * per_image(s, (double)s->correct), 2);
    nb_table_add_real(t, per_image(s, s->more), 5);
}

nb_status nb_table_of_networks(nb_ctx *ctx, const nb_network_row *rows, int32_t n, nb_table **out)
{
    static const heading h[] = {{"network", "network", NB_LEFT},     {"accuracy_percent", "accuracy %", NB_RIGHT},
                                {"loss", "loss", NB_RIGHT},          {"loss_more", "loss, more", NB_RIGHT},
                                {"loss_error", "±", NB_RIGHT},       {"divergence", "divergence", NB_RIGHT},
                                {"logits_db", "logits dB", NB_RIGHT}};
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
        nb_table_add_real(t, standard_error(s), 5);
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
    static const heading h[] = {{"layer", "layer", NB_LEFT},
                                {"kind", "kind", NB_LEFT},
                                {"weight_bits", "W", NB_RIGHT},
                                {"output_bits", "A", NB_RIGHT},
                                {"divergence", "divergence", NB_RIGHT},
                                {"share_percent", "share %", NB_RIGHT},
                                {"weights_db", "weights dB", NB_RIGHT},
                                {"by_weights_db", "by weights", NB_RIGHT},
                                {"by_output_db", "by output", NB_RIGHT},
                                {"local_db", "both", NB_RIGHT},
                                {"cumulative_db", "cumulative", NB_RIGHT},
                                {"note", "note", NB_LEFT}};
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
    static const heading h[] = {{"layer", "layer", NB_LEFT},
                                {"channels", "channels", NB_RIGHT},
                                {"worst_channel", "worst", NB_RIGHT},
                                {"bias", "mean error", NB_RIGHT},
                                {"bias_rms", "all channels", NB_RIGHT},
                                {"bias_corrected", "corrected", NB_RIGHT},
                                {"note", "note", NB_LEFT}};
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

nb_status nb_table_of_quantizers(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out)
{
    static const heading h[] = {{"layer", "layer", NB_LEFT},
                                {"of", "of", NB_LEFT},
                                {"bits", "bits", NB_RIGHT},
                                {"range", "range", NB_LEFT},
                                {"sqnr_db", "dB", NB_RIGHT},
                                {"divergence", "divergence", NB_RIGHT},
                                {"share_percent", "share %", NB_RIGHT},
                                {"alone_accuracy_percent", "on alone: %", NB_RIGHT},
                                {"alone_loss_more", "loss, more", NB_RIGHT},
                                {"alone_loss_error", "±", NB_RIGHT},
                                {"without_accuracy_percent", "off alone: %", NB_RIGHT},
                                {"without_loss_more", "loss, more", NB_RIGHT},
                                {"without_divergence", "divergence", NB_RIGHT},
                                {"note", "note", NB_LEFT}};
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
        nb_table_add_real(t, s->cost, 6);
        nb_table_add_real(t, 100 * s->cost / all, 1);
        add_answers(t, &s->alone);
        nb_table_add_real(t, standard_error(&s->alone), 5);
        add_answers(t, &s->without);
        nb_table_add_real(t, per_image(&s->without, s->without.kl), 6);
        nb_table_add_text(t, s->negligible ? "negligible" : "");
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_remedies(nb_ctx *ctx, const nb_analysis *a, nb_table **out)
{
    static const heading h[] = {{"layer", "layer", NB_LEFT},
                                {"of", "of", NB_LEFT},
                                {"remedy", "with", NB_LEFT},
                                {"before_db", "dB before", NB_RIGHT},
                                {"after_db", "after", NB_RIGHT},
                                {"divergence_before", "divergence alone", NB_RIGHT},
                                {"divergence_after", "after", NB_RIGHT},
                                {"network_accuracy_percent", "network: %", NB_RIGHT},
                                {"network_loss_more", "loss, more", NB_RIGHT},
                                {"network_divergence", "divergence", NB_RIGHT}};
    nb_table *t;
    NB_TRY(CREATE(ctx, h, &t));
    for (int32_t i = 0; i < a->n_remedies; i++) {
        const nb_analysis_remedy *r = &a->remedy[i];
        nb_table_row(t);
        nb_table_add_text(t, a->site[r->site].name);
        nb_table_add_text(t, a->site[r->site].weights ? "weights" : "output");
        nb_table_add_text(t, r->text);
        nb_table_add_real(t, r->before, 1);
        nb_table_add_real(t, r->after, 1);
        nb_table_add_real(t, r->cost_before, 6);
        nb_table_add_real(t, r->cost_after, 6);
        add_answers(t, &r->network);
        nb_table_add_real(t, per_image(&r->network, r->network.kl), 6);
    }
    *out = t;
    return NB_OK;
}
