/* report_verdict.c - the whole in a few lines: what it reaches, what it takes, where it loses, what is not known. */
#include "report/html.h"
#include "report/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CARD = 64 };

static double seconds_of(const nb_report *r)
{
    const int32_t train = nb_csv_column(&r->timing, "train_seconds"), eval = nb_csv_column(&r->timing, "eval_seconds");
    double sum = 0;
    for (int32_t i = 0; i < r->timing.n_rows; i++) {
        const double t = nb_csv_real(&r->timing, i, train), e = nb_csv_real(&r->timing, i, eval);
        sum += (isfinite(t) ? t : 0) + (isfinite(e) ? e : 0);
    }
    return sum;
}

static const char *metric_of(const nb_report *r)
{
    return r->eval.metric ? r->eval.metric : "accuracy";
}

static void say_accuracy(const nb_report *r, nb_page *p)
{
    char gap[160] = "";
    if (r->integers && r->before >= 0)
        snprintf(gap, sizeof gap, " The float network it was made from reached %.2f %%: a gap of %+.2f points.",
                 100 * r->before, 100 * (r->eval.accuracy - r->before));
    nb_page_raw(p, "<div class=\"verdict\">");
    if (r->eval.n > 0 && strcmp(metric_of(r), "accuracy") != 0)
        nb_page_say(p, "%s: %s %.2f %% on %d test samples.%s", r->kind, metric_of(r), 100 * r->eval.accuracy, r->eval.n,
                    gap);
    else if (r->eval.n > 0)
        nb_page_say(p, "%s: %.2f %% of %d test images right.%s", r->kind, 100 * r->eval.accuracy, r->eval.n, gap);
    else
        nb_page_say(p, "%s: accuracy not measured here.", r->kind);
    nb_page_raw(p, "</div>\n");
    nb_page_say(p, "The network of %s.", r->model);
    if (r->simulated && *r->simulated)
        nb_page_say(p, "Simulated in floats, there are no integers of it: %s.", r->simulated);
}

/* ---- figures ---- */

static void card(nb_page *p, const char *name, const char *fmt, ...) NB_PRINTF(3, 4);
static void card(nb_page *p, const char *name, const char *fmt, ...)
{
    char text[CARD];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    nb_text_add(&p->body, "<div><dt>");
    nb_html_add(&p->body, name);
    nb_text_add(&p->body, "</dt><dd>");
    nb_html_add(&p->body, text);
    nb_text_add(&p->body, "</dd></div>\n");
}

static void card_count(nb_page *p, const char *name, double v, const char *unit)
{
    if (v >= 1e6)
        card(p, name, "%.2f M%s", v / 1e6, unit);
    else if (v >= 1e4)
        card(p, name, "%.1f k%s", v / 1e3, unit);
    else
        card(p, name, "%.0f%s%s", v, *unit ? " " : "", unit);
}

/* Bits per weight, each layer by how many it has: what is stored for biases and scales is not among them. */
static double effective_bits(const nb_layer_rows *l)
{
    double bits = 0, n = 0;
    for (int32_t i = 0; i < l->n; i++)
        if (l->rows[i].weight_bits > 0) {
            bits += (double)l->rows[i].weight_bits * (double)l->rows[i].parameters;
            n += (double)l->rows[i].parameters;
        }
    return n > 0 ? bits / n : 0;
}

