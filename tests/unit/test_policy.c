/* test_policy.c - where fake-quant nodes go, what single layers override, static folding (policy.c, rules.c, fold.c).
 */
#include "ref/street.h"

#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ref/must_refuse.h"

#define DATA "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
#define NET                                                                                                            \
    DATA "model:\n"                                                                                                    \
         "  - input\n"                                                                                                 \
         "  - conv2d: {name: c1, out: 4, kernel: 3, pad: 1, bias: no}\n"                                               \
         "  - batchnorm: {name: bn}\n"                                                                                 \
         "  - relu: {name: r1}\n"                                                                                      \
         "  - conv2d: {name: c2, out: 4, kernel: 3, pad: 1}\n"                                                         \
         "  - add: {name: sum, in: [c2, r1]}\n"                                                                        \
         "  - relu: {name: r2}\n"                                                                                      \
         "  - maxpool: {name: mp, kernel: 2}\n"                                                                        \
         "  - dropout: {name: drop}\n"                                                                                 \
         "  - linear: {name: fc, out: 3}\n"

static void open_with(ref_street *s, const char *quant)
{
    char yaml[2048];
    snprintf(yaml, sizeof yaml, NET "%s", quant);
    nb_status st = ref_street_open(s, yaml, 2, REF_QUANTIZED);
    if (st != NB_OK)
        print_error("%s\n", nb_ctx_error(s->ctx));
    assert_int_equal(st, NB_OK);
}

static const nb_fakequant_attr *rule(const ref_street *s, const char *name)
{
    const nb_node *n = nb_graph_find(s->graph, name);
    assert_non_null(n);
    return n->attr;
}

static void every_chain_is_closed_once_at_its_end(void **state)
{
    (void)state;
    ref_street s;
    open_with(&s, "quant: {weights: {bits: 4}, activations: {bits: 6}}\n");
    static const char *const wanted[] = {"input1.fq", "c1.weight.fq", "r1.fq",       "c2.weight.fq",
                                         "c2.fq",     "r2.fq",        "fc.weight.fq"};
    int32_t count = 0;
    for (int32_t i = 0; i < s.graph->n; i++)
        count += s.graph->node[i]->op == &nb_op_fakequant;
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_non_null(nb_graph_find(s.graph, wanted[i]));
    assert_null(nb_graph_find(s.graph, "drop")); /* train-only */
    assert_ptr_equal(nb_graph_find(s.graph, "mp")->in[0], nb_graph_find(s.graph, "r2.fq"));
    assert_ptr_equal(s.graph->loss->in[0], nb_graph_find(s.graph, "fc")); /* logits stay open */
    ref_street_close(&s);
}

static void the_first_and_the_last_layer_keep_eight_bits(void **state)
{
    (void)state;
    ref_street s;
    open_with(&s, "quant: {weights: {bits: 4}, activations: {bits: 4}}\n");
    assert_int_equal(rule(&s, "input1.fq")->bits, 8);
    assert_int_equal(rule(&s, "c1.weight.fq")->bits, 8);
    assert_int_equal(rule(&s, "r1.fq")->bits, 4);
    assert_int_equal(rule(&s, "c2.weight.fq")->bits, 4);
    assert_int_equal(rule(&s, "r2.fq")->bits, 8); /* what enters fc, through the pool */
    assert_int_equal(rule(&s, "fc.weight.fq")->bits, 8);
    ref_street_close(&s);
    open_with(&s, "quant: {weights: {bits: 4}, activations: {bits: 5}, first_last_bits: 0, output_bits: 7}\n");
    assert_int_equal(rule(&s, "input1.fq")->bits, 5);
    assert_int_equal(rule(&s, "fc.weight.fq")->bits, 4);
    assert_int_equal(rule(&s, "fc.fq")->bits, 7);
    ref_street_close(&s);
}

static void what_only_joins_read_has_bits_of_its_own(void **state)
{
    (void)state;
    ref_street s;
    open_with(&s, "quant: {weights: {bits: 2}, activations: {bits: 2}, join_bits: 7}\n");
    assert_int_equal(rule(&s, "c2.fq")->bits, 7); /* sum alone */
    assert_int_equal(rule(&s, "r1.fq")->bits, 2); /* sum and c2 */
    assert_int_equal(rule(&s, "c2.weight.fq")->bits, 2);
    assert_int_equal(rule(&s, "input1.fq")->bits, 8);
    ref_street_close(&s);
    open_with(&s, "quant: {activations: {bits: 4}, join_bits: 8, layers: {c2: {activations: {bits: 3}}}}\n");
    assert_int_equal(rule(&s, "c2.fq")->bits, 3); /* a layer's own rule wins */
    ref_street_close(&s);
}

