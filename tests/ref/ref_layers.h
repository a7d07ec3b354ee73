/* ref_layers.h - what every layer computes, as plain loops in double: the oracle of layers/. */
#ifndef REF_LAYERS_H
#define REF_LAYERS_H

#include <nibble/extend/op.h>

/* The value of a number key in n's attributes; dflt when the layer has no such key. */
double ref_attr(const nb_node *n, const char *key, double dflt);

/* y = the output of n (nb_count(&n->out) values) for real inputs in[0..n->n_in-1]. False when the layer has no oracle
 * (input and dropout: pixels and random numbers are tested on their own). */
bool ref_layer_forward(double *y, const nb_node *n, const nb_run *r, const double *const *in);

/* The slope of sum(dy * y) when in[k][at] moves, by a central difference in double. in[k] is restored. y is work space.
 */
double ref_layer_slope(const nb_node *n, const nb_run *r, double *const *in, int32_t k, int64_t at, const double *dy,
                       double *y);

#endif
