/* test_packed.c - packed data sets: the same images as those that were packed, and a sentence for all that is wrong. */
#include "ref/data_fixture.h"
#include "ref/npy_writer.h"

#include "base/crc32.h"
#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { H = 3, W = 2, AREA = H * W };
#define FOLDER "{name: pngdir, path: %s/set}"
#define PACKED "{name: packed, path: %s/out}"

static void write_set(data_fixture *f)
{
    static const char *const names[] = {"train/cat/a.png", "train/cat/b.png", "train/dog/10.png", "train/dog/2.png",
                                        "train/dog/3.png", "test/cat/x.png",  "test/dog/y.png"};
    for (int32_t i = 0; i < 7; i++) {
        uint8_t rows[AREA];
        char name[64];
        for (int32_t k = 0; k < AREA; k++)
            rows[k] = (uint8_t)(i * 31 + k * k * 7);
        snprintf(name, sizeof name, "set/%s", names[i]);
        data_fixture_png(f, name, &(png_file){.h = H, .w = W, .depth = 8, .rows = rows});
    }
}

static nb_status pack(data_fixture *f, const char *section, int64_t shard_bytes, nb_pack_result *out)
{
    nb_pack_result r;
    const nb_pack_job job = {.out = data_fixture_path(f, "out"), .shard_bytes = shard_bytes};
    return nb_data_pack(f->ctx, data_fixture_section(f, section), &job, out ? out : &r);
}

static void must_be_alike(nb_data *a, nb_data *b)
{
    const nb_dsinfo *x = nb_data_info(a), *y = nb_data_info(b);
    const size_t bytes = (size_t)x->h * (size_t)x->w * (size_t)x->c;
    uint8_t *one = malloc(bytes), *two = malloc(bytes);
    assert_true(one && two);
    assert_int_equal(x->count, y->count);
    assert_true(x->h == y->h && x->w == y->w && x->c == y->c && x->classes == y->classes);
    assert_memory_equal(x->mean, y->mean, (size_t)x->c * sizeof *x->mean);
    assert_memory_equal(x->std, y->std, (size_t)x->c * sizeof *x->std);
    assert_true(nb_features_equal(x->features, y->features));
    assert_true(!x->class_names == !y->class_names);
    for (int32_t k = 0; x->class_names && k < x->classes; k++)
        assert_string_equal(x->class_names[k], y->class_names[k]);
    for (int32_t i = 0; i < x->count; i++) {
        int32_t label[3];
        nb_data_ahead(b, i);
        nb_data_get(a, i, one, &label[0]);
        nb_data_get(b, i, two, &label[1]);
        assert_memory_equal(one, two, bytes);
        assert_int_equal(label[0], label[1]);
        assert_true(nb_data_label(b, i, &label[2]) && label[2] == label[0]);
    }
    free(one);
    free(two);
}

static void same_fingerprints(data_fixture *f, nb_data *a, nb_data *b)
{
    nb_fingerprint x, y;
    assert_int_equal(nb_data_fingerprint(f->ctx, a, &x), NB_OK);
    assert_int_equal(nb_data_fingerprint(f->ctx, b, &y), NB_OK);
    assert_true(x.count == y.count && x.labels == y.labels && x.pixels == y.pixels);
}

/* Both splits of two sections are the same. */
static void compare(data_fixture *f, const char *one, const char *two)
{
    static const char *const splits[] = {"train", "test"};
    for (int32_t i = 0; i < 2; i++) {
        nb_data *a, *b;
        assert_int_equal(data_fixture_open(f, one, splits[i], &a), NB_OK);
        assert_int_equal(data_fixture_open(f, two, splits[i], &b), NB_OK);
        must_be_alike(a, b);
        same_fingerprints(f, a, b);
        assert_int_equal(nb_data_check(f->ctx, a), NB_OK);
        assert_int_equal(nb_data_check(f->ctx, b), NB_OK);
        nb_data_close(f->ctx, a);
        nb_data_close(f->ctx, b);
    }
}

