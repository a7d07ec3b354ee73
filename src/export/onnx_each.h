/* onnx_each.h - activations as float ONNX, as PyTorch writes them. */
#ifndef NB_EXPORT_ONNX_EACH_H
#define NB_EXPORT_ONNX_EACH_H

#include "export/onnx_model.h"

#include <nibble/extend/op.h>

/* The layer, a function of one value with its keys, on x: the name of what it gives. */
const char *onnx_put_each(onnx_model *o, const nb_node *n, const char *x);
/* The first version of ONNX that has it. */
int64_t onnx_opset_of_each(const nb_node *n);

#endif
