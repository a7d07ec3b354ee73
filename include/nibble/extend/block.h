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

/* For expand(): adds layer or block `op` called name reading in[0..n_in-1], a block one; keys is YAML flow text for its
 * keys ("{out: 16}", numbers only) or "". */
NB_API nb_status nb_model_layer(nb_model_builder *b, const char *op, const char *name, const char *keys,
                                nb_node *const *in, int32_t n_in, nb_node **out);
/* The same with keys of the config, a map or NULL. */
NB_API nb_status nb_model_add(nb_model_builder *b, const char *op, const char *name, const nb_conf *keys,
                              nb_node *const *in, int32_t n_in, nb_node **out);
/* For expand(): adds what an entry of the config says, as in the model list (`relu`, `{conv2d: {out: 16}}`), reading *x
 * unless it has an `in`; *x becomes its output. part: its path in the block, for messages ("paths[1][0]"). It is called
 * block.name, or block and the name that it gives itself. */
NB_API nb_status nb_model_entry(nb_model_builder *b, const nb_conf *entry, const char *part, const char *block,
                                const char *name, nb_node **x);
/* For expand(): to bind keys of the config, which fails by itself. */
NB_API nb_ctx *nb_block_ctx(const nb_model_builder *b);
/* For expand(): writes "PATH:LINE: KIND NAME: ..." and returns st. */
NB_API nb_status nb_block_fail(const nb_model_builder *b, const char *name, nb_status st, const char *fmt, ...)
    NB_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
