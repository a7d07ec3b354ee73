/* test_step_bias_correct.c - bias correction: the mean of every channel is the float network's, on other images, too; from batch
 * norms alone where values are normal. */
#include "ref/post_run.h"

#include "base/parallel.h"
#include "post/paired.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 32, N = 1024, LAYERS = 4, WIDE = 8 };

#define NET                                                                                                            \
    "data: {name: synth, count: 1024, test_count: 2048, height: 8, width: 8, channels: 3, classes: 4}\n"               \
    "model: [input, {conv2d: {name: c1, out: 8, pad: 1, bias: no}}, {batchnorm: {name: n1}}, relu,\n"                  \
    "  {dwconv2d: {name: dw, pad: 1}}, {relu: {cap: 6}}, {conv2d: {name: c2, out: 8, bias: no}}, {batchnorm: {name: "  \
    "n2}},\n"                                                                                                          \
    "  relu, {avgpool: {kernel: 2}}, {linear: {name: fc, out: 4}}]\n"                                                  \
    "quant: {weights: {bits: 4, granularity: tensor}, activations: {bits: 8}, first_last_bits: 0, batchnorm: %s}\n"

static const char *const layers[LAYERS] = {"c1", "dw", "c2", "fc"};

static void open_case(ref_street *s, const char *batchnorm, int32_t steps)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, NET, batchnorm);
    if (ref_street_open(s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    ref_street_steps(s, steps, 0.05f, false);
}

/* Mean and variance of channel c of what layer i gives, behind its batch norm. */
static void end_of(const nb_graph *g, int32_t i, int32_t c, const double *mean, const double *var, double *m, double *d)
{
    static const char *const norms[LAYERS] = {"n1", NULL, "n2", NULL};
    const nb_node *norm = norms[i] ? nb_graph_find(g, norms[i]) : NULL;
    double mul[WIDE], add[WIDE];
    *m = mean[c];
    *d = sqrt(var[c]);
    if (!norm)
        return;
    norm->op->affine(norm, mul, add);
    *m = mul[c] * mean[c] + add[c];
    *d = fabs(mul[c]) * sqrt(var[c]);
}

/* The largest |error of a channel's mean| in its deviations, over images of data. */
static double worst_error(nb_graph *g, nb_graph *floats, const nb_data *data, int32_t n)
{
    nb_pair_moments m[LAYERS] = {{0}};
    double worst = 0;
    const nb_pair p = {.quantized = g, .floats = floats, .data = data, .n = n};
    assert_int_equal(nb_pair_measure(&p, layers, LAYERS, m), NB_OK);
    for (int32_t i = 0; i < LAYERS; i++) {
        for (int32_t c = 0; c < m[i].channels; c++) {
            double want, deviation, have, unused;
            end_of(floats, i, c, m[i].floats_mean, m[i].floats_var, &want, &deviation);
            end_of(g, i, c, m[i].quantized_mean, m[i].quantized_var, &have, &unused);
            if (deviation > 1e-4)
                worst = fmax(worst, fabs(have - want) / deviation);
        }
        nb_free(g->ctx, m[i].floats_mean);
    }
    return worst;
}

/* Issue 12: below 2 % of the output's deviation on images that were not used. */
static void the_mean_of_every_channel_is_the_float_networks_on_other_images_too(void **state)
{
    (void)state;
    static const char *const modes[] = {"keep", "fold", "fold_corrected"};
    for (int32_t m = 0; m < 3; m++) {
        ref_street s;
        nb_graph *g, *floats;
        ref_heard h;
        const int32_t n = m ? 64 : N;
        open_case(&s, modes[m], m ? 10 : 60);
        assert_int_equal(ref_quantized(&s, BATCH, n, &g), NB_OK);
        assert_int_equal(nb_pair_open_twin(g, &s.exp, false, &floats), NB_OK);
        const double before = m ? 1 : worst_error(g, floats, s.test, 2048);
        if (ref_post_run(&s, g, "[bias_correct]", NULL, n, &h) != NB_OK)
            fail_msg("%s", nb_ctx_error(s.ctx));
        assert_non_null(strstr(h.summary, "empirical, 4 of 4 layers"));
        assert_true(h.before > 0.05 && h.after < 5e-3); /* what biases of whole units leave */
        if (m == 0) {
            const double after = worst_error(g, floats, s.test, 2048);
            print_message("worst mean error of a channel, other images: %.3f sigma before, %.4f after\n", before,
                          after);
            assert_true(before > 0.05);
            assert_true(after < 0.02);
        }
        nb_graph_free(floats);
        nb_graph_free(g);
        ref_street_close(&s);
    }
}

static void only_biases_and_betas_change_and_they_by_the_difference_of_means(void **state)
{
    (void)state;
    ref_street s;
    nb_graph *g, *was, *floats;
    ref_heard h;
    nb_pair_moments m[LAYERS] = {{0}};
    open_case(&s, "keep", 10);
    assert_int_equal(ref_quantized(&s, BATCH, 64, &g), NB_OK);
    assert_int_equal(ref_quantized(&s, BATCH, 64, &was), NB_OK);
    assert_int_equal(nb_pair_open_twin(g, &s.exp, false, &floats), NB_OK);
    const nb_pair p = {.quantized = was, .floats = floats, .data = s.train, .n = 64};
    assert_int_equal(nb_pair_measure(&p, layers, LAYERS, m), NB_OK);
    assert_int_equal(ref_post_run(&s, g, "[bias_correct: {mode: empirical}]", NULL, 64, &h), NB_OK);
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        const bool moves = strstr(n->name, ".beta") || strstr(n->name, ".bias");
        if (!(n->flags & NB_NODE_LEAF))
            continue;
        const int same = memcmp(n->out.data, nb_graph_find(was, n->name)->out.data, (size_t)nb_count(&n->out) * 4) == 0;
        assert_int_equal(same, !moves);
    }
    /* of the first layer the means are those of the network before any correction */
    const float *beta = nb_graph_find(g, "n1.beta")->out.data, *old = nb_graph_find(was, "n1.beta")->out.data;
    double mul[WIDE], add[WIDE];
    const nb_node *norm = nb_graph_find(was, "n1");
    norm->op->affine(norm, mul, add);
    for (int32_t c = 0; c < WIDE; c++)
        assert_true(fabs((double)beta[c] - (double)old[c] - mul[c] * (m[0].floats_mean[c] - m[0].quantized_mean[c])) <
                    1e-6);
    for (int32_t i = 0; i < LAYERS; i++)
        nb_free(s.ctx, m[i].floats_mean);
    nb_graph_free(floats);
    nb_graph_free(was);
    nb_graph_free(g);
    ref_street_close(&s);
}

