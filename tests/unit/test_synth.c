/* test_synth.c - procedural images: pure functions of their index, learnable, but not by a straight line. */
#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static nb_data *open_synth(data_fixture *f, const char *text, const char *split)
{
    nb_data *d;
    assert_int_equal(data_fixture_open(f, text, split, &d), NB_OK);
    return d;
}

static void an_image_is_a_function_of_its_index_alone(void **state)
{
    data_fixture *f = *state;
    nb_data *d = open_synth(f, "{name: synth, height: 5, width: 7, channels: 3, count: 40}", "train");
    assert_int_equal(nb_data_info(d)->count, 40);
    uint8_t first[40][105], again[105];
    int32_t label[40], l;
    for (int32_t i = 0; i < 40; i++)
        nb_data_get(d, i, first[i], &label[i]);
    for (int32_t i = 39; i >= 0; i -= 3) {
        nb_data_get(d, i, again, &l);
        assert_memory_equal(again, first[i], sizeof again);
        assert_int_equal(l, label[i]);
    }
    assert_memory_not_equal(first[0], first[10], sizeof again); /* the same class, another draw */
    nb_data_close(f->ctx, d);
}

static void seeds_and_splits_are_different_draws(void **state)
{
    data_fixture *f = *state;
    static const char *const text[] = {"{name: synth}", "{name: synth, seed: 2}", "{name: synth}"};
    static const char *const split[] = {"train", "train", "test"};
    uint8_t px[3][256];
    int32_t l;
    for (int32_t i = 0; i < 3; i++) {
        nb_data *d = open_synth(f, text[i], split[i]);
        nb_data_get(d, 0, px[i], &l);
        nb_data_close(f->ctx, d);
    }
    assert_memory_not_equal(px[0], px[1], 256);
    assert_memory_not_equal(px[0], px[2], 256);
}

static void more_than_64_classes_have_textures_of_their_own(void **state)
{
    data_fixture *f = *state;
    nb_data *d = open_synth(f, "{name: synth, classes: 8000, count: 8000, height: 32, width: 32, noise: 0}", "train");
    assert_int_equal(nb_data_info(d)->classes, 8000);
    /* Noise, phase and contrast apart, neighbours differ in what crosses the image: count changes of direction. */
    static const int32_t some[] = {0, 1, 5, 20, 21, 400, 401, 7999};
    int32_t turns[8], label;
    for (int32_t i = 0; i < 8; i++) {
        uint8_t px[32 * 32];
        nb_data_get(d, some[i], px, &label);
        assert_int_equal(label, some[i]);
        turns[i] = 0;
        for (int32_t k = 33; k + 1 < 32 * 32; k++)
            turns[i] +=
                ((px[k] > px[k - 1]) != (px[k + 1] > px[k])) + 40 * ((px[k] > px[k - 32]) != (px[k - 1] > px[k - 33]));
        for (int32_t j = 0; j < i; j++)
            assert_int_not_equal(turns[i], turns[j]);
    }
    nb_data_close(f->ctx, d);
    nb_data *few = open_synth(f, "{name: synth, classes: 64, count: 100, height: 9, width: 9}", "train");
    nb_data_close(f->ctx, few);
}

static void the_bytes_are_the_same_on_every_machine(void **state)
{
    data_fixture *f = *state;
    nb_data *d = open_synth(f, "{name: synth, channels: 3, height: 32, width: 32, classes: 20}", "test");
    uint64_t hash = 1469598103934665603u; /* FNV-1a over forty images */
    for (int32_t i = 0; i < 40; i++) {
        uint8_t px[3072];
        int32_t l;
        nb_data_get(d, i, px, &l);
        for (int32_t k = 0; k < 3072; k++)
            hash = (hash ^ px[k]) * 1099511628211u;
    }
    if (hash != 0x150c0e8daef54288u)
        fail_msg("hash is %llx", (unsigned long long)hash);
    nb_data_close(f->ctx, d);
}

static void classes_are_balanced_and_every_size_works(void **state)
{
    data_fixture *f = *state;
    nb_data *d = open_synth(f, "{name: synth, classes: 64, count: 128, height: 1, width: 1}", "train");
    int32_t count[64] = {0};
    for (int32_t i = 0; i < 128; i++) {
        uint8_t px;
        int32_t l;
        nb_data_get(d, i, &px, &l);
        count[l]++;
    }
    for (int32_t k = 0; k < 64; k++)
        assert_int_equal(count[k], 2);
    nb_data_close(f->ctx, d);
    d = open_synth(f, "{name: synth, channels: 2}", "train");
    assert_int_equal(nb_data_info(d)->c, 2);
    nb_data_close(f->ctx, d);
    assert_int_equal(data_fixture_open(f, "{name: synth, height: 0}", "train", &d), NB_E_CONFIG);
}

