/* test_reestimate.c - batch-norm statistics over a sample of images, by the trainer and by the step reestimate_bn. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/post_step.h>

#include "base/parallel.h"
#include "train/loader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int32_t sample[] = {90, 3, 17, 40, 41, 42, 8};
static const char *const modes[] = {"keep", "fold_corrected"};
enum { N = 7, LARGEST = 6 };

#define QUANT "quant: {weights: {bits: 3}, activations: {bits: 4}, batchnorm: %s}\n"

/* A quantized graph with the initial weights and ranges, batches of 5 at most. */
static void open_case(void **state, const char *mode, train_case *t, nb_graph **g)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%s" QUANT "train: {batch: 5, phases: [{epochs: 1, lr: 0.1, quant: on}]}\n",
             train_case_head, mode);
    assert_int_equal(train_case_open(t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(t, true, &(nb_params_source){0}, g), NB_OK);
    assert_int_equal(nb_calibrate(*g, t->train, NULL, 20), NB_OK);
}

static float *values(const nb_graph *g, const char *leaf)
{
    nb_node *n = nb_graph_find(g, leaf);
    assert_non_null(n);
    return n->out.data;
}

static void largest_move(void *ud, const char *layer, double moved)
{
    (void)layer;
    double *most = ud;
    *most = fmax(*most, moved);
}

/* Mean and unbiased variance of node x over the sample, in evaluation, image by image; g runs node by node. */
static void naive(nb_graph *g, const nb_data *data, const char *x, double *mean, double *var)
{
    const nb_node *n = nb_graph_find(g, x);
    const int32_t c = nb_channels(&n->out);
    double *all = calloc((size_t)N * (size_t)nb_count(&n->out), sizeof *all);
    int64_t rows = 0;
    nb_graph_set_batch(g, 1);
    for (int32_t i = 0; i < N; i++) {
        uint8_t pixels[64];
        int32_t label;
        nb_data_get(data, sample[i], pixels, &label);
        const nb_run r = {.pixels = pixels}, training = {.train = true, .freeze_ranges = true, .pixels = pixels};
        for (int32_t s = 0;; s++) {
            const bool last = nb_step_last(&g->step[s]) == n;
            nb_forward_step(g, s, last ? &training : &r);
            if (last)
                break;
        }
        for (int64_t k = 0; k < nb_count(&n->out); k++)
            all[rows * c + k] = (double)((const float *)n->out.data)[k];
        rows += nb_rows(&n->out);
    }
    for (int32_t k = 0; k < c; k++) {
        mean[k] = var[k] = 0;
        for (int64_t i = 0; i < rows; i++)
            mean[k] += all[i * c + k] / (double)rows;
        for (int64_t i = 0; i < rows; i++)
            var[k] += (all[i * c + k] - mean[k]) * (all[i * c + k] - mean[k]) / (double)(rows - 1);
    }
    free(all);
}

static void statistics_are_those_of_what_each_batch_norm_reads_in_evaluation(void **state)
{
    for (int32_t m = 0; m < 2; m++) {
        train_case t;
        nb_graph *g;
        double moved = 0, again = 0, mean[LARGEST], var[LARGEST];
        open_case(state, modes[m], &t, &g);
        assert_int_equal(nb_graph_norms(g), 2);
        assert_int_equal(nb_reestimate_bn(g, t.train, sample, N, &(nb_reestimate_report){largest_move, &moved}), NB_OK);
        assert_true(moved > 0.1);
        assert_int_equal(g->batch, g->max_batch);
        assert_int_equal(nb_reestimate_bn(g, t.train, sample, N, &(nb_reestimate_report){largest_move, &again}), NB_OK);
        assert_true(again == 0); /* nothing of the first pass was of an old network */
        g->fusions = NULL;
        assert_int_equal(nb_graph_freeze(g, NB_PLAN_TRAIN), NB_OK);
        for (int32_t k = 1; k <= 2; k++) {
            char x[16], leaf[16];
            snprintf(x, sizeof x, m ? "c%d.unfolded" : "c%d", k);
            naive(g, t.train, x, mean, var);
            for (int32_t c = 0; c < (k == 1 ? 4 : 6); c++) {
                snprintf(leaf, sizeof leaf, "bn%d.mean", k);
                assert_true(fabs((double)values(g, leaf)[c] - mean[c]) < 1e-6 * (1 + fabs(mean[c])));
                snprintf(leaf, sizeof leaf, "bn%d.var", k);
                assert_true(fabs((double)values(g, leaf)[c] - var[c]) < 1e-6 * (1 + var[c]));
            }
        }
        nb_graph_free(g);
        train_case_close(&t);
    }
}

