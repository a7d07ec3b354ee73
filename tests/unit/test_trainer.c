/* test_trainer.c - the promises of training: learns, repeats, resumes, switches phases, diverges with a sentence. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"

#include "base/files.h"
#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BOTH_PHASES                                                                                                    \
    "train:\n  batch: 16\n  ema: 0.9\n  optimizer: {name: sgd, nesterov: yes, weight_decay: 1.0e-3, clip: 5}\n"        \
    "  phases: [{name: float, epochs: 2, lr: 0.1, warmup: 0.5, schedule: cosine},"                                     \
    " {name: qat, epochs: 2, lr: 0.02, quant: on, freeze_bn_at: 1}]\n"

/* Opens the experiment (head + rest) with the run folder `name`. */
static void open_case(data_fixture *f, train_case *t, const char *name, const char *rest)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s", train_case_head, rest);
    data_fixture_mkdir(f, name);
    if (train_case_open(t, f->ctx, data_fixture_path(f, name), text) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
}

static void run(train_case *t, bool resume)
{
    if (train_case_run(t, resume) != NB_OK)
        fail_msg("%s", nb_ctx_error(t->ctx));
}

static void assert_same_file(data_fixture *f, const char *a, const char *b, const char *name)
{
    char path[2][512];
    uint8_t *bytes[2];
    size_t len[2];
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    for (int i = 0; i < 2; i++)
        assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, path[i]), 1 << 24, &bytes[i], &len[i]), NB_OK);
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(bytes[0], bytes[1], len[0]);
    nb_free(f->ctx, bytes[0]);
    nb_free(f->ctx, bytes[1]);
}

static void assert_same_run(data_fixture *f, const char *a, const char *b)
{
    assert_same_file(f, a, b, "last.safetensors");
    assert_same_file(f, a, b, "best.safetensors");
    assert_same_file(f, a, b, "phase-1-float.safetensors");
    assert_same_file(f, a, b, "metrics.csv");
    assert_same_file(f, a, b, "ranges.csv");
}

