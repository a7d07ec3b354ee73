/* test_hard.c - the hardest part of a batch is that of the largest losses, and a step on it is a step on a batch of its size. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/hard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 8, BYTES = 64, CLASSES = 3 };

typedef struct {
    train_case t;
    nb_graph *g;
    nb_hard *h;
    uint8_t pixels[BATCH * BYTES];
    int32_t labels[BATCH];
    nb_batch b;
    nb_hard_seen seen;
} hard_test;

static void open_test(void **state, hard_test *x, const char *keys)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%strain: {batch: 8, %s, phases: [{epochs: 1, lr: 0.1}]}\n", train_case_head, keys);
    assert_int_equal(train_case_open(&x->t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x->t, false, &(nb_params_source){0}, &x->g), NB_OK);
    assert_int_equal(nb_hard_create(f->ctx, &(nb_train_job){.plan = x->t.plan, .data = x->t.train}, &x->h), NB_OK);
    for (int32_t i = 0; i < BATCH; i++)
        nb_data_get(x->t.train, i, x->pixels + i * BYTES, &x->labels[i]);
    x->b = (nb_batch){.pixels = x->pixels, .labels = x->labels, .n = BATCH};
}

static void close_test(hard_test *x)
{
    nb_hard_free(x->t.ctx, x->h);
    nb_graph_free(x->g);
    train_case_close(&x->t);
}

/* Of one image in evaluation, from the logits. */
static double loss_of(hard_test *x, int32_t i)
{
    double sum = 0;
    nb_graph_set_batch(x->g, BATCH);
    nb_forward(x->g, &(nb_run){.pixels = x->pixels});
    const float *z = nb_graph_logits(x->g) + i * CLASSES;
    for (int32_t c = 0; c < CLASSES; c++)
        sum += exp((double)z[c]);
    return log(sum) - (double)z[x->labels[i]];
}

static void the_largest_losses_are_picked_in_order(void **state)
{
    hard_test x;
    double loss[BATCH];
    open_test(state, &x, "hard: 0.4");
    for (int32_t i = 0; i < BATCH; i++)
        loss[i] = loss_of(&x, i);
    const nb_batch *part = nb_hard_pick(x.h, x.g, &x.b, true, &x.seen);
    assert_int_equal(part->n, 3); /* 0.4 * 8, rounded */
    int32_t at = 0;
    for (int32_t i = 0; i < BATCH; i++) {
        int32_t harder = 0;
        for (int32_t k = 0; k < BATCH; k++)
            harder += loss[k] > loss[i];
        if (harder >= 3)
            continue;
        assert_memory_equal(part->pixels + at * BYTES, x.pixels + i * BYTES, BYTES);
        assert_int_equal(part->labels[at], x.labels[i]);
        at++;
    }
    assert_int_equal(at, 3);
    part = nb_hard_pick(x.h, x.g, &x.b, false, &x.seen); /* who has seen nothing yet cannot tell */
    assert_int_equal(part->n, 3);
    assert_memory_equal(part->pixels, x.pixels, 3 * BYTES);
    close_test(&x);
}

/* As loss_of has it, and whose largest logit is the label's. */
static void what_is_seen_is_the_whole_batch(void **state)
{
    hard_test x;
    double loss = 0;
    int32_t right = 0;
    open_test(state, &x, "hard: 0.4");
    for (int32_t i = 0; i < BATCH; i++) {
        loss += loss_of(&x, i) / BATCH;
        const float *z = nb_graph_logits(x.g) + i * CLASSES;
        int32_t best = 0;
        for (int32_t c = 1; c < CLASSES; c++)
            best = z[c] > z[best] ? c : best;
        right += best == x.labels[i];
    }
    nb_hard_pick(x.h, x.g, &x.b, true, &x.seen);
    assert_int_equal(x.seen.images, BATCH);
    assert_int_equal(x.seen.correct, right);
    assert_true(fabs(x.seen.loss - loss) < 1e-6);
    nb_hard_pick(x.h, x.g, &x.b, false, &x.seen);
    assert_int_equal(x.seen.images, 0);
    ((float *)nb_graph_find(x.g, "fc.bias")->out.data)[0] = NAN;
    nb_hard_pick(x.h, x.g, &x.b, true, &x.seen);
    assert_int_equal(x.seen.images, 0);
    close_test(&x);
}

