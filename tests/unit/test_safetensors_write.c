/* test_safetensors_write.c - what is written is what is read, byte for byte the same every time, and refused when it could not
 * be read. */
#include "base/files.h"
#include "base/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char path[64];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = nb_ctx_create();
    strcpy(f->path, "/tmp/nibble-safetensors_write-XXXXXX");
    close(mkstemp(f->path));
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

static const float weights[6] = {1.5f, -2, 0, 3e38f, -0.0f, 1e-40f};
static const int8_t codes[3] = {-7, 0, 7};
static const int64_t wide[2] = {INT64_MIN, INT64_MAX};
static const char odd_name[] = "quote \" backslash \\ tab \t bell \a caf\xc3\xa9 \xf0\x9f\xa7\x80";

static nb_status add_all(nb_st_writer *w)
{
    nb_status st = nb_st_set_meta(w, "format", "nibble");
    if (st == NB_OK)
        st = nb_st_set_meta(w, "config", "seed: 7\nname: \"x\"\n");
    if (st == NB_OK)
        st = nb_st_add(w, odd_name, NB_ST_I8, 1, (const int64_t[]){3}, codes);
    if (st == NB_OK)
        st = nb_st_add(w, "w", NB_ST_F32, 2, (const int64_t[]){2, 3}, weights); /* at offset 3: unaligned in the file */
    if (st == NB_OK)
        st = nb_st_add(w, "scalar", NB_ST_I64, 0, NULL, wide);
    if (st == NB_OK)
        st = nb_st_add(w, "empty", NB_ST_F64, 2, (const int64_t[]){5, 0}, NULL);
    return st;
}

static nb_status save_all(nb_ctx *ctx, const char *path)
{
    nb_st_writer *w = NULL;
    nb_status st = nb_st_writer_create(ctx, &w);
    if (st != NB_OK)
        return st;
    st = add_all(w);
    if (st == NB_OK)
        st = nb_st_save(w, path);
    nb_st_writer_free(w);
    return st;
}

static void everything_added_is_read_back(void **state)
{
    fixture *f = *state;
    assert_int_equal(save_all(f->ctx, f->path), NB_OK);
    nb_st_file *file = NULL;
    assert_int_equal(nb_st_open(f->ctx, f->path, &file), NB_OK);
    assert_string_equal(nb_st_name(file), f->path);
    assert_int_equal(nb_st_count(file), 4);
    assert_string_equal(nb_st_meta(file, "format"), "nibble");
    assert_string_equal(nb_st_meta(file, "config"), "seed: 7\nname: \"x\"\n");
    assert_null(nb_st_meta(file, "absent"));
    const nb_st_tensor *t = nb_st_at(file, 0);
    assert_string_equal(t->name, odd_name);
    assert_memory_equal(t->data, codes, sizeof codes);
    t = nb_st_find(file, "w");
    assert_non_null(t);
    assert_int_equal(t->dtype, NB_ST_F32);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0] * 10 + t->shape[1], 23);
    assert_int_equal((uintptr_t)t->data % sizeof(float), 0);
    assert_memory_equal(t->data, weights, sizeof weights);
    t = nb_st_find(file, "scalar");
    assert_int_equal(t->count, 1);
    assert_int_equal(*(const int64_t *)t->data, INT64_MIN);
    t = nb_st_find(file, "empty");
    assert_int_equal(t->count, 0);
    assert_int_equal(t->bytes, 0);
    assert_null(nb_st_find(file, "absent"));
    nb_st_close(f->ctx, file);
}

static void equal_content_gives_equal_bytes_with_aligned_data(void **state)
{
    fixture *f = *state;
    uint8_t *first, *second;
    size_t len, len2;
    assert_int_equal(save_all(f->ctx, f->path), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, f->path, 10000, &first, &len), NB_OK);
    assert_int_equal(save_all(f->ctx, f->path), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, f->path, 10000, &second, &len2), NB_OK);
    assert_int_equal(len, len2);
    assert_memory_equal(first, second, len);
    assert_int_equal((first[0] | first[1] << 8) % 8, 0);
    nb_free(f->ctx, first);
    nb_free(f->ctx, second);
}

