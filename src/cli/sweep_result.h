/* sweep_result.h - where a run of a sweep is, and what it has come to, as files beside its folder say. */
#ifndef NB_CLI_SWEEP_RESULT_H
#define NB_CLI_SWEEP_RESULT_H

#include "cli/sweep_jobs.h"

typedef struct {
    uint64_t key;
    bool complete;
    double accuracy;
    char kind[128], metric[16];
} sweep_result;

/* The run's folder, with `end` behind its name; path [CLI_PATH_BYTES]. */
nb_status sweep_path_of(const sweep_jobs *j, int32_t run, const char *end, char *path);
/* The key of a run whose start, if it has one, is done. */
nb_status sweep_key_of(const sweep_jobs *j, int32_t run, uint64_t *key);
/* nibble-sweep 1, key HEX, and of a complete run: accuracy NUMBER, kind TEXT, and metric NAME where it is no accuracy.
 * Anything else is no result. */
bool sweep_result_read(const sweep_jobs *j, int32_t run, sweep_result *r);
nb_status sweep_result_write(const sweep_jobs *j, int32_t run, const sweep_result *r);
/* The run is done. */
void sweep_result_take(nb_sweep_run *run, const sweep_result *r);

#endif
