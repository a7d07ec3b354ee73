/* oihw.h - where other frameworks keep an element of a leaf: OIHW weights for CHW images, where ours are OHWI for HWC.
 *
 * A linear layer sees an image as one row, in each framework's own order of pixels; where one stands behind a flatten,
 * its columns change places, and so do the vectors of a batch norm in between; a concat of rows has such a part per
 * image. A transposed convolution has weights [in, out / groups, rows, columns] there, and here those of the convolution
 * that it is on an image with zeros between its pixels: turned by 180 degrees. */
#ifndef NB_CORE_OIHW_H
#define NB_CORE_OIHW_H

#include <nibble/extend/op.h>

typedef struct {
    bool same;          /* in the same order */
    bool columns;       /* the last dimension holds images, flattened */
    bool turned;        /* [groups * i, o / groups, y, x], from the end */
    int64_t o, i, y, x; /* sizes of the leaf as [o, y, x, i] */
    int64_t groups;
    const nb_node *rows; /* whose values they are */
} nb_oihw;

nb_oihw nb_oihw_of(const nb_node *layer, const nb_node *leaf);
/* Sizes of what has a window, as theirs: OIHW, or what it is when turned. */
void nb_oihw_sizes(const nb_oihw *r, int64_t sizes[4]);
/* Place of our element (o, y, x, i) in theirs. */
int64_t nb_oihw_place(const nb_oihw *r, int64_t o, int64_t y, int64_t x, int64_t i);

/* Place of value i of x's rows in theirs. */
int64_t nb_oihw_column(const nb_node *x, int64_t i);

/* The layer's leaf called "<layer>.<what>", or NULL. */
nb_node *nb_leaf_of(const nb_node *layer, const char *what);
/* A key of the layer's config by name and kind, as it was bound into its attributes; NULL when it has none. */
const void *nb_bound_key(const nb_node *layer, const char *name, nb_kind kind);

#endif
