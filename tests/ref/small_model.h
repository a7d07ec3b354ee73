/* small_model.h - small networks for tests: built from a few lines of YAML, with random pixels and labels. */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include <nibble/extend/block.h>
#include <nibble/model.h>

enum { SMALL_H = 7, SMALL_W = 6, SMALL_C = 3, SMALL_CLASSES = 4 };

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_graph *g;
    uint8_t *pixels; /* [batch, SMALL_H, SMALL_W, SMALL_C] */
    int32_t *labels;
    nb_run run; /* training with batch statistics */
} small_model;

/* text is the whole config ("model:\n  - input\n..."); the graph is float, not frozen, its parameters are initialised.
 */
nb_status small_model_build(small_model *m, nb_ctx *ctx, const char *text, int32_t batch);
/* Config text around one example of a layer, which is called "x" and reads "pre" (and "pre2", when it joins). */
void small_model_around(char *text, size_t len, const nb_op *op, const char *example);
void small_model_free(small_model *m);
/* Of a graph that is not frozen: x reads 8-bit codes at input k, asymmetric ones at 0 and a weight's, by channel, at 1. */
nb_status small_model_codes(nb_graph *g, nb_node *x, int32_t k);

#endif
