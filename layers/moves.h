/* moves.h - layers that move values (nibble/take.h) share all but their keys and how they find their indices. */
#ifndef NB_LAYERS_MOVES_H
#define NB_LAYERS_MOVES_H

#include <nibble/extend/op.h>
#include <nibble/take.h>

/* For build, in this order: sizes of in[0] as rows, columns, channels (1, 1 and the features of a row), then for each
 * axis an array of `n` indices to fill, 0 at first, then the end, which sets the shape. blend: no channels. */
void nb_take_in(const nb_node *n, int32_t in[3]);
nb_status nb_take_axis(nb_graph *g, nb_node *n, int32_t axis, int64_t out, int32_t **index);
/* The input's own indices. */
nb_status nb_take_same(nb_graph *g, nb_node *n, int32_t axis);
nb_status nb_take_done(nb_graph *g, nb_node *n);

nb_status nb_take_prepare(nb_graph *g, nb_node *n);
void nb_take_forward(nb_node *n, const nb_run *r);
void nb_take_backward(nb_node *n, const nb_run *r);
nb_status nb_take_lower(nb_lowering *lo, const nb_node *n);

#endif
