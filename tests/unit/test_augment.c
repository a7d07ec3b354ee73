/* test_augment.c - the chain, and each augmentation against what its name promises. */
#include "ref/data_fixture.h"
#include "train/augment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { H = 6, W = 5, C = 3, BYTES = H * W * C };
static const nb_dsinfo shape = {
    .count = 1, .h = H, .w = W, .c = C, .classes = 2, .mean = {0.2f, 0.4f, 0.8f}, .std = {1, 1, 1}};

static nb_augment *chain(data_fixture *f, const char *list)
{
    char text[256];
    snprintf(text, sizeof text, "{augment: %s}", list);
    nb_augment *a;
    assert_int_equal(nb_augment_create(f->ctx, nb_conf_get(data_fixture_section(f, text), "augment"), &shape, &a),
                     NB_OK);
    return a;
}

static void fill(uint8_t *img)
{
    for (int32_t i = 0; i < BYTES; i++)
        img[i] = (uint8_t)(i + 1); /* all different, none 0 */
}

static void run(const nb_augment *a, int32_t epoch, int32_t sample, uint8_t *img)
{
    uint8_t scratch[BYTES];
    fill(img);
    nb_augment_apply(a, 7, epoch, sample, img, scratch);
}

static uint8_t at(const uint8_t *img, int32_t y, int32_t x, int32_t c)
{
    return img[(y * W + x) * C + c];
}

static int32_t mirrored(int32_t i, int32_t n)
{
    while (i < 0 || i >= n)
        i = i < 0 ? -i : 2 * (n - 1) - i;
    return i;
}

/* Is img the test pattern moved by (dy, dx)? */
static bool is_moved(const uint8_t *img, int32_t dy, int32_t dx, bool reflect)
{
    uint8_t src[BYTES];
    fill(src);
    for (int32_t y = 0; y < H; y++)
        for (int32_t x = 0; x < W; x++)
            for (int32_t c = 0; c < C; c++) {
                const int32_t v = y + dy, u = x + dx;
                const bool inside = v >= 0 && v < H && u >= 0 && u < W;
                const uint8_t want = inside    ? at(src, v, u, c)
                                     : reflect ? at(src, mirrored(v, H), mirrored(u, W), c)
                                               : 0;
                if (at(img, y, x, c) != want)
                    return false;
            }
    return true;
}

static void crop_moves_by_every_offset_about_equally_often(void **state)
{
    static const char *const lists[] = {"[crop3]", "[{crop: {pad: 3, mode: reflect}}]"};
    for (int32_t k = 0; k < 2; k++) {
        nb_augment *a = chain(*state, lists[k]);
        int32_t hits[7][7] = {{0}};
        for (int32_t s = 0; s < 4900; s++) {
            uint8_t img[BYTES];
            run(a, 0, s, img);
            bool found = false;
            for (int32_t dy = -3; dy <= 3 && !found; dy++)
                for (int32_t dx = -3; dx <= 3 && !found; dx++)
                    if (is_moved(img, dy, dx, k == 1)) {
                        hits[dy + 3][dx + 3]++;
                        found = true;
                    }
            assert_true(found);
        }
        for (int32_t i = 0; i < 49; i++) /* 100 expected, deviation 10 */
            assert_true(hits[i / 7][i % 7] >= 55 && hits[i / 7][i % 7] <= 150);
        nb_augment_free(a);
    }
}

static void flip_mirrors_with_its_probability(void **state)
{
    static const char *const lists[] = {"[{flip: {prob: 0}}]", "flip", "[{flip: {prob: 1}}]"};
    static const int32_t least[] = {0, 430, 1000}, most[] = {0, 570, 1000};
    for (int32_t k = 0; k < 3; k++) {
        nb_augment *a = chain(*state, lists[k]);
        int32_t flipped = 0;
        uint8_t src[BYTES], img[BYTES];
        fill(src);
        for (int32_t s = 0; s < 1000; s++) {
            run(a, 3, s, img);
            const bool is = memcmp(img, src, BYTES) != 0;
            for (int32_t i = 0; i < BYTES; i++)
                assert_int_equal(img[i], at(src, i / (W * C), is ? W - 1 - i / C % W : i / C % W, i % C));
            flipped += is;
        }
        assert_true(flipped >= least[k] && flipped <= most[k]);
        nb_augment_free(a);
    }
}

