/* test_samples.c - arrays as data sets: shapes, labels, and the map of features that the training samples ask for. */
#include "ref/data_fixture.h"
#include "ref/npy_writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put(data_fixture *f, const char *name, const char *descr, const char *shape, const void *data, size_t bytes)
{
    npy_write(data_fixture_path(f, name), descr, shape, data, bytes);
}

/* Four training samples of three numbers and two test samples: columns of very different size. */
static const float train_x[] = {0, 1000, 5, 1, 3000, 5, 2, 1000, 5, 3, 3000, 5};
static const float test_x[] = {1.5f, 2000, 5, 99, 2000, -7};
static const int64_t train_y[] = {0, 1, 2, 1}, test_y[] = {3, 0};

static void put_all(data_fixture *f)
{
    put(f, "x_train.npy", "<f4", "4, 3", train_x, sizeof train_x);
    put(f, "y_train.npy", "<i8", "4,", train_y, sizeof train_y);
    put(f, "x_test.npy", "<f4", "2, 3", test_x, sizeof test_x);
    put(f, "y_test.npy", "<i8", "2, 1", test_y, sizeof test_y);
}

static nb_data *opened(data_fixture *f, const char *section, const char *split)
{
    nb_data *d = NULL;
    if (data_fixture_open(f, section, split, &d) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    return d;
}

/* What a sample's codes stand for, in deviations. */
static void normalised(const nb_data *d, int32_t index, float *out, int32_t n)
{
    uint8_t codes[64];
    int32_t label;
    const nb_features *m = nb_data_info(d)->features;
    nb_data_get(d, index, codes, &label);
    for (int32_t i = 0; i < n; i++)
        out[i] = m->step * (float)(codes[i] - m->zero);
}

static void each_number_of_a_vector_is_normalised_by_its_own_column(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    nb_data *d = opened(f, "{name: npy, path: %s}", "train");
    const nb_dsinfo *i = nb_data_info(d);
    assert_true(i->count == 4 && i->h == 1 && i->w == 3 && i->c == 1 && i->classes == 4);
    const nb_features *m = i->features;
    assert_string_equal(m->dtype, "float32");
    assert_int_equal(m->n, 3);
    assert_true(m->center[0] == 1.5f && m->center[1] == 2000 && m->center[2] == 5); /* the last is constant */
    float v[3];
    const float d0 = sqrtf(1.25f); /* of 0, 1, 2, 3 */
    for (int32_t k = 0; k < 4; k++) {
        normalised(d, k, v, 3);
        assert_true(fabsf(v[0] - ((float)k - 1.5f) / d0) <= m->step / 2 * 1.001f);
        assert_true(fabsf(v[1] - (k % 2 ? 1 : -1)) <= m->step / 2 * 1.001f);
        assert_true(v[2] == 0);
    }
    /* the input layer's pixels: code / 255 */
    for (int32_t code = 0; code < 256; code += 51)
        assert_true(fabsf(((float)code / 255 - i->mean[0]) / i->std[0] - m->step * (float)(code - m->zero)) < 1e-5f);
    nb_data_close(f->ctx, d);
}

static void the_test_split_has_the_map_of_the_training_samples(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    nb_data *a = opened(f, "{name: npy, path: %s}", "train"), *b = opened(f, "{name: npy, path: %s}", "test");
    assert_true(nb_features_equal(nb_data_info(a)->features, nb_data_info(b)->features));
    float v[3];
    uint8_t codes[3];
    int32_t label;
    normalised(b, 0, v, 3);
    assert_true(v[0] == 0 && v[1] == 0 && v[2] == 0);
    nb_data_get(b, 1, codes, &label);
    assert_int_equal(codes[0], 255); /* far outside: clamped */
    assert_int_equal(label, 0);
    nb_data_close(f->ctx, a);
    nb_data_close(f->ctx, b);
}

static void a_model_s_map_needs_no_training_samples(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    data_fixture_remove(f, "x_train.npy");
    nb_data *d;
    const nb_conf *section = data_fixture_section(f, "{name: npy, path: %s, classes: 4}");
    assert_int_equal(nb_data_open(f->ctx, section, "test", &d), NB_E_IO);
    const nb_features own = {"float32", 100, 0.5f, 1, (const float[]){2000}, (const float[]){0.01f}};
    assert_int_equal(nb_data_open_as(f->ctx, section, "test", &own, &d), NB_OK);
    assert_true(nb_features_equal(nb_data_info(d)->features, &own));
    uint8_t codes[3];
    int32_t label;
    nb_data_get(d, 0, codes, &label);
    assert_true(codes[0] == 80 && codes[1] == 100 && codes[2] == 80);
    nb_data_close(f->ctx, d);
    const nb_features none = {"float32", 100, 0.5f, 2, (const float[]){0, 0}, (const float[]){1, 1}};
    assert_int_equal(nb_data_open_as(f->ctx, section, "test", &none, &d), NB_E_SHAPE);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "samples of 1x3x1, but the network's input has 2 columns"));
}

