/* test_loader.c - the stream of batches: complete, reproducible from anywhere, shut down cleanly. */
#include "ref/data_fixture.h"
#include "train/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { H = 4, W = 4, C = 1, BYTES = H * W * C, COUNT = 37 };

/* A split of 37 synthetic images, and a loader over it with the section's augmentations. */
typedef struct {
    data_fixture *f;
    nb_data *d;
    nb_loader *l;
} stream;

static stream open_stream(void **state, const char *augment, nb_loader_spec spec)
{
    stream s = {.f = *state};
    char text[256];
    snprintf(text, sizeof text, "{name: synth, height: %d, width: %d, channels: %d, count: %d, augment: %s}", H, W, C,
             COUNT, augment);
    assert_int_equal(data_fixture_open(s.f, text, "train", &s.d), NB_OK);
    spec.augment = nb_data_common(s.d)->augment;
    assert_int_equal(nb_loader_open(s.f->ctx, s.d, &spec, &s.l), NB_OK);
    return s;
}

static void close_stream(stream *s)
{
    nb_loader_close(s->f->ctx, s->l);
    nb_data_close(s->f->ctx, s->d);
}

/* Index of the image in the data set; images of synth are all different. */
static int32_t index_of(const nb_data *d, const uint8_t *px)
{
    for (int32_t i = 0; i < COUNT; i++) {
        uint8_t one[BYTES];
        int32_t label;
        nb_data_get(d, i, one, &label);
        if (memcmp(one, px, BYTES) == 0)
            return i;
    }
    return -1;
}

static void evaluation_reads_in_order_and_keeps_the_last_short_batch(void **state)
{
    stream s = open_stream(state, "[]", (nb_loader_spec){.batch = 10});
    assert_int_equal(nb_loader_steps_per_epoch(s.l), 4);
    for (int32_t epoch = 0; epoch < 3; epoch++)
        for (int32_t step = 0; step < 4; step++) {
            const nb_batch *b = nb_loader_next(s.l);
            assert_int_equal(b->epoch, epoch);
            assert_int_equal(b->step, step);
            assert_int_equal(b->n, step < 3 ? 10 : 7);
            assert_int_equal((uintptr_t)b->pixels % 64, 0);
            for (int32_t i = 0; i < b->n; i++) {
                assert_int_equal(index_of(s.d, b->pixels + i * BYTES), 10 * step + i);
                assert_int_equal(b->labels[i], (10 * step + i) % 10);
            }
        }
    close_stream(&s);
}

static void an_epoch_shows_every_image_once_in_its_own_order(void **state)
{
    stream s = open_stream(state, "[]", (nb_loader_spec){.batch = 8, .flags = NB_LOAD_SHUFFLE, .seed = 3});
    int32_t order[3][COUNT];
    for (int32_t epoch = 0; epoch < 3; epoch++) {
        bool seen[COUNT] = {false};
        int32_t n = 0;
        for (int32_t step = 0; step < nb_loader_steps_per_epoch(s.l); step++) {
            const nb_batch *b = nb_loader_next(s.l);
            for (int32_t i = 0; i < b->n; i++) {
                const int32_t at = index_of(s.d, b->pixels + i * BYTES);
                assert_true(at >= 0 && at < COUNT);
                assert_false(seen[at]);
                seen[at] = true;
                assert_int_equal(b->labels[i], at % 10);
                order[epoch][n++] = at;
            }
        }
        assert_int_equal(n, COUNT);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    assert_memory_not_equal(order[1], order[2], sizeof order[0]);
    close_stream(&s);
}

static void drop_last_has_only_full_batches(void **state)
{
    stream s = open_stream(state, "[]",
                           (nb_loader_spec){.batch = 10, .flags = NB_LOAD_SHUFFLE | NB_LOAD_DROP_LAST, .seed = 3});
    assert_int_equal(nb_loader_steps_per_epoch(s.l), 3);
    for (int32_t step = 0; step < 12; step++) {
        const nb_batch *b = nb_loader_next(s.l);
        assert_int_equal(b->n, 10);
        assert_int_equal(b->epoch * 3 + b->step, step);
    }
    close_stream(&s);
}

typedef struct {
    uint8_t pixels[8 * BYTES];
    int32_t labels[8], n;
} copy;

static copy take(nb_loader *l)
{
    const nb_batch *b = nb_loader_next(l);
    copy c = {.n = b->n};
    memcpy(c.pixels, b->pixels, (size_t)b->n * BYTES);
    memcpy(c.labels, b->labels, (size_t)b->n * sizeof c.labels[0]);
    return c;
}

static void a_batch_is_the_same_from_wherever_it_is_reached(void **state)
{
    const nb_loader_spec spec = {.batch = 8, .flags = NB_LOAD_SHUFFLE, .seed = 11};
    const char *const augment = "[crop2, flip, erase]";
    stream s = open_stream(state, augment, spec);
    static copy all[40];
    const int32_t steps = nb_loader_steps_per_epoch(s.l);
    for (int32_t i = 0; i < 40; i++)
        all[i] = take(s.l);
    uint32_t r = 1;
    for (int32_t k = 0; k < 200; k++) { /* back, forth, to where it stands; sometimes without taking any batch */
        const int32_t to = (int32_t)((r = r * 1664525u + 1013904223u) >> 16) % 38;
        nb_loader_seek(s.l, to / steps, to % steps);
        for (int32_t i = to; i < to + (int32_t)(r >> 8) % 3; i++) {
            const copy c = take(s.l);
            assert_memory_equal(&c, &all[i], sizeof c);
        }
    }
    close_stream(&s);
    s = open_stream(state, augment, spec); /* a fresh one, straight into the middle */
    nb_loader_seek(s.l, 17 / steps, 17 % steps);
    const copy c = take(s.l);
    assert_memory_equal(&c, &all[17], sizeof c);
    close_stream(&s);
}

static void what_happens_to_an_image_does_not_depend_on_its_batch(void **state)
{
    static uint8_t seen[2][COUNT][BYTES]; /* in the order of the epoch */
    for (int32_t k = 0; k < 2; k++) {
        stream s = open_stream(state, "[crop2, flip]",
                               (nb_loader_spec){.batch = k ? 8 : 5, .flags = NB_LOAD_SHUFFLE, .seed = 11});
        int32_t n = 0;
        for (int32_t step = 0; step < nb_loader_steps_per_epoch(s.l); step++) {
            const nb_batch *b = nb_loader_next(s.l);
            memcpy(seen[k][n], b->pixels, (size_t)b->n * BYTES);
            n += b->n;
        }
        close_stream(&s);
    }
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
}

static void seeds_give_other_orders(void **state)
{
    copy c[2];
    for (int32_t k = 0; k < 2; k++) {
        stream s =
            open_stream(state, "[]", (nb_loader_spec){.batch = 8, .flags = NB_LOAD_SHUFFLE, .seed = (uint64_t)k});
        c[k] = take(s.l);
        close_stream(&s);
    }
    assert_memory_not_equal(&c[0], &c[1], sizeof c[0]);
}

static void a_validation_split_is_a_partition(void **state)
{
    data_fixture *f = *state;
    int32_t *order, *again;
    assert_int_equal(nb_split_order(f->ctx, COUNT, 10, 5, &order), NB_OK);
    assert_int_equal(nb_split_order(f->ctx, COUNT, 20, 5, &again), NB_OK);
    assert_memory_equal(order, again,
                        COUNT * sizeof *order); /* the permutation does not depend on how many are held out */
    bool seen[COUNT] = {false};
    for (int32_t part = 0; part < 2; part++) {
        const nb_loader_spec spec = {.batch = 8,
                                     .subset = part ? order + 27 : order,
                                     .n_subset = part ? 10 : 27,
                                     .flags = part ? 0 : NB_LOAD_SHUFFLE};
        stream s = open_stream(state, "[]", spec);
        for (int32_t step = 0; step < nb_loader_steps_per_epoch(s.l); step++) {
            const nb_batch *b = nb_loader_next(s.l);
            for (int32_t i = 0; i < b->n; i++) {
                const int32_t at = index_of(s.d, b->pixels + i * BYTES);
                assert_false(seen[at]);
                seen[at] = true;
            }
        }
        close_stream(&s);
    }
    for (int32_t i = 0; i < COUNT; i++)
        assert_true(seen[i]);
    nb_free(f->ctx, again);
    nb_free(f->ctx, order);
    assert_int_equal(nb_split_order(f->ctx, COUNT, COUNT, 5, &order), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "data.validation: 37: must be in 0..36"));
}

