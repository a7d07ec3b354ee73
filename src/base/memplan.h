/* memplan.h - the memory planner: lifetimes in, offsets out; a pure function. Serves training, evaluation and the
 * engine's arena. */
#ifndef NB_BASE_MEMPLAN_H
#define NB_BASE_MEMPLAN_H

#include <nibble/context.h>

typedef struct {
    int32_t first, last; /* inclusive times at which the bytes must hold still */
    size_t bytes;        /* 0 is fine: offset is then 0 */
    size_t offset;       /* result, a multiple of align */
} nb_usage;

/* Greedy by size, best fit. No two usages with overlapping lifetimes overlap in memory (identical lifetimes do
 * overlap!). *total is the peak. Deterministic; O(n^2). */
nb_status nb_memplan(nb_ctx *ctx, nb_usage *u, int32_t n, size_t align, size_t *total);
/* Largest simultaneous sum of bytes: the lower bound any plan has. */
size_t nb_memplan_lower_bound(const nb_usage *u, int32_t n, size_t align);

#endif
