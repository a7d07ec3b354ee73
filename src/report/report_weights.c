/* report_weights.c - weights on the grid of their codes, and how far those of each channel reach. */
#include "report/report.h"

#include <nibble/extend/op.h>

#include "base/check.h"
#include "base/numtext.h"

#include <math.h>

enum { BINS = 64, MOST_CHANNELS = 256, CODES = 256, MOST_LAYERS = 64 };

/* Weights of a layer: channels * each values, codes with scales, or floats. */
typedef struct {
    const char *name;
    int64_t each;
    int32_t channels, bits;
    const int8_t *codes;
    const float *scale;
    int32_t n_scale;
    const int8_t *level; /* all that codes can be, of the first table; NULL: the grid of its bits */
    int32_t n_levels;
    const float *values;
} layer_weights;

static double value_of(const layer_weights *w, int32_t channel, int64_t i)
{
    const int64_t at = channel * w->each + i;
    return w->codes ? w->codes[at] * (double)w->scale[w->n_scale > 1 ? channel : 0] : (double)w->values[at];
}

/* First and last code that there are or could be. */
static void codes_of(const layer_weights *w, int32_t *lo, int32_t *hi)
{
    *lo = w->level ? w->level[0] : 0;
    *hi = w->level ? w->level[w->n_levels - 1] : 0;
    for (int64_t i = 0; i < w->channels * w->each; i++) {
        *lo = w->codes[i] < *lo ? w->codes[i] : *lo;
        *hi = w->codes[i] > *hi ? w->codes[i] : *hi;
    }
    const int32_t end = (1 << (w->bits - 1)) - 1;
    if (!w->level && *lo >= -end - 1 && *hi <= end) { /* a grid around 0; others begin where the smallest is */
        *lo = *lo < -end ? *lo : -end;
        *hi = end;
    }
}

static void histogram_of_codes(const layer_weights *w, const char *name, const char *title, nb_page *p)
{
    double height[CODES] = {0};
    int32_t lo, hi;
    int64_t zeros = 0;
    codes_of(w, &lo, &hi);
    const int32_t width = (hi - lo) / BINS + 1, n = (hi - lo) / width + 1;
    const double one = 100.0 / (double)(w->channels * w->each);
    for (int64_t i = 0; i < w->channels * w->each; i++) {
        height[(w->codes[i] - lo) / width] += one;
        zeros += w->codes[i] == 0;
    }
    const char *note =
        nb_arena_printf(p->arena, "%s; code 0: %.1f %%",
                        width > 1 ? "some codes to a column" : "a column for each code", (double)zeros * one);
    nb_page_columns(
        p, name, note,
        &(nb_svg_columns){.title = title, .x_title = "code", .n = n, .height = height, .lo = lo - 0.5, .width = width});
}

static void histogram_of_floats(const layer_weights *w, const char *name, const char *title, nb_page *p)
{
    double height[BINS] = {0}, lo = 0, hi = 0;
    const int64_t all = w->channels * w->each;
    for (int64_t i = 0; i < all; i++) {
        lo = fmin(lo, (double)w->values[i]);
        hi = fmax(hi, (double)w->values[i]);
    }
    const double width = hi > lo ? (hi - lo) / BINS : 1;
    for (int64_t i = 0; i < all; i++) {
        const int32_t bin = (int32_t)(((double)w->values[i] - lo) / width);
        height[bin < BINS ? bin : BINS - 1] += 100.0 / (double)all;
    }
    nb_page_columns(
        p, name, NULL,
        &(nb_svg_columns){.title = title, .x_title = "weight", .n = BINS, .height = height, .lo = lo, .width = width});
}

