/* test_calibrate.c - ranges from a sample of images: what observers see, and that nothing else moves. */
#include "ref/data_fixture.h"
#include "ref/street.h"
#include "ref/train_case.h"

#include <nibble/extend/quant.h>
#include <nibble/lower.h>

#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A quantized graph with the initial weights, batches of 5 at most. */
static void open_case(void **state, train_case *t, const char *range, nb_graph **g)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text,
             "%squant: {activations: {range: %s}}\ntrain: {batch: 5, phases: [{epochs: 1, lr: 0.1, quant: on}]}\n",
             train_case_head, range);
    assert_int_equal(train_case_open(t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(t, true, &(nb_params_source){0}, g), NB_OK);
}

static const float *values(const nb_graph *g, const char *leaf)
{
    const nb_node *n = nb_graph_find(g, leaf);
    assert_non_null(n);
    return n->out.data;
}

static float brightest(const nb_data *data, const int32_t *indices, int32_t n)
{
    const nb_dsinfo *d = nb_data_info(data);
    uint8_t px[64];
    int32_t label, max = 0;
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(data, indices[i], px, &label);
        for (int32_t k = 0; k < 64; k++)
            max = px[k] > max ? px[k] : max;
    }
    return ((float)max / 255 - d->mean[0]) / d->std[0];
}

static void the_inputs_range_is_that_of_the_images_asked_for(void **state)
{
    const int32_t indices[] = {90, 3, 17, 40, 41, 42, 8};
    train_case t;
    nb_graph *g;
    open_case(state, &t, "ema", &g);
    assert_int_equal(nb_calibrate(g, t.train, indices, 7), NB_OK);
    const float *s = values(g, "input1.fq.state"); /* minmax: low, high, seen */
    assert_float_equal(s[1], brightest(t.train, indices, 7), 1e-6);
    nb_graph_free(g);
    train_case_close(&t);
}

/* Batches of 4 and 4, not 5 and 3. With few batches an average of momentum 0.05 would be the first one's range. */
static void averages_count_every_batch_the_same(void **state)
{
    const int32_t indices[] = {0, 1, 2, 3, 50, 51, 52, 53};
    float high[3];
    train_case t;
    nb_graph *g;
    for (int32_t i = 0; i < 3; i++) {
        open_case(state, &t, "ema", &g);
        assert_int_equal(nb_calibrate(g, t.train, i == 1 ? indices + 4 : indices, i == 2 ? 8 : 4), NB_OK);
        high[i] = values(g, "relu1.fq.state")[1];
        nb_graph_free(g);
        train_case_close(&t);
    }
    assert_true(fabsf(high[0] - high[1]) > 1e-3f);
    /* the second batch's share is 0.05 / (1 - 0.95^2); codes of the layers before it differ a little */
    assert_float_equal(high[2], high[0] + 0.05f / (1 - 0.95f * 0.95f) * (high[1] - high[0]),
                       0.05f * fabsf(high[0] - high[1]));
}

static void weights_and_statistics_stay_and_the_network_can_be_lowered(void **state)
{
    train_case t;
    nb_graph *g, *fresh;
    nb_intmodel *m = NULL;
    open_case(state, &t, "mse", &g);
    assert_int_not_equal(nb_lower(g, "", &m), NB_OK); /* no ranges yet */
    assert_int_equal(nb_calibrate(g, t.train, NULL, 12), NB_OK);
    assert_int_equal(nb_lower(g, "", &m), NB_OK);
    nb_intmodel_free(t.ctx, m);
    assert_int_equal(train_case_graph(&t, true, &(nb_params_source){0}, &fresh), NB_OK);
    static const char *const leaf[] = {"c1.weight", "bn1.mean", "bn1.var", "fc.weight"};
    for (int32_t i = 0; i < 4; i++)
        assert_memory_equal(values(g, leaf[i]), values(fresh, leaf[i]),
                            (size_t)nb_count(&nb_graph_find(g, leaf[i])->out) * sizeof(float));
    assert_int_equal(g->batch, g->max_batch); /* as it was */
    nb_graph_free(fresh);
    nb_graph_free(g);
    train_case_close(&t);
}

