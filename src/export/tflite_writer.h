/* tflite_writer.h - what the steps of a network share on their way to TensorFlow Lite: codes, shapes, windows, clamps.
 *
 * All codes are int8: u8 ones and their zero points are moved down by 128. TensorFlow Lite has no multipliers of its
 * own, only scales of tensors; what it multiplies by follows from them. A convolution's is what the engine's is because
 * the scale of its weights is chosen so. */
#ifndef NB_EXPORT_TFLITE_WRITER_H
#define NB_EXPORT_TFLITE_WRITER_H

#include <nibble/export.h>

#include "export/tflite_model.h"

typedef struct {
    nb_ctx *ctx;
    const nb_intmodel *m;
    tfl_model *o;
    bool int4;   /* may weights be INT4? */
    int32_t *at; /* [n_tensors] which tensor of the file holds the codes */
} tfl_writer;

const nb_etensor *tfl_etensor(const tfl_writer *w, int32_t t);
int32_t tfl_code(const tfl_writer *w, int32_t t, int32_t code); /* as int8 */
tfl_shape tfl_shape4(int32_t h, int32_t width, int32_t c);
tfl_shape tfl_shape2(int32_t c);
void tfl_on_grid_of(tfl_writer *w, int32_t t, int32_t made); /* gives a tensor of the file tensor t's */
bool tfl_same_grid(const tfl_writer *w, int32_t a, int32_t b);
/* A tensor on the grid of the engine's tensor t. */
int32_t tfl_on_grid(tfl_writer *w, int32_t t, const char *name, tfl_shape shape);
/* The codes of tensor t, in this shape. */
int32_t tfl_codes(tfl_writer *w, int32_t t, tfl_shape shape);
/* "c1.relu.padded": the output of step i, and a word. */
const char *tfl_name(const tfl_writer *w, int32_t i, const char *word);
/* Does a window's padding lie as one of the two kinds does? */
bool tfl_lies(const nb_geom *g, tfl_padding *how);
/* Says how step i's window lies on x, of which it may make a padded copy: with the zero point, or (lowest) with what no
 * maximum sees. */
int32_t tfl_padded(tfl_writer *w, int32_t i, int32_t x, bool lowest, tfl_padding *how);
/* The activation that clamps as step i does, or part of the way. */
tfl_activation tfl_fused(const tfl_writer *w, int32_t i);
/* Step i's last operator, which has the activation `fused` in its options, and whatever clamps the rest of the way. */
void tfl_output(tfl_writer *w, int32_t i, tfl_operator op, const int32_t *in, int32_t n_in, tfl_shape shape,
                tfl_options options, tfl_activation fused);
void tfl_clamp(tfl_writer *w, int32_t i, int32_t x);         /* a step that does nothing else */
double tfl_ratio(const tfl_writer *w, int32_t a, int32_t b); /* of two tensors' scales */
/* Refuses step i when what it multiplies by is so far from the ratio of its scales that it could matter by half a code;
 * reach: the largest integer that it multiplies. */
nb_status tfl_ratio_fits(const tfl_writer *w, int32_t i, double factor, double ratio, double reach);
double tfl_factor(const nb_estep *s, int32_t c); /* mult / 2^shift; 1 without */

/* ---- tflite_conv.c ---- */
nb_status tfl_conv(tfl_writer *w, int32_t i);

/* ---- tflite_table.c ---- */
/* The first step: codes as the input, and the table as metadata, or pixels and the table in the network. */
nb_status tfl_pixels(tfl_writer *w, bool as_they_are, int32_t *input);
nb_status tfl_table(tfl_writer *w, int32_t i);

/* ---- tflite_take.c ---- */
nb_status tfl_take(tfl_writer *w, int32_t i);

/* ---- tflite_pool.c ---- */
void tfl_maxpool(tfl_writer *w, int32_t i);
nb_status tfl_avgpool(tfl_writer *w, int32_t i);

#endif