static void a_file_without_tensors_is_valid(void **state)
{
    fixture *f = *state;
    nb_st_writer *w = NULL;
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    assert_int_equal(nb_st_save(w, f->path), NB_OK);
    nb_st_writer_free(w);
    uint8_t *bytes;
    size_t len;
    assert_int_equal(nb_file_read(f->ctx, f->path, 10000, &bytes, &len), NB_OK);
    assert_int_equal(len, 16);
    assert_memory_equal(bytes, "\x08\0\0\0\0\0\0\0{}      ", 16);
    nb_st_file *file = NULL;
    assert_int_equal(nb_st_parse(f->ctx, "empty", bytes, len, &file), NB_OK);
    assert_int_equal(nb_st_count(file), 0);
    assert_null(nb_st_find(file, "x"));
    assert_null(nb_st_meta(file, "x"));
    nb_st_close(f->ctx, file);
    nb_free(f->ctx, bytes);
}

static void metadata_set_again_replaces_the_value(void **state)
{
    fixture *f = *state;
    nb_st_writer *w = NULL;
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    assert_int_equal(nb_st_set_meta(w, "epoch", "1"), NB_OK);
    assert_int_equal(nb_st_set_meta(w, "epoch", "2"), NB_OK);
    assert_int_equal(nb_st_save(w, f->path), NB_OK);
    nb_st_writer_free(w);
    nb_st_file *file = NULL;
    assert_int_equal(nb_st_open(f->ctx, f->path, &file), NB_OK);
    assert_string_equal(nb_st_meta(file, "epoch"), "2");
    nb_st_close(f->ctx, file);
}

static void what_could_not_be_read_again_is_refused(void **state)
{
    fixture *f = *state;
    nb_st_writer *w = NULL;
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    assert_int_equal(nb_st_add(w, "w", NB_ST_I8, 1, (const int64_t[]){3}, codes), NB_OK);
    assert_int_equal(nb_st_add(w, "w", NB_ST_I8, 1, (const int64_t[]){3}, codes), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(f->ctx), "two tensors are called \"w\": give one of the layers another name");
    assert_int_equal(nb_st_add(w, "\xff", NB_ST_I8, 1, (const int64_t[]){3}, codes), NB_E_FORMAT);
    assert_int_equal(nb_st_set_meta(w, "k", "\xc0\x80"), NB_E_FORMAT);
    char *huge = calloc(1, NB_ST_MAX_HEADER + 1);
    memset(huge, 'x', NB_ST_MAX_HEADER);
    assert_int_equal(nb_st_set_meta(w, "k", huge), NB_OK);
    assert_int_equal(nb_st_save(w, f->path), NB_E_UNSUPPORTED);
    free(huge);
    nb_st_writer_free(w);
}

static void a_full_device_is_reported(void **state)
{
    fixture *f = *state;
    if (!nb_file_exists("/dev/full"))
        skip();
    assert_int_equal(save_all(f->ctx, "/dev/full"), NB_E_IO);
    assert_string_equal(nb_ctx_error(f->ctx), "/dev/full: cannot write: No space left on device");
}

static void make_summed(fixture *f, uint8_t **bytes, size_t *len)
{
    nb_st_writer *w;
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    assert_int_equal(add_all(w), NB_OK);
    assert_int_equal(nb_st_set_meta(w, "format", "x 1"), NB_OK);
    assert_int_equal(nb_st_set_crc32(w), NB_OK);
    assert_int_equal(nb_st_bytes(w, "memory", bytes, len), NB_OK);
    nb_st_writer_free(w);
}

