/* test_safetensors.c - the reader: a foreign file it must understand, and one sentence for every way a file can lie. */
#include "base/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 4096 };

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

/* Length, header, then data_bytes bytes 0, 1, 2, ... */
static size_t make_file(uint8_t *to, const char *header, size_t header_bytes, size_t data_bytes)
{
    memset(to, 0, 8);
    to[0] = (uint8_t)header_bytes;
    to[1] = (uint8_t)(header_bytes >> 8);
    memcpy(to + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        to[8 + header_bytes + i] = (uint8_t)i;
    return 8 + header_bytes + data_bytes;
}

static nb_status parse(nb_ctx *ctx, const char *header, size_t data_bytes, nb_st_file **out)
{
    uint8_t bytes[ROOM];
    *out = NULL;
    return nb_st_parse(ctx, "x", bytes, make_file(bytes, header, strlen(header), data_bytes), out);
}

static void refuse(nb_ctx *ctx, const char *header, size_t data_bytes, const char *sentence)
{
    nb_st_file *f;
    assert_int_equal(parse(ctx, header, data_bytes, &f), NB_E_FORMAT);
    assert_null(f);
    assert_string_equal(nb_ctx_error(ctx), sentence);
}

/* Written as the reference implementation writes: other order of fields, odd header length, a dtype we only
 * read. */
static void a_foreign_file_is_read_in_order_of_offset_with_aligned_data(void **state)
{
    nb_st_file *f;
    static const char header[] =
        "{\"b\":{\"data_offsets\":[3,11],\"shape\":[2],\"dtype\":\"F32\"},\"__metadata__\":{\"k\":\"caf\\u00e9\"},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[3,1],\"data_offsets\":[0,3]},"
        "\"h\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[11,13]}}\n ";
    assert_int_equal(parse(*state, header, 13, &f), NB_OK);
    assert_int_equal(nb_st_count(f), 3);
    assert_string_equal(nb_st_at(f, 0)->name, "a");
    assert_string_equal(nb_st_at(f, 1)->name, "b");
    assert_int_equal(nb_st_at(f, 2)->dtype, NB_ST_BF16);
    assert_int_equal(nb_st_at(f, 2)->count, 1);
    const nb_st_tensor *b = nb_st_find(f, "b");
    assert_int_equal((uintptr_t)b->data % 4, 0);
    assert_memory_equal(b->data, "\x03\x04\x05\x06\x07\x08\x09\x0a", 8);
    assert_string_equal(nb_st_meta(f, "k"), "caf\xc3\xa9");
    nb_st_close(*state, f);
}

static void a_header_length_that_does_not_fit_is_refused(void **state)
{
    nb_st_file *f = NULL;
    uint8_t b[32] = {0};
    assert_int_equal(nb_st_parse(*state, "x", b, 0, &f), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(*state), "x: not a safetensors file: 0 bytes");
    assert_int_equal(nb_st_parse(*state, "x", b, 7, &f), NB_E_FORMAT);
    assert_int_equal(nb_st_parse(*state, "x", b, 8, &f), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(*state), "x: not a safetensors file: its header does not begin with {");
    memset(b, 0xff, 8);
    assert_int_equal(nb_st_parse(*state, "x", b, sizeof b, &f), NB_E_FORMAT);
    assert_string_equal(
        nb_ctx_error(*state),
        "x: not a safetensors file, or cut short: it claims a header of 18446744073709551615 bytes in 32");
    memset(b, 0, 8);
    b[0] = 25;
    assert_int_equal(nb_st_parse(*state, "x", b, sizeof b, &f), NB_E_FORMAT);
    assert_null(f);
}

static void damaged_json_is_refused_with_its_place(void **state)
{
    nb_ctx *ctx = *state;
    refuse(ctx, "{\"a\":}", 0, "x: damaged header: not JSON at byte 5 of 6");
    refuse(ctx, "{} {}", 0, "x: damaged header: text behind the closing } at byte 3");
    refuse(ctx, " {}", 0, "x: not a safetensors file: its header does not begin with {");
    refuse(ctx, "{\"a\xff\":1}", 0, "x: damaged header: not UTF-8 text, or with a NUL in it");
    refuse(ctx, "{\"a\\u0000b\":1}", 0, "x: damaged header: not UTF-8 text, or with a NUL in it");
    refuse(ctx, "{\"a\\\\\\u0000b\":1}", 0, "x: damaged header: not UTF-8 text, or with a NUL in it");
    char deep[3000] = "{\"a\":";
    memset(deep + 5, '[', sizeof deep - 6);
    nb_st_file *f;
    assert_int_equal(parse(ctx, deep, 0, &f), NB_E_FORMAT);
    uint8_t bytes[ROOM];
    assert_int_equal(nb_st_parse(ctx, "x", bytes, make_file(bytes, "{\0}     ", 8, 0), &f), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(ctx), "x: damaged header: not UTF-8 text, or with a NUL in it");
}

static void an_escaped_backslash_before_u0000_is_no_nul(void **state)
{
    nb_st_file *f;
    assert_int_equal(parse(*state, "{\"__metadata__\":{\"k\":\"\\\\u0000\"}}", 0, &f), NB_OK);
    assert_string_equal(nb_st_meta(f, "k"), "\\u0000");
    nb_st_close(*state, f);
}

static void fields_of_the_wrong_kind_are_refused(void **state)
{
    nb_ctx *ctx = *state;
    refuse(ctx, "{\"a\":1}", 0, "x: tensor \"a\": must have exactly dtype, shape and data_offsets");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0]}}", 0,
           "x: tensor \"a\": data_offsets is not a pair");
    refuse(ctx, "{\"a\":{\"dtype\":3,\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
           "x: tensor \"a\": dtype is not a string");
    refuse(ctx, "{\"a\":{\"dtype\":\"U9\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
           "x: tensor \"a\": unknown dtype \"U9\"");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":3,\"data_offsets\":[0,3]}}", 3,
           "x: tensor \"a\": shape is not a list");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0]}}", 0,
           "x: tensor \"a\": data_offsets is not a pair");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
           "x: tensor \"a\": more than 8 dimensions");
    refuse(ctx, "{\"__metadata__\":[]}", 0, "x: __metadata__ is not a map of strings");
    refuse(ctx, "{\"__metadata__\":{\"k\":1}}", 0, "x: __metadata__ \"k\" is not a string");
}

