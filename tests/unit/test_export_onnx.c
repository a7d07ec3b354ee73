/* test_export_onnx.c - the ONNX exporter: files that parse, names that resolve, weights as wide as they should be. What
 * run times compute from them is compared by `make check-onnx`, which needs ONNX Runtime. */
#include "ref/data_fixture.h"
#include "ref/foreign.h"
#include "ref/random_network.h"
#include "ref/tiny_int.h"

#include "base/files.h"

#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

#    include <onnx.pb-c.h>

static nb_status export_form(data_fixture *f, const nb_intmodel *m, const char *name, int32_t opset, nb_onnx_form form)
{
    return nb_exporter_find("onnx")->write(f->ctx, m, data_fixture_path(f, name),
                                           &(nb_export_options){.opset = opset, .onnx_form = form});
}

static nb_status export_to(data_fixture *f, const nb_intmodel *m, const char *name, int32_t opset)
{
    return export_form(f, m, name, opset, NB_ONNX_QDQ);
}

static Onnx__ModelProto *read_back(data_fixture *f, const char *name, size_t *len)
{
    uint8_t *bytes;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 26, &bytes, len), NB_OK);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, *len, bytes);
    nb_free(f->ctx, bytes);
    assert_non_null(m);
    return m;
}

static const Onnx__TensorProto *constant(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!strcmp(g->initializer[i]->name, name))
            return g->initializer[i];
    return NULL;
}

static int32_t writers_before(const Onnx__GraphProto *g, size_t node, const char *name)
{
    int32_t n = constant(g, name) != NULL;
    n += !strcmp(g->input[0]->name, name);
    for (size_t i = 0; i < node; i++)
        n += !strcmp(g->node[i]->output[0], name);
    return n;
}

/* Nodes stand in order, every input has exactly one source, the output exists. */
static void assert_sound(const Onnx__ModelProto *m)
{
    const Onnx__GraphProto *g = m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            if (writers_before(g, i, g->node[i]->input[k]) != 1)
                fail_msg("%s %s: input %s has %d sources", g->node[i]->op_type, g->node[i]->name, g->node[i]->input[k],
                         writers_before(g, i, g->node[i]->input[k]));
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        size_t n = 1;
        for (size_t k = 0; k < t->n_dims; k++)
            n *= (size_t)t->dims[k];
        size_t want = t->data_type == 22                                     ? (n + 1) / 2
                      : t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 8 * n
                      : t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                              t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32
                          ? 4 * n
                          : n;
        assert_int_equal(t->raw_data.len, want);
    }
    assert_int_equal(writers_before(g, g->n_node, g->output[0]->name), 1);
}

static void all_kinds_of_steps_become_a_sound_graph(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    size_t len[2];
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(export_to(f, m, "tiny.onnx", i ? 13 : 0), NB_OK);
        Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len[i]);
        assert_sound(p);
        assert_int_equal(p->opset_import[0]->version, i ? 13 : 21);
        assert_string_equal(p->producer_name, "nibble");
        assert_string_equal(p->graph->input[0]->name, "pixels");
        assert_string_equal(p->graph->output[0]->name, "logits");
        const Onnx__TensorProto *w = constant(p->graph, "c1.weight");
        assert_int_equal(w->data_type, i ? 3 : 22); /* int8, INT4 */
        assert_int_equal(w->dims[0] * w->dims[1] * w->dims[2] * w->dims[3], 54);
        assert_int_equal(constant(p->graph, "fc.weight")->data_type, 3);
        onnx__model_proto__free_unpacked(p, NULL);
    }
    nb_intmodel_free(f->ctx, m);
    assert_true(len[0] < len[1]);
}

/* 3-bit indices, but integers of 8 bits. */
static void levels_become_int8_weights(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    ref_tiny t;
    size_t len;
    ref_tiny_fill(&t, 4);
    t.sinfo[3].weight_bits = 8; /* the depthwise layer: no INT4 anywhere */
    ref_tiny_levels(&t, 3, (const int8_t[]){-127, -5, 0, 1, 77}, 5);
    assert_int_equal(ref_tiny_build(f->ctx, &t, &m), NB_OK);
    for (int32_t opset = 0; opset <= 21; opset += 21) {
        assert_int_equal(export_to(f, m, "tiny.onnx", opset), NB_OK);
        Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len);
        assert_sound(p);
        assert_int_equal(p->opset_import[0]->version, opset ? opset : 13);
        const Onnx__TensorProto *w = constant(p->graph, "c1.weight");
        assert_int_equal(w->data_type, 3);
        for (int32_t i = 0; i < 54; i++) /* [3][2][9] here, [3][9][2] there */
            assert_int_equal((int8_t)w->raw_data.data[i], t.conv1[i / 18 * 18 + i % 9 * 2 + i / 9 % 2]);
        onnx__model_proto__free_unpacked(p, NULL);
    }
    nb_intmodel_free(f->ctx, m);
}

