/* units.h - what blocks are made of: a layer with batch norm and activation, the shortcut of a residual block, and rows of
 * equal blocks. */
#ifndef NB_MODEL_UNITS_H
#define NB_MODEL_UNITS_H

#include <nibble/extend/block.h>

/* Names are <name>.<part>, or <name> itself where part is "", and behind it .bn and the activation's. */
typedef struct {
    const char *op, *part;
    const char *keys;   /* of op, flow text */
    const char *norm;   /* of the batch norm, flow text; NULL: none */
    const char *relu;   /* of the relu, flow text; NULL: no activation, whatever act says */
    const nb_conf *act; /* NB_UNIT_ACT's; NULL: a relu */
} nb_unit;
/* *x becomes the last of them. */
nb_status nb_unit_add(nb_model_builder *b, const char *name, const nb_unit *u, nb_node **x);

/* The key `act`: an entry of the model list that is an activation, or none. */
#define NB_UNIT_ACT(T, what) NB_KEY_NODE(T, act, "relu | hardswish | {leakyrelu: {slope: 0.1}} | ... | none", what)

/* What stands beside a residual block's convolutions where stride or channels change. */
typedef enum { NB_SHORTCUT_CONV, NB_SHORTCUT_ZEROS, NB_SHORTCUT_PLAIN } nb_shortcut;
#define NB_UNIT_SHORTCUT(T)                                                                                            \
    NB_KEY_ENUM(T, shortcut, "conv", "conv|zeros|plain",                                                               \
                "where stride or channels change: a 1x1 convolution with batch norm, or pixels left out and channels " \
                "of zeros, or a 1x1 convolution with a bias")
/* both[0] is what the convolutions made of both[1], the block's input: their sum, <name>.add, then <name>.relu. */
nb_status nb_unit_residual(nb_model_builder *b, const char *name, nb_shortcut kind, int32_t stride,
                           nb_node *const both[2], nb_node **out);

/* `repeat` blocks in a row, called <name>.1 and so on where there are several. */
typedef nb_status nb_unit_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x);
nb_status nb_unit_repeat(nb_model_builder *b, const char *name, int32_t repeat, nb_unit_block *block, const void *attr,
                         nb_node **x);

#endif
