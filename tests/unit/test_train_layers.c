/* test_train_layers.c - learning rates of single layers, lookahead, parts of epochs, patience, a new head: what each does, and that
 * all of them together repeat and resume to the bit. */
#include "ref/train_case.h"
#include "train/optim.h"
#include "train/train_layers.h"

#include "base/files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plan_case.h"

/* The values of a leaf in a checkpoint of t; n of them. */
static void leaf_of(train_case *t, const char *file, const char *leaf, float *out, int32_t n)
{
    char path[512];
    nb_checkpoint *c;
    nb_graph *g;
    snprintf(path, sizeof path, "%s/%s", t->out, file);
    assert_int_equal(nb_checkpoint_open(t->ctx, path, &c), NB_OK);
    assert_int_equal(train_case_graph(t, c->quantized, &(nb_params_source){.file = c}, &g), NB_OK);
    memcpy(out, nb_graph_find(g, leaf)->out.data, (size_t)n * sizeof *out);
    nb_graph_free(g);
    nb_checkpoint_close(t->ctx, c);
}

static void a_rate_of_0_keeps_a_layer_as_it_was(void **state)
{
    train_case t;
    nb_graph *g;
    float after[36], head[12];
    train_case_pieces(
        &t, *state, "a",
        "train: {batch: 16, layers: {c1: {lr: 0}, bn1: {lr: 0}}, optimizer: {name: adamw, weight_decay: 0.1},"
        " phases: [{epochs: 1, lr: 0.01}]}\n",
        0);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK); /* as it began */
    leaf_of(&t, "last.safetensors", "c1.weight", after, 36);
    assert_memory_equal(after, nb_graph_find(g, "c1.weight")->out.data, sizeof after);
    leaf_of(&t, "last.safetensors", "bn1.gamma", after, 4);
    assert_memory_equal(after, nb_graph_find(g, "bn1.gamma")->out.data, 4 * sizeof *after);
    leaf_of(&t, "last.safetensors", "fc.weight", head, 12);
    assert_memory_not_equal(head, nb_graph_find(g, "fc.weight")->out.data, sizeof head);
    nb_graph_free(g);
    train_case_close(&t);
}

static void the_longest_name_counts(void **state)
{
    (void)state;
    plan_case p;
    assert_int_equal(plan_try(&p, "{layers: {b1: {lr: 0.5}, b1.2: {lr: 3}, b: {lr: 7}}, phases: [{epochs: 1, lr: 1}]}"),
                     NB_OK);
    assert_true(nb_layers_rate(p.plan, "b1.1.conv.weight") == 0.5f);
    assert_true(nb_layers_rate(p.plan, "b1.2.conv.weight") == 3);
    assert_true(nb_layers_rate(p.plan, "b1.2.conv.weight.fq.learned") == 3);
    assert_true(nb_layers_rate(p.plan, "b10.conv.weight") == 1);
    plan_close(&p);
}

