/* gather_later.h - gradients of weights travel between ranks while the backward pass goes on to the layers before. */
#ifndef NB_CORE_GATHER_LATER_H
#define NB_CORE_GATHER_LATER_H

#include <nibble/context.h>

#include "core/cut_gather.h"

/* Gradients that are under way, of one graph. bytes: the most that all units of one take; more are brought at once. */
typedef struct nb_later nb_later;
nb_status nb_later_create(nb_ctx *ctx, size_t bytes, nb_later **out);
void nb_later_free(nb_ctx *ctx, nb_later *l); /* NULL is fine */

/* What is done with units once they are there; left: as nb_gather_sums returns. */
enum { NB_LATER_WHAT = 128 };
typedef void (*nb_gathered_fn)(const void *what, void *const *unit, int32_t left);
/* nb_gather_sums and then done(what, ..), at once or by a later call, in the order of the calls, which all ranks make alike. The units
 * may then be elsewhere: they are copied, as is what [bytes_of_what]. */
void nb_gather_later(const nb_cut *c, void *const *unit, int32_t n, size_t floats, size_t bytes, nb_gathered_fn done,
                     const void *what, size_t bytes_of_what);
/* All that is under way is done when it returns. later: may be NULL. */
void nb_later_finish(nb_later *later);

#endif