static nb_checkpoint *open_checkpoint(data_fixture *f, const char *name)
{
    nb_checkpoint *c;
    if (nb_checkpoint_open(f->ctx, data_fixture_path(f, name), &c) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    return c;
}

/* The values of a leaf in a checkpoint, as its network sees them; n of them into out. */
static void leaf_of(train_case *t, const char *file, const char *leaf, nb_params_mode mode, float *out, int32_t n)
{
    char path[512];
    nb_checkpoint *c;
    nb_graph *g;
    snprintf(path, sizeof path, "%s/%s", t->out, file);
    assert_int_equal(nb_checkpoint_open(t->ctx, path, &c), NB_OK);
    assert_int_equal(train_case_graph(t, c->quantized, &(nb_params_source){.file = c, .mode = mode}, &g), NB_OK);
    memcpy(out, nb_graph_find(g, leaf)->out.data, (size_t)n * sizeof *out);
    nb_graph_free(g);
    nb_checkpoint_close(t->ctx, c);
}

static void it_learns_64_images_by_heart(void **state)
{
    data_fixture *f = *state;
    train_case t;
    const char *text =
        "data: {name: synth, count: 64, test_count: 32, height: 8, width: 8, channels: 1, classes: 4}\n"
        "model: [input, conv2d: {out: 16, kernel: 3, pad: 1, bias: no}, batchnorm, relu, maxpool: {kernel: 2},"
        " conv2d: {out: 24, kernel: 3, pad: 1, bias: no}, batchnorm, relu, flatten, linear: {out: 4}]\n"
        "train: {batch: 32, phases: [{epochs: 20, lr: 0.05, schedule: cosine},"
        " {name: qat, epochs: 5, lr: 0.005, quant: on}]}\n";
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    run(&t, false);
    assert_true(t.result.phase[0].train_accuracy == 1);
    assert_true(t.result.phase[1].train_accuracy == 1);
    train_case_close(&t);
}

static void the_same_config_gives_the_same_bytes_for_any_number_of_threads(void **state)
{
    static const char *const name[] = {"t1", "t1again", "t2", "t4"};
    static const int32_t threads[] = {1, 1, 2, 4};
    for (int i = 0; i < 4; i++) {
        train_case t;
        nb_set_threads(threads[i]);
        open_case(*state, &t, name[i], BOTH_PHASES);
        run(&t, false);
        train_case_close(&t);
        if (i)
            assert_same_run(*state, "t1", name[i]);
    }
    nb_set_threads(2);
}

static void stopped_after_any_step_and_resumed_it_ends_in_the_same_bytes(void **state)
{
    train_case t;
    open_case(*state, &t, "whole", BOTH_PHASES);
    run(&t, false);
    train_case_close(&t);
    for (int32_t after = 1; after < 24; after += after < 8 ? 1 : 5) { /* 6 steps an epoch, 4 epochs */
        char name[16];
        snprintf(name, sizeof name, "s%d", after);
        open_case(*state, &t, name, BOTH_PHASES);
        t.stop_after = after;
        assert_int_equal(train_case_run(&t, false), NB_E_STOPPED);
        assert_non_null(strstr(nb_ctx_error(t.ctx), "saved; continue with --resume"));
        train_case_close(&t);
        open_case(*state, &t, name, BOTH_PHASES); /* a new process knows nothing */
        run(&t, true);
        assert_true(t.steps_seen <= 24 - after);
        train_case_close(&t);
        assert_same_run(*state, "whole", name);
    }
}

static void stopped_again_and_again_it_still_ends_in_the_same_bytes(void **state)
{
    train_case t;
    open_case(*state, &t, "whole", BOTH_PHASES);
    run(&t, false);
    train_case_close(&t);
    open_case(*state, &t, "pieces", BOTH_PHASES);
    t.stop_after = 1;
    nb_status st = train_case_run(&t, false);
    for (int32_t i = 0; st == NB_E_STOPPED && i < 100; i++)
        st = train_case_run(&t, true);
    assert_int_equal(st, NB_OK);
    train_case_close(&t);
    assert_same_run(*state, "whole", "pieces");
}

static void resuming_a_finished_run_changes_nothing_and_tells_the_results(void **state)
{
    train_case t;
    open_case(*state, &t, "a", BOTH_PHASES);
    run(&t, false);
    nb_phase_result before = t.result.phase[0];
    t.steps_seen = 0;
    run(&t, true);
    assert_int_equal(t.steps_seen, 0);
    assert_true(t.result.phase[0].accuracy == before.accuracy && t.result.phase[0].loss == before.loss);
    assert_int_equal(t.result.phase[1].epochs_done, 2);
    train_case_close(&t);
}

static void saving_on_the_way_does_not_change_the_outcome(void **state)
{
    train_case t;
    open_case(*state, &t, "plain", "train: {batch: 16, phases: [{epochs: 2, lr: 0.1}]}\n");
    run(&t, false);
    nb_train_result a = t.result;
    double loss = a.phase[0].loss;
    train_case_close(&t);
    open_case(*state, &t, "often", "train: {batch: 16, save_steps: 1, phases: [{epochs: 2, lr: 0.1}]}\n");
    run(&t, false);
    assert_true(t.result.phase[0].loss == loss);
    train_case_close(&t);
}

static void a_phase_begins_with_the_weights_of_the_one_before(void **state)
{
    train_case t;
    float one[24], two[24];
    open_case(*state, &t, "one", "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}]}\n");
    run(&t, false);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, one, 24);
    train_case_close(&t);
    open_case(*state, &t, "two", "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}, {epochs: 1, lr: 0, quant: on}]}\n");
    run(&t, false);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, two, 24);
    train_case_close(&t);
    assert_memory_equal(one, two, sizeof one); /* lr 0: momentum of the float phase would have moved them */
}