static void a_rate_is_a_factor_and_what_stands_still_is_not_in_the_norm(void **state)
{
    data_fixture *f = *state;
    char text[2048];
    train_case t;
    nb_graph *g;
    nb_optim *o;
    snprintf(text, sizeof text,
             "%strain: {batch: 8, layers: {fc: {lr: 0.5}, c1: {lr: 0}}, optimizer: {momentum: 0}, phases: [{epochs: 2, "
             "lr: 0.1}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    assert_int_equal(nb_layers_check(f->ctx, t.plan, g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, t.plan, g, &o), NB_OK);
    for (int32_t i = 0; i < nb_optim_count(o); i++)
        for (int64_t k = 0; k < nb_optim_slot(o, i)->n; k++)
            nb_optim_slot(o, i)->leaf->out.grad[k] = nb_leaf_is_of(nb_optim_slot(o, i)->leaf->name, "fc") ? 2.0f : 0.0f;
    for (int32_t k = 0; k < 36; k++)
        nb_graph_find(g, "c1.weight")->out.grad[k] = 1e30f;
    const float before = ((const float *)nb_graph_find(g, "fc.bias")->out.data)[0];
    const double norm = nb_optim_grad_norm(o);
    assert_true(fabs(norm - 2 * sqrt(6 * 3 + 3)) < 1e-6);
    nb_optim_step(o, 0.25, 1, norm);
    assert_true(((const float *)nb_graph_find(g, "fc.bias")->out.data)[0] == before - 0.25f * 0.5f * 2);
    nb_optim_free(f->ctx, o);
    nb_graph_free(g);
    train_case_close(&t);
}

static void layers_that_are_not_there_are_refused(void **state)
{
    data_fixture *f = *state;
    char text[2048];
    train_case t;
    nb_graph *g;
    plan_refuses("{layers: [stem], phases: [{epochs: 1, lr: 1}]}",
                 "x.yaml:1: train.layers: must be a map from layer names, like {stem: {lr: 0}}");
    plan_refuses("{layers: {stem: {rate: 0}}, phases: [{epochs: 1, lr: 1}]}",
                 "x.yaml:1: train.layers.stem.rate: unknown key (there are: lr)");
    snprintf(text, sizeof text, "%strain: {batch: 8, layers: {cc1: {lr: 0}}, phases: [{epochs: 2, lr: 0.1}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    assert_int_equal(nb_layers_check(f->ctx, t.plan, g), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(f->ctx),
                        "test.yaml:14: train.layers: cc1: the network has no such layer with parameters "
                        "(did you mean \"c1\"?)");
    nb_graph_free(g);
    train_case_close(&t);
}

static void lookahead_goes_part_of_the_way(void **state)
{
    data_fixture *f = *state;
    for (int32_t power = 0; power <= 3; power += 3) {
        char text[2048];
        train_case t;
        nb_graph *g;
        nb_optim *o;
        snprintf(text, sizeof text,
                 "%strain: {batch: 8, lookahead: {steps: 2, share: 0.25, power: %d}, optimizer: {momentum: 0}, phases: "
                 "[{epochs: "
                 "2, lr: 0.1}]}\n",
                 train_case_head, power);
        assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
        assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
        assert_int_equal(nb_optim_create(f->ctx, t.plan, g, &o), NB_OK);
        float *w = nb_graph_find(g, "fc.bias")->out.data;
        w[0] = 8;
        nb_optim_restart_average(o);
        double slow = 8, fast = 8;
        for (int32_t k = 1; k <= 5; k++) { /* the end of the phase is a look back, too */
            fast += 1;
            w[0] += 1;
            nb_optim_look(o, k, 5);
            if (k % 2 == 0 || k == 5)
                fast = slow += (1 - 0.75 * pow(k / 5.0, power)) * (fast - slow);
            assert_true(fabs((double)w[0] - fast) < 1e-5);
        }
        nb_optim_free(f->ctx, o);
        nb_graph_free(g);
        train_case_close(&t);
    }
}

static void an_epoch_may_be_cut_short(void **state)
{
    (void)state;
    plan_case p;
    assert_int_equal(
        plan_try(&p, "{phases: [{epochs: 2.3, lr: 1, schedule: linear}, {epochs: 0.001, lr: 1}, {epochs: 3, lr: 1}]}"),
        NB_OK);
    const nb_phase *a = &p.plan->phase[0], *b = &p.plan->phase[1], *c = &p.plan->phase[2];
    assert_true(a->keys.epochs == 3 && b->keys.epochs == 1 && c->keys.epochs == 3);
    assert_true(nb_phase_steps(a, 10) == 23 && nb_phase_epoch_steps(a, 1, 10) == 10 &&
                nb_phase_epoch_steps(a, 2, 10) == 3);
    assert_true(nb_phase_steps(b, 10) == 1 && nb_phase_steps(c, 10) == 30);
    assert_true(near(nb_phase_lr(a, 22, 10), 1.0 / 23));
    plan_close(&p);
    plan_refuses("{phases: [{epochs: 0.5, lr: 1, warmup: 0.5}]}",
                 "x.yaml:1: train.phases[0]: warmup: 0.5: must be below the phase's 0.5 epochs");
}

/* 6 steps an epoch: the phases have 9, and 6 + 2. */
#define RECIPE                                                                                                         \
    "train:\n  batch: 16\n  ema: 0.9\n  lookahead: {steps: 4, power: 3}\n  layers: {c1: {lr: 0.5}, fc: {lr: 2}}\n"     \
    "  optimizer: {name: muon, steps: 3, normalize: yes, rest: 0.1, weight_decay: 0.001}\n"                            \
    "  phases: [{name: float, epochs: 1.5, lr: 0.1, schedule: onecycle}, {name: qat, epochs: 1.33, lr: 0.05,"          \
    " schedule: linear, quant: on}]\n"

static void a_recipe_of_all_repeats_and_resumes_to_the_bit(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "phase-1-float.safetensors",
                                        "metrics.csv", NULL};
    train_case t;
    train_case_repeats(*state, RECIPE, files);
    train_case_pieces(&t, *state, "whole", RECIPE, 0);
    assert_true(t.steps_seen == 9 + 8 && t.epochs_seen == 4);
    train_case_close(&t);
}

#define PATIENT                                                                                                        \
    "data: {name: synth, count: 96, test_count: 32, height: 8, width: 8, channels: 1, classes: 3, validation: 16}\n"   \
    "model: [input, conv2d: {name: c1, out: 4, kernel: 3}, relu, avgpool: {global: yes}, linear: {name: fc, out: "     \
    "3}]\n"                                                                                                            \
    "train: {batch: 16, ema: 0.5, phases: [{name: float, epochs: 12, lr: 0, patience: 2},"                             \
    " {name: qat, epochs: 9, lr: 0.5, quant: on, patience: 1}]}\n"

