/* sensitivity.c - see sensitivity.h. */
#include "analysis/sensitivity.h"

#include "base/check.h"
#include "quant/fakequant.h"

/* Another range of that name with its default attributes; false: it cannot be used there. */
static nb_status take_range(nb_probe *p, const nb_node *fq, const char *name, nb_fakequant_attr *a, bool *possible)
{
    nb_graph *g = nb_probe_graph(p);
    void *attr = NULL;
    a->range = nb_registry_find(nb_ranges, name);
    NB_ASSERT(a->range != NULL);
    NB_TRY(nb_entry_bind(g->ctx, g->arena, a->range, NULL, "range", (nb_binding){0}, &attr));
    a->range_attr = attr;
    a->auto_range = false;
    const nb_range_use use = {.of = fq->in[0], .bits = a->bits, .weights = a->weights};
    char why[400];
    *possible = *possible && (!a->range->refuse || !a->range->refuse(attr, &use, why, sizeof why));
    return NB_OK;
}

static bool has_bits(const nb_fakequant_attr *a, int32_t bits)
{
    const int32_t most = a->format->max_bits ? a->format->max_bits : 8;
    const bool one = !a->weights && a->scheme == NB_SCHEME_UNSIGNED;
    const int32_t least = one ? 1 : a->format->min_bits ? a->format->min_bits : 2;
    return !a->format->width && least <= bits && bits <= most;
}

nb_status nb_candidate_make(nb_probe *p, int32_t site, const nb_quantizer_wish *wish, nb_candidate *out)
{
    const nb_node *fq = nb_probe_site_at(p, site)->fq;
    nb_fakequant_attr a = *(const nb_fakequant_attr *)fq->attr;
    bool possible = !a.format->one_scale && !a.learning->book && !(a.learning->n_state && a.learning->warp);
    *out = (nb_candidate){.site = site};
    if (wish->bits && wish->bits != a.bits) {
        possible = possible && has_bits(&a, wish->bits);
        a.bits = wish->bits;
    }
    if (wish->per_channel) {
        a.per_channel = true;
        a.group = 0;
    }
    if (wish->range) {
        possible = possible && !a.format->range; /* else the scale's rule belongs to the codes */
        NB_TRY(take_range(p, fq, wish->range, &a, &possible));
    } else if (a.auto_range) {
        const nb_range *rule = nb_registry_find(nb_ranges, "auto");
        const nb_range_use use = {.of = fq->in[0], .bits = a.bits, .weights = a.weights};
        a.range = nb_registry_find(nb_ranges, rule->pick(&use));
    }
    return possible ? nb_fakequant_understudy(nb_probe_graph(p), fq, &a, &out->by) : NB_OK;
}

/* Is the network computed up to its answers, or up to the quantizer alone? */
typedef enum { JUDGED, UP_TO_IT } judgement;

static nb_status run_rows(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration,
                          const nb_trials *job, nb_candidate *c, judgement judged)
{
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++) {
        const nb_quantizer_wish wish = {.bits = rows[i].bits};
        NB_TRY(nb_candidate_make(p, rows[i].site, &wish, &c[m]));
        rows[i].possible = c[m].by != NULL;
        m += rows[i].possible;
    }
    NB_TRY(nb_candidates_calibrate(p, c, m, calibration, NULL));
    nb_trials t = *job;
    t.n_trials = m;
    nb_probe_change *change = nb_alloc(nb_probe_graph(p)->ctx, ((size_t)m + 1) * sizeof *change);
    if (!change)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < m; i++) {
        change[i] = (nb_probe_change){c[i].site, c[i].by};
        const nb_node *fq = nb_probe_site_at(p, c[i].site)->fq;
        t.trial[i] = (nb_trial){.network = {.base = NB_PROBE_FLOAT, .change = &change[i], .n_changes = 1}, .at = fq};
        t.trial[i].network.until = judged == JUDGED ? NULL : fq;
    }
    nb_status st = nb_trials_run(p, &t);
    for (int32_t i = 0, k = 0; i < n; i++)
        if (rows[i].possible) {
            rows[i].score = t.trial[k].score;
            rows[i].signal = t.trial[k].signal;
            rows[i].noise = t.trial[k++].noise;
        }
    nb_free(nb_probe_graph(p)->ctx, change);
    return st;
}

static nb_status with_rows(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration,
                           const nb_images *images, const nb_watch *watch, judgement judged)
{
    nb_ctx *ctx = nb_probe_graph(p)->ctx;
    nb_candidate *c = nb_alloc(ctx, ((size_t)n + 1) * sizeof *c);
    nb_trials t = {.images = *images, .watch = watch};
    t.trial = nb_alloc(ctx, ((size_t)n + 1) * sizeof *t.trial);
    nb_status st = c && t.trial ? run_rows(p, rows, n, calibration, &t, c, judged) : NB_E_NOMEM;
    nb_free(ctx, t.trial);
    nb_free(ctx, c);
    return st;
}

nb_status nb_sensitivity(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration,
                         const nb_images *images, const nb_watch *watch)
{
    return with_rows(p, rows, n, calibration, images, watch, JUDGED);
}

nb_status nb_rounding_errors(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration)
{
    const nb_images one = {.data = calibration->data, .indices = calibration->indices, .n = 1};
    return with_rows(p, rows, n, &one, &one, NULL, UP_TO_IT);
}
