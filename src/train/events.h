/* events.h - the table of epochs as a TensorBoard event file, which grows by a record an epoch. */
#ifndef NB_TRAIN_EVENTS_H
#define NB_TRAIN_EVENTS_H

#include "train/metrics.h"

#define NB_EVENTS_FILE "events.out.tfevents.nibble" /* TensorBoard takes files with "tfevents" in their names */

/* Makes the file at path that of m's rows. Records of earlier calls and processes stay as they are, with the times of
 * their own; what is not one of them (half a record, another training's) goes. Row i is at step (i + 1) * steps. */
nb_status nb_events_write(nb_ctx *ctx, const char *path, const nb_metrics *m, int64_t steps);

#endif