static void erase_overwrites_one_rectangle_of_the_asked_size(void **state)
{
    nb_augment *a = chain(*state, "[{erase: {prob: 1, area_min: 0.2, area_max: 0.5, fill: zero}}]");
    int32_t area_seen[H * W + 1] = {0};
    for (int32_t s = 0; s < 1000; s++) {
        uint8_t src[BYTES], img[BYTES];
        fill(src);
        run(a, 0, s, img);
        int32_t top = H, left = W, bottom = -1, right = -1, gone = 0;
        for (int32_t y = 0; y < H; y++)
            for (int32_t x = 0; x < W; x++) {
                const bool hit = at(img, y, x, 0) == 0;
                assert_int_equal(at(img, y, x, 1), hit ? 0 : at(src, y, x, 1));
                assert_int_equal(at(img, y, x, 2), hit ? 0 : at(src, y, x, 2));
                if (!hit)
                    continue;
                gone++;
                top = y < top ? y : top;
                left = x < left ? x : left;
                bottom = y > bottom ? y : bottom;
                right = x > right ? x : right;
            }
        assert_int_equal(gone, (bottom - top + 1) * (right - left + 1));
        assert_true(gone >= 2 && gone <= 22); /* 6..15 pixels, sides rounded by up to a half */
        area_seen[gone]++;
    }
    int32_t kinds = 0;
    for (int32_t i = 0; i <= H * W; i++)
        kinds += area_seen[i] > 0;
    assert_true(kinds >= 6);
    nb_augment_free(a);
}

static void erase_fills_with_the_mean_or_with_noise(void **state)
{
    data_fixture *f = *state;
    nb_augment *a = chain(f, "[{erase: {prob: 1, fill: mean, area_min: 1, area_max: 1, aspect: 1}}]");
    uint8_t img[BYTES], src[BYTES];
    fill(src);
    run(a, 0, 0, img);
    for (int32_t x = 0; x < 5; x++) { /* sqrt(30) rounds to 5: a 5x5 square in 6x5 */
        assert_int_equal(at(img, 2, x, 0), 51);
        assert_int_equal(at(img, 2, x, 1), 102);
        assert_int_equal(at(img, 2, x, 2), 204);
    }
    nb_augment_free(a);
    a = chain(f, "[{erase: {prob: 1, area_min: 1, area_max: 1, aspect: 1}}]");
    int32_t changed = 0;
    run(a, 0, 0, img);
    for (int32_t i = 0; i < BYTES; i++)
        changed += img[i] != src[i];
    assert_true(changed > 60);
    nb_augment_free(a);
    a = chain(f, "[{erase: {prob: 0}}]");
    run(a, 0, 0, img);
    assert_memory_equal(img, src, BYTES);
    nb_augment_free(a);
}

static void erase_that_never_fits_leaves_the_image_whole(void **state)
{
    data_fixture *f = *state;
    static const nb_dsinfo line = {.count = 1, .h = 64, .w = 1, .c = 1, .classes = 1, .mean = {0.5f}, .std = {1}};
    nb_augment *a;
    const nb_conf *list = data_fixture_section(f, "[{erase: {prob: 1, area_min: 1, area_max: 1, aspect: 1}}]");
    assert_int_equal(nb_augment_create(f->ctx, list, &line, &a), NB_OK); /* an 8x8 square in one column */
    uint8_t img[64], scratch[64];
    memset(img, 9, sizeof img);
    nb_augment_apply(a, 1, 0, 0, img, scratch);
    for (int32_t i = 0; i < 64; i++)
        assert_int_equal(img[i], 9);
    nb_augment_free(a);
}

static void the_result_depends_on_seed_epoch_and_sample_only(void **state)
{
    data_fixture *f = *state;
    nb_augment *a = chain(f, "[crop2, flip, erase]"), *b = chain(f, "[crop2, flip, erase]");
    int32_t different = 0;
    for (int32_t s = 0; s < 50; s++) {
        uint8_t x[BYTES], y[BYTES];
        run(a, 4, s, x);
        run(b, 4, 49 - s, y);
        run(b, 4, s, y);
        assert_memory_equal(x, y, BYTES);
        run(b, 5, s, y);
        different += memcmp(x, y, BYTES) != 0;
    }
    assert_true(different > 40);
    nb_augment_free(a);
    nb_augment_free(b);
}

static void a_further_link_leaves_the_draws_of_the_others_alone(void **state)
{
    data_fixture *f = *state;
    nb_augment *one = chain(f, "[crop2]"), *two = chain(f, "[crop2, {flip: {prob: 1}}]");
    for (int32_t s = 0; s < 50; s++) {
        uint8_t x[BYTES], y[BYTES];
        run(one, 0, s, x);
        run(two, 0, s, y);
        for (int32_t i = 0; i < H * W; i++)
            assert_memory_equal(x + i * C, y + (i / W * W + W - 1 - i % W) * C, C);
    }
    nb_augment_free(one);
    nb_augment_free(two);
}

