/* block.h - composites of layers, such as resblock. */
#ifndef NIBBLE_EXTEND_BLOCK_H
#define NIBBLE_EXTEND_BLOCK_H

#include <nibble/extend/keys.h>
#include <nibble/extend/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_model_builder nb_model_builder;

/* A composite: keys like a layer's, expanded into layers by name. One file per block in src/model/, listed in
 * blocks.def. */
struct nb_block {
    NB_ENTRY;
    nb_status (*expand)(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out);
};

/* For expand(): adds layer `op` called name reading in[0..n_in-1]; keys is YAML flow text for its keys ("{out: 16}",
 * numbers only) or "". */
NB_API nb_status nb_model_layer(nb_model_builder *b, const char *op, const char *name, const char *keys,
                                nb_node *const *in, int32_t n_in, nb_node **out);
/* For expand(): writes "PATH:LINE: KIND NAME: ..." and returns st. */
NB_API nb_status nb_block_fail(const nb_model_builder *b, const char *name, nb_status st, const char *fmt, ...)
    NB_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
