/* float_accuracy.h - what a network was worth before it was quantized. */
#ifndef NB_CLI_FLOAT_ACCURACY_H
#define NB_CLI_FLOAT_ACCURACY_H

#include "cli/open_model.h"

/* Accuracy of the float network that a model was made from, by its own run: the last float epoch there, or what `quantize`
 * measured. -1: it does not say. given: the run folder or file that the model was opened from. */
double cli_float_accuracy(cli *c, const char *given, const cli_model *m);

#endif