static void keys_say_what_is_normalised_and_what_is_kept(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    nb_data *d = opened(f, "{name: npy, path: %s, normalise: no, keep: 100}", "train");
    const nb_features *m = nb_data_info(d)->features; /* 0..3000 in 256 codes */
    assert_int_equal(m->n, 1);
    assert_int_equal(m->zero, 0);
    assert_true(m->center[0] == 0 && fabsf(m->step - 3000.0f / 255) < 1e-4f);
    nb_data_close(f->ctx, d);
    d = opened(f, "{name: npy, path: %s, mean: [1, 2000, 5], std: 2}", "train");
    m = nb_data_info(d)->features; /* the second column reaches from -500 to 500 */
    assert_true(m->center[0] == 1 && fabsf(m->step - 1000.0f / 255) < 1e-4f && (m->zero == 127 || m->zero == 128));
    nb_data_close(f->ctx, d);
    d = opened(f, "{name: npy, path: %s, normalise: all, keep: 50}", "train");
    m = nb_data_info(d)->features; /* of 12 numbers, three are left out at either end: 1..1000, mean 669 */
    assert_true(fabsf(m->center[0] - 8021.0f / 12 - 5.0f / 12) < 1);
    nb_data_close(f->ctx, d);
}

static void shape_of(data_fixture *f, const char *descr, const char *dims, const char *keys, const char *want)
{
    static const uint8_t zeros[24 * 8] = {0};
    static const uint8_t labels[2] = {0, 1};
    char section[256], got[64];
    const size_t each = descr[2] == '1' ? 1 : 4;
    put(f, "x_train.npy", descr, dims, zeros, 24 * each);
    put(f, "y_train.npy", "|u1", "2,", labels, 2);
    put(f, "y_test.npy", "|u1", "2,", labels, 2);
    snprintf(section, sizeof section, "{name: npy, path: %%s%s}", keys);
    nb_data *d = opened(f, section, "train");
    const nb_dsinfo *i = nb_data_info(d);
    snprintf(got, sizeof got, "%dx%dx%d", i->h, i->w, i->c);
    assert_string_equal(got, want);
    nb_data_close(f->ctx, d);
}

static void dimensions_say_what_a_sample_is(void **state)
{
    data_fixture *f = *state;
    shape_of(f, "<f4", "2, 12", "", "1x12x1");
    shape_of(f, "<f4", "2, 6, 2", "", "1x6x2");
    shape_of(f, "<f4", "2, 1, 12", "", "1x12x1");
    shape_of(f, "<f4", "2, 2, 6", ", channels_first: yes", "1x6x2");
    shape_of(f, "|u1", "2, 3, 4", "", "3x4x1");
    shape_of(f, "<f4", "2, 3, 2, 2", "", "3x2x2");
    shape_of(f, "<f4", "2, 2, 3, 2", ", channels_first: yes", "3x2x2");
    shape_of(f, "<f4", "2, 12", ", shape: [3, 4, 1]", "3x4x1");
}

static void channels_that_stand_first_come_last(void **state)
{
    data_fixture *f = *state;
    static const uint8_t x[] = {1, 2, 3, 4, 11, 12, 13, 14}, y[] = {0};
    put(f, "x_train.npy", "|u1", "1, 2, 2, 2", x, 8);
    put(f, "y_train.npy", "|u1", "1,", y, 1);
    put(f, "y_test.npy", "|u1", "1,", y, 1);
    nb_data *d = opened(f, "{name: npy, path: %s, channels_first: yes}", "train");
    static const uint8_t want[] = {1, 11, 2, 12, 3, 13, 4, 14};
    uint8_t got[8];
    int32_t label;
    nb_data_get(d, 0, got, &label);
    assert_memory_equal(got, want, 8);
    assert_null(nb_data_info(d)->features); /* bytes are pixels */
    assert_true(fabsf(nb_data_info(d)->mean[0] - 2.5f / 255) < 1e-6f);
    nb_data_close(f->ctx, d);
}

