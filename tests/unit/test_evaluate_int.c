/* test_evaluate_int.c - accuracy, loss and logits of an integer model against plain loops over the same images. */
#include <nibble/lower.h>

#include "base/parallel.h"
#include "lower/intbuild.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, COUNT = 150 };
static const float logit_scale = 0.0009765625f; /* exact */

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_data *data;
    nb_intmodel *m;
    int8_t w[CLASSES * PIXELS];
    int32_t bias[CLASSES];
} fixture;

/* Pixels go straight into one linear layer; type u8 or s32 outputs. */
static nb_intmodel *linear_model(fixture *f, int32_t side, nb_etype type)
{
    uint8_t table[256];
    const float scale = 1;
    const int32_t mult[CLASSES] = {1 << 30, 1 << 30, 1 << 30, 1 << 30}, shift[CLASSES] = {37, 37, 37, 37};
    for (int32_t i = 0; i < 256; i++)
        table[i] = (uint8_t)i;
    nb_intbuilder *b;
    int32_t index;
    nb_intmodel *m;
    const bool raw = type == NB_EI_S32;
    const nb_etensor in = {side, side, 1, NB_EI_U8, 0, 0}, out = {1, 1, CLASSES, (int32_t)type, raw ? 0 : 10, 0};
    const nb_tinfo in_info = {"in", scale, 8}, out_info = {"out", logit_scale, raw ? 32 : 8};
    assert_int_equal(nb_intbuilder_create(f->ctx, "", &b), NB_OK);
    assert_int_equal(nb_intbuilder_tensor(b, &in, &in_info, &index), NB_OK);
    assert_int_equal(nb_intbuilder_tensor(b, &out, &out_info, &index), NB_OK);
    nb_estep s = {.kind = NB_STEP_TABLE, .out = 0, .hi = 255, .table = table};
    assert_int_equal(nb_intbuilder_step(b, &s, &(nb_sinfo){.name = "in"}), NB_OK);
    s = (nb_estep){.kind = NB_STEP_CONV, .n_in = 1, .out = 1};
    s.lo = raw ? INT32_MIN : type == NB_EI_U8 ? 0 : -128;
    s.hi = raw ? INT32_MAX : type == NB_EI_U8 ? 255 : 127;
    s.geom = (nb_geom){side, side, 1, 1, 1, CLASSES, side, side, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1};
    s.weights = f->w;
    s.bias = f->bias;
    s.mult = raw ? NULL : mult;
    s.shift = raw ? NULL : shift;
    const nb_sinfo info = {.name = "fc", .weight_bits = 8, .weight_scale = &scale, .n_scale = 1};
    assert_int_equal(nb_intbuilder_step(b, &s, &info), NB_OK);
    const nb_intmeta meta = {.classes = CLASSES, .accuracy = -1};
    assert_int_equal(nb_intbuilder_finish(b, NB_INT_PLAN, &meta, &m), NB_OK);
    nb_intbuilder_free(b);
    return m;
}

static int setup(void **state)
{
    static const char text[] =
        "data: {name: synth, count: 10, test_count: 150, height: 8, width: 8, channels: 1, classes: 4}\n";
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->ctx = nb_ctx_create();
    if (nb_config_parse(f->ctx, "test", text, sizeof text - 1, NULL, 0, &f->cfg) != NB_OK ||
        nb_data_open(f->ctx, nb_conf_get(nb_config_root(f->cfg), "data"), "test", &f->data) != NB_OK) {
        print_error("%s\n", nb_ctx_error(f->ctx));
        return -1;
    }
    for (int32_t i = 0; i < CLASSES * PIXELS; i++)
        f->w[i] = (int8_t)(i * 7919 % 31 - 15);
    for (int32_t i = 0; i < CLASSES; i++)
        f->bias[i] = i * 100;
    f->m = linear_model(f, SIDE, NB_EI_S32);
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    nb_intmodel_free(f->ctx, f->m);
    nb_data_close(f->ctx, f->data);
    nb_config_free(f->ctx, f->cfg);
    nb_ctx_destroy(f->ctx);
    free(f);
    return 0;
}

