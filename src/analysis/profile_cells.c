/* profile_cells.c - see profile_cells.h.
 *
 * A scale covers the values' own extent, or the part of it that the clip of least noise leaves (as range aciq has it), by
 * the functions that fake-quant nodes use. What is predicted is exact for the fitted density on the grid as it then is. */
#include "analysis/profile_cells.h"

#include "base/arena.h"
#include "base/check.h"
#include "quant/range_ends.h"

#include <string.h>

enum { MOST_STATE = 2 * NB_GRID_CODES }; /* floats of a format's own range */

static bool has_ranges(const nb_format *f)
{
    return f->range == NULL;
}

static int32_t count_cells(const nb_profile *p, const nb_profile_tensor *t)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->formats->n; i++) {
        const nb_format *f = p->formats->of[i].format;
        if (t->weights || !f->weights_only)
            n += (has_ranges(f) ? 2 : 1) * (t->weights ? 2 : 1);
    }
    return n;
}

static nb_status make_cell(nb_profile *p, const nb_profile_tensor *t, nb_profile_cell *c)
{
    if (p->channels) {
        c->channel = nb_arena_array(p->arena, (size_t)t->channels, sizeof *c->channel);
        c->channel_predicted = nb_arena_array(p->arena, (size_t)t->channels, sizeof *c->channel_predicted);
        if (!c->channel || !c->channel_predicted)
            return NB_E_NOMEM;
    }
    if (c->per_channel)
        return NB_OK;
    c->level = nb_arena_array(p->arena, NB_GRID_CODES, sizeof *c->level);
    c->count = nb_arena_array(p->arena, NB_GRID_CODES, sizeof *c->count);
    return c->level && c->count ? NB_OK : NB_E_NOMEM;
}

nb_status nb_profile_cells_make(nb_profile *p, nb_profile_tensor *t)
{
    t->cell = nb_arena_array(p->arena, (size_t)count_cells(p, t) + 1, sizeof *t->cell);
    if (!t->cell)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < p->formats->n; i++) {
        const nb_format *f = p->formats->of[i].format;
        if (!t->weights && f->weights_only)
            continue;
        for (int32_t per_channel = 0; per_channel < (t->weights ? 2 : 1); per_channel++)
            for (int32_t range = NB_PROFILE_MINMAX; range <= NB_PROFILE_OWN; range++) {
                if ((range == NB_PROFILE_OWN) == has_ranges(f))
                    continue;
                nb_profile_cell *c = &t->cell[t->n_cells++];
                *c = (nb_profile_cell){.format = i, .range = (nb_profile_range)range, .per_channel = per_channel == 1};
                NB_TRY(make_cell(p, t, c));
            }
    }
    return NB_OK;
}

/* ---- scales ---- */

/* Values that share a scale. */
typedef struct {
    const nb_stats *stats;
    const nb_density *fit;
    const float *x; /* NULL: they are not here */
} shared;

static float value_at(const void *x, int64_t i)
{
    return ((const float *)x)[i];
}

/* As a fake-quant node's range that looks at weights. state: as many floats as it has. */
static void scale_of_its_own(nb_rounder *r, const nb_profile_format *f, const shared *s, float *state, float *scale,
                             int32_t *zero)
{
    const nb_format *format = f->format;
    NB_ASSERT(format->range);
    const nb_observation o = {.values = {value_at, s->x},
                              .n = s->stats->extent.n,
                              .min = (float)s->stats->extent.min,
                              .max = (float)s->stats->extent.max,
                              .grid = &r->grid,
                              .first = true,
                              .calibration = 1};
    format->range->observe(f->attr, state, &o);
    format->range->params(f->attr, state, &r->grid, scale, zero);
    if (format->book || format->edges)
        nb_rounder_book(r, state);
}

static void scale_of_range(const nb_rounder *r, nb_profile_range range, const shared *s, float *scale, int32_t *zero)
{
    double low = s->stats->extent.min, high = s->stats->extent.max;
    if (range == NB_PROFILE_CLIP && s->fit->spread > 0) {
        double cut_low, cut_high;
        nb_density_clip(s->fit, nb_rounder_intervals(r, s->fit->one_sided), &cut_low, &cut_high);
        low = fmax(low, fmin(cut_low, 0));
        high = fmin(high, fmax(cut_high, 0));
    }
    nb_params_cover(&r->grid, (float)low, (float)high, scale, zero);
}

/* What a scale implies. */
typedef struct {
    double predicted, uniform, peak;
    double level[NB_GRID_CODES];
    int32_t n;
} implied;

static void imply(const nb_rounder *r, float scale, int32_t zero, const nb_density *fit, implied *out)
{
    double edge[NB_GRID_CODES];
    out->n = nb_rounder_values(r, scale, zero, out->level, edge);
    out->predicted = nb_density_noise(fit, out->level, edge, out->n);
    out->uniform = nb_rounder_even(r) ? (double)scale * (double)scale / 12 : NAN;
    out->peak = fmax(-out->level[0], out->level[out->n - 1]);
}

static void settle_one(nb_profile_cell *c, const nb_rounder *r, const implied *of)
{
    c->predicted = of->predicted;
    c->uniform = of->uniform;
    c->peak = of->peak;
    c->n_codes = of->n;
    memcpy(c->level, of->level, (size_t)of->n * sizeof *c->level);
    if (r->grid.real)
        c->count = NULL;
}

/* ---- activations ---- */

