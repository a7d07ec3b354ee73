/* report_verdict.c - the whole in a few lines: what it reaches, what it takes, where it loses, what is not known. */
#include "report/html.h"

#include "base/numtext.h"
#include "report/report.h"
#include "report/table_analyze.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What it is and what it was made on, in a line. */
static void say_what(const nb_report *r, nb_page *p)
{
    const nb_dsinfo *d = r->images ? nb_data_info(r->images) : NULL;
    char data[160] = "";
    if (d)
        snprintf(data, sizeof data, "Data: %.80s, %dx%dx%d, %d %s. ", r->data ? r->data : "", d->h, d->w, d->c,
                 d->classes, d->task == NB_TASK_CLASSES ? "classes" : "outputs");
    nb_page_say(p, "%sNetwork: %s, %lld parameters, file %s%s%s. Page by Nibble %s; words are explained at its end.",
                data, r->kind, (long long)nb_layers_total(&r->layers).parameters, r->model, *r->date ? " of " : "",
                r->date, r->version ? r->version : "");
    if (r->simulated && *r->simulated)
        nb_page_say(p, "Simulated in floats, there are no integers of it: %s.", r->simulated);
}

static void say_accuracy(const nb_report *r, nb_page *p)
{
    nb_page_raw(p, "<div class=\"verdict\">");
    if (r->eval.n > 0 && strcmp(metric_of(r), "accuracy") != 0)
        nb_page_say(p, "%s: %s %.2f %% on %d test samples.", r->kind, metric_of(r), nb_percent(r->eval.accuracy),
                    r->eval.n);
    else if (r->eval.n > 0)
        nb_page_say(p, "%s: %.2f %% of %d test image%s right.", r->kind, nb_percent(r->eval.accuracy), r->eval.n,
                    nb_plural(r->eval.n));
    else
        nb_page_say(p, "%s: accuracy not measured here.", r->kind);
    nb_page_raw(p, "</div>\n");
}

/* ---- what rounding costs, and what training brought: two things ---- */

/* Points of accuracy that the float network is better by, and their standard error, from pairs of answers. */
static double points_lost(const nb_report_rounding *w, double *error)
{
    const double n = w->n, d = w->lost - w->won;
    *error = 100 * sqrt(fmax(w->lost + w->won - d * d / n, 0)) / n;
    return 100 * d / n;
}

static bool knows_rounding(const nb_report *r)
{
    return r->rounding.n > 0 && r->analysis && nb_report_float_is_sound(r->analysis);
}

static void say_rounding(const nb_report *r, nb_page *p)
{
    const nb_report_rounding *w = &r->rounding;
    double error;
    if (r->calibrated && r->before >= 0 && r->eval.n > 0)
        nb_page_point(
            p, "Rounding costs",
            "%.2f points of accuracy beside the float network that it was made from without further training, "
            "which reached %.2f %%.",
            nb_percent(r->before - r->eval.accuracy), nb_percent(r->before));
    if (w->n == 0)
        return;
    const double points = points_lost(w, &error), right = nb_percent((double)w->right / w->n);
    if (!knows_rounding(r)) {
        nb_page_point(p, "Rounding costs",
                      "this cannot be told. %.2f %% of these images are right with %s, which is no network "
                      "to compare with.",
                      right, r->float_name);
        return;
    }
    if (w->lost + w->won == 0) {
        nb_page_point(p, "Rounding costs",
                      "nothing here. %.2f %% of the same images are right with %s, and %d answers differ.", right,
                      r->float_name, w->changed);
        return;
    }
    nb_page_point(p, r->float_is_other ? "Behind the float network" : "Rounding costs",
                  "%.2f \302\261 %.2f points of accuracy. %.2f %% of the same images are right with %s. %d answers "
                  "differ: %d of them "
                  "were right %s, %d are right only %s.%s",
                  points, error, right, r->float_name, w->changed, w->lost,
                  r->float_is_other ? "with that network alone" : "without rounding", w->won,
                  r->float_is_other ? "with this one" : "with it",
                  fabs(points) <= 2 * error ? " So small a difference can be chance (\302\261 is one standard error)."
                                            : "");
}

