/* test_sums.c - networks whose weights, biases or statistics leave integers little room: none is refused, no sum leaves
 * 32 bits (the engine equals the naive interpreter), and the integers are what the graph that trains computes. */
#include "ref/ref_engine.h"
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 8 };

#define SMALL                                                                                                          \
    "data: {name: synth, count: 32, height: 9, width: 7, channels: 3, classes: 4}\n"                                   \
    "model: [input, conv2d: {name: c1, out: 8, pad: 1}, batchnorm: {name: bn}, relu, conv2d: {name: c2, out: 6}, "     \
    "relu, linear: {name: fc, out: 4}]\n"
#define NORMED /* logits out of a batch norm: its shift becomes a bias in units that its factor makes small */         \
    "data: {name: synth, count: 32, height: 9, width: 7, channels: 3, classes: 4}\n"                                   \
    "model: [input, conv2d: {name: c1, out: 8, pad: 1}, relu, linear: {name: fc, out: 4}, batchnorm: {name: bn}]\n"
#define POOLED /* and one on codes */                                                                                  \
    "data: {name: synth, count: 32, height: 9, width: 7, channels: 3, classes: 4}\n"                                   \
    "model: [input, conv2d: {name: c1, out: 4, pad: 1}, relu, avgpool: {global: yes}, batchnorm: {name: bn}]\n"
#define LARGE                                                                                                          \
    "data: {name: synth, count: 16, height: 160, width: 160, channels: 3, classes: 4}\n"                               \
    "model: [input, flatten, linear: {name: fc, out: 4}]\n"

typedef struct { /* leaf[index] = leaf[index] * times + plus, for all when index < 0 */
    const char *leaf;
    int32_t index;
    float times, plus;
} change;

typedef struct {
    const char *yaml;
    change change[3];
} pathology;

static const pathology pathologies[] = {
    {LARGE, {{"fc.weight", -1, 0, 0.01f}}},                           /* every product adds up */
    {LARGE, {{"fc.weight", -1, 0, -0.01f}, {"fc.bias", 1, 0, 1e5f}}}, /* the bias wants its share */
    {LARGE, {{"fc.weight", 5, 0, 3}}},                                /* ordinary, with an outlier */
    {SMALL, {{"c1.weight", -1, 3e-6f, 0}, {"c2.weight", -1, 3e-6f, 0}, {"fc.weight", -1, 3e-6f, 0}}},
    {SMALL, {{"fc.weight", -1, 1e-5f, 0}, {"fc.bias", -1, 0, 1}}}, /* all that decides is in the weights */
    {SMALL, {{"fc.weight", -1, 1e-9f, 0}, {"fc.bias", 2, 0, 1}}},  /* nothing but the bias is left */
    {SMALL, {{"fc.weight", -1, 1e-20f, 0}, {"fc.bias", 2, 0, 1}}},
    {SMALL, {{"c2.weight", -1, 1e-6f, 0}, {"c2.bias", 1, 0, 1}}},
    {SMALL, {{"c2.bias", 1, 0, 1e9f}}},  /* one channel takes the whole range */
    {SMALL, {{"c2.bias", 1, 0, -1e9f}}}, /* and one that relu removes */
    {SMALL, {{"c2.bias", 1, 0, 1e30f}}},
    {SMALL, {{"bn.gamma", 2, 0, 1e-9f}, {"bn.beta", 2, 0, 1}}}, /* a channel that says nothing */
    {SMALL, {{"bn.gamma", 2, 0, -1e-6f}, {"bn.beta", 2, 0, 3}}},
    {SMALL, {{"bn.gamma", 2, 0, 0}, {"bn.beta", 2, 0, -1}}},
    {SMALL, {{"bn.var", 2, 0, 0}, {"bn.mean", 2, 0, 100}}}, /* what constant pixels leave */
    {SMALL, {{"c1.weight", -1, 0, 0}, {"bn.var", -1, 0, 0}, {"bn.mean", -1, 0, 0.5f}}},
    {NORMED, {{"bn.gamma", 2, 0, 1e-6f}, {"bn.beta", 2, 0, 1}}},
    {NORMED, {{"bn.gamma", -1, 0, -1e-6f}, {"bn.beta", -1, 0, 1}}},
    {NORMED, {{"bn.gamma", -1, 0, 1e-5f}, {"bn.beta", -1, 0, 100}}},
    {POOLED, {{"bn.gamma", 2, 0, 4e-6f}, {"bn.beta", 2, 0, 1}}},
    {POOLED, {{"bn.gamma", -1, 0, -1e-6f}, {"bn.beta", -1, 0, 1}}},
    {POOLED, {{"bn.gamma", -1, 0, 1e-7f}, {"bn.beta", -1, 0, 1}}},
    {SMALL, {{"c2.weight", -1, 1e-8f, 0}, {"fc.weight", -1, 1e8f, 0}}}, /* small activations, put right later */
    {SMALL, {{"c2.weight", -1, 1e-8f, 0}, {"c2.bias", 1, 0, 1e-9f}, {"fc.bias", 2, 0, 1}}},
    {SMALL, {{"c1.weight", -1, 0, 0}, {"fc.weight", -1, 0, 0}, {"fc.bias", -1, 0, -0.013f}}},
};

