/* test_resumable.c - a run goes on only with the data it began with; the sentence says what became of them. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/resumable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Three classes of four images each to train on and one each to test. The last of class a and the first of class b have
 * the same pixels. */
static void write_data(data_fixture *f)
{
    static const char *const class_name[] = {"a", "b", "c"};
    char name[64];
    for (int32_t k = 0; k < 3; k++) {
        for (int32_t i = 1; i <= 4; i++) {
            snprintf(name, sizeof name, "set/train/%s/%d.png", class_name[k], i);
            data_fixture_grey(f, name, 8, 8, k == 1 && i == 1 ? 40 : 100 * k + 10 * i);
        }
        snprintf(name, sizeof name, "set/test/%s/1.png", class_name[k]);
        data_fixture_grey(f, name, 8, 8, 100 * k + 5);
    }
}

static void open_case(data_fixture *f, train_case *t)
{
    char text[1024];
    snprintf(text, sizeof text,
             "data: {name: pngdir, path: %s}\n"
             "model: [input, conv2d: {out: 4, kernel: 3}, relu, avgpool: {global: yes}, linear: {out: 3}]\n"
             "train: {batch: 4, phases: [{epochs: 4, lr: 0.1}]}\n",
             data_fixture_path(f, "set"));
    data_fixture_mkdir(f, "run");
    if (train_case_open(t, f->ctx, data_fixture_path(f, "run"), text) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    t->n_eval = nb_data_info(t->test)->count;
}

static void begin(data_fixture *f)
{
    train_case t;
    write_data(f);
    open_case(f, &t);
    t.stop_after = 4;
    assert_int_equal(train_case_run(&t, false), NB_E_STOPPED);
    train_case_close(&t);
}

static nb_status resume(data_fixture *f)
{
    train_case t;
    open_case(f, &t);
    t.stop_after = 1;
    nb_status st = train_case_run(&t, true);
    train_case_close(&t);
    return st;
}

/* Resuming is refused with this in the sentence. */
static void refused(data_fixture *f, const char *what)
{
    assert_int_equal(resume(f), NB_E_CONFIG);
    const char *said = nb_ctx_error(f->ctx);
    if (!strstr(said, what) || !strstr(said, "run/last.safetensors: the data are not those it was trained on (") ||
        !strstr(said, "put them back, or start a new run from its weights with --set init="))
        fail_msg("wanted \"%s\", got: %s", what, said);
}

static void data_that_did_not_change_are_resumed_with(void **state)
{
    begin(*state);
    assert_int_equal(resume(*state), NB_E_STOPPED); /* after its next step */
    write_data(*state);                             /* the same files again */
    assert_int_equal(resume(*state), NB_E_STOPPED);
}

/* The config the run began with and the one it is resumed with; the end of each case's texts. */
static void what_else_is_logged_makes_no_other_run(void **state)
{
    static const struct {
        const char *was, *now;
        nb_status want;
    } cases[] = {
        {"", "log: {tensorboard: yes}\n", NB_OK},
        {"log: {tensorboard: yes}\n", "", NB_OK},
        {"log: {tensorboard: yes}\n", "log: {tensorboard: no}\n", NB_OK},
        {"log:\n  - a\n  b:\n    c: d\nseed: 1\n", "seed: 1\n", NB_OK},
        {"log: {tensorboard: yes}\nseed: 1\n", "seed: 2\n", NB_E_CONFIG},
        {"", "login: 1\n", NB_E_CONFIG},
        {"seed: 1\n", "log: {tensorboard: yes}\n", NB_E_CONFIG},
    };
    data_fixture *f = *state;
    train_case t;
    nb_checkpoint *c;
    char was[1024], now[1024];
    begin(f);
    open_case(f, &t);
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "run/last.safetensors"), &c), NB_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int32_t first = 0; first < 2; first++) {
            snprintf(was, sizeof was, first ? "%sout: a\n" : "out: a\n%s", cases[i].was);
            snprintf(now, sizeof now, first ? "%sout: b\n" : "out: b\n%s", cases[i].now);
            c->config = was;
            const nb_train_job job = {.experiment = &t.exp, .plan = t.plan, .data = t.train, .config_text = now};
            assert_int_equal(nb_check_resumable(f->ctx, &job, c), cases[i].want);
        }
    nb_checkpoint_close(f->ctx, c);
    train_case_close(&t);
}

