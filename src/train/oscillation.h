/* oscillation.h - weights that jump between two codes and back, step after step: how many there are, and what can be done
 * about them (Nagel, Fournarakis, Bondarenko, Blankevoort 2022, "Overcoming Oscillations in Quantization-Aware Training").
 *
 * Of every weight the codes of successive steps are compared. share follows how often it moves against its last move
 * (share = momentum * turned + (1 - momentum) * share), mean where its code is on average. A weight oscillates while its share is
 * above NB_OSCILLATES. `freeze`: one whose share is above a threshold is held at the code next to its mean for the rest of the
 * phase. `dampen`: a loss draws every weight to the value of its code. */
#ifndef NB_TRAIN_OSCILLATION_H
#define NB_TRAIN_OSCILLATION_H

#include "train/optim.h"

#define NB_OSCILLATION_FILE "oscillation.csv"
#define NB_OSCILLATES       0.005f /* as in the paper's tables */

/* A phase's section into p: its `oscillation` key, bound and checked. */
nb_status nb_oscillation_bind(nb_ctx *ctx, nb_phase *p);
/* Can the weights of g, the network of this phase, be watched? */
nb_status nb_oscillation_check(nb_ctx *ctx, const nb_train_plan *plan, int32_t phase, const nb_graph *g);

typedef struct nb_oscillation nb_oscillation;

/* State for the weights of g that this phase watches, kept by o, which owns all of it; NULL where it watches none. */
nb_status nb_oscillation_create(nb_optim *o, const nb_phase *p, nb_graph *g, nb_oscillation **out);
/* After the backward pass of step t of n of the phase (from 0), before the optimizer: takes in the codes that were used,
 * freezes, adds the gradient of `dampen` (whose loss is not part of the one reported), clears those of frozen weights. */
void nb_oscillation_watch(nb_oscillation *s, int64_t t, int64_t n);
/* After the optimizer: frozen weights, and their averages, are what they were frozen at. */
void nb_oscillation_hold(nb_oscillation *s);
/* Shares of all weights that are watched. */
void nb_oscillation_shares(const nb_oscillation *s, double *oscillating, double *frozen);
/* The lines of one epoch, of every tensor; s NULL: none. See epoch_log.h. */
nb_status nb_oscillation_log(nb_ctx *ctx, const char *path, const nb_oscillation *s, int32_t phase, int32_t epoch);

#endif
