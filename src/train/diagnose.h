/* diagnose.h - where numbers went bad. */
#ifndef NB_TRAIN_DIAGNOSE_H
#define NB_TRAIN_DIAGNOSE_H

#include <nibble/extend/op.h>

/* True when every parameter and buffer of g is finite. */
bool nb_params_finite(const nb_graph *g);
/* Writes into buf what is not finite first, in the order of computation: "the parameter c1.weight", "the output of
 * conv2d c1", "the gradient of c1.weight", or "nothing" . r is the step that went wrong; buffers may change, so the
 * graph is for the bin. */
bool nb_diagnose(nb_graph *g, const nb_run *r, char *buf, size_t len);

#endif