static void naive_logits(const fixture *f, const uint8_t *pixels, double *out)
{
    for (int32_t c = 0; c < CLASSES; c++) {
        int64_t acc = f->bias[c];
        for (int32_t i = 0; i < PIXELS; i++)
            acc += f->w[c * PIXELS + i] * pixels[i];
        out[c] = (double)acc * logit_scale;
    }
}

static nb_eval naive_eval(const fixture *f, const int32_t *indices, int32_t n)
{
    nb_eval e = {.n = n};
    for (int32_t i = 0; i < n; i++) {
        uint8_t pixels[PIXELS];
        int32_t label, best = 0;
        double z[CLASSES], sum = 0;
        nb_data_get(f->data, indices ? indices[i] : i, pixels, &label);
        naive_logits(f, pixels, z);
        for (int32_t c = 1; c < CLASSES; c++)
            best = z[c] > z[best] ? c : best;
        for (int32_t c = 0; c < CLASSES; c++)
            sum += exp(z[c] - z[best]);
        e.correct += best == label;
        e.loss += (log(sum) - (z[label] - z[best])) / n;
    }
    e.accuracy = (double)e.correct / n;
    return e;
}

static void accuracy_and_loss_are_those_of_plain_loops(void **state)
{
    fixture *f = *state;
    nb_eval got, want = naive_eval(f, NULL, COUNT);
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, COUNT, &got), NB_OK);
    assert_int_equal(got.n, COUNT);
    assert_int_equal(got.correct, want.correct);
    assert_true(got.correct > 0 && got.correct < COUNT);
    assert_true(got.accuracy == want.accuracy);
    assert_true(fabs(got.loss - want.loss) < 1e-12 * want.loss);
}

static void a_choice_of_images_is_evaluated_alone(void **state)
{
    fixture *f = *state;
    const int32_t chosen[5] = {149, 3, 3, 77, 0};
    nb_eval got, want = naive_eval(f, chosen, 5);
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, chosen, 5, &got), NB_OK);
    assert_int_equal(got.n, 5);
    assert_int_equal(got.correct, want.correct);
    assert_true(fabs(got.loss - want.loss) < 1e-12 * want.loss);
}

static void images_whose_logits_are_not_those_of_the_first_are_counted(void **state)
{
    fixture *f = *state;
    int32_t chosen[100]; /* several chunks */
    nb_eval e;
    for (int32_t i = 0; i < 100; i++)
        chosen[i] = i == 20 || i >= 97 ? 8 : 5;
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, chosen, 100, &e), NB_OK);
    assert_int_equal(e.unlike, 4);
    chosen[20] = chosen[97] = chosen[98] = chosen[99] = 5;
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, chosen, 100, &e), NB_OK);
    assert_int_equal(e.unlike, 0);
}

static void the_number_of_threads_changes_nothing(void **state)
{
    fixture *f = *state;
    const int32_t before = nb_threads();
    nb_eval one, many;
    nb_set_threads(1);
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, COUNT, &one), NB_OK);
    for (int32_t threads = 2; threads <= 4; threads++) {
        nb_set_threads(threads);
        assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, COUNT, &many), NB_OK);
        assert_int_equal(many.correct, one.correct);
        assert_true(many.loss == one.loss);
    }
    nb_set_threads(before);
}

static void no_images_give_zero_not_nan(void **state)
{
    fixture *f = *state;
    nb_eval got;
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, 0, &got), NB_OK);
    assert_true(got.n == 0 && got.accuracy == 0 && got.loss == 0);
}

static void a_scale_that_leaves_the_floats_gives_no_logits(void **state)
{
    fixture *f = *state;
    uint8_t pixels[PIXELS];
    float got[CLASSES];
    int32_t label;
    nb_data_get(f->data, 5, pixels, &label);
    nb_tinfo *out = (nb_tinfo *)(uintptr_t)&f->m->tensors[nb_intmodel_output(f->m)];
    const float scale = out->scale;
    out->scale = 3e38f;
    assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels, got), NB_E_RANGE);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "leaves the floats: the scale of the logits, 3e+38, cannot be right"));
    out->scale = scale;
}