static void the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    const int32_t threads = nb_threads();
    float first[4];
    for (int32_t t = 1; t <= 4; t *= 2) {
        ref_street s;
        nb_graph *g;
        ref_heard h;
        nb_set_threads(t);
        open_case(&s, "keep", 10);
        assert_int_equal(ref_quantized(&s, BATCH, 100, &g), NB_OK);
        assert_int_equal(ref_post_run(&s, g, "[bias_correct]", NULL, 100, &h), NB_OK);
        if (t == 1)
            memcpy(first, nb_graph_find(g, "fc.bias")->out.data, sizeof first);
        assert_memory_equal(nb_graph_find(g, "fc.bias")->out.data, first, sizeof first);
        nb_graph_free(g);
        ref_street_close(&s);
    }
    nb_set_threads(threads);
}

/* ---- analytic ---- */

#define NORMAL                                                                                                         \
    "data: {name: synth, count: 2048, height: 8, width: 8, channels: 3, classes: 4}\n"                                 \
    "model: [input, {conv2d: {name: c1, out: 8, kernel: 8}}, {batchnorm: {name: n1}}, {relu: {name: r1%s}},\n"         \
    "  {conv2d: {name: c2, out: 8, kernel: 1}}, {linear: {name: fc, out: 4}}]\n"                                       \
    "quant: {weights: {bits: 3, granularity: %s}, activations: off, layers: {c1: {weights: off}}}\n"

/* c1 sums 192 pixels with random signs, which makes them nearly normal; its batch norm's statistics are those of the images. What
 * the first layer gives is not rounded, so that c2 reads the same in both networks. */
