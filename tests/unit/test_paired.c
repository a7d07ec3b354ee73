/* test_paired.c - the float network and the quantized one side by side: the twin is the network that is rounded, and what is
 * shown is what each computes. */
#include "ref/street.h"

#include <nibble/extend/fusion.h>

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

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, {conv2d: {name: c1, out: 6, pad: 1, bias: no}}, {batchnorm: {name: n1}}, relu,\n"                  \
    "  {resblock: {name: b, out: 6}}, dropout, {avgpool: {global: yes}}, {linear: {out: 6}}, {linear: {name: fc, "     \
    "out: 3}}]\n"                                                                                                      \
    "quant: {weights: {bits: 4, granularity: %s}, activations: {bits: 4}, batchnorm: %s}\n"

enum { N = 13, BATCH = 4 }; /* the last batch is short */

static const int32_t sample[N] = {5, 60, 2, 3, 33, 40, 41, 7, 8, 1, 0, 62, 9};
static const char *const layers[] = {"c1", "b.c1", "b.c2", "fc"};
enum { LAYERS = sizeof layers / sizeof *layers };

/* A float network that was trained a little, the same quantized and calibrated, and its twin. */
typedef struct {
    ref_street s;
    nb_graph *quantized, *twin;
} pair_case;

static void open_case(pair_case *c, const char *granularity, const char *batchnorm)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, NET, granularity, batchnorm);
    assert_int_equal(ref_street_open(&c->s, yaml, BATCH, REF_FLOAT), NB_OK);
    ref_street_steps(&c->s, 6, 0.05f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = BATCH,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    assert_int_equal(nb_graph_open(c->s.ctx, &spec, &from, &c->quantized), NB_OK);
    assert_int_equal(nb_calibrate(c->quantized, c->s.train, sample, N), NB_OK);
    assert_int_equal(nb_pair_open_twin(c->quantized, &c->s.exp, false, &c->twin), NB_OK);
}

static void close_case(pair_case *c)
{
    nb_graph_free(c->twin);
    nb_graph_free(c->quantized);
    ref_street_close(&c->s);
}

static nb_pair pair_of(const pair_case *c)
{
    return (nb_pair){.quantized = c->quantized, .floats = c->twin, .data = c->s.train, .indices = sample, .n = N};
}

static void logits(nb_graph *g, const nb_data *data, int32_t image, float out[3])
{
    uint8_t pixels[8 * 8 * 3];
    int32_t label;
    nb_data_get(data, image, pixels, &label);
    nb_graph_set_batch(g, 1);
    nb_forward(g, &(nb_run){.pixels = pixels});
    memcpy(out, nb_graph_logits(g), 3 * sizeof *out);
    nb_graph_set_batch(g, g->max_batch);
}

static void the_twin_computes_what_the_float_network_does(void **state)
{
    (void)state;
    static const char *const modes[] = {"keep", "fold", "fold_corrected"};
    for (int32_t m = 0; m < 3; m++) {
        pair_case c;
        open_case(&c, "channel", modes[m]);
        assert_false(c.twin->quantized);
        for (int32_t i = 0; i < N; i++) {
            float want[3], have[3], rounded[3];
            logits(c.s.graph, c.s.train, sample[i], want);
            logits(c.twin, c.s.train, sample[i], have);
            logits(c.quantized, c.s.train, sample[i], rounded);
            for (int32_t k = 0; k < 3; k++)
                assert_true(fabs((double)want[k] - (double)have[k]) < 1e-5);
            assert_true(fabs((double)want[0] - (double)rounded[0]) > 1e-5);
        }
        close_case(&c);
    }
}

static void the_twin_keeps_values_that_change_in_the_quantized_network(void **state)
{
    (void)state;
    pair_case c;
    float before[3], after[3];
    open_case(&c, "channel", "keep");
    logits(c.twin, c.s.train, 0, before);
    memset(nb_graph_find(c.quantized, "c1.weight")->out.data, 0, 4);
    logits(c.twin, c.s.train, 0, after);
    assert_memory_equal(before, after, sizeof before);
    close_case(&c);
}