static void the_checksum_is_that_of_zip_files(void **state)
{
    (void)state;
    assert_int_equal(nb_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(nb_crc32(nb_crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
    assert_int_equal(nb_crc32(7, NULL, 0), 7);
}

static void images_are_those_that_were_packed(void **state)
{
    data_fixture *f = *state;
    write_set(f);
    for (int64_t bytes = 1; bytes < 100; bytes += 13) { /* one image a file, ..., all in one */
        nb_pack_result r;
        assert_int_equal(pack(f, FOLDER, bytes, &r), NB_OK);
        assert_true(r.images[0] == 5 && r.images[1] == 2 && r.h == H && r.w == W && r.c == 1 && r.classes == 2);
        const int32_t each = bytes < AREA ? 1 : (int32_t)(bytes / AREA);
        assert_int_equal(r.shards[0], (5 - 1) / each + 1);
        compare(f, FOLDER, PACKED);
    }
    nb_data *d;
    assert_int_equal(data_fixture_open(f, PACKED, "train", &d), NB_OK);
    assert_string_equal(nb_data_image_name(d, 3), "train/dog/2.png");
    assert_true(nb_data_info(d)->streams);
    nb_data_close(f->ctx, d);
}

static void a_folder_that_is_not_kept_is_the_same(void **state)
{
    data_fixture *f = *state;
    write_set(f);
    compare(f, FOLDER, "{name: pngdir, path: %s/set, memory: 0}");
}

static void features_keep_their_map(void **state)
{
    data_fixture *f = *state;
    static const float x[12] = {0, 1, -2, 3, 0.5f, 4, 1, 1, 7, -3, 2, 0};
    static const uint8_t y[4] = {0, 1, 2, 1};
    static const char *const names[] = {"train", "test"};
    for (int32_t i = 0; i < 2; i++) {
        char path[64];
        data_fixture_mkdir(f, "set");
        snprintf(path, sizeof path, "set/x_%s.npy", names[i]);
        npy_write(data_fixture_path(f, path), "<f4", "4, 3", x, sizeof x);
        snprintf(path, sizeof path, "set/y_%s.npy", names[i]);
        npy_write(data_fixture_path(f, path), "|u1", "4,", y, sizeof y);
    }
    assert_int_equal(pack(f, "{name: npy, path: %s/set}", 100, NULL), NB_OK);
    nb_data *a, *b;
    assert_int_equal(data_fixture_open(f, "{name: npy, path: %s/set}", "train", &a), NB_OK);
    assert_int_equal(data_fixture_open(f, PACKED, "train", &b), NB_OK);
    assert_non_null(nb_data_info(b)->features);
    must_be_alike(a, b);
    assert_null(nb_data_image_name(b, 0));
    nb_data_close(f->ctx, b);
    nb_features other = *nb_data_info(a)->features;
    other.zero ^= 1;
    assert_int_equal(nb_data_open_as(f->ctx, data_fixture_section(f, PACKED), "train", &other, &b), NB_E_SHAPE);
    nb_data_close(f->ctx, a);
}

static void what_is_whole_is_kept(void **state)
{
    data_fixture *f = *state;
    nb_pack_result r;
    write_set(f);
    assert_int_equal(pack(f, FOLDER, AREA, &r), NB_OK);
    assert_int_equal(r.kept, 0);
    data_fixture_remove(f, "out/index.safetensors");
    data_fixture_remove(f, "out/train-00003.safetensors");
    data_fixture_write(f, "out/test-00001.safetensors", "x", 1);
    data_fixture_grey(f, "set/train/cat/b.png", H, W, 99); /* another image of the same name */
    assert_int_equal(pack(f, FOLDER, AREA, &r), NB_OK);
    assert_int_equal(r.kept, 4);
    compare(f, FOLDER, PACKED);
    assert_int_equal(pack(f, "{name: synth, count: 4, test_count: 2}", 1 << 20, &r), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "/out: holds what was packed of another data set"));
    compare(f, FOLDER, PACKED);
}

static void images_that_cannot_be_used_are_all_named(void **state)
{
    data_fixture *f = *state;
    write_set(f);
    data_fixture_write(f, "set/train/dog/2.png", "x", 1);
    assert_int_equal(pack(f, FOLDER, AREA, NULL), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "set/train/dog/2.png: not a readable PNG"));
    assert_non_null(strstr(nb_ctx_error(f->ctx), "(of 7 images it is the only one that cannot be used)"));
    data_fixture_grey(f, "set/test/cat/x.png", H, W + 1, 0);
    assert_int_equal(pack(f, FOLDER, AREA, NULL), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "2 of 7 images cannot be used, all are listed; the first is "));
    assert_false(nb_file_exists(data_fixture_path(f, "out/index.safetensors")));
}

#define AGAIN "run nibble pack again with the same folder, which writes anew what is damaged or missing"

/* Opens both splits and asks for all images; the first failure. */
static nb_status read_all(data_fixture *f)
{
    static const char *const splits[] = {"train", "test"};
    nb_status st = NB_OK;
    for (int32_t i = 0; i < 2 && st == NB_OK; i++) {
        nb_data *d;
        uint8_t pixels[AREA];
        int32_t label;
        st = data_fixture_open(f, PACKED, splits[i], &d);
        if (st != NB_OK)
            return st;
        for (int32_t k = 0; k < nb_data_info(d)->count; k++)
            nb_data_get(d, k, pixels, &label);
        st = nb_data_check(f->ctx, d);
        nb_data_close(f->ctx, d);
    }
    return st;
}

static void no_byte_can_change_and_none_can_be_missing(void **state)
{
    data_fixture *f = *state;
    static const char *const files[] = {"out/index.safetensors", "out/train-00000.safetensors"};
    write_set(f);
    assert_int_equal(pack(f, FOLDER, 1 << 20, NULL), NB_OK);
    for (int32_t i = 0; i < 2; i++) {
        uint8_t *bytes;
        size_t len;
        assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, files[i]), 1 << 20, &bytes, &len), NB_OK);
        for (size_t at = 0; at < len; at += 3) {
            bytes[at] ^= 0x11;
            data_fixture_write(f, files[i], bytes, len);
            bytes[at] ^= 0x11;
            assert_true(read_all(f) == NB_E_FORMAT);
            assert_non_null(strstr(nb_ctx_error(f->ctx), AGAIN));
            data_fixture_write(f, files[i], bytes, at);
            const nb_status st = read_all(f);
            assert_true(st == NB_E_FORMAT || st == NB_E_IO);
            assert_non_null(strstr(nb_ctx_error(f->ctx), AGAIN));
        }
        data_fixture_write(f, files[i], bytes, len);
        nb_free(f->ctx, bytes);
        assert_int_equal(read_all(f), NB_OK);
    }
}

