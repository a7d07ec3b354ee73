/* remedies.c - what would help the worst quantizers: others in their place, tried.
 *
 * More bits (the next width, and 8), a scale for each output channel, and other ranges with their default keys, of which the best
 * one is told. Ranges of all of them are found on the float network's values of calibration images; then each is
 * judged twice, alone and in the quantized network, on the images that all else was judged on. Those that do not lower the
 * cost are told as well: that says that the grid is not the trouble. */
#include "analysis/analyze.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"

#include <stdio.h>
#include <string.h>

enum { WIDEST = 8 };
static const int32_t widths[] = {2, 3, 4, 6, 8};
static const char *const ranges[] = {"minmax", "mse", "percentile", "aciq"};
enum { N_WIDTHS = sizeof widths / sizeof *widths, N_RANGES = sizeof ranges / sizeof *ranges, MOST_EACH = 3 + N_RANGES };

typedef struct {
    nb_probe *p;
    const nb_analysis_job *job;
    nb_analysis *out;
    nb_candidate *candidate;
    bool *of_range; /* it is another range: one of several, of which the best is told */
    nb_analysis_remedy *remedy;
    int32_t n;
} work;

static nb_status add(work *w, int32_t site, const nb_quantizer_wish *wish, const char *text)
{
    NB_TRY(nb_candidate_make(w->p, site, wish, &w->candidate[w->n]));
    if (!w->candidate[w->n].by)
        return NB_OK;
    w->of_range[w->n] = wish->range != NULL;
    w->remedy[w->n].site = site;
    w->remedy[w->n].bits = wish->bits ? wish->bits : w->out->site[site].bits;
    snprintf(w->remedy[w->n].text, sizeof w->remedy[w->n].text, "%s", text);
    w->n++;
    return NB_OK;
}

static nb_status add_bits(work *w, int32_t site, int32_t bits)
{
    const nb_quantizer_wish wish = {.bits = bits};
    char text[32];
    snprintf(text, sizeof text, "%d bit%s", bits, nb_plural(bits));
    return add(w, site, &wish, text);
}

static nb_status add_all(work *w, int32_t site)
{
    const nb_analysis_site *s = &w->out->site[site];
    int32_t next = WIDEST;
    for (int32_t i = N_WIDTHS - 1; i >= 0; i--)
        next = widths[i] > s->bits ? widths[i] : next;
    if (s->bits < WIDEST)
        NB_TRY(add_bits(w, site, next));
    if (next < WIDEST)
        NB_TRY(add_bits(w, site, WIDEST));
    if (s->weights && !s->per_channel)
        NB_TRY(add(w, site, &(nb_quantizer_wish){.per_channel = true}, "per channel"));
    for (int32_t i = 0; i < N_RANGES; i++) {
        char text[48];
        snprintf(text, sizeof text, "range %s", ranges[i]);
        if (strcmp(s->range, ranges[i]) != 0)
            NB_TRY(add(w, site, &(nb_quantizer_wish){.range = ranges[i]}, text));
    }
    return NB_OK;
}

/* Alone and within the network, for each. */
static nb_status run(work *w)
{
    nb_arena *a = w->out->arena;
    nb_trials t = {.images = w->job->images, .n_trials = 2 * w->n, .watch = w->job->watch};
    nb_probe_change *change = nb_arena_array(a, (size_t)w->n + 1, sizeof *change);
    t.trial = nb_arena_array(a, 2 * (size_t)w->n + 1, sizeof *t.trial);
    if (!change || !t.trial)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < w->n; i++) {
        change[i] = (nb_probe_change){w->candidate[i].site, w->candidate[i].by};
        t.trial[2 * i] = (nb_trial){.network = {.base = NB_PROBE_FLOAT, .change = &change[i], .n_changes = 1},
                                    .at = nb_probe_site_at(w->p, w->candidate[i].site)->fq};
        t.trial[2 * i + 1] = (nb_trial){.network = {.base = NB_PROBE_QUANTIZED, .change = &change[i], .n_changes = 1}};
    }
    NB_TRY(nb_candidates_calibrate(w->p, w->candidate, w->n, &w->job->calibration, NULL));
    NB_TRY(nb_trials_run(w->p, &t));
    for (int32_t i = 0; i < w->n; i++) {
        nb_analysis_remedy *r = &w->remedy[i];
        const nb_analysis_site *s = &w->out->site[r->site];
        const nb_trial *alone = &t.trial[2 * i];
        r->before = s->sqnr;
        r->cost_before = s->cost;
        r->after = nb_decibels(alone->signal, alone->noise);
        r->cost_after = alone->score.kl / (double)alone->score.n;
        r->network = t.trial[2 * i + 1].score;
    }
    return NB_OK;
}

/* Of a site's other ranges the best stays. */
static void choose(work *w)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < w->n; i++) {
        nb_analysis_remedy *last = kept ? &w->remedy[kept - 1] : NULL;
        const bool rival = last && w->of_range[i] && w->of_range[kept - 1] && last->site == w->remedy[i].site;
        if (rival && w->remedy[i].cost_after >= last->cost_after)
            continue;
        kept -= rival;
        w->of_range[kept] = w->of_range[i];
        w->remedy[kept++] = w->remedy[i];
    }
    w->n = kept;
}

/* Equals in the order in which they were tried. */
static void sort(nb_analysis_remedy *r, int32_t n)
{
    for (int32_t i = 1; i < n; i++) {
        const nb_analysis_remedy moved = r[i];
        int32_t k = i;
        for (; k > 0 && moved.network.kl < r[k - 1].network.kl; k--)
            r[k] = r[k - 1];
        r[k] = moved;
    }
}

nb_status nb_analyze_remedies(nb_probe *p, const nb_analysis_job *job, nb_analysis *out)
{
    const int32_t n = job->n_worst < out->n_sites ? job->n_worst : out->n_sites;
    work w = {.p = p, .job = job, .out = out};
    w.candidate = nb_arena_array(out->arena, (size_t)(n * MOST_EACH) + 1, sizeof *w.candidate);
    w.of_range = nb_arena_array(out->arena, (size_t)(n * MOST_EACH) + 1, sizeof *w.of_range);
    w.remedy = nb_arena_array(out->arena, (size_t)(n * MOST_EACH) + 1, sizeof *w.remedy);
    if (!w.candidate || !w.of_range || !w.remedy)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++)
        if (!out->site[out->sites_by_cost[i]].negligible)
            NB_TRY(add_all(&w, out->sites_by_cost[i]));
    if (w.n)
        NB_TRY(run(&w));
    choose(&w);
    sort(w.remedy, w.n);
    out->remedy = w.remedy;
    out->n_remedies = w.n;
    return NB_OK;
}