/* Accuracy before it was quantized. Training went on after it in most runs: then the difference says nothing of rounding. */
static void say_before(const nb_report *r, nb_page *p)
{
    const int32_t floats = nb_report_epochs(r, false), after = nb_report_epochs(r, true);
    const char *of = r->validation > 0 && floats > 0 ? " of the validation images" : "";
    char epochs[48] = "";
    if (r->before < 0 || r->calibrated || (!r->integers && after == 0))
        return;
    if (floats > 0)
        snprintf(epochs, sizeof epochs, " after %d epoch%s", floats, floats > 1 ? "s" : "");
    if (after > 0)
        nb_page_point(p, "Before it was quantized",
                      "the network had reached %.2f %%%s%s. Then %d epoch%s of training with "
                      "rounding followed: what lies between is mostly that training, and not what quantization costs.",
                      nb_percent(r->before), of, epochs, after, after > 1 ? "s" : "");
    else
        nb_page_point(
            p, "Before it was quantized",
            "a float network that it was made from reached %.2f %%; whether it was trained further after that "
            "is not known here.",
            nb_percent(r->before));
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
        card(p, r->integers ? "integers" : metric_of(r), "%.2f %%", nb_percent(r->eval.accuracy));
    if (knows_rounding(r)) {
        double error;
        const double points = points_lost(&r->rounding, &error);
        card(p, r->float_name, "%.2f %%", nb_percent((double)r->rounding.right / r->rounding.n));
        card(p, r->float_is_other ? "points behind it" : "points that rounding costs", "%.2f \302\261 %.2f", points,
             error);
    }
    if (r->calibrated && r->before >= 0)
        card(p, "float network before", "%.2f %%", nb_percent(r->before));
    if (r->calibrated && r->before >= 0 && r->eval.n > 0)
        card(p, "points that rounding costs", "%.2f", nb_percent(r->before - r->eval.accuracy));
    if (bits > 0)
        card(p, "bits per weight", "%.2f", bits);
    if (r->exported.macs > 0) {
        card_count(p, "flash, without code", (double)r->exported.flash_bytes, "B");
        card_count(p, "RAM, without stack", (double)r->exported.ram_bytes, "B");
    } else
        card_count(p, "parameters", (double)all.bytes, "B");
    card_count(p, "multiply-accumulates", (double)(r->exported.macs > 0 ? r->exported.macs : all.macs), "");
    if (seconds > 0)
        card(p, "wall time of training", seconds >= 90 ? "%.1f min" : "%.1f s", seconds >= 90 ? seconds / 60 : seconds);
    nb_page_raw(p, "</dl>\n");
}

/* ---- where its bytes are ---- */

/* The width that most layers with weights have, the smaller of equals; 0: there are none. */
static int32_t common_width(const nb_layer_rows *l)
{
    int32_t best = 0, most = 0;
    for (int32_t i = 0; i < l->n; i++) {
        int32_t n = 0;
        for (int32_t k = 0; k < l->n; k++)
            n += l->rows[k].weight_bits == l->rows[i].weight_bits;
        if (l->rows[i].weight_bits > 0 && (n > most || (n == most && l->rows[i].weight_bits < best))) {
            most = n;
            best = l->rows[i].weight_bits;
        }
    }
    return best;
}

/* ", but c1 has 8, fc 8" */
static void say_other_widths(const nb_layer_rows *l, int32_t width, nb_text *out)
{
    enum { NAMED = 4 };
    int32_t n = 0;
    for (int32_t i = 0; i < l->n; i++) {
        const nb_layer_row *y = &l->rows[i];
        if (y->weight_bits == 0 || y->weight_bits == width)
            continue;
        if (++n <= NAMED)
            nb_text_printf(out, n == 1 ? ", but %s has %d" : ", %s %d", y->name, (int)y->weight_bits);
    }
    if (n > NAMED)
        nb_text_printf(out, " and %d more have others", (int)(n - NAMED));
}

