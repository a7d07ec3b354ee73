/* test_pngdir.c - folders of PNG files: order, splits, sizes, and a sentence for every mistake. */
#include "ref/data_fixture.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Level and label of image i of a set of flat grey images. */
static int32_t level(const nb_data *d, int32_t i, int32_t *label)
{
    static uint8_t px[3 * 64 * 64];
    nb_data_get(d, i, px, label);
    return px[0];
}

static void write_two_splits(data_fixture *f)
{
    data_fixture_grey(f, "train/dog/2.png", 3, 2, 20);
    data_fixture_grey(f, "train/dog/10.PNG", 3, 2, 10); /* sorted as bytes: 10 comes before 2 */
    data_fixture_grey(f, "train/cat/a.png", 3, 2, 40);
    data_fixture_grey(f, "test/dog/z.png", 3, 2, 90);
    data_fixture_write(f, "train/cat/notes.txt", "x", 1);
    data_fixture_write(f, "train/cat/.hidden.png", "x", 1);
    data_fixture_write(f, "train/readme.md", "x", 1);
}

static void classes_and_files_are_sorted_and_others_ignored(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", "train", &d), NB_OK);
    const nb_dsinfo *i = nb_data_info(d);
    assert_int_equal(i->count, 3);
    assert_int_equal(i->h * 100 + i->w * 10 + i->c, 321);
    assert_int_equal(i->classes, 2);
    assert_string_equal(i->class_names[0], "cat");
    assert_string_equal(i->class_names[1], "dog");
    static const int32_t levels[] = {40, 10, 20}, labels[] = {0, 1, 1};
    static const char *const files[] = {"train/cat/a.png", "train/dog/10.PNG", "train/dog/2.png"};
    for (int32_t k = 0; k < 3; k++) {
        int32_t label;
        assert_int_equal(level(d, k, &label), levels[k]);
        assert_int_equal(label, labels[k]);
        assert_string_equal(nb_data_image_name(d, k), data_fixture_path(f, files[k]));
    }
    nb_data_close(f->ctx, d);
}

static void both_splits_have_the_statistics_of_training(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    float mean[2], std[2];
    static const char *const splits[] = {"train", "test"};
    for (int32_t s = 0; s < 2; s++) {
        nb_data *d;
        assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", splits[s], &d), NB_OK);
        mean[s] = nb_data_info(d)->mean[0];
        std[s] = nb_data_info(d)->std[0];
        int32_t label;
        if (s == 1) {
            assert_int_equal(nb_data_info(d)->count, 1);
            assert_int_equal(level(d, 0, &label), 90);
            assert_int_equal(label, 1); /* as in training, though the test split has no cats */
        }
        nb_data_close(f->ctx, d);
    }
    assert_memory_equal(&mean[0], &mean[1], sizeof mean[0]);
    assert_memory_equal(&std[0], &std[1], sizeof std[0]);
    assert_true(mean[0] * 255 > 23.333f && mean[0] * 255 < 23.334f);
    assert_true(std[0] * 255 > 12.472f && std[0] * 255 < 12.473f);
}

static void a_fraction_splits_every_class(void **state)
{
    data_fixture *f = *state;
    for (int32_t i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/%d.png", i);
        data_fixture_grey(f, name, 1, 1, i);
        snprintf(name, sizeof name, "b/%d.png", i);
        if (i < 4)
            data_fixture_grey(f, name, 1, 1, 100 + i);
    }
    bool seen[256] = {false};
    static const char *const splits[] = {"train", "test"};
    static const int32_t counts[] = {11, 3}; /* a quarter of 10 is 2, of 4 is 1 */
    for (int32_t s = 0; s < 2; s++) {
        nb_data *d;
        assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s, test_fraction: 0.25}", splits[s], &d), NB_OK);
        assert_int_equal(nb_data_info(d)->count, counts[s]);
        for (int32_t k = 0; k < counts[s]; k++) {
            int32_t label;
            const int32_t v = level(d, k, &label);
            assert_false(seen[v]);
            seen[v] = true;
            assert_int_equal(label, v >= 100);
        }
        nb_data_close(f->ctx, d);
    }
}

