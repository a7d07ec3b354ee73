/* ref_flatbuf.c - FlatBuffers, read as https://flatbuffers.dev describes them. */
#include "ref/ref_flatbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

int32_t ref_flat_number(const ref_flat *f, size_t at, size_t bytes)
{
    uint32_t v = 0;
    assert_true(at <= f->len && f->len - at >= bytes);
    assert_int_equal(at % bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        v |= (uint32_t)f->b[at + i] << 8 * i;
    return bytes == 1 ? (int8_t)v : bytes == 2 ? (int32_t)(uint16_t)v : (int32_t)v;
}

size_t ref_flat_root(const ref_flat *f, const char *identifier)
{
    assert_true(f->len >= 8);
    assert_memory_equal(f->b + 4, identifier, 4);
    return (size_t)ref_flat_number(f, 0, 4);
}

size_t ref_flat_field(const ref_flat *f, size_t table, int32_t field)
{
    const size_t vtable = (size_t)((int64_t)table - ref_flat_number(f, table, 4));
    const int32_t bytes = ref_flat_number(f, vtable, 2), size = ref_flat_number(f, vtable + 2, 2);
    assert_true(bytes >= 4 && bytes % 2 == 0 && size >= 4);
    if (4 + 2 * field >= bytes)
        return 0;
    const int32_t at = ref_flat_number(f, vtable + 4 + 2 * (size_t)field, 2);
    assert_true(at < size);
    return at ? table + (size_t)at : 0;
}

int32_t ref_flat_i32(const ref_flat *f, size_t table, int32_t field)
{
    const size_t at = ref_flat_field(f, table, field);
    return at ? ref_flat_number(f, at, 4) : 0;
}

int32_t ref_flat_i8(const ref_flat *f, size_t table, int32_t field)
{
    const size_t at = ref_flat_field(f, table, field);
    return at ? ref_flat_number(f, at, 1) : 0;
}

size_t ref_flat_to(const ref_flat *f, size_t table, int32_t field)
{
    const size_t at = ref_flat_field(f, table, field);
    return at ? at + (size_t)ref_flat_number(f, at, 4) : 0;
}

int32_t ref_flat_count(const ref_flat *f, size_t vector, size_t size)
{
    if (!vector)
        return 0;
    const int32_t n = ref_flat_number(f, vector, 4);
    assert_true(n >= 0 && (size_t)n * size <= f->len - vector - 4);
    assert_int_equal((vector + 4) % size, 0);
    return n;
}

size_t ref_flat_item(const ref_flat *f, size_t vector, int32_t i)
{
    assert_true(i >= 0 && i < ref_flat_count(f, vector, 4));
    const size_t at = vector + 4 + 4 * (size_t)i;
    return at + (size_t)ref_flat_number(f, at, 4);
}

const char *ref_flat_string(const ref_flat *f, size_t string)
{
    const size_t n = (size_t)ref_flat_count(f, string, 1);
    assert_true(string + 4 + n < f->len && f->b[string + 4 + n] == 0);
    return (const char *)f->b + string + 4;
}
