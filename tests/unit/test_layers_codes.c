/* test_layers_codes.c - layers fed with codes: each must do to codes what it does to the real values they stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parallel.h"
#include "kernels/grad16/qgrad.h"
#include "quant/fakequant.h"
#include "ref/node_check.h"
#include "ref/one_thread.h"
#include "ref/small_model.h"

#include <math.h>
#include <nibble/extend/fusion.h>
#include <nibble/lower.h>

static nb_node *build(small_model *m, const char *layer, const char *example, int32_t batch)
{
    char text[1024];
    small_model_around(text, sizeof text, nb_registry_find(nb_layers, layer), example);
    assert_ok(small_model_build(m, ctx, text, batch));
    return nb_graph_find(m->g, "x");
}

/* How one edge is quantized; bits 0 leaves it float. */
typedef struct {
    int32_t bits;
    nb_scheme scheme;
    bool weights, per_channel;
} edge;

static void quantize_edge(nb_graph *g, nb_node *reader, int32_t k, edge e)
{
    char name[64];
    if (!e.bits)
        return;
    nb_fakequant_attr a = {.format = nb_registry_find(nb_formats, "uniform"),
                           .range = nb_registry_find(nb_ranges, "minmax"),
                           .learning = nb_registry_find(nb_learnings, "none"),
                           .bits = e.bits,
                           .scheme = e.scheme};
    a.weights = e.weights;
    a.per_channel = e.per_channel;
    snprintf(name, sizeof name, "%s.in%d.fq", reader->name, k);
    assert_ok(nb_graph_insert(g, reader->id, &nb_op_fakequant, name, &a, &reader->in[k], 1, &reader->in[k]));
}

static const edge off = {0};
static const edge asymmetric8 = {.bits = 8, .scheme = NB_SCHEME_ASYMMETRIC};
static const edge asymmetric3 = {.bits = 3, .scheme = NB_SCHEME_ASYMMETRIC};
static const edge symmetric8 = {.bits = 8, .scheme = NB_SCHEME_SYMMETRIC};
static const edge channel8 = {.bits = 8, .scheme = NB_SCHEME_SYMMETRIC, .weights = true, .per_channel = true};
static const edge tensor4 = {.bits = 4, .scheme = NB_SCHEME_SYMMETRIC, .weights = true};

/* On integers a bias is a whole number of accumulator units (lowering stores it so): take one that is, so that rounding
 * it changes nothing. The graph has run once: scales are known. */
static void make_bias_whole(const nb_node *n)
{
    if (n->op->role != NB_ROLE_MAC || n->n_in < 3 || !n->in[0]->out.q || !n->in[1]->out.q)
        return;
    const nb_qparams *x = n->in[0]->out.q, *w = n->in[1]->out.q;
    float *b = n->in[2]->out.data;
    for (int32_t c = 0; c < nb_count(&n->in[2]->out); c++)
        b[c] = (float)nb_round_to_unit((double)b[c], (double)x->scale[0] * (double)w->scale[w->n > 1 ? c : 0]);
}

/* What 16-bit gradients may differ here, relative to the largest: a term is wrong by at most 1 / 65534 of the largest
 * term, sums have at most 150 of them with errors of either sign, and the largest sum exceeds its largest term. */
static const double rounded = 1e-4;

static void check_mac(const char *layer, const char *example, edge x, edge w, int32_t batch, nb_compute compute)
{
    small_model m;
    node_error e;
    nb_node *n = build(&m, layer, example, batch);
    for (int32_t i = 0; n->n_in > 2 && i < nb_count(&n->in[2]->out); i++)
        ((float *)n->in[2]->out.data)[i] = 0.1f * (float)(i + 1);
    quantize_edge(m.g, n, 0, x);
    quantize_edge(m.g, n, 1, w);
    m.g->compute = compute;
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_forward(m.g, &m.run);
    make_bias_whole(n);
    assert_true(node_check(m.g, n, &m.run, batch > 3 ? 6 : 24, &e));
    if (e.forward > 1e-6 || e.backward > (compute == NB_COMPUTE_F32 ? 1e-5 : rounded))
        fail_msg("%s, x %d bits, w %d bits, batch %d: forward %g, backward %g", example, x.bits, w.bits, batch,
                 e.forward, e.backward);
    small_model_free(&m);
}

