/* test_optim.c - the sweep over a graph's parameters: which leaves decay, clipping, the norm, averaged weights. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/optim.h"

#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    train_case t;
    nb_graph *g;
    nb_optim *o;
} optim_test;

/* An experiment whose train section begins with the given keys. */
static void open_test(void **state, optim_test *x, const char *train_keys)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%strain: {batch: 8, %s, phases: [{epochs: 2, lr: 0.1}]}\n", train_case_head,
             train_keys);
    assert_int_equal(train_case_open(&x->t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x->t, false, &(nb_params_source){0}, &x->g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x->t.plan, x->g, &x->o), NB_OK);
}

static void close_test(optim_test *x)
{
    nb_optim_free(x->t.ctx, x->o);
    nb_graph_free(x->g);
    train_case_close(&x->t);
}

static void set_gradients(const optim_test *x, float value)
{
    for (int32_t i = 0; i < nb_optim_count(x->o); i++)
        for (int64_t k = 0; k < nb_optim_slot(x->o, i)->n; k++)
            nb_optim_slot(x->o, i)->leaf->out.grad[k] = value;
}

static float *values(const optim_test *x, const char *leaf)
{
    return nb_graph_find(x->g, leaf)->out.data;
}

static void learned_scales_have_a_rate_of_their_own_no_decay_and_stay_positive(void **state)
{
    optim_test x;
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text,
             "%squant: {weights: {learn: lsq, lr: 0.25}, activations: {learn: lsq}}\n"
             "train: {batch: 8, ema: 0.9, optimizer: {momentum: 0.5, weight_decay: 0.5, decay_all: yes}, "
             "phases: [{epochs: 2, lr: 0.1}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&x.t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x.t, true, &(nb_params_source){0}, &x.g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x.t.plan, x.g, &x.o), NB_OK);
    float *w = values(&x, "c2.weight.fq.learned"), *untouched = values(&x, "c1.weight.fq.learned");
    const nb_slot *slot = NULL;
    for (int32_t i = 0; i < nb_optim_count(x.o); i++)
        if (nb_optim_slot(x.o, i)->leaf->out.data == w)
            slot = nb_optim_slot(x.o, i);
    assert_true(slot && slot->learning && slot->weight_decay == 0 && slot->lr == 0.25f);
    w[0] = 4; /* as its range said in the first step, after the averages began */
    set_gradients(&x, 1);
    slot->leaf->out.grad[0] = 2;
    untouched[0] = 0;
    nb_graph_find(x.g, "c1.weight.fq.learned")->out.grad[0] = 0;
    nb_optim_step(x.o, 0.5, 1, 0);
    assert_true(w[0] == 4 - 0.5f * 0.25f * 2);
    assert_true(slot->average[0] == w[0]); /* of 0 and w it would be too small */
    assert_true(untouched[0] == 0);        /* still: not yet */
    const float before = w[0];
    nb_optim_freeze_ranges(x.o, true);
    nb_optim_step(x.o, 0.5, 2, 0);
    assert_true(w[0] == before); /* neither gradient nor momentum */
    nb_optim_freeze_ranges(x.o, false);
    slot->leaf->out.grad[0] = 1000;
    nb_optim_step(x.o, 0.5, 3, 0);
    assert_true(w[0] > 0 && w[0] < 1e-10f);
    close_test(&x);
}

static void an_offset_has_any_sign_a_decay_of_its_own_and_is_never_0_again(void **state)
{
    optim_test x;
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text,
             "%squant: {weights: {learn: lsqplus, decay: 0.25}, activations: {learn: lsq+}}\n"
             "train: {batch: 8, optimizer: {momentum: 0, weight_decay: 0.5}, phases: [{epochs: 2, lr: 0.1}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&x.t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x.t, true, &(nb_params_source){0}, &x.g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x.t.plan, x.g, &x.o), NB_OK);
    float *w = values(&x, "c2.weight.fq.lsqplus"), *dw = nb_graph_find(x.g, "c2.weight.fq.lsqplus")->out.grad;
    set_gradients(&x, 0);
    const float begin[] = {4, 2, 4, 2, 4, 0},
                grad[] = {2, 8, 400, 2 / 0.5f - 0.5f, 0, 0}; /* scale, offset; scale, ... */
    memcpy(w, begin, sizeof begin);
    memcpy(dw, grad, sizeof grad);
    nb_optim_step(x.o, 0.5, 1, 0);
    assert_true(w[0] == 4 - 0.5f * (2 + 0.25f * 4) && w[1] == 2 - 0.5f * (8 + 0.25f * 2)); /* which is negative */
    assert_true(w[2] > 0 && w[2] < 1e-10f && w[3] > 0 && w[3] < 1e-10f);                   /* overshot, and became 0 */
    assert_true(w[4] == 4 - 0.5f * 0.25f * 4 && w[5] == 0);
    close_test(&x);
}

static void every_parameter_has_one_slot_and_buffers_have_none(void **state)
{
    optim_test x;
    open_test(state, &x, "optimizer: adam");
    assert_int_equal(nb_optim_count(x.o), 2 * 3 + 2); /* conv weight, gamma, beta; linear weight and bias */
    for (int32_t i = 0; i < nb_optim_count(x.o); i++)
        assert_true(nb_optim_slot(x.o, i)->leaf->flags & NB_NODE_PARAM);
    close_test(&x);
}

