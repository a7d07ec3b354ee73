/* test_onnx_file.c - protobuf bytes that are no model: bounded before anything is unpacked (onnx_file.c). */
#include "import/onnx_file.h"
#include "ref/data_fixture.h"
#include "ref/onnx_case.h"

#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

#    include <onnx.pb-c.h>
#    include <stdio.h>

static void refuse(data_fixture *f, const uint8_t *bytes, size_t len, const char *sentence)
{
    onnx_file *o = NULL;
    nb_status st = onnx_file_parse(f->ctx, "m.onnx", bytes, len, &o);
    if (st == NB_OK || !strstr(nb_ctx_error(f->ctx), sentence))
        print_error("got %d: %s\nwant: %s\n", (int)st, nb_ctx_error(f->ctx), sentence);
    assert_int_equal(st, NB_E_FORMAT);
    assert_null(o);
    assert_non_null(strstr(nb_ctx_error(f->ctx), sentence));
}

static void a_model_becomes_plain_structs(void **state)
{
    data_fixture *f = *state;
    onnx_file *o;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 3, 5, 7, "floats w 2x3x1x1\nConv y x,w pads=0,0,0,0 group=1\noutput y");
    assert_int_equal(onnx_file_open(f->ctx, path, &o), NB_OK);
    assert_int_equal(o->n_nodes, 1);
    assert_int_equal(o->opset, 17);
    assert_string_equal(o->node[0].op, "Conv");
    assert_string_equal(o->node[0].in[1], "w");
    assert_int_equal(o->node[0].attr[0].kind, ONNX_A_INTS);
    assert_int_equal(o->node[0].attr[0].n, 4);
    assert_int_equal(o->node[0].attr[1].i, 1);
    assert_int_equal(o->constant[0].count, 6);
    assert_int_equal(o->input[0].ndim, 4);
    assert_int_equal(o->input[0].dim[0], -1);
    assert_int_equal(o->input[0].dim[3], 7);
    onnx_file_free(f->ctx, o);
}

/* Writes the model with its first initializer's values moved to another file; place: "key=value" pairs, NULL at the end. */
static const char *move_values(data_fixture *f, const char *const *place)
{
    static char keys[4][32], values[4][64];
    static Onnx__StringStringEntryProto entry[4];
    Onnx__StringStringEntryProto *entries[4];
    uint8_t *bytes;
    size_t len;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 3, 5, 7, "floats w 2x3x1x1\nConv y x,w\noutput y");
    assert_int_equal(nb_file_read(f->ctx, path, 1 << 20, &bytes, &len), NB_OK);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, len, bytes);
    assert_non_null(m);
    nb_free(f->ctx, bytes);
    Onnx__TensorProto *t = m->graph->initializer[0];
    const ProtobufCBinaryData inside = t->raw_data;
    t->has_raw_data = 0;
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    for (; *place; place++) {
        const size_t i = t->n_external_data++;
        assert_int_equal(sscanf(*place, "%31[^=]=%63s", keys[i], values[i]), 2);
        onnx__string_string_entry_proto__init(&entry[i]);
        entry[i].key = keys[i];
        entry[i].value = values[i];
        entries[i] = &entry[i];
    }
    t->external_data = entries;
    len = onnx__model_proto__get_packed_size(m);
    bytes = malloc(len);
    assert_non_null(bytes);
    onnx__model_proto__pack(m, bytes);
    assert_int_equal(nb_file_write(f->ctx, path, bytes, len), NB_OK);
    free(bytes);
    t->n_external_data = 0;
    t->external_data = NULL;
    t->raw_data = inside;
    onnx__model_proto__free_unpacked(m, NULL);
    return path;
}

static void values_may_lie_in_a_file_beside_the_model(void **state)
{
    data_fixture *f = *state;
    float values[8] = {-1, 0.5f, 1, 1.5f, 2, 2.5f, 3, -1};
    onnx_file *o;
    assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, "m.data"), values, sizeof values), NB_OK);
    const char *const sound[][4] = {{"location=m.data", "offset=4", "length=24", NULL},
                                    {"offset=4", "location=m.data", NULL},
                                    {"location=./m.data", "offset=4", "checksum=0", NULL}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(onnx_file_open(f->ctx, move_values(f, sound[i]), &o), NB_OK);
        assert_memory_equal(o->constant[0].data, values + 1, 24);
        onnx_file_free(f->ctx, o);
    }
    static const struct {
        const char *place[4], *says;
    } wrong[] = {
        {{"location=m.data", "offset=4", "length=20"}, "tensor 'w': has 20 bytes in 'm.data': must have 24"},
        {{"location=m.data", "offset=12"}, "its 24 bytes from 12 on are not in 'm.data', which has 32"},
        {{"location=m.data", "offset=-4"}, "says no number"},
        {{"location=m.data", "length=99999999999999999999"}, "says no number"},
        {{"location=other.data"}, "its values are in another file: "},
        {{"location=../m.data"}, "'../m.data': must be a file beside the model"},
        {{"location=a/../../m.data"}, "must be a file beside the model"},
        {{"location=/etc/passwd"}, "must be a file beside the model"},
        {{"offset=0"}, "it does not say which"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o = NULL;
        const nb_status st = onnx_file_open(f->ctx, move_values(f, wrong[i].place), &o);
        if (st == NB_OK || !strstr(nb_ctx_error(f->ctx), wrong[i].says))
            fail_msg("%s: got %d: %s", wrong[i].says, (int)st, nb_ctx_error(f->ctx));
        assert_null(o);
    }
}

