/* table_profile.c - a profile as tables: statistics, errors, codes, sums over the network, proposals. */
#include "report/table_profile.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    const char *key, *header;
    nb_table_align align;
} heading;

#define HEADINGS(t, of) add_headings(t, of, (int32_t)(sizeof(of) / sizeof *(of)))

static void add_headings(nb_table *t, const heading *h, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        nb_table_column(t, h[i].key, h[i].header, h[i].align);
}

static const heading of_tensor[] = {{"layer", "layer", NB_LEFT}, {"of", "of", NB_LEFT}};

static void add_tensor(nb_table *t, const nb_profile_tensor *of)
{
    nb_table_row(t);
    nb_table_add_text(t, of->layer);
    nb_table_add_text(t, of->weights ? "weights" : "output");
}

/* JSON: null, text: nothing, where there is no such number; infinite is a number to people. */
static void add_db(nb_table *t, double v)
{
    if (isnan(v))
        nb_table_add_blank(t);
    else
        nb_table_add_real(t, v, 1);
}

static void add_percent(nb_table *t, int64_t part, int64_t all)
{
    nb_table_add_figures(t, all > 0 ? 100 * (double)part / (double)all : 0, 3);
}

/* ---- what values are like ---- */

static const heading of_statistics[] = {{"values", "values", NB_RIGHT},
                                        {"min", "min", NB_RIGHT},
                                        {"max", "max", NB_RIGHT},
                                        {"mean", "mean", NB_RIGHT},
                                        {"std", "std", NB_RIGHT},
                                        {"kurtosis", "kurtosis", NB_RIGHT},
                                        {"beyond_4_std", ">4 std", NB_RIGHT},
                                        {"beyond_6_std", ">6 std", NB_RIGHT},
                                        {"zeros_percent", "zeros %", NB_RIGHT},
                                        {"fit", "fit", NB_LEFT},
                                        {"fit_center", "center", NB_RIGHT},
                                        {"fit_spread", "spread", NB_RIGHT}};

static void add_statistics(nb_table *t, const nb_stats *s, const nb_density *fit)
{
    const double kurtosis = nb_stats_kurtosis(s);
    nb_table_add_int(t, s->extent.n);
    nb_table_add_figures(t, s->extent.min, 4);
    nb_table_add_figures(t, s->extent.max, 4);
    nb_table_add_figures(t, nb_stats_mean(s), 3);
    nb_table_add_figures(t, nb_stats_std(s), 3);
    if (isfinite(kurtosis))
        nb_table_add_figures(t, kurtosis, 3);
    else
        nb_table_add_blank(t);
    nb_table_add_int(t, s->outliers.beyond4);
    nb_table_add_int(t, s->outliers.beyond6);
    add_percent(t, s->extent.zeros, s->extent.n);
    nb_table_add_text(t, nb_density_name(fit));
    nb_table_add_figures(t, fit->center, 3);
    nb_table_add_figures(t, fit->spread, 3);
}