static void with_averages_a_phase_begins_with_them_and_best_holds_them(void **state)
{
    train_case t;
    float raw[6], avg[6], best[6], two[6];
    open_case(*state, &t, "one", "train: {batch: 16, ema: 0.5, phases: [{epochs: 1, lr: 0.1}]}\n");
    run(&t, false);
    leaf_of(&t, "last.safetensors", "fc.weight", NB_PARAMS_EXACT, raw, 6);
    leaf_of(&t, "last.safetensors", "fc.weight", NB_PARAMS_MODEL, avg, 6);
    leaf_of(&t, "best.safetensors", "fc.weight", NB_PARAMS_EXACT, best, 6);
    train_case_close(&t);
    assert_memory_not_equal(raw, avg, sizeof raw);
    assert_memory_equal(best, avg, sizeof avg);
    open_case(*state, &t, "two",
              "train: {batch: 16, ema: 0.5, phases: [{epochs: 1, lr: 0.1}, {epochs: 1, lr: 0, quant: on}]}\n");
    run(&t, false);
    leaf_of(&t, "last.safetensors", "fc.weight", NB_PARAMS_EXACT, two, 6);
    train_case_close(&t);
    assert_memory_equal(two, avg, sizeof avg);
}

static void frozen_statistics_and_ranges_stand_still(void **state)
{
    train_case t;
    float one[2][4], two[2][4];
    const char *const rest[] = {"train: {batch: 16, phases: [{epochs: 1, lr: 0, quant: on}]}\n",
                                "train: {batch: 16, phases: [{epochs: 3, lr: 0, quant: on, freeze_bn_at: 1, "
                                "freeze_ranges_at: 1}]}\n"};
    for (int i = 0; i < 2; i++) {
        float(*to)[4] = i ? two : one;
        open_case(*state, &t, i ? "two" : "one", rest[i]);
        run(&t, false);
        leaf_of(&t, "last.safetensors", "bn1.mean", NB_PARAMS_EXACT, to[0], 4);
        leaf_of(&t, "last.safetensors", "fc.weight.fq.state", NB_PARAMS_EXACT, to[1], 4);
        train_case_close(&t);
    }
    assert_memory_equal(one, two, sizeof one);
}

static void init_starts_from_the_weights_of_another_run(void **state)
{
    data_fixture *f = *state;
    train_case t;
    char rest[1024];
    float a[24], b[24];
    open_case(f, &t, "a", "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}]}\n");
    run(&t, false);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, a, 24);
    train_case_close(&t);
    snprintf(rest, sizeof rest, "init: %s\ntrain: {batch: 16, phases: [{epochs: 1, lr: 0, quant: on}]}\n",
             data_fixture_path(f, "a/last.safetensors"));
    open_case(f, &t, "b", rest);
    run(&t, false);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, b, 24);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(t.epochs_seen, 1);
    train_case_close(&t);
}

static void each_phase_but_the_last_leaves_its_end_to_branch_off_from(void **state)
{
    data_fixture *f = *state;
    train_case t;
    char rest[1024];
    float end[24], branch[24], went_on[24];
    open_case(f, &t, "a",
              "train: {batch: 16, ema: 0.5, phases: [{name: float, epochs: 1, lr: 0.1}, {epochs: 1, lr: 0.1},"
              " {name: qat, epochs: 1, lr: 0, quant: on}]}\n");
    run(&t, false);
    leaf_of(&t, "phase-2.safetensors", "c2.weight", NB_PARAMS_EXACT, end, 24);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, went_on, 24);
    train_case_close(&t);
    assert_memory_equal(end, went_on, sizeof end); /* lr 0: what the last phase began with */
    assert_true(nb_file_exists(data_fixture_path(f, "a/phase-1-float.safetensors")));
    assert_false(nb_file_exists(data_fixture_path(f, "a/phase-3-qat.safetensors")));
    snprintf(rest, sizeof rest, "init: %s\ntrain: {batch: 16, phases: [{epochs: 1, lr: 0, quant: on}]}\n",
             data_fixture_path(f, "a/phase-2.safetensors"));
    open_case(f, &t, "b", rest);
    run(&t, false);
    leaf_of(&t, "last.safetensors", "c2.weight", NB_PARAMS_EXACT, branch, 24);
    train_case_close(&t);
    assert_memory_equal(end, branch, sizeof end);
}

