/* run_folder.h - the folder that a run leaves its files in; one that holds a run is never overwritten. */
#ifndef NB_CLI_RUN_FOLDER_H
#define NB_CLI_RUN_FOLDER_H

#include "cli/cli.h"

#include "base/lock.h"
#include <stdbool.h>

enum { CLI_PATH_BYTES = 4096 };

/* "<folder>/<name>" into path [CLI_PATH_BYTES]. */
nb_status cli_file_in(cli *c, const char *folder, const char *name, char *path);

/* Are there results of a run? */
bool cli_holds_run(const char *folder);
/* Are there the tables of a sweep? */
bool cli_holds_sweep(cli *c, const char *folder);
/* Is path there, and one of the files by which a run goes on: a result, or the config beside one? */
bool cli_is_of_run(const char *path);
/* Looks only: fails when somebody is writing into the folder, or it holds a run and the command was not given --force.
 * remedy: what else its user can do, with a comma at its end, or "". */
nb_status cli_run_folder_check(cli *c, const char *folder, const char *remedy);
/* Makes the folder this process's until the lock is released, after a failure too: moves an earlier run aside
 * (--force), removes what a killed process left half-written, and writes config.yaml, which also proves that it can be
 * written. */
nb_status cli_run_folder_begin(cli *c, const char *folder, const char *remedy, const char *config_text, nb_lock *lock);
/* The same for --resume. *resume: there is a checkpoint to go on from; when nothing is there yet the run begins. */
nb_status cli_run_folder_resume(cli *c, const char *folder, const char *config_text, nb_lock *lock, bool *resume);
/* For short writers of files that are no run's: the lock of the folder that path stands in, which is waited for. */
nb_status cli_lock_beside(cli *c, const char *path, nb_lock *lock);

#endif
