/* test_balanced.c - an epoch of classes in turn, and what the loader makes of it. */
#include "ref/data_fixture.h"
#include "train/balanced.h"
#include "train/class_counts.h"
#include "train/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 60, CLASSES = 3, BYTES = 16 };

typedef struct {
    nb_data *data;
    int32_t label[COUNT], subset[COUNT], n; /* subset: all of class 0, and three images each of the others */
} skewed;

static void open_skewed(data_fixture *f, skewed *s)
{
    int32_t left[CLASSES] = {COUNT, 3, 3};
    assert_int_equal(data_fixture_open(f, "{name: synth, count: 60, height: 4, width: 4, channels: 1, classes: 3}",
                                       "train", &s->data),
                     NB_OK);
    assert_int_equal(nb_class_counts(f->ctx, s->data, NULL, COUNT, s->label, NULL), NB_OK);
    s->n = 0;
    for (int32_t i = 0; i < COUNT; i++)
        if (left[s->label[i]]-- > 0)
            s->subset[s->n++] = i;
}

static void counts_are_those_of_the_chosen_images(void **state)
{
    data_fixture *f = *state;
    skewed s;
    int32_t count[CLASSES], label[COUNT];
    open_skewed(f, &s);
    assert_int_equal(nb_class_counts(f->ctx, s.data, s.subset, s.n, label, count), NB_OK);
    assert_true(count[1] == 3 && count[2] == 3 && count[0] == s.n - 6);
    for (int32_t i = 0; i < s.n; i++)
        assert_int_equal(label[i], s.label[s.subset[i]]);
    nb_data_close(f->ctx, s.data);
}

static void every_class_is_as_often_and_goes_through_all_its_images_first(void **state)
{
    data_fixture *f = *state;
    skewed s;
    nb_balanced *b;
    int32_t order[2][COUNT], again[COUNT];
    open_skewed(f, &s);
    assert_int_equal(nb_balanced_create(f->ctx, s.data, s.subset, s.n, &b), NB_OK);
    for (int32_t e = 0; e < 2; e++) {
        int32_t seen[COUNT] = {0}, of[CLASSES] = {0};
        nb_balanced_order(b, 9, e, order[e], again);
        for (int32_t i = 0; i < s.n; i++) {
            assert_int_equal(s.label[order[e][i]], i % CLASSES);
            assert_int_equal(again[i], seen[order[e][i]]++); /* as often as it was there before */
            of[i % CLASSES]++;
        }
        assert_true(of[0] - of[2] <= 1);
        for (int32_t i = 0; i < s.n; i++) /* of a class some may have been there once more than others, not twice */
            for (int32_t k = 0; k < s.n; k++)
                assert_true(s.label[s.subset[i]] != s.label[s.subset[k]] || seen[s.subset[i]] - seen[s.subset[k]] <= 1);
    }
    assert_memory_not_equal(order[0], order[1], (size_t)s.n * sizeof **order);
    nb_balanced_free(f->ctx, b);
    nb_data_close(f->ctx, s.data);
}

/* What comes again in an epoch is augmented in another way. */
static void a_loader_shows_classes_alike(void **state)
{
    data_fixture *f = *state;
    skewed s;
    nb_loader *l;
    open_skewed(f, &s);
    const nb_conf *data = data_fixture_section(f, "{augment: [{brightness: {most: 0.5}}]}");
    const nb_loader_spec spec = {.batch = 6,
                                 .flags = NB_LOAD_SHUFFLE | NB_LOAD_DROP_LAST,
                                 .seed = 5,
                                 .augment = nb_conf_get(data, "augment"),
                                 .subset = s.subset,
                                 .n_subset = s.n,
                                 .balanced = true};
    assert_int_equal(nb_loader_open(f->ctx, s.data, &spec, &l), NB_OK);
    const int32_t steps = nb_loader_steps_per_epoch(l), all = steps * 6;
    static uint8_t of_class_1[COUNT][BYTES];
    int32_t of[CLASSES] = {0}, same = 0;
    for (int32_t k = 0; k < steps; k++) {
        const nb_batch *b = nb_loader_next(l);
        for (int32_t i = 0; i < b->n; i++) {
            if (b->labels[i] == 1)
                memcpy(of_class_1[of[1]], b->pixels + i * BYTES, BYTES);
            of[b->labels[i]]++;
        }
    }
    for (int32_t c = 0; c < CLASSES; c++)
        assert_true(of[c] >= all / CLASSES - 6 && of[c] <= all / CLASSES + 6); /* but for the rest that sat out */
    for (int32_t i = 0; i < of[1]; i++)
        for (int32_t k = 0; k < i; k++)
            same += !memcmp(of_class_1[i], of_class_1[k], BYTES);
    assert_int_equal(same, 0);
    nb_loader_close(f->ctx, l);
    nb_data_close(f->ctx, s.data);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_are_those_of_the_chosen_images),
        TEST(every_class_is_as_often_and_goes_through_all_its_images_first),
        TEST(a_loader_shows_classes_alike),
    };
    return cmocka_run_group_tests_name("balanced", tests, NULL, NULL);
}
