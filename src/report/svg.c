/* svg.c - see svg.h. */
#include "report/svg.h"

#include "report/html.h"
#include "report/svg_plane.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DOTS = 40, BAR_RIGHT = 304, ROW_GAP = 6, LABEL = 30, LETTER = 6 };

static const double ROOM = 1.25; /* times what is there */

const char nb_svg_style[] =
    ":root{--bg:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d8dee4;--f1:#2266bb;--f2:#c2571a;--f3:#2b8a3e;--f4:#8347b5}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161b;--ink:#e6e9ed;--soft:#9aa4b0;--line:#333b45;--f1:#6aa9f4;"
    "--f2:#f0935a;--f3:#69c47c;--f4:#c193ec}}\n"
    "svg{font:11px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}svg .on{fill:var(--bg)}"
    "svg .tiny{font-size:9px}\n"
    "svg .grid{stroke:var(--line);fill:none}svg .end{stroke:var(--soft);fill:none;stroke-dasharray:3 2}\n"
    "svg .f1{fill:var(--f1)}svg .f2{fill:var(--f2)}svg .f3{fill:var(--f3)}svg .f4{fill:var(--f4)}\n"
    "svg .l1,svg .l2,svg .l3,svg .l4{fill:none;stroke-width:1.6}"
    "svg .l1{stroke:var(--f1)}svg .l2{stroke:var(--f2)}svg .l3{stroke:var(--f3)}svg .l4{stroke:var(--f4)}\n"
    "svg .rest{fill:none;stroke:var(--soft)}svg .band{fill:var(--f1);fill-opacity:.25;stroke:var(--f1)}\n";

void nb_svg_file(nb_text *out, const char *svg)
{
    const char *inside = strchr(svg, '>') + 1;
    nb_text_bytes(out, svg, (size_t)(inside - svg));
    nb_text_printf(out, "<style>%ssvg{background:var(--bg)}</style>%s", nb_svg_style, inside);
}

/* ---- bars ---- */

/* Of the longest name; a letter takes about so much. */
static int32_t label_room(const nb_svg_bars *b)
{
    int32_t most = 6;
    for (int32_t i = 0; i < b->n; i++) {
        const int32_t n = (int32_t)strlen(b->label[i]);
        most = n > most ? n : most;
    }
    return LETTER * (most < LABEL ? most : LABEL) + 8;
}

/* All of a drawing in one style: where the largest is below 1, with so many decimals that four of its digits are seen. */
static const char *number_like(double v, double most, char *buf, size_t size)
{
    if (!(most < 1 && most >= 1e-7))
        return svg_number(v, buf, size);
    snprintf(buf, size, "%.*f", (int)(3 - floor(log10(most))), v);
    return buf;
}

void nb_svg_add_bars(nb_text *out, const nb_svg_bars *b)
{
    const int32_t thick = b->n_series > 1 ? 9 : 11, row = b->n_series * thick + ROW_GAP, left = label_room(b);
    const bool legend = b->n_series > 1;
    double most = 0;
    char text[32];
    for (int32_t i = 0; i < b->n * b->n_series; i++)
        most = isfinite(b->value[i]) ? fmax(most, b->value[i]) : most;
    svg_begin(out, b->title, 4 + b->n * row + (legend ? 18 : 0));
    for (int32_t i = 0; i < b->n; i++) {
        const double y = 4 + i * row;
        svg_word(out, left - 5, y + b->n_series * thick / 2.0 + 3.5, "end", "ink", b->label[i], LABEL);
        for (int32_t k = 0; k < b->n_series; k++) {
            const double v = b->value[i * b->n_series + k], top = y + k * thick;
            if (!isfinite(v))
                continue;
            const double width = most > 0 ? v / most * (BAR_RIGHT - left) : 0;
            nb_text_printf(out, "<rect class=\"f%d\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"><title>",
                           (int)k + 1, left, top, fmax(width, 0.5), (int)thick - 1);
            nb_html_add(out, b->label[i]);
            nb_text_printf(out, ", %s: %.6g</title></rect>\n", b->series[k], v);
            svg_word(out, left + width + 4, top + thick / 2.0 + 2.5, "start", b->n_series > 1 ? "soft tiny" : "soft",
                     number_like(v, most, text, sizeof text), 12);
        }
    }
    if (legend)
        svg_legend(out, 4 + b->n * row + 11, b->series, b->n_series);
    svg_end(out);
}