static void no_list_is_an_empty_chain(void **state)
{
    data_fixture *f = *state;
    nb_augment *a;
    uint8_t img[BYTES], src[BYTES];
    assert_int_equal(nb_augment_create(f->ctx, NULL, &shape, &a), NB_OK);
    run(a, 0, 0, img);
    fill(src);
    assert_memory_equal(img, src, BYTES);
    nb_augment_free(a);
    nb_augment_free(NULL);
    a = chain(f, "[]");
    run(a, 0, 0, img);
    assert_memory_equal(img, src, BYTES);
    nb_augment_free(a);
}

static void mistakes_have_place_and_remedy(void **state)
{
    data_fixture *f = *state;
    static const char *const cases[][2] = {
        {"[flip, corp4]", "test.yaml:1: data.augment[1]: corp4: unknown augmentation (did you mean \"crop\"?)"},
        {"[flip3]", "data.augment[0]: flip3: unknown augmentation (did you mean \"flip\"?)"},
        {"[4]",
         "data.augment[0]: 4: unknown augmentation (there are: crop, flip, erase, resize, brightness, contrast)"},
        {"['']",
         "data.augment[0]: \"\": unknown augmentation (there are: crop, flip, erase, resize, brightness, contrast)"},
        {"[crop0]", "data.augment[0]: crop0: pad must be in 1..1024"},
        {"[crop99999999999999999999]", "pad must be in 1..1024"},
        {"[crop5]", "test.yaml:1: data.augment[0]: crop.pad: 5: must be in 1..4 for images of 6x5"},
        {"[{crop: {pad: 0}}]", "crop.pad: 0"},
        {"[{crop: {mode: mirror}}]", "crop.mode: mirror"},
        {"[{crop: {pda: 1}}]", "did you mean \"pad\"?"},
        {"[{crop: 4}]", "data.augment[0]: crop: must be followed by a map of keys, or stand alone"},
        {"[{crop: {pad: 4}, flip: {}}]", "data.augment[0]: must be a name, like crop4, or one name with keys"},
        {"[[crop4]]", "data.augment[0]: must be a name, like crop4, or one name with keys"},
        {"[{flip: {prob: 1.5}}]", "flip.prob: 1.5"},
        {"[{erase: {area_min: 0.5, area_max: 0.1}}]", "erase.area_min: 0.5: must be at most area_max, 0.1"},
        {"[flip, flip, flip, flip, flip, flip, flip, flip, flip]", "data.augment: at most 8 augmentations"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{augment: %s}", cases[i][0]);
        nb_augment *a;
        const nb_conf *list = nb_conf_get(data_fixture_section(f, text), "augment");
        assert_int_equal(nb_augment_create(f->ctx, list, &shape, &a), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(f->ctx), cases[i][1]))
            fail_msg("%s: %s", cases[i][0], nb_ctx_error(f->ctx));
    }
}

static void samples_that_are_no_images_have_none(void **state)
{
    data_fixture *f = *state;
    static const nb_dsinfo vector = {.count = 1, .h = 1, .w = 640, .c = 1, .classes = 2, .mean = {0.5f}, .std = {1}};
    static const char *const names[] = {"[flip]", "[crop4]", "[erase]"};
    for (size_t i = 0; i < 3; i++) {
        nb_augment *a;
        assert_int_equal(nb_augment_create(f->ctx, data_fixture_section(f, names[i]), &vector, &a), NB_E_CONFIG);
        assert_non_null(strstr(nb_ctx_error(f->ctx), ": is for images: samples of 1x640x1 are none"));
    }
}

/* A spectrogram may be shifted: what comes in is 0, not the least of its values. */
static void the_blank_of_features_is_their_zero(void **state)
{
    data_fixture *f = *state;
    const nb_features map = {.dtype = "float32", .zero = 77, .step = 1, .n = 1};
    nb_dsinfo features = shape;
    features.features = &map;
    nb_augment *a;
    const nb_conf *list = data_fixture_section(f, "[crop4, {erase: {prob: 1, fill: zero}}]");
    assert_int_equal(nb_augment_create(f->ctx, list, &features, &a), NB_OK);
    int32_t blank = 0;
    for (int32_t k = 0; k < 20; k++) {
        uint8_t img[BYTES], scratch[BYTES];
        memset(img, 9, sizeof img);
        nb_augment_apply(a, 1, 0, k, img, scratch);
        for (size_t i = 0; i < sizeof img; i++) {
            assert_true(img[i] == 9 || img[i] == 77);
            blank += img[i] == 77;
        }
    }
    assert_true(blank > 100);
    nb_augment_free(a);
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    const nb_conf *list = data_fixture_section(f, "[crop2, flip, {erase: {fill: mean}}]");
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        nb_augment *a = NULL;
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_augment_create(f->ctx, list, &shape, &a);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        nb_augment_free(a);
    }
}

