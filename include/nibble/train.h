/* train.h - from an experiment and a data set to checkpoints.
 *
 * The trainer mutates only parameters, buffers (batch-norm statistics, quantizer state) and its own state. It gets its
 * evaluator as a function, so it knows nothing of lowering: for a quantized graph the caller lowers and runs the
 * integer engine. Everything random is keyed by counters (seed, epoch, step), every reduction has a fixed order: the
 * same config gives the same checkpoint bytes for any number of threads, interrupted and resumed or not. */
#ifndef NIBBLE_TRAIN_H
#define NIBBLE_TRAIN_H

#include <nibble/dataset.h>
#include <nibble/graph.h>
#include <nibble/registry.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the `train` section ---- */

/* What every optimizer understands; lr comes from the phase. */
typedef struct {
    const char *name;
    float weight_decay;
    bool decay_all; /* also decay biases and batch-norm parameters */
    float clip;     /* largest global norm of the gradient; 0 = off */
} nb_optimizer_keys;
extern NB_API const nb_key nb_optimizer_common_keys[];

typedef struct {
    int32_t batch;
    int32_t compute; /* nb_compute */
    const nb_conf *optimizer, *phases, *teacher, *lookahead, *layers, *class_weights;
    float mixup;          /* both parameters of the beta distribution that shares of images are drawn from; 0 = off */
    float hard;           /* share of each batch that is learned from, by the largest loss; 1 = all */
    int32_t sampling;     /* nb_sampling */
    float ema;            /* decay of the averaged weights used for evaluation; 0 = off */
    int32_t save_steps;   /* also write last.safetensors every so many steps; 0 = off */
    int32_t save_seconds; /* and when so many seconds have passed since it was written; 0 = off */
} nb_train_keys;
extern NB_API const nb_key nb_train_section_keys[];

/* In which order images are learned from: all of them once an epoch, or as many of each class. */
typedef enum { NB_SAMPLING_ALL, NB_SAMPLING_BALANCED } nb_sampling;

typedef struct {
    const char *name; /* "" becomes "phase<N>" */
    float length;     /* key `epochs`: the last one may be a part */
    int32_t epochs;   /* that are begun */
    float lr, warmup; /* warmup in epochs, linear from 0 */
    const nb_conf *schedule;
    bool quant;
    /* Epoch of this phase (0 = from the start) from which they stand still; -1 = never. */
    int32_t freeze_bn_at, freeze_ranges_at;
    int32_t
        reestimate_bn; /* statistics anew over so many training images at the phase's end; 0 = as training left them */
    const nb_conf *oscillation;
    bool teacher;                                 /* learns from train.teacher, too, where there is one */
    const nb_conf *activation_bits, *weight_bits; /* a width, or a list of them that the entry steps through */
    int32_t bits[2];  /* of activations, of weights, in the place of quant's general rules; 0: as they say */
    int32_t patience; /* epochs without a better evaluation that end the phase; 0: none do */
} nb_phase_keys;
extern NB_API const nb_key nb_phase_table[];

/* A phase's `oscillation`: weights that jump between two codes and back (Nagel et al. 2022). */
typedef struct {
    float momentum;
    float freeze,
        freeze_end; /* how often a weight turns back before it is frozen, at the beginning and at the end; 0 = never */
    float dampen;   /* factor of the loss that draws weights to their codes, at the end; 0 = none */
    float begin;    /* share of the phase before which weights are only watched */
    int32_t bits;   /* only weights of at most so many */
} nb_oscillation_keys;
extern NB_API const nb_key nb_oscillation_table[];

/* An entry of train.phases, or a part of one that steps down through widths: then the learning rate is that of the whole
 * entry, of which so many epochs came before. */
typedef struct {
    nb_phase_keys keys;
    const nb_conf *entry; /* in the config, */
    const char *where;    /* "train.phases[1]" in messages */
    int32_t before;
    float length;
    const nb_schedule *schedule;
    void *schedule_attr;
    bool watches; /* it has an `oscillation` */
    nb_oscillation_keys oscillation;
} nb_phase;

/* `train.teacher`: a network whose answers are learned, too (distillation). */
typedef struct {
    const char *from;
    float share, temperature;
} nb_teacher_keys;
extern NB_API const nb_key nb_teacher_table[];

/* `train.lookahead`: weights of which every so many steps a part of the way is taken (Zhang et al. 2019). */
typedef struct {
    int32_t steps; /* 0: there is none */
    float share, power;
} nb_lookahead_keys;
extern NB_API const nb_key nb_lookahead_table[];