/* ---- lines ---- */

static void add_line(nb_text *out, const svg_plane *p, const nb_svg_lines *l, int32_t k)
{
    const double *v = l->value + (size_t)k * (size_t)l->n;
    bool on = false;
    nb_text_printf(out, "<path class=\"l%d\" d=\"", (int)k + 1);
    for (int32_t i = 0; i < l->n; i++) {
        if (isfinite(v[i]))
            nb_text_printf(out, "%c%.1f %.1f", on ? 'L' : 'M', svg_x(p, l->x[i]), svg_y(p, v[i]));
        on = isfinite(v[i]);
    }
    nb_text_add(out, "\"/>\n");
    for (int32_t i = 0; l->n <= DOTS && i < l->n; i++)
        if (isfinite(v[i]))
            nb_text_printf(out,
                           "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"><title>%s: %.6g</title></circle>\n",
                           (int)k + 1, svg_x(p, l->x[i]), svg_y(p, v[i]), l->series[k], v[i]);
}

void nb_svg_add_lines(nb_text *out, const nb_svg_lines *l)
{
    svg_plane p = svg_plane_empty();
    for (int32_t i = 0; i < l->n; i++)
        svg_plane_hold_x(&p, l->x[i]);
    for (int32_t i = 0; i < l->n * l->n_series; i++)
        svg_plane_hold_y(&p, l->value[i]);
    svg_plane_settle(&p, true);
    svg_begin(out, l->title, SVG_HEIGHT + (l->n_series > 1 ? 12 : 0));
    svg_axes(out, &p, l->x_title);
    for (int32_t i = 0; i < l->n_marks; i++) {
        const double x = svg_x(&p, l->mark[i]);
        nb_text_printf(out, "<path class=\"end\" d=\"M%.1f %dV%d\"/>\n", x, SVG_TOP - 8, SVG_FLOOR);
        svg_word(out, fmin(x + 3, SVG_RIGHT - 30), SVG_TOP - 10, "start", "soft", l->mark_text[i], 16);
    }
    for (int32_t k = 0; k < l->n_series; k++)
        add_line(out, &p, l, k);
    if (l->n_series > 1)
        svg_legend(out, SVG_HEIGHT + 4, l->series, l->n_series);
    svg_end(out);
}

/* ---- columns, ranges ---- */

void nb_svg_add_columns(nb_text *out, const nb_svg_columns *c)
{
    svg_plane p = svg_plane_empty();
    svg_plane_hold_x(&p, c->lo);
    svg_plane_hold_x(&p, c->lo + c->n * c->width);
    svg_plane_hold_y(&p, 0);
    for (int32_t i = 0; i < c->n; i++)
        svg_plane_hold_y(&p, c->height[i]);
    svg_plane_settle(&p, false);
    svg_begin(out, c->title, SVG_HEIGHT);
    svg_axes(out, &p, c->x_title);
    nb_text_add(out, "<path class=\"f1\" d=\"");
    for (int32_t i = 0; i < c->n; i++) {
        const double x0 = svg_x(&p, c->lo + i * c->width), x1 = svg_x(&p, c->lo + (i + 1) * c->width);
        const double gap = x1 - x0 > 4 ? 1 : 0;
        if (c->height[i] > 0)
            nb_text_printf(out, "M%.1f %dV%.1fH%.1fV%dz", x0 + gap / 2, SVG_FLOOR, svg_y(&p, c->height[i]),
                           x1 - gap / 2, SVG_FLOOR);
    }
    nb_text_add(out, "\"/>\n");
    svg_end(out);
}

