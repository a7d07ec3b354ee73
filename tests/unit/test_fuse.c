/* test_fuse.c - what is fused in networks as people write them. That the chains compute the same bits as their nodes is
 * tests/prop/test_fusion.c. */
#include "ref/street.h"

#include <nibble/extend/fusion.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "quant/fakequant.h"

#define RESNET                                                                                                         \
    "data: {name: synth, height: 16, width: 16}\n"                                                                     \
    "model: [input, conv2d: {name: stem, out: 8, pad: 1, bias: no}, batchnorm: {name: bn}, relu: {name: r},\n"         \
    "        resblock: {name: b, out: 8, repeat: 2}, avgpool: {global: yes}, linear: {out: 10}]\n"

static const nb_step *step_of(const nb_graph *g, const char *first)
{
    for (int32_t i = 0; i < g->n_steps; i++)
        if (strcmp(g->step[i].node[0]->name, first) == 0)
            return &g->step[i];
    return NULL;
}

static void check_chain(const nb_graph *g, const char *first, const char *fusion, const char *last)
{
    const nb_step *s = step_of(g, first);
    assert_true(s && s->fusion);
    assert_string_equal(s->fusion->name, fusion);
    assert_string_equal(nb_step_last(s)->name, last);
}

static void a_residual_network_is_batch_norms_and_adds_with_what_follows_them(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, RESNET, 4, REF_FLOAT), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    check_chain(s.graph, "bn", "norm", "r");
    check_chain(s.graph, "b.1.c2.bn", "norm", "b.1.c2.bn");
    check_chain(s.graph, "b.2.add", "join", "b.2.relu");
    assert_null(step_of(s.graph, "r"));
    ref_street_close(&s);
    assert_int_equal(ref_street_open(&s, RESNET, 4, REF_QUANTIZED), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    check_chain(s.graph, "bn", "norm", "r.fq");
    check_chain(s.graph, "b.1.c2.bn", "norm", "b.1.c2.bn.fq");
    check_chain(s.graph, "b.2.add", "join", "b.2.relu.fq");
    ref_street_close(&s);
}

static void a_convolution_read_by_a_batch_norm_alone_is_tapped_and_stores_no_gradient(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     "data: {name: synth, height: 16, width: 16}\n"
                                     "model: [input, conv2d: {name: a, out: 4, pad: 1}, batchnorm,\n"
                                     "        conv2d: {name: b, out: 4, pad: 1}, batchnorm: {name: n},\n"
                                     "        add: {in: [b, n]}, flatten, linear: {name: fc, out: 10}, batchnorm]\n",
                                     4, REF_FLOAT),
                     NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    const nb_node *a = nb_graph_find(s.graph, "a"), *b = nb_graph_find(s.graph, "b"),
                  *fc = nb_graph_find(s.graph, "fc");
    assert_true(a->tap && !a->out.grad && a->out.data);
    assert_true(!b->tap && b->out.grad);   /* the add reads it too */
    assert_true(!fc->tap && fc->out.grad); /* does not work image by image */
    s.graph->fusions = NULL;
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    assert_true(!a->tap && a->out.grad);
    ref_street_close(&s);
}

static void folded_batch_norms_leave_relu_and_fake_quant(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, RESNET "quant: {batchnorm: fold}\n", 4, REF_QUANTIZED), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    check_chain(s.graph, "r", "join", "r.fq");
    ref_street_close(&s);
}

static void a_quantized_step_needs_less_memory_than_a_float_one_and_both_less_than_node_by_node(void **state)
{
    (void)state;
    size_t bytes[2][2];
    for (int32_t q = 0; q < 2; q++) {
        ref_street s;
        assert_int_equal(ref_street_open(&s, RESNET, 32, q ? REF_QUANTIZED : REF_FLOAT), NB_OK);
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
        bytes[q][0] = s.graph->planned_bytes;
        s.graph->fusions = NULL;
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
        bytes[q][1] = s.graph->planned_bytes;
        ref_street_close(&s);
    }
    assert_true(bytes[1][0] < bytes[0][0]);
    assert_true(bytes[0][0] < bytes[0][1] && bytes[1][0] < bytes[1][1]);
}

/* Remembers what it was shown of each tensor: three values, far apart. */
enum { SHOWN = 3 };

static void observe_some(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    for (int64_t i = 0; i < SHOWN; i++)
        state[i] = o->values.at(o->values.arg, i * (o->n - 1) / (SHOWN - 1));
    state[SHOWN] = o->max;
}

static void params_of_some(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    nb_params_cover(g, 0, state[SHOWN], scale, zero);
}

static void a_fused_chain_shows_observers_the_values_it_does_not_store(void **state)
{
    (void)state;
    const nb_range some = {.name = "some", .n_state = SHOWN + 1, .observe = observe_some, .params = params_of_some};
    ref_street s[2];
    for (int32_t k = 0; k < 2; k++) { /* fused, node by node */
        assert_int_equal(ref_street_open(&s[k], RESNET, 4, REF_QUANTIZED), NB_OK);
        nb_graph *g = s[k].graph;
        for (int32_t i = 0; i < g->n; i++)
            if (g->node[i]->op == &nb_op_fakequant && !((nb_fakequant_attr *)g->node[i]->attr)->weights)
                ((nb_fakequant_attr *)g->node[i]->attr)->range = &some;
        if (k)
            g->fusions = NULL;
        assert_int_equal(nb_graph_freeze(g, NB_PLAN_TRAIN), NB_OK);
        ref_street_steps(&s[k], 2, 0.01f, false);
    }
    int32_t compared = 0;
    for (int32_t i = 0; i < s[0].graph->n; i++) {
        const nb_node *a = s[0].graph->node[i], *b = s[1].graph->node[i];
        if (a->op != &nb_op_fakequant || ((const nb_fakequant_attr *)a->attr)->weights)
            continue;
        assert_memory_equal(a->in[1]->out.data, b->in[1]->out.data, (SHOWN + 2) * sizeof(float));
        compared++;
    }
    assert_true(compared >= 4 && compared <= 100);
    ref_street_close(&s[0]);
    ref_street_close(&s[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_residual_network_is_batch_norms_and_adds_with_what_follows_them),
        cmocka_unit_test(a_convolution_read_by_a_batch_norm_alone_is_tapped_and_stores_no_gradient),
        cmocka_unit_test(folded_batch_norms_leave_relu_and_fake_quant),
        cmocka_unit_test(a_quantized_step_needs_less_memory_than_a_float_one_and_both_less_than_node_by_node),
        cmocka_unit_test(a_fused_chain_shows_observers_the_values_it_does_not_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
