/* sweep_time.h - how long the rest of a sweep takes, told by the epochs of its runs: one may have a hundred times as many as
 * another. */
#ifndef NB_CLI_SWEEP_TIME_H
#define NB_CLI_SWEEP_TIME_H

#include "sweep/sweep_plan.h"

typedef struct {
    double seconds, epochs; /* of the runs that ended in this call, one after another */
} sweep_spent;

/* What a run's time goes by: all epochs of its phases; a little for one that is quantized without training. */
double sweep_run_epochs(const nb_conf *train, bool quantize);
/* Until all runs that are wanted and missing are made, `jobs` at a time; epochs: of every run. */
double sweep_seconds_left(const nb_sweep *s, const double *epochs, const sweep_spent *spent, int32_t jobs);

#endif