/* Not where padding does not count, and not where it makes the logits. */
static void a_mean_has_a_grid_of_its_own_where_that_is_asked_for(void **state)
{
    (void)state;
    for (int32_t own = 0; own < 2; own++) {
        char text[700];
        ref_street s;
        snprintf(text, sizeof text,
                 "data: {name: synth, count: 32, height: 9, width: 9, channels: 3, classes: 3}\nmodel:\n  - input\n"
                 "  - conv2d: {name: a, out: 4}\n  - avgpool: {name: m, kernel: 2}\n  - relu: {name: r}\n"
                 "  - avgpool: {name: inside, kernel: 3, stride: 1, pad: 1, count_pad: no}\n"
                 "  - conv2d: {name: b, out: 3, kernel: 1}\n  - avgpool: {name: end, global: yes}\n"
                 "  - flatten\nquant: {means: %s}\n",
                 own ? "own" : "keep");
        assert_int_equal(ref_street_open(&s, text, 2, REF_QUANTIZED), NB_OK);
        assert_true((nb_graph_find(s.graph, "r.fq") != NULL) == own); /* the relu joins the mean's step */
        assert_true((nb_graph_find(s.graph, "a.fq") != NULL));
        assert_null(nb_graph_find(s.graph, "m.fq"));
        assert_null(nb_graph_find(s.graph, "inside.fq"));
        assert_null(nb_graph_find(s.graph, "end.fq"));
        ref_street_close(&s);
    }
}

static void what_only_tables_read_has_eight_bits(void **state)
{
    (void)state;
    ref_street s;
    static const char net[] = DATA
        "model:\n  - input\n  - conv2d: {name: c1, out: 4}\n  - batchnorm: {name: bn}\n  - silu: {name: a1}\n"
        "  - relu: {name: r1}\n  - tanh: {name: a2}\n  - conv2d: {name: c2, out: 4}\n"
        "  - conv2d: {name: c3, out: 4, in: c2, kernel: 1}\n  - elu: {name: a3, in: c2}\n"
        "  - concat: {in: [c3, a3]}\n  - sigmoid: {name: a4}\n  - linear: {name: fc, out: 3}\nquant: {activations: "
        "{bits: 4, scheme: unsigned}, first_last_bits: 0";
    const struct {
        const char *quant, *name;
        int32_t bits;
    } wanted[] = {{"}\n", "bn.fq", 8}, /* a table, and then what the three make together */
                  {"}\n", "a2.fq", 4},
                  {"}\n", "c2.fq", 4}, /* c3 multiplies it */
                  {"}\n", "concat1.fq", 8},
                  {"}\n", "a4.fq", 4},
                  {", table_bits: 0}\n", "bn.fq", 4},
                  {", table_bits: 5}\n", "bn.fq", 5},
                  {", layers: {c1: {activations: {bits: 3}}}}\n", "bn.fq", 3},
                  {", layers: {a1: {activations: {bits: 3}}}}\n", "a2.fq", 3}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, "%s%s", net, wanted[i].quant);
        assert_int_equal(ref_street_open(&s, yaml, 2, REF_QUANTIZED), NB_OK);
        assert_int_equal(rule(&s, wanted[i].name)->bits, wanted[i].bits);
        assert_null(nb_graph_find(s.graph, "a1.fq"));
        assert_null(nb_graph_find(s.graph, "r1.fq"));
        assert_int_equal(rule(&s, "a2.fq")->scheme, NB_SCHEME_SYMMETRIC); /* tanh of what is positive, but who knows */
        assert_int_equal(rule(&s, "a4.fq")->scheme, NB_SCHEME_UNSIGNED);
        ref_street_close(&s);
    }
}