static void logits_are_real_values_of_the_output_codes(void **state)
{
    fixture *f = *state;
    uint8_t pixels[PIXELS];
    float got[CLASSES];
    double want[CLASSES];
    int32_t label;
    nb_data_get(f->data, 5, pixels, &label);
    naive_logits(f, pixels, want);
    assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels, got), NB_OK);
    for (int32_t c = 0; c < CLASSES; c++)
        assert_true(got[c] == (float)want[c]);
    for (int32_t type = NB_EI_U8; type <= NB_EI_S8; type++) {
        nb_intmodel *m = linear_model(f, SIDE, (nb_etype)type);
        const int32_t lo = type == NB_EI_U8 ? 0 : -128, hi = lo + 255;
        assert_int_equal(nb_intmodel_logits(f->ctx, m, pixels, got), NB_OK);
        for (int32_t c = 0; c < CLASSES; c++) {
            double code = floor(want[c] / logit_scale / 128 + 0.5) + 10; /* mult 2^30, shift 37 */
            code = code < lo ? lo : code > hi ? hi : code;
            assert_true(got[c] == (float)((code - 10) * logit_scale));
        }
        nb_intmodel_free(f->ctx, m);
    }
}

static void one_image_gives_the_same_bytes_on_any_number_of_threads(void **state)
{
    fixture *f = *state;
    uint8_t pixels[PIXELS];
    float want[CLASSES], got[CLASSES];
    int32_t label;
    const int32_t before = nb_threads();
    nb_data_get(f->data, 7, pixels, &label);
    nb_set_threads(1);
    assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels, want), NB_OK);
    for (int32_t threads = 2; threads <= 4; threads++) {
        nb_set_threads(threads);
        assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels, got), NB_OK);
        assert_memory_equal(got, want, sizeof want);
    }
    nb_set_threads(before);
}

static void many_images_give_the_logits_of_each_on_any_number_of_threads(void **state)
{
    fixture *f = *state;
    enum { N = 37 };
    static uint8_t pixels[N * PIXELS];
    float want[CLASSES], got[N * CLASSES];
    int32_t label;
    nb_int_batch *b;
    const int32_t before = nb_threads();
    for (int32_t i = 0; i < N; i++)
        nb_data_get(f->data, i, pixels + i * PIXELS, &label);
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        nb_set_threads(threads);
        assert_int_equal(nb_int_batch_create(f->ctx, f->m, &b), NB_OK);
        for (int32_t n = N; n > 0; n -= 18) { /* the second time with what the first has left */
            nb_int_batch_logits(b, pixels, n, got);
            for (int32_t i = 0; i < n; i++) {
                assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels + i * PIXELS, want), NB_OK);
                assert_memory_equal(got + i * CLASSES, want, sizeof want);
            }
            int32_t whole[N * CLASSES];
            nb_int_batch_integers(b, pixels, n, whole);
            for (int32_t i = 0; i < n * CLASSES; i++)
                assert_true((float)(whole[i] * (double)logit_scale) == got[i]);
        }
        nb_int_batch_free(f->ctx, b);
    }
    nb_set_threads(before);
}

/* Each kind of output: the integers of its scale, their logits, the first of the largest, and the label, in the order asked for. */
static void what_is_said_of_every_image_is_what_plain_loops_say(void **state)
{
    fixture *f = *state;
    enum { N = 70 }; /* several chunks */
    int32_t chosen[N], labels[N], answers[N], integers[N * CLASSES];
    float logits[N * CLASSES];
    const nb_answers each = {labels, answers, logits, integers};
    for (int32_t i = 0; i < N; i++)
        chosen[i] = i * 37 % COUNT;
    for (int32_t type = NB_EI_U8; type <= NB_EI_S32; type++) {
        nb_intmodel *m = linear_model(f, SIDE, (nb_etype)type);
        nb_eval got, alone;
        assert_int_equal(nb_intmodel_evaluate(f->ctx, m, f->data, chosen, N, &alone), NB_OK);
        assert_int_equal(nb_intmodel_evaluate_each(f->ctx, m, f->data, chosen, N, &got, &each), NB_OK);
        assert_memory_equal(&got, &alone, sizeof got);
        for (int32_t i = 0; i < N; i++) {
            uint8_t pixels[PIXELS];
            int32_t label, best = 0;
            double z[CLASSES];
            float want[CLASSES];
            nb_data_get(f->data, chosen[i], pixels, &label);
            naive_logits(f, pixels, z);
            assert_int_equal(nb_intmodel_logits(f->ctx, m, pixels, want), NB_OK);
            assert_memory_equal(logits + i * CLASSES, want, sizeof want);
            for (int32_t c = 0; c < CLASSES; c++) {
                const int32_t code = integers[i * CLASSES + c];
                assert_true((float)(code * (double)logit_scale) == want[c]);
                assert_true(type != NB_EI_S32 || code == (int32_t)(z[c] / logit_scale));
                best = code > integers[i * CLASSES + best] ? c : best;
            }
            assert_int_equal(answers[i], best);
            assert_int_equal(labels[i], label);
        }
        nb_intmodel_free(f->ctx, m);
    }
}

