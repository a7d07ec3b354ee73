/* sweep_time.c - see sweep_time.h. */
#include "cli/sweep_time.h"

#include <stdlib.h>

static const double of_quantize = 0.5; /* epochs: calibration, steps, evaluation */

double sweep_run_epochs(const nb_conf *train, bool quantize)
{
    const nb_conf *phases = nb_conf_get(train, "phases");
    double epochs = 0;
    if (quantize)
        return of_quantize;
    for (int32_t i = 0; i < nb_conf_count(phases); i++) {
        const char *text = nb_conf_text(nb_conf_get(nb_conf_at(phases, i), "epochs"));
        epochs += text ? strtod(text, NULL) : 1;
    }
    return epochs > 0 ? epochs : 1;
}

double sweep_seconds_left(const nb_sweep *s, const double *epochs, const sweep_spent *spent, int32_t jobs)
{
    double left = 0;
    int32_t runs = 0;
    for (int32_t i = 0; i < s->n_runs; i++)
        if (s->run[i].wanted && s->run[i].state == NB_SWEEP_MISSING) {
            left += epochs[i];
            runs++;
        }
    return left * spent->seconds / spent->epochs / (runs < jobs ? (runs ? runs : 1) : jobs);
}
