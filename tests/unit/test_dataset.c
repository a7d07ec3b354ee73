/* test_dataset.c - the registry and the common keys. */
#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_set_has_a_unique_name_help_and_functions(void **state)
{
    (void)state;
    int32_t n = 0;
    for (; nb_datasets[n]; n++) {
        const nb_dataset *s = nb_datasets[n];
        assert_ptr_equal(nb_registry_find(nb_datasets, s->name), s);
        assert_true(s->help && s->open && !s->get != !s->read && s->close);
        for (const nb_key *k = s->keys; k && k->name; k++) {
            assert_non_null(k->help);
            for (const nb_key *common = nb_data_common_keys; common->name; common++)
                assert_string_not_equal(k->name, common->name);
        }
    }
    assert_true(n >= 7);
    assert_null(nb_registry_find(nb_datasets, "imagenet"));
}

static void expect(data_fixture *f, const char *text, const char *sentence)
{
    nb_data *d;
    assert_int_equal(data_fixture_open(f, text, "train", &d), NB_E_CONFIG);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("wanted \"%s\", got: %s", sentence, nb_ctx_error(f->ctx));
}

static void mistakes_in_the_section_have_place_and_remedy(void **state)
{
    data_fixture *f = *state;
    expect(f, "{name: fashion-mnits}",
           "test.yaml:1: data.name: fashion-mnits: unknown data set (did you mean \"fashion-mnist\"?)");
    expect(f, "{name: imagenet}", "unknown data set (there are: fashion-mnist, mnist, cifar10");
    expect(f, "{path: x}", "test.yaml:1: data: must be a map with a name");
    expect(f, "cifar10", "test.yaml:1: data: must be a map with a name");
    expect(f, "[cifar10]", "test.yaml:1: data: must be a map with a name");
    expect(f, "{name: [cifar10]}", "test.yaml:1: data: must be a map with a name");
    expect(f, "{name: synth, hieght: 3}", "did you mean \"height\"?");
    expect(f, "{name: synth, validation: -1}", "data.validation");
    expect(f, "{name: mnist, height: 3}", "height");
    nb_data *d;
    assert_int_equal(nb_data_open(f->ctx, NULL, "train", &d), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "data: missing section"));
}

static void class_names_that_no_checkpoint_can_store_are_refused_at_once(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    data_fixture_grey(f, "train/a\nb/1.png", 2, 2, 1);
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", "train", &d), NB_OK);
    assert_string_equal(nb_data_info(d)->class_names[0], "a\nb"); /* odd, but text */
    nb_data_close(f->ctx, d);
    data_fixture_grey(f, "train/caf\xe9/1.png", 2, 2, 1);
    assert_int_equal(data_fixture_open(f, "{name: pngdir, path: %s}", "train", &d), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "data: the name of class 1, \"caf\\xe9\", is not UTF-8"));
}

static void common_keys_are_handed_out(void **state)
{
    data_fixture *f = *state;
    nb_data *d;
    assert_int_equal(data_fixture_open(f, "{name: synth, augment: [flip, crop4], validation: 12}", "train", &d), NB_OK);
    const nb_data_keys *k = nb_data_common(d);
    assert_string_equal(k->name, "synth");
    assert_string_equal(k->path, "");
    assert_int_equal(nb_conf_count(k->augment), 2);
    assert_int_equal(k->validation, 12);
    nb_data_close(f->ctx, d);
    nb_data_close(f->ctx, NULL);
    assert_int_equal(data_fixture_open(f, "{name: synth}", "test", &d), NB_OK);
    assert_null(nb_data_common(d)->augment);
    nb_data_close(f->ctx, d);
}

typedef struct {
    const char *section;
    int32_t h, w, c, classes; /* h 0: only the files say it */
} described;

static void what_the_section_says_is_known_without_files(void **state)
{
    static const described cases[] = {{"{name: cifar10, path: nowhere}", 32, 32, 3, 10},
                                      {"{name: cifar100}", 32, 32, 3, 100},
                                      {"{name: mnist}", 28, 28, 1, 10},
                                      {"{name: fashion-mnist}", 28, 28, 1, 10},
                                      {"{name: npy, shape: [49, 10, 1], classes: 12}", 49, 10, 1, 12},
                                      {"{name: npy, shape: [1, 640, 1], y_train: ''}", 1, 640, 1, 1},
                                      {"{name: idx, shape: [5, 6, 3], classes: 7}", 5, 6, 3, 7},
                                      {"{name: pngdir, height: 9, width: 8, channels: 3, classes: 4}", 9, 8, 3, 4},
                                      {"{name: npy, shape: [49, 10, 1]}", 0, 0, 0, 0},
                                      {"{name: npy, shape: [49, 10], classes: 2}", 0, 0, 0, 0},
                                      {"{name: npy, shape: [99999, 1, 1], classes: 2}", 0, 0, 0, 0},
                                      {"{name: idx, classes: 7}", 0, 0, 0, 0},
                                      {"{name: pngdir, height: 9, width: 8, channels: 3}", 0, 0, 0, 0},
                                      {"{name: pngdir, channels: 3, classes: 4}", 0, 0, 0, 0},
                                      {"{name: pngdir, height: 9, width: 8, classes: 4}", 0, 0, 0, 0},
                                      {"{name: synth}", 0, 0, 0, 0}};
    data_fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const described *want = &cases[i];
        nb_dsinfo got = {0};
        const nb_status st = nb_data_describe(f->ctx, data_fixture_section(f, want->section), &got);
        if (st != (want->h ? NB_OK : NB_E_CONFIG) || got.h != want->h || got.w != want->w || got.c != want->c ||
            got.classes != want->classes)
            fail_msg("%s: %d, %dx%dx%d, %d classes", want->section, (int)st, got.h, got.w, got.c, got.classes);
        if (!want->h)
            assert_non_null(strstr(nb_ctx_error(f->ctx), "test.yaml:1: data: says neither shape nor"));
        assert_true(!want->h || (got.count == 1 && got.std[0] > 0.0f));
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_has_a_unique_name_help_and_functions),
        T(mistakes_in_the_section_have_place_and_remedy),
        T(class_names_that_no_checkpoint_can_store_are_refused_at_once),
        T(common_keys_are_handed_out),
        T(what_the_section_says_is_known_without_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