static void a_logit_that_is_no_float_ends_it_where_logits_are_asked_for(void **state)
{
    fixture *f = *state;
    float logits[3 * CLASSES];
    int32_t answers[3];
    nb_eval e = {.n = -7};
    nb_tinfo *out = (nb_tinfo *)(uintptr_t)&f->m->tensors[nb_intmodel_output(f->m)];
    const float scale = out->scale;
    out->scale = 3e38f;
    assert_int_equal(nb_intmodel_evaluate_each(f->ctx, f->m, f->data, NULL, 3, &e, &(nb_answers){.logits = logits}),
                     NB_E_RANGE);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "leaves the floats"));
    assert_int_equal(e.n, -7);
    assert_int_equal(nb_intmodel_evaluate_each(f->ctx, f->m, f->data, NULL, 3, &e, &(nb_answers){.answers = answers}),
                     NB_OK);
    out->scale = scale;
}

static void images_of_another_size_are_refused(void **state)
{
    fixture *f = *state;
    nb_intmodel *m = linear_model(f, 4, NB_EI_S32);
    nb_eval e;
    assert_int_equal(nb_intmodel_evaluate(f->ctx, m, f->data, NULL, 1, &e), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(f->ctx), "the data set has images of 8x8x1, the model takes 4x4x1");
    nb_intmodel_free(f->ctx, m);
}

static void another_number_of_classes_is_refused(void **state)
{
    fixture *f = *state;
    nb_eval e;
    f->m->classes = 3;
    assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, 1, &e), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(f->ctx), "the data set has 4 classes, the model 3");
    f->m->classes = 4;
}

static void a_failing_allocation_is_an_error(void **state)
{
    fixture *f = *state;
    nb_eval e;
    float logits[CLASSES];
    const uint8_t pixels[PIXELS] = {0};
    for (int32_t n = 1; n <= 3; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        assert_int_equal(nb_intmodel_evaluate(f->ctx, f->m, f->data, NULL, COUNT, &e), NB_E_NOMEM);
    }
    nb_ctx_fail_alloc_at(f->ctx, 1);
    assert_int_equal(nb_intmodel_logits(f->ctx, f->m, pixels, logits), NB_E_NOMEM);
    nb_ctx_fail_alloc_at(f->ctx, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy_and_loss_are_those_of_plain_loops),
        cmocka_unit_test(a_choice_of_images_is_evaluated_alone),
        cmocka_unit_test(images_whose_logits_are_not_those_of_the_first_are_counted),
        cmocka_unit_test(the_number_of_threads_changes_nothing),
        cmocka_unit_test(many_images_give_the_logits_of_each_on_any_number_of_threads),
        cmocka_unit_test(one_image_gives_the_same_bytes_on_any_number_of_threads),
        cmocka_unit_test(no_images_give_zero_not_nan),
        cmocka_unit_test(a_scale_that_leaves_the_floats_gives_no_logits),
        cmocka_unit_test(logits_are_real_values_of_the_output_codes),
        cmocka_unit_test(what_is_said_of_every_image_is_what_plain_loops_say),
        cmocka_unit_test(a_logit_that_is_no_float_ends_it_where_logits_are_asked_for),
        cmocka_unit_test(images_of_another_size_are_refused),
        cmocka_unit_test(another_number_of_classes_is_refused),
        cmocka_unit_test(a_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
