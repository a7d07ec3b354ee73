/* choices.h - what --set does to the keys of the choice it replaces. */
#ifndef NB_CLI_CHOICES_H
#define NB_CLI_CHOICES_H

#include "cli/cli.h"

/* `--set quant.activations.range=minmax` on a file that says {range: ema, momentum: 0.05}: momentum was ema's. Keys of
 * the file that belong to another format, range method, learning, data set, optimizer or schedule than the one an override chose are
 * taken out, each with a line in the log. Keys that nobody knows, and those an override set, stay: they are errors. */
void cli_settle_choices(cli *c, nb_config *cfg);

#endif
