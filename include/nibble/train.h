/* train.h - from a built graph and a data set to checkpoints.
 *
 * The trainer mutates only parameters, buffers (batch-norm statistics, quantizer state) and its own nb_train_state. It gets its
 * evaluator as a function, so it knows nothing of lowering: for a quantized graph the caller lowers and runs the integer engine. */
#ifndef NIBBLE_TRAIN_H
#define NIBBLE_TRAIN_H

#include <nibble/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimizers and schedules: one file each in src/train/, listed in optimizers.def / schedules.def ---- */
typedef struct {
    float lr, weight_decay; /* weight_decay is already 0 for parameters it does not apply to */
    int64_t t;              /* 1-based count of updates, for bias correction */
} nb_step_args;

typedef struct nb_optimizer {
    const char *name, *help;
    const nb_key *keys; /* beside the common ones (lr comes from the phase, weight_decay, decay_all, clip) */
    size_t attr_size;
    int32_t n_moments; /* floats of state per parameter value: 0..2 */
    void (*update)(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments, int64_t n);
} nb_optimizer;
extern NB_API const nb_optimizer *const nb_optimizers[]; /* ends with NULL */

typedef struct nb_schedule {
    const char *name, *help;
    const nb_key *keys;
    size_t attr_size;
    /* factor on lr for step t of n within the phase (after warm-up, which is common to all); 0 <= t < n */
    double (*factor)(const void *attr, int64_t t, int64_t n);
} nb_schedule;
extern NB_API const nb_schedule *const nb_schedules[];

/* ---- the `train` section ---- */
typedef struct {
    int32_t batch;
    const nb_conf *optimizer, *phases;
    float ema;             /* decay of the averaged weights used for evaluation; 0 = off */
    float label_smoothing; /* of the loss that is appended when the model does not end in softmax_xent */
} nb_train_keys;
extern NB_API const nb_key nb_train_section_keys[];

typedef struct {
    const char *name;
    int32_t epochs;
    float lr, warmup; /* warmup in epochs, linear from 0 */
    const char *schedule;
    bool quant;
    int32_t freeze_bn_at, freeze_ranges_at; /* epoch of this phase (0 = from the start) from which they stand still; -1 = never */
} nb_phase_keys;
extern NB_API const nb_key nb_phase_table[];

/* ---- parameters by name: what a checkpoint holds and what moves between the graphs of two phases ---- */
typedef struct nb_st_file nb_st_file;

#ifdef __cplusplus
}
#endif
#endif
