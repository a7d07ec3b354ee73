/* test_build.c - config to graph: names, inputs, blocks, and a sentence for each mistake (build.c, block_*.c). */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATA "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"

static void expect(const char *model, nb_status want, const char *sentence)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, DATA "model:\n%s", model);
    ref_street s;
    nb_status st = ref_street_open(&s, yaml, 2, REF_FLOAT);
    if (st != want || !strstr(nb_ctx_error(s.ctx), sentence))
        print_error("got %d: %s\nwant: %s\n", (int)st, nb_ctx_error(s.ctx), sentence);
    assert_int_equal(st, want);
    assert_non_null(strstr(nb_ctx_error(s.ctx), sentence));
    ref_street_close(&s);
}

static void each_mistake_names_place_and_remedy(void **state)
{
    (void)state;
    expect("  - conv2d: {out: 3}\n", NB_E_CONFIG, "conv2d");
    expect("  - input\n  - conv3d: {out: 3}\n", NB_E_CONFIG,
           "test.yaml:4: model[1]: conv3d: unknown layer (did you mean \"conv2d\"?)");
    expect("  - input\n  - conv2d: {out: 3, strde: 2}\n", NB_E_CONFIG, "did you mean \"stride\"?");
    expect("  - input\n  - conv2d: {out: 3, in: nowhere}\n", NB_E_CONFIG, "unknown layer above");
    expect("  - input\n  - conv2d: {name: a, out: 3}\n  - conv2d: {name: a, out: 3}\n", NB_E_CONFIG, "already taken");
    expect("  - input\n  - conv2d: {out: 3, kernel: 9}\n", NB_E_SHAPE, "test.yaml:4: conv2d conv2d1");
    expect("  - input\n  - avgpool: {global: yes}\n  - linear: {out: 4}\n", NB_E_SHAPE, "the data have 3 classes");
    expect("  - input\n  - conv2d: {name: a, out: 3}\n  - avgpool: {global: yes, in: input1}\n", NB_E_CONFIG,
           "conv2d a: its output is never used");
    expect("  - input\n  - linear: {out: 3}\n  - softmax_xent\n  - linear: {out: 3, in: linear1}\n", NB_E_CONFIG,
           "must be the last layer");
    expect("  - input\n  - {conv2d: {out: 3}, relu: {}}\n", NB_E_CONFIG, "must be one name");
    expect("  - input\n  - resblock: {out: 0}\n", NB_E_CONFIG, "must be in 1..65536");
    expect("  - input\n  - convtranspose2d: {name: t, out: 4, kernel: 2, pad: 2}\n", NB_E_CONFIG,
           "test.yaml:4: convtranspose2d t: pad: must be numbers, at most dilation * (kernel - 1), 1 and 1,");
    expect("  - input\n  - convtranspose2d: {name: t, out: 4, pad: same}\n", NB_E_CONFIG, "pad: must be numbers");
    expect("  - input\n  - convtranspose2d: {name: t, out: 4, kernel: 64, output_pad: 2}\n", NB_E_CONFIG,
           "zeros added to the image are 64 at most");
    expect("  - input\n  - conv2d: {out: 5}\n  - resblock: {out: 4, shortcut: zeros}\n", NB_E_CONFIG,
           "test.yaml:5: resblock resblock1: shortcut: zeros: 5 channels cannot become 4: the conv shortcut can");
    expect("  - input\n  - invres: {name: a, out: 4, kernel: 4}\n", NB_E_CONFIG,
           "test.yaml:4: invres a: kernel: 4: must be odd");
    expect("  - input\n  - flatten\n  - invres: {name: a, out: 4}\n", NB_E_SHAPE, "conv2d a.expand");
    expect("  - input\n  - conv2d: {out: 2048, kernel: 1}\n  - invres: {name: a, out: 4, expand: 64}\n", NB_E_CONFIG,
           "a.expand.out: 131072: must be in 1..65536");
}

static void a_name_left_out_counts_its_own_kind_only(void **state)
{
    (void)state;
    static const char *const names[] = {"slice1",   "shuffle1",       "pad1",         "upsample1", "convtranspose2d1",
                                        "dropout1", "invres1.expand", "resblock1.c1", "flatten1"};
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model: [input, slice: {rows: '1:'}, shuffle: {groups: 3}, pad: {pad: 1}, "
                                          "convtranspose2d: {out: 4}, invres: {out: 4}, resblock: {out: 4}, upsample, "
                                          "dropout, flatten, linear: {out: 3}]\n",
                                     2, REF_FLOAT),
                     NB_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(nb_graph_find(s.graph, names[i]));
    ref_street_close(&s);
}

