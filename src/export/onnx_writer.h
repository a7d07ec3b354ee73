/* onnx_writer.h - what the two forms of ONNX share: the grids of tensors, and going between codes and real values.
 *
 * qdq       the codes are the engine's, u8 or s8; every reader takes them through a DequantizeLinear of its own, every
 *           step ends with a QuantizeLinear: float operators that run times recognize and compute in integers.
 * operator  codes are u8 throughout (s8 ones moved by 128, and their zero points): a run time's integer convolution
 *           need not take one type and give another. */
#ifndef NB_EXPORT_ONNX_WRITER_H
#define NB_EXPORT_ONNX_WRITER_H

#include <nibble/export.h>

#include "export/onnx_model.h"

enum { ONNX_OPSET_INT8 = 13, ONNX_OPSET_INT4 = 21 };

typedef struct {
    nb_ctx *ctx;
    const nb_intmodel *m;
    onnx_model *o;
    int32_t opset;
    nb_onnx_form form;
    const char **name; /* [n_tensors] of the codes */
} onnx_writer;

const nb_etensor *onnx_tensor(const onnx_writer *w, int32_t t);
int32_t onnx_type(const onnx_writer *w, int32_t t);  /* of its codes */
int32_t onnx_moved(const onnx_writer *w, int32_t t); /* what its codes are above the engine's: 128 or 0 */
/* Constants <what>.scale and <what>.zero with the grid of tensor t; returns the name of the scale. */
const char *onnx_grid(onnx_writer *w, const char *what, int32_t t, const char **zero);
/* The codes of tensor t in the shape [n, c, h, width] that step i reads them in. */
const char *onnx_codes(onnx_writer *w, int32_t t, int32_t i, int32_t h, int32_t width, int32_t c);
const char *onnx_dequantize(onnx_writer *w, const char *what, int32_t t, const char *codes);
/* Step i's real value as codes of its output, within its clamp. */
void onnx_quantize(onnx_writer *w, int32_t i, const char *real);
/* Is step i's clamp narrower than what its type saturates to? Its codes before go by the name of onnx_unclamped, and
 * onnx_clamp makes them the output. */
bool onnx_clamps(const onnx_writer *w, int32_t i);
const char *onnx_unclamped(onnx_writer *w, int32_t i);
void onnx_clamp(onnx_writer *w, int32_t i, const char *unclamped);
void onnx_window(onnx_writer *w, const nb_geom *g); /* attributes of the node made last */

/* ---- onnx_conv.c ---- */
nb_status onnx_conv(onnx_writer *w, int32_t i);
bool onnx_fits_int4(const nb_intmodel *m, int32_t i); /* the weights of step i */

#endif
