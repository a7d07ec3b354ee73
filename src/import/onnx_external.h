/* onnx_external.h - values that lie in a file beside the model, as PyTorch's exporter writes them: net.onnx.data. */
#ifndef NB_IMPORT_ONNX_EXTERNAL_H
#define NB_IMPORT_ONNX_EXTERNAL_H

#include "base/arena.h"

/* The files that were read so far; zeroed at first. */
typedef struct {
    struct onnx_external_file *first;
} onnx_externals;

/* Where a tensor's values lie: `location` is a path beside the model, never above its folder. length: -1 where the file does
 * not say, and then `bytes` are taken. */
typedef struct {
    const char *location;
    int64_t offset, length, bytes;
} onnx_place;

/* *data: `bytes` bytes, which live until onnx_externals_free; model: its path. Fails with a sentence about that file,
 * which the caller precedes with the tensor's name. */
nb_status onnx_external_read(nb_ctx *ctx, nb_arena *arena, onnx_externals *files, const char *model,
                             const onnx_place *at, const void **data);
void onnx_externals_free(nb_ctx *ctx, onnx_externals *files);

#endif
