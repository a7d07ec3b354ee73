/* test_npy_file.c - NumPy's files: every version and type comes back, and every way to be wrong has its sentence. */
#include "../../datasets/array.h"
#include "ref/data_fixture.h"
#include "ref/npy_writer.h"

#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static nb_status parse(data_fixture *f, const char *name, nb_array *a, uint8_t **bytes)
{
    size_t len;
    *bytes = NULL;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 20, bytes, &len), NB_OK);
    return nb_npy_parse(f->ctx, name, *bytes, len, a);
}

static void every_type_gives_its_values(void **state)
{
    data_fixture *f = *state;
    static const struct {
        const char *descr;
        uint8_t bytes[8];
        int32_t size;
        double value;
    } list[] = {
        {"|u1", {200}, 1, 200},
        {"|i1", {200}, 1, -56},
        {"|b1", {1}, 1, 1},
        {"<u2", {1, 255}, 2, 65281},
        {"<i2", {1, 255}, 2, -255},
        {"<i2", {0, 128}, 2, -32768},
        {"<u4", {0, 0, 0, 128}, 4, 2147483648.0},
        {"<i4", {254, 255, 255, 255}, 4, -2},
        {"<u8", {7, 0, 0, 0, 0, 0, 0, 0}, 8, 7},
        {"<i8", {255, 255, 255, 255, 255, 255, 255, 255}, 8, -1},
        {"<f4", {0, 0, 32, 193}, 4, -10},
        {"<f8", {0, 0, 0, 0, 0, 0, 36, 192}, 8, -10},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        nb_array a;
        uint8_t *bytes;
        npy_write(data_fixture_path(f, "x.npy"), list[i].descr, "1,", list[i].bytes, (size_t)list[i].size);
        assert_int_equal(parse(f, "x.npy", &a, &bytes), NB_OK);
        assert_int_equal(a.count, 1);
        assert_int_equal(nb_array_bytes(a.dtype), list[i].size);
        assert_true(nb_array_value(&a, 0) == list[i].value);
        nb_free(f->ctx, bytes);
    }
}

static void every_version_is_read_and_keys_stand_in_any_order(void **state)
{
    data_fixture *f = *state;
    static const uint8_t data[6] = {1, 2, 3, 4, 5, 6};
    for (int version = 1; version <= 3; version++) {
        nb_array a;
        uint8_t *bytes;
        char shape[NB_ARRAY_SHAPE_BYTES];
        npy_write_raw(data_fixture_path(f, "x.npy"), version, "{\"shape\":(3L,2L),'fortran_order':False,'descr':'|u1'}",
                      data, 6);
        assert_int_equal(parse(f, "x.npy", &a, &bytes), NB_OK);
        assert_int_equal(a.ndim, 2);
        assert_string_equal(nb_array_shape(&a, shape), "[3, 2]");
        assert_true(nb_array_value(&a, 5) == 6);
        nb_free(f->ctx, bytes);
    }
}

#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    static const uint8_t data[24] = {0};
    static const struct {
        const char *dictionary;
        int version;
        const char *sentence;
    } list[] = {
        {DICT("'<f4'", "True", "(3, 2)"), 1, "is in Fortran order: save numpy.ascontiguousarray(x)"},
        {DICT("'|O'", "False", "(3, 2)"), 1, "holds Python objects: save an array of numbers"},
        {DICT("[('a', '<f4')]", "False", "(6,)"), 1, "holds records of several fields: save one field"},
        {DICT("'>f4'", "False", "(3, 2)"), 1, "dtype '>f4': must be 8 to 64 bit integers, float32 or float64, little"},
        {DICT("'<c8'", "False", "(3,)"), 1, "dtype '<c8': must be"},
        {DICT("'<f4'", "False", "(3, 3)"), 1,
         "header promises 9 numbers of 4 bytes, but 24 bytes follow it: the file is not whole"},
        {DICT("'<f4'", "False", "()"), 1, "is one number, not an array"},
        {DICT("'<f4'", "False", "(0, 6)"), 1, "is empty: dimension 0 is 0"},
        {DICT("'<f4'", "False", "(99999999999,)"), 1, "a size of more than 2147483647 cannot be right"},
        {DICT("'<f4'", "False", "(2000000000, 2000000000, 2000000000)"), 1, "its sizes cannot be right: dimension 1"},
        {DICT("'<f4'", "False", "(1,1,1,1,1,1,1,1,6)"), 1, "has more than 8 dimensions"},
        {DICT("'<f4'", "Maybe", "(6,)"), 1, "NumPy header: True or False expected at \"Maybe, 'shape': \""},
        {DICT("'<f4'", "False", "(x,)"), 1, "NumPy header: a size expected at \"x,"},
        {"{'descr': '<f4', 'fortran_order': False}", 1, "NumPy header: descr, fortran_order, shape"},
        {"{'descr': '<f4', 'descr': '<f4'}", 1, "NumPy header: one of descr"},
        {"{'kind': 1}", 1, "NumPy header: one of descr"},
        {"[1]", 1, "NumPy header: { expected"},
        {DICT("'<f4'", "False", "(6,)"), 9, "NumPy format 9.0: must be 1.0, 2.0 or 3.0"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        nb_array a;
        uint8_t *bytes;
        npy_write_raw(data_fixture_path(f, "x.npy"), list[i].version, list[i].dictionary, data, sizeof data);
        const nb_status st = parse(f, "x.npy", &a, &bytes);
        nb_free(f->ctx, bytes);
        assert_true(st == NB_E_FORMAT || st == NB_E_UNSUPPORTED);
        if (strncmp(nb_ctx_error(f->ctx), "x.npy: ", 7) != 0 || !strstr(nb_ctx_error(f->ctx), list[i].sentence))
            fail_msg("case %zu: %s", i, nb_ctx_error(f->ctx));
    }
}

static void a_file_cut_short_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    static const uint8_t data[6] = {1, 2, 3, 4, 5, 6};
    for (int version = 1; version <= 2; version++) {
        uint8_t *bytes;
        size_t len;
        nb_array a;
        npy_write_raw(data_fixture_path(f, "x.npy"), version, DICT("'|u1'", "False", "(3, 2)"), data, 6);
        assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "x.npy"), 1 << 20, &bytes, &len), NB_OK);
        for (size_t keep = 0; keep < len; keep++) {
            assert_int_equal(nb_npy_parse(f->ctx, "x.npy", bytes, keep, &a), NB_E_FORMAT);
            assert_non_null(strstr(nb_ctx_error(f->ctx), "x.npy: "));
        }
        assert_int_equal(nb_npy_parse(f->ctx, "x.npy", bytes, len, &a), NB_OK);
        nb_free(f->ctx, bytes);
    }
}

static void other_files_are_told_what_to_do(void **state)
{
    data_fixture *f = *state;
    nb_array a;
    assert_int_equal(nb_npy_parse(f->ctx, "a.npz", (const uint8_t *)"PK\x03\x04........", 12, &a), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "a.npz: is an .npz archive: save every array on its own"));
    assert_int_equal(nb_npy_parse(f->ctx, "a.npy", (const uint8_t *)"1,2,3\n4,5,6\n", 12, &a), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "a.npy: not a NumPy file: must be written by numpy.save"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(every_type_gives_its_values),     T(every_version_is_read_and_keys_stand_in_any_order),
        T(every_mistake_has_its_sentence),  T(a_file_cut_short_anywhere_is_an_error),
        T(other_files_are_told_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