static void weights_are_transposed_to_oihw(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    size_t len;
    assert_int_equal(ref_tiny_model(f->ctx, 8, &m), NB_OK);
    assert_int_equal(export_to(f, m, "tiny.onnx", 0), NB_OK);
    Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len);
    const Onnx__TensorProto *w = constant(p->graph, "c1.weight");
    const nb_geom *g = &m->e.steps[1].geom;
    assert_int_equal(p->opset_import[0]->version, 21); /* the depthwise layer has 2 bits */
    for (int32_t o = 0; o < g->oc; o++)
        for (int32_t k = 0; k < g->kh * g->kw; k++)
            for (int32_t c = 0; c < g->c; c++)
                assert_int_equal((int8_t)w->raw_data.data[(o * g->c + c) * g->kh * g->kw + k],
                                 m->e.steps[1].weights[(o * g->kh * g->kw + k) * g->c + c]);
    onnx__model_proto__free_unpacked(p, NULL);
    nb_intmodel_free(f->ctx, m);
}

static int32_t count_of(const Onnx__GraphProto *g, const char *op)
{
    int32_t n = 0;
    for (size_t i = 0; i < g->n_node; i++)
        n += !strcmp(g->node[i]->op_type, op);
    return n;
}

static const Onnx__NodeProto *node_with(const Onnx__GraphProto *g, const char *output)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (!strcmp(g->node[i]->output[0], output))
            return g->node[i];
    fail_msg("no node %s", output);
    return NULL;
}

static float float_of(const Onnx__TensorProto *t, int32_t i)
{
    float v;
    assert_int_equal(t->data_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    memcpy(&v, t->raw_data.data + 4 * i, 4);
    return v;
}

/* Rows of pixels of two channels: theirs are 0, 2, 1, 3 of ours. */
static void flattened_images_come_in_our_order_where_it_matters(void **state)
{
    data_fixture *f = *state;
    static const char *const models[] = {
        "  - input\n  - conv2d: {out: 2, kernel: [10, 11]}\n  - flatten\n  - slice: {name: s, channels: '::-1'}\n",
        "  - input\n  - conv2d: {out: 2, kernel: [10, 11], name: a}\n  - flatten: {name: b}\n"
        "  - linear: {in: a, out: 4, name: c}\n  - add: {name: s, in: [c, b]}\n"};
    static const char *const order[] = {"s.order.0", "s.order.1"}, *const ordered[] = {"s.ordered.0", "s.ordered.1"};
    size_t len;
    for (int32_t i = 0; i < 2; i++) {
        ref_foreign net;
        ref_foreign_open(&net, models[i], 11, 11, 3, 4);
        assert_int_equal(nb_exporter_find("onnx")->write_float(net.ctx, net.g, data_fixture_path(f, "f.onnx")), NB_OK);
        ref_foreign_close(&net);
        Onnx__ModelProto *p = read_back(f, "f.onnx", &len);
        assert_memory_equal(constant(p->graph, order[i])->raw_data.data, ((const int64_t[]){0, 2, 1, 3}), 32);
        assert_string_equal(node_with(p->graph, ordered[i])->op_type, "Gather");
        onnx__model_proto__free_unpacked(p, NULL);
    }
}

static void logits_of_an_image_stand_in_our_order(void **state)
{
    data_fixture *f = *state;
    size_t len;
    ref_foreign net;
    ref_foreign_open(&net, "  - input\n  - conv2d: {out: 2, kernel: [10, 11]}\n", 11, 11, 3, 4);
    assert_int_equal(nb_exporter_find("onnx")->write_float(net.ctx, net.g, data_fixture_path(f, "f.onnx")), NB_OK);
    ref_foreign_close(&net);
    Onnx__ModelProto *p = read_back(f, "f.onnx", &len);
    assert_string_equal(node_with(p->graph, "logits.rows")->input[0], "logits.nhwc");
    assert_string_equal(node_with(p->graph, "logits.nhwc")->op_type, "Transpose");
    onnx__model_proto__free_unpacked(p, NULL);
}

static void the_operator_form_has_integer_convolutions_with_int8_weights(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    size_t len;
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    assert_int_equal(export_form(f, m, "tiny.onnx", 0, NB_ONNX_OPERATOR), NB_OK);
    Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len);
    const Onnx__GraphProto *g = p->graph;
    assert_sound(p);
    assert_int_equal(p->opset_import[0]->version, 13);
    assert_int_equal(count_of(g, "Conv"), 0);
    assert_int_equal(count_of(g, "QLinearConv"), 2);
    assert_int_equal(count_of(g, "ConvInteger"), 1);
    assert_int_equal(constant(g, "c1.weight")->data_type, 3);
    assert_int_equal(constant(g, "dw.weight")->data_type, 3);
    assert_int_equal(constant(g, "c1.bias")->data_type, 6);
    onnx__model_proto__free_unpacked(p, NULL);
    nb_intmodel_free(f->ctx, m);
}