/* ---- what is shown ---- */

typedef struct {
    char order[256];
    double worst; /* |sum over a window of codes times weights - value| of fc, the last layer */
    int32_t seen;
} shown;

static void see(void *ud, const nb_pair_view *v)
{
    shown *s = ud;
    size_t at = strlen(s->order);
    assert_string_equal(v->quantized->name, layers[v->layer]);
    assert_string_equal(v->floats->name, layers[v->layer]);
    assert_int_equal(v->quantized->out.shape.d[0], v->images);
    assert_int_equal(v->floats->out.shape.d[0], v->images);
    snprintf(s->order + at, sizeof s->order - at, "%d+%d/%d ", v->first, v->images, v->layer);
    if (v->layer != LAYERS - 1)
        return;
    const nb_node *const both[] = {v->quantized, v->floats};
    for (int32_t b = 0; b < 2; b++)
        for (int32_t i = 0; i < v->images; i++)
            for (int32_t o = 0; o < 3; o++, s->seen++) {
                const nb_node *n = both[b];
                float xs[6], ws[6];
                const float *x = nb_pair_floats(xs, n->in[0], i * 6, 6), *w = nb_pair_floats(ws, n->in[1], o * 6, 6);
                double sum = (double)((const float *)n->in[2]->out.data)[o];
                for (int32_t k = 0; k < 6; k++)
                    sum += (double)x[k] * (double)w[k];
                s->worst = fmax(s->worst, fabs(sum - (double)((const float *)n->out.data)[i * 3 + o]));
            }
}

static void layers_are_shown_in_order_with_what_they_read_and_give(void **state)
{
    (void)state;
    static const char *const granularities[] = {"channel", "tensor"};
    for (int32_t k = 0; k < 2; k++) {
        pair_case c;
        shown s = {.seen = 0};
        open_case(&c, granularities[k], "keep");
        const nb_pair p = pair_of(&c);
        assert_int_equal(nb_pair_run(&p, layers, LAYERS, see, &s), NB_OK);
        assert_string_equal(s.order, "0+4/0 0+4/1 0+4/2 0+4/3 4+4/0 4+4/1 4+4/2 4+4/3 8+4/0 8+4/1 8+4/2 8+4/3 "
                                     "12+1/0 12+1/1 12+1/2 12+1/3 ");
        assert_int_equal(s.seen, 2 * N * 3);
        assert_true(s.worst < 1e-4);
        assert_int_equal(c.quantized->batch, BATCH);
        assert_int_equal(c.twin->batch, BATCH);
        close_case(&c);
    }
}

/* ---- means and variances ---- */

/* Of one layer, image by image, in a graph that runs node by node. */
static void naive(nb_graph *g, const nb_data *data, const char *layer, double *mean, double *var)
{
    const nb_node *n = nb_graph_find(g, layer);
    const int32_t c = nb_channels(&n->out);
    int64_t rows = 0;
    double sum[6] = {0}, squares[6] = {0};
    nb_graph_set_batch(g, 1);
    for (int32_t i = 0; i < N; i++) {
        uint8_t pixels[8 * 8 * 3];
        int32_t label;
        nb_data_get(data, sample[i], pixels, &label);
        for (int32_t s = 0; s < g->n_steps; s++) {
            nb_forward_step(g, s, &(nb_run){.pixels = pixels});
            if (g->step[s].node[0] == n)
                break;
        }
        for (int64_t k = 0; k < nb_count(&n->out); k++) {
            const double v = (double)((const float *)n->out.data)[k];
            sum[k % c] += v;
            squares[k % c] += v * v;
        }
        rows += nb_rows(&n->out);
    }
    for (int32_t k = 0; k < c; k++) {
        mean[k] = sum[k] / (double)rows;
        var[k] = squares[k] / (double)rows - mean[k] * mean[k];
    }
}