static void only_quantized_phases_compete_for_the_best_when_there_are_any(void **state)
{
    train_case t;
    open_case(*state, &t, "a", BOTH_PHASES);
    run(&t, false);
    assert_int_equal(t.result.best_phase, 1);
    train_case_close(&t);
    nb_checkpoint *c = open_checkpoint(*state, "a/best.safetensors");
    assert_true(c->quantized && c->accuracy == c->at.best_accuracy);
    nb_checkpoint_close(((data_fixture *)*state)->ctx, c);
}

static void divergence_names_place_and_remedy_and_keeps_the_last_good_state(void **state)
{
    train_case t;
    open_case(
        *state, &t, "a",
        "train: {batch: 16, optimizer: {momentum: 0}, phases: [{epochs: 1, lr: 0.01}, {name: wild, epochs: 3, lr: 900, "
        "schedule: constant}, {name: wilder, epochs: 900, lr: 1000}]}\n");
    assert_int_equal(train_case_run(&t, false), NB_E_DIVERGED);
    const char *said = nb_ctx_error(t.ctx);
    assert_non_null(strstr(said, "training diverged in phase wild"));
    assert_non_null(strstr(said, "lower the phase's lr"));
    assert_non_null(strstr(said, "a/last.safetensors"));
    train_case_close(&t);
    nb_checkpoint *c = open_checkpoint(*state, "a/last.safetensors");
    assert_true(c->at.epochs_done >= 1);
    nb_checkpoint_close(((data_fixture *)*state)->ctx, c);
}

static void resuming_with_another_config_is_refused_with_the_line(void **state)
{
    train_case t;
    open_case(*state, &t, "a", "train: {batch: 16, phases: [{epochs: 2, lr: 0.1}]}\n");
    t.stop_after = 3;
    assert_int_equal(train_case_run(&t, false), NB_E_STOPPED);
    train_case_close(&t);
    open_case(*state, &t, "a", "train: {batch: 24, phases: [{epochs: 2, lr: 0.1}]}\n");
    assert_int_equal(train_case_run(&t, true), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(t.ctx), "batch: 16"));
    assert_non_null(strstr(nb_ctx_error(t.ctx), "batch: 24"));
    train_case_close(&t);
}

static void a_run_folder_that_was_moved_can_be_resumed(void **state)
{
    train_case t;
    open_case(*state, &t, "a", "out: here\ntrain: {batch: 16, phases: [{epochs: 2, lr: 0.1}]}\n");
    t.stop_after = 3;
    assert_int_equal(train_case_run(&t, false), NB_E_STOPPED);
    train_case_close(&t);
    open_case(*state, &t, "a", "out: there\ntrain: {batch: 16, phases: [{epochs: 2, lr: 0.1}]}\n");
    run(&t, true);
    train_case_close(&t);
}

/* Moves a weight of the float graph and the range state of the quantized one, so that doing it twice or never shows. */
static nb_status before_quant(void *ud, nb_graph *g)
{
    train_case *t = ud;
    assert_int_equal(g->frozen, g->quantized);
    t->entries[g->quantized]++;
    float *w = nb_graph_find(g, "c2.weight")->out.data;
    w[0] += 0.25f;
    return NB_OK;
}

static void what_comes_before_quantization_is_done_once_and_not_again_after_resuming(void **state)
{
    static const char phases[] = "train:\n  batch: 16\n  phases: [{name: float, epochs: 1, lr: 0.1},"
                                 " {name: qat, epochs: 1, lr: 0.02, quant: on}, {name: tune, epochs: 1, lr: 0.02},"
                                 " {name: again, epochs: 1, lr: 0.02, quant: on}]\n";
    data_fixture *f = *state;
    train_case t;
    open_case(f, &t, "plain", phases);
    run(&t, false);
    train_case_close(&t);
    open_case(f, &t, "whole", phases);
    t.before_quant = before_quant;
    run(&t, false);
    assert_true(t.entries[0] == 1 && t.entries[1] == 1);
    train_case_close(&t);
    open_case(f, &t, "pieces", phases);
    t.before_quant = before_quant;
    t.stop_after = 2; /* of 6 steps an epoch */
    nb_status st = train_case_run(&t, false);
    for (int32_t i = 0; st == NB_E_STOPPED && i < 20; i++)
        st = train_case_run(&t, true);
    assert_int_equal(st, NB_OK);
    assert_true(t.entries[0] == 1 && t.entries[1] == 1);
    train_case_close(&t);
    assert_same_run(f, "whole", "pieces");
    nb_checkpoint *with = open_checkpoint(f, "whole/last.safetensors");
    nb_checkpoint *without = open_checkpoint(f, "plain/last.safetensors");
    assert_true(strcmp(with->metrics, without->metrics) != 0);
    nb_checkpoint_close(f->ctx, with);
    nb_checkpoint_close(f->ctx, without);
}