static void check_macs(nb_compute compute)
{
    static const char *const cases[][2] = {
        {"conv2d", "conv2d: {out: 6, pad: 1}"},
        {"conv2d", "conv2d: {out: 6, kernel: 5, pad: 4, stride: 2, bias: no}"},
        {"conv2d", "conv2d: {out: 4, groups: 2, kernel: 2, dilation: 2, pad: 1}"},
        {"dwconv2d", "dwconv2d: {pad: 1, multiplier: 2}"},
        {"linear", "linear: {out: 5}"},
    };
    const edge xs[] = {asymmetric8, asymmetric3, symmetric8, off}, ws[] = {channel8, tensor4, off};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 12; k++)
            check_mac(cases[i][0], cases[i][1], xs[k / 3], ws[k % 3], k % 2 ? 3 : 17, compute);
}

static void macs_multiply_codes_as_the_real_numbers_they_stand_for(void **state)
{
    (void)state;
    check_macs(NB_COMPUTE_F32);
}

static void gradients_in_16_bits_are_those_in_floats_up_to_their_rounding(void **state)
{
    (void)state;
    check_macs(NB_COMPUTE_INT16);
}

/* The gradient of x's weights after a step on codes. */
static void weight_gradient(const char *layer, const char *example, nb_compute compute, float *grad, int64_t n)
{
    small_model m;
    nb_node *x = build(&m, layer, example, 5);
    quantize_edge(m.g, x, 0, asymmetric8);
    quantize_edge(m.g, x, 1, channel8);
    m.g->compute = compute;
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    assert_true(nb_count(&x->in[1]->out) >= n);
    memcpy(grad, x->in[1]->out.grad, (size_t)n * sizeof *grad);
    small_model_free(&m);
}

static void compute_decides_which_layers_have_gradients_in_16_bits(void **state)
{
    (void)state;
    enum { N = 20 };
    const char *cases[][2] = {
        {"conv2d", "conv2d: {out: 6, pad: 1}"}, {"linear", "linear: {out: 5}"}, {"dwconv2d", "dwconv2d: {pad: 1}"}};
    for (size_t i = 0; i < 3; i++) {
        float floats[N], codes[N], best[N];
        weight_gradient(cases[i][0], cases[i][1], NB_COMPUTE_F32, floats, N);
        weight_gradient(cases[i][0], cases[i][1], NB_COMPUTE_INT16, codes, N);
        weight_gradient(cases[i][0], cases[i][1], NB_COMPUTE_AUTO, best, N);
        assert_int_equal(memcmp(floats, codes, sizeof floats) == 0, i == 2); /* depthwise: no such kernels */
        assert_memory_equal(best, nb_qgrad_is_fast() ? codes : floats, sizeof best);
    }
}

static void a_gradient_that_is_not_finite_reaches_weights_and_input_in_16_bits_too(void **state)
{
    (void)state;
    const char *cases[][2] = {{"conv2d", "conv2d: {out: 6, pad: 1}"}, {"linear", "linear: {out: 5}"}};
    for (size_t i = 0; i < 2; i++) {
        small_model m;
        nb_node *n = build(&m, cases[i][0], cases[i][1], 3);
        quantize_edge(m.g, n, 0, asymmetric8);
        quantize_edge(m.g, n, 1, channel8);
        m.g->compute = NB_COMPUTE_INT16;
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        nb_forward(m.g, &m.run);
        nb_backward_begin(m.g);
        int32_t k = m.g->n_steps - 1;
        for (; m.g->step[k].node[0] != n; k--)
            nb_backward_step(m.g, k, &m.run);
        n->out.grad[nb_count(&n->out) - 1] = NAN;
        nb_backward_step(m.g, k, &m.run);
        assert_true(isnan(n->in[0]->out.grad[nb_count(&n->in[0]->out) - 1]));
        assert_true(isnan(n->in[1]->out.grad[0]));
        small_model_free(&m);
    }
}

static void a_bias_on_integers_is_a_whole_number_of_accumulator_units(void **state)
{
    (void)state;
    small_model m;
    nb_node *n = build(&m, "conv2d", "conv2d: {out: 2, kernel: 1}", 2);
    quantize_edge(m.g, n, 0, asymmetric8);
    quantize_edge(m.g, n, 1, tensor4);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    for (int32_t i = 0; i <= n->id; i++)
        if (m.g->node[i]->op->forward)
            m.g->node[i]->op->forward(m.g->node[i], &m.run);
    double unit = (double)n->in[0]->out.q->scale[0] * (double)n->in[1]->out.q->scale[0];
    float before = ((float *)n->out.data)[0];
    ((float *)n->in[2]->out.data)[0] = (float)(2.4 * unit);
    n->op->forward(n, &m.run);
    assert_true(fabs((double)((float *)n->out.data)[0] - (double)before - 2 * unit) < 1e-4 * unit);
    small_model_free(&m);
}

