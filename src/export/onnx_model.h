/* onnx_model.h - putting an ONNX model together: nodes, constants, attributes in one arena, then bytes by protobuf-c.
 *
 * After the first failure (out of memory) everything becomes a no-op, and the status comes out of onnx_finish. Names
 * are copied. */
#ifndef NB_EXPORT_ONNX_MODEL_H
#define NB_EXPORT_ONNX_MODEL_H

#include <nibble/features.h>
#include <stdbool.h>

typedef struct onnx_model onnx_model;

enum { /* TensorProto.DataType; the last is younger than the schema that Debian ships */
       ONNX_FLOAT = 1,
       ONNX_UINT8 = 2,
       ONNX_INT8 = 3,
       ONNX_INT32 = 6,
       ONNX_INT64 = 7,
       ONNX_BOOL = 9,
       ONNX_INT4 = 22
};

enum { ONNX_MAX_IN = 16 };

nb_status onnx_create(nb_ctx *ctx, int64_t opset, onnx_model **out);
void onnx_free(onnx_model *o); /* NULL is fine */

/* A printed name that lives as long as the model. */
const char *onnx_name(onnx_model *o, const char *fmt, ...) NB_PRINTF(2, 3);
/* A node with up to ONNX_MAX_IN inputs and one output; returns the output's name. last: for attributes, the node made
 * last. */
const char *onnx_add(onnx_model *o, const char *op, const char *out, const char *const *in, int32_t n_in);
/* The node made last gets one more output. */
void onnx_more_output(onnx_model *o, const char *out);
void onnx_int(onnx_model *o, const char *attribute, int64_t v);
void onnx_string(onnx_model *o, const char *attribute, const char *v);
void onnx_float(onnx_model *o, const char *attribute, float v);
void onnx_ints(onnx_model *o, const char *attribute, const int64_t *v, int32_t n);
/* A constant; bytes in little-endian order, copied. INT4: two values a byte, first in the low nibble. Returns name. */
const char *onnx_constant(onnx_model *o, const char *name, int32_t type, const int64_t *dims, int32_t n_dims,
                          const void *bytes, size_t len);
const char *onnx_scalar(onnx_model *o, const char *name, int32_t type, double v); /* FLOAT, UINT8 or INT8 */
/* A graph input or output; dims[0] < 0: any number of images, "N". */
void onnx_value(onnx_model *o, bool is_output, const char *name, int32_t type, const int64_t *dims, int32_t n_dims);
void onnx_meta(onnx_model *o, const char *key, const char *value);
void onnx_features(onnx_model *o, const nb_features *f); /* metadata "features"; nothing for NULL */
/* Writes the file atomically. */
nb_status onnx_finish(onnx_model *o, const char *path);

#endif
