/* test_schedule_step.c - milestones as shares and as epochs. */
#include "plan_case.h"

static void by_default_it_steps_at_half_and_three_quarters(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: step", 49), 1));
    assert_true(near(plan_lr("schedule: step", 50), 0.1));
    assert_true(near(plan_lr("schedule: step", 74), 0.1));
    assert_true(near(plan_lr("schedule: step", 75), 0.01));
}

static void milestones_of_one_and_above_are_epochs(void **state)
{
    (void)state;
    const char *keys = "schedule: {name: step, milestones: [1, 4.5, 0.9], gamma: 0.5}";
    assert_true(near(plan_lr(keys, 9), 1));
    assert_true(near(plan_lr(keys, 10), 0.5));
    assert_true(near(plan_lr(keys, 44), 0.5));
    assert_true(near(plan_lr(keys, 45), 0.25));
    assert_true(near(plan_lr(keys, 90), 0.125));
}

static void a_share_falls_on_a_whole_step(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: {name: step, milestones: 0.07}", 6), 1)); /* 0.07 * 100 is 7.000000000000001 */
    assert_true(near(plan_lr("schedule: {name: step, milestones: 0.07}", 7), 0.1));
}

static void what_is_no_milestone_has_its_sentence(void **state)
{
    (void)state;
    plan_refuses("{phases: [{epochs: 1, lr: 1, schedule: {name: step, milestones: [1, x]}}]}",
                 "x.yaml:1: train.phases[0].schedule.milestones: x: must be a number in 1e-06..1e+06");
    plan_refuses("{phases: [{epochs: 1, lr: 1, schedule: {name: step, milestones: [0]}}]}",
                 "x.yaml:1: train.phases[0].schedule.milestones: 0: must be in 1e-06..1e+06");
    plan_refuses(
        "{phases: [{epochs: 1, lr: 1, schedule: {name: step, milestones: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}]}",
        "x.yaml:1: train.phases[0].schedule.milestones: more than 16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_it_steps_at_half_and_three_quarters),
        cmocka_unit_test(milestones_of_one_and_above_are_epochs),
        cmocka_unit_test(a_share_falls_on_a_whole_step),
        cmocka_unit_test(what_is_no_milestone_has_its_sentence),
    };
    return cmocka_run_group_tests_name("schedule_step", tests, NULL, NULL);
}