/* A rate of 0 makes no epoch better than the first. */
static void patience_ends_a_phase_and_the_next_begins_with_the_best(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "phase-1-float.safetensors",
                                        "metrics.csv", NULL};
    data_fixture *f = *state;
    train_case t;
    nb_checkpoint *c;
    train_case_repeats(f, PATIENT, files);
    train_case_pieces(&t, f, "whole", PATIENT, 0);
    assert_int_equal(t.result.phase[0].epochs_done, 3);
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "whole/phase-1-float.safetensors"), &c), NB_OK);
    assert_true(c->at.phase == 0 && c->at.epoch == 1); /* after the first epoch */
    nb_checkpoint_close(f->ctx, c);
    const int32_t done = t.result.phase[1].epochs_done;
    assert_true(done == 9 || t.result.best_epoch == done - 2);
    train_case_close(&t);
}

static void patience_without_validation_images_is_refused(void **state)
{
    data_fixture *f = *state;
    char text[2048];
    train_case t;
    snprintf(text, sizeof text, "%strain: {batch: 8, phases: [{epochs: 2, lr: 0.1, patience: 1}]}\n", train_case_head);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    const nb_train_job job = {.experiment = &t.exp, .plan = t.plan, .config_text = "", .out = f->dir, .data = t.train};
    assert_int_equal(nb_train_check(f->ctx, &job), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx),
                           "patience: the test images would say when to stop: hold some training images out"));
    train_case_close(&t);
}

/* init: `start` in front of `config`, which has other classes than the run in folder "a". */
static nb_status new_head(data_fixture *f, const char *start, train_case *t)
{
    char text[4096];
    snprintf(text, sizeof text, "init: {from: %s/a/%s}\n%s", f->dir, start,
             "seed: 4\n"
             "data: {name: synth, count: 96, test_count: 32, height: 8, width: 8, channels: 1, classes: 5}\n"
             "model:\n  - input\n  - conv2d: {name: c1, out: 4, kernel: 3, pad: 1, bias: no}\n  - batchnorm: {name: "
             "bn1}\n  - relu\n"
             "  - avgpool: {kernel: 2}\n  - conv2d: {name: c2, out: 6, kernel: 3, pad: 1, bias: no}\n  - batchnorm: "
             "{name: bn2}\n"
             "  - relu\n  - avgpool: {global: yes}\n  - linear: {name: fc, out: 5}\n"
             "train: {batch: 16, layers: {c1: {lr: 0}}, phases: [{name: float, epochs: 1, lr: 0.1}]}\n");
    data_fixture_mkdir(f, "b");
    assert_int_equal(train_case_open(t, f->ctx, data_fixture_path(f, "b"), text), NB_OK);
    const nb_train_job job = {
        .experiment = &t->exp, .plan = t->plan, .config_text = t->text, .out = t->out, .data = t->train};
    const nb_status st = nb_train_check(f->ctx, &job);
    return st == NB_OK ? train_case_run(t, false) : st;
}

static void all_but_some_layers_start_from_a_checkpoint(void **state)
{
    data_fixture *f = *state;
    train_case t;
    float before[36], after[36];
    train_case_pieces(&t, f, "a", "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}]}\n", 0);
    leaf_of(&t, "last.safetensors", "c1.weight", before, 36);
    train_case_close(&t);
    assert_int_equal(new_head(f, "last.safetensors, except: [fc]", &t), NB_OK);
    leaf_of(&t, "last.safetensors", "c1.weight", after, 36);
    assert_memory_equal(before, after, sizeof before);
    train_case_close(&t);
    assert_int_equal(new_head(f, "last.safetensors", &t), NB_E_SHAPE);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "tensor fc.weight is 3x1x1x6, the network has 5x1x1x6"));
    train_case_close(&t);
    assert_int_equal(new_head(f, "last.safetensors, except: fcc", &t), NB_E_CONFIG);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "init.except: fcc: the network has no such layer with parameters (did you mean"));
    train_case_close(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rate_of_0_keeps_a_layer_as_it_was),
        TEST(the_longest_name_counts),
        TEST(a_rate_is_a_factor_and_what_stands_still_is_not_in_the_norm),
        TEST(layers_that_are_not_there_are_refused),
        TEST(lookahead_goes_part_of_the_way),
        TEST(an_epoch_may_be_cut_short),
        TEST(a_recipe_of_all_repeats_and_resumes_to_the_bit),
        TEST(patience_ends_a_phase_and_the_next_begins_with_the_best),
        TEST(patience_without_validation_images_is_refused),
        TEST(all_but_some_layers_start_from_a_checkpoint),
    };
    return cmocka_run_group_tests_name("train_layers", tests, NULL, NULL);
}
