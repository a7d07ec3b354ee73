/* test_learned.c - learned scales in a graph: where they begin, when they move, what they cost the chain's bits. */
#include "ref/street.h"

#include <nibble/extend/fusion.h>

#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LAYERS                                                                                                         \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3, bias: no}, batchnorm, relu, resblock: {out: 5},\n"            \
    "  avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"
#define LEARNS(weights, activations)                                                                                   \
    LAYERS "quant: {weights: {bits: 4, learn: " weights "}, activations: {bits: 4, learn: " activations "}}\n"
#define NET LEARNS("lsq", "lsq")

enum { BATCH = 8 };

static uint8_t pixels[BATCH * 8 * 8 * 3];
static int32_t labels[BATCH];

static ref_street open_net(const char *text)
{
    ref_street s;
    const nb_status st = ref_street_open(&s, text, BATCH, REF_QUANTIZED);
    if (st != NB_OK)
        print_error("%s\n", nb_ctx_error(s.ctx));
    assert_int_equal(st, NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    for (int32_t i = 0; i < BATCH; i++)
        nb_data_get(s.train, i, pixels + (size_t)i * 8 * 8 * 3, &labels[i]);
    return s;
}

static void forward(const ref_street *s, nb_run r)
{
    r.train = true;
    r.pixels = pixels;
    r.labels = labels;
    nb_forward(s->graph, &r);
    nb_backward(s->graph, &r);
}

/* The scale that the range of channel c says. */
static float scale_of_range(const nb_node *fq, int32_t c)
{
    const nb_fakequant_attr *a = fq->attr;
    const nb_grid g = nb_grid_make(a->bits, a->scheme, a->weights);
    float scale;
    int32_t zero;
    a->range->params(a->range_attr, (float *)fq->in[1]->out.data + c * (a->range->n_state + 1), &g, &scale, &zero);
    return scale;
}

static int32_t at_their_ranges(const nb_graph *g)
{
    int32_t seen = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        for (int32_t c = 0; nb_is_quantizer(n) && n->n_in > 2 && c < nb_fakequant_channels(n); c++, seen++)
            if (((float *)n->in[2]->out.data)[c] != scale_of_range(n, c))
                return -1;
    }
    return seen;
}

static void scales_begin_at_their_ranges_which_then_stand_still(void **state)
{
    (void)state;
    ref_street s = open_net(NET);
    nb_node *w = nb_graph_find(s.graph, "c.weight"), *fq = nb_graph_find(s.graph, "c.weight.fq");
    forward(&s, (nb_run){0});
    assert_true(at_their_ranges(s.graph) >= 5 + 3 + 6);             /* weights per channel, and values */
    assert_int_equal(nb_graph_find(s.graph, "input1.fq")->n_in, 2); /* pixels have a range that is known */
    float *learned = fq->in[2]->out.data;
    for (int64_t k = 0; k < nb_count(&w->out); k++)
        ((float *)w->out.data)[k] *= 2;
    learned[1] *= 0.75f;
    const float state0 = ((float *)fq->in[1]->out.data)[0], scale0 = learned[0], scale1 = learned[1];
    forward(&s, (nb_run){.step = 1});
    assert_true(((float *)fq->in[1]->out.data)[0] == state0);
    assert_true(fq->out.q->scale[0] == scale0 && fq->out.q->scale[1] == scale1);
    assert_true(learned[0] == scale0 && fabsf(fq->in[2]->out.grad[0]) > 0);
    ref_street_close(&s);
}

static void frozen_ranges_have_no_gradient_and_a_calibration_begins_anew(void **state)
{
    (void)state;
    ref_street s = open_net(NET);
    forward(&s, (nb_run){0});
    for (int32_t i = 0; i < s.graph->n; i++) {
        nb_node *n = s.graph->node[i];
        for (int64_t k = 0; (n->flags & NB_NODE_QUANTIZER) && (n->flags & NB_NODE_PARAM) && k < nb_count(&n->out); k++)
            ((float *)n->out.data)[k] *= 0.5f;
    }
    forward(&s, (nb_run){.step = 1, .freeze_ranges = true});
    for (int32_t i = 0; i < s.graph->n; i++) {
        nb_node *n = s.graph->node[i];
        for (int64_t k = 0; (n->flags & NB_NODE_QUANTIZER) && (n->flags & NB_NODE_PARAM) && k < nb_count(&n->out); k++)
            assert_true(n->out.grad[k] == 0);
    }
    assert_int_equal(at_their_ranges(s.graph), -1);
    forward(&s, (nb_run){.step = 2, .calibration = 1});
    assert_true(at_their_ranges(s.graph) >= 14);
    ref_street_close(&s);
}

