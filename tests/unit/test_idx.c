/* test_idx.c - IDX files: what is written comes back, and every way to be wrong has its sentence. */
#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Three training images of 2x2, levels 0..11, and two test images. */
static const uint8_t train_images[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0,  0,
                                       0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const uint8_t train_labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 9};
static const uint8_t test_images[] = {0, 0, 8, 3, 0,   0,   0,   2,   0,   0,   0,   2,
                                      0, 0, 0, 2, 255, 254, 253, 252, 100, 101, 102, 103};
static const uint8_t test_labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 7};

static void write_all(data_fixture *f)
{
    data_fixture_write(f, "train-images-idx3-ubyte", train_images, sizeof train_images);
    data_fixture_write(f, "train-labels-idx1-ubyte", train_labels, sizeof train_labels);
    data_fixture_write_gz(f, "t10k-images-idx3-ubyte.gz", test_images, sizeof test_images);
    data_fixture_write_gz(f, "t10k-labels-idx1-ubyte.gz", test_labels, sizeof test_labels);
}

static void images_and_labels_come_back_as_written(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: fashion-mnist, path: %s}", "train", &d), NB_OK);
    const nb_dsinfo *i = nb_data_info(d);
    assert_int_equal(i->count, 3);
    assert_int_equal(i->h, 2);
    assert_int_equal(i->w, 2);
    assert_int_equal(i->c, 1);
    assert_int_equal(i->classes, 10);
    assert_string_equal(i->class_names[9], "ankle boot");
    assert_true(i->mean[0] > 0.28f && i->mean[0] < 0.29f);
    for (int32_t k = 0; k < 3; k++) {
        uint8_t px[4];
        int32_t label;
        nb_data_get(d, k, px, &label);
        assert_memory_equal(px, train_images + 16 + 4 * k, 4);
        assert_int_equal(label, train_labels[8 + k]);
    }
    nb_data_close(f->ctx, d);
}

static void gzip_and_plain_files_are_the_same(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: mnist, path: %s}", "test", &d), NB_OK);
    assert_int_equal(nb_data_info(d)->count, 2);
    uint8_t px[4];
    int32_t label;
    nb_data_get(d, 1, px, &label);
    assert_memory_equal(px, test_images + 20, 4);
    assert_int_equal(label, 7);
    nb_data_close(f->ctx, d);
}

static void the_generic_set_measures_its_training_images_for_both_splits(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    static const char *const splits[] = {"train", "test"};
    for (int32_t s = 0; s < 2; s++) {
        nb_data *d;
        assert_int_equal(data_fixture_open(f, "{name: idx, path: %s}", splits[s], &d), NB_OK);
        const nb_dsinfo *i = nb_data_info(d);
        /* 0..11: mean 5.5, variance (12^2 - 1) / 12 */
        assert_true(i->mean[0] > 5.499f / 255 && i->mean[0] < 5.501f / 255);
        assert_true(i->std[0] > 3.452f / 255 && i->std[0] < 3.453f / 255);
        assert_null(i->class_names);
        nb_data_close(f->ctx, d);
    }
}

static void colour_images_have_a_fourth_size(void **state)
{
    data_fixture *f = *state;
    static const uint8_t rgb[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    static const uint8_t one[] = {0, 0, 8, 1, 0, 0, 0, 1, 3};
    data_fixture_write(f, "rgb", rgb, sizeof rgb);
    data_fixture_write(f, "one", one, sizeof one);
    nb_data *d;
    assert_int_equal(
        data_fixture_open(f, "{name: idx, path: %s, train_images: rgb, train_labels: one, classes: 4}", "train", &d),
        NB_OK);
    assert_int_equal(nb_data_info(d)->c, 3);
    uint8_t px[6];
    int32_t label;
    nb_data_get(d, 0, px, &label);
    assert_memory_equal(px, rgb + 20, 6);
    assert_int_equal(label, 3);
    nb_data_close(f->ctx, d);
    assert_int_equal(
        data_fixture_open(f, "{name: idx, path: %s, train_images: rgb, train_labels: one, classes: 3}", "train", &d),
        NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "label 3 of entry 0: must be 0..2"));
    assert_int_equal(data_fixture_open(f, "{name: idx, train_images: '%s/rgb', train_labels: '%s/none'}", "train", &d),
                     NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "/none: no such file"));
}