static void one_other_pixel_is_seen(void **state)
{
    data_fixture *f = *state;
    uint8_t rows[64];
    begin(f);
    memset(rows, 240, sizeof rows); /* as c/4.png is, but for one */
    rows[63] = 241;
    data_fixture_png(f, "set/train/c/4.png", &(png_file){.h = 8, .w = 8, .depth = 8, .rows = rows});
    refused(f, "(other pixels in the training images, or another order of them)");
    rows[63] = 240;
    data_fixture_png(f, "set/train/c/4.png", &(png_file){.h = 8, .w = 8, .depth = 8, .rows = rows});
    assert_int_equal(resume(f), NB_E_STOPPED);
}

static void fewer_images_are_seen(void **state)
{
    begin(*state);
    data_fixture_remove(*state, "set/train/b/2.png");
    refused(*state, "(11 training images instead of 12)");
}

static void a_renamed_class_is_seen(void **state)
{
    data_fixture *f = *state;
    begin(f);
    char from[300], to[300];
    static const char *const split[] = {"train", "test"};
    for (int32_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/set/%s/a", f->dir, split[i]);
        snprintf(to, sizeof to, "%s/set/%s/z", f->dir, split[i]); /* now the last: every label is another */
        assert_int_equal(rename(from, to), 0);
    }
    refused(f, "(class 0 is \"b\" instead of \"a\")");
}

static void another_number_of_classes_is_seen(void **state)
{
    data_fixture *f = *state;
    begin(f);
    data_fixture_grey(f, "set/train/d/1.png", 8, 8, 77);
    data_fixture_grey(f, "set/test/d/1.png", 8, 8, 77);
    refused(f, "(4 classes instead of 3)");
}

static void another_size_is_seen(void **state)
{
    static const char *const class_name[] = {"a", "b", "c"};
    data_fixture *f = *state;
    char name[64];
    begin(f);
    for (int32_t k = 0; k < 3; k++) {
        for (int32_t i = 1; i <= 4; i++) {
            snprintf(name, sizeof name, "set/train/%s/%d.png", class_name[k], i);
            data_fixture_grey(f, name, 8, 9, 100 * k + 10 * i);
        }
        snprintf(name, sizeof name, "set/test/%s/1.png", class_name[k]);
        data_fixture_grey(f, name, 8, 9, 100 * k + 5);
    }
    refused(f, "(images of 8x9x1 instead of 8x8x1)");
}

static void labels_alone_are_seen(void **state)
{
    data_fixture *f = *state;
    char from[300], to[300];
    begin(f);
    snprintf(from, sizeof from, "%s/set/train/b/1.png", f->dir); /* the same pixels in the same place of the order */
    snprintf(to, sizeof to, "%s/set/train/a/5.png", f->dir);
    assert_int_equal(rename(from, to), 0);
    refused(f, "(other labels of the training images)");
}

static void an_image_that_moved_to_the_other_split_is_seen(void **state)
{
    data_fixture *f = *state;
    char from[300], to[300];
    begin(f);
    snprintf(from, sizeof from, "%s/set/train/b/4.png", f->dir);
    snprintf(to, sizeof to, "%s/set/test/b/4.png", f->dir);
    assert_int_equal(rename(from, to), 0);
    refused(f, "(11 training images instead of 12, 4 test images instead of 3)");
}

static void other_test_images_are_seen(void **state)
{
    begin(*state);
    data_fixture_grey(*state, "set/test/a/1.png", 8, 8, 6);
    refused(*state, "(other pixels in the test images, or another order of them)");
}

/* Data sets that bring their own mean and deviation. */
static void another_normalisation_is_seen(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_checkpoint *c;
    begin(f);
    open_case(f, &t);
    nb_train_job job = {.config_text = t.text, .data = t.train, .test = t.test};
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "run/last.safetensors"), &c), NB_OK);
    assert_int_equal(nb_check_resumable(f->ctx, &job, c), NB_OK);
    c->info.std[0] *= 2;
    assert_int_equal(nb_check_resumable(f->ctx, &job, c), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "(a normalisation of mean "));
    c->info.std[0] /= 2;
    c->train_data.count = 0; /* what an earlier version wrote */
    assert_int_equal(nb_check_resumable(f->ctx, &job, c), NB_OK);
    nb_checkpoint_close(f->ctx, c);
    train_case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(data_that_did_not_change_are_resumed_with),
        TEST(what_else_is_logged_makes_no_other_run),
        TEST(one_other_pixel_is_seen),
        TEST(fewer_images_are_seen),
        TEST(a_renamed_class_is_seen),
        TEST(another_number_of_classes_is_seen),
        TEST(another_size_is_seen),
        TEST(labels_alone_are_seen),
        TEST(an_image_that_moved_to_the_other_split_is_seen),
        TEST(other_test_images_are_seen),
        TEST(another_normalisation_is_seen),
    };
    return cmocka_run_group_tests_name("resumable", tests, NULL, NULL);
}