static void alternating_flips_show_the_other_side_every_other_epoch(void **state)
{
    nb_augment *a = chain(*state, "[{flip: {mode: alternate}}]");
    int32_t flipped = 0;
    for (int32_t s = 0; s < 400; s++) {
        uint8_t img[4][BYTES], plain[BYTES];
        fill(plain);
        for (int32_t e = 0; e < 4; e++)
            run(a, e, s, img[e]);
        const bool first = memcmp(img[0], plain, BYTES) != 0;
        flipped += first;
        assert_true(first != (memcmp(img[1], plain, BYTES) != 0));
        assert_memory_equal(img[0], img[2], BYTES);
        assert_memory_equal(img[1], img[3], BYTES);
        assert_int_equal(at(img[first ? 0 : 1], 2, 1, 0), at(plain, 2, W - 2, 0));
    }
    assert_true(flipped >= 150 && flipped <= 250);
    nb_augment_free(a);
}

static void brightness_shifts_every_pixel_alike(void **state)
{
    nb_augment *a = chain(*state, "[{brightness: {most: 0.1}}]");
    int32_t least = 255, most = -255;
    for (int32_t s = 0; s < 300; s++) {
        uint8_t img[BYTES], plain[BYTES];
        fill(plain);
        run(a, 0, s, img);
        const int32_t shift = (int32_t)img[60] - plain[60]; /* 61: neither end is near */
        for (int32_t i = 0; i < BYTES; i++) {
            const int32_t want = plain[i] + shift;
            assert_int_equal(img[i], want < 0 ? 0 : want);
        }
        least = shift < least ? shift : least;
        most = shift > most ? shift : most;
    }
    assert_true(least >= -26 && least < -20 && most <= 26 && most > 20);
    nb_augment_free(a);
}

static void contrast_keeps_the_mean_and_stretches_around_it(void **state)
{
    nb_augment *a = chain(*state, "[{contrast: {most: 0.5}}]");
    double least = 9, most = 0;
    for (int32_t s = 0; s < 300; s++) {
        uint8_t img[BYTES];
        run(a, 0, s, img);
        const double mean = (BYTES + 1) / 2.0, factor = ((double)img[69] - mean) / (70 - mean);
        for (int32_t i = 0; i < BYTES; i++) {
            const double want = mean + factor * (i + 1 - mean);
            assert_true(fabs(img[i] - fmax(want, 0)) < 3); /* the factor is known to half a level in 24 */
        }
        least = factor < least ? factor : least;
        most = factor > most ? factor : most;
    }
    assert_true(least > 0.45 && least < 0.6 && most < 1.55 && most > 1.4);
    nb_augment_free(a);
}

static void resize_stretches_a_rectangle_of_the_image(void **state)
{
    nb_augment *part = chain(*state, "[resize]");
    uint8_t img[BYTES], plain[BYTES];
    int32_t changed = 0;
    fill(plain);
    for (int32_t s = 0; s < 200; s++) {
        run(part, 0, s, img);
        changed += memcmp(img, plain, BYTES) != 0;
        for (int32_t y = 0; y < H; y++) /* the pattern grows along rows and columns, and so does any part of it */
            for (int32_t x = 0; x < W; x++) {
                assert_true(x == 0 || at(img, y, x, 1) >= at(img, y, x - 1, 1));
                assert_true(y == 0 || at(img, y, x, 1) >= at(img, y - 1, x, 1));
                assert_true(at(img, y, x, 1) == at(img, y, x, 0) + 1);
            }
    }
    assert_true(changed > 150);
    nb_augment_free(part);
}

static void areas_the_wrong_way_around_are_refused(void **state)
{
    data_fixture *f = *state;
    nb_augment *a;
    const nb_conf *list =
        nb_conf_get(data_fixture_section(f, "{augment: [{resize: {area_min: 0.9, area_max: 0.5}}]}"), "augment");
    assert_int_equal(nb_augment_create(f->ctx, list, &shape, &a), NB_E_CONFIG);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "data.augment[0]: resize.area_min: 0.9: must be at most area_max, 0.5"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(crop_moves_by_every_offset_about_equally_often),
        T(flip_mirrors_with_its_probability),
        T(alternating_flips_show_the_other_side_every_other_epoch),
        T(brightness_shifts_every_pixel_alike),
        T(contrast_keeps_the_mean_and_stretches_around_it),
        T(resize_stretches_a_rectangle_of_the_image),
        T(areas_the_wrong_way_around_are_refused),
        T(erase_overwrites_one_rectangle_of_the_asked_size),
        T(erase_fills_with_the_mean_or_with_noise),
        T(erase_that_never_fits_leaves_the_image_whole),
        T(the_result_depends_on_seed_epoch_and_sample_only),
        T(a_further_link_leaves_the_draws_of_the_others_alone),
        T(no_list_is_an_empty_chain),
        T(mistakes_have_place_and_remedy),
        T(samples_that_are_no_images_have_none),
        T(the_blank_of_features_is_their_zero),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
