/* table.c - collects typed cells in an arena and renders them: aligned for a terminal, exact for programs, as HTML.
 *
 * A cell keeps its value, not its text, because JSON wants all digits and a terminal a few. Every row has one cell per
 * column. */
#include "report/table.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"
#include "base/textbuf.h"
#include "base/utf8.h"
#include "report/html.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CELL_BYTES = 64, GAP = 2 };

typedef enum { CELL_BLANK, CELL_TEXT, CELL_INT, CELL_REAL } cell_kind;

typedef struct {
    cell_kind kind;
    int32_t decimals; /* < 0: so many significant figures */
    int64_t whole;
    double real;
    const char *text;
} cell;

typedef struct row {
    struct row *next;
    bool footer;
    cell cells[]; /* one per column */
} row;

typedef struct {
    const char *key, *header, *group;
    nb_table_align align;
} column;

struct nb_table {
    nb_ctx *ctx;
    nb_arena *arena;
    column columns[NB_TABLE_MAX_COLUMNS];
    int32_t n_columns, n_cells; /* n_cells: of the last row */
    const char *group;          /* of columns that follow */
    row *first, *last;
    nb_status st;
};

nb_status nb_table_create(nb_ctx *ctx, nb_table **out)
{
    nb_arena *arena = NULL;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_table *t = nb_arena_alloc(arena, sizeof *t);
    if (!t) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    t->ctx = ctx;
    t->arena = arena;
    *out = t;
    return NB_OK;
}

void nb_table_free(nb_table *t)
{
    if (t)
        nb_arena_free(t->arena);
}

static const char *copy_of(nb_table *t, const char *text)
{
    const char *copy = t->st == NB_OK ? nb_arena_strdup(t->arena, text) : NULL;
    if (!copy)
        t->st = NB_E_NOMEM;
    return copy;
}

void nb_table_column(nb_table *t, const char *key, const char *header, nb_table_align align)
{
    NB_ASSERT(!t->first && t->n_columns < NB_TABLE_MAX_COLUMNS);
    key = copy_of(t, key);
    t->columns[t->n_columns++] = (column){key, copy_of(t, header), t->group, align};
}

/* One copy for all its columns, which are known by it; said again, it goes on. */
void nb_table_group(nb_table *t, const char *heading)
{
    if (heading && t->group && strcmp(heading, t->group) == 0)
        return;
    t->group = heading ? copy_of(t, heading) : NULL;
}

static bool has_groups(const nb_table *t)
{
    int32_t i = 0;
    while (i < t->n_columns && !t->columns[i].group)
        i++;
    return i < t->n_columns;
}

/* The first column behind those that stand below one heading with column i. */
static int32_t end_of_group(const nb_table *t, int32_t i)
{
    int32_t end = i + 1;
    while (end < t->n_columns && t->columns[end].group == t->columns[i].group)
        end++;
    return end;
}

static void begin(nb_table *t, bool footer)
{
    row *r = t->st == NB_OK ? nb_arena_alloc(t->arena, sizeof *r + (size_t)t->n_columns * sizeof(cell)) : NULL;
    if (!r) {
        t->st = NB_E_NOMEM;
        return;
    }
    r->footer = footer;
    if (t->last)
        t->last->next = r;
    else
        t->first = r;
    t->last = r;
    t->n_cells = 0;
}

void nb_table_row(nb_table *t)
{
    begin(t, false);
}

void nb_table_footer(nb_table *t)
{
    begin(t, true);
}

static void add(nb_table *t, cell c)
{
    if (t->st != NB_OK)
        return;
    NB_ASSERT(t->last && t->n_cells < t->n_columns);
    t->last->cells[t->n_cells++] = c;
}

void nb_table_add_text(nb_table *t, const char *text)
{
    const char *copy = copy_of(t, text);
    if (copy)
        add(t, (cell){.kind = CELL_TEXT, .text = copy});
}

void nb_table_add_int(nb_table *t, int64_t v)
{
    add(t, (cell){.kind = CELL_INT, .whole = v});
}

void nb_table_add_real(nb_table *t, double v, int32_t decimals)
{
    NB_ASSERT(decimals >= 0 && decimals <= 17);
    add(t, (cell){.kind = CELL_REAL, .real = v, .decimals = decimals});
}

void nb_table_add_figures(nb_table *t, double v, int32_t figures)
{
    NB_ASSERT(figures >= 1 && figures <= 17);
    add(t, (cell){.kind = CELL_REAL, .real = v, .decimals = -figures});
}

void nb_table_add_blank(nb_table *t)
{
    add(t, (cell){.kind = CELL_BLANK});
}

/* ---- characters ---- */

typedef struct {
    uint32_t first, last;
} range;