typedef struct {
    const char *file;
    size_t at, cut; /* byte changed, bytes cut off at the end (at >= size: none changed) */
    uint8_t value;
    const char *sentence;
} mistake;

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    static const mistake list[] = {
        {"images", 2, 0, 7, "images: magic number 0x00000703: must be 0x00000803 (images of unsigned bytes)"},
        {"images", 2, 0, 13, "images: header promises 3 entries of 16 bytes, but 12 bytes follow it"},
        {"images", 3, 0, 0, "images: magic number 0x00000800: must be 0x00000803"},
        {"images", 3, 0, 9, "images: magic number 0x00000809: must be 0x00000803"},
        {"labels", 3, 0, 3, "labels: 11 bytes are too few for an IDX header with 3 sizes"},
        {"images", 7, 0, 0, "images: header: size 1 of 3 is 0: cannot be right"},
        {"images", 4, 0, 255, "images: header: size 1 of 3 is 4278190083"},
        {"images", 4, 0, 127, "images: header promises 2130706435 entries of 4 bytes, but 12 bytes follow it"},
        {"images", 11, 0, 0, "images: header: size 2 of 3 is 0"},
        {"images", 8, 0, 255, "images: header: size 2 of 3 is 4278190082"},
        {"images", 15, 0, 3, "images: header promises 3 entries of 6 bytes, but 12 bytes follow it"},
        {"images", 99, 1, 0, "images: header promises 3 entries of 4 bytes, but 11 bytes follow it"},
        {"images", 99, 13, 0, "images: 15 bytes are too few for an IDX header with 3 sizes"},
        {"images", 99, 25, 0, "images: 3 bytes are too few for an IDX header"},
        {"images", 99, 28, 0, "images: 0 bytes are too few for an IDX header"},
        {"images", 7, 4, 2, "labels: 3 labels, but "},
        {"labels", 9, 0, 10, "labels: label 10 of entry 1: must be 0..9"},
        {"labels", 99, 1, 0, "labels: header promises 3 entries of 1 bytes, but 2 bytes follow it"},
        {"labels", 7, 1, 2, "labels: 2 labels, but "},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const mistake *m = &list[i];
        uint8_t images[sizeof train_images], labels[sizeof train_labels];
        memcpy(images, train_images, sizeof images);
        memcpy(labels, train_labels, sizeof labels);
        const int is_images = strcmp(m->file, "images") == 0;
        if (m->at < (is_images ? sizeof images : sizeof labels))
            (is_images ? images : labels)[m->at] = m->value;
        data_fixture_write(f, "images", images, sizeof images - (is_images ? m->cut : 0));
        data_fixture_write(f, "labels", labels, sizeof labels - (is_images ? 0 : m->cut));
        nb_data *d;
        assert_int_equal(
            data_fixture_open(f, "{name: idx, path: %s, train_images: images, train_labels: labels}", "train", &d),
            NB_E_FORMAT);
        if (!strstr(nb_ctx_error(f->ctx), m->sentence))
            fail_msg("case %zu: %s", i, nb_ctx_error(f->ctx));
        assert_non_null(strstr(nb_ctx_error(f->ctx), f->dir));
    }
}

static void a_gzip_file_cut_short_is_an_error(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    struct stat sb;
    const char *path = data_fixture_path(f, "t10k-images-idx3-ubyte.gz");
    assert_int_equal(stat(path, &sb), 0);
    for (off_t keep = sb.st_size - 1; keep > 2; keep -= 5) { /* two bytes are no gzip header, but a short IDX file */
        assert_int_equal(truncate(path, keep), 0);
        nb_data *d;
        assert_int_equal(data_fixture_open(f, "{name: mnist, path: %s}", "test", &d), NB_E_FORMAT);
        assert_non_null(strstr(nb_ctx_error(f->ctx), "t10k-images-idx3-ubyte.gz: "));
    }
}

static void test_images_of_another_size_are_an_error(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    static const uint8_t wide[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    data_fixture_write(f, "wide", wide, sizeof wide);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: idx, path: %s, test_images: wide}", "test", &d), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "samples of 2x2x1, but the test samples have 1x2x1"));
}

static void a_missing_file_is_named_in_both_forms(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: mnist, path: %s}", "train", &d), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "train-images-idx3-ubyte.gz"));
    write_all(f);
    data_fixture_remove(f, "train-labels-idx1-ubyte");
    assert_int_equal(data_fixture_open(f, "{name: mnist, path: %s}", "train", &d), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "train-labels-idx1-ubyte: no such file"));
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    write_all(f);
    const nb_conf *section = data_fixture_section(f, "{name: idx, path: %s}");
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_data *d = NULL;
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_data_open(f->ctx, section, "test", &d);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        assert_true(n < 1000);
        nb_data_close(f->ctx, d);
    }
}

static void the_distribution_s_fashion_mnist_is_read(void **state)
{
    data_fixture *f = *state;
    if (access("/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz", R_OK) != 0)
        skip();
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: fashion-mnist, path: /usr/share/datasets/fashion-mnist}", "test", &d),
                     NB_OK);
    const nb_dsinfo *i = nb_data_info(d);
    assert_int_equal(i->count, 10000);
    assert_int_equal(i->h * 1000 + i->w, 28028);
    int32_t count[10] = {0};
    for (int32_t k = 0; k < i->count; k++) {
        uint8_t px[784];
        int32_t label;
        nb_data_get(d, k, px, &label);
        count[label]++;
    }
    for (int32_t k = 0; k < 10; k++)
        assert_int_equal(count[k], 1000);
    nb_data_close(f->ctx, d);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(images_and_labels_come_back_as_written),
        T(gzip_and_plain_files_are_the_same),
        T(the_generic_set_measures_its_training_images_for_both_splits),
        T(colour_images_have_a_fourth_size),
        T(every_mistake_has_its_sentence),
        T(a_gzip_file_cut_short_is_an_error),
        T(test_images_of_another_size_are_an_error),
        T(a_missing_file_is_named_in_both_forms),
        T(failing_at_any_allocation_is_an_error),
        T(the_distribution_s_fashion_mnist_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