static void numbers_that_are_no_sizes_are_refused(void **state)
{
    static const char *const numbers[] = {"-1", "0.5", "1e300", "9007199254740992", "\"1\"", "null", "1e400", "true"};
    nb_ctx *ctx = *state;
    char header[200];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,1]}}", numbers[i]);
        refuse(ctx, header, 1, "x: tensor \"a\": a dimension is not an integer below 2^53");
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,%s]}}", numbers[i]);
        refuse(ctx, header, 1, "x: tensor \"a\": data_offsets are not integers below 2^53");
    }
}

static void absurd_sizes_are_refused_without_overflow(void **state)
{
    nb_ctx *ctx = *state;
    refuse(ctx, "{\"a\":{\"dtype\":\"I64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
           "x: tensor \"a\": the product of its dimensions is absurd");
    refuse(ctx, "{\"a\":{\"dtype\":\"I64\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}", 0,
           "x: tensor \"a\": the product of its dimensions is absurd");
    refuse(ctx, "{\"a\":{\"dtype\":\"I64\",\"shape\":[1125899906842624],\"data_offsets\":[0,9007199254740991]}}", 0,
           "x: tensor \"a\": data_offsets hold 9007199254740991 bytes, its shape needs 1125899906842624 elements of 8");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740991],\"data_offsets\":[0,9007199254740991]}}", 5,
           "x: tensor \"a\": ends at byte 9007199254740991 of the data, the file holds 5 (cut short?)");
}

static void offsets_must_agree_with_shape_and_with_each_other(void **state)
{
    nb_ctx *ctx = *state;
    refuse(ctx, "{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,7]}}", 7,
           "x: tensor \"a\": data_offsets hold 7 bytes, its shape needs 2 elements of 4");
    refuse(ctx, "{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
           "x: tensor \"a\": data_offsets run backwards");
    refuse(ctx,
           "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],"
           "\"data_offsets\":[2,6]}}",
           6, "x: tensor \"b\": overlaps another tensor");
    refuse(ctx,
           "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],"
           "\"data_offsets\":[0,4]}}",
           4, "x: tensor \"b\": overlaps another tensor");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
           "x: tensor \"a\": bytes before it belong to no tensor");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3,
           "x: 1 bytes behind the last tensor belong to none");
    refuse(ctx, "{}", 3, "x: 3 bytes behind the last tensor belong to none");
    refuse(ctx, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1,
           "x: tensor \"a\": ends at byte 2 of the data, the file holds 1 (cut short?)");
}

