/* test_evaluate_float.c - the float evaluator against logits scored one by one. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void open_case(void **state, train_case *t, nb_graph **g)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%strain: {batch: 5, phases: [{epochs: 1, lr: 0.1}]}\n", train_case_head);
    assert_int_equal(train_case_open(t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(t, false, &(nb_params_source){0}, g), NB_OK);
}

static void loss_and_accuracy_are_those_of_each_image_alone(void **state)
{
    train_case t;
    nb_graph *g;
    nb_eval e;
    const int32_t indices[] = {7, 3, 31, 0, 12, 12, 5, 9}; /* 8 of 32, in batches of 5 and 3 */
    int32_t labels[8], answers[8];
    float logits[8 * 3];
    open_case(state, &t, &g);
    assert_int_equal(nb_evaluate_graph_each(g, t.test, indices, 8, &e, &(nb_answers){labels, answers, logits, NULL}),
                     NB_OK);
    double loss = 0;
    int32_t correct = 0;
    nb_graph_set_batch(g, 1);
    for (int i = 0; i < 8; i++) {
        uint8_t px[64];
        int32_t label, best = 0;
        nb_data_get(t.test, indices[i], px, &label);
        nb_forward(g, &(nb_run){.pixels = px});
        const float *l = nb_graph_logits(g);
        double sum = 0;
        for (int c = 0; c < 3; c++) {
            sum += exp((double)l[c]);
            best = l[c] > l[best] ? c : best;
        }
        assert_memory_equal(logits + i * 3, l, 3 * sizeof *l);
        assert_int_equal(labels[i], label);
        assert_int_equal(answers[i], best);
        loss += log(sum) - (double)l[label];
        correct += best == label;
    }
    assert_int_equal(e.n, 8);
    assert_int_equal(e.correct, correct);
    assert_true(fabs(e.loss - loss / 8) < 1e-6);
    assert_true(e.accuracy == correct / 8.0);
    nb_graph_free(g);
    train_case_close(&t);
}

static void the_first_n_images_are_taken_without_indices(void **state)
{
    train_case t;
    nb_graph *g;
    nb_eval a, b;
    const int32_t first[] = {0, 1, 2, 3, 4, 5, 6};
    open_case(state, &t, &g);
    assert_int_equal(nb_evaluate_graph(g, t.test, first, 7, &a), NB_OK);
    assert_int_equal(nb_evaluate_graph(g, t.test, NULL, 7, &b), NB_OK);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(g->batch, g->max_batch); /* as it was */
    nb_graph_free(g);
    train_case_close(&t);
}

static void images_whose_logits_are_not_those_of_the_first_are_counted(void **state)
{
    train_case t;
    nb_graph *g;
    nb_eval e;
    const int32_t indices[] = {4, 4, 5, 4, 6, 4, 4}; /* in batches of 5 and 2 */
    open_case(state, &t, &g);
    assert_int_equal(nb_evaluate_graph(g, t.test, indices, 7, &e), NB_OK);
    assert_int_equal(e.unlike, 2);
    for (int32_t i = 0; i < g->n; i++) /* a network of zeros gives every image its last bias */
        if (g->node[i]->flags & NB_NODE_PARAM)
            memset(g->node[i]->out.data, 0, (size_t)nb_count(&g->node[i]->out) * sizeof(float));
    assert_int_equal(nb_evaluate_graph(g, t.test, NULL, 30, &e), NB_OK);
    assert_int_equal(e.unlike, 0);
    nb_graph_free(g);
    train_case_close(&t);
}

static void a_logit_that_is_no_number_is_no_result(void **state)
{
    train_case t;
    nb_graph *g;
    nb_eval e = {.n = -1};
    open_case(state, &t, &g);
    for (int32_t i = 0; i < g->n; i++) /* finite weights, whose products are not */
        if (strstr(g->node[i]->name, ".weight"))
            for (int64_t k = 0; k < nb_count(&g->node[i]->out); k++)
                ((float *)g->node[i]->out.data)[k] = 1e30f;
    assert_int_equal(nb_evaluate_graph(g, t.test, NULL, 7, &e), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(t.ctx), "the network gives no result: logit 0 of image 0 is "));
    assert_int_equal(e.n, -1);
    nb_graph_free(g);
    train_case_close(&t);
}

static void images_of_another_size_are_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    nb_data *other;
    nb_eval e;
    open_case(state, &t, &g);
    assert_int_equal(
        data_fixture_open(f, "{name: synth, height: 9, width: 8, channels: 1, classes: 3}", "test", &other), NB_OK);
    assert_int_equal(nb_evaluate_graph(g, other, NULL, 4, &e), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(f->ctx),
                        "the data have images of 9x8x1 in 3 classes, the network takes 8x8x1 in 3");
    nb_data_close(f->ctx, other);
    nb_graph_free(g);
    train_case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(loss_and_accuracy_are_those_of_each_image_alone),
        TEST(the_first_n_images_are_taken_without_indices),
        TEST(images_whose_logits_are_not_those_of_the_first_are_counted),
        TEST(a_logit_that_is_no_number_is_no_result),
        TEST(images_of_another_size_are_refused),
    };
    return cmocka_run_group_tests_name("evaluate_float", tests, NULL, NULL);
}
