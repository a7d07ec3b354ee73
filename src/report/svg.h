/* svg.h - drawings as SVG text: bars, lines, columns, ranges, a matrix, points, small multiples.
 *
 * 360 units wide, so that letters can be read on a phone; as high as it takes. Colours are CSS variables of the page that they
 * stand in; nb_svg_file makes a file of its own of it. What is not finite is left out. Equal numbers give equal bytes. */
#ifndef NB_REPORT_SVG_H
#define NB_REPORT_SVG_H

#include "base/textbuf.h"

#include <stdbool.h>

enum { NB_SVG_SERIES = 4, NB_SVG_MATRIX = 20 };

/* Colours and classes of drawings, light and dark: for the <style> of a page. */
extern const char nb_svg_style[];
/* A drawing with this style in it. */
void nb_svg_file(nb_text *out, const char *svg);

/* A bar for each label and series, values >= 0. */
typedef struct {
    const char *title;
    int32_t n, n_series;
    const char *const *label;  /* [n] */
    const char *const *series; /* [n_series] */
    const double *value;       /* [n][n_series] */
} nb_svg_bars;
void nb_svg_add_bars(nb_text *out, const nb_svg_bars *b);

/* Values over x. */
typedef struct {
    const char *title, *x_title;
    int32_t n, n_series;
    const char *const *series;
    const double *x;     /* [n] ascending */
    const double *value; /* [n_series][n] */
    int32_t n_marks;     /* vertical lines with a word, where something begins */
    const double *mark;
    const char *const *mark_text;
} nb_svg_lines;
void nb_svg_add_lines(nb_text *out, const nb_svg_lines *l);

/* Columns side by side, from x = lo on, each `width` wide. */
typedef struct {
    const char *title, *x_title;
    int32_t n;
    const double *height; /* [n] >= 0 */
    double lo, width;
} nb_svg_columns;
void nb_svg_add_columns(nb_text *out, const nb_svg_columns *c);

/* From lo to hi of each of n, and the ends of what there could be. */
typedef struct {
    const char *title, *x_title;
    int32_t n;
    const double *lo, *hi;
    const double *low_end, *high_end; /* [n], NULL: none */
} nb_svg_ranges;
void nb_svg_add_ranges(nb_text *out, const nb_svg_ranges *r);

/* Counts of rows (what is) by columns (what is said), n <= NB_SVG_MATRIX; a cell is as strong as its share of the row, a wrong one more so. */
typedef struct {
    const char *title;
    int32_t n;
    const int32_t *count;     /* [n][n] */
    const char *const *label; /* [n] */
} nb_svg_matrix;
void nb_svg_add_matrix(nb_text *out, const nb_svg_matrix *m);

/* Points, and a line through those that no other beats in both: less x, more y. */
typedef struct {
    const char *title, *x_title;
    int32_t n;
    const double *x, *y;
    const char *const *label;
    const bool *best;   /* [n] on the line */
    const bool *marked; /* [n] drawn as diamonds; NULL: none */
    const char *const
        *is; /* words for a point, one on the line, a marked one: a legend; NULL: none, and nothing is marked */
} nb_svg_points;
void nb_svg_add_points(nb_text *out, const nb_svg_points *p);

/* Small multiples: for each of n_panels how far it reaches at x, a band from lo to hi, each on axes of its own; x is common. */
typedef struct {
    const char *title, *x_title;
    int32_t n, n_panels;
    const double *x;          /* [n] ascending */
    const double *lo, *hi;    /* [n_panels][n]; NaN: unknown there */
    const char *const *label; /* [n_panels] */
} nb_svg_panels;
void nb_svg_add_panels(nb_text *out, const nb_svg_panels *d);

#endif