nb_status nb_table_of_statistics(const nb_profile *p, nb_table **out)
{
    nb_table *t;
    char spark[NB_SPARK_BYTES];
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    HEADINGS(t, of_statistics);
    nb_table_column(t, "histogram", "on the grid", NB_LEFT);
    for (int32_t i = 0; i < p->n; i++) {
        add_tensor(t, &p->tensor[i]);
        add_statistics(t, &p->tensor[i].stats, &p->tensor[i].fit);
        nb_table_add_text(t, nb_profile_spark(p, &p->tensor[i], spark));
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_channels(const nb_profile *p, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    nb_table_column(t, "channel", "channel", NB_RIGHT);
    HEADINGS(t, of_statistics);
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t c = 0; p->tensor[i].channel && c < p->tensor[i].channels; c++) {
            add_tensor(t, &p->tensor[i]);
            nb_table_add_int(t, c);
            add_statistics(t, &p->tensor[i].channel[c], &p->tensor[i].channel_fit[c]);
        }
    *out = t;
    return NB_OK;
}

/* The grid that shows a shape: of uniform ones that cut nothing off the narrowest of 4 bits or more, else the widest. */
static const nb_profile_cell *shape_of(const nb_profile *p, const nb_profile_tensor *t)
{
    const nb_profile_cell *best = NULL;
    for (int32_t i = 0; i < t->n_cells; i++) {
        const nb_profile_cell *c = &t->cell[i];
        if (!c->count || c->range != NB_PROFILE_MINMAX || isnan(c->uniform))
            continue;
        const int32_t bits = p->formats->of[c->format].bits, had = best ? p->formats->of[best->format].bits : 0;
        if (!best || (bits >= 4 ? had < 4 || bits < had : bits > had))
            best = c;
    }
    return best;
}

const char *nb_profile_spark(const nb_profile *p, const nb_profile_tensor *t, char *buf)
{
    static const char *const blocks[] = {"\xc2\xb7",     "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
                                         "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88"};
    const nb_profile_cell *c = shape_of(p, t);
    int64_t sum[NB_SPARK_CELLS] = {0}, most = 1;
    *buf = '\0';
    if (!c)
        return buf;
    const int32_t cells = c->n_codes < NB_SPARK_CELLS ? c->n_codes : NB_SPARK_CELLS;
    for (int32_t k = 0; k < c->n_codes; k++)
        sum[(int64_t)k * cells / c->n_codes] += c->count[k];
    for (int32_t i = 0; i < cells; i++)
        most = sum[i] > most ? sum[i] : most;
    for (int32_t i = 0, at = 0; i < cells; i++) /* what is there at all is seen */
        at += snprintf(buf + at, (size_t)(NB_SPARK_BYTES - at), "%s", blocks[(sum[i] * 8 + most - 1) / most]);
    return buf;
}

/* ---- what rounding does ---- */

nb_status nb_table_of_sqnr(const nb_profile *p, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    for (int32_t f = 0; f < p->formats->n; f++) {
        nb_table_column(t, p->formats->of[f].key, p->formats->of[f].name, NB_RIGHT);
        nb_table_column(t, p->formats->of[f].predicted, "pred.", NB_RIGHT);
    }
    for (int32_t i = 0; i < p->n; i++) {
        const nb_profile_tensor *of = &p->tensor[i];
        add_tensor(t, of);
        for (int32_t f = 0; f < p->formats->n; f++) {
            const nb_profile_cell *c = nb_profile_best(of, f);
            add_db(t, c ? nb_profile_sqnr(of, c) : NAN);
            add_db(t, c ? nb_profile_sqnr_predicted(of, c) : NAN);
        }
    }
    *out = t;
    return NB_OK;
}

static const heading of_cell[] = {{"format", "format", NB_LEFT},
                                  {"bits", "bits", NB_RIGHT},
                                  {"scales", "scales", NB_LEFT},
                                  {"range", "range", NB_LEFT}};

static const heading of_error[] = {{"mse", "MSE", NB_RIGHT},
                                   {"squared_errors", "sum of squares", NB_RIGHT},
                                   {"psnr_db", "PSNR", NB_RIGHT},
                                   {"sqnr_db", "SQNR", NB_RIGHT},
                                   {"sqnr_predicted_db", "predicted", NB_RIGHT},
                                   {"sqnr_uniform_db", "by step", NB_RIGHT},
                                   {"clipped_percent", "clipped %", NB_RIGHT},
                                   {"rounded_away_percent", "to 0 %", NB_RIGHT},
                                   {"zero_codes_percent", "0 codes %", NB_RIGHT}};

static void add_cell(nb_table *t, const nb_profile *p, const nb_profile_cell *c)
{
    const nb_profile_format *f = &p->formats->of[c->format];
    nb_table_add_text(t, f->format->name);
    nb_table_add_int(t, f->bits);
    nb_table_add_text(t, c->per_channel ? "channel" : "one");
    nb_table_add_text(t, nb_profile_range_name(c->range));
}

/* Of a tensor, or of one of its channels: r is what rounding did to the values of s. */
static void add_error(nb_table *t, const nb_profile_cell *c, const nb_stats *s, const nb_rounded *r, double predicted)
{
    const double n = (double)s->extent.n, signal = s->extent.squares;
    nb_table_add_figures(t, r->noise / n, 3);
    nb_table_add_figures(t, r->noise, 3);
    add_db(t, nb_decibel(c->peak * c->peak * n, r->noise));
    add_db(t, nb_decibel(signal, r->noise));
    add_db(t, nb_decibel(signal, predicted * n));
    add_db(t, nb_decibel(signal, c->uniform * n));
    add_percent(t, r->clipped, s->extent.n);
    add_percent(t, r->vanished, s->extent.n);
    add_percent(t, r->at_zero, s->extent.n);
}

nb_status nb_table_of_errors(const nb_profile *p, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    if (p->channels)
        nb_table_column(t, "channel", "channel", NB_RIGHT);
    HEADINGS(t, of_cell);
    HEADINGS(t, of_error);
    for (int32_t i = 0; i < p->n; i++) {
        const nb_profile_tensor *of = &p->tensor[i];
        for (int32_t k = 0; k < of->n_cells; k++) {
            const nb_profile_cell *c = &of->cell[k];
            add_tensor(t, of);
            if (p->channels)
                nb_table_add_blank(t);
            add_cell(t, p, c);
            add_error(t, c, &of->stats, &c->all, c->predicted);
            for (int32_t ch = 0; c->channel && ch < of->channels; ch++) {
                add_tensor(t, of);
                nb_table_add_int(t, ch);
                add_cell(t, p, c);
                add_error(t, c, &of->channel[ch], &c->channel[ch], c->channel_predicted[ch]);
            }
        }
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_codes(const nb_profile *p, nb_table **out)
{
    static const heading of_code[] = {{"value", "value", NB_RIGHT}, {"count", "count", NB_RIGHT}};
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    HEADINGS(t, of_cell);
    HEADINGS(t, of_code);
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t k = 0; k < p->tensor[i].n_cells; k++) {
            const nb_profile_cell *c = &p->tensor[i].cell[k];
            for (int32_t code = 0; c->count && code < c->n_codes; code++) {
                add_tensor(t, &p->tensor[i]);
                add_cell(t, p, c);
                nb_table_add_figures(t, c->level[code], 5);
                nb_table_add_int(t, c->count[code]);
            }
        }
    *out = t;
    return NB_OK;
}

/* ---- the network ---- */

/* One row: this kind of cell over all tensors of a kind. Nothing where no tensor has such. */
static void add_network_row(nb_table *t, const nb_profile *p, bool weights, const nb_profile_cell *like)
{
    double noise = 0, signal = 0, least = INFINITY;
    const nb_profile_tensor *worst = NULL;
    const nb_profile_cell *any = NULL;
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t k = 0; p->tensor[i].weights == weights && k < p->tensor[i].n_cells; k++) {
            const nb_profile_tensor *of = &p->tensor[i];
            const nb_profile_cell *c = &of->cell[k];
            if (c->format != like->format || c->range != like->range || c->per_channel != like->per_channel)
                continue;
            any = c;
            noise += c->all.noise;
            signal += of->stats.extent.squares;
            const double db = nb_profile_sqnr(of, c);
            if (!isnan(db) && (!worst || db < least)) {
                worst = of;
                least = db;
            }
        }
    if (!any)
        return;
    nb_table_row(t);
    nb_table_add_text(t, weights ? "weights" : "outputs");
    add_cell(t, p, any);
    nb_table_add_figures(t, noise, 3);
    add_db(t, nb_decibel(signal, noise));
    add_db(t, worst ? least : NAN);
    nb_table_add_text(t, worst ? worst->layer : "");
}

nb_status nb_table_of_network(const nb_profile *p, nb_table **out)
{
    static const heading of_network[] = {{"squared_errors", "sum of squares", NB_RIGHT},
                                         {"sqnr_db", "SQNR", NB_RIGHT},
                                         {"worst_sqnr_db", "worst", NB_RIGHT},
                                         {"worst_layer", "of", NB_LEFT}};
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    nb_table_column(t, "all", "all", NB_LEFT);
    HEADINGS(t, of_cell);
    HEADINGS(t, of_network);
    for (int32_t weights = 1; weights >= 0; weights--)
        for (int32_t f = 0; f < p->formats->n; f++)
            for (int32_t per_channel = 0; per_channel < 2; per_channel++)
                for (int32_t r = NB_PROFILE_MINMAX; r <= NB_PROFILE_OWN; r++)
                    add_network_row(
                        t, p, weights == 1,
                        &(nb_profile_cell){.format = f, .per_channel = per_channel == 1, .range = (nb_profile_range)r});
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_proposals(const nb_profile *p, nb_table **out)
{
    static const heading of_proposal[] = {{"bits", "bits", NB_RIGHT},
                                          {"sqnr_db", "SQNR", NB_RIGHT},
                                          {"reached", "reached", NB_LEFT},
                                          {"keys", "keys", NB_LEFT},
                                          {"reason", "reason", NB_LEFT}};
    nb_table *t;
    NB_TRY(nb_table_create(p->ctx, &t));
    HEADINGS(t, of_tensor);
    HEADINGS(t, of_proposal);
    for (int32_t i = 0; i < p->n; i++) {
        const nb_proposal r = nb_profile_propose(p, &p->tensor[i]);
        add_tensor(t, &p->tensor[i]);
        if (r.cell) {
            nb_table_add_int(t, p->formats->of[r.cell->format].bits);
            add_db(t, nb_profile_sqnr(&p->tensor[i], r.cell));
        } else {
            nb_table_add_blank(t);
            nb_table_add_blank(t);
        }
        nb_table_add_text(t, r.cell ? (r.reached ? "yes" : "no") : "");
        nb_table_add_text(t, r.keys);
        nb_table_add_text(t, r.reason);
    }
    *out = t;
    return NB_OK;
}
