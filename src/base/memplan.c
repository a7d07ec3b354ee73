/* memplan.c - greedy by size: the largest usage first, each into the smallest gap that fits among the placed usages
 * alive at the same time, else on top of them (Pisarchyk and Lee 2020, arXiv:2001.03288, "greedy by size" with best
 * fit).
 *
 * placed[] holds the indices of placed usages in order of offset, so one walk over it finds all gaps. */
#include "base/memplan.h"

#include "base/check.h"

#include <stdbool.h>

static bool overlap_in_time(const nb_usage *a, const nb_usage *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Rounded up to align; NB_E_RANGE when that or the sum of all does not fit a size. */
static nb_status rounded_sizes(nb_ctx *ctx, const nb_usage *u, int32_t n, size_t align, size_t *size)
{
    size_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        NB_ASSERT(u[i].first <= u[i].last);
        size_t pad = u[i].bytes % align ? align - u[i].bytes % align : 0;
        if (u[i].bytes > PTRDIFF_MAX - pad || sum > PTRDIFF_MAX - (u[i].bytes + pad))
            return nb_fail(ctx, NB_E_RANGE, "memory plan: %d buffers need more memory than can be addressed", n);
        size[i] = u[i].bytes + pad;
        sum += size[i];
    }
    return NB_OK;
}

/* Insertion sort, largest first; stable, so the plan is a function of the list alone. */
static void order_by_size(int32_t *order, const size_t *size, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t k = i;
        for (; k > 0 && size[order[k - 1]] < size[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

static size_t best_offset(const nb_usage *u, const size_t *size, const int32_t *placed, int32_t n_placed, int32_t who)
{
    size_t top = 0, best = 0, best_gap = SIZE_MAX;
    for (int32_t k = 0; k < n_placed; k++) {
        int32_t p = placed[k];
        if (!overlap_in_time(&u[p], &u[who]))
            continue;
        if (u[p].offset > top) {
            size_t gap = u[p].offset - top;
            if (gap >= size[who] && gap < best_gap) {
                best = top;
                best_gap = gap;
            }
        }
        size_t end = u[p].offset + size[p];
        if (end > top)
            top = end;
    }
    return best_gap == SIZE_MAX ? top : best;
}

static void insert_by_offset(const nb_usage *u, int32_t *placed, int32_t n_placed, int32_t who)
{
    int32_t k = n_placed;
    for (; k > 0 && u[placed[k - 1]].offset > u[who].offset; k--)
        placed[k] = placed[k - 1];
    placed[k] = who;
}

nb_status nb_memplan(nb_ctx *ctx, nb_usage *u, int32_t n, size_t align, size_t *total)
{
    NB_ASSERT(n >= 0 && align >= 1);
    size_t *size = nb_alloc(ctx, (size_t)n * sizeof *size);
    int32_t *order = nb_alloc(ctx, (size_t)n * sizeof *order), *placed = nb_alloc(ctx, (size_t)n * sizeof *placed);
    nb_status st = size && order && placed ? rounded_sizes(ctx, u, n, align, size) : NB_E_NOMEM;
    if (st == NB_OK) {
        order_by_size(order, size, n);
        size_t peak = 0;
        int32_t n_placed = 0;
        for (int32_t i = 0; i < n; i++) {
            int32_t who = order[i];
            u[who].offset = size[who] ? best_offset(u, size, placed, n_placed, who) : 0;
            if (!size[who])
                continue;
            insert_by_offset(u, placed, n_placed++, who);
            if (u[who].offset + size[who] > peak)
                peak = u[who].offset + size[who];
        }
        *total = peak;
    }
    nb_free(ctx, size);
    nb_free(ctx, order);
    nb_free(ctx, placed);
    return st;
}

/* The sum only grows where a lifetime begins, so the starts are the only times to look at. */
size_t nb_memplan_lower_bound(const nb_usage *u, int32_t n, size_t align)
{
    size_t most = 0;
    for (int32_t i = 0; i < n; i++) {
        size_t sum = 0;
        for (int32_t k = 0; k < n; k++)
            if (u[k].first <= u[i].first && u[i].first <= u[k].last)
                sum += (u[k].bytes + align - 1) / align * align;
        if (sum > most)
            most = sum;
    }
    return most;
}
