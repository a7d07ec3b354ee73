/* metrics.h - what every epoch yielded, as rows and as CSV text; and how long it took, kept apart.
 *
 * metrics.csv holds nothing that depends on the clock, so a run that was interrupted ends in the same bytes. Seconds go
 * to timing.csv. */
#ifndef NB_TRAIN_METRICS_H
#define NB_TRAIN_METRICS_H

#include <nibble/train.h>

typedef struct {
    int32_t phase, epoch; /* 0-based */
    double lr, loss, train_accuracy, eval_loss, accuracy;
    bool simulated;     /* nb_eval: in the column "quantized", which is yes, no or simulated */
    const char *metric; /* nb_eval: what accuracy is. NULL: accuracy; else all rows say it, in a column of its own */
} nb_metrics_row;

typedef struct {
    nb_metrics_row *row;
    int32_t n, cap;
} nb_metrics;

void nb_metrics_deinit(nb_ctx *ctx, nb_metrics *m);
/* Rows come in order. The row is rounded to what its text says. */
nb_status nb_metrics_add(nb_ctx *ctx, nb_metrics *m, const nb_metrics_row *row);
/* *out is freed with nb_free. Parsing it and printing again gives equal bytes. */
nb_status nb_metrics_print(nb_ctx *ctx, const nb_metrics *m, const nb_train_plan *plan, char **out);
/* Text from a checkpoint; where stands in front of messages. Phases and epochs must be the plan's. */
nb_status nb_metrics_parse(nb_ctx *ctx, const char *where, const char *text, const nb_train_plan *plan, nb_metrics *m);

typedef struct {
    int32_t phase, epoch;
    double train_seconds, eval_seconds;
} nb_timing_row;

typedef struct {
    nb_timing_row *row;
    int32_t n, cap;
} nb_timing;

void nb_timing_deinit(nb_ctx *ctx, nb_timing *t);
nb_status nb_timing_add(nb_ctx *ctx, nb_timing *t, const nb_timing_row *row);
nb_status nb_timing_write(nb_ctx *ctx, const nb_timing *t, const char *path);
/* Rows of an earlier run that lie before (phase, epoch). Only for information: a file that is missing or odd gives
 * fewer rows. */
nb_status nb_timing_read(nb_ctx *ctx, nb_timing *t, const char *path, int32_t phase, int32_t epoch);

#endif