static void sizes_are_equal_or_made_so(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    data_fixture_grey(f, "train/cat/b.png", 4, 4, 60);
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", "train", &d), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "train/cat/b.png: 4 pixels high, 4 wide, but "));
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "train/cat/a.png has 3x2: make them one size, or set data.height and data.width"));
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s, height: 8}", "train", &d), NB_E_CONFIG);
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s, height: 8, width: 5, channels: 3}", "train", &d),
                     NB_OK);
    const nb_dsinfo *i = nb_data_info(d);
    assert_int_equal(i->h * 100 + i->w * 10 + i->c, 853);
    int32_t label;
    assert_int_equal(level(d, 1, &label), 60);
    nb_data_close(f->ctx, d);
}

static void grey_and_colour_do_not_mix_unless_asked(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    static const uint8_t rgb[18] = {255};
    data_fixture_png(f, "train/dog/3.png",
                     &(png_file){.h = 3, .w = 2, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .rows = rgb});
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", "train", &d), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "train/dog/3.png: a colour image, but "));
    assert_non_null(strstr(nb_ctx_error(f->ctx), "set data.channels to 1"));
    for (int32_t c = 1; c <= 3; c += 2) {
        char text[64];
        snprintf(text, sizeof text, "{name: pngdir, path: %%s, channels: %d}", c);
        assert_int_equal(data_fixture_open(f, text, "train", &d), NB_OK);
        assert_int_equal(nb_data_info(d)->c, c);
        int32_t label;
        assert_int_equal(level(d, 3, &label), c == 1 ? 76 : 255);
        nb_data_close(f->ctx, d);
    }
}

static void expect(data_fixture *f, const char *text, const char *split, const char *sentence)
{
    nb_data *d;
    const nb_status st = data_fixture_open(f, text, split, &d);
    assert_true(st == NB_E_FORMAT || st == NB_E_CONFIG || st == NB_E_IO);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("wanted \"%s\", got: %s", sentence, nb_ctx_error(f->ctx));
}

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    const char *const plain = "{name: pngdir, path: %s}";
    expect(f, "{name: pngdir}", "train", "data.path: missing: pngdir needs the folder");
    expect(f, "{name: pngdir, path: '%s/none'}", "train", "/none: No such file or directory");
    expect(f, plain, "train", ": holds no folders: there must be one per class");
    data_fixture_mkdir(f, "cat");
    expect(f, plain, "train",
           ": has no train folder: make train/<class>/ and test/<class>/, or set data.test_fraction");
    expect(f, "{name: pngdir, path: %s, test_fraction: 0.5}", "train", "/cat: holds no .png files");
    data_fixture_grey(f, "cat/1.png", 1, 1, 0);
    expect(f, "{name: pngdir, path: %s, test_fraction: 0.5}", "test",
           "no images for the test split (is test_fraction large enough?)");
    data_fixture_mkdir(f, "train");
    expect(f, plain, "train", "/train: holds no folders");
    write_two_splits(f);
    expect(f, "{name: pngdir, path: %s, test_fraction: 0.5}", "train", "has a train folder already");
    expect(f, "{name: pngdir, path: %s, classes: 3}", "train",
           "/train: holds 2 folders, one per class, but data.classes is 3");
    expect(f, "{name: pngdir, path: %s, channels: 2}", "train", "data.channels: 2: must be 1 (grey), 3 (colour) or 0");
    data_fixture_grey(f, "test/cow/1.png", 3, 2, 0);
    expect(f, plain, "test", "/test/cow: no class of this name among the training images");
    data_fixture_remove(f, "test");
    expect(f, plain, "test", "/test: No such file or directory");
    data_fixture_write(f, "train/dog/9.png", "\x89PNG\r\n\x1a\nrubbish", 15);
    expect(f, plain, "train", "train/dog/9.png: not a readable PNG: ");
    data_fixture_write(f, "train/dog/9.png", "", 0);
    expect(f, plain, "train", "train/dog/9.png: not a readable PNG: ");
    data_fixture_grey(f, "train/dog/9.png", 3, 2, 0);
    struct stat sb;
    const char *path = data_fixture_path(f, "train/dog/9.png");
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(truncate(path, sb.st_size - 20), 0);
    expect(f, plain, "train", "train/dog/9.png: damaged PNG: ");
    data_fixture_remove(f, "train/dog");
    data_fixture_mkdir(f, "train/dog");
    data_fixture_write(f, "train/dog/1.jpg", "x", 1);
    expect(f, plain, "train", "train/dog: holds no .png files, only others");
}

