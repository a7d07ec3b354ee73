/* test_simulate.c - networks that are simulated: the codes and logits of the integers where there are integers, scales
 * that values far apart share, what is off, and who refuses them. */
#include "ref/street.h"

#include <nibble/train.h>

#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/must_refuse.h"

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3}, batchnorm, relu, resblock: {name: b, out: 5}, maxpool,\n"    \
    "  conv2d: {name: d, out: 6, kernel: 3, bias: yes}, relu, flatten, linear: {name: fc, out: 3}]\n"                  \
    "quant: {%s}\n"

enum { BATCH = 8, PIXELS = 8 * 8 * 3 };

static uint8_t pixels[BATCH * PIXELS];
static int32_t labels[BATCH];

static nb_status open_net(ref_street *s, const char *quant)
{
    char text[1024];
    char keys[512];
    snprintf(keys, sizeof keys, "%s%s", strstr(quant, "first_last") ? "" : "first_last_bits: 0, ", quant);
    snprintf(text, sizeof text, NET, keys);
    return ref_street_open(s, text, BATCH, REF_QUANTIZED);
}

static void take_images(const ref_street *s)
{
    for (int32_t i = 0; i < BATCH; i++)
        nb_data_get(s->train, i, pixels + (size_t)i * PIXELS, &labels[i]);
}

static ref_street open_and_step(const char *quant, int32_t steps)
{
    ref_street s;
    assert_int_equal(open_net(&s, quant), NB_OK);
    ref_street_steps(&s, steps, 0.05f, false);
    take_images(&s);
    return s;
}

/* The same network with the same values, simulated although it need not be. */
static nb_graph *simulated_twin(const ref_street *s, const char *quant, ref_street *twin)
{
    assert_int_equal(open_net(twin, quant), NB_OK);
    nb_graph *g = twin->graph;
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & NB_NODE_LEAF)
            memcpy(g->node[i]->out.data, nb_graph_find(s->graph, g->node[i]->name)->out.data,
                   (size_t)nb_count(&g->node[i]->out) * sizeof(float));
    assert_non_null(nb_graph_about(g).simulated);
    assert_int_equal(nb_graph_freeze(g, NB_PLAN_TRAIN), NB_OK); /* values stay where gradients read them */
    return g;
}

static int32_t code_at(const nb_tensor *t, int64_t i)
{
    return t->dtype == NB_S8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
}

/* A bias of integers is a whole number of units of the sum, and float sums are rounded: where a value is that near to a
 * tie the codes may differ, by one. Pixels and weights are the same values: nothing differs. */
static void the_codes_are_those_of_the_integers_and_so_are_the_logits(void **state)
{
    (void)state;
    ref_street s = open_and_step("weights: {bits: 5}, activations: {bits: 6}", 6), twin;
    nb_graph *g = simulated_twin(&s, "simulate: yes, weights: {bits: 5}, activations: {bits: 6}", &twin);
    nb_intmodel *m;
    assert_int_equal(nb_lower(s.graph, "", &m), NB_OK);
    nb_run r = {.pixels = pixels};
    nb_forward(s.graph, &r);
    nb_forward(g, &r);
    int64_t codes = 0, differ = 0, input = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i], *exact = nb_graph_find(s.graph, n->name);
        const nb_node *reader = nb_node_only_reader(g, n);
        if (!nb_is_quantizer(n) || !reader || reader->op->role != NB_ROLE_MAC)
            continue; /* the others' memory is something else's by now */
        assert_true(n->out.dtype == NB_F32 && exact->out.dtype != NB_F32);
        const bool weights = n->in[0]->flags & NB_NODE_LEAF, first = n->in[0] == g->input;
        const int64_t per = nb_count(&n->out) / n->out.q->n;
        for (int64_t k = 0; k < nb_count(&n->out); k++) {
            const int64_t c = n->out.q->n > 1 ? k / per : 0;
            const float scale = n->out.q->scale[c], v = ((const float *)n->out.data)[k] / scale;
            assert_true(scale == exact->out.q->scale[c] && fabsf(v - rintf(v)) < 1e-4f);
            const int32_t off = (int32_t)rintf(v) + n->out.q->zero[c] - code_at(&exact->out, k);
            if (weights || first)
                assert_int_equal(off, 0);
            input += first;
            codes++;
            differ += off != 0;
            assert_true(abs(off) <= 1);
        }
    }
    assert_true(input == BATCH * PIXELS && differ * 100 < codes);
    for (int32_t i = 0; i < BATCH; i++) {
        float logits[3];
        assert_int_equal(nb_intmodel_logits(s.ctx, m, pixels + (size_t)i * PIXELS, logits), NB_OK);
        for (int32_t c = 0; c < 3; c++)
            assert_true(fabsf(logits[c] - nb_graph_logits(g)[i * 3 + c]) < 0.05f * (1 + fabsf(logits[c])));
    }
    nb_eval e;
    assert_int_equal(nb_evaluate_graph(g, twin.test, NULL, 16, &e), NB_OK);
    assert_true(e.simulated);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&twin);
    ref_street_close(&s);
}