static void they_are_the_same_for_any_number_of_threads(void **state)
{
    float first[2][12];
    for (int32_t threads = 1; threads <= 4; threads *= 2)
        for (int32_t m = 0; m < 2; m++) {
            train_case t;
            nb_graph *g;
            float now[12];
            nb_set_threads(threads);
            open_case(state, modes[m], &t, &g);
            assert_int_equal(nb_reestimate_bn(g, t.train, NULL, 33, NULL), NB_OK);
            memcpy(now, values(g, "bn2.mean"), 6 * sizeof *now);
            memcpy(now + 6, values(g, "bn2.var"), 6 * sizeof *now);
            if (threads == 1)
                memcpy(first[m], now, sizeof now);
            assert_memory_equal(now, first[m], sizeof now);
            nb_graph_free(g);
            train_case_close(&t);
        }
    nb_set_threads(2);
}

static void weights_that_overflow_and_images_of_another_size_are_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    nb_data *other;
    open_case(state, "fold_corrected", &t, &g);
    assert_int_equal(
        data_fixture_open(f, "{name: synth, height: 9, width: 8, channels: 1, classes: 3}", "train", &other), NB_OK);
    assert_int_equal(nb_reestimate_bn(g, other, NULL, 4, NULL), NB_E_SHAPE);
    nb_data_close(f->ctx, other);
    values(g, "c1.weight")[0] = INFINITY;
    assert_int_equal(nb_reestimate_bn(g, t.train, NULL, 4, NULL), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "batch norm bn1"));
    nb_graph_free(g);
    train_case_close(&t);
}

/* Of the phase that asks, and of the sample that a seed draws: what is in the checkpoint changes no more. */
static void the_trainer_does_it_at_the_end_of_a_phase(void **state)
{
    data_fixture *f = *state;
    for (int32_t m = 0; m < 4; m++) {
        const bool resumed = m & 1;
        char text[2048], file[1024];
        train_case t;
        nb_graph *g;
        nb_checkpoint *c;
        int32_t *order;
        double moved = 0;
        snprintf(text, sizeof text,
                 "%s" QUANT "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}, {epochs: 2, lr: 0.1, quant: on, "
                 "reestimate_bn: 50, freeze_bn_at: %d}]}\n",
                 train_case_head, modes[m / 2], resumed ? 1 : -1);
        assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
        t.stop_after = resumed ? 15 : 0; /* in the middle of the last epoch */
        nb_status st = train_case_run(&t, false);
        if (resumed) {
            assert_int_equal(st, NB_E_STOPPED);
            t.stop_after = 0;
            st = train_case_run(&t, true);
        }
        assert_int_equal(st, NB_OK);
        snprintf(file, sizeof file, "%s", data_fixture_path(f, "last.safetensors"));
        assert_int_equal(nb_checkpoint_open(f->ctx, file, &c), NB_OK);
        assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_EXACT}, &g),
                         NB_OK);
        assert_int_equal(nb_split_order(f->ctx, 96, 0, 3, &order), NB_OK);
        assert_int_equal(nb_reestimate_bn(g, t.train, order, 50, &(nb_reestimate_report){largest_move, &moved}), NB_OK);
        assert_true(moved == 0);
        assert_int_equal(nb_reestimate_bn(g, t.train, order, 40, &(nb_reestimate_report){largest_move, &moved}), NB_OK);
        assert_true(moved > 1e-3);
        nb_free(f->ctx, order);
        nb_graph_free(g);
        nb_checkpoint_close(f->ctx, c);
        train_case_close(&t);
    }
}