static void scales_of_an_integer_convolution_say_its_multipliers(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    size_t len;
    assert_int_equal(ref_tiny_model(f->ctx, 8, &m), NB_OK);
    assert_int_equal(export_form(f, m, "tiny.onnx", 13, NB_ONNX_OPERATOR), NB_OK);
    Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len);
    const Onnx__GraphProto *g = p->graph;
    const Onnx__NodeProto *conv = node_with(g, "c1.fq.unclamped"); /* relu: clamped to codes from 3 up */
    const nb_estep *s = &m->e.steps[1];
    assert_string_equal(conv->op_type, "QLinearConv");
    for (int32_t c = 0; c < 3; c++) {
        const double x = (double)float_of(constant(g, conv->input[1]), 0),
                     w = (double)float_of(constant(g, conv->input[4]), c),
                     y = (double)float_of(constant(g, conv->input[6]), 0);
        const double got = x * w / y, want = (double)s->mult[c] / (double)((int64_t)1 << s->shift[c]);
        assert_true(got > want * (1 - 1e-6) && got < want * (1 + 1e-6));
    }
    assert_int_equal(constant(g, conv->input[2])->raw_data.data[0], 128);
    assert_int_equal(constant(g, conv->input[7])->raw_data.data[0], 3);
    assert_int_equal(constant(g, node_with(g, "c1.fq")->input[1])->raw_data.data[0], 3);
    onnx__model_proto__free_unpacked(p, NULL);
    nb_intmodel_free(f->ctx, m);
}

/* dw.fq: codes -8..7 of 4 bits around -1. */
static void signed_codes_are_moved_by_128_in_the_operator_form(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    size_t len;
    assert_int_equal(ref_tiny_model(f->ctx, 8, &m), NB_OK);
    for (int32_t form = 0; form < 2; form++) {
        assert_int_equal(export_form(f, m, "tiny.onnx", 13, (nb_onnx_form)form), NB_OK);
        Onnx__ModelProto *p = read_back(f, "tiny.onnx", &len);
        const bool moved = form == NB_ONNX_OPERATOR;
        const Onnx__TensorProto *zero = constant(p->graph, moved ? "dw.y.zero" : "dw.fq.q.zero");
        assert_int_equal(zero->data_type, moved ? 2 : 3); /* uint8, int8 */
        assert_int_equal(zero->raw_data.data[0], moved ? 127 : 255);
        const Onnx__TensorProto *lo = constant(p->graph, "clamp.lo"), *hi = constant(p->graph, "clamp.hi");
        assert_int_equal(lo->raw_data.data[0], moved ? 7 + 128 : 7);
        assert_int_equal(hi->raw_data.data[0], moved ? 31 + 128 : 31);
        onnx__model_proto__free_unpacked(p, NULL);
    }
    nb_intmodel_free(f->ctx, m);
}

