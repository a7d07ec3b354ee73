/* test_flatbuf.c - the FlatBuffers writer, read back by ref/ref_flatbuf.c. */
#include "ref/data_fixture.h"
#include "ref/ref_flatbuf.h"

#include "base/files.h"
#include "export/flatbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static ref_flat written(data_fixture *f, fb_builder *b, fb_ref root)
{
    ref_flat r;
    uint8_t *bytes;
    assert_int_equal(fb_finish(b, root, "TEST", data_fixture_path(f, "x.bin")), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "x.bin"), 1 << 20, &bytes, &r.len), NB_OK);
    r.b = bytes;
    fb_close(b);
    return r;
}

static void fields_come_back_and_zeros_are_left_out(void **state)
{
    data_fixture *f = *state;
    fb_builder b;
    fb_open(&b, f->ctx);
    const int64_t wide[3] = {1, -2, (int64_t)1 << 40};
    const fb_ref text = fb_string(&b, "abc"), v = fb_vector(&b, wide, 3, 8, 8);
    fb_begin(&b);
    fb_i8(&b, 0, -7);
    fb_i32(&b, 1, 0);
    fb_i32(&b, 3, -123456);
    fb_to(&b, 4, text);
    fb_to(&b, 5, v);
    fb_to(&b, 6, 0);
    const ref_flat r = written(f, &b, fb_end(&b));
    const size_t t = ref_flat_root(&r, "TEST");
    assert_int_equal(ref_flat_i8(&r, t, 0), -7);
    assert_int_equal(ref_flat_field(&r, t, 1), 0);
    assert_int_equal(ref_flat_field(&r, t, 2), 0);
    assert_int_equal(ref_flat_i32(&r, t, 3), -123456);
    assert_string_equal(ref_flat_string(&r, ref_flat_to(&r, t, 4)), "abc");
    assert_int_equal(ref_flat_count(&r, ref_flat_to(&r, t, 5), 8), 3);
    assert_memory_equal(r.b + ref_flat_to(&r, t, 5) + 4, wide, sizeof wide);
    assert_int_equal(ref_flat_field(&r, t, 6), 0);
    nb_free(f->ctx, (void *)(uintptr_t)r.b);
}

static void vectors_begin_where_they_are_asked_to(void **state)
{
    data_fixture *f = *state;
    for (size_t n = 0; n < 40; n++) {
        fb_builder b;
        uint8_t bytes[40];
        memset(bytes, 0xa5, sizeof bytes);
        fb_open(&b, f->ctx);
        const fb_ref odd = fb_string(&b, "xyzzy"), v = fb_vector(&b, bytes, n, 1, 16);
        fb_begin(&b);
        fb_to(&b, 0, v);
        fb_to(&b, 1, odd);
        const ref_flat r = written(f, &b, fb_end(&b));
        const size_t at = ref_flat_to(&r, ref_flat_root(&r, "TEST"), 0);
        assert_int_equal((at + 4) % 16, 0);
        assert_int_equal(ref_flat_count(&r, at, 1), n);
        assert_memory_equal(r.b + at + 4, bytes, n);
        nb_free(f->ctx, (void *)(uintptr_t)r.b);
    }
}

static void tables_of_one_kind_share_what_describes_them(void **state)
{
    data_fixture *f = *state;
    fb_builder b;
    fb_ref item[100];
    fb_open(&b, f->ctx);
    for (int32_t i = 0; i < 100; i++) {
        fb_begin(&b);
        fb_i32(&b, i % 2, i + 1);
        item[i] = fb_end(&b);
    }
    const fb_ref all = fb_refs(&b, item, 100);
    fb_begin(&b);
    fb_to(&b, 2, all);
    const ref_flat r = written(f, &b, fb_end(&b));
    const size_t v = ref_flat_to(&r, ref_flat_root(&r, "TEST"), 2);
    assert_int_equal(ref_flat_count(&r, v, 4), 100);
    for (int32_t i = 0; i < 100; i++) {
        const size_t t = ref_flat_item(&r, v, i);
        assert_int_equal(ref_flat_i32(&r, t, i % 2), i + 1);
        assert_int_equal(ref_flat_i32(&r, t, 1 - i % 2), 0);
    }
    assert_true(r.len < 100 * (8 + 4) + 64); /* 8 bytes a table, 4 a reference */
    nb_free(f->ctx, (void *)(uintptr_t)r.b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
static const struct CMUnitTest tests[] = {
    TEST(fields_come_back_and_zeros_are_left_out),
    TEST(vectors_begin_where_they_are_asked_to),
    TEST(tables_of_one_kind_share_what_describes_them),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
