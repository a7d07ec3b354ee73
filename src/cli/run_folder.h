/* run_folder.h - the folder that a run leaves its files in; one that holds a run is never overwritten. */
#ifndef NB_CLI_RUN_FOLDER_H
#define NB_CLI_RUN_FOLDER_H

#include "cli/cli.h"

enum { CLI_PATH_BYTES = 4096 };

/* "<folder>/<name>" into path [CLI_PATH_BYTES]. */
nb_status cli_file_in(cli *c, const char *folder, const char *name, char *path);

/* Fails when the folder holds a run and the command was not given --force. remedy: what else its user can do, with a
 * comma at its end, or "". */
nb_status cli_run_folder_check(cli *c, const char *folder, const char *remedy);
/* Moves an earlier run aside (--force), makes the folder and writes config.yaml, which also proves that it can be
 * written. */
nb_status cli_run_folder_make(cli *c, const char *folder, const char *config_text);
/* Removes half-written files that a killed process left behind. */
void cli_run_folder_tidy(const char *folder);

#endif
