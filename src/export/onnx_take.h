/* onnx_take.h - moved values as ONNX, for real numbers and for codes. */
#ifndef NB_EXPORT_ONNX_TAKE_H
#define NB_EXPORT_ONNX_TAKE_H

#include <nibble/take.h>

#include "export/onnx_model.h"

typedef struct {
    int32_t ndim; /* 4: images; 2: rows */
    int32_t type;
    double zero; /* what is real 0 */
} onnx_values;

/* x moved, as `name`: by Pad, Slice and Gather, as few as do. */
nb_status onnx_take(nb_ctx *ctx, onnx_model *o, const char *name, const char *x, const nb_take *t,
                    const onnx_values *v);
/* Codes (ONNX_UINT8 or ONNX_INT8) of images mixed: two products of integer matrices, exact. */
nb_status onnx_blend(nb_ctx *ctx, onnx_model *o, const char *name, const char *x, const nb_take *t, int32_t type);

#endif