static void apply(nb_graph *g, const change *c)
{
    nb_node *leaf = nb_graph_find(g, c->leaf);
    for (int64_t i = 0; leaf && i < nb_count(&leaf->out); i++) { /* a folded batch norm has none */
        float *v = (float *)leaf->out.data + i;
        *v = c->index < 0 || i == c->index ? *v * c->times + c->plus : *v;
    }
}

static void check_against_interpreter(const ref_street *s, const nb_intmodel *m)
{
    const nb_dsinfo *info = nb_data_info(s->test);
    uint8_t *pixels = calloc(1, (size_t)info->h * (size_t)info->w * (size_t)info->c);
    void *arena = nb_alloc(s->ctx, nb_engine_arena_bytes(&m->e));
    assert_true(pixels && arena);
    for (int32_t i = 0; i < 4; i++) {
        int32_t label;
        nb_data_get(s->test, i, pixels, &label);
        if (i == 3) /* white: all that can add up does */
            memset(pixels, 255, (size_t)info->h * (size_t)info->w * (size_t)info->c);
        ref_values v = ref_engine_run(&m->e, pixels);
        for (int32_t step = 0; step < m->e.n_steps; step++)
            assert_true(
                ref_engine_equal(&m->e, &v, m->e.steps[step].out, nb_engine_run_step(&m->e, arena, step, pixels)));
        ref_values_free(&v);
    }
    nb_free(s->ctx, arena);
    free(pixels);
}

static void check(const pathology *p, int32_t bits, const char *granularity, const char *fold)
{
    char yaml[1024];
    ref_street s;
    snprintf(yaml, sizeof yaml, "%squant: {weights: {bits: %d, granularity: %s}, batchnorm: %s}\n", p->yaml, bits,
             granularity, fold);
    assert_int_equal(ref_street_open(&s, yaml, BATCH, REF_QUANTIZED), NB_OK);
    for (int32_t i = 0; i < 3 && p->change[i].leaf; i++)
        apply(s.graph, &p->change[i]);
    ref_street_steps(&s, 2, 0, true); /* ranges of everything; nothing is learned, statistics stay */
    nb_graph *g;
    assert_int_equal(ref_street_copy(&s, BATCH, REF_QUANTIZED, &g), NB_OK);
    nb_intmodel *m;
    nb_verify_report r;
    if (nb_lower(g, "", &m) != NB_OK)
        fail_msg("%s%s: %s", yaml, p->change[0].leaf, nb_ctx_error(s.ctx));
    check_against_interpreter(&s, m);
    assert_int_equal(nb_verify(g, m, s.test, BATCH, &r), NB_OK);
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (r.rows[i].faults > 0)
            fail_msg("%s%s: %s: %lld of %lld are no rounding, by %d at most", yaml, p->change[0].leaf, r.rows[i].name,
                     (long long)r.rows[i].faults, (long long)r.rows[i].outputs, r.rows[i].largest);
    nb_free(s.ctx, r.rows);
    nb_intmodel_free(s.ctx, m);
    nb_graph_free(g);
    ref_street_close(&s);
}

static void no_network_is_too_lopsided_for_integers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pathologies / sizeof pathologies[0]; i++)
        for (int32_t k = 0; k < 4; k++) /* every pair of settings, with half of the combinations */
            check(&pathologies[i], k & 1 ? 8 : 3, k & 2 ? "channel" : "tensor", k == 0 || k == 3 ? "keep" : "fold");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_network_is_too_lopsided_for_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
