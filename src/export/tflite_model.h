/* tflite_model.h - a TensorFlow Lite model being put together: tensors, constants, operators, then bytes.
 *
 * Field and operator numbers are those of the public schema 3 (schema.fbs with file identifier "TFL3"), which only ever
 * grows at its ends. After the first failure everything becomes a no-op, and the status comes out of tfl_finish. Names
 * are copied, and so are constants. */
#ifndef NB_EXPORT_TFLITE_MODEL_H
#define NB_EXPORT_TFLITE_MODEL_H

#include <nibble/context.h>

typedef struct tfl_model tfl_model;

typedef enum { /* TensorType */
               TFL_INT32 = 2,
               TFL_UINT8 = 3,
               TFL_INT64 = 4,
               TFL_INT16 = 7,
               TFL_INT8 = 9,
               TFL_INT4 = 17
} tfl_type;

typedef enum { /* BuiltinOperator */
               TFL_ADD = 0,
               TFL_AVERAGE_POOL_2D = 1,
               TFL_CONCATENATION = 2,
               TFL_CONV_2D = 3,
               TFL_DEPTHWISE_CONV_2D = 4,
               TFL_FULLY_CONNECTED = 9,
               TFL_MAX_POOL_2D = 17,
               TFL_MUL = 18,
               TFL_RESHAPE = 22,
               TFL_PAD = 34,
               TFL_GATHER = 36,
               TFL_MEAN = 40,
               TFL_SUB = 41,
               TFL_CAST = 53,
               TFL_MAXIMUM = 55,
               TFL_MINIMUM = 57,
               TFL_PADV2 = 60,
               TFL_QUANTIZE = 114
} tfl_operator;

typedef enum { TFL_SAME, TFL_VALID } tfl_padding;
typedef enum { TFL_NONE, TFL_RELU, TFL_RELU_N1_TO_1, TFL_RELU6 } tfl_activation;

enum { TFL_MAX_DIMS = 4, TFL_MAX_IN = 8, TFL_MAX_OPTIONS = 7 };

typedef struct {
    int32_t n, d[TFL_MAX_DIMS];
} tfl_shape;

typedef struct {
    int32_t v[TFL_MAX_OPTIONS]; /* every value of the operator's options, in the order of the schema; the rest 0 */
    int32_t version;            /* which of the operator a run time must know; 0: the one that has int8 */
} tfl_options;

nb_status tfl_create(nb_ctx *ctx, tfl_model **out);
void tfl_free(tfl_model *o); /* NULL is fine */
/* A printed name that lives as long as the model. */
const char *tfl_printf(tfl_model *o, const char *fmt, ...) NB_PRINTF(2, 3);
/* A tensor that an operator computes, or the input; returns its index. */
int32_t tfl_tensor(tfl_model *o, const char *name, tfl_type type, tfl_shape shape);
/* One of the same type and quantization. */
int32_t tfl_like(tfl_model *o, int32_t tensor, const char *name, tfl_shape shape);
tfl_shape tfl_shape_of(const tfl_model *o, int32_t tensor);
/* bytes in little-endian order; INT4: two values a byte, first in the low nibble. */
int32_t tfl_constant(tfl_model *o, const char *name, tfl_type type, tfl_shape shape, const void *bytes, size_t len);
/* real = scale * (code - zero): one scale, or n of them along an axis. */
void tfl_quantize(tfl_model *o, int32_t tensor, const float *scale, int32_t n, int32_t zero, int32_t axis);
void tfl_op(tfl_model *o, tfl_operator op, const int32_t *in, int32_t n_in, int32_t out, tfl_options options);
/* Bytes that run times carry along, found by name. */
void tfl_metadata(tfl_model *o, const char *name, const void *bytes, size_t len);
/* Writes the file atomically. */
nb_status tfl_finish(tfl_model *o, int32_t input, int32_t output, const char *path);

#endif