static void analytic_is_empirical_on_normal_values(void **state)
{
    (void)state;
    static const char *const variants[][2] = {{"", "tensor"}, {", cap: 1.5", "tensor"}, {"", "channel"}};
    for (int32_t v = 0; v < 3; v++) {
        char yaml[1024];
        ref_street s;
        nb_graph *a, *e;
        ref_heard h;
        snprintf(yaml, sizeof yaml, NORMAL, variants[v][0], variants[v][1]);
        if (ref_street_open(&s, yaml, BATCH, REF_FLOAT) != NB_OK)
            fail_msg("%s", nb_ctx_error(s.ctx));
        float *gamma = nb_graph_find(s.graph, "n1.gamma")->out.data,
              *beta = nb_graph_find(s.graph, "n1.beta")->out.data;
        for (int32_t c = 0; c < WIDE; c++) {
            gamma[c] = 0.5f + 0.25f * (float)c;
            beta[c] = -1.0f + 0.4f * (float)c;
        }
        assert_int_equal(ref_quantized(&s, BATCH, 2048, &a), NB_OK);
        assert_int_equal(nb_reestimate_bn(a, s.train, NULL, 2048, NULL), NB_OK);
        const nb_graph_spec spec = {.experiment = &s.exp,
                                    .info = nb_data_info(s.train),
                                    .max_batch = BATCH,
                                    .quant = true,
                                    .plan = NB_PLAN_TRAIN};
        assert_int_equal(nb_graph_open(s.ctx, &spec, &(nb_params_source){.graph = a, .mode = NB_PARAMS_EXACT}, &e),
                         NB_OK);
        const float *old = nb_graph_find(s.graph, "c2.bias")->out.data;
        assert_int_equal(ref_post_run(&s, a, "[bias_correct: {mode: analytic}]", NULL, 0, &h), NB_OK);
        assert_non_null(strstr(h.summary, "analytic, 1 of 3 layers"));
        assert_non_null(strstr(h.rows, "c1: no batch norm says what it reads\n"));
        assert_int_equal(ref_post_run(&s, e, "[bias_correct: {mode: empirical}]", NULL, 2048, &h), NB_OK);
        const float *by_norm = nb_graph_find(a, "c2.bias")->out.data, *by_image = nb_graph_find(e, "c2.bias")->out.data;
        const float *w = nb_graph_find(s.graph, "c2.weight")->out.data;
        double most = 0;
        for (int32_t c = 0; c < WIDE; c++) {
            /* the error of one image's y is the sum of rounding errors, at most half a step each, times normal values */
            double step = 0, sigma = 0;
            for (int32_t k = 0; k < WIDE * WIDE; k++)
                step = fmax(step, (variants[v][1][0] == 't' || k / WIDE == c) ? fabs((double)w[k]) / 3 : 0);
            for (int32_t k = 0; k < WIDE; k++)
                sigma += pow(step / 2 * (double)gamma[k], 2);
            const double sampling = sqrt(sigma / 2048);
            assert_true(fabs((double)by_norm[c] - (double)by_image[c]) < 4 * sampling);
            most = fmax(most, fabs((double)by_image[c] - (double)old[c]) / sampling);
        }
        assert_true(most > 12); /* there was something to correct */
        nb_graph_free(e);
        nb_graph_free(a);
        ref_street_close(&s);
    }
}

/* ---- going on after a kill ---- */

