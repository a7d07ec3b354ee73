/* test_score.c - what outputs are worth: accuracy and cross entropy by hand, the AUC against all pairs, the explained share. */
#include "base/rng.h"
#include "core/score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void classes_are_judged_by_their_largest_logit(void **state)
{
    (void)state;
    const double out[3] = {1, 3, 3};
    const nb_score s = nb_score_of(NB_TASK_CLASSES, out, NULL, 3, 2);
    assert_int_equal(s.answer, 1); /* ties to the first */
    assert_false(s.right);
    assert_true(fabs(s.loss - (log(exp(1) + 2 * exp(3)) - 3)) < 1e-12);
    assert_true(nb_score_of(NB_TASK_CLASSES, out, NULL, 3, 1).right);
}

static void reconstructions_are_judged_by_their_mean_square(void **state)
{
    (void)state;
    const double out[2] = {1, 2}, target[2] = {3, -1};
    const nb_score s = nb_score_of(NB_TASK_RECONSTRUCT, out, target, 2, 0);
    assert_true(s.loss == (4 + 9) / 2.0 && s.energy == (9 + 1) / 2.0);
}

static void the_auc_is_the_share_of_pairs_won(void **state)
{
    nb_ctx *ctx = *state;
    nb_rng r = nb_rng_make(4, 4);
    for (int32_t k = 0; k < 300; k++) {
        double scores[40], auc;
        int32_t labels[40], n = 1 + (int32_t)nb_rng_below(&r, 40);
        for (int32_t i = 0; i < n; i++) {
            labels[i] = (int32_t)nb_rng_below(&r, 3);                 /* 1 and 2 are both anomalies */
            scores[i] = (double)nb_rng_below(&r, k % 2 ? 5 : 100000); /* many ties, or few */
        }
        double won = 0, pairs = 0;
        for (int32_t a = 0; a < n; a++)
            for (int32_t b = 0; b < n; b++)
                if (labels[a] == 0 && labels[b] != 0) {
                    pairs++;
                    won += scores[b] > scores[a] ? 1 : scores[b] == scores[a] ? 0.5 : 0;
                }
        assert_int_equal(nb_auc(ctx, scores, labels, n, &auc), NB_OK);
        assert_true(auc == (pairs > 0 ? won / pairs : -1));
    }
}

static void a_metric_has_its_name_and_is_the_higher_the_better(void **state)
{
    nb_ctx *ctx = *state;
    const double losses[3] = {0.1, 0.2, 0.9};
    const int32_t labels[3] = {0, 0, 1}, normal[3] = {0, 0, 0};
    nb_score_sums sums = {.loss = 1.2, .energy = 4.8, .losses = losses, .labels = labels};
    nb_eval e = {.n = 3, .correct = 2};
    assert_int_equal(nb_score_finish(ctx, NB_TASK_CLASSES, &sums, &e), NB_OK);
    assert_string_equal(e.metric, "accuracy");
    assert_true(e.accuracy == 2.0 / 3 && e.loss == 1.2 / 3);
    assert_int_equal(nb_score_finish(ctx, NB_TASK_RECONSTRUCT, &sums, &e), NB_OK);
    assert_string_equal(e.metric, "AUC");
    assert_true(e.accuracy == 1);
    sums.labels = normal;
    assert_int_equal(nb_score_finish(ctx, NB_TASK_RECONSTRUCT, &sums, &e), NB_OK);
    assert_string_equal(e.metric, "explained");
    assert_true(e.accuracy == 0.75);
    sums.energy = 1;
    assert_int_equal(nb_score_finish(ctx, NB_TASK_RECONSTRUCT, &sums, &e), NB_OK);
    assert_true(e.accuracy == 0);
}

static void data_that_do_not_fit_are_refused(void **state)
{
    nb_ctx *ctx = *state;
    const float one[1] = {1};
    const nb_features map = {"int8", 128, 1, 1, one, one};
    const nb_dsinfo data = {.h = 1, .w = 4, .c = 1, .classes = 2};
    nb_dsinfo net = data;
    assert_int_equal(nb_score_check(ctx, &net, &data), NB_OK);
    net.classes = 4;
    assert_int_equal(nb_score_check(ctx, &net, &data), NB_E_SHAPE);
    assert_non_null(strstr(nb_ctx_error(ctx), "images of 1x4x1 in 2 classes, the network takes 1x4x1 in 4"));
    net.task = NB_TASK_RECONSTRUCT; /* four outputs, and labels that are no classes of theirs */
    assert_int_equal(nb_score_check(ctx, &net, &data), NB_OK);
    net.features = &map;
    assert_int_equal(nb_score_check(ctx, &net, &data), NB_E_SHAPE);
    assert_non_null(strstr(nb_ctx_error(ctx), "become codes in another way"));
}

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_judged_by_their_largest_logit),
        cmocka_unit_test(reconstructions_are_judged_by_their_mean_square),
        cmocka_unit_test(the_auc_is_the_share_of_pairs_won),
        cmocka_unit_test(a_metric_has_its_name_and_is_the_higher_the_better),
        cmocka_unit_test(data_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