static void joins_add_and_concatenate_codes_of_different_grids(void **state)
{
    (void)state;
    const char *layers[] = {"add", "concat"};
    for (int32_t i = 0; i < 2; i++) {
        small_model m;
        node_error e;
        nb_node *n = build(&m, layers[i], layers[i], 3);
        quantize_edge(m.g, n, 0, asymmetric8);
        quantize_edge(m.g, n, 1, symmetric8);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        assert_true(node_check(m.g, n, &m.run, 40, &e));
        assert_true(n->out.dtype == NB_F32 && e.forward < 1e-6 && e.backward < 1e-5);
        small_model_free(&m);
    }
}

/* Loss and parameter gradients of the network with x on codes, or on the same values expanded first. */
static void step(const char *layer, const char *example, edge e, bool expand, double *loss, float *grad)
{
    small_model m;
    nb_node *n = build(&m, layer, example, 5);
    quantize_edge(m.g, n, 0, e);
    if (expand)
        assert_ok(nb_graph_insert(m.g, n->id, &nb_op_dequantize, "real", NULL, &n->in[0], 1, &n->in[0]));
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    assert_true(expand || n->op->role == NB_ROLE_TABLE || n->out.dtype == n->in[0]->out.dtype);
    assert_true(expand || n->op->role == NB_ROLE_TABLE || n->out.q == n->in[0]->out.q);
    nb_forward(m.g, &m.run);
    *loss = (double)nb_graph_loss(m.g);
    nb_backward(m.g, &m.run);
    nb_node *w = nb_graph_find(m.g, "pre.weight");
    memcpy(grad, w->out.grad, (size_t)nb_count(&w->out) * sizeof *grad);
    small_model_free(&m);
}

static void layers_of_codes_do_to_them_what_they_do_to_values(void **state)
{
    (void)state;
    const edge edges[] = {asymmetric8, symmetric8, asymmetric3};
    const char *cases[][2] = {{"relu", "relu"},
                              {"maxpool", "maxpool"},
                              {"maxpool", "maxpool: {kernel: 3, stride: 2, pad: 1}"},
                              {"silu", "silu"},
                              {"elu", "elu"},
                              {"prelu", "prelu: {slope: -0.5}"},
                              {"sigmoid", "sigmoid"},
                              {"prelu", "prelu: {channels: no}"}};
    enum { WEIGHTS = 4 * 9 * SMALL_C };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) {
            double loss[2], size = 0;
            float grad[2][WEIGHTS];
            for (int32_t expand = 0; expand < 2; expand++)
                step(cases[i][0], cases[i][1], edges[k], expand, &loss[expand], grad[expand]);
            assert_true(fabs(loss[0] - loss[1]) < 1e-6);
            for (int32_t j = 0; j < WEIGHTS; j++)
                size = fmax(size, fabs((double)grad[1][j]));
            for (int32_t j = 0; j < WEIGHTS; j++)
                assert_true(fabs((double)grad[0][j] - (double)grad[1][j]) < 1e-5 * size);
        }
}

static void a_cap_on_codes_is_the_nearest_code(void **state)
{
    (void)state;
    small_model m;
    nb_node *n = build(&m, "relu", "relu: {cap: 0.7}", 3);
    quantize_edge(m.g, n, 0, asymmetric8);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    for (int32_t i = 0; i <= n->id; i++)
        if (m.g->node[i]->op->forward)
            m.g->node[i]->op->forward(m.g->node[i], &m.run);
    double *x = node_values(&n->in[0]->out), *y = node_values(&n->out), step_size = (double)n->out.q->scale[0], max = 0;
    assert_true(x && y);
    for (int64_t i = 0; i < nb_count(&n->out); i++) {
        assert_true(y[i] >= 0 && fabs(y[i] - fmin(fmax(x[i], 0), 0.7)) <= 0.5001 * step_size);
        max = fmax(max, y[i]);
    }
    assert_true(fabs(max - 0.7) <= 0.5001 * step_size);
    free(x);
    free(y);
    small_model_free(&m);
}