static void signed_bytes_stay_whole_moved_by_128(void **state)
{
    data_fixture *f = *state;
    static const int8_t x[] = {-128, -1, 0, 127};
    static const uint8_t y[] = {0};
    put(f, "x_train.npy", "|i1", "1, 4", x, 4);
    put(f, "y_train.npy", "|u1", "1,", y, 1);
    put(f, "y_test.npy", "|u1", "1,", y, 1);
    nb_data *d = opened(f, "{name: npy, path: %s}", "train");
    uint8_t got[4];
    int32_t label;
    nb_data_get(d, 0, got, &label);
    assert_true(got[0] == 0 && got[1] == 127 && got[2] == 128 && got[3] == 255);
    assert_string_equal(nb_data_info(d)->features->dtype, "int8");
    nb_data_close(f->ctx, d);
}

static void idx_files_of_other_types_are_features(void **state)
{
    data_fixture *f = *state;
    static const uint8_t x[] = {0, 0, 11, 2,   0,   0,   0, 2,  0,   0,
                                0, 2, 0,  100, 255, 156, 1, 44, 254, 212}; /* 100, -100, 300, -300 */
    static const uint8_t y[] = {0, 0, 8, 1, 0, 0, 0, 2, 0, 1};
    data_fixture_write(f, "x", x, sizeof x);
    data_fixture_write(f, "y", y, sizeof y);
    nb_data *d =
        opened(f, "{name: idx, path: %s, train_images: x, train_labels: y, normalise: no, keep: 100}", "train");
    const nb_dsinfo *i = nb_data_info(d);
    assert_string_equal(i->features->dtype, "int16");
    assert_true(i->w == 2 && (i->features->zero == 127 || i->features->zero == 128));
    float v[2];
    normalised(d, 0, v, 2);
    assert_true(fabsf(v[0] - 100) < 1.2f && fabsf(v[1] + 100) < 1.2f); /* half a code of 600 / 255 */
    nb_data_close(f->ctx, d);
}

typedef struct {
    const char *file, *descr, *shape; /* written instead of the good one; descr NULL: none */
    double value;                     /* of its numbers */
    const char *keys, *sentence;
} mistake;

static void every_mistake_has_its_sentence(void **state)
{
    data_fixture *f = *state;
    static const mistake list[] = {
        {"y_train.npy", "<i8", "3,", 0, "", "y_train.npy: 3 labels, but "},
        {"y_train.npy", "<f8", "4,", 0, "",
         "y_train.npy: labels are float64: must be integers: save y.astype('int64')"},
        {"y_train.npy", "<i8", "4, 2", 0, "",
         "y_train.npy: labels are [4, 2]: must be one number a sample: of one-hot"},
        {"y_train.npy", "<i8", "4,", -1, "", "y_train.npy: label -1 of entry 0: must be 0.."},
        {"y_train.npy", "<i8", "4,", 5, ", classes: 3", "y_train.npy: label 5 of entry 0: must be 0..2"},
        {"y_train.npy", "<i8", "4,", 1e12, "", "y_train.npy: label 1000000000000 of entry 0: must be 0..1048575"},
        {"x_train.npy", "<f8", "4, 3", NAN, "", "x_train.npy: number 0 of sample 0 is nan: must be finite"},
        {"x_train.npy", "<f8", "4, 3", -INFINITY, "", "x_train.npy: number 0 of sample 0 is -inf: must be finite"},
        {"x_train.npy", "<f8", "4, 3", 1e31, "", "x_train.npy: number 0 of sample 0 is 1e+31"},
        {"x_train.npy", "<f8", "4, 3", 1e29, ", normalise: no", "too far for a network: leave data.normalise at auto"},
        {"x_train.npy", "<f8", "4, 4", 0, "", "x_train.npy: samples of 1x4x1, but the test samples have 1x3x1"},
        {"x_test.npy", "<f8", "2,", 0, "", "x_test.npy: an array [2]: must be [n, numbers], [n, length, channels]"},
        {"x_test.npy", "<f8", "2, 20000", 0, "", "x_test.npy: samples of 1x20000x1: must be 1..16384 high and wide"},
        {"x_test.npy", "<f8", "2, 1, 2, 2000", 0, "",
         "samples of 1x2x2000: must be 1..16384 high and wide with 1..1024"},
        {"x_test.npy", NULL, "", 0, "", "x_test.npy: no such file"},
        {"", NULL, "", 0, ", shape: [2, 2, 1]", "x_test.npy: an array [2, 3] holds no samples of 2x2x1 (data.shape)"},
        {"", NULL, "", 0, ", shape: 3", "data.shape: must be [height, width, channels]"},
        {"", NULL, "", 0, ", shape: [1, 0, 3]", "data.shape: must be"},
        {"", NULL, "", 0, ", mean: 3", "data.mean: goes together with data.std"},
        {"", NULL, "", 0, ", mean: [1, 2], std: 1", "data.mean: 2 numbers: must be one, or 3, one for each column"},
        {"", NULL, "", 0, ", mean: 1, std: 0", "data.std: 0: must be a number above 0"},
        {"", NULL, "", 0, ", mean: 1, std: x", "data.std: x: must be a number"},
        {"", NULL, "", 0, ", keep: 10", "data.keep: 10: must be in 50..100"},
        {"", NULL, "", 0, ", normalise: yes", "data.normalise: yes: must be auto"},
    };
    static double numbers[2 * 20000];
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const mistake *m = &list[i];
        char section[256];
        put_all(f);
        if (m->descr) {
            const int64_t whole = m->value == m->value && fabs(m->value) < 1e18 ? (int64_t)m->value : 0;
            for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
                memcpy(&numbers[k], m->descr[1] == 'i' ? (const void *)&whole : (const void *)&m->value, 8);
            size_t n = 1, dim;
            for (const char *p = m->shape; sscanf(p, "%zu", &dim) == 1; p += strspn(p, ", ")) {
                n *= dim;
                p += strcspn(p, ",");
            }
            put(f, m->file, m->descr, m->shape, numbers, 8 * n);
        } else if (*m->file) {
            data_fixture_remove(f, m->file);
        }
        snprintf(section, sizeof section, "{name: npy, path: %%s%s}", m->keys);
        nb_data *d = NULL;
        const nb_status st = data_fixture_open(f, section, strstr(m->file, "y_train") ? "train" : "test", &d);
        if (st == NB_OK || !strstr(nb_ctx_error(f->ctx), m->sentence))
            fail_msg("case %zu: %s", i, st == NB_OK ? "was taken" : nb_ctx_error(f->ctx));
        assert_true(st == NB_E_FORMAT || st == NB_E_CONFIG || st == NB_E_IO);
    }
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    const nb_conf *section = data_fixture_section(f, "{name: npy, path: %s}");
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