static void repeated_names_are_refused(void **state)
{
    nb_ctx *ctx = *state;
    refuse(ctx,
           "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
           "\"data_offsets\":[1,2]}}",
           2, "x: tensor \"a\": is there twice");
    refuse(ctx, "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "x: __metadata__ \"k\" is there twice");
    refuse(ctx, "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "x: __metadata__ is there twice");
}

static void every_truncation_of_a_good_file_is_refused(void **state)
{
    static const char header[] = "{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    uint8_t bytes[ROOM];
    size_t len = make_file(bytes, header, strlen(header), 8);
    for (size_t cut = 0; cut < len; cut++) {
        nb_st_file *f = NULL;
        assert_int_equal(nb_st_parse(*state, "x", bytes, cut, &f), NB_E_FORMAT);
        assert_null(f);
    }
}

static nb_status check_format(nb_ctx *ctx, const char *crc, size_t data_bytes)
{
    char header[256];
    nb_st_file *f;
    snprintf(header, sizeof header,
             "{\"__metadata__\":{\"format\":\"x 1\"%s},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
             "\"b\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
             crc);
    assert_int_equal(parse(ctx, header, data_bytes, &f), NB_OK);
    const nb_status st = nb_st_check_format(ctx, f, "x ", 1, "an x");
    nb_st_close(ctx, f);
    return st;
}

/* sum(zlib.crc32(x) for x in [b"format\0x 1", b"a\0U8\0" + q(1) + d[:1], b"b\0I32\0" + q(2) + d[1:]]) of Python, with d =
 * bytes(range(9)) and q = struct.Struct("<q").pack; b is read from a copy, where it is aligned. */
static void contents_other_than_their_crc32_are_refused(void **state)
{
    nb_ctx *ctx = *state;
    assert_int_equal(check_format(ctx, "", 9), NB_OK);
    assert_int_equal(check_format(ctx, ",\"crc32\":\"ff68a56f\"", 9), NB_OK);
    static const char *const others[] = {"", "0", "FF68A56F", "ff68a56f ", "00000000"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char crc[32], want[256];
        snprintf(crc, sizeof crc, ",\"crc32\":\"%s\"", others[i]);
        snprintf(
            want, sizeof want,
            "x: damaged: the CRC-32 of its contents is ff68a56f, metadata \"crc32\" says %s: copy it once more or make "
            "it again (if it was changed on purpose, leave \"crc32\" out)",
            others[i]);
        assert_int_equal(check_format(ctx, crc, 9), NB_E_FORMAT);
        assert_string_equal(nb_ctx_error(ctx), want);
    }
}

/* As Python's safetensors would save it again: tensors of larger types first, metadata in an order of its own. */
static void the_crc32_does_not_depend_on_order(void **state)
{
    nb_ctx *ctx = *state;
    static const char data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 0};
    uint8_t bytes[512];
    nb_st_file *f;
    const char *header =
        "{\"b\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}, \"a\":{\"data_offsets\":[8,9],\"dtype\":"
        "\"U8\",\"shape\":[1]},\"__metadata__\":{\"crc32\":\"ff68a56f\",\"format\":\"x 1\"}}  ";
    const size_t len = make_file(bytes, header, strlen(header), sizeof data);
    memcpy(bytes + len - sizeof data, data, sizeof data);
    assert_int_equal(nb_st_parse(ctx, "x", bytes, len, &f), NB_OK);
    assert_int_equal(nb_st_check_format(ctx, f, "x ", 1, "an x"), NB_OK);
    nb_st_close(ctx, f);
}

static void every_single_allocation_can_fail(void **state)
{
    nb_ctx *ctx = *state;
    nb_st_file *f = NULL;
    nb_status st = NB_E_NOMEM;
    int64_t n = 1;
    for (; st == NB_E_NOMEM; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        st = parse(ctx,
                   "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"b\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[1,5]}}",
                   5, &f);
    }
    nb_ctx_fail_alloc_at(ctx, 0);
    assert_int_equal(st, NB_OK);
    assert_true(n > 9);
    nb_st_close(ctx, f);
    nb_st_close(ctx, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_foreign_file_is_read_in_order_of_offset_with_aligned_data, setup, teardown),
        cmocka_unit_test_setup_teardown(a_header_length_that_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_json_is_refused_with_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(an_escaped_backslash_before_u0000_is_no_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_of_the_wrong_kind_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_that_are_no_sizes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_sizes_are_refused_without_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(offsets_must_agree_with_shape_and_with_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(repeated_names_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_of_a_good_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(contents_other_than_their_crc32_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_crc32_does_not_depend_on_order, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
