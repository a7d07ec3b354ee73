/* page.h - one HTML page without anything outside of it, made of sections, paragraphs, tables and drawings; what is drawn can
 * also be had as files.
 *
 *   nb_page p;
 *   NB_TRY(nb_page_open(ctx, &p));
 *   nb_page_section(&p, "layers", "Layers");
 *   nb_page_say(&p, "%d layers of %s", n, name);
 *   nb_page_table(&p, "layers", "what it is made of", t);
 *   nb_status st = nb_page_print(&p, title, &html);     the first failure comes out here
 *   nb_page_close(&p);
 *
 * All text is data: it is made harmless here. Names of tables and drawings become names of files and are plain. */
#ifndef NB_REPORT_PAGE_H
#define NB_REPORT_PAGE_H

#include "base/arena.h"
#include "base/textbuf.h"
#include "report/svg.h"
#include "report/table.h"

/* A table, or a drawing and its numbers. */
typedef struct nb_asset {
    struct nb_asset *next;
    const char *name;      /* without its ending */
    const char *svg, *csv; /* svg NULL: a table */
} nb_asset;

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    nb_text body, links;
    bool open; /* a section is */
    nb_asset *first, *last;
    nb_status st;
} nb_page;

nb_status nb_page_open(nb_ctx *ctx, nb_page *p);
void nb_page_close(nb_page *p); /* zeroed is fine */
nb_status nb_page_print(nb_page *p, const char *title, char **out);

/* Keeps the first failure; true: there is none so far. */
bool nb_page_ok(nb_page *p, nb_status st);
void nb_page_section(nb_page *p, const char *id, const char *title);
/* A paragraph. */
void nb_page_say(nb_page *p, const char *fmt, ...) NB_PRINTF(2, 3);
/* The same behind a word or two and a colon, set off: a literal. */
void nb_page_point(nb_page *p, const char *lead, const char *fmt, ...) NB_PRINTF(3, 4);
/* HTML as it is: literals. */
void nb_page_raw(nb_page *p, const char *html);
/* caption may be NULL. Frees t. */
void nb_page_table(nb_page *p, const char *name, const char *caption, nb_table *t);
/* Longer text behind a line to open it. */
void nb_page_folded(nb_page *p, const char *line, const char *text);

/* Drawings; they stand side by side where there is room, between these two. */
void nb_page_figures(nb_page *p);
void nb_page_figures_end(nb_page *p);
/* note: below it, may be NULL. */
void nb_page_bars(nb_page *p, const char *name, const char *note, const nb_svg_bars *b);
void nb_page_lines(nb_page *p, const char *name, const char *note, const nb_svg_lines *l);
void nb_page_columns(nb_page *p, const char *name, const char *note, const nb_svg_columns *c);
void nb_page_ranges(nb_page *p, const char *name, const char *note, const nb_svg_ranges *r);
void nb_page_matrix(nb_page *p, const char *name, const char *note, const nb_svg_matrix *m);
void nb_page_points(nb_page *p, const char *name, const char *note, const nb_svg_points *d);
void nb_page_panels(nb_page *p, const char *name, const char *note, const nb_svg_panels *d);
/* For figures.c: a drawing with its numbers; both are freed. */
void nb_page_figure(nb_page *p, const char *name, const char *title, const char *note, nb_text *svg, nb_table *numbers);

#endif
