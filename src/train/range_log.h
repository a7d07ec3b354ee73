/* range_log.h - ranges.csv: where the grid of every quantizer lay after each epoch. */
#ifndef NB_TRAIN_RANGE_LOG_H
#define NB_TRAIN_RANGE_LOG_H

#include <nibble/train.h>

#define NB_RANGES_FILE "ranges.csv"

/* A line for each quantizer of g as it is now, after that epoch (0-based, as the phase); a float network has none. See
 * epoch_log.h. */
nb_status nb_range_log_write(nb_ctx *ctx, const char *path, const nb_graph *g, int32_t phase, int32_t epoch);

#endif
