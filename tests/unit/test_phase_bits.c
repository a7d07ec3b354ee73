/* test_phase_bits.c - phases with bits of their own: what they train, what their files say, what begins anew. */
#include "ref/train_case.h"

#include "quant/fakequant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plan_case.h"

#define STEPPING                                                                                                       \
    "quant: {weights: {bits: 3, learn: lsq}, activations: {bits: 8}}\n"                                                \
    "train: {batch: 16, phases: [{name: float, epochs: 1, lr: 0.1},"                                                   \
    " {name: six, epochs: 1, lr: 0.1, quant: on, weight_bits: 6, activation_bits: 7}, {name: four, epochs: 1, lr: "    \
    "0.05, quant: on,"                                                                                                 \
    " weight_bits: 4}, {name: three, epochs: 2, lr: 0.02, quant: on}]}\n"

/* The same widths for weights within one phase, and a learning rate that goes through all of them. */
#define WITHIN                                                                                                         \
    "quant: {weights: {bits: 3, learn: lsq}, activations: {bits: 8}}\n"                                                \
    "train: {batch: 16, phases: [{name: float, epochs: 1, lr: 0.1},"                                                   \
    " {name: down, epochs: 3.5, lr: 0.1, schedule: cosine, quant: on, weight_bits: [6, 4, 0], activation_bits: [7, "   \
    "0, 0], freeze_ranges_at: 3, reestimate_bn: 64, oscillation: {freeze: 0.2}}]}\n"

static int32_t bits_of(const nb_graph *g, const char *fq)
{
    return ((const nb_fakequant_attr *)nb_graph_find(g, fq)->attr)->bits;
}

static void files_of_a_phase_have_its_bits(void **state)
{
    static const struct {
        const char *file;
        int32_t weights, activations;
    } want[] = {
        {"a/phase-2-six.safetensors", 6, 7}, {"a/phase-3-four.safetensors", 4, 8}, {"a/last.safetensors", 3, 8}};
    data_fixture *f = *state;
    train_case t;
    train_case_pieces(&t, f, "a", STEPPING, 0);
    for (int32_t i = 0; i < 3; i++) {
        nb_checkpoint *c;
        nb_graph *g;
        assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, want[i].file), &c), NB_OK);
        assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_MODEL}, &g),
                         NB_OK);
        assert_int_equal(bits_of(g, "c2.weight.fq"), want[i].weights);
        assert_int_equal(bits_of(g, "relu1.fq"), want[i].activations);
        assert_int_equal(bits_of(g, "c1.weight.fq"), 8); /* first and last as ever */
        nb_graph_free(g);
        nb_checkpoint_close(f->ctx, c);
    }
    assert_int_equal(t.result.best_phase, 3); /* of the last kind of network */
    train_case_close(&t);
}

static void what_is_learned_of_a_width_begins_anew_with_another(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_checkpoint *c;
    nb_graph *g;
    train_case_pieces(&t, f, "a", STEPPING, 0);
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "a/phase-3-four.safetensors"), &c), NB_OK);
    nb_graph_spec spec = {
        .experiment = &t.exp, .info = nb_data_info(t.train), .max_batch = 16, .quant = true, .plan = NB_PLAN_TRAIN};
    const nb_params_source from = {.file = c, .mode = NB_PARAMS_START};
    for (int32_t same = 0; same < 2; same++) {
        spec.bits[1] = same ? 4 : 0;
        assert_int_equal(nb_graph_open(f->ctx, &spec, &from, &g), NB_OK);
        assert_true((((const float *)nb_graph_find(g, "c2.weight.fq.learned")->out.data)[0] == 0) == !same);
        assert_true(((const float *)nb_graph_find(g, "relu1.fq.state")->out.data)[1] > 0); /* 8 bits in both */
        assert_true(nb_fakequant_seen(nb_graph_find(g, "relu1.fq")));
        nb_graph_free(g);
    }
    nb_checkpoint_close(f->ctx, c);
    train_case_close(&t);
}