/* A hardswish is 0 below -3 and tells all else apart; a tanh is 1 from about 9 on. */
static void what_an_activation_does_not_tell_apart_is_out_of_the_range(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     "data: {name: synth, count: 32, height: 9, width: 9, channels: 3, classes: 3}\n"
                                     "model:\n  - input\n  - conv2d: {name: a, out: 4}\n  - hardswish\n"
                                     "  - conv2d: {name: b, out: 4}\n  - tanh\n  - linear: {out: 3}\n",
                                     2, REF_QUANTIZED),
                     NB_OK);
    const nb_fakequant_attr *a = rule(&s, "a.fq"), *b = rule(&s, "b.fq");
    assert_true(a->flat && fabsf(a->flat_from + 3) < 1e-4f && a->flat_to >= 1e6f);
    assert_true(b->flat && b->flat_from < -8 && b->flat_from > -11 && b->flat_to > 8 && b->flat_to < 11);
    assert_false(rule(&s, "input1.fq")->flat);
    ref_street_close(&s);
}

static void a_layer_overrides_only_what_it_names(void **state)
{
    (void)state;
    ref_street s;
    open_with(
        &s, "quant:\n  weights: {bits: 4, granularity: tensor}\n  activations: {bits: 6, scheme: unsigned}\n"
            "  layers: {c2: {weights: {bits: 3}, activations: {scheme: asymmetric}}, c1: {activations: {bits: 5}}}\n");
    assert_int_equal(rule(&s, "c2.weight.fq")->bits, 3);
    assert_false(rule(&s, "c2.weight.fq")->per_channel);
    assert_int_equal(rule(&s, "c2.fq")->bits, 6);
    assert_int_equal(rule(&s, "c2.fq")->scheme, NB_SCHEME_ASYMMETRIC);
    assert_int_equal(rule(&s, "r1.fq")->bits, 5); /* the chain that c1 opens */
    assert_int_equal(rule(&s, "r1.fq")->scheme, NB_SCHEME_UNSIGNED);
    assert_int_equal(rule(&s, "input1.fq")->scheme, NB_SCHEME_SYMMETRIC); /* pixels can be negative */
    ref_street_close(&s);
    open_with(&s, "quant:\n  layers:\n"); /* an empty value is an empty section */
    ref_street_close(&s);
}

static void a_layers_momentum_refines_the_general_range_method(void **state)
{
    (void)state;
    ref_street s;
    open_with(&s,
              "quant:\n  activations: {range: mse, momentum: 0.5}\n  layers: {c2: {activations: {momentum: 0.25}}}\n");
    assert_string_equal(rule(&s, "c2.fq")->range->name, "mse");
    assert_true(*(const float *)rule(&s, "c2.fq")->range_attr == 0.25f);
    assert_true(*(const float *)rule(&s, "r1.fq")->range_attr == 0.5f);
    ref_street_close(&s);
}

static void mistakes_in_the_quant_section_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"quant: {weights: {bits: 9}}\n", "quant.weights.bits: 9: must be in 1..8"},
        {"quant: {join_bits: 1}\n", "quant: join_bits: 1: must be 0 or in 2..8"},
        {"quant: {join_bits: 9}\n", "quant.join_bits: 9: must be in 0..8"},
        {"quant: {table_bits: 1}\n", "quant: table_bits: 1: must be 0 or in 2..8"},
        {"quant: {weights: {range: emma}}\n", "did you mean \"ema\"?"},
        {"quant: {layers: {c3: {weights: {bits: 4}}}}\n", "the model has no such layer"},
        {"quant: {layers: {c1: {wieghts: {bits: 4}}}}\n", "did you mean \"weights\"?"},
        {"quant: {activations: {momentum: 2}}\n", "momentum"},
        {"quant: {weights: {momentum: 0.1}}\n", "unknown key"},
        {"quant: {first_last_bits: 1}\n", "first_last_bits: 1: must be 0 or in 2..8"},
        {"quant: {layers: {r1: {weights: {bits: 4}}}}\n",
         "quant.layers.r1.weights: changes nothing: it has no weights"},
        {"quant: {layers: {fc: {activations: {bits: 4}}}}\n",
         "quant.layers.fc.activations: changes nothing: its output is not quantized"},
        {"quant: {layers: {c1: {weights: {bits: 4}}, c1.weight: {activations: {bits: 4}}}}\n",
         "quant.layers.c1.weight.activations: changes nothing"},
        {"quant: {weights: {learn: pact}}\n", "learn: pact: clips activations at a learned value: for weights set"},
        {"quant: {weights: {learn: scale_zero}}\n", "these weights have none: set learn: lsq"},
        {"quant: {activations: {learn: scale_zero, scheme: unsigned}}\n",
         "set scheme: asymmetric and format: uniform, or learn: lsq"},
        {"quant: {activations: {learn: lsq+, scheme: symmetric}}\n",
         "quant.activations: learn: lsqplus: learns an offset"},
        {"quant: {activations: {learn: scale_zero, format: fp8_e4m3}}\n", "set scheme: asymmetric and format: uniform"},
        {"quant: {activations: {learn: pact, scheme: symmetric}}\n", "set scheme: asymmetric or unsigned"},
        {"quant: {activations: {learn: lsqplus}, layers: {r1: {activations: {scheme: symmetric}}}}\n",
         "quant.layers.r1.activations"},
        {"quant: {layers: {c2: {activations: {learn: pact}}}}\n",
         "quant.layers.c2.activations: learn: pact: clips activations to 0..alpha, and these can be negative"},
        {"quant: {weights: {learn: ttq, bits: 2}}\n", "learn: ttq: has two values per layer: set granularity: tensor"},
        {"quant: {weights: {learn: ttq, granularity: tensor}}\n", "set bits: 2 and format: uniform"},
        {"quant: {activations: {learn: ttq}}\n", "is for weights"},
        {"quant: {weights: {learn: codebook, bits: 5, granularity: tensor}}\n", "set bits to at most 4"},
        {"quant: {weights: {learn: codebook, bits: 4}}\n", "has one book per layer: set granularity: tensor"},
        {"quant: {weights: {learn: dorefa, bits: 4}}\n", "set format: odd, and bits to at most 7"},
        {"quant: {weights: {format: odd, bits: 8}}\n", "has codes of 2..7 bits"},
        {"quant: {activations: {learn: dorefa, scheme: symmetric}}\n", "set scheme: asymmetric or unsigned"},
        {"quant: {activations: {learn: tqt, lr: -1}}\n", "lr: -1: must be in 0..1000"},
        {"quant: {activations: {learn: pact, decay: -1}}\n", "decay: -1: must be in 0..100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, NET "%s", cases[i][0]);
        ref_street s;
        must_refuse(ref_street_open(&s, yaml, 2, REF_QUANTIZED), &s, cases[i][1]);
    }
}

