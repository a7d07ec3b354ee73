/* figures.c - drawings on a page, each with the table of the numbers that it shows. */
#include "report/page.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

static nb_table *begin(nb_page *p, nb_text *svg)
{
    nb_table *t = NULL;
    nb_text_init(p->ctx, svg);
    return nb_page_ok(p, nb_table_create(p->ctx, &t)) ? t : NULL;
}

void nb_page_bars(nb_page *p, const char *name, const char *note, const nb_svg_bars *b)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_bars(&svg, b);
    nb_table_column(t, "name", "name", NB_LEFT);
    for (int32_t k = 0; k < b->n_series; k++)
        nb_table_column(t, b->series[k], b->series[k], NB_RIGHT);
    for (int32_t i = 0; i < b->n; i++) {
        nb_table_row(t);
        nb_table_add_text(t, b->label[i]);
        for (int32_t k = 0; k < b->n_series; k++)
            nb_table_add_real(t, b->value[i * b->n_series + k], 6);
    }
    nb_page_figure(p, name, b->title, note, &svg, t);
}

void nb_page_lines(nb_page *p, const char *name, const char *note, const nb_svg_lines *l)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_lines(&svg, l);
    nb_table_column(t, l->x_title, l->x_title, NB_RIGHT);
    for (int32_t k = 0; k < l->n_series; k++)
        nb_table_column(t, l->series[k], l->series[k], NB_RIGHT);
    for (int32_t i = 0; i < l->n; i++) {
        nb_table_row(t);
        nb_table_add_real(t, l->x[i], 6);
        for (int32_t k = 0; k < l->n_series; k++)
            nb_table_add_real(t, l->value[k * l->n + i], 6);
    }
    nb_page_figure(p, name, l->title, note, &svg, t);
}

void nb_page_columns(nb_page *p, const char *name, const char *note, const nb_svg_columns *c)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_columns(&svg, c);
    nb_table_column(t, "from", "from", NB_RIGHT);
    nb_table_column(t, "to", "to", NB_RIGHT);
    nb_table_column(t, "share_percent", "%", NB_RIGHT);
    for (int32_t i = 0; i < c->n; i++) {
        nb_table_row(t);
        nb_table_add_real(t, c->lo + i * c->width, 6);
        nb_table_add_real(t, c->lo + (i + 1) * c->width, 6);
        nb_table_add_real(t, c->height[i], 6);
    }
    nb_page_figure(p, name, c->title, note, &svg, t);
}

void nb_page_ranges(nb_page *p, const char *name, const char *note, const nb_svg_ranges *r)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_ranges(&svg, r);
    nb_table_column(t, "at", "at", NB_RIGHT);
    nb_table_column(t, "min", "min", NB_RIGHT);
    nb_table_column(t, "max", "max", NB_RIGHT);
    if (r->high_end) {
        nb_table_column(t, "first_level", "first level", NB_RIGHT);
        nb_table_column(t, "last_level", "last level", NB_RIGHT);
    }
    for (int32_t i = 0; i < r->n; i++) {
        nb_table_row(t);
        nb_table_add_int(t, i);
        nb_table_add_real(t, r->lo[i], 6);
        nb_table_add_real(t, r->hi[i], 6);
        if (r->high_end) {
            nb_table_add_real(t, r->low_end[i], 6);
            nb_table_add_real(t, r->high_end[i], 6);
        }
    }
    nb_page_figure(p, name, r->title, note, &svg, t);
}

void nb_page_matrix(nb_page *p, const char *name, const char *note, const nb_svg_matrix *m)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_matrix(&svg, m);
    nb_table_column(t, "label", "label", NB_RIGHT);
    nb_table_column(t, "class", "class", NB_LEFT);
    nb_table_column(t, "answer_label", "answer label", NB_RIGHT);
    nb_table_column(t, "answer", "answer", NB_LEFT);
    nb_table_column(t, "images", "images", NB_RIGHT);
    for (int32_t i = 0; i < m->n * m->n; i++) {
        nb_table_row(t);
        nb_table_add_int(t, i / m->n);
        nb_table_add_text(t, m->label[i / m->n]);
        nb_table_add_int(t, i % m->n);
        nb_table_add_text(t, m->label[i % m->n]);
        nb_table_add_int(t, m->count[i]);
    }
    nb_page_figure(p, name, m->title, note, &svg, t);
}

void nb_page_points(nb_page *p, const char *name, const char *note, const nb_svg_points *d)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_points(&svg, d);
    nb_table_column(t, "name", "name", NB_LEFT);
    nb_table_column(t, "x", "x", NB_RIGHT);
    nb_table_column(t, "y", "y", NB_RIGHT);
    if (d->marked)
        nb_table_column(t, d->is[2], d->is[2], NB_RIGHT);
    nb_table_column(t, "unbeaten", "unbeaten", NB_RIGHT);
    for (int32_t i = 0; i < d->n; i++) {
        nb_table_row(t);
        nb_table_add_text(t, d->label[i]);
        nb_table_add_real(t, d->x[i], 6);
        nb_table_add_real(t, d->y[i], 6);
        if (d->marked)
            nb_table_add_int(t, d->marked[i]);
        nb_table_add_int(t, d->best[i]);
    }
    nb_page_figure(p, name, d->title, note, &svg, t);
}

void nb_page_panels(nb_page *p, const char *name, const char *note, const nb_svg_panels *d)
{
    nb_text svg;
    nb_table *t = begin(p, &svg);
    if (!t)
        return;
    nb_svg_add_panels(&svg, d);
    nb_table_column(t, "name", "name", NB_LEFT);
    nb_table_column(t, d->x_title, d->x_title, NB_RIGHT);
    nb_table_column(t, "lo", "lo", NB_RIGHT);
    nb_table_column(t, "hi", "hi", NB_RIGHT);
    for (int32_t i = 0; i < d->n_panels * d->n; i++) {
        if (!isfinite(d->lo[i]) || !isfinite(d->hi[i]))
            continue;
        nb_table_row(t);
        nb_table_add_text(t, d->label[i / d->n]);
        nb_table_add_real(t, d->x[i % d->n], 6);
        nb_table_add_real(t, d->lo[i], 6);
        nb_table_add_real(t, d->hi[i], 6);
    }
    nb_page_figure(p, name, d->title, note, &svg, t);
}
