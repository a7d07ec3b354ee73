/* probe.h - one network with every quantizer on a switch: off (the float value passes), on, or another one in its place.
 *
 * The graph is a quantized one that is simulated (nb_graph_spec.simulate), node by node (reference), frozen. With all
 * switches off it is the float network: batch norms in float, nothing rounded. With all on it is the quantized one, but
 * for the rounding of biases and multipliers. Both are computed once per batch and all their values are kept; a network
 * that differs from one of them at a few switches computes what stands behind these alone:
 *
 *   nb_probe_open(g, reference, &p);
 *   nb_probe_batch(p, pixels, labels, n);
 *   nb_probe_try(p, &trial);                     trial.change[..] on top of trial.base
 *   nb_probe_value(p, NB_PROBE_TRIED, node)      any value of it, until the next try
 *
 * Results are the same for any number of threads. */
#ifndef NB_ANALYSIS_PROBE_H
#define NB_ANALYSIS_PROBE_H

#include <nibble/extend/op.h>

typedef struct nb_probe nb_probe;

/* A quantizer. */
typedef struct {
    nb_node *fq;
    int32_t layer; /* index of the layer it belongs to */
    bool weights;  /* else of what the layer puts out */
    int32_t bits;
    bool per_channel;
    int64_t values; /* that it rounds: of an image, or weights */
} nb_probe_site;

/* What is quantized together: a layer that multiplies, joins or reads the images, with the batch norm and the relu behind
 * it, up to where its value is rounded. */
typedef struct {
    const char *name;
    const nb_node *node;     /* that it begins with */
    const nb_node *linear;   /* before its relu: what a bias can correct */
    const nb_node *out;      /* what others read: the quantizer of its output, or the last of the chain */
    int32_t weights, output; /* their quantizers, indices of sites; -1: there is none */
} nb_probe_layer;

typedef enum { NB_PROBE_FLOAT, NB_PROBE_QUANTIZED, NB_PROBE_TRIED } nb_probe_network;

/* by: NULL, the value passes unrounded; the site's own quantizer; or an understudy of it (nb_fakequant_understudy). */
typedef struct {
    int32_t site;
    nb_node *by;
} nb_probe_change;

typedef struct {
    nb_probe_network base; /* FLOAT or QUANTIZED */
    const nb_probe_change *change;
    int32_t n_changes;
    const nb_node *until; /* nothing behind it is computed; NULL: all is */
} nb_probe_trial;

/* How a network answers, beside the float one. Sums over images. */
typedef struct {
    int64_t n, correct;
    double loss;               /* cross entropy */
    double more, more_squared; /* loss beyond the float network's on the same image, and its square */
    double kl;                 /* divergence of its answers from the float network's, in nats: label-free */
    double signal, noise;      /* squares of the float network's logits, and of the differences from them */
} nb_probe_score;

/* reference: a graph with leaves of the same names, whose values the float network has; NULL: g's own. Both
 * must outlive the probe; g, whose memory it moves, can only be read (leaves) and freed afterwards. */
nb_status nb_probe_open(nb_graph *g, const nb_graph *reference, nb_probe **out);
/* Parameters and statistics of `to` become those of `from` where names and shapes agree; not what quantizers keep. */
void nb_probe_take_values(nb_graph *to, const nb_graph *from);
void nb_probe_close(nb_probe *p); /* NULL is fine */
/* All ranks that mpirun started have this probe, and divide what is tried (trials.h). */
void nb_probe_share(nb_probe *p);
bool nb_probe_is_shared(const nb_probe *p);
nb_graph *nb_probe_graph(nb_probe *p);
int32_t nb_probe_sites(const nb_probe *p);
const nb_probe_site *nb_probe_site_at(const nb_probe *p, int32_t i);
int32_t nb_probe_layers(const nb_probe *p);
const nb_probe_layer *nb_probe_layer_at(const nb_probe *p, int32_t i);
/* Bytes of values that are kept for each image of a batch of such a graph. */
int64_t nb_probe_bytes_per_image(const nb_graph *g);

/* Both networks on n images, at most the graph's max_batch. quantized false: the float one alone; then no trial has the
 * other as its base. NB_E_DIVERGED: the float network's answer is no number. */
nb_status nb_probe_batch(nb_probe *p, const uint8_t *pixels, const int32_t *labels, int32_t n, bool quantized);
/* One more network on the same images. */
void nb_probe_try(nb_probe *p, const nb_probe_trial *t);
/* The value of a node in the current batch, as floats. */
const float *nb_probe_value(const nb_probe *p, nb_probe_network w, const nb_node *n);
/* Adds the current batch to *s. */
void nb_probe_add_score(const nb_probe *p, nb_probe_network w, nb_probe_score *s);
/* An understudy looks at what its site reads in the float network of this batch, the batch-th from 1 that it sees. */
void nb_probe_observe(nb_probe *p, int32_t site, nb_node *by, int32_t batch);

/* Adds the squares of n values of x, and of their differences from y. */
void nb_probe_add_noise(double *signal, double *noise, const float *x, const float *y, int64_t n);
/* 10 log10(signal / noise); infinite where nothing was lost. */
double nb_decibels(double signal, double noise);

#endif
