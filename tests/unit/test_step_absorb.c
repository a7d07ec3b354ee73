/* test_step_absorb.c - channels that lie above 0 are moved down by what their batch norm or the images say, the next layer gets it
 * back, and the float network computes the same where it must. */
#include "ref/post_run.h"

#include "post/paired.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16, N = 64, CLASSES = 3 };

#define DATA "seed: 3\ndata: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"

static void open_model(ref_street *s, const char *model)
{
    char yaml[2048];
    snprintf(yaml, sizeof yaml, DATA "%s", model);
    if (ref_street_open(s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
}

static float *leaf(const ref_street *s, const char *name)
{
    const nb_node *n = nb_graph_find(s->graph, name);
    assert_non_null(n);
    return n->out.data;
}

/* Logits of all images, by a copy. */
static void logits(const ref_street *s, float *out)
{
    nb_graph *g;
    const size_t image = 8 * 8 * 3;
    uint8_t pixels[BATCH * 8 * 8 * 3];
    int32_t label;
    assert_int_equal(ref_street_copy(s, BATCH, REF_FLOAT, &g), NB_OK);
    for (int32_t at = 0; at < N; at += BATCH) {
        for (int32_t i = 0; i < BATCH; i++)
            nb_data_get(s->train, at + i, pixels + (size_t)i * image, &label);
        nb_forward(g, &(nb_run){.pixels = pixels});
        memcpy(out + (size_t)at * CLASSES, nb_graph_logits(g), (size_t)BATCH * CLASSES * sizeof *out);
    }
    nb_graph_free(g);
}

static double farthest(const float *a, const float *b)
{
    double most = 0;
    for (int32_t i = 0; i < N * CLASSES; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static ref_heard absorb(ref_street *s, const char *steps, int32_t n)
{
    ref_heard h;
    if (ref_post_run(s, s->graph, steps, NULL, n, &h) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    return h;
}

/* Statistics of the images in the batch norms, which lift the channels well above 0. */
static void lift(ref_street *s, const char *norm, int32_t channels)
{
    char name[32];
    nb_graph *g;
    const nb_graph_spec spec = {
        .experiment = &s->exp, .info = nb_data_info(s->train), .max_batch = BATCH, .plan = NB_PLAN_INFER};
    snprintf(name, sizeof name, "%s.beta", norm);
    for (int32_t c = 0; c < channels; c++)
        leaf(s, name)[c] = (float)(6 + c % 3);
    snprintf(name, sizeof name, "%s.gamma", norm);
    for (int32_t c = 0; c < channels; c++)
        leaf(s, name)[c] = c % 2 ? -1.0f : 0.75f;
    assert_int_equal(nb_graph_open(s->ctx, &spec, &(nb_params_source){.graph = s->graph, .mode = NB_PARAMS_EXACT}, &g),
                     NB_OK);
    assert_int_equal(nb_reestimate_bn(g, s->train, NULL, N, NULL), NB_OK);
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & NB_NODE_LEAF)
            memcpy(leaf(s, g->node[i]->name), g->node[i]->out.data, (size_t)nb_count(&g->node[i]->out) * sizeof(float));
    nb_graph_free(g);
}

/* With 5 sigmas no value of these images is cut, so that nothing at all may change; the sink has a bias, a batch norm, groups, or
 * stands behind pools and a flatten. */
static void where_nothing_is_cut_the_network_computes_the_same(void **state)
{
    (void)state;
    static const char *const models[] = {
        "{conv2d: {name: b, out: 4}}, {linear: {name: fc, out: 3}}]\n",
        "{conv2d: {name: b, out: 4, bias: no}}, {batchnorm: {name: nb}}, {linear: {name: fc, out: 3}}]\n",
        "{conv2d: {name: b, out: 6, groups: 3}}, {linear: {name: fc, out: 3}}]\n",
        "{dwconv2d: {name: b, multiplier: 2}}, {linear: {name: fc, out: 3}}]\n",
        "{maxpool: {kernel: 2}}, dropout, {linear: {name: b, out: 3}}]\n",
        "{avgpool: {kernel: 2}}, flatten, {linear: {name: b, out: 3}}]\n",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char text[512];
        ref_street s;
        float before[N * CLASSES], after[N * CLASSES];
        snprintf(text, sizeof text,
                 "model: [input, {conv2d: {name: a, out: 6, pad: 1}}, {batchnorm: {name: na}}, relu, %s", models[i]);
        open_model(&s, text);
        lift(&s, "na", 6);
        logits(&s, before);
        const ref_heard h = absorb(&s, "[absorb: {sigmas: 5}]", 0);
        assert_non_null(strstr(h.summary, "6 channels before a relu, read by 1 layer"));
        assert_non_null(strstr(h.rows, "b: 6 of 6 channels of na\n"));
        for (int32_t c = 0; c < 6; c++) /* beta - 5 |gamma| went */
            assert_float_equal(leaf(&s, "na.beta")[c], 5 * (c % 2 ? 1 : 0.75), 1e-6);
        logits(&s, after);
        assert_true(farthest(before, after) < 1e-5 * 8);
        ref_street_close(&s);
    }
}

static void what_the_sink_gets_is_its_weights_times_the_cut(void **state)
{
    (void)state;
    ref_street s;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 2}}, {batchnorm: {name: na}}, relu,\n"
                   "  {conv2d: {name: b, out: 1, kernel: 2}}, {linear: {name: fc, out: 3}}]\n");
    static const float beta[2] = {4, 1}, gamma[2] = {-0.5f, 1}, w[8] = {1, 10, 2, 20, 3, 30, 4, 40};
    memcpy(leaf(&s, "na.beta"), beta, sizeof beta);
    memcpy(leaf(&s, "na.gamma"), gamma, sizeof gamma);
    memcpy(leaf(&s, "b.weight"), w, sizeof w);
    leaf(&s, "b.bias")[0] = 0.5f;
    absorb(&s, "[absorb]", 0);
    assert_float_equal(leaf(&s, "na.beta")[0], 1.5, 1e-6); /* 4 - 3 * 0.5 = 2.5 went */
    assert_float_equal(leaf(&s, "na.beta")[1], 1, 0);      /* 1 - 3 < 0: nothing did */
    assert_float_equal(leaf(&s, "b.bias")[0], 0.5 + 2.5 * (1 + 2 + 3 + 4), 1e-5);
    ref_street_close(&s);
}

/* batchnorm: fold leaves no batch norm to say it: mean and deviation are measured. */
static void without_a_batch_norm_the_images_say_it(void **state)
{
    (void)state;
    ref_street s;
    float before[N * CLASSES], after[N * CLASSES];
    open_model(&s, "model: [input, {conv2d: {name: a, out: 4}}, relu, {conv2d: {name: b, out: 4}}, {linear: {name: fc, "
                   "out: 3}}]\n");
    for (int32_t c = 0; c < 4; c++)
        leaf(&s, "a.bias")[c] = 20.0f;
    nb_graph *g;
    assert_int_equal(nb_pair_open_twin(s.graph, &s.exp, false, &g), NB_OK);
    nb_pair_moments m = {0};
    const char *name = "a";
    assert_int_equal(nb_pair_measure(&(nb_pair){.floats = g, .data = s.train, .n = N}, &name, 1, &m), NB_OK);
    logits(&s, before);
    ref_heard h = absorb(&s, "[absorb]", 0);
    assert_string_equal(h.summary, "there is nothing to absorb");
    assert_non_null(strstr(h.rows, "b: no batch norm says what it reads, and there are no images\n"));
    h = absorb(&s, "[absorb: {sigmas: 4}]", N);
    for (int32_t c = 0; c < 4; c++)
        assert_float_equal((double)leaf(&s, "a.bias")[c], 20 - (m.floats_mean[c] - 4 * sqrt(m.floats_var[c])), 1e-4);
    logits(&s, after);
    assert_true(farthest(before, after) < 1e-3); /* of sums around 100 */
    nb_free(s.ctx, m.floats_mean);
    nb_graph_free(g);
    ref_street_close(&s);
}

static void what_it_does_not_do_it_says(void **state)
{
    (void)state;
    ref_street s;
    open_model(
        &s,
        "model: [input, {conv2d: {name: a, out: 4}}, {batchnorm: {name: na}}, {relu: {name: ra}},\n"
        "  {conv2d: {name: pads, out: 4, pad: 1}}, {batchnorm: {name: nb}}, {relu: {name: r6, cap: 6}},\n"
        "  {conv2d: {name: capped, out: 4}}, {conv2d: {name: linear, out: 4}}, {batchnorm: {name: nc}}, "
        "{relu: {name: rc}},\n"
        "  {maxpool: {name: mp, kernel: 3, stride: 1, pad: 1}}, {conv2d: {name: pool, out: 4, kernel: 1}}, "
        "{relu: {name: rd}},\n"
        "  {conv2d: {name: c1, out: 4, kernel: 1}}, {add: {in: [c1, rd]}}, {conv2d: {name: c2, out: 4, kernel: 1}}, "
        "relu, {shuffle: {name: mix}}, {linear: {name: fc, out: 3}}]\n");
    for (int32_t c = 0; c < 4; c++)
        leaf(&s, "na.beta")[c] = leaf(&s, "nb.beta")[c] = leaf(&s, "nc.beta")[c] = 9;
    ref_heard h = absorb(&s, "[absorb]", 0);
    assert_string_equal(
        h.rows, "pads: pads with zeros, which nothing would shift; `padded: yes` does it all the same\n"
                "capped: not across r6, whose cap is one for all channels; a relu without `cap` could be crossed\n"
                "linear: no relu stands before it\n"
                "pool: a pool before it pads\n"
                "c1: not across rd, which several layers read\n"
                "c2: not across add1, which joins values\n"
                "fc: not across mix, which moves channels, or pads with zeros\n");
    assert_false(h.last.changed);
    h = absorb(&s, "[absorb: {padded: yes}]", 0);
    assert_non_null(strstr(h.rows, "pads: 4 of 4 channels of na\n"));
    assert_true(h.last.changed);
    ref_street_close(&s);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    ref_street s;
    ref_heard h;
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 2, kernel: 7}}, relu, {linear: {name: b, out: 3}}]\n");
    for (; st != NB_OK; n++) {
        nb_ctx_fail_alloc_at(s.ctx, n + 1);
        st = ref_post_run(&s, s.graph, "[absorb]", NULL, 2, &h);
        assert_true(st == NB_OK || (st == NB_E_NOMEM && nb_ctx_error(s.ctx)[0]));
    }
    assert_true(n > 10);
    nb_ctx_fail_alloc_at(s.ctx, 0);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nothing_is_cut_the_network_computes_the_same),
        cmocka_unit_test(what_the_sink_gets_is_its_weights_times_the_cut),
        cmocka_unit_test(without_a_batch_norm_the_images_say_it),
        cmocka_unit_test(what_it_does_not_do_it_says),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("step_absorb", tests, NULL, NULL);
}
