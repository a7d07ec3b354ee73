/* report_costs.c - which quantizers cost how much, what would help: the tables of `nibble analyze`. */
#include "report/report.h"

#include "report/table_analyze.h"

enum { SHOWN = 20, NETWORKS = 4 };

/* Indices of the most costly sites, worst first. */
static int32_t worst_sites(const nb_analysis *a, int32_t index[SHOWN])
{
    int32_t n = 0;
    for (int32_t i = 0; i < a->n_sites; i++) {
        const double cost = nb_report_cost(a, &a->site[i]);
        int32_t at = n;
        while (at > 0 && nb_report_cost(a, &a->site[index[at - 1]]) < cost)
            at--;
        n += n < SHOWN;
        for (int32_t k = n - 1; k > at; k--)
            index[k] = index[k - 1];
        if (at < SHOWN)
            index[at] = i;
    }
    return n;
}

static void bars(const nb_analysis *a, nb_page *p)
{
    const bool sound = nb_report_float_is_sound(a);
    const char *const series[] = {sound ? "divergence" : "loss"};
    const char *label[SHOWN];
    double value[SHOWN];
    int32_t index[SHOWN];
    const int32_t n = worst_sites(a, index);
    for (int32_t i = 0; i < n; i++) {
        label[i] = nb_report_quantizer(p, &a->site[index[i]]);
        value[i] = nb_report_cost(a, &a->site[index[i]]);
    }
    nb_page_bars(
        p, "sensitivity",
        sound ? "Divergence (nats an image) of the answers from the float network's when it is on, all else float."
              : "How much smaller the loss of the quantized network is when it alone is off; 0: not smaller.",
        &(nb_svg_bars){.title = "What each quantizer costs, the worst first",
                       .n = n,
                       .n_series = 1,
                       .label = label,
                       .series = series,
                       .value = value});
}

static void remedies(const nb_analysis *a, nb_page *p)
{
    enum { MOST = 24 };
    static const char *const series[] = {"divergence"};
    const char *label[MOST];
    double value[MOST];
    int32_t n = 0;
    label[n] = "as it is";
    value[n++] = nb_report_distance(a, &a->quantized);
    for (int32_t i = 0; i < a->n_remedies && n < MOST; i++) {
        const nb_analysis_remedy *m = &a->remedy[i];
        const char *text = nb_arena_printf(p->arena, "%s: %s", nb_report_quantizer(p, &a->site[m->site]), m->text);
        label[n] = text ? text : "";
        value[n++] = nb_report_distance(a, &m->network);
    }
    nb_page_bars(
        p, "remedies-network", "Divergence of the whole network with this one change: shorter is better.",
        &(nb_svg_bars){
            .title = "What would help", .n = n, .n_series = 1, .label = label, .series = series, .value = value});
}

static void tables(const nb_analysis *a, nb_page *p)
{
    const nb_network_row rows[NETWORKS] = {{.name = "float", .score = &a->floats},
                                           {.name = "weights rounded alone", .score = &a->weights},
                                           {.name = "outputs rounded alone", .score = &a->outputs},
                                           {.name = "quantized", .score = &a->quantized}};
    nb_table *t;
    if (nb_page_ok(p, nb_table_of_networks(p->ctx, rows, NETWORKS, &t)))
        nb_page_table(p, "networks",
                      "Networks beside the float one: loss beyond its own, divergence of the class "
                      "probabilities (nats)",
                      t);
    if (nb_page_ok(p, nb_table_of_blame(p->ctx, a, 0, &t)))
        nb_page_table(p, "blame",
                      "Layers, the worst first: divergence of their quantizers on alone; signal to noise in dB of "
                      "the weights, and of what the layer puts out, on float inputs by its weights, its output, "
                      "both, then in the quantized network",
                      t);
    if (nb_page_ok(p, nb_table_of_quantizers(p->ctx, a, SHOWN, &t)))
        nb_page_table(p, "quantizers",
                      "The 20 worst quantizers: on alone, all else float; off alone, all else quantized", t);
    if (a->n_remedies > 0 && nb_report_float_is_sound(a) && nb_page_ok(p, nb_table_of_remedies(p->ctx, a, &t)))
        nb_page_table(p, "remedies",
                      "What would help the worst quantizers: that quantizer alone, before and after; then the "
                      "whole network with it",
                      t);
}

void nb_section_costs(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    if (!a || a->n_sites == 0)
        return;
    nb_page_section(p, "costs", "What quantization costs, and what would help");
    nb_page_say(p, "Measured on %lld test images, layer by layer, as nibble analyze does. Float is %s.",
                (long long)a->quantized.n, r->float_is);
    if (!nb_report_float_is_sound(a))
        nb_page_say(
            p,
            "The float network, or it with a part of the quantized one in it, is clearly worse than the quantized one: "
            "right on %lld, with its weights on %lld, with its outputs on %lld, quantized on %lld. These weights were "
            "trained with rounding and are no network without it. Divergence, and the dB below, say little here; the "
            "drawing shows the loss on the labels instead.",
            (long long)a->floats.correct, (long long)a->weights.correct, (long long)a->outputs.correct,
            (long long)a->quantized.correct);
    nb_page_figures(p);
    bars(a, p);
    if (a->n_remedies > 0 && nb_report_float_is_sound(a))
        remedies(a, p);
    nb_page_figures_end(p);
    tables(a, p);
}