static void cards(const nb_report *r, nb_page *p)
{
    const nb_layer_row all = nb_layers_total(&r->layers);
    const double seconds = seconds_of(r), bits = effective_bits(&r->layers);
    nb_page_raw(p, "<dl class=\"cards\">\n");
    if (r->eval.n > 0)
        card(p, r->integers ? "integers" : metric_of(r), "%.2f %%", 100 * r->eval.accuracy);
    if (r->before >= 0 && r->integers)
        card(p, "float", "%.2f %%", 100 * r->before);
    if (r->before >= 0 && r->integers && r->eval.n > 0)
        card(p, "gap", "%+.2f points", 100 * (r->eval.accuracy - r->before));
    card_count(p, "parameters as deployed", (double)all.bytes, "B");
    if (bits > 0)
        card(p, "bits per weight", "%.2f", bits);
    if (r->exported.macs > 0) {
        card_count(p, "flash of the exported C", (double)r->exported.flash_bytes, "B");
        card_count(p, "RAM of the exported C", (double)r->exported.ram_bytes, "B");
    }
    card_count(p, "multiply-accumulates", (double)(r->exported.macs > 0 ? r->exported.macs : all.macs), "");
    if (seconds > 0)
        card(p, "wall time of training", seconds >= 90 ? "%.1f min" : "%.1f s", seconds >= 90 ? seconds / 60 : seconds);
    nb_page_raw(p, "</dl>\n");
}

/* ---- where it loses ---- */

/* The one whose two quantizers cost most together; *cost is that. */
static const nb_analysis_layer *worst_layer(const nb_analysis *a, double *cost)
{
    const nb_analysis_layer *worst = &a->layer[0];
    *cost = -1;
    for (int32_t i = 0; i < a->n_layers; i++) {
        const nb_analysis_layer *l = &a->layer[i];
        const double v = (l->weights >= 0 ? nb_report_cost(a, &a->site[l->weights]) : 0) +
                         (l->output >= 0 ? nb_report_cost(a, &a->site[l->output]) : 0);
        if (v > *cost) {
            *cost = v;
            worst = l;
        }
    }
    return worst;
}

static void say_costs(const nb_report *r, nb_page *p)
{
    const nb_analysis *a = r->analysis;
    const nb_analysis_site *worst = NULL;
    double all = 0, of_layer = 0;
    if (!a || a->n_sites == 0)
        return;
    for (int32_t i = 0; i < a->n_sites; i++) {
        const double cost = nb_report_cost(a, &a->site[i]);
        all += cost;
        if (!worst || cost > nb_report_cost(a, worst))
            worst = &a->site[i];
    }
    const nb_analysis_layer *layer = worst_layer(a, &of_layer);
    const bool sound = nb_report_float_is_sound(a);
    const nb_analysis_remedy *m = sound ? nb_report_best_remedy(a) : NULL;
    if (!(all > 0)) {
        nb_page_say(p, "Costs most: no quantizer by itself makes the answers worse.");
        return;
    }
    nb_page_say(p,
                "Costs most: layer %s, %.0f %% of what all quantizers cost one by one; of the quantizers %s (%d bits), "
                "%.0f %%.",
                layer->name, 100 * of_layer / all, nb_report_quantizer(p, worst), worst->bits,
                100 * nb_report_cost(a, worst) / all);
    if (m)
        nb_page_say(p,
                    "Would help most of what was tried: %s with %s; the divergence from the float network (nats an "
                    "image) would go from %.5f to %.5f.",
                    nb_report_quantizer(p, &a->site[m->site]), m->text, nb_report_distance(a, &a->quantized),
                    nb_report_distance(a, &m->network));
    else if (!sound)
        nb_page_say(
            p,
            "Would help most: more bits for %s: without it alone the loss goes from %.5f to %.5f. Other remedies "
            "cannot be measured on a network that is none without rounding.",
            nb_report_quantizer(p, worst), nb_report_distance(a, &a->quantized),
            nb_report_distance(a, &worst->without));
    else if (a->n_remedies > 0)
        nb_page_say(p,
                    "Would help most: none of the %d things tried in place of the worst quantizers helps the whole "
                    "network.",
                    a->n_remedies);
}

