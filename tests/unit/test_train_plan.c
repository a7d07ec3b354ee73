/* test_train_plan.c - the train section: defaults, both ways to write a name, every kind of mistake, warm-up. */
#include "plan_case.h"

static void a_phase_is_enough(void **state)
{
    (void)state;
    plan_case p;
    assert_int_equal(plan_try(&p, "{phases: [{epochs: 2, lr: 0.5}, {epochs: 1, lr: 0.1, name: qat, quant: on}]}"),
                     NB_OK);
    assert_string_equal(p.plan->optimizer->name, "sgd");
    assert_int_equal(p.plan->keys.batch, 128);
    assert_int_equal(p.plan->keys.compute, NB_COMPUTE_AUTO);
    assert_int_equal(p.plan->n_phases, 2);
    assert_string_equal(p.plan->phase[0].keys.name, "phase1");
    assert_string_equal(p.plan->phase[0].schedule->name, "constant");
    assert_int_equal(p.plan->phase[0].keys.freeze_bn_at, -1);
    assert_string_equal(p.plan->phase[1].keys.name, "qat");
    assert_true(p.plan->any_quant && p.plan->phase[1].keys.quant && !p.plan->phase[0].keys.quant);
    plan_close(&p);
}

static void a_method_is_a_word_or_a_map_with_a_name(void **state)
{
    (void)state;
    plan_case p;
    assert_int_equal(plan_try(&p, "{optimizer: adamw, phases: [{epochs: 1, lr: 1, schedule: cosine}]}"), NB_OK);
    assert_string_equal(p.plan->optimizer->name, "adamw");
    assert_string_equal(p.plan->phase[0].schedule->name, "cosine");
    plan_close(&p);
    assert_int_equal(
        plan_try(&p, "{optimizer: {name: adam, clip: 2}, phases: [{epochs: 1, lr: 1, schedule: {name: step}}]}"),
        NB_OK);
    assert_string_equal(p.plan->optimizer->name, "adam");
    assert_true(p.plan->optimizer_keys.clip == 2);
    assert_string_equal(p.plan->phase[0].schedule->name, "step");
    plan_close(&p);
}

static void compute_is_one_of_the_ways_a_graph_knows(void **state)
{
    (void)state;
    const struct {
        const char *text;
        nb_compute want;
    } cases[] = {
        {"{compute: f32, phases: [{epochs: 1, lr: 1}]}", NB_COMPUTE_F32},
        {"{compute: int16, phases: [{epochs: 1, lr: 1}]}", NB_COMPUTE_INT16},
        {"{compute: auto, phases: [{epochs: 1, lr: 1}]}", NB_COMPUTE_AUTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plan_case p;
        assert_int_equal(plan_try(&p, cases[i].text), NB_OK);
        assert_int_equal(p.plan->keys.compute, cases[i].want);
        plan_close(&p);
    }
    plan_refuses("{compute: bf16, phases: [{epochs: 1, lr: 1}]}",
                 "x.yaml:1: train.compute: bf16: must be f32, int16 or auto");
}

static void every_mistake_has_its_sentence(void **state)
{
    (void)state;
    plan_refuses("{phases: [{epochs: 1, lr: 1}], optimizer: sgdd}",
                 "x.yaml:1: train.optimizer: sgdd: unknown optimizer (did you mean \"sgd\"?)");
    plan_refuses(
        "{phases: [{epochs: 1, lr: 1}], optimizer: {name: adam, momentum: 1}}",
        "x.yaml:1: train.optimizer.momentum: unknown key (there are: name, weight_decay, decay_all, clip, beta1, "
        "beta2, eps)");
    plan_refuses("{phases: [{epochs: 1, lr: 1, schedule: {name: cosin}}]}",
                 "x.yaml:1: train.phases[0].schedule: cosin: unknown schedule (did you mean \"cosine\"?)");
    plan_refuses("{phases: [{epochs: 1, lr: 1}, {epochs: 1, lr: 1, schedule: {name: cosine, gamma: 2}}]}",
                 "x.yaml:1: train.phases[1].schedule.gamma: unknown key (there are: name, final)");
    plan_refuses("{phases: [{epochs: 0, lr: 1}]}", "x.yaml:1: train.phases[0].epochs: 0: must be in 0.001..1e+06");
    plan_refuses("{phases: [float]}",
                 "x.yaml:1: train.phases[0]: must be a map like {name: float, epochs: 8, lr: 0.1}");
    plan_refuses("{phases: []}", "x.yaml:1: train.phases: must be a list of 1..64 phases");
    plan_refuses("{phases: [{epochs: 1, lr: 1, warmup: 1}]}",
                 "x.yaml:1: train.phases[0]: warmup: 1: must be below the phase's 1 epochs");
    plan_refuses("{phases: [{epochs: 3, lr: 1, freeze_bn_at: 3}]}",
                 "x.yaml:1: train.phases[0]: freeze_bn_at: 3: must be below the phase's 3 epochs (0 = from its start, "
                 "-1 = never)");
    plan_refuses("{phases: [{epochs: 3, lr: 1, quant: on, freeze_ranges_at: 7}]}",
                 "x.yaml:1: train.phases[0]: freeze_ranges_at: 7: must be below the phase's 3 epochs (0 = from its "
                 "start, -1 = never)");
    plan_refuses("{phases: [{epochs: 3, lr: 1, freeze_ranges_at: 0}]}",
                 "x.yaml:1: train.phases[0]: freeze_ranges_at: 0: this phase has no ranges to freeze: it needs `quant: "
                 "on`");
    plan_refuses("{phases: [{epochs: 1, lr: 1, name: \"a,b\"}]}",
                 "x.yaml:1: train.phases[0]: name: a,b: must be at most 40 letters, digits, or one of . _ + -");
}

static void without_phases_the_sentence_shows_how_they_look(void **state)
{
    (void)state;
    plan_case p;
    assert_int_equal(plan_try(&p, "{batch: 4}"), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(p.ctx), "train.phases: required key is missing"));
    assert_non_null(strstr(nb_ctx_error(p.ctx), "[{epochs: 8, lr: 0.1, ...}, ...]"));
    plan_close(&p);
}