static void say_bytes(const nb_report *r, nb_page *p)
{
    const nb_layer_rows *l = &r->layers;
    const nb_layer_row all = nb_layers_total(l), *most = l->rows;
    const int32_t width = common_width(l);
    nb_text others;
    char *text = NULL;
    if (width == 0 || all.bytes == 0)
        return;
    for (int32_t i = 1; i < l->n; i++)
        most = l->rows[i].bytes > most->bytes ? &l->rows[i] : most;
    nb_text_init(p->ctx, &others);
    say_other_widths(l, width, &others);
    nb_text_add(&others, "");
    if (nb_page_ok(p, nb_text_take(&others, &text)))
        nb_page_point(p, "Bytes",
                      "weights have %d bit%s%s. Most bytes of parameters are those of %s, %.0f %% (%lld of %lld), with "
                      "weights of %d bit%s.",
                      width, nb_plural(width), text, most->name, 100.0 * (double)most->bytes / (double)all.bytes,
                      (long long)most->bytes, (long long)all.bytes, most->weight_bits, nb_plural(most->weight_bits));
    nb_free(p->ctx, text);
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

/* The float network of --from has other weights than those that are rounded, where these were trained since. */
static const char *and_training(const nb_report *r)
{
    return r->trained_since ? " and what training changed" : "";
}

/* Its accuracy and loss on the few images stand beside: they may say otherwise, by chance. Of two networks that differ on d
 * images a sign test tells nothing where d is 5 or less, whatever the other images are. */
static void say_remedy(const nb_report *r, const nb_report_trial *t, nb_page *p)
{
    enum { BY_CHANCE = 5 };
    const nb_analysis *a = r->analysis;
    const nb_probe_score *now = &a->quantized, *then = t->network;
    const double images = (double)now->n;
    const long long d = (long long)(then->correct - now->correct);
    char cost[48] = "no byte more", differ[96] = "";
    if (t->bytes > 0)
        snprintf(cost, sizeof cost, "%lld bytes more", (long long)t->bytes);
    if (d != 0)
        snprintf(differ, sizeof differ, " (%lld image%s %s%s)", llabs(d), llabs(d) > 1 ? "s" : "",
                 d > 0 ? "more" : "fewer", llabs(d) <= BY_CHANCE ? ", which is chance" : "");
    nb_page_point(
        p, "Would help most of what was tried",
        "%s, for %s: all rounding%s together would move the answers by "
        "%.4f nats in place of %.4f. On the %lld images of this measurement %.2f %% would be right in place of "
        "%.2f %%%s, the loss %.4f in place of %.4f.",
        t->text, cost, and_training(r), nb_report_distance(a, then), nb_report_distance(a, now), (long long)now->n,
        nb_percent((double)then->correct / images), nb_percent((double)now->correct / images), differ,
        then->loss / images, now->loss / images);
}

/* The layer, then whose rounding that is. */
static void say_worst(const nb_report *r, const nb_analysis_layer *layer, double of_layer,
                      const nb_analysis_site *worst, double all, nb_page *p)
{
    static const double NEARLY_ALL = 0.9;
    const nb_analysis *a = r->analysis;
    const double cost = nb_report_cost(a, worst);
    const bool its_own = &a->layer[worst->layer] == layer && cost >= NEARLY_ALL * of_layer;
    char single[64] = "", together[192] = "";
    if (!its_own)
        snprintf(single, sizeof single, ", by itself %.0f %%", 100 * cost / all);
    if (nb_report_float_is_sound(a)) {
        const int n = snprintf(together, sizeof together, " All rounding%s together moves them by %.4f",
                               and_training(r), nb_report_distance(a, &a->quantized));
        if (knows_rounding(r))
            snprintf(together + n, sizeof together - (size_t)n, ", which changes %d of %d answers.",
                     r->rounding.changed, r->rounding.n);
        else
            snprintf(together + n, sizeof together - (size_t)n, ".");
    }
    nb_page_point(
        p, "Costs most",
        "layer %s%s. Its rounding%s by itself moves the answers by %.4f nats an image (%s), which is %.0f %% of the "
        "sum of all layers; %s %s (%d bit%s)%s.%s",
        layer->name, r->as_config_says ? ", quantized as the config says" : "", and_training(r), of_layer,
        *together ? "divergence" : "of loss", 100 * of_layer / all,
        its_own ? "nearly all of it comes from" : "the quantizer that costs most is", nb_report_quantizer(p, worst),
        worst->bits, nb_plural(worst->bits), single, together);
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
    int32_t tried = 0;
    const nb_report_trial *t = nb_report_trials(p, r, &tried);
    if (!(all > 0)) {
        nb_page_point(p, "Costs most", "no quantizer by itself makes the answers worse.");
        return;
    }
    say_worst(r, layer, of_layer, worst, all, p);
    if (t && tried > 0 && t[0].network->kl < a->quantized.kl)
        say_remedy(r, t, p);
    else if (!sound)
        nb_page_point(p, "Would help most",
                      "more bits for %s: without it alone the loss goes from %.5f to %.5f. Other remedies "
                      "cannot be measured on a network that is none without rounding.",
                      nb_report_quantizer(p, worst), nb_report_distance(a, &a->quantized),
                      nb_report_distance(a, &worst->without));
    else if (tried > 0)
        nb_page_point(p, "Would help most", "none of the %d things that were tried helps the whole network.", tried);
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
        nb_page_point(p, "Confused most",
                      "%s and %s, %d times in both directions together; most often one way: %s is taken "
                      "for %s, %d times.",
                      nb_report_class(p, r, x), nb_report_class(p, r, y), both, nb_report_class(p, r, from),
                      nb_report_class(p, r, to), most);
}

static void say_device(const nb_report *r, nb_page *p)
{
    const nb_export_size *x = &r->exported;
    char busiest[200] = "";
    if (x->macs == 0)
        return;
    if (r->integers && x->ram_step < r->integers->e.n_steps)
        snprintf(busiest, sizeof busiest, " (most while %.60s runs: %lld for values between layers, %lld to work in)",
                 r->integers->steps[x->ram_step].name, (long long)(x->ram_bytes - x->ram_scratch),
                 (long long)x->ram_scratch);
    nb_page_point(p, "Needs on a device, as exported C",
                  "%lld bytes of flash for constants, without code; %lld bytes of RAM, without stack and image%s; %lld "
                  "multiply-accumulates per image; no floating point.",
                  (long long)x->flash_bytes, (long long)x->ram_bytes, busiest, (long long)x->macs);
}

/* ---- what is known, and from which images ---- */

static void say_compared(const nb_verify_report *v, int32_t n, nb_page *p)
{
    int64_t faults = 0, ties = 0, all = 0;
    for (int32_t i = 0; i < n; i++) {
        faults += v->rows[i].faults;
        ties += v->rows[i].rounding;
        all += v->rows[i].outputs;
    }
    if (faults > 0)
        nb_page_point(p, "Refuted",
                      "the integers are not the network that was trained: of %lld values of all layers on %d "
                      "images %lld differ by more than rounding.",
                      (long long)all, v->images, (long long)faults);
    else if (ties > 0)
        nb_page_point(p, "Proven here",
                      "the integers are the quantized network of training: of %lld values of all layers on "
                      "%d images %lld differ, each by one rounding of a tie, and nothing else.",
                      (long long)all, v->images, (long long)ties);
    else
        nb_page_point(p, "Proven here",
                      "the integers are the quantized network of training: all %lld values of all layers on "
                      "%d images are equal.",
                      (long long)all, v->images);
}

static void say_proven(const nb_report *r, nb_page *p)
{
    if (!r->integers)
        return;
    if (r->n_proofs > 0)
        say_compared(r->proof, r->n_proofs, p);
    nb_page_point(p, "Not proven here", "%s%s%sthat it is as good on other images than these.",
                  r->n_proofs > 0 ? "" : "that the integers are the network that was trained (nibble verify); ",
                  r->n_checks > 0
                      ? ""
                      : "that the exported C, ONNX Runtime and other instruction sets give the same integers "
                        "(nibble report --proofs, nibble verify --all); ",
                  "how fast it is (nibble bench); ");
    for (int32_t i = 0; i < r->n_checks; i++) {
        const nb_check_row *c = &r->check[i];
        if (c->kind == NB_CHECK_ABSENT || c->kind == NB_CHECK_BROKEN)
            nb_page_point(p, "Not proven here either", "%s: %s.", c->name, c->note);
        else if (c->kind == NB_CHECK_EXACT && c->differ > 0)
            nb_page_point(p, "Refuted", "%s gives %lld logits that are not the engine's.", c->name,
                          (long long)c->differ);
    }
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static void say_images(const nb_report *r, nb_page *p)
{
    char some[96] = "", first[96] = "";
    if (r->eval.n == 0)
        return;
    if (r->analysis && r->analysis->quantized.n < r->eval.n)
        snprintf(some, sizeof some, "; %lld of them, evenly spread, for what each quantizer costs",
                 (long long)r->analysis->quantized.n);
    if (r->n_proofs > 0)
        snprintf(first, sizeof first, "; the first %d for the comparison with training", r->proof->images);
    nb_page_point(
        p, "Images", "all %d of the test set for accuracy, confusion and mistakes%s%s.%s", r->eval.n, some, first,
        r->validation > 0 ? " The epoch was chosen by images held out of training, not by these."
        : r->validation < 0 || r->metrics.n_rows == 0 ? ""
        : ends_with(r->model, "best.safetensors")
            ? " They also chose the epoch, which flatters it; data.validation holds others out for that."
            : " None were held out for choices (data.validation is 0): the last epoch was taken, which they did not "
              "choose, but settings compared by this accuracy are chosen by them.");
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
                    best->name, nb_percent(best->accuracy), best->bytes);
}

void nb_section_verdict(const nb_report *r, nb_page *p)
{
    nb_page_section(p, "verdict", "Verdict");
    if (r->model) {
        say_what(r, p);
        say_accuracy(r, p);
        cards(r, p);
        say_rounding(r, p);
        say_before(r, p);
        say_costs(r, p);
        say_confused(r, p);
        say_bytes(r, p);
        say_device(r, p);
        say_proven(r, p);
        say_images(r, p);
    } else if (r->runs.n_columns > 0)
        say_sweep(r, p);
    for (int32_t i = 0; i < r->n_lacks; i++) {
        nb_page_raw(p, "<div class=\"lack\">");
        nb_page_say(p, "Missing: %s: %s", r->lack[i].what, r->lack[i].why);
        nb_page_raw(p, "</div>\n");
    }
}