/* Those outside of what is shown run along its edge. */
static void add_ends(nb_text *out, const svg_plane *p, const double *end, int32_t n)
{
    bool on = false;
    nb_text_add(out, "<path class=\"end\" d=\"");
    for (int32_t i = 0; i < n; i++) {
        if (isfinite(end[i]))
            nb_text_printf(out, "%c%.1f %.1fH%.1f", on ? 'L' : 'M', svg_x(p, i),
                           svg_y(p, fmax(p->y0, fmin(p->y1, end[i]))), svg_x(p, i + 1));
        on = isfinite(end[i]);
    }
    nb_text_add(out, "\"/>\n");
}

void nb_svg_add_ranges(nb_text *out, const nb_svg_ranges *r)
{
    svg_plane p = svg_plane_empty();
    svg_plane_hold_x(&p, 0);
    svg_plane_hold_x(&p, r->n);
    for (int32_t i = 0; i < r->n; i++) {
        svg_plane_hold_y(&p, r->lo[i]);
        svg_plane_hold_y(&p, r->hi[i]);
    }
    /* a grid that reaches far beyond what is there (a channel that is all 0 has any) would hide the rest */
    const double lowest = ROOM * p.y0, highest = ROOM * p.y1;
    for (int32_t i = 0; r->high_end && i < r->n; i++) {
        svg_plane_hold_y(&p, fmax(lowest, r->low_end[i]));
        svg_plane_hold_y(&p, fmin(highest, r->high_end[i]));
    }
    svg_plane_settle(&p, true);
    const double wide = (SVG_RIGHT - SVG_LEFT) / (double)(r->n ? r->n : 1);
    svg_begin(out, r->title, SVG_HEIGHT);
    svg_axes(out, &p, r->x_title);
    nb_text_printf(out, "<path class=\"l1\" style=\"stroke-width:%.2f\" d=\"", fmin(0.6 * wide, 8));
    for (int32_t i = 0; i < r->n; i++)
        if (isfinite(r->lo[i]) && isfinite(r->hi[i]))
            nb_text_printf(out, "M%.1f %.1fV%.1f", svg_x(&p, i + 0.5), svg_y(&p, r->lo[i]),
                           fmin(svg_y(&p, r->hi[i]), svg_y(&p, r->lo[i]) - 0.5));
    nb_text_add(out, "\"/>\n");
    if (r->high_end) {
        add_ends(out, &p, r->low_end, r->n);
        add_ends(out, &p, r->high_end, r->n);
    }
    svg_end(out);
}

/* ---- matrix ---- */

/* Where its cells are: names to the left of them and, turned, above. */
typedef struct {
    double left, top, side;
} matrix_place;

enum { MATRIX_LETTERS = 14 };

static matrix_place place_of(const nb_svg_matrix *m)
{
    size_t longest = 3;
    for (int32_t i = 0; i < m->n; i++)
        longest = strlen(m->label[i]) > longest ? strlen(m->label[i]) : longest;
    const double room = LETTER * (double)(longest < MATRIX_LETTERS ? longest : MATRIX_LETTERS) + 8;
    return (matrix_place){room, room + 14, fmin(26, (SVG_WIDTH - 6 - room) / (m->n ? m->n : 1))};
}

/* What is wrong is a small share: it is drawn stronger, and never so weak that it is not seen on light and on dark. */
static double strength(bool right, double share)
{
    static const double WRONG = 3, LEAST = 0.2;
    return right ? share : fmin(1, LEAST + WRONG * share);
}

static void add_cell(nb_text *out, const nb_svg_matrix *m, const matrix_place *p, int32_t row, int32_t column,
                     double all)
{
    const int32_t count = m->count[row * m->n + column];
    const double strong = strength(row == column, all > 0 ? count / all : 0), side = p->side,
                 x = p->left + column * side, y = p->top + row * side;
    char text[16];
    if (count == 0)
        return;
    nb_text_printf(
        out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill-opacity=\"%.2f\"><title>",
        row == column ? "f1" : "f2", x, y, side - 1, side - 1, strong);
    nb_html_add(out, m->label[row]);
    nb_text_add(out, " taken for ");
    nb_html_add(out, m->label[column]);
    nb_text_printf(out, ": %d</title></rect>\n", (int)count);
    snprintf(text, sizeof text, "%d", (int)count);
    if (side >= 5.0 * (double)strlen(text))
        svg_word(out, x + side / 2, y + side / 2 + 3, "middle", strong > 0.6 ? "on tiny" : "tiny", text, 8);
}