static void means_and_variances_are_those_of_every_channel_over_all_images(void **state)
{
    (void)state;
    pair_case c;
    open_case(&c, "channel", "keep");
    nb_pair p = pair_of(&c);
    nb_pair_moments m[LAYERS] = {{0}}, one[LAYERS] = {{0}};
    assert_int_equal(nb_pair_measure(&p, layers, LAYERS, m), NB_OK);
    p.quantized = NULL;
    assert_int_equal(nb_pair_measure(&p, layers, LAYERS, one), NB_OK);
    c.quantized->fusions = NULL;
    assert_int_equal(nb_graph_freeze(c.quantized, NB_PLAN_TRAIN), NB_OK);
    for (int32_t i = 0; i < LAYERS; i++) {
        double mean[6], var[6];
        assert_int_equal(m[i].channels, i < LAYERS - 1 ? 6 : 3);
        naive(c.twin, c.s.train, layers[i], mean, var);
        for (int32_t k = 0; k < m[i].channels; k++) {
            assert_true(fabs(m[i].floats_mean[k] - mean[k]) < 1e-9 && fabs(m[i].floats_var[k] - var[k]) < 1e-9);
            assert_true(one[i].floats_mean[k] == m[i].floats_mean[k] && one[i].quantized_mean[k] == 0);
        }
        naive(c.quantized, c.s.train, layers[i], mean, var);
        for (int32_t k = 0; k < m[i].channels; k++)
            assert_true(fabs(m[i].quantized_mean[k] - mean[k]) < 1e-9 && fabs(m[i].quantized_var[k] - var[k]) < 1e-9);
        nb_free(c.s.ctx, m[i].floats_mean);
        nb_free(c.s.ctx, one[i].floats_mean);
    }
    close_case(&c);
}

static void they_are_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    const int32_t threads = nb_threads();
    double first[4 * 6] = {0};
    for (int32_t t = 1; t <= 4; t *= 2) {
        pair_case c;
        nb_set_threads(t);
        open_case(&c, "channel", "keep");
        const nb_pair p = pair_of(&c);
        nb_pair_moments m = {0};
        assert_int_equal(nb_pair_measure(&p, &layers[2], 1, &m), NB_OK);
        if (t == 1)
            memcpy(first, m.floats_mean, sizeof first);
        assert_memory_equal(m.floats_mean, first, sizeof first);
        nb_free(c.s.ctx, m.floats_mean);
        close_case(&c);
    }
    nb_set_threads(threads);
}

static void images_of_another_size_are_refused(void **state)
{
    (void)state;
    pair_case c;
    ref_street other;
    shown s = {.seen = 0};
    open_case(&c, "channel", "keep");
    assert_int_equal(ref_street_open(&other,
                                     "data: {name: synth, count: 8, height: 9, width: 8, channels: 3, classes: 3}\n"
                                     "model: [input, {linear: {out: 3}}]\n",
                                     2, REF_FLOAT),
                     NB_OK);
    nb_pair p = pair_of(&c);
    p.data = other.train;
    p.indices = NULL;
    p.n = 8;
    assert_int_equal(nb_pair_run(&p, layers, LAYERS, see, &s), NB_E_SHAPE);
    assert_int_equal(s.seen, 0);
    ref_street_close(&other);
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_twin_computes_what_the_float_network_does),
        cmocka_unit_test(the_twin_keeps_values_that_change_in_the_quantized_network),
        cmocka_unit_test(layers_are_shown_in_order_with_what_they_read_and_give),
        cmocka_unit_test(means_and_variances_are_those_of_every_channel_over_all_images),
        cmocka_unit_test(they_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(images_of_another_size_are_refused),
    };
    return cmocka_run_group_tests_name("paired", tests, NULL, NULL);
}
