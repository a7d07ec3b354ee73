/* block_run.h - one block of a quantized network, forward and backward, with weights that are no codes.
 *
 * The graph is a copy of the quantized one that computes in floats and node by node (nb_block_graph_open). Its own forward and
 * backward do everything but this: what a layer multiplies with is written in place of its fake-quant node's value, and
 * that value's gradient is read where it arises; fake-quant nodes of activations take the scale that they are given, and the
 * gradient of that is LSQ's (Esser et al. 2020); with `drop`, a random share of their values, and of what the block reads, is
 * not rounded (QDrop, Wei et al. 2022, arXiv:2203.05740). Nothing is observed. The same bits for any number of threads. */
#ifndef NB_POST_BLOCK_RUN_H
#define NB_POST_BLOCK_RUN_H

#include "post/partition.h"

#include <nibble/train.h>

/* A copy of g: the values it has now, batches of that size at most. */
nb_status nb_block_graph_open(const nb_graph *g, const nb_experiment *experiment, int32_t batch, nb_graph **out);
/* Brings the copy up to date with g. */
void nb_block_graph_update(nb_graph *copy, const nb_graph *g);

/* A layer: weights that it multiplies with, and the gradient of the loss by them. */
typedef struct {
    const nb_node *mac;
    int64_t n;
    float *w, *grad; /* [n] */
} nb_block_layer;

/* A fake-quant node of activations. */
typedef struct {
    nb_node *fq;
    bool scalable; /* its scale can be another */
    float scale;
    double by_scale;  /* the loss's derivative by it */
    float *before;    /* [batch * values] what it rounds */
    uint8_t *dropped; /* [batch * values] 1: not rounded */
} nb_block_value;

typedef struct {
    nb_graph *g; /* the copy */
    nb_node *from, *to;
    int32_t begin, end; /* steps */
    nb_block_layer *layer;
    nb_block_value *value;
    int32_t n_layers, n_values;
    double *lane; /* of sums */
} nb_block_run;

/* A block of the graph that g is a copy of. Memory is the arena's; layers' weights are not set. */
nb_status nb_block_run_open(nb_arena *arena, nb_graph *g, const nb_post_block *block, nb_block_run *out);

/* One pass. */
typedef struct {
    bool train;        /* backward follows */
    float drop;        /* share that is not rounded; 0: none */
    uint64_t seed, at; /* of what is random; the pass's number */
} nb_block_pass;

/* Where what the block reads is to be written, [batch][values], batch as nb_graph_set_batch has it, and where then
 * stands what it gives. */
float *nb_block_reads(const nb_block_run *b);
const float *nb_block_gives(const nb_block_run *b);
void nb_block_forward(nb_block_run *b, const nb_block_pass *p);
/* dy: the gradient of the loss by what the block gives. Sets those of weights and scales. */
void nb_block_backward(nb_block_run *b, const nb_block_pass *p, const float *dy);

/* dropped[i] is 1 with that probability: a function of key and i. */
void nb_block_draw(uint8_t *dropped, int64_t n, float drop, uint64_t key);

/* The copy runs up to `until` on a batch of images, with the weights as they are: those that are held as they stand. */
void nb_block_graph_run(nb_graph *g, const nb_node *until, const nb_run *r);

#endif
