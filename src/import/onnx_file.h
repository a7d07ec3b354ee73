/* onnx_file.h - an ONNX file as plain structs: what the importer needs of the protobuf, checked and bounded. */
#ifndef NB_IMPORT_ONNX_FILE_H
#define NB_IMPORT_ONNX_FILE_H

#include "base/safetensors.h"

enum { ONNX_FILE_DIMS = 8, ONNX_FILE_NODES = 1 << 14 };

/* The kind of an attribute's value; everything else (strings lists, graphs, sparse tensors) is OTHER. */
typedef enum {
    ONNX_A_INT,
    ONNX_A_FLOAT,
    ONNX_A_STRING,
    ONNX_A_INTS,
    ONNX_A_FLOATS,
    ONNX_A_TENSOR,
    ONNX_A_OTHER
} onnx_kind;

typedef struct {
    const char *name;
    onnx_kind kind;
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    size_t n; /* of ints or floats */
    nb_st_tensor t;
} onnx_attr;

typedef struct {
    const char *name, *op, *domain;
    const char *const *in;
    const char *const *out;
    size_t n_in, n_out;
    const onnx_attr *attr;
    size_t n_attr;
} onnx_node;

typedef struct {
    const char *name;
    int32_t type;                /* TensorProto.DataType; 0: none given */
    int32_t ndim;                /* -1: no shape, or more than ONNX_FILE_DIMS */
    int64_t dim[ONNX_FILE_DIMS]; /* -1: not known before it runs */
} onnx_port;

typedef struct onnx_file {
    const char *path;
    const onnx_node *node;
    const nb_st_tensor *constant;    /* initializers; dtype OTHER: integers that are no INT64 */
    const onnx_port *input, *output; /* inputs that are initializers are left out */
    size_t n_nodes, n_constants, n_inputs, n_outputs;
    int64_t opset;
    const char *const *meta; /* key, value, key, value, ... */
    size_t n_meta;           /* pairs */
    struct onnx_memory *memory;
} onnx_file;

typedef enum {
    ONNX_ON_DISK = 1, /* other files may lie beside it */
    ONNX_NARROW = 2   /* integers of 8 and 4 bits become I8 and U8; else their tensors are OTHER */
} onnx_file_kind;

/* In a build without ONNX all fail with NB_E_UNSUPPORTED. Strings and tensors live as long as the file. */
nb_status onnx_file_open(nb_ctx *ctx, const char *path, onnx_file **out);
nb_status onnx_file_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file **out);
nb_status onnx_file_open_as(nb_ctx *ctx, const char *path, onnx_file_kind kind, onnx_file **out);
nb_status onnx_file_parse_as(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, onnx_file_kind kind,
                             onnx_file **out);
void onnx_file_free(nb_ctx *ctx, onnx_file *f); /* NULL is fine */

#endif