static void a_scale_that_went_below_nothing_is_a_256th_of_its_range(void **state)
{
    (void)state;
    ref_street s = open_net(NET);
    nb_node *fq = nb_graph_find(s.graph, "relu1.fq");
    forward(&s, (nb_run){0});
    *(float *)fq->in[2]->out.data = -3;
    forward(&s, (nb_run){.step = 1});
    assert_true(fq->out.q->scale[0] == scale_of_range(fq, 0) / 256);
    ref_street_close(&s);
}

/* A node's values are far from its grid: what the loss says of its ends is what its state learns from. */
static void an_offset_that_left_the_grid_takes_only_steps_back(void **state)
{
    (void)state;
    static const char *const nets[] = {LEARNS("lsq", "lsq+"), LEARNS("lsq", "scale_zero")};
    for (int32_t k = 0; k < 2; k++) {
        ref_street s = open_net(nets[k]);
        nb_node *fq = nb_graph_find(s.graph, "relu1.fq");
        forward(&s, (nb_run){0});
        float *learned = fq->in[2]->out.data, *grad = fq->in[2]->out.grad;
        const float inside = learned[1];
        const nb_fakequant_attr *a = fq->attr;
        const nb_grid g = nb_grid_make(4, NB_SCHEME_ASYMMETRIC, false);
        const nb_learn_sums up = {.above = 1, .n = 64, .scale = 0.5f}, down = {.above = -1, .n = 64, .scale = 0.5f};
        for (int32_t beyond = -1; beyond <= 1; beyond++) { /* of 0..15 */
            const float param[] = {0.5f, k == 0 ? -0.5f * (7.4f + 10 * (float)beyond) : 7.4f + 10 * (float)beyond};
            assert_int_equal(a->learning->zero(NULL, param, &g, 0.5f), beyond < 0 ? 0 : beyond > 0 ? 15 : 7);
            float by_up[2] = {0}, by_down[2] = {0};
            a->learning->backward(NULL, &g, &up, param, by_up);
            a->learning->backward(NULL, &g, &down, param, by_down);
            /* a descent makes the offset smaller, the zero point larger, where dL/dy at the ends is positive */
            assert_int_equal(by_up[1] != 0, beyond <= 0);
            assert_int_equal(by_down[1] != 0, beyond >= 0);
        }
        assert_true(inside == 0 && grad[0] != 0); /* behind a relu */
        ref_street_close(&s);
    }
}

static void each_begins_where_the_range_is_and_weights_of_lsqplus_at_three_deviations(void **state)
{
    (void)state;
    static const char *const names[] = {"lsqplus", "scale_zero", "tqt", "pact"};
    for (int32_t k = 0; k < 4; k++) {
        char text[1024];
        snprintf(text, sizeof text, LEARNS("lsqplus", "%s"), names[k]);
        ref_street s = open_net(text);
        forward(&s, (nb_run){0});
        const nb_node *fq = nb_graph_find(s.graph, "relu1.fq"), *w = nb_graph_find(s.graph, "c.weight.fq");
        const float scale = scale_of_range(fq, 0);
        assert_true(fabsf(fq->out.q->scale[0] - scale) <= 1e-6f * scale);
        assert_int_equal(fq->out.q->zero[0], 0);
        for (int32_t c = 0; c < 5; c++) { /* 27 weights each */
            const float *v = (const float *)w->in[0]->out.data + (int64_t)c * 27;
            double sum = 0, squares = 0;
            for (int32_t i = 0; i < 27; i++)
                sum += (double)v[i];
            for (int32_t i = 0; i < 27; i++)
                squares += ((double)v[i] - sum / 27) * ((double)v[i] - sum / 27);
            const double dev = sqrt(squares / 27), mean = sum / 27;
            const double want = fmax(fabs(mean - 3 * dev), fabs(mean + 3 * dev)) / 128; /* the first layer has 8 bits */
            assert_true(fabs((double)w->out.q->scale[c] - want) < 1e-6 * want);
        }
        ref_street_close(&s);
    }
}

