/* cut_gather.h - who has which images of a batch, and what ranks bring each other of sums over them; <nibble/extend/cut.h>
 * says how a layer uses it. */
#ifndef NB_CORE_CUT_GATHER_H
#define NB_CORE_CUT_GATHER_H

#include <nibble/extend/cut.h>

#include "base/parallel.h"
#include "base/ranks.h"

#include <stddef.h>

/* Of this rank; not shared: all of it. A batch of fewer units than there are ranks is not worth sharing: every rank has all
 * of it. */
nb_cut nb_cut_of(int32_t batch, bool shared);
/* The most images that nb_cut_of gives for a batch of 1..most. */
int32_t nb_cut_room(int32_t most, bool shared);
/* fn(arg, part, thread) for the parts that are here, at once. */
void nb_cut_run(const nb_cut *c, nb_chunk_fn fn, void *arg);

/* Memory for all parts (images, units) of a batch, `bytes` for each; afterwards every rank has what each computed. */
typedef struct {
    void *data;
    size_t bytes;
} nb_gathered;
void nb_gather_parts(const nb_cut *c, const nb_gathered *g, int32_t n);
void nb_gather_images(const nb_cut *c, void *data, size_t bytes);
/* unit[u]: `bytes` of it. n: the units may be taken together to fewer, n, of which none belongs to two ranks. */
void nb_gather_units(const nb_cut *c, void *const *unit, int32_t n, size_t bytes);
/* As nb_gather_units of what is to be added up, unit after unit: `floats` that each begins with; what follows them is only brought. How
 * many are left to add: n, or 1, unit[0], where it costs less that every rank adds up a piece and gives that to the others. */
int32_t nb_gather_sums(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes);
/* Its halves, for who does something else meanwhile. One exchange (floats are few) or two: the units' pieces, of which each rank
 * adds up one, and the sums. */
enum { NB_GATHER_PIECES = NB_MAX_UNITS * (NB_MAX_UNITS + 1) };
bool nb_gather_is_short(size_t floats, int32_t n);
int32_t nb_gather_unit_pieces(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes,
                              nb_piece piece[NB_GATHER_PIECES]);
void nb_gather_add_own(void *const *unit, int32_t n, size_t floats);
int32_t nb_gather_sum_pieces(void *sum, size_t floats, nb_piece piece[NB_GATHER_PIECES]);
/* Does none of n equal runs of units belong to two ranks? */
bool nb_cut_divides(const nb_cut *c, int32_t n);
/* x [n]: values of the images image[i], counted from this rank's first and ascending, of which it knows its own. */
void nb_gather_values(const nb_cut *c, float *x, const int32_t *image, int32_t n);
/* The extremes of all ranks; a NaN stays one. */
void nb_gather_extremes(const nb_cut *c, float *min, float *max);

#endif