typedef struct {
    int32_t lines;
    char text[4096];
} log_lines;

static void keep_line(void *ud, const char *line)
{
    log_lines *l = ud;
    l->lines++;
    strcat(l->text, line);
    strcat(l->text, "\n");
    assert_true(strlen(l->text) + 512 < sizeof l->text);
}

static void all_broken_images_of_both_splits_are_listed_at_once(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    data_fixture_remove(f, "train/cat/notes.txt");
    data_fixture_write(f, "train/cat/0.png", "", 0); /* the first of all: another one decides the size */
    log_lines one = {0};
    nb_ctx_set_log(f->ctx, keep_line, &one);
    expect(f, "{name: pngdir, path: %s}", "test", "train/cat/0.png: not a readable PNG");
    expect(f, "{name: pngdir, path: %s}", "train", "(of 5 images it is the only one that cannot be used)");
    nb_ctx_set_log(f->ctx, NULL, NULL);
    assert_int_equal(one.lines, 0);
    data_fixture_write(f, "train/dog/9.png", "\x89PNG\r\n\x1a\nrubbish", 15);
    data_fixture_write(f, "test/dog/a.png", "x", 1);
    data_fixture_grey(f, "test/dog/b.png", 4, 4, 0);
    for (int32_t i = 0; i < 14; i++) { /* what can be read but does not fit is shown ten times */
        char name[32];
        snprintf(name, sizeof name, "train/dog/w%02d.png", i);
        data_fixture_grey(f, name, 5, 5, 0);
    }
    static const char *const splits[] = {"train", "test"};
    for (int32_t i = 0; i < 2; i++) {
        log_lines l = {0};
        nb_ctx_set_log(f->ctx, keep_line, &l);
        expect(f, "{name: pngdir, path: %s}", splits[i],
               ": 18 of 22 images cannot be used, all are listed; the first is ");
        nb_ctx_set_log(f->ctx, NULL, NULL);
        assert_non_null(strstr(nb_ctx_error(f->ctx), "train/cat/0.png: not a readable PNG"));
        assert_non_null(strstr(l.text, "train/cat/0.png: not a readable PNG"));
        assert_non_null(strstr(l.text, "train/dog/9.png: not a readable PNG"));
        assert_non_null(strstr(l.text, "train/dog/w09.png: 5 pixels high, 5 wide, but "));
        assert_null(strstr(l.text, "train/dog/w10.png"));
        assert_non_null(strstr(l.text, "and 5 more images that are not like "));
        assert_non_null(strstr(l.text, "test/dog/a.png: not a readable PNG"));
        assert_null(strstr(l.text, "test/dog/b.png"));
        assert_non_null(strstr(l.text, "train split, class cat: 2 images, 1 of them cannot be used\n"));
        assert_non_null(strstr(l.text, "train split, class dog: 17 images, 15 of them cannot be used\n"));
        assert_non_null(strstr(l.text, "test split, class dog: 3 images, 2 of them cannot be used\n"));
        assert_int_equal(l.lines, 3 + 10 + 1 + 3);
    }
}

static void a_link_to_an_image_that_is_gone_is_no_other_file(void **state)
{
    data_fixture *f = *state;
    char path[512];
    write_two_splits(f);
    snprintf(path, sizeof path, "%s/train/dog/gone.png", f->dir);
    assert_int_equal(symlink("nowhere.png", path), 0);
    expect(f, "{name: pngdir, path: %s}", "train", "train/dog/gone.png: cannot open: No such file or directory");
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    write_two_splits(f);
    const nb_conf *section = data_fixture_section(f, "{name: pngdir, path: %s, height: 2, width: 2}");
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(classes_and_files_are_sorted_and_others_ignored),
        T(both_splits_have_the_statistics_of_training),
        T(a_fraction_splits_every_class),
        T(sizes_are_equal_or_made_so),
        T(grey_and_colour_do_not_mix_unless_asked),
        T(every_mistake_has_its_sentence),
        T(all_broken_images_of_both_splits_are_listed_at_once),
        T(a_link_to_an_image_that_is_gone_is_no_other_file),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
