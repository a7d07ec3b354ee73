/* trials.h - many networks that differ from the float or the quantized one at a few quantizers, over a set of images. */
#ifndef NB_ANALYSIS_TRIALS_H
#define NB_ANALYSIS_TRIALS_H

#include "analysis/probe.h"

#include <nibble/dataset.h>

/* Images indices[0..n-1] (NULL: 0..n-1) of data. */
typedef struct {
    const nb_data *data;
    const int32_t *indices;
    int32_t n;
} nb_images;

/* Who wants to know how far it is; may be all NULL. done counts passes over parts of the network, all of them `all`. */
typedef struct {
    void (*at)(void *ud, int64_t done, int64_t all);
    nb_status (*stop)(void *ud); /* other than NB_OK: stop with it; may be NULL */
    void *ud;
} nb_watch;

/* One network, and what it came to. */
typedef struct {
    nb_probe_trial network;
    const nb_node *at;    /* signal and noise are of this node's value, beside the float network's; NULL: none */
    double signal, noise; /* sums of squares */
    nb_probe_score score; /* n = 0 when network.until is set: there are no answers */
} nb_trial;

typedef struct {
    nb_images images;
    nb_trial *trial;
    int32_t n_trials;
    nb_probe_score *floats, *quantized; /* of the two networks themselves; may be NULL. Without trials the quantized one
                                           is not computed unless it is asked for here */
    /* After the networks ran on a batch, images first .. first + n - 1; may be NULL. */
    void (*batch)(void *ud, nb_probe *p, int32_t first, int32_t n);
    void *ud;
    const nb_watch *watch; /* may be NULL */
} nb_trials;

/* Runs them all; results are added to those that are there. The same for any number of threads. */
nb_status nb_trials_run(nb_probe *p, const nb_trials *t);

/* A quantizer that could stand in a site's place, and sees images before it is tried. */
typedef struct {
    int32_t site;
    nb_node *by;
} nb_candidate;
/* Shows the float network's values on images to all of them, as a calibration does. */
nb_status nb_candidates_calibrate(nb_probe *p, const nb_candidate *c, int32_t n, const nb_images *images,
                                  const nb_watch *watch);

/* Signal and noise of a node's value in the network tried last (or w), added. */
void nb_trial_add_noise(const nb_probe *p, nb_probe_network w, const nb_node *at, double *signal, double *noise);

#endif
