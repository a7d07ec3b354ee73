/* test_loss_terms.c - a teacher, mixed labels and weights in the loss: against the formulas in double, against differences, in
 * training, and refused where there is nothing to compare. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/loss_terms.h"

#include "base/files.h"
#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plan_case.h"

enum { N = 5, CLASSES = 3, PIXELS = 16 };

static const char linear[] =
    "data: {name: synth, count: 16, test_count: 8, height: 4, width: 4, channels: 1, classes: 3}\n"
    "model: [input, flatten, linear: {out: 3}, softmax_xent: {smoothing: 0.1}]\n"
    "train: {batch: 5, phases: [{epochs: 1, lr: 0.1}]}\n";

static const float teacher[N * CLASSES] = {3, -1, 0.5f, -2, 2, 1, 0, 0, 0, 5, -5, 1, 0.25f, -0.5f, 4};
static const float class_weight[CLASSES] = {0.5f, 2, 1}, mixed[N] = {0, 0.25f, 1, 0.5f, 0.75f};
static const int32_t labels[N] = {0, 1, 2, 1, 0}, other[N] = {2, 0, 0, 1, 2};

static void softmax(const float *x, double t, double *p)
{
    double sum = 0;
    for (int32_t c = 0; c < CLASSES; c++)
        sum += p[c] = exp((double)x[c] / t);
    for (int32_t c = 0; c < CLASSES; c++)
        p[c] /= sum;
}

/* The loss of logits, as loss_terms.h and softmax_xent.c put it in words. */
static double reference(const float *logits, const nb_loss_terms *s)
{
    double sum = 0, weights = 0;
    for (int32_t i = 0; i < N; i++, logits += CLASSES) {
        double p[CLASSES], soft[CLASSES], q[CLASSES], hard = 0, taught = 0;
        const double m = s->other ? (double)s->mixed[i] : 0, t = s->teacher ? (double)s->temperature : 1;
        softmax(logits, 1, p);
        softmax(logits, t, soft);
        if (s->teacher)
            softmax(s->teacher + i * CLASSES, t, q);
        for (int32_t c = 0; c < CLASSES; c++) {
            const double target = 0.9 * ((c == labels[i]) * (1 - m) + (c == other[i]) * m) + 0.1 / CLASSES;
            hard -= target * log(p[c]);
            taught += s->teacher ? t * t * q[c] * log(q[c] / soft[c]) : 0;
        }
        const double share = s->teacher ? (double)s->share : 0;
        const double w = s->weight ? (1 - m) * (double)s->weight[labels[i]] + m * (double)s->weight[other[i]] : 1;
        sum += w * ((1 - share) * hard + share * taught);
        weights += w;
    }
    return sum / weights;
}

static void the_loss_is_its_formula_and_its_gradient_is_right(void **state)
{
    data_fixture *f = *state;
    const nb_loss_terms all[] = {{.teacher = teacher, .share = 0.75f, .temperature = 3},
                                 {.teacher = teacher, .share = 1, .temperature = 1},
                                 {.other = other, .mixed = mixed},
                                 {.weight = class_weight},
                                 {teacher, 0.25f, 2, other, mixed, class_weight},
                                 {0}};
    uint8_t pixels[N * PIXELS];
    train_case t;
    nb_graph *g;
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, linear), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    for (int32_t i = 0; i < N * PIXELS; i++)
        pixels[i] = (uint8_t)(37 * i + i * i);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        double worst;
        const nb_run r = {.train = true, .pixels = pixels, .labels = labels, .terms = &all[k]};
        nb_forward(g, &r);
        assert_true(fabs((double)nb_graph_loss(g) - reference(nb_graph_logits(g), &all[k])) < 1e-5);
        assert_int_equal(nb_grad_check(g, &r, 6, 1e-2, &worst), NB_OK);
        assert_true(worst < 2e-3);
    }
    nb_graph_free(g);
    train_case_close(&t);
}