/* One of `train.layers`. */
typedef struct {
    const char *name; /* of a layer, or of a block */
    float lr;         /* factor on the learning rate; 0: it stands still */
} nb_layer_keys;
extern NB_API const nb_key nb_train_layer_table[];

/* The whole section, bound and checked; owns everything but the config's strings, so it must die before the config. */
typedef struct nb_train_plan {
    nb_train_keys keys;
    nb_optimizer_keys optimizer_keys;
    const nb_optimizer *optimizer;
    void *optimizer_attr;
    nb_teacher_keys teacher; /* where keys.teacher is there */
    nb_lookahead_keys lookahead;
    nb_layer_keys *layer; /* [n_layers] */
    int32_t n_layers;
    nb_phase *phase;
    int32_t n_phases;
    bool any_quant; /* some phase is quantized: only those compete for the best checkpoint (nb_phase_competes) */
    struct nb_arena *arena;
} nb_train_plan;
/* train: the config's section. */
NB_API nb_status nb_train_plan_create(nb_ctx *ctx, const nb_conf *train, nb_train_plan **out);
NB_API void nb_train_plan_free(nb_ctx *ctx, nb_train_plan *p);
/* Steps of a phase, and of its epoch e, when a whole epoch has per_epoch of them. */
NB_API int64_t nb_phase_steps(const nb_phase *p, int64_t per_epoch);
NB_API int64_t nb_phase_epoch_steps(const nb_phase *p, int32_t e, int64_t per_epoch);
/* Do epochs of this phase compete for the best checkpoint: is its network as the last one's? */
NB_API bool nb_phase_competes(const nb_train_plan *p, int32_t phase);
/* Learning rate of step t of n within a phase. */
NB_API double nb_phase_lr(const nb_phase *p, int64_t t, int64_t per_epoch);

/* ---- the `log` section ---- */

typedef struct {
    bool tensorboard;
} nb_log_keys;
extern NB_API const nb_key nb_log_section_keys[];

/* ---- evaluation and progress ---- */

/* Evaluates the graph as it stands (parameters must not change). */
typedef nb_status (*nb_evaluate_fn)(void *ud, nb_graph *g, nb_eval *out);
/* The float evaluator: forward in evaluation mode, in batches of g->max_batch, over images indices[0..n-1] (NULL:
 * 0..n-1). */
NB_API nb_status nb_evaluate_graph(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out);

/* The same, and what the network said of every image; there are no integers. */
NB_API nb_status nb_evaluate_graph_each(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n,
                                        nb_eval *out, const nb_answers *each);
/* The same, called by all ranks that mpirun started, each with the whole graph: every rank runs some of the batches, all have
 * the result. */
NB_API nb_status nb_evaluate_graph_shared(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n,
                                          nb_eval *out, const nb_answers *each);

/* NB_E_SHAPE unless data are what g takes: images of its size, as many classes. */
NB_API nb_status nb_check_images(const nb_graph *g, const nb_data *data);

/* Post-training quantization: sets the ranges of g, which is quantized and frozen, by the
 * observers of its config on images indices[0..n-1] (NULL: 0..n-1) in batches of at most g->max_batch, as even
 * as can be. With n = 0 (then data may be NULL), where no range needs values (nb_quant_data_free; else NB_E_CONFIG): on a black and a white
 * image, which say what pixels can be. Weights and batch-norm statistics stay; images are not augmented. A network whose loss is no number any
 * more is NB_E_DIVERGED. The same for any number of threads. */
NB_API nb_status nb_calibrate(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n);
/* The same, called by all ranks that mpirun started, each with the whole graph: they divide every batch. */
NB_API nb_status nb_calibrate_shared(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n);

/* Batch norms that keep statistics: those that no folding has taken away. */
NB_API int32_t nb_graph_norms(const nb_graph *g);
typedef struct {
    /* moved: how far its statistics moved, at most: means in sigmas, or sigmas as a logarithm of their ratio */
    void (*norm)(void *ud, const char *layer, double moved);
    void *ud;
} nb_reestimate_report;
/* Sets their running statistics to the mean and the unbiased variance of what each reads in evaluation, quantizers and
 * new statistics of those before it included, over images indices[0..n-1] (NULL: 0..n-1, n >= 1), not augmented. g is
 * frozen; report may be NULL. One pass over the images, up to there, for each batch norm. NB_E_DIVERGED: a value was no
 * number. The same for any number of threads. */
NB_API nb_status nb_reestimate_bn(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n,
                                  const nb_reestimate_report *report);

/* After every step. Loss and accuracy are means over the epoch so far. */
typedef struct {
    const nb_train_plan *plan;
    int32_t phase, epoch;
    int64_t step, steps; /* done in this epoch, of so many */
    double loss, accuracy, samples_per_second, seconds_left;
} nb_progress;

