/* rank_voice.h - a command that mpirun started several times: one of them speaks. */
#ifndef NB_CLI_RANK_VOICE_H
#define NB_CLI_RANK_VOICE_H

#include "cli/cli.h"

/* Meets the other ranks, where there are any; from here on all but rank 0 are silent. NB_E_CONFIG for a command that is one
 * process's. */
nb_status cli_ranks_begin(cli *c);
/* The end of the command: says why it failed, if it did and it is for this rank to say. Returns the exit code. */
int cli_ranks_end(nb_ctx *ctx, int code);

#endif