/* Share of the test split that the nearest class mean of features() gets right. */
static double accuracy(data_fixture *f, int32_t n, void (*features)(double *out, const uint8_t *px))
{
    static double mean[10][256], x[256];
    memset(mean, 0, sizeof mean);
    nb_data *d = open_synth(f, "{name: synth, count: 2000, test_count: 500}", "train");
    uint8_t px[256];
    int32_t label, right = 0;
    for (int32_t i = 0; i < 2000; i++) {
        nb_data_get(d, i, px, &label);
        features(x, px);
        for (int32_t k = 0; k < n; k++)
            mean[label][k] += x[k] / 200;
    }
    nb_data_close(f->ctx, d);
    d = open_synth(f, "{name: synth, count: 2000, test_count: 500}", "test");
    for (int32_t i = 0; i < 500; i++) {
        nb_data_get(d, i, px, &label);
        features(x, px);
        int32_t best = 0;
        double least = 1e300;
        for (int32_t c = 0; c < 10; c++) {
            double sum = 0;
            for (int32_t k = 0; k < n; k++)
                sum += (x[k] - mean[c][k]) * (x[k] - mean[c][k]);
            if (sum < least) {
                least = sum;
                best = c;
            }
        }
        right += best == label;
    }
    nb_data_close(f->ctx, d);
    return right / 500.0;
}

static void pixels_of(double *out, const uint8_t *px)
{
    for (int32_t i = 0; i < 256; i++)
        out[i] = px[i];
}

/* How alike the image is to itself moved by (dy, dx), 0..3 each way: what convolution, squaring and pooling can
 * compute. */
static void texture_of(double *out, const uint8_t *px)
{
    double mean = 0, var = 0;
    for (int32_t i = 0; i < 256; i++)
        mean += px[i] / 256.0;
    for (int32_t i = 0; i < 256; i++)
        var += (px[i] - mean) * (px[i] - mean);
    int32_t n = 0;
    for (int32_t dy = 0; dy < 4; dy++)
        for (int32_t dx = -3; dx < 4; dx++) {
            double sum = 0;
            for (int32_t y = 0; y < 16 - dy; y++)
                for (int32_t x = dx < 0 ? -dx : 0; x < (dx > 0 ? 16 - dx : 16); x++)
                    sum += (px[16 * y + x] - mean) * (px[16 * (y + dy) + x + dx] - mean);
            out[n++] = sum / var;
        }
}

static void texture_tells_the_classes_apart_and_pixels_do_not(void **state)
{
    const double straight = accuracy(*state, 256, pixels_of), texture = accuracy(*state, 28, texture_of);
    print_message("nearest mean of pixels %.3f, of texture %.3f\n", straight, texture);
    assert_true(straight > 0.15 && straight < 0.9);
    assert_true(texture > 0.95);
}

/* The same, with every second image mirrored. */
static void flipped_texture_of(double *out, const uint8_t *px)
{
    uint8_t mirrored[256];
    for (int32_t i = 0; i < 256; i++)
        mirrored[i] = px[i / 16 * 16 + (px[0] & 1 ? i % 16 : 15 - i % 16)];
    texture_of(out, mirrored);
    for (int32_t dy = 0; dy < 4; dy++) /* a mirror image swaps dx and -dx: take what does not notice */
        for (int32_t dx = 1; dx < 4; dx++) {
            double *left = &out[7 * dy + 3 - dx], *right = &out[7 * dy + 3 + dx], l = *left, r = *right;
            *left = l < r ? l : r;
            *right = l < r ? r : l;
        }
}

static void mirroring_confuses_no_classes(void **state)
{
    assert_true(accuracy(*state, 28, flipped_texture_of) > 0.95);
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    const nb_conf *section = data_fixture_section(f, "{name: synth}");
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_data *d = NULL;
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_data_open(f->ctx, section, "train", &d);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        nb_data_close(f->ctx, d);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(an_image_is_a_function_of_its_index_alone),
        T(seeds_and_splits_are_different_draws),
        T(more_than_64_classes_have_textures_of_their_own),
        T(the_bytes_are_the_same_on_every_machine),
        T(classes_are_balanced_and_every_size_works),
        T(texture_tells_the_classes_apart_and_pixels_do_not),
        T(mirroring_confuses_no_classes),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
