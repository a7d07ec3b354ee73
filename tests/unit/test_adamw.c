/* test_adamw.c - Adam with decoupled weight decay against the oracle. */
#include "optim_case.h"

extern const nb_optimizer nb_optimizer_adamw;

static void it_follows_the_oracle_for_20_steps(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.05, .decoupled = true};
    case_follows(&nb_optimizer_adamw, "{}", &r, ref_optim_adam);
}

static void weight_decay_works_without_a_gradient(void **state)
{
    (void)state;
    _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
    case_bind(&nb_optimizer_adamw, "{}", attr);
    float w = 2, g = 0, m = 0, v = 0, *moments[NB_MAX_MOMENTS] = {&m, &v};
    nb_step_args a = {.lr = 0.5f, .weight_decay = 0.5f, .t = 1};
    nb_optimizer_adamw.update(attr, &a, &w, &g, moments, 1);
    assert_true(w == 1.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_oracle_for_20_steps),
        cmocka_unit_test(weight_decay_works_without_a_gradient),
    };
    return cmocka_run_group_tests_name("adamw", tests, NULL, NULL);
}