static void a_resblock_has_a_projection_only_where_shapes_change(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model:\n  - input\n  - conv2d: {out: 4}\n  - resblock: {name: r, out: 4}\n"
                                          "  - resblock: {name: q, out: 8, stride: 2, repeat: 2}\n"
                                          "  - avgpool: {global: yes}\n  - linear: {out: 3}\n",
                                     2, REF_FLOAT),
                     NB_OK);
    assert_null(nb_graph_find(s.graph, "r.short"));
    assert_non_null(nb_graph_find(s.graph, "q.1.short"));
    assert_null(nb_graph_find(s.graph, "q.2.short"));
    assert_int_equal(nb_graph_find(s.graph, "q.2.relu")->out.shape.d[3], 8);
    ref_street_close(&s);
}

static void a_shortcut_of_zeros_has_no_parameters(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model:\n  - input\n  - conv2d: {out: 4}\n"
                                          "  - resblock: {name: q, out: 9, stride: 2, repeat: 2, shortcut: zeros}\n"
                                          "  - resblock: {name: r, out: 9, stride: 2, shortcut: zeros}\n"
                                          "  - avgpool: {global: yes}\n  - linear: {out: 3}\n",
                                     2, REF_FLOAT),
                     NB_OK);
    assert_string_equal(nb_graph_find(s.graph, "q.1.short")->op->name, "pad");
    assert_string_equal(nb_graph_find(s.graph, "q.1.add")->in[1]->name, "q.1.short");
    assert_string_equal(nb_graph_find(s.graph, "q.2.add")->in[1]->name, "q.1.relu");
    assert_string_equal(nb_graph_find(s.graph, "r.add")->in[1]->name, "r.short.slice");
    ref_street_close(&s);
}

/* 9 channels become 2 between the convolutions, and each gets a factor. */
static void an_se_multiplies_each_channel_by_a_gate(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model:\n  - input\n  - conv2d: {name: c, out: 9}\n  - se: {name: a}\n"
                                          "  - se: {name: b, reduce: 20, gate: hardsigmoid}\n"
                                          "  - avgpool: {global: yes}\n  - linear: {out: 3}\n",
                                     2, REF_QUANTIZED),
                     NB_OK);
    const nb_node *mul = nb_graph_find(s.graph, "a.mul"), *few = nb_graph_find(s.graph, "a.squeeze");
    assert_string_equal(mul->in[0]->name, "c.fq");
    assert_string_equal(mul->in[1]->name, "a.gate.fq");
    assert_true(mul->in[1]->out.shape.d[1] == 1 && mul->out.shape.d[1] > 1 && mul->out.shape.d[3] == 9);
    assert_int_equal(few->out.shape.d[3], 2);
    assert_int_equal(nb_graph_find(s.graph, "b.squeeze")->out.shape.d[3], 1);
    assert_string_equal(nb_graph_find(s.graph, "b.gate")->op->name, "hardsigmoid");
    ref_street_close(&s);
}

static void an_invres_expands_filters_and_projects_and_adds_where_shapes_stay(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s,
                                     DATA "model:\n  - input\n  - invres: {name: a, out: 3, expand: 1}\n"
                                          "  - invres: {name: b, out: 5, expand: 4, kernel: 5, stride: 2, repeat: 2}\n"
                                          "  - avgpool: {global: yes}\n  - linear: {out: 3}\n",
                                     2, REF_FLOAT),
                     NB_OK);
    assert_null(nb_graph_find(s.graph, "a.expand"));
    assert_non_null(nb_graph_find(s.graph, "a.add")); /* 3 channels stay 3 */
    assert_null(nb_graph_find(s.graph, "b.1.add"));
    assert_non_null(nb_graph_find(s.graph, "b.2.add"));
    const nb_shape *e = &nb_graph_find(s.graph, "b.1.expand.relu")->out.shape,
                   *d = &nb_graph_find(s.graph, "b.1.depth.relu")->out.shape,
                   *w = &nb_graph_find(s.graph, "b.2.depth.weight")->out.shape;
    assert_true(e->d[1] == 8 && e->d[3] == 12);
    assert_true(d->d[1] == 4 && d->d[3] == 12);
    assert_true(w->d[0] == 20 && w->d[1] == 5 && w->d[3] == 1);
    assert_null(nb_graph_find(s.graph, "b.2.project.relu")); /* a linear bottleneck */
    ref_street_close(&s);
}

