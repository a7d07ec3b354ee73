/* relu.h - what fused chains need to know of a relu. */
#ifndef NB_LAYERS_RELU_H
#define NB_LAYERS_RELU_H

#include <nibble/extend/op.h>

float nb_relu_cap(const nb_node *n); /* infinity: none */

#endif
