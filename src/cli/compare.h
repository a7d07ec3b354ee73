/* compare.h - what numbers say about a network: engine against the quantized network of training, exit code 1 when something is no
 * rounding; and whether there is a network that looks at its images at all. */
#ifndef NB_CLI_COMPARE_H
#define NB_CLI_COMPARE_H

#include "cli/cli.h"

/* what: the file or run in the sentence. */
nb_status cli_compare_judge(cli *c, const char *what, const nb_verify_report *r, int32_t steps);
/* Compares on the first few images before an accuracy is believed: milliseconds against a wrong number. */
nb_status cli_compare_few(cli *c, const char *what, nb_graph *g, const nb_intmodel *m, const nb_data *data);
/* One line on stderr when all of several images had the same logits, whatever the accuracy says. */
void cli_compare_warn_dead(const char *what, const nb_eval *e);

#endif
