/* onnx_window.h - the sliding window that Conv and the pools describe with the same attributes. */
#ifndef NB_IMPORT_ONNX_WINDOW_H
#define NB_IMPORT_ONNX_WINDOW_H

#include "import/onnx_net.h"

typedef struct {
    int64_t k[2], stride[2], dilation[2], pad[4]; /* rows, columns; top, left, bottom, right */
    int64_t out[2];
    bool ceil; /* the last window reaches over the edge */
} onnx_window;

typedef struct {
    int64_t kernel, stride, dilation, pad;
} onnx_window_limits;

/* NB_E_UNSUPPORTED where the window is larger than layers may be. */
nb_status onnx_window_check(const onnx_net *n, const onnx_node *d, const onnx_window *w,
                            const onnx_window_limits *most);
/* Adds kernel, stride, pad and dilation to the layer's keys. A stride of `stride`, 0: of the window's size, is left
 * out. */
void onnx_window_keys(onnx_net *n, int32_t layer, const onnx_window *w, int64_t stride);

/* From kernel_shape (k given: it must agree), strides, dilations, pads and auto_pad, for an image of v, whose waiting
 * zeros are added. */
nb_status onnx_window_read(const onnx_net *n, const onnx_node *d, const onnx_v_entry *v, const int64_t k[2],
                           onnx_window *out);

#endif
