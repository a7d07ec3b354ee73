/* overwrite.h - what a command must not write over: the files it reads, and what somebody else wrote. */
#ifndef NB_CLI_OVERWRITE_H
#define NB_CLI_OVERWRITE_H

#include "cli/cli.h"

#include <stdbool.h>

/* An output file of an option: not empty, not "-", none of the files that were read, none of a run's, and what is there
 * already is of the kind that is written. */
nb_status cli_output_check(cli *c, const char *option, const char *path, const char *kind);
/* What is written over is of the same kind: "config", "checkpoint", "integers", "logits", "onnx", "tflite", "c", "text" (a
 * listing), "html", "csv". Nothing there, an empty file, or a device are fine. */
nb_status cli_kind_check(cli *c, const char *path, const char *kind);
/* A run folder that is going to be begun: none of the files a run writes is one that was read; a config.yaml there is an
 * experiment as a run of that folder prints it, or says the same as config_text. When the folder is going to be moved aside (--force), nothing but the config
 * may have been read from it. Called when all inputs have been opened. That a folder with a run is not begun anew is
 * run_folder.h's. */
nb_status cli_run_outputs_check(cli *c, const char *folder, const char *config_text);
/* Do both paths lead to one file? */
bool cli_same_file(const char *a, const char *b);
/* Is there a file with another text? Writes nothing and notes nothing. */
nb_status cli_says_else(cli *c, const char *path, const char *text, bool *yes);

#endif
