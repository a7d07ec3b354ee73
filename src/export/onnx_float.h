/* onnx_float.h - the float network as ONNX. */
#ifndef NB_EXPORT_ONNX_FLOAT_H
#define NB_EXPORT_ONNX_FLOAT_H

#include <nibble/extend/op.h>

nb_status nb_onnx_write_float(nb_ctx *ctx, const nb_graph *g, const char *path);

#endif
