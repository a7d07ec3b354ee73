/* train_case.c - see train_case.h. */
#include "ref/train_case.h"

#include <nibble/lower.h>

#include "base/check.h"
#include "base/files.h"
#include "base/parallel.h"

#include <stdio.h>
#include <string.h>

enum { EVAL_IMAGES = 32 };

const char train_case_head[] =
    "seed: 3\n"
    "data: {name: synth, count: 96, test_count: 32, height: 8, width: 8, channels: 1, classes: 3, augment: [flip]}\n"
    "model:\n"
    "  - input\n"
    "  - conv2d: {name: c1, out: 4, kernel: 3, pad: 1, bias: no}\n"
    "  - batchnorm: {name: bn1}\n"
    "  - relu\n"
    "  - avgpool: {kernel: 2}\n"
    "  - conv2d: {name: c2, out: 6, kernel: 3, pad: 1, bias: no}\n"
    "  - batchnorm: {name: bn2}\n"
    "  - relu\n"
    "  - avgpool: {global: yes}\n"
    "  - linear: {name: fc, out: 3}\n";

nb_status train_case_open(train_case *t, nb_ctx *ctx, const char *out, const char *text)
{
    *t = (train_case){.ctx = ctx, .out = nb_strdup(ctx, out), .n_eval = EVAL_IMAGES};
    if (!t->out)
        return NB_E_NOMEM;
    NB_TRY(nb_config_parse(ctx, "test.yaml", text, strlen(text), NULL, 0, &t->cfg));
    NB_TRY(nb_config_print(ctx, t->cfg, &t->text));
    NB_TRY(nb_experiment_bind(ctx, t->cfg, &t->exp));
    NB_TRY(nb_train_plan_create(ctx, t->exp.train, &t->plan));
    NB_TRY(nb_data_open(ctx, t->exp.data, "train", &t->train));
    return nb_data_open(ctx, t->exp.data, "test", &t->test);
}

void train_case_close(train_case *t)
{
    nb_free(t->ctx, t->result.phase);
    nb_free(t->ctx, t->out);
    nb_data_close(t->ctx, t->train);
    nb_data_close(t->ctx, t->test);
    nb_train_plan_free(t->ctx, t->plan);
    nb_free(t->ctx, t->text);
    nb_config_free(t->ctx, t->cfg);
    *t = (train_case){0};
}

static nb_status evaluate(void *ud, nb_graph *g, nb_eval *out)
{
    const train_case *t = ud;
    if (!g->quantized)
        return nb_evaluate_graph(g, t->test, NULL, t->n_eval, out);
    nb_intmodel *m;
    NB_TRY(nb_lower(g, "", &m));
    nb_status st = nb_intmodel_evaluate(t->ctx, m, t->test, NULL, t->n_eval, out);
    nb_intmodel_free(t->ctx, m);
    return st;
}

static void on_step(void *ud, const nb_progress *p)
{
    train_case *t = ud;
    if (t->starve)
        nb_ctx_fail_alloc_at(t->ctx, p->step < p->steps ? 1 : 0);
    t->steps_seen++;
    t->n_steps++;
    if (t->stop_after && t->n_steps >= t->stop_after)
        t->stop = 1;
}

static void on_epoch(void *ud, const nb_epoch_report *r)
{
    train_case *t = ud;
    t->epochs_seen++;
    t->last = *r;
}

nb_status train_case_run(train_case *t, bool resume)
{
    nb_train_job job = {.experiment = &t->exp,
                        .plan = t->plan,
                        .config_text = t->text,
                        .out = t->out,
                        .data = t->train,
                        .test = t->test,
                        .resume = resume,
                        .evaluate = evaluate,
                        .before_quant = t->before_quant,
                        .teach = t->teach,
                        .teacher_hash = t->teacher_hash,
                        .on_step = on_step,
                        .on_epoch = on_epoch,
                        .ud = t,
                        .stop = &t->stop};
    nb_free(t->ctx, t->result.phase);
    t->result = (nb_train_result){0};
    t->n_steps = 0;
    t->stop = 0;
    return nb_train(t->ctx, &job, &t->result);
}

void train_case_pieces(train_case *t, data_fixture *f, const char *name, const char *rest, int32_t stop_after)
{
    char text[4096];
    nb_status st = NB_E_STOPPED;
    snprintf(text, sizeof text, "%s%s", strncmp(rest, "data:", 5) == 0 ? "" : train_case_head, rest);
    data_fixture_mkdir(f, name);
    for (int32_t i = 0; st == NB_E_STOPPED && i < 100; i++) {
        if (i)
            train_case_close(t);
        st = train_case_open(t, f->ctx, data_fixture_path(f, name), text);
        t->stop_after = stop_after;
        st = st == NB_OK ? train_case_run(t, i > 0) : st;
    }
    if (st != NB_OK)
        fprintf(stderr, "%s\n", nb_ctx_error(f->ctx));
    NB_ASSERT(st == NB_OK);
}

static void assert_same_file(data_fixture *f, const char *a, const char *b, const char *name)
{
    char path[2][512];
    uint8_t *bytes[2];
    size_t len[2];
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    for (int32_t i = 0; i < 2; i++)
        NB_ASSERT(nb_file_read(f->ctx, data_fixture_path(f, path[i]), 1 << 24, &bytes[i], &len[i]) == NB_OK);
    NB_ASSERT(len[0] == len[1] && memcmp(bytes[0], bytes[1], len[0]) == 0);
    nb_free(f->ctx, bytes[0]);
    nb_free(f->ctx, bytes[1]);
}

void train_case_repeats(data_fixture *f, const char *rest, const char *const *files)
{
    static const char *const name[] = {"t1", "t4", "stops"};
    static const int32_t threads[] = {1, 4, 2}, stop[] = {0, 0, 5};
    const int32_t before = nb_threads();
    for (int32_t i = 0; i < 3; i++) {
        train_case t;
        nb_set_threads(threads[i]);
        train_case_pieces(&t, f, name[i], rest, stop[i]);
        train_case_close(&t);
        for (int32_t k = 0; i && files[k]; k++)
            assert_same_file(f, name[0], name[i], files[k]);
    }
    nb_set_threads(before);
}

nb_status train_case_graph(train_case *t, bool quant, const nb_params_source *from, nb_graph **out)
{
    nb_graph_spec spec = {.experiment = &t->exp,
                          .info = nb_data_info(t->train),
                          .max_batch = t->plan->keys.batch,
                          .quant = quant,
                          .plan = NB_PLAN_TRAIN,
                          .before_quant = t->before_quant,
                          .ud = t};
    return nb_graph_open(t->ctx, &spec, from, out);
}