static bool within(uint32_t cp, const range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].first && cp <= r[i].last)
            return true;
    return false;
}

/* wcwidth() would depend on the locale the program runs in; these are the blocks that matter for names of classes and
 * files. */
static int32_t columns_of(uint32_t cp)
{
    static const range none[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},
                                 {0x64b, 0x65f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
                                 {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}};
    static const range two[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                                {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                                {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (cp < 0x300)
        return 1;
    return within(cp, none, sizeof none / sizeof *none) ? 0 : within(cp, two, sizeof two / sizeof *two) ? 2 : 1;
}

int32_t nb_text_columns(const char *utf8)
{
    int32_t n = 0;
    for (uint32_t cp = 0; *utf8;) {
        utf8 += nb_utf8_next(utf8, &cp);
        n += columns_of(cp);
    }
    return n;
}

/* ---- text ---- */

/* What stands in the cell on a terminal, before replacements; buf is used for numbers. */
static const char *render(const cell *c, char buf[CELL_BYTES])
{
    *buf = '\0';
    switch (c->kind) {
    case CELL_TEXT:
        return c->text;
    case CELL_INT:
        snprintf(buf, CELL_BYTES, "%" PRId64, c->whole);
        break;
    case CELL_REAL: /* there is no such number: as in CSV and JSON, nothing */
        if (isnan(c->real))
            break;
        if (c->decimals < 0)
            snprintf(buf, CELL_BYTES, "%.*g", (int)-c->decimals, c->real);
        else if (isfinite(c->real) && fabs(c->real) >= 1e15) /* %f would print up to 309 digits that mean nothing */
            snprintf(buf, CELL_BYTES, "%.*e", (int)c->decimals, c->real);
        else
            snprintf(buf, CELL_BYTES, "%.*f", (int)c->decimals, nb_shown(c->real, (int)c->decimals));
        break;
    case CELL_BLANK:
        break;
    }
    return buf;
}

static void put_safe(nb_text *out, const char *s)
{
    for (uint32_t cp = 0; *s;) {
        size_t n = nb_utf8_next(s, &cp);
        if (nb_utf8_is_control(cp))
            nb_text_add(out, "?");
        else if (cp == NB_UTF8_BROKEN)
            nb_text_add(out, "\xef\xbf\xbd");
        else
            nb_text_bytes(out, s, n);
        s += n;
    }
}

/* Trailing spaces are kept back in *owed until something follows them. */
static void put_cell(nb_text *out, const char *s, int32_t width, nb_table_align align, size_t *owed)
{
    int32_t room = width - nb_text_columns(s);
    size_t spaces = room > 0 ? (size_t)room : 0;
    if (align == NB_RIGHT)
        *owed += spaces;
    if (*s) {
        nb_text_fill(out, ' ', *owed);
        *owed = 0;
        put_safe(out, s);
    }
    if (align == NB_LEFT)
        *owed += spaces;
    *owed += GAP;
}

/* Of columns i .. end - 1 and what is between them. */
static int32_t span(const int32_t *widths, int32_t i, int32_t end)
{
    int32_t sum = GAP * (end - i - 1);
    for (; i < end; i++)
        sum += widths[i];
    return sum;
}

static void measure(const nb_table *t, int32_t widths[NB_TABLE_MAX_COLUMNS])
{
    char buf[CELL_BYTES];
    for (int32_t i = 0; i < t->n_columns; i++) {
        widths[i] = nb_text_columns(t->columns[i].header);
        for (const row *r = t->first; r; r = r->next) {
            int32_t w = nb_text_columns(render(&r->cells[i], buf));
            widths[i] = w > widths[i] ? w : widths[i];
        }
    }
    for (int32_t i = 0, end; i < t->n_columns; i = end) {
        end = end_of_group(t, i);
        const int32_t lacks = t->columns[i].group ? nb_text_columns(t->columns[i].group) - span(widths, i, end) : 0;
        widths[end - 1] += lacks > 0 ? lacks : 0;
    }
}

/* Headings, each with a line as long as its columns are wide. */
static void put_groups(nb_text *out, const nb_table *t, const int32_t *widths)
{
    size_t owed = 0;
    for (int32_t i = 0, end; i < t->n_columns; i = end) {
        end = end_of_group(t, i);
        const int32_t width = span(widths, i, end);
        const char *group = t->columns[i].group;
        if (group) {
            const int32_t rest = width - nb_text_columns(group) - 1;
            put_cell(out, group, 0, NB_LEFT, &owed);
            nb_text_add(out, rest > 0 ? " " : "");
            nb_text_fill(out, '-', rest > 0 ? (size_t)rest : 0);
        } else
            owed += (size_t)width + GAP;
    }
    nb_text_add(out, "\n");
}

static void put_rule(nb_text *out, const nb_table *t, const int32_t *widths)
{
    for (int32_t i = 0; i < t->n_columns; i++) {
        nb_text_fill(out, ' ', i ? GAP : 0);
        nb_text_fill(out, '-', (size_t)widths[i]);
    }
    nb_text_add(out, "\n");
}

nb_status nb_table_print(const nb_table *t, char **out)
{
    if (t->st != NB_OK)
        return t->st;
    int32_t widths[NB_TABLE_MAX_COLUMNS];
    char buf[CELL_BYTES];
    size_t owed = 0;
    nb_text text;
    nb_text_init(t->ctx, &text);
    measure(t, widths);
    if (has_groups(t))
        put_groups(&text, t, widths);
    for (int32_t i = 0; i < t->n_columns; i++)
        put_cell(&text, t->columns[i].header, widths[i], t->columns[i].align, &owed);
    nb_text_add(&text, "\n");
    put_rule(&text, t, widths);
    bool below = false;
    for (const row *r = t->first; r; r = r->next) {
        if (r->footer && !below)
            put_rule(&text, t, widths);
        below = r->footer;
        owed = 0;
        for (int32_t i = 0; i < t->n_columns; i++)
            put_cell(&text, render(&r->cells[i], buf), widths[i], t->columns[i].align, &owed);
        nb_text_add(&text, "\n");
    }
    return nb_text_take(&text, out);
}

/* ---- JSON ---- */

static void put_json_cell(nb_text *out, const cell *c)
{
    char number[NB_NUMTEXT];
    if (c->kind == CELL_TEXT)
        nb_text_json(out, c->text);
    else if (c->kind == CELL_INT)
        nb_text_printf(out, "%" PRId64, c->whole);
    else if (c->kind == CELL_REAL && isfinite(c->real))
        nb_text_add(out, nb_double_text(number, c->real));
    else
        nb_text_add(out, "null");
}

nb_status nb_table_print_json(const nb_table *t, char **out)
{
    if (t->st != NB_OK)
        return t->st;
    nb_text text;
    nb_text_init(t->ctx, &text);
    nb_text_add(&text, "[");
    const char *between = "\n";
    for (const row *r = t->first; r; r = r->next) {
        if (r->footer)
            continue;
        nb_text_add(&text, between);
        between = ",\n";
        for (int32_t i = 0; i < t->n_columns; i++) {
            nb_text_add(&text, i ? ", " : "  {");
            nb_text_json(&text, t->columns[i].key);
            nb_text_add(&text, ": ");
            put_json_cell(&text, &r->cells[i]);
        }
        nb_text_add(&text, "}");
    }
    nb_text_add(&text, *between == ',' ? "\n]\n" : "]\n");
    return nb_text_take(&text, out);
}

/* ---- CSV and Markdown ---- */

static void put_csv_text(nb_text *out, const char *s)
{
    const bool quote = strpbrk(s, ",\"\r\n") != NULL;
    nb_text_add(out, quote ? "\"" : "");
    for (; *s; s++)
        nb_text_bytes(out, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
    nb_text_add(out, quote ? "\"" : "");
}

static void put_csv_cell(nb_text *out, const cell *c)
{
    char number[NB_NUMTEXT];
    if (c->kind == CELL_TEXT)
        put_csv_text(out, c->text);
    else if (c->kind == CELL_INT)
        nb_text_printf(out, "%" PRId64, c->whole);
    else if (c->kind == CELL_REAL && isfinite(c->real))
        nb_text_add(out, nb_plain_text(number, c->real));
}

nb_status nb_table_print_csv(const nb_table *t, char **out)
{
    if (t->st != NB_OK)
        return t->st;
    nb_text text;
    nb_text_init(t->ctx, &text);
    for (int32_t i = 0; i < t->n_columns; i++) {
        nb_text_add(&text, i ? "," : "");
        put_csv_text(&text, t->columns[i].key);
    }
    nb_text_add(&text, "\n");
    for (const row *r = t->first; r; r = r->next) {
        for (int32_t i = 0; !r->footer && i < t->n_columns; i++) {
            nb_text_add(&text, i ? "," : "");
            put_csv_cell(&text, &r->cells[i]);
        }
        nb_text_add(&text, r->footer ? "" : "\n");
    }
    return nb_text_take(&text, out);
}

/* A bar would end the cell; a line break, and other control characters, are replaced. */
static void put_markdown_cell(nb_text *out, const char *s)
{
    nb_text_add(out, "| ");
    for (size_t n; *s; s += n) {
        n = strcspn(s, "|");
        char part[CELL_BYTES];
        n = n < sizeof part ? n : sizeof part - 1;
        snprintf(part, sizeof part, "%.*s", (int)n, s);
        put_safe(out, part);
        if (n == 0) {
            nb_text_add(out, "\\|");
            n = 1;
        }
    }
    nb_text_add(out, " ");
}

nb_status nb_table_print_markdown(const nb_table *t, char **out)
{
    if (t->st != NB_OK)
        return t->st;
    char buf[CELL_BYTES];
    nb_text text;
    nb_text_init(t->ctx, &text);
    for (int32_t i = 0; i < t->n_columns; i++) {
        const column *c = &t->columns[i];
        snprintf(buf, sizeof buf, "%s%s%s", c->group ? c->group : "", c->group ? ": " : "", c->header);
        put_markdown_cell(&text, buf);
    }
    nb_text_add(&text, "|\n");
    for (int32_t i = 0; i < t->n_columns; i++)
        nb_text_add(&text, t->columns[i].align == NB_RIGHT ? "|---:" : "|---");
    nb_text_add(&text, "|\n");
    for (const row *r = t->first; r; r = r->next) {
        for (int32_t i = 0; i < t->n_columns; i++)
            put_markdown_cell(&text, render(&r->cells[i], buf));
        nb_text_add(&text, "|\n");
    }
    return nb_text_take(&text, out);
}

/* ---- HTML ---- */

/* The column that names the row: the first of text, or the first. */
static int32_t naming_column(const nb_table *t)
{
    int32_t i = 0;
    while (i < t->n_columns && t->columns[i].align != NB_LEFT)
        i++;
    return i < t->n_columns ? i : 0;
}

static void put_html_cell(nb_text *out, const nb_table *t, const char *tag, int32_t i, const char *s)
{
    const bool right = t->columns[i].align == NB_RIGHT, names = i == naming_column(t);
    nb_text_printf(out, "<%s%s>", tag,
                   right && names ? " class=\"r k\""
                   : right        ? " class=\"r\""
                   : names        ? " class=\"k\""
                                  : "");
    nb_html_add(out, s);
    nb_text_printf(out, "</%s>", tag);
}

static void put_html_groups(nb_text *out, const nb_table *t)
{
    nb_text_add(out, "<tr>");
    for (int32_t i = 0, end; i < t->n_columns; i = end) {
        end = end_of_group(t, i);
        nb_text_printf(out, "<th%s colspan=\"%d\">", t->columns[i].group ? " class=\"g\"" : "", (int)(end - i));
        nb_html_add(out, t->columns[i].group ? t->columns[i].group : "");
        nb_text_add(out, "</th>");
    }
    nb_text_add(out, "</tr>\n");
}

/* The rows, or the footers. */
static void put_html_rows(nb_text *out, const nb_table *t, bool footers)
{
    char buf[CELL_BYTES];
    bool any = false;
    for (const row *r = t->first; r; r = r->next) {
        if (r->footer != footers)
            continue;
        nb_text_add(out, any ? "<tr>" : footers ? "<tfoot>\n<tr>" : "<tbody>\n<tr>");
        any = true;
        for (int32_t i = 0; i < t->n_columns; i++)
            put_html_cell(out, t, "td", i, render(&r->cells[i], buf));
        nb_text_add(out, "</tr>\n");
    }
    if (any)
        nb_text_add(out, footers ? "</tfoot>\n" : "</tbody>\n");
}

nb_status nb_table_print_html(const nb_table *t, const char *caption, char **out)
{
    if (t->st != NB_OK)
        return t->st;
    nb_text text;
    nb_text_init(t->ctx, &text);
    if (caption) { /* not in the table: it would be as wide, and be scrolled with it */
        nb_text_add(&text, "<div class=\"note\">");
        nb_html_add(&text, caption);
        nb_text_add(&text, "</div>\n");
    }
    nb_text_add(&text, "<div class=\"wide\"><table>\n<thead>");
    if (has_groups(t))
        put_html_groups(&text, t);
    nb_text_add(&text, "<tr>");
    for (int32_t i = 0; i < t->n_columns; i++)
        put_html_cell(&text, t, "th", i, t->columns[i].header);
    nb_text_add(&text, "</tr></thead>\n");
    put_html_rows(&text, t, false);
    put_html_rows(&text, t, true);
    nb_text_add(&text, "</table></div>\n");
    return nb_text_take(&text, out);
}

nb_status nb_table_print_as(const nb_table *t, nb_table_format format, char **out)
{
    static nb_status (*const print[])(const nb_table *, char **) = {[NB_TABLE_TEXT] = nb_table_print,
                                                                    [NB_TABLE_CSV] = nb_table_print_csv,
                                                                    [NB_TABLE_JSON] = nb_table_print_json,
                                                                    [NB_TABLE_MARKDOWN] = nb_table_print_markdown};
    return print[format](t, out);
}
