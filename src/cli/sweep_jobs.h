/* sweep_jobs.h - the runs of a sweep as processes: what each is made by, which are made already, and making the others. */
#ifndef NB_CLI_SWEEP_JOBS_H
#define NB_CLI_SWEEP_JOBS_H

#include "cli/cli.h"

#include "cli/sweep_time.h"
#include "sweep/sweep_plan.h"

#include <signal.h>

enum { SWEEP_MAX_JOBS = 64 };

typedef struct {
    cli *c;
    nb_sweep *sweep;
    uint64_t *expected; /* per run: hash of its config, all changes in it */
    bool *stale;        /* per run: its folder holds a run of another config, or one with another start */
    double *epochs;     /* per run: what its time goes by */
    sweep_spent spent;
    int32_t jobs; /* processes at a time, of each rank */
    const char *threads;
    const volatile sig_atomic_t *stop;
    int32_t done, todo;
} sweep_jobs;

/* Binds and checks the config of every run, wanted or not, and looks which are there: as rank 0 sees it, where there are
 * others. */
nb_status sweep_jobs_open(sweep_jobs *j);
void sweep_jobs_close(sweep_jobs *j);
/* The commands that make a run, as a shell takes them; the caller frees the text. */
nb_status sweep_jobs_command(const sweep_jobs *j, int32_t run, char **out);
/* Makes what is wanted and missing. NB_E_STOPPED when asked to end: what ran has saved. A run that fails is marked and
 * said, and the others go on. All ranks call it and know the same afterwards. */
nb_status sweep_jobs_make(sweep_jobs *j);

#endif
