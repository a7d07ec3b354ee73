/* test_sgd.c - plain, momentum, Nesterov and dampened descent against the oracle and by hand. */
#include "optim_case.h"

extern const nb_optimizer nb_optimizer_sgd;

static void momentum_follows_the_oracle_for_20_steps(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01};
    case_follows(&nb_optimizer_sgd, "{}", &r, ref_optim_sgd);
}

static void nesterov_follows_the_oracle_for_20_steps(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.05, .momentum = 0.85, .weight_decay = 0.001, .nesterov = true};
    case_follows(&nb_optimizer_sgd, "{momentum: 0.85, nesterov: yes}", &r, ref_optim_sgd);
}

static void dampening_spares_the_first_step(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.05, .momentum = 0.9, .dampening = 0.5};
    case_follows(&nb_optimizer_sgd, "{dampening: 0.5}", &r, ref_optim_sgd);
}

static void without_momentum_it_is_gradient_descent(void **state)
{
    (void)state;
    ref_optim r = {.lr = 0.2};
    case_follows(&nb_optimizer_sgd, "{momentum: 0}", &r, ref_optim_sgd);
}

static void two_steps_by_hand(void **state)
{
    (void)state;
    _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
    case_bind(&nb_optimizer_sgd, "{momentum: 0.5, nesterov: yes}", attr);
    float w = 1, g = 2, m = 0, *moments[NB_MAX_MOMENTS] = {&m, NULL};
    nb_step_args a = {.lr = 0.25f, .weight_decay = 0.5f, .t = 1};
    nb_optimizer_sgd.update(attr, &a, &w, &g, moments, 1); /* d = 2.5, m = 2.5, w = 1 - 0.25 * 3.75 */
    assert_true(m == 2.5f && w == 0.0625f);
    a.t = 2;
    nb_optimizer_sgd.update(attr, &a, &w, &g, moments, 1); /* d = 2.03125, m = 3.28125, step 3.671875 */
    assert_true(m == 3.28125f && w == 0.0625f - 0.25f * 3.671875f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(momentum_follows_the_oracle_for_20_steps),
        cmocka_unit_test(nesterov_follows_the_oracle_for_20_steps),
        cmocka_unit_test(dampening_spares_the_first_step),
        cmocka_unit_test(without_momentum_it_is_gradient_descent),
        cmocka_unit_test(two_steps_by_hand),
    };
    return cmocka_run_group_tests_name("sgd", tests, NULL, NULL);
}