static void bytes_that_are_no_model_are_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, (const uint8_t *)"", 0, "is empty");
    refuse(f, (const uint8_t *)"\xff\xff", 2, "a tag is no tag");
    refuse(f, (const uint8_t *)"\x3a\x7f", 2, "reaches behind the end");
    refuse(f, (const uint8_t *)"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "reaches behind the end");
    refuse(f, (const uint8_t *)"\x3b", 1, "unknown wire type");
    refuse(f, (const uint8_t *)"\x08\x80", 2, "a number is cut short");
    refuse(f, (const uint8_t *)"\x08\x07", 2, "holds no graph");
}

/* A graph in an attribute of a node of a graph in an attribute ... */
static void nesting_is_bounded(void **state)
{
    data_fixture *f = *state;
    enum { LEVELS = 20000, MAX = 6 * LEVELS };
    uint8_t *bytes = calloc(1, MAX), *at = bytes + MAX;
    static const uint8_t tags[3] = {0x0a, 0x2a, 0x32}; /* graph.node, node.attribute, attribute.g */
    assert_non_null(bytes);
    size_t len = 0;
    for (int i = 0; len + 5 < MAX; i++) {
        size_t n = len;
        uint8_t head[5];
        int size = 0;
        head[size++] = tags[2 - i % 3];
        do {
            head[size++] = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
            n >>= 7;
        } while (n);
        at -= size;
        memcpy(at, head, (size_t)size);
        len += (size_t)size;
        if (i % 3 == 2 && len > MAX - 16)
            break;
    }
    uint8_t *model = calloc(1, len + 8);
    assert_non_null(model);
    size_t n = len;
    int size = 0;
    model[size++] = 0x3a; /* model.graph */
    do {
        model[size++] = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
        n >>= 7;
    } while (n);
    memcpy(model + size, at, len);
    refuse(f, model, len + (size_t)size, "is nested too deep");
    free(model);
    free(bytes);
}

static void the_number_of_things_is_bounded(void **state)
{
    data_fixture *f = *state;
    enum { NODES = 300000 };
    uint8_t *model = calloc(1, 2 * NODES + 8);
    assert_non_null(model);
    model[0] = 0x3a;
    size_t n = 2 * (size_t)NODES, at = 1;
    for (; n > 127; n >>= 7)
        model[at++] = (uint8_t)(n | 128);
    model[at++] = (uint8_t)n;
    for (int i = 0; i < NODES; i++)
        model[at + 2 * (size_t)i] = 0x0a;
    refuse(f, model, at + 2 * NODES, "more than 262144");
    free(model);
}

static void every_cut_of_a_model_is_refused_or_smaller(void **state)
{
    data_fixture *f = *state;
    uint8_t *bytes;
    size_t len;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 3, 5, 7, "floats w 2x3x1x1\nConv y x,w pads=0,0,0,0 group=1\noutput y");
    assert_int_equal(nb_file_read(f->ctx, path, 1 << 20, &bytes, &len), NB_OK);
    for (size_t cut = 0; cut < len; cut++) {
        onnx_file *o = NULL;
        nb_status st = onnx_file_parse(f->ctx, "cut", bytes, cut, &o);
        assert_true(st == NB_OK || st == NB_E_FORMAT);
        onnx_file_free(f->ctx, o);
    }
    for (int64_t at = 1; at < 200; at++) {
        onnx_file *o = NULL;
        nb_ctx_fail_alloc_at(f->ctx, at);
        nb_status st = onnx_file_parse(f->ctx, "memory", bytes, len, &o);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || o == NULL);
        onnx_file_free(f->ctx, o);
        if (st == NB_OK)
            break;
    }
    nb_free(f->ctx, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_may_lie_in_a_file_beside_the_model, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_model_becomes_plain_structs, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_model_are_refused, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(nesting_is_bounded, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(the_number_of_things_is_bounded, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(every_cut_of_a_model_is_refused_or_smaller, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0;
}

#endif
