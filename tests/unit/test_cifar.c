/* test_cifar.c - the binary layout of CIFAR: planes become pixels, files follow each other, mistakes have sentences. */
#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { AREA = 32 * 32, RECORD = 1 + 3 * AREA };

/* Value of channel c at place p in image i. */
static uint8_t pixel(int32_t i, int32_t c, int32_t p)
{
    return (uint8_t)(37 * i + 101 * c + 7 * p + p / 32);
}

/* n records for images first, first + 1, ...: label_bytes bytes, the last of them the label, i modulo 10. */
static size_t make_records(uint8_t *to, int32_t first, int32_t n, int32_t label_bytes)
{
    uint8_t *o = to;
    for (int32_t i = first; i < first + n; i++) {
        if (label_bytes == 2)
            *o++ = 99;
        *o++ = (uint8_t)(i % 10);
        for (int32_t k = 0; k < 3 * AREA; k++)
            *o++ = pixel(i, k / AREA, k % AREA);
    }
    return (size_t)(o - to);
}

static void write_cifar10(data_fixture *f)
{
    static uint8_t records[3 * RECORD];
    for (int32_t b = 0; b < 5; b++) { /* batch b holds b % 3 + 1 images: 1 2 3 1 2 */
        static const int32_t first[] = {0, 1, 3, 6, 7};
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin%s", b + 1, b % 2 ? ".gz" : "");
        const size_t len = make_records(records, first[b], b % 3 + 1, 1);
        if (b % 2)
            data_fixture_write_gz(f, name, records, len);
        else
            data_fixture_write(f, name, records, len);
    }
    data_fixture_write(f, "test_batch.bin", records, make_records(records, 100, 2, 1));
    static const char meta[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    data_fixture_write(f, "batches.meta.txt", meta, sizeof meta - 1);
}

static void check_images(const nb_data *d, int32_t first)
{
    for (int32_t k = 0; k < nb_data_info(d)->count; k++) {
        uint8_t px[3 * AREA];
        int32_t label;
        nb_data_get(d, k, px, &label);
        assert_int_equal(label, (first + k) % 10);
        for (int32_t i = 0; i < 3 * AREA; i++)
            assert_int_equal(px[i], pixel(first + k, i % 3, i / 3));
    }
}

static void batches_follow_each_other_with_interleaved_pixels(void **state)
{
    data_fixture *f = *state;
    write_cifar10(f);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: cifar10, path: %s}", "train", &d), NB_OK);
    const nb_dsinfo *i = nb_data_info(d);
    assert_int_equal(i->count, 9);
    assert_int_equal(i->h * i->w * i->c, 3 * AREA);
    assert_int_equal(i->classes, 10);
    assert_string_equal(i->class_names[0], "airplane");
    assert_string_equal(i->class_names[9], "truck");
    check_images(d, 0);
    nb_data_close(f->ctx, d);
    assert_int_equal(data_fixture_open(f, "{name: cifar10, path: %s}", "test", &d), NB_OK);
    assert_int_equal(nb_data_info(d)->count, 2);
    check_images(d, 100);
    nb_data_close(f->ctx, d);
}

static void cifar100_takes_the_fine_label(void **state)
{
    data_fixture *f = *state;
    static uint8_t records[4 * (RECORD + 1)];
    data_fixture_write_gz(f, "train.bin.gz", records, make_records(records, 3, 4, 2));
    char names[1000];
    size_t n = 0;
    for (int32_t k = 0; k < 100; k++)
        n += (size_t)snprintf(names + n, sizeof names - n, "c%d\r\n", k);
    data_fixture_write(f, "fine_label_names.txt", names, n);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: cifar100, path: %s}", "train", &d), NB_OK);
    assert_int_equal(nb_data_info(d)->classes, 100);
    assert_string_equal(nb_data_info(d)->class_names[99], "c99");
    check_images(d, 3);
    nb_data_close(f->ctx, d);
}

static void expect(data_fixture *f, nb_status want, const char *sentence)
{
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: cifar10, path: %s}", "train", &d), want);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("wanted \"%s\", got: %s", sentence, nb_ctx_error(f->ctx));
}

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    static uint8_t records[2 * RECORD];
    const size_t len = make_records(records, 0, 2, 1);
    expect(f, NB_E_IO, "holds neither data_batch_1.bin nor data_batch_1.bin.gz");
    write_cifar10(f);
    data_fixture_write(f, "data_batch_3.bin", records, len - 1);
    expect(f, NB_E_FORMAT, "data_batch_3.bin: 6145 bytes: must be a multiple of 3073, the size of a record");
    data_fixture_write(f, "data_batch_3.bin", records, 0);
    expect(f, NB_E_FORMAT, "data_batch_3.bin: 0 bytes: must be a multiple of 3073");
    records[RECORD] = 10;
    data_fixture_write(f, "data_batch_3.bin", records, len);
    expect(f, NB_E_FORMAT, "data_batch_3.bin: label 10 of record 1: must be 0..9");
    data_fixture_remove(f, "data_batch_3.bin");
    expect(f, NB_E_IO, "data_batch_3.bin: no such file");
    write_cifar10(f);
    assert_int_equal(truncate(data_fixture_path(f, "data_batch_2.bin.gz"), 60), 0);
    expect(f, NB_E_FORMAT, "data_batch_2.bin.gz: ");
    write_cifar10(f);
    data_fixture_write(f, "batches.meta.txt", "a\nb\n", 4);
    expect(f, NB_E_FORMAT, "batches.meta.txt: 2 class names: must be 10, one a line");
    data_fixture_write(f, "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk", 21);
    expect(f, NB_E_FORMAT, "batches.meta.txt: 11 class names: must be 10, one a line");
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    write_cifar10(f);
    const nb_conf *section = data_fixture_section(f, "{name: cifar10, path: %s}");
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_data *d = NULL;
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_data_open(f->ctx, section, "train", &d);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        assert_true(n < 1000);
        nb_data_close(f->ctx, d);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(batches_follow_each_other_with_interleaved_pixels),
        T(cifar100_takes_the_fine_label),
        T(every_mistake_has_its_sentence),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
