/* fill.h - one foreign tensor into one leaf: shapes, layouts, number formats. */
#ifndef NB_IMPORT_FILL_H
#define NB_IMPORT_FILL_H

#include <nibble/extend/op.h>

#include "base/safetensors.h"

/* A tensor of shape t can become the leaf: convolutions OIHW (ohwi: as the leaf), linear layers [out, in] with the
 * columns of a flattened CHW image, vectors. */
bool nb_fill_fits(const nb_node *layer, const nb_node *leaf, const nb_st_tensor *t, bool ohwi);
/* The tensor holds floats that can be read here. */
bool nb_fill_is_float(const nb_st_tensor *t);
/* Element i of such a tensor. */
float nb_fill_element(const nb_st_tensor *t, int64_t i);
/* Copies; fits and is_float hold. NB_E_FORMAT when a value is no finite float. file stands in messages. */
nb_status nb_fill_leaf(nb_ctx *ctx, const char *file, const nb_node *layer, nb_node *leaf, const nb_st_tensor *t,
                       bool ohwi);

#endif
