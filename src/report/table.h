/* table.h - rows of named values, as aligned text for people or as a JSON array of objects for scripts, from the same
 * calls, or as CSV, Markdown or HTML:
 *
 *   nb_table *t;
 *   NB_TRY(nb_table_create(ctx, &t));
 *   nb_table_column(t, "layer", "layer", NB_LEFT);
 *   nb_table_column(t, "macs", "MACs", NB_RIGHT);
 *   nb_table_row(t);
 *   nb_table_add_text(t, "c1");
 *   nb_table_add_int(t, 112896);
 *   char *text;
 *   nb_status st = nb_table_print(t, &text);        or nb_table_print_json(t, &json)
 *   nb_table_free(t);
 *
 * Cells are added left to right; what is missing at the end of a row is blank. The first failure (memory) sticks and
 * comes out of the print, so that the calls in between need no check. */
#ifndef NB_REPORT_TABLE_H
#define NB_REPORT_TABLE_H

#include <nibble/context.h>

typedef struct nb_table nb_table;
typedef enum { NB_LEFT, NB_RIGHT } nb_table_align;

enum { NB_TABLE_MAX_COLUMNS = 32 };

nb_status nb_table_create(nb_ctx *ctx, nb_table **out);
void nb_table_free(nb_table *t); /* NULL is fine */

/* Before the first row. key names the value in JSON, header in text; both are copied. */
void nb_table_column(nb_table *t, const char *key, const char *header, nb_table_align align);

/* Columns from now on stand together below this heading, in text, HTML and Markdown; NULL: they stand alone again.
 * Copied; the same heading said again goes on. */
void nb_table_group(nb_table *t, const char *heading);

/* Begins a row; nb_table_footer one that stands below a rule (totals), in text only. */
void nb_table_row(nb_table *t);
void nb_table_footer(nb_table *t);

/* Text is copied; control characters and broken UTF-8 in it are replaced, so that names from files cannot harm a
 * terminal. */
void nb_table_add_text(nb_table *t, const char *text);
void nb_table_add_int(nb_table *t, int64_t v);
void nb_table_add_real(nb_table *t, double v, int32_t decimals);   /* JSON: in full; not finite is null there */
void nb_table_add_figures(nb_table *t, double v, int32_t figures); /* the same, of any size: 0.00123, 1.2e-05 */
void nb_table_add_blank(nb_table *t);                              /* text: nothing; JSON: null */

/* Header, a rule, rows; two spaces between columns, no trailing spaces, every line ends. The caller frees with nb_free.
 */
nb_status nb_table_print(const nb_table *t, char **out);
/* [{"layer": "c1", "macs": 112896}, ...], one object per line. */
nb_status nb_table_print_json(const nb_table *t, char **out);
/* Keys, then rows, separated by commas as RFC 4180 has it; numbers in full, what is not finite is empty. Without
 * footers, like JSON. */
nb_status nb_table_print_csv(const nb_table *t, char **out);
/* A table of GitHub's Markdown, with the texts that a terminal shows. */
nb_status nb_table_print_markdown(const nb_table *t, char **out);

/* An HTML table in a box that scrolls sideways, footers in <tfoot>; caption may be NULL. The first column of text, which names
 * the row, has class "k", so that it can be kept in sight. */
nb_status nb_table_print_html(const nb_table *t, const char *caption, char **out);

typedef enum { NB_TABLE_TEXT, NB_TABLE_CSV, NB_TABLE_JSON, NB_TABLE_MARKDOWN } nb_table_format;
nb_status nb_table_print_as(const nb_table *t, nb_table_format format, char **out);

/* Columns a text takes on a terminal: combining marks none, wide East Asian characters and emoji two. */
int32_t nb_text_columns(const char *utf8);

#endif
