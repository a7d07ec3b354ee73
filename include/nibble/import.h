/* import.h - weights and networks from elsewhere: safetensors by name map, float ONNX models. */
#ifndef NIBBLE_IMPORT_H
#define NIBBLE_IMPORT_H

#include <nibble/dataset.h>
#include <nibble/graph.h>
#include <nibble/intmodel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How somebody else names the parameters of a kind of network. One file per map in src/import/, listed in maps.def; the
 * text is what one would write into a mapping file (src/import/name_map.h has the rules). */
typedef struct nb_name_map {
    const char *name, *help, *text;
} nb_name_map;
extern NB_API const nb_name_map *const nb_name_maps[]; /* ends with NULL */

/* One tensor of the file and where it goes. */
typedef struct {
    const char *theirs, *ours;           /* names; NULL on one side: nobody takes it, nobody gives it */
    const char *their_shape, *our_shape; /* "16x3x3x3", or NULL */
    const char *note;                    /* "left out" and the like, or "" */
} nb_import_row;

/* What became of a file: strings live until nb_import_report_free, names of ours as long as the graph. */
typedef struct {
    const char *map; /* the map that was used */
    nb_import_row *rows;
    int32_t n;
    struct nb_arena *arena;
} nb_import_report;
NB_API void nb_import_report_free(nb_import_report *r); /* a zeroed struct is fine */

typedef struct {
    const char *map; /* a built-in map or the path of a mapping file; NULL: the built-in one that knows all names */
    const char *map_text; /* a mapping file's content; map is then its name in messages. NULL: map is looked up */
    float bn_eps;         /* of the network the weights were trained in; 0: 1e-5, PyTorch's default */
} nb_import_options;

/* Copies the float tensors of a safetensors file (F32, F16, BF16, F64) into the leaves of g, a float graph that is not
 * frozen: weights OIHW -> OHWI, columns of a layer behind a flatten CHW -> HWC. Every leaf must get a tensor of its
 * shape and every tensor but num_batches_tracked must go somewhere: else NB_E_FORMAT with the names. What was found is
 * in *report then too; the caller frees it in any case. options may be NULL. A graph that was built for 0 classes, since
 * nobody knew their number, has as many as its output from then on. */
NB_API nb_status nb_import_weights(nb_graph *g, const char *path, const nb_import_options *options,
                                   nb_import_report *report);
/* The same from memory; name stands in messages. */
NB_API nb_status nb_import_weights_parse(nb_graph *g, const char *name, const uint8_t *bytes, size_t len,
                                         const nb_import_options *options, nb_import_report *report);

/* ---- ONNX ---- */

/* A float ONNX model, read and translated: one input of float images [N, C, H, W] or [N, H, W, C], signals [N, C, L] or
 * vectors [N, F], which are images of one row, and one output of logits. */
typedef struct nb_onnx nb_onnx;
NB_API nb_status nb_onnx_open(nb_ctx *ctx, const char *path, nb_onnx **out);
/* Sizes of one image in the file's order, for a file that leaves them open. */
typedef struct {
    int32_t n; /* 1 to 7 */
    int64_t d[7];
} nb_onnx_size;
NB_API nb_status nb_onnx_open_sized(nb_ctx *ctx, const char *path, const nb_onnx_size *size, nb_onnx **out);
/* The same from memory; name stands in messages. */
NB_API nb_status nb_onnx_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_onnx **out);
NB_API void nb_onnx_free(nb_onnx *o); /* NULL is fine */

/* Size of its images and number of its classes; count is 0. mean and std are those of a model that we exported; else
 * std is 0: the file does not say how its images were normalised. */
NB_API const nb_dsinfo *nb_onnx_info(const nb_onnx *o);
/* Does the network begin by scaling and shifting its input, and can the input layer do that, whose mean and std [c] these are?
 * Then they are changed to do it, and the network does it no more. */
NB_API bool nb_onnx_take_normalisation(nb_onnx *o, float *mean, float *std);
NB_API bool nb_onnx_reconstructs(const nb_onnx *o); /* its output has the shape of its input */
/* Logs, a line for each kind, what is kept in another form than the file has it (windows, batch norms, dropout, shared
 * weights) and what is left out. */
NB_API void nb_onnx_say(const nb_onnx *o);

typedef struct {
    const char *data;        /* the data section as YAML flow text, "{name: cifar10}" */
    const char *init, *out;  /* the checkpoint to start from, the run folder */
    const float *mean, *std; /* [c] of the input layer; NULL: the data set's */
    bool reconstruct;        /* ends in mse: only where nb_onnx_reconstructs */
} nb_onnx_config_options;
/* A config of the same network, with comments, ready to be trained and quantized; the caller frees it with nb_free. */
NB_API nb_status nb_onnx_config(const nb_onnx *o, const nb_onnx_config_options *options, char **text);
/* Copies the model's weights into the graph of that config (float, not frozen). */
NB_API nb_status nb_onnx_fill(const nb_onnx *o, nb_graph *g);

/* ---- quantized ONNX ---- */

typedef struct {
    const float *mean, *std; /* [c] of pixel / 255, for files that take float images; NULL: the file takes pixels */
} nb_onnx_integers_options;
/* A quantized ONNX model (QuantizeLinear and DequantizeLinear, or QLinearConv and the like) as integers. What integers
 * cannot hold is refused with the node and the reason. Files that our exporter wrote come back with the same logits to
 * the last bit. options may be NULL. */
NB_API nb_status nb_onnx_integers(nb_ctx *ctx, const char *path, const nb_onnx_integers_options *options,
                                  nb_intmodel **out);
NB_API nb_status nb_onnx_integers_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len,
                                        const nb_onnx_integers_options *options, nb_intmodel **out);
/* The operators of float networks that import understands, by place from 0; NULL: no more. */
NB_API const char *nb_onnx_operator(int32_t at);
/* The channels of its images when it holds quantized operators, else 0. */
NB_API nb_status nb_onnx_quantized_channels(nb_ctx *ctx, const char *path, int32_t *channels);

#ifdef __cplusplus
}
#endif
#endif
