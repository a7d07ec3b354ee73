/* post_steps.c - every step ends in one line on stdout, "<step>: <what it did and gained>", below a table with a row
 * per layer; or in an object of a JSON array. */
#include "cli/post_steps.h"

#include "base/check.h"
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

static nb_status add_json(cli_post_steps *s, const nb_post_step *step, const char *summary)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "step", nb_post_step_name(step));
    cJSON_AddStringToObject(o, "summary", summary);
    cJSON_AddItemToArray(s->json, o);
    nb_table *t = s->rows;
    s->rows = NULL;
    return t ? cli_json_table(s->ctx, o, "layers", t) : NB_OK;
}

static void on_done(void *ud, const nb_post_step *step, const char *summary)
{
    cli_post_steps *s = ud;
    if (s->st != NB_OK)
        return;
    if (s->json) {
        s->st = add_json(s, step, summary);
        return;
    }
    nb_table *t = s->rows;
    s->rows = NULL;
    if (s->quiet) {
        nb_table_free(t);
        return;
    }
    if (t)
        s->st = cli_table_print(s->ctx, t);
    printf("%s: %s\n\n", nb_post_step_name(step), summary);
    fflush(stdout);
}

nb_status cli_post_steps_open(cli *c, const cli_experiment *e, int32_t n, cli_post_steps *s)
{
    s->ctx = c->ctx;
    s->e = e;
    s->n_sample = n < e->n_train ? n : e->n_train;
    NB_TRY(nb_post_bind(c->ctx, e->exp.quant, nb_post_steps, &s->list));
    return e->order ? NB_OK /* with validation images there is a shuffle already */
                    : nb_split_order(c->ctx, e->n_train, 0, e->exp.seed, &s->sample);
}

void cli_post_steps_close(cli_post_steps *s)
{
    nb_table_free(s->rows);
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
    const nb_post_report report = {.row = on_row, .done = on_done, .ud = s};
    const nb_post_input in = {.graph = g,
                              .experiment = &s->e->exp,
                              .data = s->e->train,
                              .indices = cli_post_steps_images(s),
                              .n = s->n_sample,
                              .report = &report};
    NB_TRY(nb_post_run(&s->list, nb_graph_about(g).quantized ? NB_POST_QUANTIZED : NB_POST_FLOAT, &in));
    return s->st;
}