static void say_confused(const nb_report *r, nb_page *p)
{
    const nb_answered *a = &r->said;
    const int32_t *count = a->n > 0 ? nb_report_confusion(p, a) : NULL;
    int32_t from = 0, to = 0, most = 0, both = -1, x = 0, y = 0;
    for (int32_t i = 0; count && i < a->classes; i++)
        for (int32_t k = 0; k < a->classes; k++) {
            const int32_t n = count[i * a->classes + k], m = n + count[k * a->classes + i];
            if (i != k && n > most) {
                most = n;
                from = i;
                to = k;
            }
            if (i < k && m > both) {
                both = m;
                x = i;
                y = k;
            }
        }
    if (most > 0)
        nb_page_say(p, "Confused most: %s and %s, %d times in either direction; %s is taken for %s %d times.",
                    nb_report_class(p, r, x), nb_report_class(p, r, y), both, nb_report_class(p, r, from),
                    nb_report_class(p, r, to), most);
}

static void say_device(const nb_report *r, nb_page *p)
{
    if (r->exported.macs > 0)
        nb_page_say(
            p,
            "Needs on a device: %lld bytes of flash for constants (code comes on top), %lld bytes of RAM (the stack "
            "comes on top), %lld multiply-accumulates per image, no floating point.",
            (long long)r->exported.flash_bytes, (long long)r->exported.ram_bytes, (long long)r->exported.macs);
}

static void say_proven(const nb_report *r, nb_page *p)
{
    int64_t faults = 0;
    if (!r->integers)
        return;
    for (int32_t i = 0; i < r->n_proofs; i++)
        faults += r->proof->rows[i].faults;
    if (r->n_proofs > 0)
        nb_page_say(
            p,
            "Proven here: the integers against the quantized network of training on %d images: %lld values differ "
            "where no rounding explains it.",
            r->proof->images, (long long)faults);
    nb_page_say(p, "Not proven here: %s%s%sthat it is as good on other images than these.",
                r->n_proofs > 0 ? "" : "that the integers are the network that was trained (nibble verify); ",
                r->n_checks > 0 ? ""
                                : "that the exported C, ONNX Runtime and other instruction sets give the same integers "
                                  "(nibble report --proofs, nibble verify --all); ",
                "how fast it is (nibble bench); ");
    for (int32_t i = 0; i < r->n_checks; i++) {
        const nb_check_row *c = &r->check[i];
        if (c->kind == NB_CHECK_ABSENT || c->kind == NB_CHECK_BROKEN)
            nb_page_say(p, "Not proven here either: %s: %s.", c->name, c->note);
        else if (c->kind == NB_CHECK_EXACT && c->differ > 0)
            nb_page_say(p, "Refuted: %s gives %lld logits that are not the engine's.", c->name, (long long)c->differ);
    }
}

static void say_sweep(const nb_report *r, nb_page *p)
{
    const nb_report_run *best = NULL;
    for (int32_t i = 0; i < r->n_runs; i++) {
        const nb_report_run *run = &r->run[i];
        const bool counts = isfinite(run->accuracy) && isfinite(run->bytes) && strcmp(run->network, "float") != 0;
        if (counts &&
            (!best || run->accuracy > best->accuracy || (run->accuracy >= best->accuracy && run->bytes < best->bytes)))
            best = run;
    }
    nb_page_say(p, "A sweep of %d runs.", r->runs.n_rows);
    if (best)
        nb_page_say(p, "Most accurate of those that are quantized: %s, %.2f %% with %.0f bytes of parameters.",
                    best->name, 100 * best->accuracy, best->bytes);
}

void nb_section_verdict(const nb_report *r, nb_page *p)
{
    nb_page_section(p, "verdict", "Verdict");
    if (r->model) {
        say_accuracy(r, p);
        cards(r, p);
        say_costs(r, p);
        say_confused(r, p);
        say_device(r, p);
        say_proven(r, p);
    } else if (r->runs.n_columns > 0)
        say_sweep(r, p);
    for (int32_t i = 0; i < r->n_lacks; i++) {
        nb_page_raw(p, "<div class=\"lack\">");
        nb_page_say(p, "Missing: %s: %s", r->lack[i].what, r->lack[i].why);
        nb_page_raw(p, "</div>\n");
    }
}
