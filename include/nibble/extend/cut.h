/* cut.h - a batch in pieces, by its size alone: what is summed over images is summed over pieces, each from its first image to
 * its last, and these in order. So sums are the same bits whoever computes them.
 *
 * Parts are small: whoever keeps a few numbers of each (nb_tap_parts). Units are some parts in a row: whoever keeps a
 * gradient of all weights of each. Ranks (base/ranks.h) share a batch by units. A graph that is shared holds the images of
 * its own rank's units, in order, and its tensors have room for these; what sums over images
 *   - computes its own parts (nb_cut_run, core/cut_gather.h), by their numbers in the whole batch, into memory for all of them,
 *   - brings the others' there (nb_gather_parts), which does nothing in a graph that is not shared,
 *   - and adds all of them in order, and divides by cut->batch, never by out.shape.d[0]. */
#ifndef NIBBLE_EXTEND_CUT_H
#define NIBBLE_EXTEND_CUT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_TAP_MAX_PARTS = 32, NB_MAX_UNITS = 32 };

/* Part i is images [nb_tap_part(batch, i), nb_tap_part(batch, i + 1)): the cut depends on the batch alone. */
static inline int32_t nb_tap_parts(int32_t batch)
{
    return batch < NB_TAP_MAX_PARTS ? batch : NB_TAP_MAX_PARTS;
}
/* See above. */
static inline int32_t nb_tap_part(int32_t batch, int32_t i)
{
    return (int32_t)((int64_t)i * batch / nb_tap_parts(batch));
}

/* Unit u is images [nb_cut_unit(batch, u), nb_cut_unit(batch, u + 1)): whole parts. */
static inline int32_t nb_cut_units(int32_t batch)
{
    const int32_t most = batch < 512 ? 8 : batch < 1024 ? 16 : NB_MAX_UNITS; /* divisors of the number of parts */
    return batch < most ? batch : most;
}
/* See above. */
static inline int32_t nb_cut_unit(int32_t batch, int32_t u)
{
    return (int32_t)((int64_t)u * batch / nb_cut_units(batch));
}
/* The images of the largest. */
static inline int32_t nb_cut_unit_most(int32_t batch)
{
    return (batch - 1) / nb_cut_units(batch) + 1;
}

typedef struct {
    int32_t batch;          /* images, of all ranks */
    int32_t first, images;  /* this graph's are [first, first + images) of them */
    int32_t unit, end_unit; /* its units */
    int32_t part, end_part; /* its parts */
    bool shared;            /* other ranks have the rest */
    struct nb_later
        *later; /* sums that are brought while the backward pass goes on (core/gather_later.h); NULL: they are not */
} nb_cut;

/* The first image of part i, or of unit u, in the graph's tensors. */
static inline int32_t nb_cut_part_at(const nb_cut *c, int32_t i)
{
    return nb_tap_part(c->batch, i) - c->first;
}
/* See above. */
static inline int32_t nb_cut_unit_at(const nb_cut *c, int32_t u)
{
    return nb_cut_unit(c->batch, u) - c->first;
}

#ifdef __cplusplus
}
#endif
#endif