void nb_svg_add_matrix(nb_text *out, const nb_svg_matrix *m)
{
    const matrix_place p = place_of(m);
    svg_begin(out, m->title, (int32_t)(p.top + 6 + m->n * p.side));
    svg_word(out, p.left, 10, "start", "soft", "what the network says", 40);
    svg_word(out, p.left - 5, p.top - 5, "end", "soft", "what it is", 40);
    for (int32_t i = 0; i < m->n; i++) {
        const double middle = (i + 0.5) * p.side + 3;
        double all = 0;
        svg_word_up(out, p.left + middle, p.top - 5, p.side > 12 ? "ink" : "tiny", m->label[i], MATRIX_LETTERS);
        svg_word(out, p.left - 5, p.top + middle, "end", p.side > 12 ? "ink" : "tiny", m->label[i], MATRIX_LETTERS);
        for (int32_t k = 0; k < m->n; k++)
            all += m->count[i * m->n + k];
        for (int32_t k = 0; k < m->n; k++)
            add_cell(out, m, &p, i, k, all);
    }
    svg_end(out);
}

/* ---- points ---- */

/* From the point with the smallest x on: the next on the line is the one with the next larger x. */
static void add_front(nb_text *out, const svg_plane *p, const nb_svg_points *d)
{
    double after = -HUGE_VAL;
    nb_text_add(out, "<path class=\"rest\" d=\"");
    for (char move = 'M';; move = 'L') {
        int32_t next = -1;
        for (int32_t i = 0; i < d->n; i++)
            if (d->best[i] && isfinite(d->x[i]) && isfinite(d->y[i]) && d->x[i] > after &&
                (next < 0 || d->x[i] < d->x[next]))
                next = i;
        if (next < 0)
            break;
        nb_text_printf(out, "%c%.1f %.1f", move, svg_x(p, d->x[next]), svg_y(p, d->y[next]));
        after = d->x[next];
    }
    nb_text_add(out, "\"/>\n");
}

static void add_point(nb_text *out, const svg_plane *p, const nb_svg_points *d, int32_t i)
{
    const double x = svg_x(p, d->x[i]), y = svg_y(p, d->y[i]);
    const bool marked = d->marked && d->marked[i];
    if (marked)
        nb_text_printf(out, "<path class=\"f3\" d=\"M%.1f %.1fl5 5l-5 5l-5 -5z\"><title>", x, y - 5);
    else
        nb_text_printf(out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>", d->best[i] ? 2 : 1, x, y,
                       d->best[i] ? "3.5" : "2.5");
    nb_html_add(out, d->label[i]);
    nb_text_printf(out, ": %.6g, %.6g</title></%s>\n", d->x[i], d->y[i], marked ? "path" : "circle");
}

void nb_svg_add_points(nb_text *out, const nb_svg_points *d)
{
    svg_plane p = svg_plane_empty();
    for (int32_t i = 0; i < d->n; i++)
        if (isfinite(d->x[i]) && isfinite(d->y[i])) {
            svg_plane_hold_x(&p, d->x[i]);
            svg_plane_hold_y(&p, d->y[i]);
        }
    svg_plane_settle(&p, false);
    svg_begin(out, d->title, SVG_HEIGHT + (d->is ? 12 : 0));
    svg_axes(out, &p, d->x_title);
    add_front(out, &p, d);
    for (int32_t i = 0; i < d->n; i++) {
        if (!isfinite(d->x[i]) || !isfinite(d->y[i]))
            continue;
        add_point(out, &p, d, i);
    }
    if (d->is)
        svg_legend(out, SVG_HEIGHT + 4, d->is, d->marked ? 3 : 2);
    svg_end(out);
}