/* After every epoch. */
typedef struct {
    const nb_train_plan *plan;
    int32_t phase, epoch; /* 0-based */
    double lr;            /* of the epoch's last step */
    double loss, train_accuracy;
    nb_eval eval;
    double train_seconds, eval_seconds;
    bool best;
    double oscillating, frozen; /* shares of the weights that are watched; < 0: none are */
} nb_epoch_report;

/* ---- the trainer ---- */

typedef struct {
    const nb_experiment *experiment;
    const nb_train_plan *plan;
    const char *config_text; /* canonical, goes into the checkpoints */
    const char *out;         /* run folder; must exist */
    const nb_data *data;     /* the split "train" */
    const nb_data *test;     /* the split "test", when evaluate looks at it: its fingerprint is kept; may be NULL */
    const int32_t *indices;  /* images to train on; NULL = 0..count-1 */
    int32_t n_indices;
    bool resume;    /* continue from <out>/last.safetensors */
    bool reference; /* as in nb_graph_spec */
    nb_evaluate_fn evaluate;
    /* Can evaluate take this quantized network? Asked by nb_train_check, before training begins; may be NULL. */
    nb_status (*check)(void *ud, const nb_graph *g);
    /* What is done once to a network on its way into the first quantized phase, unless it comes quantized: first to the
     * float graph (as in nb_graph_spec), then to the quantized one, frozen for training. A resumed training has done it
     * already. May be NULL. */
    nb_status (*before_quant)(void *ud, nb_graph *g);
    /* After the forward pass of a quantized phase's first step, if its loss is a number: ranges have been observed. May be NULL. */
    nb_status (*on_ranges)(void *ud, const nb_graph *g);
    /* Logits [n, classes] of train.teacher for images [n, h, w, c], which are those of this rank of a batch of `whole`, at most
     * train.batch. May be NULL without one. */
    nb_status (*teach)(void *ud, const uint8_t *pixels, int32_t n, int32_t whole, float *logits);
    uint64_t teacher_hash; /* of what the teacher is: a training that is resumed has the same; 0: there is none */
    void (*on_step)(void *ud, const nb_progress *p);      /* may be NULL */
    void (*on_epoch)(void *ud, const nb_epoch_report *r); /* may be NULL */
    void *ud;                                             /* of the functions above */
    const volatile sig_atomic_t *stop;                    /* looked at between steps; may be NULL */
} nb_train_job;

/* One phase, for the table at the end. */
typedef struct {
    double loss, train_accuracy, eval_loss, accuracy; /* of the last epoch done */
    double seconds;                                   /* spent in this phase, earlier runs included where known */
    int32_t epochs_done;
} nb_phase_result;

typedef struct {
    nb_phase_result *phase; /* [plan->n_phases]; nb_free */
    double best_accuracy;   /* < 0: none */
    int32_t best_phase, best_epoch;
} nb_train_result;

/* Binds and checks every section, whether it will be used or not: `train` and `quant` where they are there, `model`,
 * and the augmentations, for data like these. Needs no files. */
NB_API nb_status nb_experiment_check(nb_ctx *ctx, const nb_experiment *e, const nb_dsinfo *info);
/* Looks at everything that can be wrong before the run folder is touched: every section, batch size, the network of
 * every kind of phase, whether it can become integers (job->check), the checkpoint of `init` or, with job->resume, the
 * one to go on from, whether checkpoints can be written and read back. */
NB_API nb_status nb_train_check(nb_ctx *ctx, const nb_train_job *job);
/* Writes metrics.csv, ranges.csv (of quantized phases), oscillation.csv (of those that watch it), timing.csv, last.safetensors, best.safetensors and the end of every phase but the last
 * (nb_phase_file) into the run folder, and with log.tensorboard events.out.tfevents.nibble. NB_E_STOPPED: state was saved. NB_E_DIVERGED: the last good checkpoint is still
 * there. */
NB_API nb_status nb_train(nb_ctx *ctx, const nb_train_job *job, nb_train_result *out);

/* "phase-1-float.safetensors", or "phase-1.safetensors" when the phase was given no name: a model checkpoint like best,
 * to branch off from with `init`. *out is freed with nb_free. */
NB_API nb_status nb_phase_file(nb_ctx *ctx, const nb_train_plan *plan, int32_t phase, char **out);

/* ---- checkpoints and parameters by name ---- */