static void expect(data_fixture *f, nb_status want, const char *sentence)
{
    assert_int_equal(read_all(f), want);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("wanted \"%s\", got: %s", sentence, nb_ctx_error(f->ctx));
}

static void rename_to(data_fixture *f, const char *from, const char *to)
{
    assert_int_equal(rename(data_fixture_path(f, from), data_fixture_path(f, to)), 0);
}

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    write_set(f);
    assert_int_equal(data_fixture_open(f, "{name: packed}", "train", &d), NB_E_CONFIG);
    expect(f, NB_E_IO, "/out/index.safetensors: cannot open: No such file or directory");
    data_fixture_mkdir(f, "out");
    expect(f, NB_E_IO, "/out is no packed data set, or packing did not come to its end: run nibble pack with -o ");
    assert_int_equal(pack(f, FOLDER, AREA, NULL), NB_OK);
    rename_to(f, "out/train-00001.safetensors", "out/kept");
    expect(f, NB_E_IO, "/out/train-00001.safetensors: is not there, but ");
    expect(f, NB_E_IO, "/out/index.safetensors knows it: " AGAIN);
    rename_to(f, "out/train-00002.safetensors", "out/train-00001.safetensors");
    expect(f, NB_E_FORMAT, "/out/train-00001.safetensors: is shard 2 of split train, not 1 of train: was it renamed?");
    data_fixture_write(f, "out/train-00001.safetensors", "no shard at all", 15);
    expect(f, NB_E_FORMAT, "/out/train-00001.safetensors: not a safetensors file");
    rename_to(f, "out/kept", "out/other");
    assert_int_equal(pack(f, FOLDER, AREA, NULL), NB_OK);
    rename_to(f, "out/other", "out/train-00001.safetensors");
    expect(f, NB_OK, "");
    rename_to(f, "out/train-00001.safetensors", "kept");
    data_fixture_grey(f, "set/train/cat/b.png", H, W, 99);
    assert_int_equal(pack(f, FOLDER, AREA, NULL), NB_OK);
    rename_to(f, "kept", "out/train-00001.safetensors");
    expect(f, NB_E_FORMAT, "/out/train-00001.safetensors: is not the shard that ");
}

static void an_image_that_goes_bad_later_is_no_crash(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    uint8_t pixels[AREA] = {1};
    int32_t label = 1;
    write_set(f);
    assert_int_equal(pack(f, FOLDER, 1 << 20, NULL), NB_OK);
    assert_int_equal(data_fixture_open(f, PACKED, "train", &d), NB_OK);
    assert_int_equal(truncate(data_fixture_path(f, "out/train-00000.safetensors"), 20), 0);
    nb_data_get(d, 3, pixels, &label);
    assert_true(pixels[0] == 0 && label == 0);
    assert_int_equal(nb_data_check(f->ctx, d), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "out/train-00000.safetensors: ends before byte "));
    assert_non_null(strstr(nb_ctx_error(f->ctx), AGAIN));
    nb_data_close(f->ctx, d);
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s/set, memory: 0}", "train", &d), NB_OK);
    data_fixture_write(f, "set/train/dog/2.png", "x", 1);
    nb_data_get(d, 0, pixels, &label);
    assert_int_equal(nb_data_check(f->ctx, d), NB_OK);
    nb_data_get(d, 3, pixels, &label);
    assert_int_equal(nb_data_check(f->ctx, d), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "set/train/dog/2.png: not a readable PNG"));
    nb_data_close(f->ctx, d);
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    write_set(f);
    const nb_conf *section = data_fixture_section(f, FOLDER);
    const nb_pack_job job = {.out = data_fixture_path(f, "out"), .shard_bytes = 3 * AREA};
    nb_pack_result r;
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_data_pack(f->ctx, section, &job, &r);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        assert_true(n < 2000);
    }
    section = data_fixture_section(f, PACKED);
    st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_data *d = NULL;
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_data_open(f->ctx, section, "train", &d);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        nb_data_close(f->ctx, d);
    }
    compare(f, FOLDER, PACKED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(the_checksum_is_that_of_zip_files),
        T(images_are_those_that_were_packed),
        T(a_folder_that_is_not_kept_is_the_same),
        T(features_keep_their_map),
        T(what_is_whole_is_kept),
        T(images_that_cannot_be_used_are_all_named),
        T(no_byte_can_change_and_none_can_be_missing),
        T(every_mistake_has_its_sentence),
        T(an_image_that_goes_bad_later_is_no_crash),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