static void weight_decay_spares_biases_and_batch_norm(void **state)
{
    optim_test x;
    open_test(state, &x, "optimizer: {momentum: 0, weight_decay: 0.5}");
    float w = values(&x, "c1.weight")[0], gamma = values(&x, "bn1.gamma")[0];
    set_gradients(&x, 0);
    nb_optim_step(x.o, 0.5, 1, 0);
    assert_true(values(&x, "c1.weight")[0] == w - 0.5f * (0.5f * w));
    assert_true(values(&x, "bn1.gamma")[0] == gamma);
    close_test(&x);
}

static void decay_all_spares_nothing(void **state)
{
    optim_test x;
    open_test(state, &x, "optimizer: {momentum: 0, weight_decay: 0.5, decay_all: yes}");
    set_gradients(&x, 0);
    nb_optim_step(x.o, 0.5, 1, 0);
    assert_true(values(&x, "bn1.gamma")[0] == 0.75f);
    close_test(&x);
}

static void the_norm_is_that_of_all_gradients_together(void **state)
{
    optim_test x;
    int64_t n = 0;
    open_test(state, &x, "optimizer: sgd");
    for (int32_t i = 0; i < nb_optim_count(x.o); i++)
        n += nb_optim_slot(x.o, i)->n;
    set_gradients(&x, -3);
    assert_true(fabs(nb_optim_grad_norm(x.o) - 3 * sqrt((double)n)) < 1e-9);
    nb_optim_slot(x.o, 4)->leaf->out.grad[0] = NAN;
    assert_false(isfinite(nb_optim_grad_norm(x.o)));
    close_test(&x);
}

static void clipping_scales_a_long_gradient_and_leaves_a_short_one(void **state)
{
    optim_test x;
    open_test(state, &x, "optimizer: {momentum: 0, clip: 2}");
    float w = values(&x, "fc.bias")[0];
    set_gradients(&x, 1);
    double norm = nb_optim_grad_norm(x.o);
    assert_true(norm > 2);
    nb_optim_step(x.o, 1, 1, norm);
    assert_true(fabs((double)(w - values(&x, "fc.bias")[0]) - 2 / norm) < 1e-6);
    w = values(&x, "fc.bias")[0];
    set_gradients(&x, 0.0625f);
    norm = nb_optim_grad_norm(x.o);
    assert_true(norm < 2);
    nb_optim_step(x.o, 1, 2, norm);
    assert_true(values(&x, "fc.bias")[0] == w - 0.0625f);
    close_test(&x);
}

static void averages_follow_with_a_growing_decay(void **state)
{
    optim_test x;
    open_test(state, &x, "ema: 0.99, optimizer: {momentum: 0}");
    double w = (double)values(&x, "fc.bias")[0], avg = w;
    for (int t = 1; t <= 30; t++) {
        set_gradients(&x, 1);
        nb_optim_step(x.o, 0.125, t, 1);
        w -= 0.125;
        double d = fmin(0.99, (1.0 + t) / (10.0 + t));
        avg = d * avg + (1 - d) * w;
    }
    nb_optim_swap(x.o);
    assert_true(fabs((double)values(&x, "fc.bias")[0] - avg) < 1e-5);
    nb_optim_swap(x.o);
    assert_true(values(&x, "fc.bias")[0] == (float)w);
    close_test(&x);
}

static void without_averages_swapping_does_nothing(void **state)
{
    optim_test x;
    open_test(state, &x, "optimizer: sgd");
    float w = values(&x, "c2.weight")[5];
    nb_optim_swap(x.o);
    assert_true(values(&x, "c2.weight")[5] == w);
    close_test(&x);
}

static void threads_do_not_change_a_bit(void **state)
{
    float got[2][216];
    for (int k = 0; k < 2; k++) {
        optim_test x;
        nb_set_threads(k ? 4 : 1);
        open_test(state, &x, "ema: 0.9, optimizer: {name: adamw, weight_decay: 0.1, clip: 0.5}");
        for (int t = 1; t <= 5; t++) {
            for (int32_t i = 0; i < nb_optim_count(x.o); i++)
                for (int64_t j = 0; j < nb_optim_slot(x.o, i)->n; j++)
                    nb_optim_slot(x.o, i)->leaf->out.grad[j] = (float)sin((double)(t * 100 + i * 10 + j));
            nb_optim_step(x.o, 0.01, t, nb_optim_grad_norm(x.o));
        }
        assert_int_equal(nb_count(&nb_graph_find(x.g, "c2.weight")->out), 216);
        memcpy(got[k], values(&x, "c2.weight"), sizeof got[k]);
        close_test(&x);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(learned_scales_have_a_rate_of_their_own_no_decay_and_stay_positive),
        TEST(an_offset_has_any_sign_a_decay_of_its_own_and_is_never_0_again),
        TEST(every_parameter_has_one_slot_and_buffers_have_none),
        TEST(weight_decay_spares_biases_and_batch_norm),
        TEST(decay_all_spares_nothing),
        TEST(the_norm_is_that_of_all_gradients_together),
        TEST(clipping_scales_a_long_gradient_and_leaves_a_short_one),
        TEST(averages_follow_with_a_growing_decay),
        TEST(without_averages_swapping_does_nothing),
        TEST(threads_do_not_change_a_bit),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