static void an_invres_caps_its_relus_at_6_unless_told_otherwise(void **state)
{
    (void)state;
    static const char *const cap[] = {"", ", cap: 2.5", ", cap: inf"};
    static const float top[] = {6.0f, 2.5f, INFINITY};
    for (int i = 0; i < 3; i++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml,
                 DATA "model: [input, invres: {name: a, out: 3, expand: 1%s}, avgpool: {global: yes}]\n", cap[i]);
        ref_street s;
        assert_int_equal(ref_street_open(&s, yaml, 2, REF_FLOAT), NB_OK);
        s.graph->fusions = NULL; /* the value before the relu is looked at */
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
        const nb_node *relu = nb_graph_find(s.graph, "a.depth.relu");
        float *x = relu->in[0]->out.data;
        x[0] = 1e9f;
        x[1] = -1.0f;
        relu->op->forward(s.graph->node[relu->id], &(nb_run){.train = true});
        assert_true(((float *)relu->out.data)[0] == (top[i] < 1e9f ? top[i] : 1e9f));
        assert_true(((float *)relu->out.data)[1] == 0.0f);
        ref_street_close(&s);
    }
}

static int32_t batch_of(const char *size, int32_t most)
{
    char yaml[512];
    int32_t batch = 0;
    ref_street s;
    snprintf(yaml, sizeof yaml,
             "data: {name: synth, %s, channels: 3, count: 4, test_count: 2}\n"
             "model: [input, conv2d: {out: 64, kernel: 3, pad: 1}, relu, avgpool: {global: yes}, linear: {out: 10}]\n",
             size);
    assert_int_equal(ref_street_open(&s, yaml, 1, REF_FLOAT), NB_OK);
    assert_int_equal(nb_model_batch(s.ctx, &s.exp, nb_data_info(s.train), most, &batch), NB_OK);
    ref_street_close(&s);
    return batch;
}

/* The relu reads and writes 64 floats a pixel: 25.7 MB at 224x224, of 64 MiB. */
static void large_images_come_in_smaller_batches(void **state)
{
    (void)state;
    assert_int_equal(batch_of("height: 32, width: 32", 64), 64);
    assert_int_equal(batch_of("height: 224, width: 224", 64), 2);
    assert_int_equal(batch_of("height: 224, width: 224", 2), 2);
    assert_int_equal(batch_of("height: 512, width: 512", 64), 1);
}

static void the_same_seed_gives_the_same_weights_with_and_without_fake_quant(void **state)
{
    (void)state;
    static const char yaml[] = DATA "model: [input, conv2d: {name: c, out: 3}, avgpool: {global: yes}]\n";
    ref_street a, b;
    assert_int_equal(ref_street_open(&a, yaml, 2, REF_FLOAT), NB_OK);
    assert_int_equal(ref_street_open(&b, yaml, 2, REF_QUANTIZED), NB_OK);
    const nb_tensor *x = &nb_graph_find(a.graph, "c.weight")->out, *y = &nb_graph_find(b.graph, "c.weight")->out;
    assert_memory_equal(x->data, y->data, (size_t)nb_count(x) * sizeof(float));
    ref_street_close(&a);
    ref_street_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_images_come_in_smaller_batches),
        cmocka_unit_test(each_mistake_names_place_and_remedy),
        cmocka_unit_test(a_name_left_out_counts_its_own_kind_only),
        cmocka_unit_test(a_resblock_has_a_projection_only_where_shapes_change),
        cmocka_unit_test(a_shortcut_of_zeros_has_no_parameters),
        cmocka_unit_test(an_se_multiplies_each_channel_by_a_gate),
        cmocka_unit_test(an_invres_expands_filters_and_projects_and_adds_where_shapes_stay),
        cmocka_unit_test(an_invres_caps_its_relus_at_6_unless_told_otherwise),
        cmocka_unit_test(the_same_seed_gives_the_same_weights_with_and_without_fake_quant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
