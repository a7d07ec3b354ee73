/* spread.c - see spread.h. */
#include "base/spread.h"

#include "base/check.h"
#include "base/ranks.h"

enum { AT_ONCE = 4 * NB_MAX_RANKS, LARGEST = 1 << 26 /* bytes of a piece: many fit one message */ };

int64_t nb_spread_at(int64_t n, int32_t rank)
{
    return rank * n / nb_ranks();
}

typedef struct {
    nb_piece piece[AT_ONCE];
    int32_t n;
} pieces;

static void add(pieces *p, nb_piece piece)
{
    if (p->n == AT_ONCE) {
        nb_ranks_share(p->piece, p->n);
        p->n = 0;
    }
    p->piece[p->n++] = piece;
}

static int64_t entry(const nb_spread_row *row, int64_t thing)
{
    const int64_t at = thing * row->each;
    return at < row->count ? at : row->count;
}

void nb_spread_bring(int64_t n, const nb_spread_row *row, int32_t rows)
{
    pieces p = {.n = 0};
    if (nb_ranks() == 1)
        return;
    for (int32_t i = 0; i < rows; i++)
        for (int32_t r = 0; row[i].data && r < nb_ranks(); r++) {
            const int64_t from = entry(&row[i], nb_spread_at(n, r)), end = entry(&row[i], nb_spread_at(n, r + 1));
            const size_t bytes = (size_t)(end - from) * row[i].bytes;
            unsigned char *at = (unsigned char *)row[i].data + (size_t)from * row[i].bytes;
            for (size_t done = 0, some; done < bytes; done += some) {
                some = bytes - done < LARGEST ? bytes - done : LARGEST;
                add(&p, (nb_piece){at + done, some, r, 0});
            }
        }
    nb_ranks_share(p.piece, p.n);
}
