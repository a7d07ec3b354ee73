/* onnx_fit.h - brings a node's inputs into the layout that its operator is written for. */
#ifndef NB_IMPORT_ONNX_FIT_H
#define NB_IMPORT_ONNX_FIT_H

#include "import/onnx_net.h"

/* The node to translate in d's place: d itself, or a copy that reads its inputs under other names. What cannot be brought
 * there is an error of the node. *signal: it is a 1-D operator that is written as one over images of one row. */
nb_status onnx_fit(onnx_net *n, const onnx_node *d, onnx_fit_kind kind, const onnx_node **out, bool *signal);
/* x becomes the shuffle that a Reshape and a Transpose of its channels are, if they are one. */
nb_status onnx_fit_shuffle(onnx_net *n, const onnx_node *d, onnx_v_entry *x);
/* The output of such a node is a signal again. */
void onnx_fit_signal(onnx_net *n, const onnx_node *d);

#endif