static void of_equal_losses_the_first_is_picked(void **state)
{
    hard_test x;
    open_test(state, &x, "hard: 0.5");
    for (int32_t i = 1; i < BATCH; i++) {
        memcpy(x.pixels + i * BYTES, x.pixels, BYTES);
        x.labels[i] = x.labels[0];
    }
    int32_t other[BATCH];
    float mixed[BATCH];
    for (int32_t i = 0; i < BATCH; i++) {
        other[i] = i;
        mixed[i] = (float)i / 16;
    }
    x.b.other = other;
    x.b.mixed = mixed;
    const nb_batch *part = nb_hard_pick(x.h, x.g, &x.b, true, &x.seen);
    for (int32_t i = 0; i < 4; i++)
        assert_true(part->other[i] == i && part->mixed[i] == (float)i / 16);
    close_test(&x);
}

static void a_step_on_the_part_is_one_on_a_batch_of_its_size(void **state)
{
    hard_test x;
    data_fixture *f = *state;
    char text[2048];
    train_case t;
    nb_graph *small;
    open_test(state, &x, "hard: 0.5");
    const nb_batch *part = nb_hard_pick(x.h, x.g, &x.b, true, &x.seen);
    const nb_run r = {.train = true, .pixels = part->pixels, .labels = part->labels};
    nb_forward(x.g, &r);
    nb_backward(x.g, &r);
    snprintf(text, sizeof text, "%strain: {batch: 4, phases: [{epochs: 1, lr: 0.1}]}\n", train_case_head);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &small), NB_OK);
    nb_forward(small, &r);
    nb_backward(small, &r);
    assert_true(nb_graph_loss(small) == nb_graph_loss(x.g));
    for (int32_t i = 0; i < small->n; i++)
        if (small->node[i]->flags & NB_NODE_PARAM)
            assert_memory_equal(small->node[i]->out.grad, nb_graph_find(x.g, small->node[i]->name)->out.grad,
                                (size_t)nb_count(&small->node[i]->out) * sizeof(float));
    nb_graph_free(small);
    train_case_close(&t);
    close_test(&x);
}

/* Nothing moves, so that steps see what an evaluation sees; the very first step, where nobody picks, is of another epoch. */
static void a_run_shows_what_it_would_without(void **state)
{
    data_fixture *f = *state;
    static const char *const hard[] = {"1", "0.25"};
    double loss[2], accuracy[2];
    for (int32_t i = 0; i < 2; i++) {
        train_case t;
        char text[2048];
        snprintf(text, sizeof text, "%strain: {batch: 16, hard: %s, phases: [{epochs: 2, lr: 0, freeze_bn_at: 0}]}\n",
                 train_case_head, hard[i]);
        data_fixture_mkdir(f, hard[i]);
        assert_int_equal(train_case_open(&t, f->ctx, data_fixture_path(f, hard[i]), text), NB_OK);
        assert_int_equal(train_case_run(&t, false), NB_OK);
        loss[i] = t.result.phase[0].loss;
        accuracy[i] = t.result.phase[0].train_accuracy;
        train_case_close(&t);
    }
    assert_true(fabs(loss[1] - loss[0]) < 1e-5);
    assert_true(accuracy[1] == accuracy[0]);
}

static void whole_batches_need_nobody_to_pick(void **state)
{
    hard_test x;
    open_test(state, &x, "hard: 1");
    assert_null(x.h);
    close_test(&x);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_largest_losses_are_picked_in_order), TEST(what_is_seen_is_the_whole_batch),
        TEST(of_equal_losses_the_first_is_picked),    TEST(a_step_on_the_part_is_one_on_a_batch_of_its_size),
        TEST(a_run_shows_what_it_would_without),      TEST(whole_batches_need_nobody_to_pick),
    };
    return cmocka_run_group_tests_name("hard", tests, NULL, NULL);
}
