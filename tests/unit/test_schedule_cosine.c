/* test_schedule_cosine.c - the half cosine by hand. */
#include "plan_case.h"

static void it_starts_at_one_and_passes_a_half_in_the_middle(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: cosine", 0), 1));
    assert_true(near(plan_lr("schedule: cosine", 50), 0.5));
    assert_true(plan_lr("schedule: cosine", 99) < 0.001);
    assert_true(plan_lr("schedule: cosine", 99) > 0);
}

static void final_is_what_is_left_at_the_end(void **state)
{
    (void)state;
    const char *keys = "schedule: {name: cosine, final: 0.2}";
    assert_true(near(plan_lr(keys, 0), 1));
    assert_true(near(plan_lr(keys, 50), 0.6));
    assert_true(plan_lr(keys, 99) > 0.2 && plan_lr(keys, 99) < 0.201);
}

static void it_never_rises(void **state)
{
    (void)state;
    for (int64_t t = 20; t < 99; t++)
        assert_true(plan_lr("warmup: 2, schedule: cosine", t + 1) < plan_lr("warmup: 2, schedule: cosine", t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_at_one_and_passes_a_half_in_the_middle),
        cmocka_unit_test(final_is_what_is_left_at_the_end),
        cmocka_unit_test(it_never_rises),
    };
    return cmocka_run_group_tests_name("schedule_cosine", tests, NULL, NULL);
}