static void the_ranges_are_the_same_for_any_number_of_threads(void **state)
{
    float first[4];
    for (int32_t threads = 1; threads <= 4; threads *= 2) {
        train_case t;
        nb_graph *g;
        nb_set_threads(threads);
        open_case(state, &t, "mse", &g);
        assert_int_equal(nb_calibrate(g, t.train, NULL, 33), NB_OK);
        const float *s = values(g, "relu2.fq.state");
        if (threads == 1)
            memcpy(first, s, sizeof first);
        assert_memory_equal(s, first, sizeof first);
        nb_graph_free(g);
        train_case_close(&t);
    }
    nb_set_threads(2);
}

static void weights_that_overflow_are_reported(void **state)
{
    train_case t;
    nb_graph *g;
    open_case(state, &t, "ema", &g);
    nb_node *w = nb_graph_find(g, "fc.bias");
    ((float *)w->out.data)[0] = INFINITY;
    assert_int_equal(nb_calibrate(g, t.train, NULL, 5), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(t.ctx), "is not a number"));
    nb_graph_free(g);
    train_case_close(&t);
}

static void images_of_another_size_are_refused(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g;
    nb_data *other;
    open_case(state, &t, "ema", &g);
    assert_int_equal(
        data_fixture_open(f, "{name: synth, height: 9, width: 8, channels: 1, classes: 3}", "train", &other), NB_OK);
    assert_int_equal(nb_calibrate(g, other, NULL, 4), NB_E_SHAPE);
    nb_data_close(f->ctx, other);
    nb_graph_free(g);
    train_case_close(&t);
}

/* A convolution hands its images over to the chain behind it, which keeps sums of them from then on. Without a backward pass
 * little else is kept, so what is planned too short is overwritten. */
static void a_plan_without_gradients_finds_the_same_ranges(void **state)
{
    static const char yaml[] =
        "data: {name: synth, count: 64, test_count: 2, height: 16, width: 16, channels: 1, classes: 4}\n"
        "quant: {weights: {bits: 8}, activations: {bits: 8}}\n"
        "model: [input, conv2d: {out: 8, kernel: 3, pad: 1, bias: no}, batchnorm, relu, resblock: {out: 8},\n"
        "  resblock: {out: 16, stride: 2}, resblock: {out: 32, stride: 2}, avgpool: {global: yes}, linear: {out: 4}]\n";
    (void)state;
    ref_street s[2];
    for (int32_t mode = 0; mode < 2; mode++) {
        assert_int_equal(ref_street_open(&s[mode], yaml, 16, REF_QUANTIZED), NB_OK);
        assert_int_equal(nb_graph_freeze(s[mode].graph, mode ? NB_PLAN_TRAIN : NB_PLAN_INFER), NB_OK);
        assert_int_equal(nb_calibrate(s[mode].graph, s[mode].train, NULL, 64), NB_OK);
    }
    assert_true(s[0].graph->planned_bytes < s[1].graph->planned_bytes / 2);
    for (int32_t i = 0; i < s[0].graph->n; i++) {
        const nb_node *a = s[0].graph->node[i], *b = s[1].graph->node[i];
        if (a->flags & NB_NODE_LEAF)
            assert_memory_equal(a->out.data, b->out.data, (size_t)nb_count(&a->out) * sizeof(float));
    }
    ref_street_close(&s[0]);
    ref_street_close(&s[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(the_inputs_range_is_that_of_the_images_asked_for),
        TEST(averages_count_every_batch_the_same),
        TEST(weights_and_statistics_stay_and_the_network_can_be_lowered),
        TEST(the_ranges_are_the_same_for_any_number_of_threads),
        TEST(weights_that_overflow_are_reported),
        TEST(images_of_another_size_are_refused),
        cmocka_unit_test(a_plan_without_gradients_finds_the_same_ranges),
    };
    return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
