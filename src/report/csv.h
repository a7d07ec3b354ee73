/* csv.h - a CSV file read back (RFC 4180), leniently: what a killed process left half-written is counted, the rest is there. */
#ifndef NB_REPORT_CSV_H
#define NB_REPORT_CSV_H

#include "base/arena.h"

typedef struct {
    int32_t n_rows, n_columns; /* without the header; 0 columns: nothing is there */
    int32_t dropped;           /* rows that have not as many cells as the header, or no end of line */
    const char **cell;         /* [1 + n_rows][n_columns]; the header first */
} nb_csv;

/* text is copied into the arena. */
nb_status nb_csv_parse(nb_arena *arena, const char *text, nb_csv *out);
/* Index of the column with that name in the header, -1: none. */
int32_t nb_csv_column(const nb_csv *c, const char *name);
/* "" where there is no such column. */
const char *nb_csv_text(const nb_csv *c, int32_t row, int32_t column);
/* NaN where it is no number. */
double nb_csv_real(const nb_csv *c, int32_t row, int32_t column);

#endif
