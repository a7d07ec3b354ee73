/* post_steps.h - the config's list quant.steps for a command: bound, given its images, and what it did shown. */
#ifndef NB_CLI_POST_STEPS_H
#define NB_CLI_POST_STEPS_H

#include "cli/open_experiment.h"
#include "cli/output.h"
#include "cli/progress.h"

typedef struct {
    nb_ctx *ctx;
    const cli_experiment *e;
    nb_post_list list;
    int32_t *sample; /* permutation of the training images; NULL: e->order, or none yet */
    int32_t n_sample, n_measured;
    nb_table *rows;  /* of the step under way */
    nb_table *gains; /* a row for every step and what there was before them; NULL: nothing was measured */
    cli_progress progress;
    double began; /* the step that is shown there; < 0: none is */
    bool quiet, by_loss;
    bool measure, shared;       /* as in nb_post_input */
    bool unrounded;             /* set before it is opened: nb_post_leave_unrounded */
    const nb_post_store *store; /* as in nb_post_input */
    cJSON *json; /* NULL, or an object: "steps", and "start" where they are measured, go there and nothing is printed */
    nb_status st;
} cli_post_steps;

/* The first n of the seed's shuffle of the training images are what steps look at. *s is zeroed by the caller, and
 * closed by it after a failure too. e must be open for training and outlive *s. */
nb_status cli_post_steps_open(cli *c, const cli_experiment *e, int32_t n, cli_post_steps *s);
void cli_post_steps_close(cli_post_steps *s);
/* In the place of the list of a config that has none, or of a `recommended` one: data_free, and no image is looked at. */
nb_status cli_post_steps_recommend(cli_post_steps *s, bool data_free);
const int32_t *cli_post_steps_images(const cli_post_steps *s);
/* The list's steps for g: those on the float network, or, when g is quantized, those on that one. */
nb_status cli_post_steps_run(cli_post_steps *s, nb_graph *g);
/* The table of what each gained, if it was measured and nothing forbids to print. */
nb_status cli_post_steps_print(cli_post_steps *s);

#endif
