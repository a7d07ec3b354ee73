/* test_units.c - blocks that are made of units: names, shapes, activations, paths, and a sentence for each mistake
 * (units.c, block_bottleneck.c, block_branches.c, block_convbn.c, block_dwsep.c, block_invres.c). */
#include "ref/street.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATA "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
#define END  "  - avgpool: {global: yes}\n  - linear: {out: 3}\n"

static nb_status open_model(ref_street *s, const char *layers)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, DATA "model:\n  - input\n%s" END, layers);
    return ref_street_open(s, yaml, 2, REF_FLOAT);
}

static void build(ref_street *s, const char *layers)
{
    if (open_model(s, layers) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
}

static void expect(const char *layers, nb_status want, const char *sentence)
{
    ref_street s;
    const nb_status st = open_model(&s, layers);
    if (st != want || !strstr(nb_ctx_error(s.ctx), sentence))
        fail_msg("got %d: %s\nwant: %s", (int)st, nb_ctx_error(s.ctx), sentence);
    ref_street_close(&s);
}

static const nb_node *node(const ref_street *s, const char *name)
{
    const nb_node *n = nb_graph_find(s->graph, name);
    if (!n)
        fail_msg("there is no %s", name);
    return n;
}

static void each_mistake_names_place_and_remedy(void **state)
{
    (void)state;
    expect("  - branches: {name: m}\n", NB_E_CONFIG, "paths");
    expect("  - branches: {name: m, paths: []}\n", NB_E_CONFIG,
           "test.yaml:4: branches m: paths: must be a list of 1 to 8 paths, each a list of layers");
    expect("  - branches: {name: m, paths: {}}\n", NB_E_CONFIG, "must be a list of 1 to 8 paths");
    expect("  - branches: {name: m, paths: [[], [], [], [], [], [], [], [], []]}\n", NB_E_CONFIG,
           "must be a list of 1 to 8 paths");
    expect("  - branches: {paths: [[], [relu, conv2: {out: 3}]]}\n", NB_E_CONFIG,
           "test.yaml:4: model[1] branches.paths[1][1]: conv2: unknown layer (did you mean \"conv2d\"?)");
    expect("  - branches: {paths: [[], [branches: {paths: [[conv2d: {out: 3, strde: 2}]]}]]}\n", NB_E_CONFIG,
           "model[1] branches.paths[1][0] branches.paths[0][0] conv2d.strde: unknown key");
    expect("  - branches: {paths: [[], [input]]}\n", NB_E_CONFIG,
           "model[1] branches.paths[1][0] input: only the first layer of the model is the input");
    expect("  - branches: {paths: [[], [softmax_xent]]}\n", NB_E_SHAPE, "softmax_xent branches1.2.1");
    expect("  - branches: {paths: [[conv2d: {out: 3, name: a/b}], []]}\n", NB_E_CONFIG, "without '/'");
    expect("  - branches: {name: m, join: add, paths: [[], [], []]}\n", NB_E_CONFIG,
           "add m.add: has 3 inputs, takes 2");
    expect("  - branches: {name: m, paths: [[], [maxpool]]}\n", NB_E_SHAPE, "concat m.concat: input1 is");
    expect("  - convbn: {name: c, out: 4, act: maxpool}\n", NB_E_CONFIG, "c.act: maxpool: unknown activation");
    expect("  - dwsep: {name: c, out: 4, act: hardswitch}\n", NB_E_CONFIG,
           "c.depth.act: hardswitch: unknown activation (did you mean \"hardswish\"?)");
    expect("  - convbn: {name: c, out: 4, act: {leakyrelu: {slop: 1}}}\n", NB_E_CONFIG, "did you mean \"slope\"?");
    expect("  - convbn: {name: c, out: 4, act: [relu]}\n", NB_E_CONFIG, "c.act: must be one name");
    expect("  - invres: {name: r, out: 4, se: {reduec: 4}}\n", NB_E_CONFIG, "r.se.reduec: unknown key");
    expect("  - bottleneck: {name: r, out: 2, shortcut: zeros}\n", NB_E_CONFIG,
           "test.yaml:4: bottleneck r: shortcut: zeros: 3 channels cannot become 2: the conv shortcut can");
    expect("  - bottleneck: {name: r, out: 8, mid: 6, groups: 4}\n", NB_E_SHAPE, "conv2d r.c2");
}

static void paths_are_lists_of_layers_with_names_of_their_own(void **state)
{
    (void)state;
    ref_street s;
    build(&s,
          "  - conv2d: {name: c, out: 4}\n"
          "  - branches:\n      name: m\n      paths:\n        - []\n        - [convbn: {out: 5}, relu: {name: end}]\n"
          "        - maxpool: {kernel: 3, stride: 1, pad: 1}\n        - [conv2d: {in: m.2.1, out: 2, kernel: 1}]\n");
    const nb_node *join = node(&s, "m.concat");
    static const char *const reads[] = {"c", "m.end", "m.3.1", "m.4.1"};
    assert_int_equal(join->n_in, 4);
    for (int32_t i = 0; i < 4; i++)
        assert_string_equal(join->in[i]->name, reads[i]);
    assert_int_equal(join->out.shape.d[3], 4 + 5 + 4 + 2);
    assert_string_equal(node(&s, "m.4.1")->in[0]->name, "m.2.1");
    assert_string_equal(node(&s, "m.3.1")->in[0]->name, "c");
    assert_string_equal(node(&s, "m.2.1.bn")->op->name, "batchnorm");
    ref_street_close(&s);
}

static void paths_may_have_branches_and_blocks_be_repeated(void **state)
{
    (void)state;
    ref_street s;
    build(&s, "  - branches: {name: d, repeat: 2, paths: [[], [conv2d: {out: 2, pad: 1}, branches: {join: mul, paths: "
              "[[], [sigmoid]]}]]}\n  - branches: {name: one, repeat: 2, paths: [[convbn: {out: 4}]]}\n  - branches: "
              "{name: r, join: add, paths: [[], [conv2d: {out: 4, kernel: 1}]]}\n");
    assert_int_equal(node(&s, "d.1.concat")->out.shape.d[3], 3 + 2);
    assert_int_equal(node(&s, "d.2.concat")->out.shape.d[3], 3 + 2 + 2);
    assert_string_equal(node(&s, "d.2.2.2.mul")->in[1]->name, "d.2.2.2.2.1");
    assert_string_equal(node(&s, "one.2.1.1")->in[0]->name,
                        "one.1.1.1.relu"); /* a single path is joined with nothing */
    assert_string_equal(node(&s, "r.add")->in[0]->name, "one.2.1.1.relu");
    ref_street_close(&s);
}

static void a_bottleneck_is_narrow_in_the_middle_and_strides_there(void **state)
{
    (void)state;
    ref_street s;
    build(&s, "  - bottleneck: {name: a, out: 12, stride: 2, repeat: 2, zero_init: yes}\n"
              "  - bottleneck: {name: b, out: 16, mid: 8, groups: 4, shortcut: plain}\n"
              "  - bottleneck: {name: c, out: 16}\n  - bottleneck: {name: d, out: 2}\n");
    assert_int_equal(node(&s, "a.1.c1")->out.shape.d[1], 8);
    assert_true(node(&s, "a.1.c2")->out.shape.d[1] == 4 && node(&s, "a.1.c2")->out.shape.d[3] == 3);
    assert_true(node(&s, "a.1.short")->out.shape.d[1] == 4 && node(&s, "a.1.short")->out.shape.d[3] == 12);
    assert_true(node(&s, "a.2.c2")->out.shape.d[1] == 4 && !nb_graph_find(s.graph, "a.2.short"));
    assert_true(((float *)node(&s, "a.1.c3.bn.gamma")->out.data)[0] == 0.0f);
    assert_true(((float *)node(&s, "a.1.c2.bn.gamma")->out.data)[0] == 1.0f);
    assert_null(nb_graph_find(s.graph, "a.1.c3.relu"));
    assert_int_equal(node(&s, "b.c2.weight")->out.shape.d[3], 2); /* 8 channels in 4 groups */
    assert_true(!nb_graph_find(s.graph, "b.short.bn") && nb_graph_find(s.graph, "b.short.bias"));
    assert_string_equal(node(&s, "c.add")->in[1]->name, "b.relu");
    assert_int_equal(node(&s, "d.c1")->out.shape.d[3], 1);
    ref_street_close(&s);
}

static void an_activation_is_a_relu_or_what_act_says(void **state)
{
    (void)state;
    ref_street s;
    build(&s, "  - convbn: {name: a, out: 4}\n  - convbn: {name: b, out: 5, kernel: [1, 3], stride: [2, 1], repeat: 2, "
              "act: {leakyrelu: {slope: 0.3}}}\n  - convbn: {name: c, out: 4, act: none}\n"
              "  - dwsep: {name: d, out: 6, stride: 2, act: silu}\n"
              "  - invres: {name: e, out: 6, expanded: 9, act: hardswish, se: {channels: 2, gate: hardsigmoid}}\n"
              "  - invres: {name: f, out: 6, expanded: 6, se: {}}\n");
    assert_true(nb_graph_find(s.graph, "a.relu") && nb_graph_find(s.graph, "a.bn") &&
                !nb_graph_find(s.graph, "a.bias"));
    assert_true(node(&s, "b.1")->out.shape.d[1] == 4 && node(&s, "b.1")->out.shape.d[2] == 8);
    assert_int_equal(node(&s, "b.2")->out.shape.d[1], 4); /* only the first has the stride */
    assert_string_equal(node(&s, "b.2")->in[0]->name, "b.1.leakyrelu");
    assert_true(*(const float *)node(&s, "b.1.leakyrelu")->attr == 0.3f);
    assert_string_equal(node(&s, "d.depth")->in[0]->name, "c.bn");
    assert_true(node(&s, "d.depth.silu")->out.shape.d[1] == 2 && node(&s, "d.point.silu")->out.shape.d[3] == 6);
    assert_int_equal(node(&s, "e.expand.hardswish")->out.shape.d[3], 9);
    assert_string_equal(node(&s, "e.se.mul")->in[0]->name, "e.depth.hardswish");
    assert_int_equal(node(&s, "e.se.squeeze")->out.shape.d[3], 2);
    assert_string_equal(node(&s, "e.project")->in[0]->name, "e.se.mul");
    assert_null(nb_graph_find(s.graph, "e.project.hardswish"));
    assert_string_equal(node(&s, "f.depth")->in[0]->name, "e.add"); /* 6 channels expanded to 6 */
    assert_int_equal(node(&s, "f.se.squeeze")->out.shape.d[3], 1);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_names_place_and_remedy),
        cmocka_unit_test(paths_are_lists_of_layers_with_names_of_their_own),
        cmocka_unit_test(paths_may_have_branches_and_blocks_be_repeated),
        cmocka_unit_test(a_bottleneck_is_narrow_in_the_middle_and_strides_there),
        cmocka_unit_test(an_activation_is_a_relu_or_what_act_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
