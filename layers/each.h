/* each.h - layers that are one function of one value (NB_ROLE_TABLE): what they have in common.
 *
 * Codes have 256 values at most: the function is computed once for each, and looked up. Those are the floats that lowering
 * makes its tables of (nb_lower_each), so the engine has what training had, to the bit. */
#ifndef NB_LAYERS_EACH_H
#define NB_LAYERS_EACH_H

#include <nibble/extend/op.h>

/* As nb_op.each: of the function, or of its slope. */
typedef void (*nb_each_fn)(const nb_node *n, float *y, const float *x, int64_t rows);

/* maps: how many functions there are, 1 or one for each channel. */
nb_status nb_each_prepare(nb_graph *g, nb_node *n, int32_t maps, nb_each_fn slope);
void nb_each_forward(nb_node *n, const nb_run *r);
void nb_each_backward(nb_node *n, const nb_run *r); /* to in[0] */

#endif
