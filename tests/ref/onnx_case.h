/* onnx_case.h - small ONNX models from a few lines of text, for tests of the importer. Needs a build with ONNX. */
#ifndef NB_REF_ONNX_CASE_H
#define NB_REF_ONNX_CASE_H

#include <nibble/context.h>

/* Writes a model of float images "x", [N, c, h, w], to path. Lines of text:
 *   floats NAME 4x2x3x3        a constant, values 0.01, 0.02, ..., or all those of a number behind it
 *   opset 11                   in the first line; otherwise 17
 *   input 8,8,3                then: sizes of the input without the first, -1 where they are not known
 *   values NAME 0.5,-1,nan     a constant vector
 *   number NAME 6              a scalar
 *   bool NAME 1                a scalar
 *   meta KEY VALUE
 *   ints NAME -1,2             a vector of INT64
 *   OP OUT,OUT IN,IN attr=1 attr=1,2 attr=0.5 attr=WORD    a node; - is an input that is left out; "a=1," is a list of one
 *   output NAME
 * Aborts when it cannot. */
void ref_onnx_write(nb_ctx *ctx, const char *path, int32_t c, int32_t h, int32_t w, const char *text);

#endif
