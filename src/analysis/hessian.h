/* hessian.h - how strongly the loss of a float network curves along the weights of each layer: traces of the Hessian.
 *
 * Hutchinson's estimator (1990) as HAWQ-V2 uses it (Dong et al. 2020, arXiv:1911.03852): with v of independent signs
 * E[v' H v] = tr H, and no Hessian is ever stored. Products with it are central differences of the graph's own gradients,
 *   v_i' (H v)_i  ~  v_i' (g_i(w + e v) - g_i(w - e v)) / (2 e),
 * with v over the weights of all layers at once: what layers have in common has mean 0 as well, so two passes give a sample
 * of every layer's trace. Each layer moves in proportion to the root mean square of its weights.
 *
 * Rounding weights with the error d costs about d' H d / 2, and about tr H / n * |d|^2 / 2 where d has no preferred
 * direction: the estimate that takes the place of a measurement (nb_hessian_cost). */
#ifndef NB_ANALYSIS_HESSIAN_H
#define NB_ANALYSIS_HESSIAN_H

#include "analysis/trials.h"

typedef struct {
    const char *leaf;    /* given: name of the weights */
    int64_t n;           /* of them */
    double trace, error; /* of their block of the Hessian of the mean loss; standard error of that estimate */
} nb_hessian_row;

/* Fills in every row: the mean of `vectors` samples, two passes over the images each. g is a float network, frozen for
 * training (NB_PLAN_TRAIN), whose loss is looked at as in evaluation; its values are afterwards what they were. The same for
 * any number of threads. NB_E_DIVERGED: a gradient is no number. */
nb_status nb_hessian_traces(nb_graph *g, nb_hessian_row *rows, int32_t n, const nb_images *images, int32_t vectors,
                            const nb_watch *watch);

/* Loss by an error of that square, nats per image. Of a trace that is not two standard errors above 0: by the trace that it may
 * well be, two standard errors more and never 0, since a layer that costs nothing would get the fewest bits. */
double nb_hessian_cost(const nb_hessian_row *row, double squared_error);

#endif
