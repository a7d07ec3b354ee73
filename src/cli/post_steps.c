/* post_steps.c - every step ends in one line on stdout, "<step>: <what it did and gained>", below a table with a row
 * per layer, where somebody has asked for it; or in an object of a JSON array. */
#include "cli/post_steps.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/ranks.h"
#include "train/loader.h"

#include <stdio.h>

static void new_table(cli_post_steps *s, const char *measure)
{
    s->st = nb_table_create(s->ctx, &s->rows);
    if (s->st != NB_OK)
        return;
    nb_table_column(s->rows, "layer", "layer", NB_LEFT);
    nb_table_column(s->rows, "done", "done", NB_LEFT);
    nb_table_column(s->rows, "what", "what", NB_LEFT);
    nb_table_column(s->rows, "before", measure ? measure : "before", NB_RIGHT);
    nb_table_column(s->rows, "after", "after", NB_RIGHT);
}

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    cli_post_steps *s = ud;
    if (!s->rows && s->st == NB_OK)
        new_table(s, nb_post_step_measure(step));
    if (s->st != NB_OK)
        return;
    nb_table_row(s->rows);
    nb_table_add_text(s->rows, r->layer);
    nb_table_add_text(s->rows, r->done ? "yes" : "no");
    nb_table_add_text(s->rows, r->text);
    if (!r->done)
        return;
    nb_table_add_real(s->rows, r->before, 2);
    nb_table_add_real(s->rows, r->after, 2);
}

static void on_progress(void *ud, const nb_post_step *step, const char *layer, double share)
{
    cli_post_steps *s = ud;
    char text[256];
    if (s->began < 0)
        s->began = nb_now();
    snprintf(text, sizeof text, "%s  %s", nb_post_step_name(step), layer);
    cli_progress_share(&s->progress, text, share, s->began);
}

/* ---- what each gains ---- */

/* sqnr: of the outputs against the float network's, which has none. */
static void add_gain(cli_post_steps *s, const char *step, const char *what, const nb_eval *e, const double *sqnr)
{
    nb_table *t = s->gains;
    nb_table_row(t);
    nb_table_add_text(t, step);
    nb_table_add_text(t, what);
    if (sqnr)
        nb_table_add_real(t, *sqnr, 2);
    else
        nb_table_add_text(t, "");
    nb_table_add_real(t, e->loss, 4);
    nb_table_add_real(t, 100 * e->accuracy, 2);
}

static void on_start(void *ud, const nb_post_start *start)
{
    const nb_eval *floats = &start->floats, *quantized = &start->quantized;
    cli_post_steps *s = ud;
    if (s->st == NB_OK)
        s->st = nb_table_create(s->ctx, &s->gains);
    if (s->st != NB_OK)
        return;
    nb_table_column(s->gains, "step", "step", NB_LEFT);
    nb_table_column(s->gains, "what", "", NB_LEFT);
    nb_table_column(s->gains, "sqnr_db", "SQNR dB", NB_RIGHT);
    nb_table_column(s->gains, "loss", "loss", NB_RIGHT);
    nb_table_column(s->gains, "accuracy_percent", cli_metric_percent(floats), NB_RIGHT);
    add_gain(s, "float", "", floats, NULL);
    add_gain(s, "ranges", "quantized, without any step", quantized, &start->sqnr);
    s->n_measured = floats->n;
    s->by_loss = start->by_loss;
    if (!s->json)
        return;
    cJSON *o = cJSON_AddObjectToObject(s->json, "start");
    cJSON_AddNumberToObject(o, "images", floats->n);
    cJSON_AddNumberToObject(o, "float_loss", floats->loss);
    cJSON_AddNumberToObject(o, "float_accuracy", floats->accuracy);
    cJSON_AddNumberToObject(o, "loss", quantized->loss);
    cJSON_AddNumberToObject(o, "accuracy", quantized->accuracy);
    cJSON_AddNumberToObject(o, "sqnr", start->sqnr);
    cJSON_AddStringToObject(o, "judged_by", start->by_loss ? "loss" : "sqnr");
}

static const char *verdict(const cli_post_steps *s, const nb_post_result *r)
{
    if (r->kept)
        return "done";
    if (!r->changed)
        return "nothing to do";
    return s->by_loss ? "left out: the loss is no lower"
                      : "left out: the outputs come no nearer to the float network's";
}

/* ---- what is done ---- */

static nb_status add_json(cli_post_steps *s, const nb_post_step *step, const nb_post_result *r)
{
    cJSON *steps = cJSON_GetObjectItem(s->json, "steps"), *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "step", nb_post_step_name(step));
    cJSON_AddStringToObject(o, "summary", r->summary);
    cJSON_AddBoolToObject(o, "kept", r->kept);
    if (r->measured) {
        cJSON_AddNumberToObject(o, "sqnr_before", r->sqnr_before);
        cJSON_AddNumberToObject(o, "sqnr_after", r->sqnr_after);
        cJSON_AddNumberToObject(o, "loss_before", r->before.loss);
        cJSON_AddNumberToObject(o, "loss_after", r->after.loss);
        cJSON_AddNumberToObject(o, "accuracy_after", r->after.accuracy);
    }
    cJSON_AddItemToArray(steps, o);
    nb_table *t = s->rows;
    s->rows = NULL;
    return t ? cli_json_table(s->ctx, o, "layers", t) : NB_OK;
}

