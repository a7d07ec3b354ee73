/* profile.h - what would be rounded in a float network, what its values are like, and what each format would make of them.
 *
 * A tensor of a profile is one that quantization would round: the weights of every layer that multiplies, and every value
 * behind which placement (quant/policy.c) puts a fake-quant node by default, over a set of images, as the float network
 * computes it. All values are looked at, none is sampled. Each format (profile_grid.h) is tried on each tensor with
 * - a range that cuts nothing off, minmax, and one that is cut where the fitted density says it costs least, clip;
 *   formats that find their scales themselves have those only;
 * - one scale for the tensor; weights also with one for each output channel.
 * Results are the same for any number of threads. */
#ifndef NB_ANALYSIS_PROFILE_H
#define NB_ANALYSIS_PROFILE_H

#include <nibble/graph.h>
#include <nibble/train.h>

#include "analysis/profile_grid.h"

typedef enum { NB_PROFILE_MINMAX, NB_PROFILE_CLIP, NB_PROFILE_OWN } nb_profile_range;

/* One format, one way to find its scales, on one tensor. */
typedef struct {
    int32_t format; /* index of profile->formats */
    nb_profile_range range;
    bool per_channel; /* a scale for each channel */
    nb_rounded all;
    nb_rounded *channel; /* [channels], or NULL: not asked for */
    double predicted;    /* mean squared error of the fitted density */
    double *channel_predicted;
    double uniform; /* step^2 / 12, mean over channels; NAN where codes are not at equal distances */
    double peak;    /* the largest size that a code has */
    /* One scale only: */
    float scale;
    int32_t zero, n_codes;
    double *level;  /* [n_codes] what codes mean, ascending; NULL: as many scales as channels */
    int64_t *count; /* [n_codes] how many values went there; NULL: codes that are no integers */
} nb_profile_cell;

typedef struct {
    const char *layer;
    bool weights; /* else what the layer puts out */
    int32_t channels;
    nb_stats stats;
    nb_density fit;
    nb_stats *channel; /* [channels] of weights, and where channels were asked for; else NULL */
    nb_density *channel_fit;
    nb_profile_cell *cell;
    int32_t n_cells;
} nb_profile_tensor;

typedef struct nb_profile {
    nb_ctx *ctx;
    struct nb_arena *arena;
    const nb_profile_formats *formats;
    nb_profile_tensor *tensor; /* in order of execution, weights before what their layer puts out */
    int32_t n;
    int32_t images;
    bool channels; /* were asked for */
    double target_db;
} nb_profile;

typedef struct {
    nb_graph *graph; /* the float network: opened with nb_graph_spec.unrounded and .reference, for inference */
    const nb_experiment *experiment;
    const nb_data *data; /* activations over images indices[0..n-1] (NULL: 0..n-1) */
    const int32_t *indices;
    int32_t n;                                             /* 0: weights alone */
    const nb_profile_formats *formats;                     /* must live as long as the profile */
    const char *layer;                                     /* this one alone; NULL: all */
    bool channels;                                         /* statistics and errors of each channel */
    double target_db;                                      /* of proposals */
    bool shared;                                           /* all ranks that mpirun started do this one */
    void (*progress)(void *ud, int64_t done, int64_t all); /* images, three times each; may be NULL */
    void *ud;
} nb_profile_job;

/* NB_E_DIVERGED: a value is no number, and the sentence says whose; NB_E_CONFIG: there is no such layer; NB_E_SHAPE: the
 * images are of another size. */
nb_status nb_profile_run(const nb_profile_job *job, nb_profile **out);
void nb_profile_free(nb_profile *p); /* NULL is fine */

/* dB of a cell: what rounding leaves, as measured, as predicted from the density, and from step^2 / 12 (of v bits over the
 * whole range: 3 * 4^v * E[x^2] / max^2). PSNR sets the largest code in the place of the signal. */
double nb_profile_sqnr(const nb_profile_tensor *t, const nb_profile_cell *c);
double nb_profile_sqnr_predicted(const nb_profile_tensor *t, const nb_profile_cell *c);
double nb_profile_sqnr_uniform(const nb_profile_tensor *t, const nb_profile_cell *c);
double nb_profile_psnr(const nb_profile_tensor *t, const nb_profile_cell *c);
/* The cell of a format with the best measured SQNR; NULL: the tensor has none (a format for weights alone). */
const nb_profile_cell *nb_profile_best(const nb_profile_tensor *t, int32_t format);
const char *nb_profile_range_name(nb_profile_range r);

/* ---- what to do ---- */

/* The fewest bits of uniform codes at which a tensor reaches target_db, one scale per channel where that is worth it, cut
 * off where that is; and why. */
typedef struct {
    const nb_profile_cell *cell; /* NULL: nothing to propose, for the reason */
    bool reached;                /* else the best there is */
    char keys[96]; /* of quant.weights or quant.activations: "{bits: 4, granularity: channel, range: mse}" */
    char reason[256];
} nb_proposal;
nb_proposal nb_profile_propose(const nb_profile *p, const nb_profile_tensor *t);

#endif
