/* onnx_fit.h - brings a node's inputs into the layout that its operator is written for. */
#ifndef NB_IMPORT_ONNX_FIT_H
#define NB_IMPORT_ONNX_FIT_H

#include "import/onnx_net.h"

/* A 1-D operator, or one over images of one column, that is written as one over images of one row. */
typedef enum { ONNX_AS_IT_IS, ONNX_SIGNAL, ONNX_COLUMN } onnx_turn;

/* The node to translate in d's place: d itself, or a copy that reads its inputs under other names. What cannot be brought
 * there is an error of the node. */
nb_status onnx_fit(onnx_net *n, const onnx_node *d, onnx_fit_kind kind, const onnx_node **out, onnx_turn *turn);
/* x becomes the shuffle that a Reshape and a Transpose of its channels are, if they are one. */
nb_status onnx_fit_shuffle(onnx_net *n, const onnx_node *d, onnx_v_entry *x);
/* The output of such a node stands as its input did. */
void onnx_fit_back(onnx_net *n, const onnx_node *d, onnx_turn turn);

#endif