/* conv2d c, its batch norm and relu in double, by definition, from what the quantizers give. */
static double value_of(const nb_graph *g, int32_t image, int32_t y, int32_t x, int32_t oc)
{
    const float *w = nb_graph_find(g, "c.weight.fq")->out.data, *in = nb_graph_find(g, "input1.fq")->out.data;
    const float *bias = nb_graph_find(g, "c.bias")->out.data;
    double sum = bias[oc], mul[5], add[5];
    for (int32_t ky = 0; ky < 3; ky++)
        for (int32_t kx = 0; kx < 3; kx++)
            for (int32_t c = 0; c < 3; c++)
                sum += (double)w[((oc * 3 + ky) * 3 + kx) * 3 + c] *
                       (double)in[((image * 8 + y + ky) * 8 + x + kx) * 3 + c];
    const nb_node *bn = nb_graph_find(g, "batchnorm1");
    bn->op->affine(bn, mul, add);
    return fmax(mul[oc] * sum + add[oc], 0);
}

static void a_layer_equals_loops_in_double(void **state)
{
    (void)state;
    ref_street s = open_and_step(
        "weights: {bits: 4, granularity: full}, activations: {bits: 4, granularity: channel, learn: lsq}", 4);
    nb_forward(s.graph, &(nb_run){.pixels = pixels});
    const nb_node *fq = nb_graph_find(s.graph, "relu1.fq");
    assert_int_equal(fq->out.q->n, 5);
    assert_int_equal(nb_graph_find(s.graph, "c.weight.fq")->out.q->n, 5 * 3);
    for (int32_t image = 0; image < BATCH; image++)
        for (int32_t y = 0; y < 6; y++)
            for (int32_t x = 0; x < 6; x++)
                for (int32_t c = 0; c < 5; c++) {
                    const float got = ((const float *)fq->out.data)[((image * 6 + y) * 6 + x) * 5 + c];
                    const double s_y = fq->out.q->scale[c], v = value_of(s.graph, image, y, x, c) / s_y;
                    const double code = fmin(fmax(rint(v) + fq->out.q->zero[c], 0), 15) - fq->out.q->zero[c];
                    const bool tie = fabs(fabs(v - floor(v)) - 0.5) < 1e-4;
                    assert_true(fabs(got - s_y * code) < 1e-4 * s_y || tie);
                }
    ref_street_close(&s);
}

/* Scale c of n is of the values at first, first + stride, ...: their range, each rounded by itself. */
static void check_slice(const nb_node *n, int32_t c, int64_t first, int64_t stride, int64_t count)
{
    const float *x = n->in[0]->out.data, *y = n->out.data;
    float most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(x[first + i * stride]));
    const float scale = most / 7;
    assert_true(fabsf(n->out.q->scale[c] - scale) <= 1e-6f * scale);
    for (int64_t i = 0; i < count; i++) {
        const float want = scale * fminf(fmaxf(rintf(x[first + i * stride] / scale), -7), 7);
        assert_true(fabsf(y[first + i * stride] - want) <= 1e-5f * most);
    }
}

static void full_granularity_has_a_scale_for_each_input_and_output_channel(void **state)
{
    (void)state;
    ref_street s = open_and_step("weights: {bits: 4, granularity: full}", 1);
    nb_forward(s.graph, &(nb_run){.train = true, .pixels = pixels, .labels = labels});
    const nb_node *n = nb_graph_find(s.graph, "d.weight.fq");
    assert_int_equal(n->out.q->n, 6 * 5);
    for (int32_t c = 0; c < 30; c++)
        check_slice(n, c, c / 5 * 45 + c % 5, 5, 9);
    assert_int_equal(nb_graph_find(s.graph, "fc.weight.fq")->out.q->n, 3); /* one weight of a pair is no channel */
    ref_street_close(&s);
}