static void ranges(const layer_weights *w, const char *name, const char *title, nb_page *p)
{
    const int32_t n = w->channels < MOST_CHANNELS ? w->channels : MOST_CHANNELS;
    double *lo = nb_arena_array(p->arena, 4 * (size_t)n, sizeof *lo);
    int32_t first = 0, last = 0;
    if (!lo) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    double *hi = lo + n, *low_end = hi + n, *high_end = low_end + n;
    if (w->codes)
        codes_of(w, &first, &last);
    for (int32_t i = 0; i < n; i++) {
        const int32_t channel = (int32_t)((int64_t)i * w->channels / n);
        lo[i] = hi[i] = value_of(w, channel, 0);
        for (int64_t k = 1; k < w->each; k++) {
            lo[i] = fmin(lo[i], value_of(w, channel, k));
            hi[i] = fmax(hi[i], value_of(w, channel, k));
        }
        const double scale = w->codes ? (double)w->scale[w->n_scale > 1 ? channel : 0] : 0;
        low_end[i] = first * scale;
        high_end[i] = last * scale;
    }
    nb_page_ranges(p, name,
                   n < w->channels
                       ? "from smallest to largest, of 256 channels, evenly; dashed: the ends of their grids"
                   : w->codes ? "from smallest to largest; dashed: the ends of the channel's grid"
                              : "from smallest to largest",
                   &(nb_svg_ranges){.title = title,
                                    .x_title = "output channel",
                                    .n = n,
                                    .lo = lo,
                                    .hi = hi,
                                    .low_end = w->codes ? low_end : NULL,
                                    .high_end = w->codes ? high_end : NULL});
}

static void draw(const layer_weights *w, int32_t at, nb_page *p)
{
    const char *const width =
        w->codes ? nb_arena_printf(p->arena, "%d bit%s", (int)w->bits, nb_plural((int)w->bits)) : "float";
    const char *title = nb_arena_printf(p->arena, "%s, %s: percent of weights", w->name, width ? width : "");
    const char *reach = nb_arena_printf(p->arena, "%s: weights of each channel", w->name);
    const char *name = nb_arena_printf(p->arena, "weights-%d", (int)at);
    const char *second = nb_arena_printf(p->arena, "ranges-%d", (int)at);
    if (!title || !reach || !name || !second) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    if (w->codes)
        histogram_of_codes(w, name, title, p);
    else
        histogram_of_floats(w, name, title, p);
    ranges(w, second, reach, p);
}

/* ---- where weights are ---- */

static bool of_step(const nb_intmodel *m, int32_t i, layer_weights *w)
{
    const nb_estep *e = &m->e.steps[i];
    const nb_sinfo *s = &m->steps[i];
    if (e->kind != NB_STEP_CONV || s->n_scale == 0)
        return false;
    *w = (layer_weights){.name = s->name,
                         .channels = e->geom.oc,
                         .each = (int64_t)e->geom.kh * e->geom.kw * (e->geom.c / e->geom.groups),
                         .bits = s->weight_bits,
                         .codes = e->weights,
                         .scale = s->weight_scale,
                         .n_scale = s->n_scale,
                         .level = s->level,
                         .n_levels = s->n_levels};
    return true;
}

/* The leaf that a layer multiplies with, a quantizer or two in between. */
static bool of_node(const nb_graph *g, int32_t i, layer_weights *w)
{
    const nb_node *n = g->node[i];
    if (n->op->role != NB_ROLE_MAC || n->n_in < 2)
        return false;
    const nb_node *leaf = n->in[1];
    while (!(leaf->flags & NB_NODE_LEAF) && leaf->n_in > 0)
        leaf = leaf->in[0];
    if (!(leaf->flags & NB_NODE_LEAF) || leaf->out.dtype != NB_F32 || !leaf->out.data)
        return false;
    const int64_t all = nb_count(&leaf->out);
    *w = (layer_weights){.name = n->name,
                         .channels = leaf->out.shape.d[0],
                         .each = all / leaf->out.shape.d[0],
                         .values = leaf->out.data};
    return true;
}

void nb_section_weights(const nb_report *r, nb_page *p)
{
    const int32_t all = r->integers ? r->integers->e.n_steps : r->graph ? r->graph->n : 0;
    int32_t n = 0;
    for (int32_t i = 0; i < all; i++) {
        layer_weights w;
        if (!(r->integers ? of_step(r->integers, i, &w) : of_node(r->graph, i, &w)) || ++n > MOST_LAYERS)
            continue;
        if (n == 1) {
            nb_page_section(p, "weights", "Weights and their ranges");
            nb_page_figures(p);
        }
        draw(&w, n, p);
    }
    if (n > 0)
        nb_page_figures_end(p);
    if (n > MOST_LAYERS)
        nb_page_say(p, "Shown are the first %d of %d layers.", MOST_LAYERS, n);
}