static void avgpool_on_codes_is_within_half_a_step_and_passes_gradients_straight(void **state)
{
    (void)state;
    const char *cases[] = {"avgpool: {global: yes}", "avgpool: {kernel: 3, stride: 2}"};
    const edge edges[] = {asymmetric8, symmetric8};
    for (int32_t i = 0; i < 4; i++) {
        small_model m;
        node_error e;
        nb_node *n = build(&m, "avgpool", cases[i % 2], 3);
        quantize_edge(m.g, n, 0, edges[i / 2]);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        assert_true(node_check(m.g, n, &m.run, 40, &e));
        double *y = node_values(&n->out), max = 0;
        assert_non_null(y);
        for (int64_t k = 0; k < nb_count(&n->out); k++)
            max = fmax(max, fabs(y[k]));
        double half = 0.5001 * (double)n->out.q->scale[0];
        assert_true(e.forward * (max - half) <= half);
        assert_true(e.backward < 1e-5);
        free(y);
        small_model_free(&m);
    }
}

static void check_quantized(const nb_op *op, const char *example, nb_compute compute)
{
    float loss[2];
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        small_model m;
        nb_set_threads(threads);
        nb_node *n = build(&m, op->name, example, 5);
        assert_ok(nb_model_quantize(m.g, NULL));
        m.g->compute = compute;
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        for (int32_t s = 0; s < 2; s++) {
            nb_forward(m.g, &m.run);
            nb_backward(m.g, &m.run);
        }
        loss[threads / 2] = nb_graph_loss(m.g);
        node_error e = {0};
        make_bias_whole(n);
        bool linear = op->role == NB_ROLE_MAC || op->role == NB_ROLE_JOIN || op->role == NB_ROLE_PRODUCT;
        const double allowed = compute == NB_COMPUTE_F32 ? 1e-5 : rounded;
        if (linear && node_check(m.g, n, &m.run, 10, &e) && (e.forward > 1e-6 || e.backward > allowed))
            fail_msg("%s: forward %g, backward %g", example, e.forward, e.backward);
        small_model_free(&m);
    }
    nb_set_threads(1);
    if (!isfinite(loss[0]) || loss[0] != loss[1])
        fail_msg("%s: loss %.9g with 1 thread, %.9g with 3", example, (double)loss[0], (double)loss[1]);
}

static void every_example_trains_in_a_quantized_network_with_the_same_bits_on_1_and_3_threads(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_layers[i]; i++)
        for (int32_t k = 0; nb_layers[i]->examples[k]; k++) {
            check_quantized(nb_layers[i], nb_layers[i]->examples[k], NB_COMPUTE_F32);
            check_quantized(nb_layers[i], nb_layers[i]->examples[k], NB_COMPUTE_INT16);
        }
}

/* The engine's logits against evaluation of the graph it was lowered from: floats round twice where the integers round
 * once, so a code may differ by one now and then, and logits by what one code is worth. */
static void check_lowered(const nb_op *op, const char *example)
{
    small_model m;
    nb_intmodel *lowered;
    build(&m, op->name, example, 8);
    assert_ok(nb_model_quantize(m.g, NULL));
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    for (int32_t s = 0; s < 3; s++)
        nb_forward(m.g, &m.run); /* ranges and running statistics */
    m.run.train = false;
    nb_forward(m.g, &m.run);
    if (nb_lower(m.g, "", &lowered) != NB_OK)
        fail_msg("%s: %s", example, nb_ctx_error(ctx));
    const float *want = nb_graph_logits(m.g);
    double size = 0, worst = 0;
    for (int32_t i = 0; i < 8; i++) {
        float got[SMALL_H * SMALL_W * SMALL_C]; /* the most that any gives */
        const int32_t n = lowered->classes;
        assert_ok(nb_intmodel_logits(ctx, lowered, m.pixels + (size_t)i * SMALL_H * SMALL_W * SMALL_C, got));
        for (int32_t c = 0; c < n; c++) {
            size = fmax(size, fabs((double)want[i * n + c]));
            worst = fmax(worst, fabs((double)want[i * n + c] - (double)got[c]));
        }
    }
    if (worst > 0.001 * size)
        fail_msg("%s: logits up to %g, the engine's differ by %g", example, size, worst);
    nb_intmodel_free(ctx, lowered);
    small_model_free(&m);
}

static void every_example_lowers_and_the_engine_gives_the_graphs_logits(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_layers[i]; i++)
        for (int32_t k = 0; nb_layers[i]->examples[k]; k++)
            check_lowered(nb_layers[i], nb_layers[i]->examples[k]);
}