/* Does the file, of the first one's crc32 or none, hold what was written? */
static bool says_the_same(const nb_st_file *f)
{
    const nb_st_tensor *t[] = {nb_st_find(f, odd_name), nb_st_find(f, "w"), nb_st_find(f, "scalar"),
                               nb_st_find(f, "empty")};
    const void *data[] = {codes, weights, wide, NULL};
    static const int32_t bytes[] = {sizeof codes, sizeof weights, sizeof *wide, 0}, ndim[] = {1, 2, 0, 2};
    static const int64_t shape[4][2] = {{3}, {2, 3}, {0}, {5, 0}};
    const char *config = nb_st_meta(f, "config"), *format = nb_st_meta(f, "format");
    bool same = nb_st_count(f) == 4 && config && strcmp(config, "seed: 7\nname: \"x\"\n") == 0 && format &&
                strcmp(format, "x 1") == 0;
    for (int32_t i = 0; i < 4 && same; i++)
        same = t[i] && t[i]->bytes == (size_t)bytes[i] && t[i]->ndim == ndim[i] &&
               memcmp(t[i]->shape, shape[i], (size_t)ndim[i] * sizeof **shape) == 0 &&
               (!bytes[i] || memcmp(t[i]->data, data[i], (size_t)bytes[i]) == 0);
    return same;
}

/* Any bit of the header, and of its length: another file is refused; what is taken differs in the checksum's own name, or in
 * spaces. */
static void a_flipped_bit_of_the_header_is_never_another_file(void **state)
{
    fixture *f = *state;
    nb_st_file *file;
    uint8_t *bytes;
    size_t len;
    int32_t taken = 0, summed = 0;
    make_summed(f, &bytes, &len);
    const size_t header = 8 + (bytes[0] | (size_t)bytes[1] << 8);
    for (size_t bit = 0; bit < 8 * header; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (nb_st_parse(f->ctx, "flipped", bytes, len, &file) == NB_OK) {
            const bool ok = nb_st_check_format(f->ctx, file, "x ", 1, "an x") == NB_OK;
            if (ok && !says_the_same(file))
                fail_msg("bit %zu of byte %zu makes another file", bit % 8, bit / 8);
            taken += ok;
            summed += !ok && strstr(nb_ctx_error(f->ctx), "the CRC-32 of its contents is") != NULL;
            nb_st_close(f->ctx, file);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    nb_free(f->ctx, bytes);
    assert_true(taken >= 1 && taken <= 64);
    assert_true(summed > 300);
}

/* Any bit of any tensor: of w, too, which is read from an aligned copy. */
static void a_flipped_bit_shows_by_the_crc32(void **state)
{
    fixture *f = *state;
    nb_st_file *file;
    uint8_t *bytes;
    size_t len;
    make_summed(f, &bytes, &len);
    const size_t data = sizeof codes + sizeof weights + sizeof *wide;
    for (size_t i = 0; i <= data; i++) {
        bytes[len - 1 - i] ^= i == data ? 0 : 0x10;
        assert_int_equal(nb_st_parse(f->ctx, "flipped", bytes, len, &file), NB_OK);
        assert_int_equal(nb_st_check_format(f->ctx, file, "x ", 1, "an x"), i == data ? NB_OK : NB_E_FORMAT);
        nb_st_close(f->ctx, file);
        bytes[len - 1 - i] ^= i == data ? 0 : 0x10;
    }
    nb_free(f->ctx, bytes);
}

static void every_single_allocation_can_fail(void **state)
{
    fixture *f = *state;
    nb_status st = NB_E_NOMEM;
    int64_t n = 1;
    for (; st == NB_E_NOMEM; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = save_all(f->ctx, f->path);
    }
    assert_int_equal(st, NB_OK);
    assert_true(n > 15);
    nb_ctx_fail_alloc_at(f->ctx, 0);
}

static void the_bytes_in_memory_are_those_of_the_file(void **state)
{
    fixture *f = *state;
    nb_st_writer *w;
    uint8_t *file, *memory;
    size_t file_len, len;
    assert_int_equal(save_all(f->ctx, f->path), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, f->path, 1 << 20, &file, &file_len), NB_OK);
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    assert_int_equal(add_all(w), NB_OK);
    assert_int_equal(nb_st_bytes(w, "memory", &memory, &len), NB_OK);
    assert_int_equal(len, file_len);
    assert_memory_equal(memory, file, len);
    nb_st_writer_free(w);
    nb_free(f->ctx, memory);
    nb_free(f->ctx, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bytes_in_memory_are_those_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_added_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_content_gives_equal_bytes_with_aligned_data, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_without_tensors_is_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_set_again_replaces_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(what_could_not_be_read_again_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_device_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_shows_by_the_crc32, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_of_the_header_is_never_another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
