/* onnx_window.h - the sliding window that Conv and the pools describe with the same attributes. */
#ifndef NB_IMPORT_ONNX_WINDOW_H
#define NB_IMPORT_ONNX_WINDOW_H

#include "import/onnx_net.h"

typedef struct {
    int64_t k[2], stride[2], dilation[2], pad[4]; /* rows, columns; top, left, bottom, right */
    int64_t out[2];
} onnx_window;

/* From kernel_shape (k given: it must agree), strides, dilations, pads and auto_pad, for an image of v, whose waiting
 * zeros are added. Output sizes rounded down, or NB_E_UNSUPPORTED where ceil_mode makes them differ. */
nb_status onnx_window_read(const onnx_net *n, const onnx_node *d, const onnx_v_entry *v, const int64_t k[2],
                           onnx_window *out);

#endif
