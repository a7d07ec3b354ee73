/* export.h - exporters: an integer model in other formats. One file per format in src/export/, listed in exporters.def.
 */
#ifndef NIBBLE_EXPORT_H
#define NIBBLE_EXPORT_H

#include <nibble/config.h>
#include <nibble/graph.h>
#include <nibble/intmodel.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    NB_ONNX_QDQ,     /* float operators between QuantizeLinear and DequantizeLinear; INT4 weights from opset 21 on */
    NB_ONNX_OPERATOR /* QLinearConv, ConvInteger; int8 weights, opset 13 */
} nb_onnx_form;

typedef struct {
    const char *prefix; /* of the names in a program (format c); NULL: from the file's name */
    int32_t opset; /* format onnx: 13 or 21; 0: 21 where weights have up to 4 bits and the form has INT4, else 13 */
    nb_onnx_form onnx_form; /* format onnx */
    bool tflite_pixels;     /* format tflite: takes u8 pixels, not int8 codes */
    bool tflite_int4;       /* format tflite: weights of up to 4 bits are INT4, not int8 */
} nb_export_options;

/* What a network takes as a program on a device. */
typedef struct {
    int64_t flash_bytes; /* constants, without code */
    int64_t ram_bytes;   /* static, without the stack */
    int32_t ram_step;    /* the step of the integer model during which most of it is needed */
    int64_t
        ram_scratch; /* bytes that this step works in; the rest are values that it reads, writes or leaves for later */
    int64_t macs;    /* multiply-accumulates per image */
    bool settled;    /* training may change every value and these figures stay */
} nb_export_size;

typedef struct nb_exporter {
    const char *name, *ext, *help; /* "text", ".txt", one line */
    const char *beside;            /* ending of the second file, ".h"; NULL: there is one file */
    bool in_flash;                 /* the file lies in a device's memory as it is: its size is worth a word */
    /* Writes atomically; equal models give equal bytes. options may be NULL. A format that consists of several files
     * writes them beside path. */
    nb_status (*write)(nb_ctx *ctx, const nb_intmodel *m, const char *path, const nb_export_options *options);
    /* The same of a float network; NULL: the format holds integers only. */
    nb_status (*write_float)(nb_ctx *ctx, const nb_graph *g, const char *path);
    /* What it takes, the figures that its files state; NULL: the format is no program. */
    nb_status (*size)(nb_ctx *ctx, const nb_intmodel *m, nb_export_size *out);
} nb_exporter;

extern NB_API const nb_exporter *const nb_exporters[];        /* ends with NULL */
NB_API const nb_exporter *nb_exporter_find(const char *name); /* NULL when unknown */

/* Of the network that an experiment will make, before it is trained: with initial values, quantized as its config says,
 * and in format c. Images are not needed. Fails with the reason where there are no integers; info as in nb_graph_spec. */
NB_API nb_status nb_export_size_before(nb_ctx *ctx, const nb_experiment *e, const nb_dsinfo *info, nb_export_size *out);

#ifdef __cplusplus
}
#endif
#endif