static void what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits(void **state)
{
    (void)state;
    ref_street s;
    nb_graph *whole, *other;
    ref_heard want, h;
    open_case(&s, "keep", 10);
    assert_int_equal(ref_quantized(&s, BATCH, 64, &whole), NB_OK);
    assert_int_equal(ref_post_run(&s, whole, "[bias_correct]", NULL, 64, &want), NB_OK);
    for (int32_t stop = 0; stop <= LAYERS; stop++) {
        static ref_parts p;
        p = (ref_parts){.stop = stop};
        const nb_post_store store = ref_parts_store(&p);
        nb_graph *g;
        assert_int_equal(ref_quantized(&s, BATCH, 64, &g), NB_OK);
        assert_int_equal(ref_post_run_kept(&s, g, "[bias_correct]", NULL, 64, &store, &h),
                         stop < LAYERS ? NB_E_NOMEM : NB_OK);
        nb_graph_free(g);
        assert_int_equal(ref_quantized(&s, BATCH, 64, &g), NB_OK);
        p.stop = REF_PARTS;
        assert_int_equal(ref_post_run_kept(&s, g, "[bias_correct]", NULL, 64, &store, &h), NB_OK);
        assert_true(p.found == stop && p.count == LAYERS);
        for (int32_t i = 0; i < g->n; i++)
            if (g->node[i]->flags & NB_NODE_LEAF)
                assert_memory_equal(g->node[i]->out.data, nb_graph_find(whole, g->node[i]->name)->out.data,
                                    (size_t)nb_count(&g->node[i]->out) * sizeof(float));
        assert_string_equal(h.rows, want.rows);
        if (stop < LAYERS) {
            nb_graph_free(g);
            continue;
        }
        /* another network finds nothing there */
        assert_int_equal(ref_quantized(&s, BATCH, 64, &other), NB_OK);
        ((float *)nb_graph_find(other, "c1.weight")->out.data)[0] += 0.5f;
        p.found = 0;
        assert_int_equal(ref_post_run_kept(&s, other, "[bias_correct]", NULL, 64, &store, &h), NB_OK);
        assert_true(p.found == 0);
        nb_graph_free(other);
        nb_graph_free(g);
    }
    nb_graph_free(whole);
    ref_street_close(&s);
}

/* ---- what cannot be corrected ---- */

static void layers_without_bias_and_batch_norm_are_left_out(void **state)
{
    (void)state;
    ref_street s;
    nb_graph *g;
    ref_heard h;
    assert_int_equal(
        ref_street_open(&s,
                        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 4}\n"
                        "model: [input, {conv2d: {name: c1, out: 4, bias: no}}, relu, {linear: {name: fc, out: 4}}]\n"
                        "quant: {weights: {bits: 4}}\n",
                        BATCH, REF_FLOAT),
        NB_OK);
    assert_int_equal(ref_quantized(&s, BATCH, 64, &g), NB_OK);
    assert_int_equal(ref_post_run(&s, g, "[bias_correct]", NULL, 64, &h), NB_OK);
    assert_string_equal(h.rows, "c1: has neither bias nor batch norm to be corrected\nfc: in its bias\n");
    assert_int_equal(ref_post_run(&s, g, "[bias_correct: {mode: empirical}]", NULL, 0, &h), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "mode: empirical: there are no images to look at"));
    nb_graph_free(g);
    ref_street_close(&s);
}

#define TINY                                                                                                           \
    "data: {name: synth, count: 4, height: 4, width: 4, channels: 1, classes: 2}\n"                                    \
    "model: [input, {conv2d: {out: 2}}, batchnorm, relu, {linear: {out: 2}}]\n"                                        \
    "quant: {weights: {bits: 4}}\n"

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const modes[] = {"[bias_correct: {mode: empirical}]", "[bias_correct: {mode: analytic}]"};
    for (int32_t m = 0; m < 2; m++) {
        ref_street s;
        nb_graph *g;
        ref_heard h;
        nb_status st = NB_E_NOMEM;
        int32_t n = 0;
        assert_int_equal(ref_street_open(&s, TINY, 2, REF_FLOAT), NB_OK);
        assert_int_equal(ref_quantized(&s, 2, 2, &g), NB_OK);
        for (; st != NB_OK; n++) {
            nb_ctx_fail_alloc_at(s.ctx, n + 1);
            st = ref_post_run(&s, g, modes[m], NULL, 2, &h);
            assert_true(st == NB_OK || (st == NB_E_NOMEM && nb_ctx_error(s.ctx)[0]));
        }
        assert_true(n > 20);
        nb_ctx_fail_alloc_at(s.ctx, 0);
        nb_graph_free(g);
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_of_every_channel_is_the_float_networks_on_other_images_too),
        cmocka_unit_test(only_biases_and_betas_change_and_they_by_the_difference_of_means),
        cmocka_unit_test(the_same_for_any_number_of_threads),
        cmocka_unit_test(analytic_is_empirical_on_normal_values),
        cmocka_unit_test(what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits),
        cmocka_unit_test(layers_without_bias_and_batch_norm_are_left_out),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("step_bias_correct", tests, NULL, NULL);
}