static void a_file_for_a_network_holds_one_sample_or_several(void **state)
{
    data_fixture *f = *state;
    put_all(f);
    nb_data *d = opened(f, "{name: npy, path: %s}", "test");
    uint8_t *codes, want[3];
    int32_t n, label;
    nb_data_get(d, 1, want, &label);
    assert_int_equal(nb_npy_load(f->ctx, data_fixture_path(f, "x_test.npy"), NULL, nb_data_info(d), &codes, &n), NB_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(codes + 3, want, 3);
    nb_free(f->ctx, codes);
    put(f, "one.npy", "<f4", "3,", test_x + 3, 12);
    assert_int_equal(nb_npy_load(f->ctx, data_fixture_path(f, "one.npy"), NULL, nb_data_info(d), &codes, &n), NB_OK);
    assert_int_equal(n, 1);
    assert_memory_equal(codes, want, 3);
    nb_free(f->ctx, codes);
    put(f, "four.npy", "<f4", "4,", test_x, 16);
    assert_int_equal(nb_npy_load(f->ctx, data_fixture_path(f, "four.npy"), NULL, nb_data_info(d), &codes, &n),
                     NB_E_FORMAT);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "four.npy: an array [4]: the network takes 1x3x1, one sample or several"));
    const nb_dsinfo pixels = {.h = 1, .w = 3, .c = 1};
    assert_int_equal(nb_npy_load(f->ctx, data_fixture_path(f, "one.npy"), NULL, &pixels, &codes, &n), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "one.npy: numbers of type float32: the network takes unsigned bytes"));
    nb_data_close(f->ctx, d);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(each_number_of_a_vector_is_normalised_by_its_own_column),
        T(the_test_split_has_the_map_of_the_training_samples),
        T(a_model_s_map_needs_no_training_samples),
        T(keys_say_what_is_normalised_and_what_is_kept),
        T(dimensions_say_what_a_sample_is),
        T(channels_that_stand_first_come_last),
        T(signed_bytes_stay_whole_moved_by_128),
        T(idx_files_of_other_types_are_features),
        T(every_mistake_has_its_sentence),
        T(failing_at_any_allocation_is_an_error),
        T(a_file_for_a_network_holds_one_sample_or_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
