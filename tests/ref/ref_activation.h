/* ref_activation.h - activations in double, as the field's papers and PyTorch define them. */
#ifndef NB_REF_ACTIVATION_H
#define NB_REF_ACTIVATION_H

#include <stdbool.h>

/* f(x) of the activation with this name; a, b: its keys in order (prelu: the slope). false: there is none. */
bool ref_activation(const char *name, double x, double a, double b, double *y);

#endif
