/* unmeasured.h - opening a data set for whoever looks at every image anyway. */
#ifndef NB_DATASETS_UNMEASURED_H
#define NB_DATASETS_UNMEASURED_H

#include <nibble/dataset.h>

/* As nb_data_open, but images may not have been looked at yet: nb_data_try says of each whether it can be used.
 * *measure: info's mean and std are of nothing, and to be those of the training images. */
nb_status nb_data_open_unmeasured(nb_ctx *ctx, const nb_conf *data, const char *split, nb_data **out, bool *measure);

#endif
