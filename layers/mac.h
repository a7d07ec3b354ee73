/* mac.h - what conv2d, dwconv2d and linear share: a convolution over chunks of images, by the dtypes of its inputs. */
#ifndef NB_LAYERS_MAC_H
#define NB_LAYERS_MAC_H

#include <nibble/extend/op.h>
#include <nibble/geom.h>

/* Leaves "weight" [oc, kh, kw, c / groups] and, if asked, "bias" [oc]. */
nb_status nb_mac_leaves(nb_graph *g, nb_node *n, const nb_geom *geom, bool bias);
/* geom is the geometry of one chunk of `per` batch items (conv: one image; linear: a few rows as a 1 x per image). */
nb_status nb_mac_prepare(nb_graph *g, nb_node *n, const nb_geom *geom, int32_t per);
void nb_mac_forward(nb_node *n, const nb_run *r);
void nb_mac_backward(nb_node *n, const nb_run *r);
/* Weights ~ N(0, 2 / fan), bias 0. */
void nb_mac_init_he(nb_node *n, uint64_t seed, double fan);

#endif