/* `init:` from a network of other widths or formats: weights stay, what its quantizers learned of their codes does not. */
static void what_another_network_learned_of_its_grid_begins_anew(void **state)
{
    static const char train[] = "train: {batch: 16, phases: [{epochs: 1, lr: 0.1, quant: on}]}\n";
    static const struct {
        const char *weights;
        bool kept;
    } cases[] = {
        {"bits: 4, learn: lsq", true}, {"bits: 3, learn: lsq", false}, {"bits: 4, learn: lsq, format: odd", false}};
    data_fixture *f = *state;
    train_case was;
    char text[2048];
    nb_checkpoint *c;
    snprintf(text, sizeof text, "quant: {weights: {%s}}\n%s", cases[0].weights, train);
    train_case_pieces(&was, f, "was", text, 0);
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "was/last.safetensors"), &c), NB_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_case t;
        nb_graph *g;
        snprintf(text, sizeof text, "%squant: {weights: {%s}}\n%s", train_case_head, cases[i].weights, train);
        assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
        assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &g),
                         NB_OK);
        assert_int_equal(((const float *)nb_graph_find(g, "c2.weight.fq.learned")->out.data)[0] > 0, cases[i].kept);
        assert_true(fabsf(((const float *)nb_graph_find(g, "c2.weight")->out.data)[0]) > 0);
        nb_graph_free(g);
        train_case_close(&t);
    }
    nb_checkpoint_close(f->ctx, c);
    train_case_close(&was);
}

static void stepping_down_repeats_and_resumes_to_the_bit(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "phase-2-six.safetensors",
                                        "metrics.csv",      "ranges.csv",       NULL};
    train_case_repeats(*state, STEPPING, files);
}

static void stepping_down_within_a_phase_repeats_and_resumes_to_the_bit(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "phase-2-down.1.safetensors",
                                        "metrics.csv",      "ranges.csv",       NULL};
    train_case_repeats(*state, WITHIN, files);
}

/* The check goes through all parts, and their keys stand in one entry of the config. */
static void a_phase_that_steps_down_is_checked_before_training(void **state)
{
    data_fixture *f = *state;
    train_case t;
    train_case_pieces(&t, f, "a", WITHIN, 0);
    const nb_train_job job = {
        .experiment = &t.exp, .plan = t.plan, .config_text = t.text, .out = t.out, .data = t.train};
    assert_int_equal(nb_train_check(f->ctx, &job), NB_OK);
    train_case_close(&t);
}

static void a_phase_that_steps_down_is_several_with_one_learning_rate(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t bits[2], before, epochs, freeze_bn_at, freeze_ranges_at, reestimate_bn;
        float length;
    } want[] = {{"qat.1", {8, 6}, 0, 2, -1, -1, 0, 2},
                {"qat.2", {8, 4}, 2, 2, 1, -1, 0, 2},
                {"qat.3", {8, 0}, 4, 3, 0, 1, 64, 2.5f}};
    static const char curve[] = "lr: 1, warmup: 2.5, schedule: cosine";
    plan_case p, one;
    char text[512];
    snprintf(
        text, sizeof text,
        "{phases: [{name: qat, epochs: 6.5, quant: on, weight_bits: [6, 4, 0], activation_bits: 8, freeze_bn_at: 3, "
        "freeze_ranges_at: 5, reestimate_bn: 64, %s}, {epochs: 1, lr: 1, quant: on}]}",
        curve);
    assert_int_equal(plan_try(&p, text), NB_OK);
    snprintf(text, sizeof text, "{phases: [{epochs: 6.5, %s}]}", curve);
    assert_int_equal(plan_try(&one, text), NB_OK);
    assert_int_equal(p.plan->n_phases, 4);
    for (int32_t i = 0; i < 3; i++) {
        const nb_phase *ph = &p.plan->phase[i];
        assert_string_equal(ph->keys.name, want[i].name);
        assert_memory_equal(ph->keys.bits, want[i].bits, sizeof want[i].bits);
        assert_int_equal(ph->before, want[i].before);
        assert_int_equal(ph->keys.epochs, want[i].epochs);
        assert_true(ph->keys.length == want[i].length);
        assert_int_equal(ph->keys.freeze_bn_at, want[i].freeze_bn_at);
        assert_int_equal(ph->keys.freeze_ranges_at, want[i].freeze_ranges_at);
        assert_int_equal(ph->keys.reestimate_bn, want[i].reestimate_bn);
        for (int64_t t = 0; t < nb_phase_steps(ph, 10); t++)
            assert_true(nb_phase_lr(ph, t, 10) == nb_phase_lr(&one.plan->phase[0], t + 10 * want[i].before, 10));
    }
    assert_string_equal(p.plan->phase[3].keys.name, "phase2");
    plan_close(&one);
    plan_close(&p);
}

