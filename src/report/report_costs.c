/* report_costs.c - which quantizers cost how much, what would help: the tables of `nibble analyze`. */
#include "report/report.h"

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

static void bars(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
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
        !sound ? "How much smaller the loss of the quantized network is when it alone is off; 0: not smaller."
        : r->trained_since
            ? "Divergence (nats an image) of the answers from the float network's when it alone is on, weights "
              "with what training changed in them."
            : "Divergence (nats an image) of the answers from the float network's when it alone is on.",
        &(nb_svg_bars){.title = "What each quantizer costs, the worst first",
                       .n = n,
                       .n_series = 1,
                       .label = label,
                       .series = series,
                       .value = value});
}

/* What was tried, and the network as it is in its place among them. */
static void trials(const nb_report *r, nb_page *p)
{
    enum { MOST = 24 };
    static const char *const series[] = {"divergence"};
    const nb_analysis *a = r->analysis;
    const char *label[MOST + 1];
    double value[MOST + 1];
    int32_t n = 0, all;
    const nb_report_trial *t = nb_report_trials(p, r, &all);
    bool told = false;
    for (int32_t i = 0; t && all > 0 && i <= all && n < MOST; i++) {
        if (!told && (i == all || i == MOST - 1 || t[i].network->kl >= a->quantized.kl)) {
            label[n] = "as it is";
            value[n++] = nb_report_distance(a, &a->quantized);
            told = true;
        }
        if (i == all)
            break;
        label[n] = t[i].text;
        value[n++] = nb_report_distance(a, t[i].network);
    }
    if (n > 0)
        nb_page_bars(
            p, "remedies-network",
            "Divergence (nats an image) of the whole network with this one change: shorter is better. What is "
            "longer than as it is makes it worse.",
            &(nb_svg_bars){
                .title = "What would help", .n = n, .n_series = 1, .label = label, .series = series, .value = value});
}

static void tables(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    nb_network_row rows[NETWORKS + NB_REPORT_STEPS] = {
        {.name = r->float_name, .score = &a->floats},
        {.name = r->trained_since ? "weights of the trained one, rounded, alone" : "weights rounded alone",
         .score = &a->weights},
        {.name = "outputs rounded alone", .score = &a->outputs},
        {.name = "quantized", .score = &a->quantized}};
    for (int32_t i = 0; i < r->n_steps; i++)
        rows[NETWORKS + i] = r->step[i];
    nb_table *t;
    if (nb_page_ok(p, nb_table_of_networks(p->ctx, rows, NETWORKS + r->n_steps, &t)))
        nb_page_table(
            p, "networks",
            "Networks beside the float one, which is the first: loss beyond its own, \302\261 one standard error; "
            "divergence in nats an image; dB of the logits",
            t);
    if (r->trained_since)
        nb_page_say(p,
                    "In these tables every difference of weights holds training, too: they are not those of the float "
                    "network.");
    if (nb_page_ok(p, nb_table_of_blame(p->ctx, a, 0, &t)))
        nb_page_table(
            p, "blame",
            "Layers, the worst first: divergence of their quantizers on alone; dB (signal to noise) of the "
            "weights; of what the layer puts out, by its own weights, its own output, both, on float inputs, then "
            "in the quantized network by all that was rounded up to there",
            t);
    if (nb_page_ok(p, nb_table_of_quantizers(p->ctx, a, SHOWN, &t)))
        nb_page_table(p, "quantizers",
                      a->n_sites > SHOWN
                          ? "The 20 worst quantizers: on alone, all else float; off alone, all else quantized"
                          : "Quantizers, the worst first: on alone, all else float; off alone, all else quantized",
                      t);
    if (a->n_remedies > 0 && nb_report_float_is_sound(a) && nb_page_ok(p, nb_table_of_remedies(p->ctx, a, &t)))
        nb_page_table(
            p, "remedies",
            "What was tried in place of the worst quantizers, the best for the whole network first. Errors of "
            "quantizers can cancel each other: what is worse by itself helps by luck.",
            t);
}

/* How the figures are to be read: what is float, what one image is, why single costs are not the whole. */
static void say_measure(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    double sum = 0;
    for (int32_t i = 0; i < a->n_sites; i++)
        sum += nb_report_cost(a, &a->site[i]);
    nb_page_say(
        p,
        "Measured on %lld test images, evenly spread, layer by layer, as nibble analyze does. One of them is %.2f "
        "points of accuracy: small differences in accuracy are chance, and divergence tells more.",
        (long long)a->quantized.n, 100 / (double)a->quantized.n);
    nb_page_say(p, "Float is here %s.%s", r->float_is,
                !r->float_is_other && nb_report_epochs(r, false) > 0 && nb_report_epochs(r, true) > 0
                    ? " The float phase of training is another network: its weights were trained further since."
                    : "");
    if (nb_report_float_is_sound(a))
        nb_page_say(
            p,
            "The quantizers, each by itself, cost %.4f in all; the quantized network, with all of them, %.4f. The two "
            "differ because errors of several layers meet: they add to each other, or cancel.",
            sum, nb_report_distance(a, &a->quantized));
}

void nb_section_costs(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    if (!a || a->n_sites == 0)
        return;
    nb_page_section(p, "costs", "What quantization costs, and what would help");
    say_measure(r, p);
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
    bars(r, p);
    trials(r, p);
    nb_page_figures_end(p);
    if (r->n_steps > 0 && nb_report_float_is_sound(a))
        nb_page_say(p,
                    "How to have it: a step by nibble quantize CONFIG --from CKPT --set quant.steps=[NAME]; bits and "
                    "ranges by the "
                    "key quant.layers.LAYER.weights or .activations of the config, then quantized or trained again.");
    tables(r, p);
}
