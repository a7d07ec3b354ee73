/* post.h - steps: what is done to a network that is not training.
 *
 * A step changes values of a graph (weights, biases, statistics, ranges), never its meaning. `quant.steps` lists the
 * ones to do, in order; an entry is a name (equalize) or a name with keys (equalize: {iterations: 50}). `nibble
 * quantize` does them, and training does them once, when the network goes into its first quantized phase. One file per
 * step in src/post/, listed in steps.def. (nb_step, fusion.h, is something else: a step of one execution.)
 *
 * The recommended list is one of steps that are tried: each is done, the quantized network is measured on the images, and a
 * step that does not make it better is undone. Better is a smaller loss, or outputs nearer to the float network's with a loss that
 * is the same but for chance, where the float network knows the labels, by more
 * than three standard errors better than a guess; where it does not (an imported network whose images are made ones, or of other classes; few images), it is a larger SQNR of the
 * outputs against the float network's, which asks for no labels. Without images all of them stay. */
#ifndef NIBBLE_POST_H
#define NIBBLE_POST_H

#include <nibble/dataset.h>
#include <nibble/graph.h>
#include <nibble/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which graph a step works on, in the order in which there are such graphs. */
typedef enum {
    NB_POST_FLOAT,    /* float values, batch norms folded where the config says so, no fake-quant nodes, not frozen */
    NB_POST_QUANTIZED /* fake-quant nodes placed, frozen, ranges calibrated */
} nb_post_stage;

/* What a step did to one layer, or why it did nothing there. Strings are valid during the call. */
typedef struct {
    const char *layer; /* name of the node */
    const char *text;  /* "with c1", "not across add1, which joins values" */
    bool done;
    double before, after; /* what the step makes smaller (nb_post_step_measure); done only */
} nb_post_row;

/* Its name, and what stands over its rows' before and after. */
NB_API const char *nb_post_step_name(const nb_post_step *step);
NB_API const char *nb_post_step_measure(const nb_post_step *step); /* or NULL */
/* Does it choose codes of weights? */
NB_API bool nb_post_step_rounds(const nb_post_step *step);
/* Why it is not worth its time in g, a network quantized but without values; NULL: it may be. */
NB_API const char *nb_post_step_needless(const nb_post_step *step, const nb_graph *g);

/* What became of a step. */
typedef struct {
    const char *summary;            /* one line: what was done and gained, or why nothing was */
    bool changed;                   /* false: no value of the network did; before and after are then the same */
    bool kept;                      /* false: it was undone, or there was nothing to do */
    bool measured;                  /* before and after are known */
    nb_eval before, after;          /* the quantized network on the images */
    double sqnr_before, sqnr_after; /* of its outputs against those of the float network before all steps, dB */
} nb_post_result;

/* What steps are measured against. */
typedef struct {
    nb_eval floats,
        quantized; /* on the images: the float network, and the quantized one as it is with its ranges alone */
    double sqnr;   /* of the latter's outputs, dB */
    bool by_loss;  /* steps are judged by the loss; else by the SQNR */
} nb_post_start;

/* Who wants to know. All may be NULL. */
typedef struct {
    void (*row)(void *ud, const nb_post_step *step, const nb_post_row *row);
    void (*done)(void *ud, const nb_post_step *step, const nb_post_result *result);
    /* Before the first step of a list that is measured. */
    void (*start)(void *ud, const nb_post_start *start);
    /* Of a step that takes long, now and then: at this layer, and how much of all its work is done, 0..1. */
    void (*progress)(void *ud, const nb_post_step *step, const char *layer, double share);
    void *ud;
} nb_post_report;

/* Where steps that take long keep what they have found, part by part, so that the same command goes on from there when it
 * was killed. */
typedef struct {
    bool (*get)(void *ud, const char *part, float *values,
                int64_t n); /* false: there is none; values are as they were */
    nb_status (*put)(void *ud, const char *part, const float *values, int64_t n);
    void *ud;
} nb_post_store;

/* What there is to work with. */
typedef struct {
    nb_graph *graph;
    const nb_data *data; /* images to look at: indices[0..n-1] (NULL: 0..n-1) of data; n may be 0 */
    const int32_t *indices;
    int32_t n;
    const nb_experiment
        *experiment; /* of the graph; NULL will do where no step asks for the float network, and measure is no */
    bool measure;    /* what each step gains; needs images. A list of steps that are tried is measured anyway */
    bool shared;     /* all ranks that mpirun started do the same: they divide calibrations and evaluations */
    const nb_post_report *report; /* NULL: nobody */
    const nb_post_store *store;   /* NULL: nothing is kept */
    /* Set by nb_post_run: the float network that graph rounds, as it was before the first step of this stage (of a step
     * with needs_float; src/post/paired.h runs both). */
    nb_graph *floats;
    /* And what the step begins with: a hash of all values of both graphs, the step and its place in the list. */
    uint64_t begin;
} nb_post_input;

/* The list of a config, bound. */
typedef struct {
    const nb_post_step *step;
    void *attr;
    const nb_conf *conf; /* where the config says it */
} nb_post_entry;
typedef struct nb_post_list {
    nb_post_entry *entry;
    int32_t n;
    bool tried;                          /* the recommended ones: what gains nothing is undone */
    struct nb_post_reference *reference; /* what the float network gives, once nb_post_run has looked */
    struct nb_arena *arena;
    nb_ctx *ctx;
    nb_config *own; /* of a list that is in no config */
} nb_post_list;

/* quant: the config's section, or NULL; known: the steps there are, nb_post_steps. Without a list, or with `none`, it is
 * empty; `recommended` is the list below. Steps on the float network stand before those on the quantized one. */
NB_API nb_status nb_post_bind(nb_ctx *ctx, const nb_conf *quant, const nb_post_step *const *known, nb_post_list *out);
/* The steps that are worth trying, with images and without; what cannot be done to a network, cannot change it or is not
 * worth its time there is left out by nb_post_run, which says why. */
NB_API nb_status nb_post_recommended(nb_ctx *ctx, bool data_free, nb_post_list *out);
/* Takes the steps that choose codes of weights out of a recommended list: for who trains the weights afterwards, or tries other
 * bits with them. Other lists stay. */
NB_API void nb_post_leave_unrounded(nb_post_list *list);
NB_API void nb_post_free(nb_post_list *list); /* zeroed is fine */
NB_API bool nb_post_has(const nb_post_list *list, nb_post_stage stage);
/* Is there a step that cannot be done to g, the config's network, quantized, values or not, or cannot change anything in it? */
NB_API nb_status nb_post_check(const nb_post_list *list, const nb_graph *g);
/* Is there a step that cannot be done without images? */
NB_API nb_status nb_post_check_blind(const nb_post_list *list);
/* Does the list's steps of this stage, in order: first those on the float graph, which makes the report's start, then those on the quantized
 * one, in which nothing has changed since it was calibrated on the same images. */
NB_API nb_status nb_post_run(const nb_post_list *list, nb_post_stage stage, const nb_post_input *in);

#ifdef __cplusplus
}
#endif
#endif
