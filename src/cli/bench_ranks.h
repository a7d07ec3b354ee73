/* bench_ranks.h - `nibble bench CONFIG --ranks`. */
#ifndef NB_CLI_BENCH_RANKS_H
#define NB_CLI_BENCH_RANKS_H

#include "cli/cli.h"

/* Training steps on the ranks that there are: what is computed, what is waited for, what travels; and what other numbers of
 * ranks would take, by a model that is compared with what was measured. Medians of `rounds`. */
nb_status cli_bench_ranks(cli *c, int32_t rounds);

#endif
