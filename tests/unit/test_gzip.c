/* test_gzip.c - .gz content inflated whole; every cut and every flipped byte is noticed; limits hold. */
#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define ZLIB_CONST /* next_in is const */
#include <zlib.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char path[64];
    uint8_t gz[4096];
    size_t gz_len;
} fixture;

static const char hello[] = "nibble nibble nibble: twelve bits of bread, four bits of cheese";

static size_t compress_gz(uint8_t *to, size_t room, const void *from, size_t len)
{
    z_stream z = {.next_in = from, .avail_in = (unsigned)len};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = to;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t made = room - z.avail_out;
    deflateEnd(&z);
    return made;
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = nb_ctx_create();
    strcpy(f->path, "/tmp/nibble-gzip-XXXXXX");
    int fd = mkstemp(f->path);
    close(fd);
    f->gz_len = compress_gz(f->gz, sizeof f->gz, hello, strlen(hello));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    unlink(f->path);
    nb_ctx_destroy(f->ctx);
    free(f);
    return 0;
}

static void put(const fixture *f, const void *bytes, size_t len)
{
    FILE *file = fopen(f->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static nb_status read_gz(fixture *f, size_t max, uint8_t **out, size_t *len)
{
    *out = NULL;
    return nb_file_read_gz(f->ctx, f->path, max, out, len);
}

static void expect_error(fixture *f, size_t max, const char *what)
{
    uint8_t *got;
    size_t len;
    assert_int_equal(read_gz(f, max, &got, &len), NB_E_FORMAT);
    if (what && !strstr(nb_ctx_error(f->ctx), what))
        fail_msg("\"%s\" does not say \"%s\"", nb_ctx_error(f->ctx), what);
}

static void compressed_content_is_inflated_and_ends_with_a_nul(void **state)
{
    fixture *f = *state;
    uint8_t *got;
    size_t len;
    put(f, f->gz, f->gz_len);
    assert_int_equal(read_gz(f, 1000, &got, &len), NB_OK);
    assert_int_equal(len, strlen(hello));
    assert_string_equal((char *)got, hello);
    nb_free(f->ctx, got);
}

static void other_content_passes_unchanged(void **state)
{
    fixture *f = *state;
    uint8_t *got;
    size_t len;
    put(f, "\x1f plain", 7);
    assert_int_equal(read_gz(f, 7, &got, &len), NB_OK);
    assert_int_equal(len, 7);
    assert_memory_equal(got, "\x1f plain", 8);
    nb_free(f->ctx, got);
    put(f, "", 0);
    assert_int_equal(read_gz(f, 7, &got, &len), NB_OK);
    assert_int_equal(len, 0);
    nb_free(f->ctx, got);
    put(f, "12345678", 8);
    expect_error(f, 7, "8 bytes, more than the 7 allowed here");
}

static void every_truncation_is_an_error(void **state)
{
    fixture *f = *state;
    for (size_t cut = 2; cut < f->gz_len; cut++) {
        put(f, f->gz, cut);
        expect_error(f, 1000, "truncated gzip stream");
    }
}

/* Bytes 4..9 of the header (time, extra flags, system) carry no content and no check. */
static void every_damaged_byte_of_the_stream_is_an_error(void **state)
{
    fixture *f = *state;
    for (size_t i = 10; i < f->gz_len; i++) {
        f->gz[i] ^= 0x10;
        put(f, f->gz, f->gz_len);
        expect_error(f, 1000, NULL);
        f->gz[i] ^= 0x10;
    }
}

static void the_limit_holds_to_the_byte(void **state)
{
    fixture *f = *state;
    uint8_t *got;
    size_t len;
    put(f, f->gz, f->gz_len);
    assert_int_equal(read_gz(f, strlen(hello), &got, &len), NB_OK);
    nb_free(f->ctx, got);
    expect_error(f, strlen(hello) - 1, "inflates to more than the 62 bytes allowed here");
}

static void a_bomb_is_stopped_at_the_limit(void **state)
{
    fixture *f = *state;
    uint8_t *zeros = calloc(1, 4000000), bomb[8192];
    size_t n = compress_gz(bomb, sizeof bomb, zeros, 4000000);
    put(f, bomb, n);
    expect_error(f, 1000000, "inflates to more than");
    uint8_t *got;
    size_t len;
    assert_int_equal(read_gz(f, 4000000, &got, &len), NB_OK);
    assert_int_equal(len, 4000000);
    nb_free(f->ctx, got);
    memset(bomb + n - 4, 0, 4); /* a wrong length in the trailer must not be believed */
    put(f, bomb, n);
    expect_error(f, 4000000, "incorrect length check");
    free(zeros);
}

static void members_are_joined_and_zero_padding_is_ignored(void **state)
{
    fixture *f = *state;
    uint8_t two[8192] = {0}, *got;
    size_t len;
    memcpy(two, f->gz, f->gz_len);
    memcpy(two + f->gz_len, f->gz, f->gz_len);
    put(f, two, 2 * f->gz_len + 512);
    assert_int_equal(read_gz(f, 1000, &got, &len), NB_OK);
    assert_int_equal(len, 2 * strlen(hello));
    assert_memory_equal(got + strlen(hello), hello, strlen(hello));
    nb_free(f->ctx, got);
    put(f, two, 2 * f->gz_len - 3);
    expect_error(f, 1000, "truncated");
}

static void garbage_behind_the_stream_is_an_error(void **state)
{
    fixture *f = *state;
    uint8_t more[8192];
    memcpy(more, f->gz, f->gz_len);
    memcpy(more + f->gz_len, "junk", 4);
    put(f, more, f->gz_len + 4);
    expect_error(f, 1000, "4 bytes that are not gzip follow the stream");
}

static void every_single_allocation_can_fail(void **state)
{
    fixture *f = *state;
    uint8_t *got;
    size_t len;
    put(f, f->gz, f->gz_len);
    int64_t n = 1;
    nb_status st = NB_E_NOMEM;
    for (; st == NB_E_NOMEM; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = read_gz(f, 1000, &got, &len);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    assert_int_equal(st, NB_OK);
    assert_true(n > 3);
    nb_free(f->ctx, got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(compressed_content_is_inflated_and_ends_with_a_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(other_content_passes_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(every_damaged_byte_of_the_stream_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_holds_to_the_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bomb_is_stopped_at_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(members_are_joined_and_zero_padding_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_behind_the_stream_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