static void what_comes_before_quantization_is_left_out_when_the_network_comes_quantized(void **state)
{
    data_fixture *f = *state;
    train_case t;
    char text[512];
    for (int32_t quantized = 0; quantized < 2; quantized++) {
        open_case(f, &t, quantized ? "q" : "f",
                  quantized ? "train: {batch: 16, phases: [{epochs: 1, lr: 0.1, quant: on}]}\n"
                            : "train: {batch: 16, phases: [{epochs: 1, lr: 0.1}]}\n");
        t.before_quant = before_quant;
        run(&t, false);
        assert_int_equal(t.entries[0], quantized); /* from random weights: they were float ones */
        train_case_close(&t);
        snprintf(text, sizeof text,
                 "init: %s\ntrain: {batch: 16, phases: [{epochs: 1, lr: 0.1, quant: on}, {epochs: 1, lr: 0.1, quant: "
                 "on}]}\n",
                 data_fixture_path(f, quantized ? "q/last.safetensors" : "f/last.safetensors"));
        open_case(f, &t, quantized ? "from-q" : "from-f", text);
        t.before_quant = before_quant;
        run(&t, false);
        assert_int_equal(t.entries[0], !quantized);
        assert_int_equal(t.entries[1], !quantized);
        train_case_close(&t);
    }
}

static void no_step_allocates(void **state)
{
    train_case t;
    open_case(*state, &t, "a", BOTH_PHASES);
    t.starve = true;
    run(&t, false);
    assert_int_equal(t.steps_seen, 24);
    train_case_close(&t);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    train_case t;
    open_case(f, &t, "a", "train: {batch: 48, phases: [{epochs: 1, lr: 0.1}, {epochs: 1, lr: 0.1, quant: on}]}\n");
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n += 1 + n / 24) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = train_case_run(&t, false);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    train_case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(it_learns_64_images_by_heart),
        TEST(the_same_config_gives_the_same_bytes_for_any_number_of_threads),
        TEST(stopped_after_any_step_and_resumed_it_ends_in_the_same_bytes),
        TEST(stopped_again_and_again_it_still_ends_in_the_same_bytes),
        TEST(resuming_a_finished_run_changes_nothing_and_tells_the_results),
        TEST(saving_on_the_way_does_not_change_the_outcome),
        TEST(a_phase_begins_with_the_weights_of_the_one_before),
        TEST(with_averages_a_phase_begins_with_them_and_best_holds_them),
        TEST(frozen_statistics_and_ranges_stand_still),
        TEST(init_starts_from_the_weights_of_another_run),
        TEST(each_phase_but_the_last_leaves_its_end_to_branch_off_from),
        TEST(only_quantized_phases_compete_for_the_best_when_there_are_any),
        TEST(divergence_names_place_and_remedy_and_keeps_the_last_good_state),
        TEST(resuming_with_another_config_is_refused_with_the_line),
        TEST(a_run_folder_that_was_moved_can_be_resumed),
        TEST(what_comes_before_quantization_is_done_once_and_not_again_after_resuming),
        TEST(what_comes_before_quantization_is_left_out_when_the_network_comes_quantized),
        TEST(no_step_allocates),
        TEST(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests_name("trainer", tests, NULL, NULL);
}
