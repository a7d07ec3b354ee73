/* report_bias.c - mean errors that rounding leaves in channels, and what is left of them when they are corrected. */
#include "report/report.h"

#include "report/table_analyze.h"

#include <math.h>

enum { SHOWN = 12, DRAWN = 6, MOST_CHANNELS = 256 };

static void by_layer(const nb_analysis *a, nb_page *p)
{
    static const char *const series[] = {"all channels", "worst channel", "after correction"};
    const char *label[SHOWN];
    double value[3 * SHOWN];
    const int32_t n = a->n_layers < SHOWN ? a->n_layers : SHOWN;
    for (int32_t i = 0; i < n; i++) {
        const nb_analysis_layer *l = &a->layer[a->layers_by_bias[i]];
        label[i] = l->name;
        value[3 * i] = l->bias_all;
        value[3 * i + 1] = fabs(l->bias);
        value[3 * i + 2] = l->bias_after;
    }
    nb_page_bars(p, "bias-layers",
                 "In standard deviations of a channel; all channels: root of the mean square, which is what layers are "
                 "sorted by.",
                 &(nb_svg_bars){.title = "Mean error by layer, the most biased first",
                                .n = n,
                                .n_series = 3,
                                .label = label,
                                .series = series,
                                .value = value});
}

/* From 0 to the error of each channel; of very many those that are evenly spread. */
static void by_channel(const nb_analysis_layer *l, int32_t at, nb_page *p)
{
    const int32_t n = l->channels < MOST_CHANNELS ? l->channels : MOST_CHANNELS;
    double *lo = nb_arena_array(p->arena, 2 * (size_t)n, sizeof *lo), *hi = lo + n;
    const char *title = nb_arena_printf(p->arena, "%s: mean error per channel", l->name);
    const char *name = nb_arena_printf(p->arena, "bias-%d", (int)at + 1);
    if (!lo || !title || !name) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        const double e = l->error[(int64_t)i * l->channels / n];
        lo[i] = fmin(e, 0);
        hi[i] = fmax(e, 0);
        if (!isfinite(e))
            lo[i] = hi[i] = e;
    }
    nb_page_ranges(p, name,
                   n < l->channels ? "in standard deviations; 256 of its channels, evenly" : "in standard deviations",
                   &(nb_svg_ranges){.title = title, .x_title = "channel", .n = n, .lo = lo, .hi = hi});
}

void nb_section_bias(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    nb_table *t;
    if (!a || a->n_layers == 0)
        return;
    nb_page_section(p, "bias", "Bias error");
    nb_page_say(
        p,
        "Rounding can push all values of a channel to one side: the mean error of a channel before its relu, in the "
        "quantized network, in standard deviations of that channel in the float one. The step bias_correct takes it "
        "away; what would be left is measured by correcting every other image with the mean of the rest. Whether the "
        "answers get better by it is another question: the networks above have one with it, where the step can be "
        "done.");
    nb_page_figures(p);
    by_layer(a, p);
    for (int32_t i = 0; i < a->n_layers && i < DRAWN; i++)
        by_channel(&a->layer[a->layers_by_bias[i]], i, p);
    nb_page_figures_end(p);
    if (nb_page_ok(p, nb_table_of_biases(p->ctx, a, 0, &t)))
        nb_page_table(p, "biases", NULL, t);
}
