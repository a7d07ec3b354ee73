/* weights.h - what the two halves of the safetensors importer share: weights.c places, weights_check.c says what is
 * wrong. */
#ifndef NB_IMPORT_WEIGHTS_H
#define NB_IMPORT_WEIGHTS_H

#include <nibble/extend/op.h>
#include <nibble/import.h>

#include "import/name_map.h"

#include "base/arena.h"
#include "base/safetensors.h"

/* One tensor of the file on its way. */
typedef struct {
    const nb_st_tensor *t;
    const char *name; /* t's, without a prefix that all of them have */
    size_t module;    /* length of the name without its last part */
    const nb_map_rule *rule;
    nb_map_holes holes;
    const nb_node *layer;
    nb_node *leaf;
    bool ignored;
} nb_weights_item;

typedef struct {
    nb_ctx *ctx;
    nb_graph *g;
    const nb_st_file *file;
    nb_arena *arena;
    nb_map map;
    const char *rest;       /* the built-in map behind the user's rules, or NULL */
    nb_weights_item *items; /* by module, in the order of execution where the map says so */
    int32_t n;
    size_t prefix;          /* bytes that item names are shorter than tensor names */
    const nb_node **layers; /* that have parameters, in order of execution */
    int32_t n_layers;
} nb_weights;

/* "running_mean" of "layer1.0.bn1.running_mean". */
const char *nb_weights_part(const nb_weights_item *it);
bool nb_weights_same_module(const nb_weights_item *a, const nb_weights_item *b);
/* Every tensor and every leaf, for people. */
nb_status nb_weights_report(const nb_weights *m, nb_import_report *r);
/* NB_OK when values may move. */
nb_status nb_weights_check(const nb_weights *m, const nb_import_options *o);

#endif
