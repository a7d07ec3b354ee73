/* test_graph.c - building, passes, planning, forward and backward as loops (graph.c, plan.c, autograd.c, gradcheck.c).
 */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DATA "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
#define SMALL                                                                                                          \
    DATA "model:\n"                                                                                                    \
         "  - input\n"                                                                                                 \
         "  - conv2d: {name: c1, out: 4, kernel: 3, pad: 1}\n"                                                         \
         "  - batchnorm\n"                                                                                             \
         "  - relu\n"                                                                                                  \
         "  - conv2d: {name: c2, out: 4, kernel: 3, pad: 1}\n"                                                         \
         "  - add: {in: [c2, relu1]}\n"                                                                                \
         "  - flatten\n"                                                                                               \
         "  - linear: {name: fc, out: 3}\n"

static void inputs_stand_before_their_readers_and_ids_are_positions(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, SMALL, 4, REF_QUANTIZED), NB_OK);
    for (int32_t i = 0; i < s.graph->n; i++) {
        assert_int_equal(s.graph->node[i]->id, i);
        for (int32_t k = 0; k < s.graph->node[i]->n_in; k++)
            assert_true(s.graph->node[i]->in[k]->id < i);
    }
    ref_street_close(&s);
}

static void a_leaf_that_comes_late_stands_right_before_its_node(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(&s, DATA "model: [input, conv2d: {name: c, out: 3, bias: no}, avgpool: {global: yes}]\n", 2,
                        REF_FLOAT),
        NB_OK);
    nb_node *c = nb_graph_find(s.graph, "c"), *bias;
    assert_int_equal(nb_graph_late_leaf(s.graph, c, "bias", nb_shape_of(1, 3, 0, 0, 0), NB_NODE_PARAM, &bias), NB_OK);
    assert_int_equal(bias->id + 1, c->id);
    assert_ptr_equal(c->in[2], bias);
    ref_street_close(&s);
}

static void two_tensors_never_share_memory_while_both_live(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, SMALL, 4, REF_FLOAT), NB_OK);
    s.graph->fusions = NULL;
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    /* fill every value with its id in forward order and look whether an input survived until its reader */
    for (int32_t i = 0; i < s.graph->n; i++) {
        nb_node *n = s.graph->node[i];
        if ((n->flags & NB_NODE_LEAF) || (n->op->flags & NB_OP_VIEW))
            continue;
        for (int32_t k = 0; k < n->n_in; k++)
            if (!(n->in[k]->flags & NB_NODE_LEAF) && !(n->in[k]->op->flags & NB_OP_VIEW))
                assert_float_equal(((float *)n->in[k]->out.data)[0], (float)n->in[k]->id, 0);
        ((float *)n->out.data)[0] = (float)i;
    }
    ref_street_close(&s);
}

static void gradients_agree_with_differences_of_the_loss(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, SMALL, 4, REF_FLOAT), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    uint8_t pixels[4 * 8 * 8 * 3];
    int32_t labels[4];
    for (int32_t b = 0; b < 4; b++)
        nb_data_get(s.train, b, pixels + b * 192, &labels[b]);
    double worst;
    assert_int_equal(
        nb_grad_check(s.graph, &(nb_run){.train = true, .pixels = pixels, .labels = labels}, 4, 1e-3, &worst), NB_OK);
    assert_true(worst < 0.02);
    ref_street_close(&s);
}

static void gradients_agree_with_frozen_batch_norm_too(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, SMALL, 4, REF_FLOAT), NB_OK);
    ref_street_steps(&s, 3, 0.05f, false); /* running statistics away from 0 and 1 */
    uint8_t pixels[4 * 8 * 8 * 3];
    int32_t labels[4];
    for (int32_t b = 0; b < 4; b++)
        nb_data_get(s.train, b, pixels + b * 192, &labels[b]);
    nb_run r = {.train = true, .freeze_bn = true, .pixels = pixels, .labels = labels};
    double worst;
    assert_int_equal(nb_grad_check(s.graph, &r, 4, 1e-3, &worst), NB_OK);
    assert_true(worst < 0.02);
    ref_street_close(&s);
}

