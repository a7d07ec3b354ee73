/* profile_cells.h - the cells of a profile: made when a tensor's density is known, then filled with its values. */
#ifndef NB_ANALYSIS_PROFILE_CELLS_H
#define NB_ANALYSIS_PROFILE_CELLS_H

#include "analysis/profile.h"

/* Which cells t has; counts and sums are 0, all memory is there. */
nb_status nb_profile_cells_make(nb_profile *p, nb_profile_tensor *t);
/* Once statistics and fits are there, of activations: scale, zero, levels and what they imply. */
void nb_profile_cells_settle(const nb_profile *p, nb_profile_tensor *t);
/* Both for weights w: sets scales and measures all values. Needs no memory, so that tensors can be done at once. */
void nb_profile_cells_of_weights(const nb_profile *p, nb_profile_tensor *t, const float *w);

/* Sums of a part of an activation's values: of cell i group g is sums[i * groups + g], its counts begin at count[i *
 * NB_GRID_CODES]. */
void nb_profile_cells_measure(const nb_profile *p, const nb_profile_tensor *t, const float *x, int64_t n,
                              int32_t groups, nb_rounded *sums, int64_t *count);
void nb_profile_cells_add(nb_profile_tensor *t, int32_t groups, const nb_rounded *sums, const int64_t *count);

#endif
