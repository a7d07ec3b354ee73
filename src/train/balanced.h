/* balanced.h - the order of an epoch that shows every class equally often: images of small ones again and again. */
#ifndef NB_TRAIN_BALANCED_H
#define NB_TRAIN_BALANCED_H

#include <nibble/dataset.h>

typedef struct nb_balanced nb_balanced;

/* Of images subset [n], which are copied. */
nb_status nb_balanced_create(nb_ctx *ctx, const nb_data *data, const int32_t *subset, int32_t n, nb_balanced **out);
void nb_balanced_free(nb_ctx *ctx, nb_balanced *b); /* NULL is fine */
/* order [n]: the images of that epoch, classes in turn (shuffle it); again [n]: how often each has been there before. A class
 * goes through all its images, in an order of (seed, epoch), before one comes back. */
void nb_balanced_order(nb_balanced *b, uint64_t seed, int32_t epoch, int32_t *order, int32_t *again);

#endif
