/* op_affine.h - arithmetic with constants, and the activations that are written with it. */
#ifndef NB_IMPORT_OP_AFFINE_H
#define NB_IMPORT_OP_AFFINE_H

#include "import/onnx_net.h"

/* A constant beside the values x: one number, or *each: one per channel. Anything else is an error of the node. */
nb_status onnx_per_channel(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                           bool *each);
/* Is the layer mul * x + add with two numbers for all channels? */
bool onnx_one_affine(const onnx_net *n, int32_t layer, double *mul, double *add);

typedef enum {
    ONNX_TIMES,
    ONNX_OVER,
    ONNX_PLUS,
    ONNX_MINUS,
    ONNX_LESS_THAN
} onnx_arithmetic; /* the last: constant - x */
/* x and a constant of one number or one per channel: *y is what a layer makes of them, or the affine before it. */
nb_status onnx_affine_of(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                         onnx_arithmetic what, onnx_v_entry *y);
/* The same of one number. */
nb_status onnx_affine_by(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, float v, onnx_arithmetic what,
                         onnx_v_entry *y);
/* Input `data` and a constant, the other one: scale and shift. */
nb_status onnx_affine(onnx_net *n, const onnx_node *d, size_t data, onnx_arithmetic what);

/* The product of a and b is an activation of one of them, which is y. */
bool onnx_gate(onnx_net *n, const onnx_v_entry *a, const onnx_v_entry *b, onnx_v_entry *y);
/* A factor makes v's layer one. */
bool onnx_scaled_gate(onnx_net *n, const onnx_v_entry *v, double factor);

#endif
