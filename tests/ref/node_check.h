/* node_check.h - one node of a frozen graph against its oracle: values, then every gradient. */
#ifndef NODE_CHECK_H
#define NODE_CHECK_H

#include <nibble/extend/op.h>

/* Largest error of one node, each relative to the largest wanted value of its tensor. */
typedef struct {
    double forward, backward;
} node_error;

/* Runs the graph up to n, compares n's output with the oracle on its (dequantized) inputs, then calls its backward with
 * random output gradients and memory of our own: once writing into garbage, once adding to numbers, once with nobody
 * asking. Returns false when the layer has no oracle. `samples` elements of each input are checked, and a random
 * direction through all of them. */
bool node_check(nb_graph *g, nb_node *n, const nb_run *r, int32_t samples, node_error *out);

/* Real values of a tensor of floats or codes, in double; free() it. */
double *node_values(const nb_tensor *t);

#endif
