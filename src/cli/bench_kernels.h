/* bench_kernels.h - `nibble bench --kernels`. */
#ifndef NB_CLI_BENCH_KERNELS_H
#define NB_CLI_BENCH_KERNELS_H

#include "cli/cli.h"

/* Measures the machine's limits and every kernel, medians of `rounds`; prints tables, or with --json one object per
 * kernel and shape. */
nb_status cli_bench_kernels(cli *c, int32_t rounds);

#endif
