/* onnx_layout.h - where the values of an image stand in an ONNX tensor.
 *
 * Each dimension of the tensor is a product of atoms: N, or a part of the image's channels, rows or columns. An axis of
 * one element has no atom. [N, h, w, c] of Keras is {N} {h} {w} {c}, its flattened form {N} {h w c}, and a channel shuffle
 * is on its way as {N} {groups} {c / groups} {h} {w}. Transpose and Reshape only change this; what cares turns weights
 * around, or says that it cannot. */
#ifndef NB_IMPORT_ONNX_LAYOUT_H
#define NB_IMPORT_ONNX_LAYOUT_H

#include "import/onnx_file.h"

enum { ONNX_AXIS_N, ONNX_AXIS_C, ONNX_AXIS_H, ONNX_AXIS_W, ONNX_AXES };
enum { ONNX_ATOMS = 16 };

typedef struct {
    int32_t axis, size, stride; /* stride: inside its axis; size of N is 0 */
} onnx_atom;

typedef struct {
    int32_t rank; /* 0: as it is meant here, [N, c, h, w], or [N, c*h*w] when flat */
    int32_t first[ONNX_FILE_DIMS + 1];
    onnx_atom atom[ONNX_ATOMS];
} onnx_layout;

struct onnx_v_entry;

/* The layout of v written out: rank is never 0. */
onnx_layout onnx_layout_of(const struct onnx_v_entry *v);
/* v is the same values in this layout. */
void onnx_layout_set(struct onnx_v_entry *v, const onnx_layout *l);
void onnx_layout_add(onnx_layout *l, int32_t dim, onnx_atom a);
/* Elements of a dimension; the images count once, and *images says whether they are in it. */
int64_t onnx_layout_size(const onnx_layout *l, int32_t dim, bool *images);
/* axis[dim] of the image for each dimension, where the tensor is an image in one of the usual orders; false: it is not. */
bool onnx_layout_axes(const struct onnx_v_entry *v, int32_t axis[ONNX_FILE_DIMS], int32_t *rank);
/* Read from first to last, the values stand in the order channels, rows, columns. */
bool onnx_layout_in_order(const struct onnx_v_entry *v);
/* They do in the order rows, columns, channels, which is ours. */
bool onnx_layout_is_ours(const struct onnx_v_entry *v);
/* Where value j of a dimension stands in an image of c*h*w. */
int64_t onnx_layout_place(const struct onnx_v_entry *v, const onnx_layout *l, int32_t dim, int64_t j);
/* y stands as x does, which onnx_layout_axes knows, with sizes of its own; axes in gone[] have one element and no
 * dimension any more. gone may be NULL. */
void onnx_layout_like(struct onnx_v_entry *y, const struct onnx_v_entry *x, const bool *gone);
/* The same values where dimension i is the old dimension perm[i]. */
onnx_layout onnx_layout_transposed(const onnx_layout *l, const int64_t *perm);
/* The same values in other dimensions, read in order; 0: not given. to[0] covers images times more where the rest asks for
 * it. false: the dimensions cut values apart that belong together, or do not add up. */
bool onnx_layout_reshaped(const onnx_layout *l, const int64_t *to, int32_t rank, onnx_layout *out);

enum { ONNX_LAYOUT_TEXT = 200 };
/* "[N, rows, columns, channels]" into buf. */
const char *onnx_layout_text(const onnx_layout *l, char *buf);

#endif