/* Where training stands. */
typedef struct {
    int32_t phase, epoch; /* the epoch that runs next or is under way; epoch == epochs: the phase is over */
    int64_t step;         /* steps done in that epoch */
    int64_t updates;      /* in this phase */
    int32_t epochs_done;  /* over all phases: key of shuffling and augmentation */
    double loss_sum;      /* over the steps done in that epoch */
    int64_t correct, seen;
    double best_accuracy; /* < 0: none */
    int32_t best_phase, best_epoch;
} nb_position;

/* A checkpoint read from a file: safetensors with one F32 tensor per leaf under its name, "opt/<leaf>/<k>",
 * "ema/<leaf>", and the fields below as text in __metadata__. */
typedef struct nb_checkpoint {
    struct nb_st_file *file;
    const char *path;
    const char *config;  /* canonical text of the experiment */
    const char *metrics; /* metrics.csv so far */
    const char *phase_name;
    nb_position at;
    bool quantized;
    int32_t bits[2]; /* as in nb_phase_keys, of the phase it is of */
    const char
        *grids; /* of quantizers that keep something: "c1.weight.fq=8,uniform relu1.fq=8,uniform"; NULL: not recorded */
    double accuracy; /* of these weights when last evaluated, 0..1; < 0: never */
    double
        float_accuracy; /* of the float network they were quantized from, where nothing was trained; < 0: not recorded */
    nb_dsinfo info;     /* of the data it was trained on; class_names are owned by the checkpoint */
    nb_fingerprint train_data, test_data;
    uint64_t teacher_hash; /* of train.teacher; 0: there was none */
    struct nb_arena *arena;
} nb_checkpoint;
NB_API nb_status nb_checkpoint_open(nb_ctx *ctx, const char *path, nb_checkpoint **out);
/* From memory (copied); name stands in messages. */
NB_API nb_status nb_checkpoint_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len,
                                     nb_checkpoint **out);
/* Gives back the memory of its tensors, of which it has none afterwards; everything else stays. */
NB_API void nb_checkpoint_drop_tensors(nb_ctx *ctx, nb_checkpoint *c);
NB_API void nb_checkpoint_close(nb_ctx *ctx, nb_checkpoint *c); /* NULL is fine */

typedef enum {
    NB_PARAMS_EXACT,    /* the same network, weights as trained: resume */
    NB_PARAMS_MODEL,    /* the same network, averaged weights where there are any: evaluation, export */
    NB_PARAMS_START,    /* to train on from: as MODEL, but what quantizers keep may be missing or of another
                           granularity: it starts anew */
    NB_PARAMS_CALIBRATE /* as START, but every range starts anew: nb_calibrate sets them */
} nb_params_mode;

/* Where the values of a new graph come from: a file, another graph, or (both NULL) the layers' own initial values. */
typedef struct {
    const nb_checkpoint *file;
    const nb_graph *graph;
    nb_params_mode mode;
    const nb_conf *except; /* layers whose values are their own initial ones, whatever the source holds; NULL: none */
    bool folded;           /* graph is not quantized, but its batch norms are folded already where the config says so */
    bool lends;            /* graph outlives the new one and neither changes its weights: they need not be copied */
} nb_params_source;

typedef struct {
    const nb_experiment *experiment;
    const nb_dsinfo *info;
    int32_t max_batch; /* images of all ranks */
    bool shared; /* ranks that mpirun started share its batches: of each it holds, and nb_run has, this rank's images */
    bool quant;
    int32_t bits[2]; /* as in nb_phase_keys; 0, 0: those that the file was trained with */
    bool simulate;   /* with quant: in floats that have the values of the codes, whatever it could become */
    bool
        unrounded; /* with quant: the float network that is rounded, batch norms folded where the config says so, but no
                       fake-quant node placed; its layers have the names they have in the quantized graph */
    nb_plan_mode plan;
    nb_compute compute;
    bool blank;     /* only what it is like matters, no value: without a source leaves stay 0, and it cannot be run */
    bool reference; /* node by node: the same bits without fused steps, slower and in more memory */
    /* With quant, may be NULL: called on the float graph with its values, batch norms folded where the config says so,
     * before fake-quant nodes are placed. Not for values that come from a quantized network, as that was done to them
     * then; but again in mode CALIBRATE. */
    nb_status (*before_quant)(void *ud, nb_graph *g);
    void *ud;
} nb_graph_spec;

/* Builds the experiment's network, float or quantized, frozen, with values copied by name. Every leaf must be there
 * with its shape, and the source must hold nothing the network has not. Batch norm is folded on the way where the
 * config says so. */
NB_API nb_status nb_graph_open(nb_ctx *ctx, const nb_graph_spec *spec, const nb_params_source *from, nb_graph **out);

#ifdef __cplusplus
}
#endif
#endif
