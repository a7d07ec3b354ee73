/* test_blame.c - in random networks, trained a little, a layer that was damaged on purpose is the first that is blamed.
 *
 * Damage: one layer at 2 bits, or a quantizer (of weights, of a layer's output) whose scale is ten times too large.
 * NB_TEST_NETWORKS=20 tries more. NB_TEST_SHOW=N shows N cases and judges none: in few of many another layer really costs
 * more (docs/choosing.md). */
#include "ref/probe_case.h"

#include <nibble/extend/quant.h>

#include "base/parallel.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT = 4096, CASES = 10, STEPS = 40, IMAGES = 64 };

typedef struct {
    nb_rng rng;
    char text[TEXT];
    size_t at;
    int32_t layers;
    char name[32][16]; /* of layers with weights */
} writer;

static int32_t pick(writer *w, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(&w->rng, (uint32_t)(hi - lo + 1));
}

static void put(writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    w->at += (size_t)vsnprintf(w->text + w->at, TEXT - w->at, fmt, ap);
    va_end(ap);
    assert_true(w->at < TEXT);
}

/* A name for the next layer with weights. */
static const char *named(writer *w)
{
    snprintf(w->name[w->layers], sizeof w->name[0], "m%d", w->layers);
    return w->name[w->layers++];
}

static void block(writer *w, int32_t *channels)
{
    const int32_t out = pick(w, 6, 14);
    switch (pick(w, 0, 3)) {
    case 0:
        put(w, "  - dwconv2d: {name: %s, kernel: 3, pad: 1, bias: no}\n  - batchnorm\n  - relu\n", named(w));
        put(w, "  - conv2d: {name: %s, out: %d, kernel: 1, bias: no}\n  - batchnorm\n  - relu\n", named(w), out);
        *channels = out;
        break;
    case 1: {
        const int32_t id = w->layers;
        put(w, "  - conv2d: {name: %s, out: %d, kernel: 3, pad: 1, bias: no}\n  - batchnorm\n  - relu: {name: r%d}\n",
            named(w), out, id);
        put(w, "  - conv2d: {name: %s, out: %d, kernel: 3, pad: 1, bias: no}\n  - batchnorm: {name: b%d}\n", named(w),
            out, id);
        put(w, "  - add: {name: a%d, in: [r%d, b%d]}\n  - relu\n", id, id, id);
        *channels = out;
        break;
    }
    default:
        put(w, "  - conv2d: {name: %s, out: %d, kernel: 3, pad: 1, stride: %d, bias: no}\n  - batchnorm\n  - relu\n",
            named(w), out, pick(w, 1, 2));
        *channels = out;
    }
}

static void network(writer *w, int32_t seed)
{
    *w = (writer){.rng = nb_rng_make((uint64_t)seed, 7)};
    put(w,
        "seed: %d\ndata: {name: synth, count: 512, test_count: 128, height: 10, width: 10, channels: 3, classes: 4}\n"
        "model:\n  - input\n",
        seed);
    int32_t channels = pick(w, 6, 12);
    put(w, "  - conv2d: {name: %s, out: %d, kernel: 3, pad: 1, bias: no}\n  - batchnorm\n  - relu\n", named(w),
        channels);
    for (int32_t n = pick(w, 1, 4); n > 0; n--)
        block(w, &channels);
    put(w, "  - avgpool: {global: yes}\n");
    if (pick(w, 0, 2) == 0)
        put(w, "  - linear: {name: %s, out: 12}\n  - relu\n", named(w));
    put(w, "  - linear: {name: %s, out: 4}\n", named(w));
}

/* A quantizer whose scale becomes ten times too large. */
static void stretch(void *ud, nb_graph *g)
{
    nb_node *state = nb_graph_find(g, ud);
    assert_non_null(state);
    float *v = state->out.data;
    for (int64_t i = 0; i < nb_count(&state->out); i++)
        if (i % state->out.shape.d[1] < 2) /* the range's ends come first */
            v[i] *= 10;
}

/* The state leaf of the quantizer of what a layer puts out; "": there is none. */
static void output_state(const char *yaml, const char *layer, char *leaf, size_t size)
{
    probe_case c;
    *leaf = '\0';
    probe_case_open(&c, yaml, 0, NULL, NULL);
    for (int32_t i = 0; i < nb_probe_layers(c.probe); i++) {
        const nb_probe_layer *y = nb_probe_layer_at(c.probe, i);
        if (strcmp(y->name, layer) == 0 && y->output >= 0)
            snprintf(leaf, size, "%s", y->out->in[1]->name);
    }
    probe_case_close(&c);
}

static void one_case(int32_t seed)
{
    writer w;
    network(&w, seed);
    const int32_t victim = pick(&w, 0, w.layers - 1), bits = pick(&w, 0, 2) ? 8 : 4;
    const int32_t how =
        bits == 8 ? pick(&w, 0, 2) : 2 * pick(&w, 0, 1); /* 8 bits of an output, stretched, are some 5 */
    const char *layer = w.name[victim];
    char leaf[128] = "";
    put(&w,
        "quant:\n  first_last_bits: 0\n  weights: {bits: %d, granularity: %s}\n  activations: {bits: 8, range: "
        "minmax}\n",
        bits, pick(&w, 0, 1) ? "channel" : "tensor");
    if (how == 0)
        put(&w, "  layers: {%s: {weights: {bits: 2}}}\n", layer);
    if (how == 1)
        output_state(w.text, layer, leaf, sizeof leaf);
    if (how == 2 || (how == 1 && !*leaf))
        snprintf(leaf, sizeof leaf, "%s.weight.fq.state", layer);
    probe_case c;
    probe_case_open(&c, w.text, STEPS, *leaf ? stretch : NULL, leaf);
    nb_analysis a;
    const nb_analysis_job job = {.images = probe_case_images(&c, IMAGES)};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_OK);
    const nb_analysis_layer *first = &a.layer[a.layers_by_cost[0]];
    if (getenv("NB_TEST_SHOW")) {
        printf("%d %s %s: acc %.2f -> %.2f %s\n", seed, layer, *leaf ? leaf : "2 bits",
               (double)a.floats.correct / (double)a.floats.n, (double)a.quantized.correct / (double)a.quantized.n,
               strcmp(first->name, layer) == 0 ? "" : "WRONG");
        for (int32_t i = 0; i < a.n_layers; i++)
            printf("   %-10s cost %.3g local %.1f w %.1f o %.1f cum %.1f bias %.3f %.3f\n",
                   a.layer[a.layers_by_cost[i]].name, a.layer[a.layers_by_cost[i]].cost,
                   a.layer[a.layers_by_cost[i]].local, a.layer[a.layers_by_cost[i]].by_weights,
                   a.layer[a.layers_by_cost[i]].by_output, a.layer[a.layers_by_cost[i]].cumulative,
                   a.layer[a.layers_by_cost[i]].bias, a.layer[a.layers_by_cost[i]].bias_after);
    } else
        assert_string_equal(first->name, layer);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void the_damaged_layer_is_the_first(void **state)
{
    (void)state;
    const char *cases = getenv("NB_TEST_SHOW") ? getenv("NB_TEST_SHOW") : getenv("NB_TEST_NETWORKS");
    nb_set_threads(1); /* waiting ones would eat the time of a busy machine */
    for (int32_t seed = 1; seed <= (cases ? atoi(cases) : CASES); seed++)
        one_case(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_damaged_layer_is_the_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
