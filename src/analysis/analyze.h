/* analyze.h - which quantizers of a network lose how much, and what would help.
 *
 * The network is run as it is, with one quantizer on alone, with one off alone, with the weights' or the outputs' alone,
 * always beside the float one on the same images. A layer is local when what it reads is the float network's. What a
 * quantizer costs is how far it alone takes the answers from the float network's: the mean divergence (KL) of the class
 * probabilities. Unlike accuracy it sees every image, and unlike the loss it cannot come out negative by luck. */
#ifndef NB_ANALYSIS_ANALYZE_H
#define NB_ANALYSIS_ANALYZE_H

#include "analysis/sensitivity.h"

typedef struct {
    const char *name; /* the layer's; valid as long as the graph */
    bool weights;     /* else of the layer's output */
    int32_t layer, bits;
    bool per_channel;
    int64_t values;         /* that it rounds: weights, or of an image */
    char range[32];         /* its method */
    double sqnr;            /* dB of the values that it rounds, the float network's */
    nb_probe_score alone;   /* it is on, all others off */
    nb_probe_score without; /* it is off, all others on */
    double cost;            /* alone.kl / alone.n */
    bool negligible;        /* less than a hundredth of all costs */
} nb_analysis_site;

typedef struct {
    const char *name;
    const char *kind;        /* of layer: "conv2d" */
    int32_t weights, output; /* sites, or -1 */
    /* dB of what the layer puts out: its weights rounded alone, its output alone, both; all on float inputs. Then in the
     * quantized network. Infinite: nothing is lost. */
    double by_weights, by_output, local, cumulative;
    /* Before its relu, in the quantized network: the mean error of a channel in its standard deviations, of the channel
     * where that is largest, and of all, root of the mean square; and what is left of it when the mean error on every
     * other image is taken away from the rest. */
    int32_t channels, worst_channel;
    double bias, bias_all, bias_after;
    const double *error; /* [channels] the same of each; NaN: the channel is constant */
    double cost;         /* of its two quantizers together */
    bool negligible;
} nb_analysis_layer;

typedef struct {
    int32_t site;
    char text[96];        /* "8 bits", "per channel", "range percentile" */
    int32_t bits;         /* then */
    double before, after; /* sqnr of the values it rounds, on the images judged */
    double cost_before, cost_after;
    nb_probe_score network; /* quantized, with this remedy */
} nb_analysis_remedy;

typedef struct {
    nb_probe_score floats, quantized, weights, outputs; /* outputs: the images' and the layers' outputs rounded alone */
    nb_analysis_site *site;                             /* in order of the network */
    nb_analysis_layer *layer;                           /* the same */
    int32_t n_sites, n_layers;
    int32_t *sites_by_cost, *layers_by_cost, *layers_by_bias; /* indices, the worst first */
    nb_analysis_remedy
        *remedy; /* of the worst quantizers; those first that bring the network nearest to the float one */
    int32_t n_remedies;
    struct nb_arena *arena;
} nb_analysis;

typedef struct {
    nb_images images;      /* to judge on */
    nb_images calibration; /* training images, for ranges of remedies; n = 0: no remedies */
    int32_t n_worst;       /* quantizers to try remedies on, at most */
    const nb_watch
        *watch; /* its `all` is of the part that is under way: the measurement, then the remedies; may be NULL */
} nb_analysis_job;

nb_status nb_analyze(nb_probe *p, const nb_analysis_job *job, nb_analysis *out);
void nb_analysis_free(nb_analysis *a); /* zeroed is fine */

/* For analyze.c: fills in out->remedy. */
nb_status nb_analyze_remedies(nb_probe *p, const nb_analysis_job *job, nb_analysis *out);

#endif
