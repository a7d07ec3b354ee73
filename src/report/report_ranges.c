/* report_ranges.c - how far the grid of every quantizer reached, epoch by epoch: ranges.csv (src/train/range_log.c). */
#include "report/report.h"

#include "base/numtext.h"

#include <math.h>
#include <string.h>

enum { MOST_PANELS = 48 };

/* Columns of the file, and what its lines are of: epochs in the order of training, quantizers in that of the network. */
typedef struct {
    const nb_csv *csv;
    int32_t phase, epoch, quantizer, of, bits, lo, hi;
    double *x; /* [n_epochs] */
    int32_t n_epochs;
} range_course;

/* The number of that epoch in the whole training, by the table of epochs; NaN: it is not there. */
static double epoch_in_training(const nb_report *r, const char *phase, const char *epoch)
{
    const nb_csv *m = &r->metrics;
    const int32_t p = nb_csv_column(m, "phase"), e = nb_csv_column(m, "epoch");
    for (int32_t i = 0; i < m->n_rows; i++)
        if (!strcmp(nb_csv_text(m, i, p), phase) && !strcmp(nb_csv_text(m, i, e), epoch))
            return i + 1;
    return NAN;
}

static bool same_epoch(const range_course *c, int32_t a, int32_t b)
{
    return !strcmp(nb_csv_text(c->csv, a, c->phase), nb_csv_text(c->csv, b, c->phase)) &&
           !strcmp(nb_csv_text(c->csv, a, c->epoch), nb_csv_text(c->csv, b, c->epoch));
}

/* Epochs that metrics.csv does not know are counted on. */
static bool open_course(const nb_report *r, nb_page *p, range_course *c)
{
    const nb_csv *csv = &r->ranges;
    *c = (range_course){.csv = csv,
                        .phase = nb_csv_column(csv, "phase"),
                        .epoch = nb_csv_column(csv, "epoch"),
                        .quantizer = nb_csv_column(csv, "quantizer"),
                        .of = nb_csv_column(csv, "of"),
                        .bits = nb_csv_column(csv, "bits"),
                        .lo = nb_csv_column(csv, "lo"),
                        .hi = nb_csv_column(csv, "hi")};
    c->x = nb_arena_array(p->arena, (size_t)csv->n_rows + 1, sizeof *c->x);
    if (!c->x)
        return nb_page_ok(p, NB_E_NOMEM);
    for (int32_t i = 0; i < csv->n_rows; i++) {
        if (i > 0 && same_epoch(c, i, i - 1))
            continue;
        const double x = epoch_in_training(r, nb_csv_text(csv, i, c->phase), nb_csv_text(csv, i, c->epoch));
        const double before = c->n_epochs ? c->x[c->n_epochs - 1] : 0;
        c->x[c->n_epochs++] = x > before ? x : before + 1;
    }
    return true;
}

/* Rows in which the kind's quantizers come first, into first [n_rows]; how many. */
static int32_t find_quantizers(const range_course *c, const char *of, int32_t *first)
{
    int32_t n = 0;
    for (int32_t i = 0; i < c->csv->n_rows; i++) {
        int32_t k = 0;
        if (strcmp(nb_csv_text(c->csv, i, c->of), of) != 0)
            continue;
        while (k < n && strcmp(nb_csv_text(c->csv, first[k], c->quantizer), nb_csv_text(c->csv, i, c->quantizer)) != 0)
            k++;
        if (k == n)
            first[n++] = i;
    }
    return n;
}

/* "c1.weight, 4 bits" */
static const char *label_of(const range_course *c, nb_page *p, int32_t row)
{
    const char *name = nb_csv_text(c->csv, row, c->quantizer);
    const size_t n = strlen(name), end = n > 3 && !strcmp(name + n - 3, ".fq") ? n - 3 : n;
    const char *bits = nb_csv_text(c->csv, row, c->bits);
    const char *text =
        nb_arena_printf(p->arena, "%.*s, %s bit%s", (int)end, name, bits, nb_plural(strcmp(bits, "1") == 0 ? 1 : 2));
    return text ? text : "";
}

/* lo and hi [n_epochs] of the quantizer of that row; NaN where it has no line. */
static void fill(const range_course *c, int32_t row, double *lo, double *hi)
{
    const char *name = nb_csv_text(c->csv, row, c->quantizer);
    for (int32_t i = 0, at = -1; i < c->csv->n_rows; i++) {
        if (i == 0 || !same_epoch(c, i, i - 1)) {
            at++;
            lo[at] = hi[at] = NAN;
        }
        if (strcmp(nb_csv_text(c->csv, i, c->quantizer), name) != 0)
            continue;
        lo[at] = nb_csv_real(c->csv, i, c->lo);
        hi[at] = nb_csv_real(c->csv, i, c->hi);
    }
}

static void draw(const range_course *c, nb_page *p, const char *of, const char *name, const char *title)
{
    int32_t *first = nb_arena_array(p->arena, (size_t)c->csv->n_rows + 1, sizeof *first);
    const int32_t all = first ? find_quantizers(c, of, first) : 0, n = all < MOST_PANELS ? all : MOST_PANELS;
    const size_t each = (size_t)c->n_epochs;
    double *lo = nb_arena_array(p->arena, 2 * (size_t)n * each + 1, sizeof *lo),
           *hi = lo ? lo + (size_t)n * each : NULL;
    const char **label = nb_arena_array(p->arena, (size_t)n + 1, sizeof *label);
    if (!first || !lo || !label) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        label[i] = label_of(c, p, first[i]);
        fill(c, first[i], lo + (size_t)i * each, hi + (size_t)i * each);
    }
    if (n > 0)
        nb_page_panels(p, name, all > n ? nb_arena_printf(p->arena, "The first %d of %d.", (int)n, (int)all) : NULL,
                       &(nb_svg_panels){.title = title,
                                        .x_title = "epoch",
                                        .n = c->n_epochs,
                                        .n_panels = n,
                                        .x = c->x,
                                        .lo = lo,
                                        .hi = hi,
                                        .label = label});
}

void nb_section_ranges(const nb_report *r, nb_page *p)
{
    range_course c;
    if (r->ranges.n_rows == 0 || !open_course(r, p, &c))
        return;
    nb_page_section(p, "training-ranges", "Ranges over training");
    nb_page_say(
        p,
        "How far the grid of each quantizer reached after each epoch: from the value of its first code to that of its "
        "last; where each channel has a scale, that of the widest. Every small drawing has its own axis, whose ends "
        "are "
        "the two numbers. What still moves at the end has not settled.");
    nb_page_figures(p); /* one to a row: there is small print in them */
    draw(&c, p, "weights", "training-ranges-weights", "Weights");
    nb_page_figures_end(p);
    nb_page_figures(p);
    draw(&c, p, "values", "training-ranges-values", "Values between layers");
    nb_page_figures_end(p);
}