/* The first step's table, and nothing in a network that is not u8. */
static void assert_all_codes_are_u8(const Onnx__ModelProto *p, const nb_intmodel *m)
{
    const Onnx__GraphProto *g = p->graph;
    const nb_estep *s = &m->e.steps[0];
    const Onnx__TensorProto *table = constant(g, "pixels.table");
    const uint8_t moved = m->e.tensors[s->out].type == NB_EI_S8 ? 128 : 0;
    for (size_t i = 0; i < table->raw_data.len; i++)
        assert_int_equal(table->raw_data.data[i], s->table[i] ^ moved);
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        const bool q = !strcmp(n->op_type, "QuantizeLinear") || !strcmp(n->op_type, "DequantizeLinear");
        if (q || !strcmp(n->op_type, "QLinearConv") || !strcmp(n->op_type, "ConvInteger"))
            assert_int_equal(constant(g, n->input[2])->data_type, 2);
        if (!strcmp(n->op_type, "QLinearConv"))
            assert_int_equal(constant(g, n->input[7])->data_type, 2);
    }
}

static void random_networks_become_sound_graphs(void **state)
{
    data_fixture *f = *state;
    int32_t signed_inputs = 0;
    for (int32_t seed = 0; seed < 30; seed++) {
        char text[REF_NETWORK_BYTES];
        ref_street s;
        nb_intmodel *m = NULL;
        size_t len;
        ref_network_text(seed, text);
        ref_network_open(seed, text, &s);
        if (ref_network_integers(&s, &m) == NB_OK) {
            assert_int_equal(export_to(f, m, "net.onnx", 0), NB_OK);
            Onnx__ModelProto *p = read_back(f, "net.onnx", &len);
            assert_sound(p);
            onnx__model_proto__free_unpacked(p, NULL);
            assert_int_equal(export_form(f, m, "net.onnx", 0, NB_ONNX_OPERATOR), NB_OK);
            p = read_back(f, "net.onnx", &len);
            assert_sound(p);
            assert_all_codes_are_u8(p, m);
            signed_inputs += m->e.tensors[m->e.steps[0].out].type == NB_EI_S8;
            onnx__model_proto__free_unpacked(p, NULL);
        }
        nb_intmodel_free(s.ctx, m);
        ref_street_close(&s);
    }
    assert_true(signed_inputs > 0);
}

static void mistakes_are_refused(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    assert_int_equal(export_to(f, m, "tiny.onnx", 12), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "opset: 12: must be 13"));
    assert_int_equal(export_form(f, m, "tiny.onnx", 21, NB_ONNX_OPERATOR), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "opset: 21: INT4 weights have no operator form: take opset 13"));
    assert_false(nb_file_exists(data_fixture_path(f, "tiny.onnx")));
    assert_int_equal(nb_exporter_find("onnx")->write(f->ctx, m, "/nowhere/x.onnx", NULL), NB_E_IO);
    nb_intmodel_free(f->ctx, m);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    for (int32_t form = 0; form < 2; form++) {
        nb_status st = NB_E_NOMEM;
        for (int64_t n = 1; st == NB_E_NOMEM; n++) {
            nb_ctx_fail_alloc_at(f->ctx, n);
            st = export_form(f, m, "mem.onnx", 0, (nb_onnx_form)form);
            assert_true(n < 1000);
        }
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_int_equal(st, NB_OK);
    }
    nb_intmodel_free(f->ctx, m);
}

#    define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
static const struct CMUnitTest tests[] = {
    TEST(all_kinds_of_steps_become_a_sound_graph),
    TEST(weights_are_transposed_to_oihw),
    TEST(levels_become_int8_weights),
    TEST(flattened_images_come_in_our_order_where_it_matters),
    TEST(logits_of_an_image_stand_in_our_order),
    TEST(the_operator_form_has_integer_convolutions_with_int8_weights),
    TEST(scales_of_an_integer_convolution_say_its_multipliers),
    TEST(signed_codes_are_moved_by_128_in_the_operator_form),
    TEST(random_networks_become_sound_graphs),
    TEST(mistakes_are_refused),
    TEST(running_out_of_memory_anywhere_is_an_error),
};

#else

static void without_onnx_the_sentence_says_what_to_install(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(ctx, 4, &m), NB_OK);
    assert_int_equal(nb_exporter_find("onnx")->write(ctx, m, "x.onnx", NULL), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(ctx), "install libprotobuf-c-dev"));
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(without_onnx_the_sentence_says_what_to_install)};

#endif

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