static void ternary_weights_are_two_magnitudes_and_their_table_is_theirs(void **state)
{
    (void)state;
    ref_street s = open_net(LAYERS "quant: {weights: {bits: 2, granularity: tensor, learn: ttq, threshold: 0.3},\n"
                                   "  first_last_bits: 0}\n");
    const nb_node *fq = nb_graph_find(s.graph, "c.weight.fq");
    const float *w = fq->in[0]->out.data, *learned = fq->in[2]->out.data;
    const int8_t *code = fq->out.data;
    forward(&s, (nb_run){0});
    float most = 0;
    double sum[2] = {0}, count[2] = {0};
    for (int32_t i = 0; i < 135; i++)
        most = fmaxf(most, fabsf(w[i]));
    for (int32_t i = 0; i < 135; i++)
        if (fabsf(w[i]) > 0.3f * most) {
            sum[w[i] < 0] += fabs((double)w[i]);
            count[w[i] < 0]++;
        }
    for (int32_t k = 0; k < 2; k++)
        assert_true(fabs((double)learned[k] - sum[k] / count[k]) < 1e-6);
    ((float *)fq->in[2]->out.data)[1] = learned[0] / 3; /* 127 and 42 */
    forward(&s, (nb_run){.step = 1});
    assert_int_equal(fq->out.q->n_levels, 3);
    assert_true(fq->out.q->level[0] == -42 && fq->out.q->level[1] == 0 && fq->out.q->level[2] == 127);
    assert_true(fabsf(fq->out.q->scale[0] * 127 - learned[0]) < 1e-6f);
    for (int32_t i = 0; i < 135; i++)
        assert_int_equal(code[i], w[i] > 0.3f * most ? 127 : w[i] < -0.3f * most ? -42 : 0);
    ref_street_close(&s);
}

static void a_codebook_begins_at_equal_distance_and_its_integers_are_distinct(void **state)
{
    (void)state;
    ref_street s = open_net(LAYERS "quant: {weights: {bits: 2, granularity: tensor, learn: codebook, range: minmax},\n"
                                   "  first_last_bits: 0}\n");
    const nb_node *fq = nb_graph_find(s.graph, "c.weight.fq");
    const float *w = fq->in[0]->out.data;
    const int8_t *code = fq->out.data;
    float *book = fq->in[2]->out.data, most = 0;
    forward(&s, (nb_run){0});
    for (int32_t i = 0; i < 135; i++)
        most = fmaxf(most, fabsf(w[i]));
    for (int32_t k = 0; k < 16; k++)
        assert_true(fabsf(book[k] - (k < 4 ? most * (float)(2 * k - 3) / 3 : 0)) < 1e-6f * most);
    assert_int_equal(fq->out.q->n_levels, 4);
    assert_true(fq->out.q->level[0] == -127 && fq->out.q->level[1] == -42 && fq->out.q->level[3] == 127);
    static const float sets[][4] = {{0.5f, -1, 0.25f, 0.2501f}, {-1, -1, -1, -1}, {2, 2, 2, 2}};
    static const int8_t levels[][3] = {{-127, 32, 64}, {-127, -126}, {126, 127}};
    for (int32_t k = 0; k < 3; k++) {
        memcpy(book, sets[k], sizeof sets[k]);
        forward(&s, (nb_run){.step = 1 + k});
        const int32_t n = fq->out.q->n_levels;
        assert_int_equal(n, k == 0 ? 3 : 2); /* two are one integer */
        assert_memory_equal(fq->out.q->level, levels[k], (size_t)n);
        for (int32_t i = 0; i < 135; i++)
            assert_int_equal(code[i], k == 1 ? -127 : k == 2 ? 127 : w[i] < -0.375f ? -127 : w[i] > 0.37505f ? 64 : 32);
    }
    ref_street_close(&s);
}