static void without_anything_to_add_terms_change_no_gradient_beyond_rounding(void **state)
{
    data_fixture *f = *state;
    static const nb_loss_terms none;
    uint8_t pixels[N * PIXELS] = {9, 200, 31};
    float grad[2][PIXELS * CLASSES];
    train_case t;
    nb_graph *g;
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, linear), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    for (int32_t k = 0; k < 2; k++) {
        const nb_run r = {.train = true, .pixels = pixels, .labels = labels, .terms = k ? &none : NULL};
        nb_forward(g, &r);
        nb_backward(g, &r);
        memcpy(grad[k], nb_graph_find(g, "linear1.weight")->out.grad, sizeof grad[k]);
    }
    for (int32_t i = 0; i < PIXELS * CLASSES; i++)
        assert_true(fabsf(grad[0][i] - grad[1][i]) <= 1e-6f * (1 + fabsf(grad[0][i])));
    nb_graph_free(g);
    train_case_close(&t);
}

/* Knows the answer of a pixel's row, and is no function of anything else. */
static nb_status teach(void *ud, const uint8_t *pixels, int32_t n, int32_t whole, float *logits)
{
    assert_int_equal(whole, n);
    (void)ud;
    for (int32_t i = 0; i < n; i++)
        for (int32_t c = 0; c < 3; c++)
            logits[i * 3 + c] = (float)pixels[i * 64 + 9 * c] / 64.0f;
    return NB_OK;
}

#define TAUGHT                                                                                                         \
    "train:\n  batch: 16\n  teacher: {from: somewhere, share: 0.5, temperature: 3}\n"                                  \
    "  phases: [{name: float, epochs: 1, lr: 0.1, teacher: no}, {name: qat, epochs: 2, lr: 0.1, quant: on}]\n"

/* *text: what the run leaves; nb_free. */
static nb_status train(data_fixture *f, const char *name, const char *section, int32_t stop_after, uint64_t hash)
{
    train_case t;
    char text[4096];
    snprintf(text, sizeof text, "%s%s", train_case_head, section);
    if (!nb_is_folder(data_fixture_path(f, name)))
        data_fixture_mkdir(f, name);
    assert_int_equal(train_case_open(&t, f->ctx, data_fixture_path(f, name), text), NB_OK);
    t.teach = teach;
    t.teacher_hash = hash;
    t.stop_after = stop_after;
    nb_status st = train_case_run(&t, false);
    for (int32_t i = 0; st == NB_E_STOPPED && i < 100; i++) {
        t.teacher_hash = stop_after == 11 ? 8 : hash; /* somebody has changed the file */
        st = train_case_run(&t, true);
    }
    train_case_close(&t);
    return st;
}

static uint8_t *bytes_of(data_fixture *f, const char *name, size_t *len)
{
    uint8_t *bytes;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 24, &bytes, len), NB_OK);
    return bytes;
}

static void taught_training_repeats_and_resumes_to_the_bit(void **state)
{
    data_fixture *f = *state;
    size_t len[4];
    uint8_t *bytes[4];
    nb_set_threads(1);
    assert_int_equal(train(f, "whole", TAUGHT, 0, 7), NB_OK);
    nb_set_threads(4);
    assert_int_equal(train(f, "threads", TAUGHT, 0, 7), NB_OK);
    nb_set_threads(2);
    assert_int_equal(train(f, "stops", TAUGHT, 5, 7), NB_OK);
    assert_int_equal(train(f, "untaught",
                           "train: {batch: 16, phases: [{name: float, epochs: 1, lr: 0.1},"
                           " {name: qat, epochs: 2, lr: 0.1, quant: on}]}\n",
                           0, 0),
                     NB_OK);
    static const char *const name[] = {"whole/metrics.csv", "threads/metrics.csv", "stops/metrics.csv",
                                       "untaught/metrics.csv"};
    for (int32_t i = 0; i < 4; i++)
        bytes[i] = bytes_of(f, name[i], &len[i]);
    assert_true(len[1] == len[0] && !memcmp(bytes[0], bytes[1], len[0]));
    assert_true(len[2] == len[0] && !memcmp(bytes[0], bytes[2], len[0]));
    const char *float_end = strstr((const char *)bytes[0], "2,qat");
    const size_t before = (size_t)(float_end - (const char *)bytes[0]);
    assert_true(!memcmp(bytes[0], bytes[3], before));                         /* the float phase has no teacher */
    assert_true(len[3] != len[0] || memcmp(bytes[0], bytes[3], len[0]) != 0); /* the other one has */
    for (int32_t i = 0; i < 4; i++)
        nb_free(f->ctx, bytes[i]);
    bytes[0] = bytes_of(f, "whole/last.safetensors", &len[0]);
    bytes[1] = bytes_of(f, "stops/last.safetensors", &len[1]);
    assert_true(len[1] == len[0] && !memcmp(bytes[0], bytes[1], len[0]));
    nb_free(f->ctx, bytes[0]);
    nb_free(f->ctx, bytes[1]);
}

