/* svg_panels.c - small multiples, see svg.h. */
#include "report/html.h"
#include "report/svg.h"
#include "report/svg_plane.h"

#include <math.h>
#include <stdio.h>

enum { COLUMNS = 3, WIDE = SVG_WIDTH / COLUMNS, HIGH = 78, LEFT = 34, RIGHT = 6, TOP = 13, LETTERS = 26, FOOT = 16 };

static const double THIN = 0.5;

/* Where a value of a panel stands; the band of a range that is one number keeps some thickness. */
typedef struct {
    double left, top, x0, x1, y0, y1;
} panel;

static double at_x(const panel *p, double x)
{
    const double share = p->x1 > p->x0 ? (x - p->x0) / (p->x1 - p->x0) : 0.5;
    return p->left + LEFT + share * (WIDE - LEFT - RIGHT);
}

static double at_y(const panel *p, double y)
{
    const double share = p->y1 > p->y0 ? (y - p->y0) / (p->y1 - p->y0) : 0.5;
    return p->top + HIGH - 12 - share * (HIGH - 12 - TOP);
}

/* From the first to the last known one along hi, back along lo. A single one is as wide as the panel. */
static void add_band(nb_text *out, const panel *p, const double *x, const double *lo, const double *hi, int32_t n)
{
    for (int32_t from = 0, end; from < n; from = end + 1) {
        for (end = from; end < n && isfinite(lo[end]) && isfinite(hi[end]);)
            end++;
        if (end == from)
            continue;
        const double wide = end - from == 1 ? 2 : 0;
        nb_text_printf(out, "<path class=\"band\" d=\"M%.1f %.1f", at_x(p, x[from]) - wide, at_y(p, hi[from]) - THIN);
        for (int32_t i = from; i < end; i++)
            nb_text_printf(out, "L%.1f %.1f", at_x(p, x[i]) + wide, at_y(p, hi[i]) - THIN);
        for (int32_t i = end - 1; i >= from; i--)
            nb_text_printf(out, "L%.1f %.1f", at_x(p, x[i]) + wide, at_y(p, lo[i]) + THIN);
        nb_text_printf(out, "L%.1f %.1fz\"/>\n", at_x(p, x[from]) - wide, at_y(p, lo[from]) + THIN);
    }
}

static void add_panel(nb_text *out, const nb_svg_panels *d, int32_t i)
{
    const double *lo = d->lo + (size_t)i * (size_t)d->n, *hi = d->hi + (size_t)i * (size_t)d->n;
    svg_plane span = svg_plane_empty();
    char text[32];
    for (int32_t k = 0; k < d->n; k++) {
        svg_plane_hold_x(&span, d->x[k]);
        svg_plane_hold_y(&span, lo[k]);
        svg_plane_hold_y(&span, hi[k]);
    }
    const int32_t row = i / COLUMNS;
    const panel p = {
        .left = i % COLUMNS * WIDE, .top = HIGH * row, .x0 = span.x0, .x1 = span.x1, .y0 = span.y0, .y1 = span.y1};
    nb_text_add(out, "<g><title>");
    nb_html_add(out, d->label[i]);
    nb_text_add(out, "</title>\n");
    svg_word(out, p.left + WIDE - RIGHT, p.top + 8, "end", "tiny", d->label[i], LETTERS);
    if (span.y0 <= span.y1) {
        svg_word(out, p.left + LEFT - 3, at_y(&p, p.y1) + 3, "end", "soft tiny", svg_number(p.y1, text, sizeof text),
                 9);
        svg_word(out, p.left + LEFT - 3, at_y(&p, p.y0) + 3, "end", "soft tiny", svg_number(p.y0, text, sizeof text),
                 9);
        if (p.y0 < 0 && p.y1 > 0)
            nb_text_printf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", p.left + LEFT, at_y(&p, 0),
                           p.left + WIDE - RIGHT);
        add_band(out, &p, d->x, lo, hi, d->n);
    }
    nb_text_add(out, "</g>\n");
}

void nb_svg_add_panels(nb_text *out, const nb_svg_panels *d)
{
    const int32_t rows = (d->n_panels + COLUMNS - 1) / COLUMNS;
    char from[32], to[32], line[128];
    svg_begin(out, d->title, rows * HIGH + FOOT);
    for (int32_t i = 0; i < d->n_panels; i++)
        add_panel(out, d, i);
    if (d->n > 0) {
        snprintf(line, sizeof line, "%.40s %s to %s", d->x_title, svg_number(d->x[0], from, sizeof from),
                 svg_number(d->x[d->n - 1], to, sizeof to));
        svg_word(out, SVG_WIDTH - RIGHT, rows * HIGH + 8, "end", "soft", line, 80);
    }
    svg_end(out);
}