static void folding_moves_batch_norm_into_weights_without_changing_the_function(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, NET, 4, REF_FLOAT), NB_OK);
    ref_street_steps(&s, 5, 0.05f, false); /* statistics away from 0 and 1 */
    nb_graph *plain, *folded;
    assert_int_equal(ref_street_copy(&s, 4, REF_FLOAT, &plain), NB_OK);
    assert_int_equal(nb_model_build(s.ctx, &s.exp, nb_data_info(s.train), 4, &folded), NB_OK);
    for (int32_t i = 0; i < folded->n; i++)
        if (folded->node[i]->flags & NB_NODE_LEAF)
            memcpy(folded->node[i]->out.data, nb_graph_find(s.graph, folded->node[i]->name)->out.data,
                   (size_t)nb_count(&folded->node[i]->out) * sizeof(float));
    assert_int_equal(nb_quant_fold(folded), NB_OK);
    assert_null(nb_graph_find(folded, "bn"));
    assert_non_null(nb_graph_find(folded, "c1.bias"));
    assert_int_equal(nb_graph_freeze(folded, NB_PLAN_INFER), NB_OK);
    uint8_t pixels[4 * 192];
    int32_t label;
    for (int32_t b = 0; b < 4; b++)
        nb_data_get(s.train, b, pixels + b * 192, &label);
    nb_forward(plain, &(nb_run){.pixels = pixels});
    nb_forward(folded, &(nb_run){.pixels = pixels});
    for (int32_t i = 0; i < 12; i++)
        assert_float_equal(nb_graph_logits(plain)[i], nb_graph_logits(folded)[i], 1e-4);
    nb_graph_free(plain);
    nb_graph_free(folded);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chain_is_closed_once_at_its_end),
        cmocka_unit_test(the_first_and_the_last_layer_keep_eight_bits),
        cmocka_unit_test(what_only_joins_read_has_bits_of_its_own),
        cmocka_unit_test(what_an_activation_does_not_tell_apart_is_out_of_the_range),
        cmocka_unit_test(a_mean_has_a_grid_of_its_own_where_that_is_asked_for),
        cmocka_unit_test(what_only_tables_read_has_eight_bits),
        cmocka_unit_test(a_layer_overrides_only_what_it_names),
        cmocka_unit_test(a_layers_momentum_refines_the_general_range_method),
        cmocka_unit_test(mistakes_in_the_quant_section_are_named),
        cmocka_unit_test(folding_moves_batch_norm_into_weights_without_changing_the_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
