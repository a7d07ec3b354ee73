/* paired.h - the float network and the quantized one over the same images, layer by layer.
 *
 * A quantized graph and its float twin (nb_pair_open_twin) have the same layers under the same names. Both run the same
 * batches of images in evaluation, side by side, and stop behind each layer that is asked for, so that what it reads and
 * what it gives can be looked at in both at once:
 *
 *   nb_pair p = {.quantized = g, .floats = twin, .data = data, .indices = indices, .n = n};
 *   nb_pair_run(&p, layer, n_layers, see, ud);
 *
 *   static void see(void *ud, const nb_pair_view *v)
 *       v->quantized->out           the layer's value in the quantized graph, of v->images images
 *       v->quantized->in[0]->out    what it read there: codes with their scale, or floats (nb_pair_floats)
 *       v->quantized->in[1]->out    its weights as they were multiplied: codes less zero, or floats
 *       v->floats->out, ...         the same in the float network
 *
 * Batches come in order, and in a batch layers in the order in which they are executed; everything is one after the
 * other but for what the layers themselves do in threads, which is the same for any number of them. A step of a fused
 * chain stores its last value only: MACs are always steps of their own, and so is every node of the twin. Who needs others of
 * the quantized graph opens it with nb_graph_spec.reference.
 *
 * What a step of post-training changes in the graph is seen by the next nb_pair_run: that is how layers are corrected in
 * order, each with those before it quantized and corrected. The twin's values are copies, of the moment it was opened. */
#ifndef NB_POST_PAIRED_H
#define NB_POST_PAIRED_H

#include <nibble/extend/op.h>
#include <nibble/train.h>

typedef struct {
    nb_graph *quantized, *floats; /* frozen; one of them may be NULL, then only the other runs */
    const nb_data *data;          /* images indices[0..n-1] (NULL: 0..n-1) of data, n >= 1; NULL: n = 1 black image, for
                                     who looks at weights alone */
    const int32_t *indices;
    int32_t n;
} nb_pair;

/* One layer in one batch. */
typedef struct {
    int32_t layer;                     /* which of those asked for */
    const nb_node *quantized, *floats; /* NULL where the graph is. Values are valid during the call */
    int32_t first, images;             /* the batch: images first .. first + images - 1 of the n */
} nb_pair_view;

/* The float network that g, which is quantized, rounds: g's weights, biases and batch norms as they are now, folded as
 * the experiment says; frozen for inference, node by node. Batches are of g's size at most. lends: g outlives it and
 * moves no weight meanwhile, so weights need no copy. */
nb_status nb_pair_open_twin(const nb_graph *g, const nb_experiment *experiment, bool lends, nb_graph **out);

/* Shows layers layer[0..n_layers-1], names in order of execution, each in both graphs, for all images. Runs each graph no further than
 * to the last of them. NB_E_SHAPE: the images are of another size. */
nb_status nb_pair_run(const nb_pair *p, const char *const *layer, int32_t n_layers,
                      void (*see)(void *ud, const nb_pair_view *v), void *ud);

/* Values [from, from + count) of node n as reals: a pointer into them, or codes expanded into buf [count]. Of weights,
 * they must be of one output channel. */
const float *nb_pair_floats(float *buf, const nb_node *n, int64_t from, int64_t count);

/* What the values of each channel of one layer are like over all images, both graphs; zeros where a graph is NULL. The variance is
 * that of a population. */
typedef struct {
    int32_t channels;
    double *floats_mean, *floats_var, *quantized_mean,
        *quantized_var; /* [channels] each; one block, nb_free(floats_mean) */
} nb_pair_moments;
/* Of n_layers layers that give floats, as MACs do in both graphs; m [n_layers] is zeroed, and freed by the caller, after a failure too. */
nb_status nb_pair_measure(const nb_pair *p, const char *const *layer, int32_t n_layers, nb_pair_moments *m);

#endif
