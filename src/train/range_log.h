/* range_log.h - ranges.csv: where the grid of every quantizer lay after each epoch. */
#ifndef NB_TRAIN_RANGE_LOG_H
#define NB_TRAIN_RANGE_LOG_H

#include <nibble/train.h>

#define NB_RANGES_FILE "ranges.csv"

/* Makes the file at path: lines of earlier epochs as they are there, then one for each quantizer of g as it is now, after
 * that epoch (0-based, as the phase). A float network has none. The file is of g's state and those lines alone, so a
 * training that was interrupted ends in the same bytes; lines that are lost stay lost. */
nb_status nb_range_log_write(nb_ctx *ctx, const char *path, const nb_graph *g, int32_t phase, int32_t epoch);

#endif