static void closing_at_once_or_in_the_middle_is_fine(void **state)
{
    for (int32_t k = 0; k < 60; k++) {
        stream s = open_stream(state, "[flip]", (nb_loader_spec){.batch = 8, .flags = NB_LOAD_SHUFFLE});
        for (int32_t i = 0; i < k % 6; i++)
            nb_loader_next(s.l);
        if (k % 3 == 1)
            nb_loader_seek(s.l, 2, 1);
        close_stream(&s);
    }
    nb_loader_close(((data_fixture *)*state)->ctx, NULL);
}

static void a_batch_larger_than_the_set_holds_all_of_it(void **state)
{
    stream s = open_stream(state, "[]", (nb_loader_spec){.batch = 1000});
    assert_int_equal(nb_loader_steps_per_epoch(s.l), 1);
    assert_int_equal(nb_loader_next(s.l)->n, COUNT);
    nb_loader *l;
    assert_int_equal(nb_loader_open(s.f->ctx, s.d, &(nb_loader_spec){.batch = 38, .flags = NB_LOAD_DROP_LAST}, &l),
                     NB_E_CONFIG);
    assert_non_null(
        strstr(nb_ctx_error(s.f->ctx), "train.batch: 38: must be at most 37, the number of training images"));
    int32_t none = 0;
    assert_int_equal(nb_loader_open(s.f->ctx, s.d, &(nb_loader_spec){.batch = 1, .subset = &none, .n_subset = 0}, &l),
                     NB_E_CONFIG);
    close_stream(&s);
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    stream s = open_stream(state, "[crop2, flip]", (nb_loader_spec){.batch = 8});
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_loader *l = NULL;
        nb_ctx_fail_alloc_at(s.f->ctx, n);
        st = nb_loader_open(s.f->ctx, s.d, &(nb_loader_spec){.batch = 8, .augment = nb_data_common(s.d)->augment}, &l);
        nb_ctx_fail_alloc_at(s.f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        nb_loader_close(s.f->ctx, l);
    }
    close_stream(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(evaluation_reads_in_order_and_keeps_the_last_short_batch),
        T(an_epoch_shows_every_image_once_in_its_own_order),
        T(drop_last_has_only_full_batches),
        T(a_batch_is_the_same_from_wherever_it_is_reached),
        T(what_happens_to_an_image_does_not_depend_on_its_batch),
        T(seeds_give_other_orders),
        T(a_validation_split_is_a_partition),
        T(closing_at_once_or_in_the_middle_is_fine),
        T(a_batch_larger_than_the_set_holds_all_of_it),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
