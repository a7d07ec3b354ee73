/* alike.h - the ranks of a command that is no training: the same program with the same words and files, or nothing is done. */
#ifndef NB_CLI_ALIKE_H
#define NB_CLI_ALIKE_H

#include "cli/cli.h"

/* What they must have alike beside the command's words; NULL, 0: nothing. */
typedef struct {
    const char *file;       /* its name: what is in it counts */
    uint64_t config;        /* a hash of it */
    const nb_data *data[2]; /* to train with, others */
} cli_alike;
/* Where there are other ranks: fails on all of them when one has something else, and has them work together (cli.h) from here
 * on. */
nb_status cli_ranks_alike(cli *c, const cli_alike *a);

#endif
