/* meant_file.h - a run folder given where one of its files is wanted. */
#ifndef NB_CLI_MEANT_FILE_H
#define NB_CLI_MEANT_FILE_H

#include "cli/run_folder.h"

/* When path is a run folder that has what is wanted, *out is that file's path in buf, and the log says so; else it is
 * path. */
nb_status cli_meant_file(cli *c, const char *path, cli_meant what, char buf[CLI_PATH_BYTES], const char **out);
/* The file that the key `init` means, without the hash behind its path, in path. */
nb_status cli_init_file(cli *c, const char *init, char path[CLI_PATH_BYTES]);

#endif
