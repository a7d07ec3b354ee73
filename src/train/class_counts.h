/* class_counts.h - how many training images each class has: for weights in the loss and for sampling. */
#ifndef NB_TRAIN_CLASS_COUNTS_H
#define NB_TRAIN_CLASS_COUNTS_H

#include <nibble/dataset.h>

/* label [n] and count [classes] of images indices[0..n-1] (NULL: 0..n-1); either may be NULL. */
nb_status nb_class_counts(nb_ctx *ctx, const nb_data *data, const int32_t *indices, int32_t n, int32_t *label,
                          int32_t *count);

#endif
