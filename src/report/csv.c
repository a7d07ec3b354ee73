/* csv.c - see csv.h. A cell is unquoted in place. */
#include "report/csv.h"

#include "base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 64 };

/* Takes one cell off *s and ends it with a NUL. Returns what stood behind it: ',', '\n', or 0 at the end of the text. */
static char take_cell(char **s, const char **cell)
{
    char *from = *s, *to = *s;
    const bool quoted = *from == '"';
    *cell = to;
    if (quoted) {
        for (from++; *from && (*from != '"' || from[1] == '"'); from++) {
            from += *from == '"';
            *to++ = *from;
        }
        from += *from == '"';
    }
    while (*from && *from != ',' && *from != '\n')
        *to++ = *from++;
    const char end = *from;
    *s = from + (end != 0);
    if (end != ',' && to > *cell && to[-1] == '\r')
        to--;
    *to = '\0';
    return end;
}

/* The cells of one line; whole: its end is there. Those beyond the last are counted alone. */
static int32_t take_line(char **s, const char *cell[MAX_COLUMNS], bool *whole)
{
    int32_t n = 0;
    for (char end = ','; end == ',';) {
        const char *c;
        end = take_cell(s, &c);
        if (n < MAX_COLUMNS)
            cell[n] = c;
        n++;
        *whole = end == '\n';
    }
    return n;
}

static int32_t count_lines(const char *s)
{
    int32_t n = 1;
    while ((s = strchr(s, '\n'))) {
        s++;
        n++;
    }
    return n;
}

nb_status nb_csv_parse(nb_arena *arena, const char *text, nb_csv *out)
{
    const char *line[MAX_COLUMNS] = {0};
    char *s = nb_arena_strdup(arena, text);
    bool whole = false;
    *out = (nb_csv){0};
    if (!s)
        return NB_E_NOMEM;
    if (!*s)
        return NB_OK;
    const int32_t n = take_line(&s, line, &whole);
    if (!whole || n > MAX_COLUMNS)
        return NB_OK;
    const char **cell = nb_arena_array(arena, (size_t)count_lines(text) * (size_t)n, sizeof *cell);
    if (!cell)
        return NB_E_NOMEM;
    memcpy(cell, line, (size_t)n * sizeof *cell);
    out->n_columns = n;
    out->cell = cell;
    while (*s) {
        if (take_line(&s, line, &whole) != n || !whole)
            out->dropped++;
        else
            memcpy(cell + (size_t)++out->n_rows * (size_t)n, line, (size_t)n * sizeof *cell);
    }
    return NB_OK;
}

int32_t nb_csv_column(const nb_csv *c, const char *name)
{
    for (int32_t i = 0; i < c->n_columns; i++)
        if (strcmp(c->cell[i], name) == 0)
            return i;
    return -1;
}

const char *nb_csv_text(const nb_csv *c, int32_t row, int32_t column)
{
    return column < 0 ? "" : c->cell[(size_t)(row + 1) * (size_t)c->n_columns + (size_t)column];
}

double nb_csv_real(const nb_csv *c, int32_t row, int32_t column)
{
    const char *text = nb_csv_text(c, row, column);
    char *end;
    const double v = strtod(text, &end);
    return end == text || *end ? (double)NAN : v;
}