static void warmup_rises_linearly_from_zero_and_then_the_schedule_starts(void **state)
{
    (void)state;
    assert_true(near(plan_lr("warmup: 1", 0), 0.1));
    assert_true(near(plan_lr("warmup: 1", 8), 0.9));
    assert_true(near(plan_lr("warmup: 1", 9), 1));
    assert_true(near(plan_lr("warmup: 1", 10), 1));
    assert_true(near(plan_lr("warmup: 1, schedule: cosine", 10), 1));
    assert_true(near(plan_lr("warmup: 0.5", 4), 1));
}

static void every_method_is_found_by_its_name(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_optimizers[i]; i++) {
        assert_ptr_equal(nb_registry_find(nb_optimizers, nb_optimizers[i]->name), nb_optimizers[i]);
        assert_true(nb_optimizers[i]->n_moments >= 0 && nb_optimizers[i]->n_moments <= NB_MAX_MOMENTS);
    }
    for (int32_t i = 0; nb_schedules[i]; i++)
        assert_ptr_equal(nb_registry_find(nb_schedules, nb_schedules[i]->name), nb_schedules[i]);
    assert_null(nb_registry_find(nb_optimizers, "no"));
    assert_null(nb_registry_find(nb_schedules, "no"));
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg;
    const char *text =
        "train: {optimizer: adam, phases: [{epochs: 1, lr: 1, schedule: {name: step, milestones: [1]}}]}\n";
    assert_int_equal(nb_config_parse(ctx, "x.yaml", text, strlen(text), NULL, 0, &cfg), NB_OK);
    const nb_conf *train = nb_conf_get(nb_config_root(cfg), "train");
    nb_train_plan *p = NULL;
    int64_t n = 1;
    for (;; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        nb_status st = nb_train_plan_create(ctx, train, &p);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
    }
    nb_ctx_fail_alloc_at(ctx, 0);
    assert_true(n > 1);
    nb_train_plan_free(ctx, p);
    nb_config_free(ctx, cfg);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_phase_is_enough),
        cmocka_unit_test(a_method_is_a_word_or_a_map_with_a_name),
        cmocka_unit_test(compute_is_one_of_the_ways_a_graph_knows),
        cmocka_unit_test(every_mistake_has_its_sentence),
        cmocka_unit_test(without_phases_the_sentence_shows_how_they_look),
        cmocka_unit_test(warmup_rises_linearly_from_zero_and_then_the_schedule_starts),
        cmocka_unit_test(every_method_is_found_by_its_name),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests_name("train_plan", tests, NULL, NULL);
}