static void the_step_takes_statistics_and_then_ranges(void **state)
{
    const char *const entries[] = {"reestimate_bn", "reestimate_bn: {images: 5, ranges: no}"};
    for (int32_t i = 0; i < 2; i++) {
        train_case t;
        nb_graph *g, *want;
        nb_config *cfg;
        nb_post_list l;
        char text[128];
        open_case(state, "keep", &t, &g);
        snprintf(text, sizeof text, "steps: [%s]\n", entries[i]);
        assert_int_equal(nb_config_parse(t.ctx, "x.yaml", text, strlen(text), NULL, 0, &cfg), NB_OK);
        assert_int_equal(nb_post_bind(t.ctx, nb_config_root(cfg), nb_post_steps, &l), NB_OK);
        assert_int_equal(nb_post_check(&l, g), NB_OK);
        assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.graph = g, .mode = NB_PARAMS_EXACT}, &want),
                         NB_OK);
        const nb_post_input in = {.graph = g, .data = t.train, .indices = sample, .n = N};
        assert_int_equal(nb_post_run(&l, NB_POST_QUANTIZED, &in), NB_OK);
        assert_int_equal(nb_reestimate_bn(want, t.train, sample, i ? 5 : N, NULL), NB_OK);
        if (i == 0)
            assert_int_equal(nb_calibrate(want, t.train, sample, N), NB_OK);
        for (int32_t k = 0; k < g->n; k++)
            if (g->node[k]->flags & NB_NODE_BUFFER)
                assert_memory_equal(g->node[k]->out.data, values(want, g->node[k]->name),
                                    (size_t)nb_count(&g->node[k]->out) * sizeof(float));
        assert_int_equal(nb_post_run(&l, NB_POST_QUANTIZED, &(nb_post_input){.graph = g, .data = t.train, .n = 4}),
                         i ? NB_E_CONFIG : NB_OK); /* fewer than it wants */
        nb_post_free(&l);
        nb_config_free(t.ctx, cfg);
        nb_graph_free(want);
        nb_graph_free(g);
        train_case_close(&t);
    }
}

static void nothing_to_do_is_a_mistake(void **state)
{
    static const char *const cases[][2] = {
        {"quant: {batchnorm: fold}\ntrain: {batch: 16, phases: [{epochs: 1, lr: 0.1, quant: on, reestimate_bn: 9}]}\n",
         "test.yaml:15: train.phases[0]: reestimate_bn: 9: changes nothing: the network of this phase has no batch "
         "norm (quant.batchnorm: fold"},
        {"train: {batch: 16, phases: [{epochs: 1, lr: 0.1}, {epochs: 1, lr: 0.1, reestimate_bn: 97}]}\n",
         "train.phases[1]: reestimate_bn: 97: must be at most 96, the number of training images"},
        {"quant: {batchnorm: fold, steps: [reestimate_bn]}\ntrain: {batch: 16, phases: [{epochs: 1, lr: 0.1}]}\n",
         "quant.steps[0]: reestimate_bn changes nothing: the quantized network has no batch norm"}};
    data_fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_case t;
        char text[2048];
        snprintf(text, sizeof text, "%s%s", train_case_head, cases[i][0]);
        assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
        const nb_train_job job = {
            .experiment = &t.exp, .plan = t.plan, .config_text = t.text, .out = t.out, .data = t.train};
        assert_int_equal(nb_train_check(f->ctx, &job), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(f->ctx), cases[i][1]))
            fail_msg("%s", nb_ctx_error(f->ctx));
        train_case_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(statistics_are_those_of_what_each_batch_norm_reads_in_evaluation),
        TEST(they_are_the_same_for_any_number_of_threads),
        TEST(weights_that_overflow_and_images_of_another_size_are_refused),
        TEST(the_trainer_does_it_at_the_end_of_a_phase),
        TEST(the_step_takes_statistics_and_then_ranges),
        TEST(nothing_to_do_is_a_mistake),
    };
    return cmocka_run_group_tests_name("reestimate", tests, NULL, NULL);
}