void nb_profile_cells_settle(const nb_profile *p, nb_profile_tensor *t)
{
    const shared s = {&t->stats, &t->fit, NULL};
    for (int32_t i = 0; i < t->n_cells; i++) {
        nb_profile_cell *c = &t->cell[i];
        nb_rounder r;
        implied of;
        nb_rounder_init(&r, &p->formats->of[c->format], t->weights);
        scale_of_range(&r, c->range, &s, &c->scale, &c->zero);
        imply(&r, c->scale, c->zero, &t->fit, &of);
        settle_one(c, &r, &of);
        for (int32_t k = 0; c->channel && k < t->channels; k++) {
            imply(&r, c->scale, c->zero, &t->channel_fit[k], &of);
            c->channel_predicted[k] = of.predicted;
        }
    }
}

void nb_profile_cells_measure(const nb_profile *p, const nb_profile_tensor *t, const float *x, int64_t n,
                              int32_t groups, nb_rounded *sums, int64_t *count)
{
    for (int32_t i = 0; i < t->n_cells; i++) {
        const nb_profile_cell *c = &t->cell[i];
        nb_rounder r;
        nb_rounder_init(&r, &p->formats->of[c->format], t->weights);
        nb_rounder_measure(&r, c->scale, c->zero, x, n, sums + (int64_t)i * groups, groups,
                           c->count ? count + (int64_t)i * NB_GRID_CODES : NULL);
    }
}

void nb_profile_cells_add(nb_profile_tensor *t, int32_t groups, const nb_rounded *sums, const int64_t *count)
{
    for (int32_t i = 0; i < t->n_cells; i++) {
        nb_profile_cell *c = &t->cell[i];
        for (int32_t g = 0; g < groups; g++) {
            nb_rounded_merge(&c->all, &sums[(int64_t)i * groups + g]);
            if (c->channel)
                nb_rounded_merge(&c->channel[g], &sums[(int64_t)i * groups + g]);
        }
        for (int32_t k = 0; c->count && k < c->n_codes; k++)
            c->count[k] += count[(int64_t)i * NB_GRID_CODES + k];
    }
}

/* ---- weights ---- */

static void measure_channel(nb_profile_cell *c, const nb_rounder *r, int32_t k, const implied *of, const float *w,
                            int64_t per)
{
    nb_rounded sums = {0};
    nb_rounder_measure(r, c->scale, c->zero, w + k * per, per, &sums, 1, c->count);
    nb_rounded_merge(&c->all, &sums);
    if (c->channel) {
        c->channel[k] = sums;
        c->channel_predicted[k] = of->predicted;
    }
}

static void weights_with_one_scale(const nb_profile *p, const nb_profile_tensor *t, nb_profile_cell *c, const float *w,
                                   float *state)
{
    const nb_profile_format *f = &p->formats->of[c->format];
    const shared s = {&t->stats, &t->fit, w};
    const int64_t per = t->stats.extent.n / t->channels;
    nb_rounder r;
    implied of, own = {.predicted = 0};
    nb_rounder_init(&r, f, true);
    if (c->range == NB_PROFILE_OWN)
        scale_of_its_own(&r, f, &s, state, &c->scale, &c->zero);
    else
        scale_of_range(&r, c->range, &s, &c->scale, &c->zero);
    imply(&r, c->scale, c->zero, &t->fit, &of);
    settle_one(c, &r, &of);
    for (int32_t k = 0; k < t->channels; k++) {
        if (c->channel)
            imply(&r, c->scale, c->zero, &t->channel_fit[k], &own);
        measure_channel(c, &r, k, &own, w, per);
    }
}

static void weights_with_many_scales(const nb_profile *p, const nb_profile_tensor *t, nb_profile_cell *c,
                                     const float *w, float *state)
{
    const nb_profile_format *f = &p->formats->of[c->format];
    const int64_t per = t->stats.extent.n / t->channels;
    nb_rounder r;
    implied of;
    nb_rounder_init(&r, f, true);
    for (int32_t k = 0; k < t->channels; k++) {
        const shared s = {&t->channel[k], &t->channel_fit[k], w + k * per};
        memset(state, 0, MOST_STATE * sizeof *state);
        if (c->range == NB_PROFILE_OWN)
            scale_of_its_own(&r, f, &s, state, &c->scale, &c->zero);
        else
            scale_of_range(&r, c->range, &s, &c->scale, &c->zero);
        imply(&r, c->scale, c->zero, &t->channel_fit[k], &of);
        measure_channel(c, &r, k, &of, w, per);
        c->predicted += of.predicted / t->channels;
        c->uniform += of.uniform / t->channels;
        c->peak = fmax(c->peak, of.peak);
    }
}

void nb_profile_cells_of_weights(const nb_profile *p, nb_profile_tensor *t, const float *w)
{
    float state[MOST_STATE];
    for (int32_t i = 0; i < t->n_cells; i++) {
        nb_profile_cell *c = &t->cell[i];
        const nb_profile_format *f = &p->formats->of[c->format];
        const nb_range *own = f->format->range;
        const int32_t n_state = own ? own->n_state + (own->n_state_per_level << f->bits) : 0;
        NB_ASSERT(n_state <= MOST_STATE);
        memset(state, 0, sizeof state);
        if (c->per_channel)
            weights_with_many_scales(p, t, c, w, state);
        else
            weights_with_one_scale(p, t, c, w, state);
    }
}