/* 1700 * 7 * 6 products of 127 * 255 are more than 2^31: the weights get a scale at which their codes are smaller. */
static void sums_that_would_leave_32_bits_do_not(void **state)
{
    (void)state;
    const edge per[] = {channel8, tensor4};
    for (int32_t i = 0; i < 4; i++) {
        small_model m;
        node_error e;
        const char *text = "model:\n- input\n- conv2d: {name: pre, out: 1700, pad: 1}\n- linear: {name: x, out: 4}\n";
        assert_ok(small_model_build(&m, ctx, text, 2));
        nb_node *n = nb_graph_find(m.g, "x"), *w = n->in[1], *pre = nb_graph_find(m.g, "pre");
        const float value = i % 2 ? -1.0f : 1.0f;
        memset(pre->in[1]->out.data, 0, (size_t)nb_count(&pre->in[1]->out) * sizeof(float));
        for (int64_t k = 0; k < 1700; k++)
            ((float *)pre->in[2]->out.data)[k] = 1;
        for (int64_t k = 0; k < nb_count(&w->out); k++)
            ((float *)w->out.data)[k] = value;
        edge weights = per[i / 2];
        weights.bits = 8;
        quantize_edge(m.g, n, 0, asymmetric8);
        quantize_edge(m.g, n, 1, weights);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        nb_forward(m.g, &m.run);
        const nb_qparams *x = n->in[0]->out.q;
        const int8_t *codes = n->in[1]->out.data;
        assert_true(((const uint8_t *)n->in[0]->out.data)[0] == 255 && x->zero[0] == 0);
        assert_true(abs(codes[0]) >= 55 &&
                    abs(codes[0]) <= 117); /* 2^31 / (71400 * 255) = 117.9; half of it is there for a bias */
        assert_true(node_check(m.g, n, &m.run, 3, &e));
        assert_true(e.forward < 1e-6 && e.backward < 1e-5);
        assert_float_equal(((const float *)n->out.data)[0], value * 71400, 71400.0 / 2 / 55); /* half a code */
        small_model_free(&m);
    }
}

/* Another 71400, as usual ones are: not all weights are as large as the largest. */
static void sums_that_fit_by_their_codes_keep_the_scale_of_the_weights(void **state)
{
    (void)state;
    small_model m;
    const char *text = "model:\n- input\n- conv2d: {name: pre, out: 1700, pad: 1}\n- linear: {name: x, out: 4}\n";
    assert_ok(small_model_build(&m, ctx, text, 2));
    nb_node *n = nb_graph_find(m.g, "x"), *w = n->in[1];
    quantize_edge(m.g, n, 0, asymmetric8);
    quantize_edge(m.g, n, 1, channel8);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_forward(m.g, &m.run);
    for (int32_t c = 0; c < 4; c++) {
        float largest = 0;
        for (int64_t k = 0; k < 71400; k++)
            largest = fmaxf(largest, fabsf(((const float *)w->out.data)[c * 71400 + k]));
        assert_float_equal(n->in[1]->out.q->scale[c], largest / 127, 0);
    }
    small_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs_multiply_codes_as_the_real_numbers_they_stand_for),
        cmocka_unit_test(gradients_in_16_bits_are_those_in_floats_up_to_their_rounding),
        cmocka_unit_test(compute_decides_which_layers_have_gradients_in_16_bits),
        cmocka_unit_test(a_gradient_that_is_not_finite_reaches_weights_and_input_in_16_bits_too),
        cmocka_unit_test(a_bias_on_integers_is_a_whole_number_of_accumulator_units),
        cmocka_unit_test(joins_add_and_concatenate_codes_of_different_grids),
        cmocka_unit_test(layers_of_codes_do_to_them_what_they_do_to_values),
        cmocka_unit_test(a_cap_on_codes_is_the_nearest_code),
        cmocka_unit_test(avgpool_on_codes_is_within_half_a_step_and_passes_gradients_straight),
        cmocka_unit_test(every_example_trains_in_a_quantized_network_with_the_same_bits_on_1_and_3_threads),
        cmocka_unit_test(every_example_lowers_and_the_engine_gives_the_graphs_logits),
        cmocka_unit_test(sums_that_would_leave_32_bits_do_not),
        cmocka_unit_test(sums_that_fit_by_their_codes_keep_the_scale_of_the_weights),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
