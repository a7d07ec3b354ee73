/* test_schedule_onecycle.c - up and down by hand. */
#include "plan_case.h"

static void it_rises_to_the_peak_and_falls_to_final(void **state)
{
    (void)state;
    const char *keys = "schedule: {name: onecycle, start: 0.2, peak: 0.2, final: 0.1}";
    assert_true(near(plan_lr(keys, 0), 0.2));
    assert_true(near(plan_lr(keys, 10), 0.6));
    assert_true(near(plan_lr(keys, 20), 1));
    assert_true(near(plan_lr(keys, 60), 0.55));
    assert_true(near(plan_lr(keys, 99), 0.1 + 0.9 / 80));
}

static void it_may_only_fall_or_only_rise(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: {name: onecycle, peak: 0, final: 0}", 0), 1));
    assert_true(near(plan_lr("schedule: {name: onecycle, peak: 0, final: 0}", 50), 0.5));
    assert_true(near(plan_lr("schedule: {name: onecycle, peak: 1, start: 0}", 50), 0.5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_rises_to_the_peak_and_falls_to_final),
        cmocka_unit_test(it_may_only_fall_or_only_rise),
    };
    return cmocka_run_group_tests_name("schedule_onecycle", tests, NULL, NULL);
}