static void what_warps_weights_leaves_them_as_they_are_and_codes_follow_them(void **state)
{
    (void)state;
    ref_street s = open_net(LAYERS "quant: {weights: {bits: 3, format: odd, learn: dorefa}, first_last_bits: 0}\n");
    const nb_node *fq = nb_graph_find(s.graph, "c.weight.fq");
    float *w = fq->in[0]->out.data;
    const int8_t *code = fq->out.data;
    w[0] = 2; /* the largest by far */
    w[1] = -1;
    w[2] = 1e-3f;
    for (int32_t step = 0; step < 2; step++) /* the same in every step */
        forward(&s, (nb_run){.step = step});
    assert_true(w[0] == 2 && code[0] == 7 && code[1] == -5 &&
                code[2] == 1); /* tanh(1) / tanh(2) is 0.79, 5.5 sevenths */
    assert_true(fq->out.q->scale[0] == 1.0f / 7 && fq->out.q->scale[4] == 1.0f / 7);
    ref_street_close(&s);
}

/* Large steps, so that all of the grid, and what lies beyond it, is met. */
static void same_bits(const char *net)
{
    ref_street a = open_net(net), b;
    assert_int_equal(ref_street_open(&b, net, BATCH, REF_QUANTIZED), NB_OK);
    b.graph->fusions = NULL;
    assert_int_equal(nb_graph_freeze(b.graph, NB_PLAN_TRAIN), NB_OK);
    ref_street_steps(&a, 6, 0.5f, false);
    ref_street_steps(&b, 6, 0.5f, false);
    int32_t chains = 0;
    for (int32_t i = 0; i < a.graph->n_steps; i++)
        chains += a.graph->step[i].n > 1;
    assert_true(chains >= 3);
    for (int32_t i = 0; i < a.graph->n; i++)
        if (a.graph->node[i]->flags & NB_NODE_LEAF)
            assert_memory_equal(a.graph->node[i]->out.data, b.graph->node[i]->out.data,
                                (size_t)nb_count(&a.graph->node[i]->out) * sizeof(float));
    ref_street_close(&a);
    ref_street_close(&b);
}

static void chains_learn_the_same_bits_as_their_nodes_one_by_one(void **state)
{
    (void)state;
    same_bits(NET);
    same_bits(LEARNS("lsqplus", "lsqplus"));
    same_bits(LEARNS("tqt", "scale_zero"));
    same_bits(LAYERS "quant: {weights: {bits: 2, granularity: tensor, learn: ttq}, activations: {learn: dorefa}}\n");
    same_bits(LAYERS "quant: {weights: {bits: 3, granularity: tensor, learn: codebook}}\n");
    same_bits(
        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
        "model: [input, conv2d: {name: c, out: 5, kernel: 3, bias: no}, batchnorm, relu: {cap: 1, name: r},\n"
        "  conv2d: {out: 5, kernel: 3, pad: 1}, add: {in: [conv2d1, r]}, relu, conv2d: {out: 4, kernel: 3}, relu,\n"
        "  avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"
        "quant: {activations: {bits: 3, learn: pact, decay: 0.01},\n"
        "  layers: {conv2d1: {activations: {learn: tqt}}}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_begin_at_their_ranges_which_then_stand_still),
        cmocka_unit_test(frozen_ranges_have_no_gradient_and_a_calibration_begins_anew),
        cmocka_unit_test(a_scale_that_went_below_nothing_is_a_256th_of_its_range),
        cmocka_unit_test(an_offset_that_left_the_grid_takes_only_steps_back),
        cmocka_unit_test(each_begins_where_the_range_is_and_weights_of_lsqplus_at_three_deviations),
        cmocka_unit_test(ternary_weights_are_two_magnitudes_and_their_table_is_theirs),
        cmocka_unit_test(a_codebook_begins_at_equal_distance_and_its_integers_are_distinct),
        cmocka_unit_test(what_warps_weights_leaves_them_as_they_are_and_codes_follow_them),
        cmocka_unit_test(chains_learn_the_same_bits_as_their_nodes_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
