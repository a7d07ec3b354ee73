/* post.h - steps: what is done to a network that is not training.
 *
 * A step changes values of a graph (weights, biases, statistics, ranges), never its meaning. `quant.steps` lists the
 * ones to do, in order; an entry is a name (equalize) or a name with keys (equalize: {iterations: 50}). `nibble
 * quantize` does them, and training does them once, when the network goes into its first quantized phase. One file per
 * step in src/post/, listed in steps.def. (nb_step, fusion.h, is something else: a step of one execution.) */
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
    NB_POST_QUANTIZED /* fake-quant nodes placed, frozen for training (NB_PLAN_TRAIN), ranges calibrated */
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

/* Who wants to know. All may be NULL. */
typedef struct {
    void (*row)(void *ud, const nb_post_step *step, const nb_post_row *row);
    void (*done)(void *ud, const nb_post_step *step, const char *summary); /* one line: what was done and gained */
    /* Of a step that takes long, every now and then: at this layer, share 0..1 of all its work done. */
    void (*progress)(void *ud, const nb_post_step *step, const char *layer, double share);
    void *ud;
} nb_post_report;

/* What there is to work with. */
typedef struct {
    nb_graph *graph;
    const nb_experiment *experiment; /* that graph is of */
    const nb_data *data;             /* images to look at: indices[0..n-1] (NULL: 0..n-1) of data; n may be 0 */
    const int32_t *indices;
    int32_t n;
    const nb_post_report *report; /* NULL: nobody */
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
    struct nb_arena *arena;
} nb_post_list;

/* quant: the config's section, or NULL; known: the steps there are, nb_post_steps. Without a list it is empty. Steps on
 * the float network stand before those on the quantized one. */
NB_API nb_status nb_post_bind(nb_ctx *ctx, const nb_conf *quant, const nb_post_step *const *known, nb_post_list *out);
NB_API void nb_post_free(nb_post_list *list); /* zeroed is fine */
NB_API bool nb_post_has(const nb_post_list *list, nb_post_stage stage);
/* Is there a step that cannot change anything in g, the config's network, quantized, values or not? */
NB_API nb_status nb_post_check(const nb_post_list *list, const nb_graph *g);
/* Does the list's steps of this stage, in order. */
NB_API nb_status nb_post_run(const nb_post_list *list, nb_post_stage stage, const nb_post_input *in);

#ifdef __cplusplus
}
#endif
#endif
