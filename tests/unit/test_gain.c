/* test_gain.c - when labels say something of a network. */
#include "post/gain.h"

#include <nibble/context.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

enum { N = 160, CLASSES = 4 };

/* The first of every period images gets its label as its answer, the others class 0; the margin is that of the logits. */
static bool knows(int32_t n, int32_t period, float margin, int32_t most_are_0)
{
    nb_ctx *ctx = nb_ctx_create();
    static float outputs[N * CLASSES];
    int32_t labels[N];
    bool yes = false;
    assert_non_null(ctx);
    for (int32_t i = 0; i < n; i++) {
        labels[i] = i % most_are_0 ? 0 : i / most_are_0 % CLASSES;
        const int32_t answer = i % period ? 0 : labels[i];
        for (int32_t k = 0; k < CLASSES; k++)
            outputs[i * CLASSES + k] = k == answer ? margin : 0;
    }
    assert_int_equal(nb_post_knows_labels(ctx, outputs, labels, n, CLASSES, &yes), NB_OK);
    nb_ctx_destroy(ctx);
    return yes;
}

static void labels_judge_where_more_is_right_than_by_guessing(void **state)
{
    (void)state;
    /* 25 % by guessing, +- 3.4: half of the rest right is far above, at any loss; a tenth of it is not */
    assert_true(knows(N, 2, 50, 1));
    assert_true(knows(N, 1, 0.5f, 1));
    assert_false(knows(N, N, 50, 1));
    assert_false(knows(N, 15, 50, 1));
    assert_false(knows(60, 1, 50, 1)); /* few images */
}

/* Of nine in ten that are class 0, nine in ten are right by guessing, with a loss that can be any. */
static void guessing_the_most_frequent_class_is_no_knowledge(void **state)
{
    (void)state;
    assert_false(knows(N, N, 50, 5));
    assert_true(knows(N, 1, 50, 5));
    assert_true(knows(N, N, 0.5f, 5)); /* a loss below log(classes): how frequent they are is known */
}

static void a_loss_that_is_the_same_but_for_chance_leaves_the_outputs_to_judge(void **state)
{
    (void)state;
    enum { IMAGES = 4 };
    static float before_each[IMAGES] = {1, 1, 1, 1}, by_chance[IMAGES] = {1.3f, 1.1f, 0.8f, 1.02f},
                 by_more[IMAGES] = {1.3f, 1.1f, 1.2f, 1.3f};
    const nb_post_gain before = {.eval = {.n = IMAGES, .loss = 1}, .sqnr = 20, .loss = before_each};
    for (int32_t k = 0; k < 2; k++) {
        nb_post_gain after = {
            .eval = {.n = IMAGES, .loss = k ? 1.225 : 1.055}, .sqnr = 30, .loss = k ? by_more : by_chance};
        assert_int_equal(nb_post_gain_is(&before, &after), !k);
        after.sqnr = 19; /* further away: only less loss would do */
        assert_false(nb_post_gain_is(&before, &after));
        after.eval.loss = 0.9;
        assert_true(nb_post_gain_is(&before, &after));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_that_is_the_same_but_for_chance_leaves_the_outputs_to_judge),
        cmocka_unit_test(labels_judge_where_more_is_right_than_by_guessing),
        cmocka_unit_test(guessing_the_most_frequent_class_is_no_knowledge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