static void another_teacher_is_no_way_to_go_on(void **state)
{
    data_fixture *f = *state;
    assert_int_equal(train(f, "a", TAUGHT, 11, 7), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "train.teacher: somewhere is not the file it was trained with"));
}

static void a_teacher_nobody_asks_is_refused(void **state)
{
    (void)state;
    plan_refuses(
        "{teacher: {share: 0.5}, phases: [{epochs: 1, lr: 1}]}",
        "x.yaml:1: train.teacher: from: must be the path of a checkpoint, like {from: runs/float/best.safetensors}");
    plan_refuses("{teacher: a.safetensors, phases: [{epochs: 1, lr: 1, teacher: no}]}",
                 "x.yaml:1: train.teacher: every phase has `teacher: no`: leave it out");
}

static void a_loss_that_knows_no_classes_is_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    nb_train_job job = {0};
    assert_int_equal(
        train_case_open(&t, f->ctx, f->dir,
                        "data: {name: synth, count: 16, test_count: 8, height: 4, width: 4, channels: 1, classes: 3}\n"
                        "model: [input, flatten, linear: {out: 16}, mse]\n"
                        "train: {batch: 5, teacher: x, phases: [{epochs: 1, lr: 0.1}]}\n"),
        NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    job.plan = t.plan;
    job.teach = teach;
    assert_int_equal(nb_terms_check(f->ctx, &job, 0, g), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(f->ctx),
                        "test.yaml:3: train.teacher: the network's loss is mse: only softmax_xent knows classes");
    nb_graph_free(g);
    train_case_close(&t);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, linear), NB_OK);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){0}, &g), NB_OK);
    assert_int_equal(nb_terms_check(f->ctx, &(nb_train_job){.plan = t.plan}, 0, g), NB_OK); /* has none */
    nb_graph_free(g);
    train_case_close(&t);
}

/* 16 images of 3 classes; weights of the loss that a job has. */
static nb_status weights(data_fixture *f, const char *section, nb_terms **out, train_case *t)
{
    char text[1024];
    snprintf(text, sizeof text,
             "data: {name: synth, count: 16, test_count: 8, height: 4, width: 4, channels: 1, classes: 3}\n"
             "model: [input, flatten, linear: {out: 3}]\n"
             "train: {batch: 5, %s, phases: [{epochs: 1, lr: 0.1}]}\n",
             section);
    assert_int_equal(train_case_open(t, f->ctx, f->dir, text), NB_OK);
    return nb_terms_create(f->ctx, &(nb_train_job){.plan = t->plan, .data = t->train}, out);
}