/* The gradients of one image's batch, by the formulas of learn_lsq.c and the straight-through estimator. */
static void gradients_of_scales_far_apart_are_sums_over_their_own_values(void **state)
{
    (void)state;
    ref_street s = open_and_step("weights: {bits: 3, granularity: full, range: mse, learn: lsq}", 3);
    nb_graph *g = s.graph;
    nb_run r = {.train = true, .pixels = pixels, .labels = labels};
    nb_forward(g, &r);
    nb_backward(g, &r);
    const nb_node *n = nb_graph_find(g, "c.weight.fq");
    const float *w = n->in[0]->out.data;
    assert_int_equal(nb_fakequant_channels(n), 15);
    int32_t cut = 0;
    for (int32_t c = 0; c < 15; c++) {
        double by_scale = 0;
        for (int32_t i = 0; i < 9; i++) {
            const int64_t at = c / 3 * 27 + c % 3 + i * 3;
            const double v = (double)w[at] / (double)n->out.q->scale[c], q = fmin(fmax(rint(v), -3), 3);
            const bool inside = rint(v) == q;
            cut += !inside;
            by_scale += (double)n->out.grad[at] * (inside ? q - v : q);
            assert_true(n->in[0]->out.grad[at] == (inside ? n->out.grad[at] : 0.0f));
        }
        const double want = by_scale / sqrt(9.0 * 3);
        assert_true(fabs(n->in[2]->out.grad[c] - want) < 1e-5 * (1 + fabs(want)));
    }
    assert_true(cut > 0);
    ref_street_close(&s);
}

/* Longer than what is worked on at a time: the bits of a tensor's values stand in their order. */
static void gradients_pass_where_the_code_was_not_cut_off_all_along_a_tensor(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(&s,
                        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
                        "model: [input, flatten, linear: {name: a, out: 40}, relu, linear: {out: 3}]\n"
                        "quant: {first_last_bits: 0, simulate: yes, weights: {bits: 2, granularity: tensor, "
                        "range: mse}}\n",
                        BATCH, REF_QUANTIZED),
        NB_OK);
    take_images(&s);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    nb_run r = {.train = true, .pixels = pixels, .labels = labels};
    nb_forward(s.graph, &r);
    nb_backward(s.graph, &r);
    const nb_node *n = nb_graph_find(s.graph, "a.weight.fq");
    const float *w = n->in[0]->out.data;
    int32_t cut = 0;
    for (int64_t i = 0; i < nb_count(&n->out); i++) {
        const bool inside = fabsf(rintf(w[i] / n->out.q->scale[0])) <= 1;
        cut += i > 4096 && !inside;
        assert_true(n->in[0]->out.grad[i] == (inside ? n->out.grad[i] : 0.0f));
    }
    assert_true(cut > 50);
    ref_street_close(&s);
}

static void refuses(const char *quant, const char *why)
{
    ref_street s;
    must_refuse(open_net(&s, quant), &s, why);
}

static void what_is_off_stays_float_and_says_so(void **state)
{
    (void)state;
    ref_street s = open_and_step("weights: {bits: 4}, activations: off", 2);
    nb_intmodel *m;
    assert_null(nb_graph_find(s.graph, "relu1.fq"));
    assert_non_null(nb_graph_find(s.graph, "c.weight.fq"));
    assert_int_equal(nb_lower(s.graph, "", &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "activations of input1: off; a map of keys, {bits: 8}, would do"));
    ref_street_close(&s);
    s = open_and_step("weights: off, layers: {d: {weights: {bits: 2}}}", 2);
    assert_null(nb_graph_find(s.graph, "c.weight.fq"));
    assert_int_equal(nb_graph_find(s.graph, "d.weight.fq")->out.q->bits, 2);
    assert_string_equal(nb_graph_about(s.graph).simulated, "weights of c: off");
    ref_street_close(&s);
    s = open_and_step("layers: {d: {activations: off}}", 2);
    assert_null(nb_graph_find(s.graph, "relu2.fq"));
    assert_string_equal(nb_graph_about(s.graph).simulated, "activations of relu2: off");
    ref_street_close(&s);
    refuses("weights: off, activations: off", "nothing is quantized");
    refuses("weights: none", "quant.weights: none: must be a map of keys, e.g. {bits: 8}, or off");
}

/* First and last bits widen what enters the last layer, and nothing before it when that is off. */
static void nothing_else_is_widened_where_the_last_input_is_off(void **state)
{
    (void)state;
    ref_street s = open_and_step("layers: {d: {activations: off}}, activations: {bits: 4}, first_last_bits: 7", 1);
    assert_int_equal(nb_graph_find(s.graph, "b.relu.fq")->out.q->bits, 4);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_codes_are_those_of_the_integers_and_so_are_the_logits),
        cmocka_unit_test(a_layer_equals_loops_in_double),
        cmocka_unit_test(full_granularity_has_a_scale_for_each_input_and_output_channel),
        cmocka_unit_test(gradients_of_scales_far_apart_are_sums_over_their_own_values),
        cmocka_unit_test(gradients_pass_where_the_code_was_not_cut_off_all_along_a_tensor),
        cmocka_unit_test(what_is_off_stays_float_and_says_so),
        cmocka_unit_test(nothing_else_is_widened_where_the_last_input_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
