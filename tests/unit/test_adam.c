/* test_adam.c - Adam with coupled weight decay against the oracle. */
#include "optim_case.h"

extern const nb_optimizer nb_optimizer_adam;

static void it_follows_the_oracle_for_20_steps(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    case_follows(&nb_optimizer_adam, "{}", &r, ref_optim_adam);
}

static void weight_decay_passes_through_the_moments(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.1};
    case_follows(&nb_optimizer_adam, "{beta1: 0.8, beta2: 0.99, eps: 1.0e-6}", &r, ref_optim_adam);
}

static void the_first_step_is_as_long_as_the_learning_rate(void **state)
{
    (void)state;
    _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
    case_bind(&nb_optimizer_adam, "{}", attr);
    float w[3] = {0}, g[3] = {1e-3f, 1.0f, -1e3f}, m[3] = {0}, v[3] = {0}, *moments[NB_MAX_MOMENTS] = {m, v};
    nb_step_args a = {.lr = 0.5f, .t = 1};
    nb_optimizer_adam.update(attr, &a, w, g, moments, 3);
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(fabsf(w[i]) - 0.5f) < 1e-4f && (w[i] < 0) == (g[i] > 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_oracle_for_20_steps),
        cmocka_unit_test(weight_decay_passes_through_the_moments),
        cmocka_unit_test(the_first_step_is_as_long_as_the_learning_rate),
    };
    return cmocka_run_group_tests_name("adam", tests, NULL, NULL);
}
