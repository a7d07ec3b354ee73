/* join.h - what add, sub and mul share: two inputs value by value, of which either has sides of 1 where the other has
 * more and is then repeated (broadcast). Rows, [batch, c], are images of one pixel. */
#ifndef NB_LAYERS_JOIN_H
#define NB_LAYERS_JOIN_H

#include "layer.h"

typedef struct {
    void (*apply)(float *y, const float *a, const float *b, int64_t n);
    /* What dy is to input k: part[i] = dy[i] * d y / d in[k]. NULL: dy itself, for both. */
    void (*part)(float *part, int32_t k, const float *dy, const float *a, const float *b, int64_t n);
} nb_join_math;

nb_status nb_join_build(nb_graph *g, nb_node *n);
nb_status nb_join_prepare(nb_graph *g, nb_node *n);
void nb_join_forward(nb_node *n, const nb_join_math *m);
void nb_join_backward(nb_node *n, const nb_join_math *m);
/* Is nothing repeated? */
bool nb_join_is_plain(const nb_node *n);

#endif