static void a_value_read_twice_gets_both_gradients(void **state)
{
    (void)state;
    /* y = x + x through add: the loss's slope along x is twice that of one edge */
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model:\n  - input\n  - conv2d: {name: c, out: 3, kernel: 8}\n"
                                          "  - add: {in: [c, c]}\n",
                                     2, REF_FLOAT),
                     NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    uint8_t pixels[2 * 192] = {1, 2, 3};
    int32_t labels[2] = {0, 1};
    nb_run r = {.train = true, .pixels = pixels, .labels = labels};
    nb_forward(s.graph, &r);
    nb_backward(s.graph, &r);
    const nb_node *add = s.graph->loss->in[0], *c = nb_graph_find(s.graph, "c");
    assert_string_equal(add->op->name, "add");
    double worst;
    assert_int_equal(nb_grad_check(s.graph, &r, 4, 1e-3, &worst), NB_OK);
    assert_true(worst < 0.02);
    assert_int_equal(nb_node_consumers(s.graph, c), 2);
    assert_null(nb_node_only_reader(s.graph, c)); /* one node, but two edges */
    assert_ptr_equal(nb_node_only_reader(s.graph, add), s.graph->loss);
    assert_null(nb_node_only_reader(s.graph, s.graph->loss));
    ref_street_close(&s);
}

static void a_smaller_batch_runs_in_the_same_plan(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, SMALL, 4, REF_FLOAT), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_INFER), NB_OK);
    uint8_t pixels[4 * 192];
    int32_t labels[4];
    float all[12];
    for (int32_t b = 0; b < 4; b++)
        nb_data_get(s.train, b, pixels + b * 192, &labels[b]);
    nb_forward(s.graph, &(nb_run){.pixels = pixels});
    memcpy(all, nb_graph_logits(s.graph), sizeof all);
    for (int32_t b = 0; b < 4; b++) {
        nb_graph_set_batch(s.graph, 1);
        nb_forward(s.graph, &(nb_run){.pixels = pixels + b * 192});
        assert_memory_equal(nb_graph_logits(s.graph), all + 3 * b, 3 * sizeof(float));
    }
    ref_street_close(&s);
}

static void inference_needs_less_memory_than_training(void **state)
{
    (void)state;
    ref_street a, b;
    assert_int_equal(ref_street_open(&a, SMALL, 4, REF_FLOAT), NB_OK);
    assert_int_equal(ref_street_open(&b, SMALL, 4, REF_FLOAT), NB_OK);
    assert_int_equal(nb_graph_freeze(a.graph, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(nb_graph_freeze(b.graph, NB_PLAN_INFER), NB_OK);
    assert_true(b.graph->planned_bytes < a.graph->planned_bytes);
    ref_street_close(&a);
    ref_street_close(&b);
}

static void a_graph_says_what_it_is(void **state)
{
    (void)state;
    static const char config[] =
        DATA "model: [input, conv2d: {out: 2, kernel: 3, bias: no}, flatten, linear: {out: 3}]\n";
    for (int quantized = 0; quantized < 2; quantized++) {
        ref_street s;
        assert_int_equal(ref_street_open(&s, config, 2, quantized ? REF_QUANTIZED : REF_FLOAT), NB_OK);
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
        const nb_graph_facts a = nb_graph_about(s.graph);
        assert_int_equal(a.params, 2 * 27 + (6 * 6 * 2 * 3 + 3)); /* ranges are not trained */
        assert_int_equal(a.info->h, 8);
        assert_int_equal(a.info->classes, 3);
        assert_int_equal(a.quantized, quantized);
        assert_true(a.steps > 0 && a.steps == s.graph->n_steps);
        assert_true(a.param_bytes >= 2 * sizeof(float) * (size_t)a.params && a.planned_bytes > 0);
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_stand_before_their_readers_and_ids_are_positions),
        cmocka_unit_test(a_leaf_that_comes_late_stands_right_before_its_node),
        cmocka_unit_test(two_tensors_never_share_memory_while_both_live),
        cmocka_unit_test(gradients_agree_with_differences_of_the_loss),
        cmocka_unit_test(gradients_agree_with_frozen_batch_norm_too),
        cmocka_unit_test(a_value_read_twice_gets_both_gradients),
        cmocka_unit_test(a_smaller_batch_runs_in_the_same_plan),
        cmocka_unit_test(inference_needs_less_memory_than_training),
        cmocka_unit_test(a_graph_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
