/* train_layers.h - train.layers: the learning rate of single layers. */
#ifndef NB_TRAIN_TRAIN_LAYERS_H
#define NB_TRAIN_TRAIN_LAYERS_H

#include <nibble/train.h>

/* train.layers into p. */
nb_status nb_layers_bind(nb_ctx *ctx, nb_train_plan *p);
/* NB_E_CONFIG where train.layers names what g has not. */
nb_status nb_layers_check(nb_ctx *ctx, const nb_train_plan *p, const nb_graph *g);
/* The factor on the learning rate of this leaf; 1 where nothing is said of it. */
float nb_layers_rate(const nb_train_plan *p, const char *leaf);
/* Is that the name of a leaf of this layer or of one inside this block: "b1", "b1.2" of "b1.2.expand.weight"? */
bool nb_leaf_is_of(const char *leaf, const char *layer);
/* Has g any leaf of that layer? NB_E_CONFIG with what is meant where not; c: its place. */
nb_status nb_layer_is_there(nb_ctx *ctx, const nb_graph *g, const char *layer, const nb_conf *c, const char *where);

#endif