/* Class 2 alone counts, and of it no image is trained on. */
static void weights_of_classes_without_images_alone_are_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_terms *terms;
    int32_t indices[16], n = 0;
    uint8_t pixels[PIXELS];
    assert_int_equal(weights(f, "class_weights: [0, 0, 1]", &terms, &t), NB_OK);
    nb_terms_free(f->ctx, terms);
    for (int32_t i = 0, label; i < 16; i++) {
        nb_data_get(t.train, i, pixels, &label);
        if (label != 2)
            indices[n++] = i;
    }
    const nb_train_job job = {.plan = t.plan, .data = t.train, .indices = indices, .n_indices = n};
    assert_int_equal(nb_terms_create(f->ctx, &job, &terms), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx),
                           "t.yaml:3: train.class_weights: no training image counts, nothing would be learned: a "
                           "weight of a class that has images must be above 0"));
    train_case_close(&t);
}

static void weights_of_classes_are_given_or_balance_them(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_terms *terms;
    const nb_loss_terms *is;
    const nb_batch none = {0};
    assert_int_equal(weights(f, "class_weights: [0.5, 2, 0]", &terms, &t), NB_OK);
    assert_int_equal(nb_terms_of(terms, 0, &none, &is), NB_OK);
    assert_true(is && is->weight[0] == 0.5f && is->weight[1] == 2 && is->weight[2] == 0 && !is->teacher && !is->other);
    nb_terms_free(f->ctx, terms);
    train_case_close(&t);
    assert_int_equal(weights(f, "class_weights: balanced", &terms, &t), NB_OK);
    assert_int_equal(nb_terms_of(terms, 0, &none, &is), NB_OK);
    int32_t count[3] = {0};
    uint8_t pixels[PIXELS];
    for (int32_t i = 0, label; i < 16; i++) {
        nb_data_get(t.train, i, pixels, &label);
        count[label]++;
    }
    for (int32_t c = 0; c < 3; c++)
        assert_true(is->weight[c] == (float)(16.0 / (3.0 * count[c])));
    nb_terms_free(f->ctx, terms);
    train_case_close(&t);
    assert_int_equal(weights(f, "ema: 0", &terms, &t), NB_OK);
    assert_int_equal(nb_terms_of(terms, 0, &none, &is), NB_OK);
    assert_null(is); /* nothing is asked for, nothing is done */
    nb_terms_free(f->ctx, terms);
    train_case_close(&t);
    static const char *const bad[][2] = {
        {"class_weights: [1, 2]", "train.class_weights: has 2 numbers, the data have 3 classes"},
        {"class_weights: [1, 2, 3, 4]", "train.class_weights: more than 3, the number of classes"},
        {"class_weights: [1, 2, -3]", "train.class_weights: -3: must be in 0..1e+06"},
        {"class_weights: [0, 0, 0]",
         "train.class_weights: no training image counts, nothing would be learned: a weight"},
        {"class_weights: even", "train.class_weights: must be balanced, or a list of 3 numbers"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weights(f, bad[i][0], &terms, &t), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(f->ctx), bad[i][1]))
            fail_msg("%s", nb_ctx_error(f->ctx));
        train_case_close(&t);
    }
}

static void all_that_is_done_to_batches_repeats_and_resumes_to_the_bit(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "metrics.csv", NULL};
    train_case_repeats(
        *state,
        "train:\n  batch: 16\n  mixup: 0.4\n  hard: 0.5\n  sampling: balanced\n  class_weights: balanced\n"
        "  phases: [{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1.5, lr: 0.1, quant: on}]\n",
        files);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_loss_is_its_formula_and_its_gradient_is_right),
        TEST(without_anything_to_add_terms_change_no_gradient_beyond_rounding),
        TEST(taught_training_repeats_and_resumes_to_the_bit),
        TEST(another_teacher_is_no_way_to_go_on),
        TEST(a_teacher_nobody_asks_is_refused),
        TEST(a_loss_that_knows_no_classes_is_refused),
        TEST(weights_of_classes_are_given_or_balance_them),
        TEST(weights_of_classes_without_images_alone_are_refused),
        TEST(all_that_is_done_to_batches_repeats_and_resumes_to_the_bit),
    };
    return cmocka_run_group_tests_name("loss_terms", tests, NULL, NULL);
}
