/* spread.h - things in a row that ranks (ranks.h) divide: of n, each rank does a run, and all get what every one of them
 * found. For work of which the things do not know each other; what is summed over them is summed by everybody, in order. */
#ifndef NB_BASE_SPREAD_H
#define NB_BASE_SPREAD_H

#include <stddef.h>
#include <stdint.h>

/* Rank r does [nb_spread_at(n, r), nb_spread_at(n, r + 1)). */
int64_t nb_spread_at(int64_t n, int32_t rank);

/* What there is of the things: `bytes` for each of [count] entries, of which the things have `each` in turn, the last one what
 * is left. NULL: nothing. */
typedef struct {
    void *data;
    size_t bytes;
    int64_t each, count;
} nb_spread_row;
/* All ranks have all of the rows when it returns. */
void nb_spread_bring(int64_t n, const nb_spread_row *row, int32_t rows);

#endif