static void widths_that_are_none_are_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    plan_refuses("{phases: [{epochs: 1, lr: 1, weight_bits: 4}]}",
                 "x.yaml:1: train.phases[0]: weight_bits: 4: this phase has no codes: it needs `quant: on`");
    plan_refuses("{phases: [{epochs: 1, lr: 1, quant: on, activation_bits: 9}]}",
                 "x.yaml:1: train.phases[0].activation_bits: 9: must be in 0..8");
    plan_refuses("{phases: [{epochs: 1, lr: 1, quant: on, weight_bits: 4}]}",
                 "x.yaml:1: train.phases: the last phase makes the network that `quant` describes: set "
                 "quant.weights.bits in the "
                 "place of weight_bits, or step to 0");
    plan_refuses("{phases: [{epochs: 4, lr: 1, quant: on, weight_bits: [8, 6, 0], activation_bits: [8, 0]}]}",
                 "x.yaml:1: train.phases[0]: activation_bits: 2 widths where weight_bits has 3: say as many, or one");
    plan_refuses("{phases: [{epochs: 2, lr: 1, quant: on, weight_bits: [8, 6, 0]}]}",
                 "x.yaml:1: train.phases[0]: 3 widths in 2 epochs: each needs one");
    plan_refuses("{phases: [{epochs: 4, lr: 1, quant: on, weight_bits: [8, 0], patience: 2}]}",
                 "x.yaml:1: train.phases[0]: patience: 2: where a phase ends early, its later widths would never be: "
                 "leave one of both out");
    plan_refuses("{phases: [{epochs: 20, lr: 1, quant: on, weight_bits: [8, 7, 6, 5, 4, 3, 2, 1, 0]}]}",
                 "x.yaml:1: train.phases[0].weight_bits: must be at most 8 widths");
    plan_refuses(
        "{phases: [{epochs: 4, lr: 1, quant: on, weight_bits: [8, 0], freeze_ranges_at: 1}]}",
        "x.yaml:1: train.phases[0]: freeze_ranges_at: epoch 2, where widths change and ranges begin anew: must be "
        "later");
    plan_refuses(
        "{phases: [{epochs: 4, lr: 1, quant: on, weight_bits: 6}, {epochs: 1, lr: 1, quant: on, "
        "freeze_ranges_at: 0}]}",
        "x.yaml:1: train.phases[1]: freeze_ranges_at: epoch 0, where widths change and ranges begin anew: must be "
        "later");
    plan_refuses("{phases: [{epochs: 4, lr: 1, quant: on, weight_bits: [8, x]}]}",
                 "x.yaml:1: train.phases[0].weight_bits: x: must be an integer in 0..8");
    char text[2048];
    snprintf(text, sizeof text,
             "%squant: {weights: {bits: 3}}\ntrain: {batch: 8, phases: [{epochs: 1, lr: 0.1, quant: on}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    const nb_graph_spec spec = {
        .experiment = &t.exp, .info = nb_data_info(t.train), .max_batch = 1, .quant = true, .bits = {0, 1}};
    assert_int_equal(nb_graph_open(f->ctx, &spec, &(nb_params_source){0}, &g), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "has codes of 2..8 bits"));
    train_case_close(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_of_a_phase_have_its_bits),
        TEST(what_is_learned_of_a_width_begins_anew_with_another),
        TEST(what_another_network_learned_of_its_grid_begins_anew),
        TEST(stepping_down_repeats_and_resumes_to_the_bit),
        TEST(stepping_down_within_a_phase_repeats_and_resumes_to_the_bit),
        TEST(a_phase_that_steps_down_is_checked_before_training),
        TEST(a_phase_that_steps_down_is_several_with_one_learning_rate),
        TEST(widths_that_are_none_are_refused),
    };
    return cmocka_run_group_tests_name("phase_bits", tests, NULL, NULL);
}