/* Of steps that are tried, one line each; of those that somebody has asked for, what became of every layer, too. */
static void print_step(cli_post_steps *s, const nb_post_step *step, const nb_post_result *r)
{
    nb_table *t = s->rows;
    s->rows = NULL;
    if (s->quiet || s->list.tried)
        nb_table_free(t);
    else if (t)
        s->st = cli_table_print(s->ctx, t);
    if (s->quiet)
        return;
    printf("%s: %s", nb_post_step_name(step), r->summary);
    if (r->measured && r->changed)
        printf("; SQNR of the outputs %.2f -> %.2f dB, loss %.4f -> %.4f%s", r->sqnr_before, r->sqnr_after,
               r->before.loss, r->after.loss, r->kept ? "" : ", left out");
    printf(s->list.tried ? "\n" : "\n\n");
    fflush(stdout);
}

static void on_done(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    cli_post_steps *s = ud;
    cli_progress_clear(&s->progress);
    s->began = -1;
    if (s->st != NB_OK)
        return;
    if (s->gains && r->measured)
        add_gain(s, nb_post_step_name(step), verdict(s, r), &r->after, &r->sqnr_after);
    if (s->json)
        s->st = add_json(s, step, r);
    else
        print_step(s, step, r);
}

nb_status cli_post_steps_print(cli_post_steps *s)
{
    nb_table *t = s->gains;
    s->gains = NULL;
    if (!t || s->quiet || s->json) {
        nb_table_free(t);
        return NB_OK;
    }
    printf("%swhat the steps gain, on %d training image%s; SQNR: of the outputs, against the float network's\n",
           s->list.tried ? "\n" : "", s->n_measured, nb_plural(s->n_measured));
    if (s->list.tried)
        printf("a step stays that %s\n",
               s->by_loss ? "lowers the loss, or raises the SQNR with a loss that rises by no more than chance would"
                          : "raises the SQNR: there is no judging by the loss where the float network does no "
                            "better than guessing, or of fewer than 64 images");
    NB_TRY(cli_table_print(s->ctx, t));
    putchar('\n');
    return NB_OK;
}

/* ---- all of it ---- */

nb_status cli_post_steps_open(cli *c, const cli_experiment *e, int32_t n, cli_post_steps *s)
{
    s->ctx = c->ctx;
    s->e = e;
    s->n_sample = n < e->n_train ? n : e->n_train;
    s->began = -1;
    s->shared = nb_ranks() > 1; /* they are all in this command */
    cli_progress_init(&s->progress, s->quiet);
    if (s->json)
        cJSON_AddArrayToObject(s->json, "steps");
    NB_TRY(nb_post_bind(c->ctx, e->exp.quant, nb_post_steps, &s->list));
    if (s->unrounded)
        nb_post_leave_unrounded(&s->list);
    return e->order || !s->n_sample /* with validation images there is a shuffle already */
               ? NB_OK
               : nb_split_order(c->ctx, e->n_train, 0, e->exp.seed, &s->sample);
}

nb_status cli_post_steps_recommend(cli_post_steps *s, bool data_free)
{
    nb_post_free(&s->list);
    s->n_sample = data_free ? 0 : s->n_sample;
    NB_TRY(nb_post_recommended(s->ctx, data_free, &s->list));
    if (s->unrounded)
        nb_post_leave_unrounded(&s->list);
    return NB_OK;
}

void cli_post_steps_close(cli_post_steps *s)
{
    nb_table_free(s->rows);
    nb_table_free(s->gains);
    cJSON_Delete(s->json);
    nb_free(s->ctx, s->sample);
    nb_post_free(&s->list);
    *s = (cli_post_steps){0};
}

const int32_t *cli_post_steps_images(const cli_post_steps *s)
{
    return s->sample ? s->sample : s->e->order;
}

nb_status cli_post_steps_run(cli_post_steps *s, nb_graph *g)
{
    const nb_post_report report = {.row = on_row, .done = on_done, .start = on_start, .progress = on_progress, .ud = s};
    const nb_post_input in = {.graph = g,
                              .data = s->e->train,
                              .indices = cli_post_steps_images(s),
                              .n = s->n_sample,
                              .experiment = &s->e->exp,
                              .measure = s->measure,
                              .shared = s->shared,
                              .store = s->store,
                              .report = &report};
    const nb_status st = nb_post_run(&s->list, nb_graph_about(g).quantized ? NB_POST_QUANTIZED : NB_POST_FLOAT, &in);
    cli_progress_clear(&s->progress);
    return st == NB_OK ? s->st : st;
}
