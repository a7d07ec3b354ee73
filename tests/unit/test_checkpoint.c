/* test_checkpoint.c - what is written is read; what cannot be right is refused with its sentence. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/checkpoint.h"

#include "base/files.h"
#include "base/safetensors.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    train_case t;
    nb_graph *g;
    nb_optim *o;
    nb_checkpoint_spec spec;
} checkpoint_test;

static void open_test(void **state, checkpoint_test *x)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%strain: {batch: 8, ema: 0.9, optimizer: adam, phases: [{epochs: 2, lr: 0.1}]}\n",
             train_case_head);
    assert_int_equal(train_case_open(&x->t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x->t, false, &(nb_params_source){0}, &x->g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x->t.plan, x->g, &x->o), NB_OK);
    for (int32_t i = 0; i < nb_optim_count(x->o); i++) {
        const nb_slot *s = nb_optim_slot(x->o, i);
        for (int64_t k = 0; k < s->n; k++) {
            s->moment[0][k] = (float)(i * 1000 + k);
            s->moment[1][k] = (float)(i * 1000 + k) + 0.5f;
            s->average[k] = -(float)k;
        }
    }
    x->spec = (nb_checkpoint_spec){.graph = x->g,
                                   .optim = x->o,
                                   .config = x->t.text,
                                   .metrics = "a,b\n1,2\n",
                                   .phase_name = "float",
                                   .accuracy = 0.1 + 0.2,
                                   .float_accuracy = 0.1 + 0.7};
    x->spec.train_data = (nb_fingerprint){96, UINT64_MAX, 1};
    x->spec.at = (nb_position){1, 2, 3, 4, 5, 0.1, 7, 8, 1.0 / 3, 0, 1};
}

static void close_test(checkpoint_test *x)
{
    nb_optim_free(x->t.ctx, x->o);
    nb_graph_free(x->g);
    train_case_close(&x->t);
}

static void everything_written_is_read_back_exactly(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    const nb_position *a = &x.spec.at, *b = &c->at;
    assert_true(a->phase == b->phase && a->epoch == b->epoch && a->step == b->step && a->updates == b->updates);
    assert_true(a->epochs_done == b->epochs_done && a->loss_sum == b->loss_sum && a->correct == b->correct);
    assert_true(a->seen == b->seen && a->best_accuracy == b->best_accuracy && a->best_epoch == b->best_epoch);
    assert_true(c->accuracy == 0.1 + 0.2 && c->float_accuracy == 0.1 + 0.7 && !c->quantized);
    assert_string_equal(c->config, x.t.text);
    assert_string_equal(c->metrics, "a,b\n1,2\n");
    assert_string_equal(c->phase_name, "float");
    assert_true(c->train_data.count == 96 && c->train_data.labels == UINT64_MAX && c->train_data.pixels == 1);
    assert_int_equal(c->test_data.count, 0);
    const nb_dsinfo *d = nb_data_info(x.t.train);
    assert_true(c->info.h == d->h && c->info.w == d->w && c->info.c == d->c && c->info.classes == d->classes);
    assert_true(c->info.mean[0] == d->mean[0] && c->info.std[0] == d->std[0]);
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

/* Folders may be called anything. */
static void class_names_of_any_characters_are_read_back(void **state)
{
    static const char *const names[] = {"a\nb\n", "\\", "\\n\\\\\t\"\xc3\xa9"};
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    open_test(state, &x);
    x.g->info.class_names = names;
    const char *path = data_fixture_path(f, "a.safetensors");
    assert_int_equal(nb_checkpoint_prove(f->ctx, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    for (int32_t i = 0; i < 3; i++)
        assert_string_equal(c->info.class_names[i], names[i]);
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

/* At the first checkpoint it would be too late. */
static void what_cannot_be_stored_shows_without_a_file(void **state)
{
    static const char *const names[] = {"a", "caf\xe9", "c"};
    data_fixture *f = *state;
    checkpoint_test x;
    open_test(state, &x);
    assert_int_equal(nb_checkpoint_prove(f->ctx, &x.spec), NB_OK);
    x.g->info.class_names = names;
    assert_int_equal(nb_checkpoint_prove(f->ctx, &x.spec), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "\"class_names\" is not valid UTF-8"));
    x.g->info.class_names = NULL;
    x.spec.config = "out: \xff";
    assert_int_equal(nb_checkpoint_prove(f->ctx, &x.spec), NB_E_FORMAT);
    char *huge = nb_alloc(f->ctx, NB_ST_MAX_HEADER + 1);
    memset(huge, 'x', NB_ST_MAX_HEADER);
    x.spec.config = huge;
    assert_int_equal(nb_checkpoint_prove(f->ctx, &x.spec), NB_E_UNSUPPORTED);
    nb_free(f->ctx, huge);
    close_test(&x);
}

static void moments_and_averages_are_read_back(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    nb_optim *o;
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x.t.plan, x.g, &o), NB_OK);
    assert_int_equal(nb_checkpoint_load_optim(f->ctx, c, o), NB_OK);
    for (int32_t i = 0; i < nb_optim_count(o); i++) {
        const nb_slot *a = nb_optim_slot(x.o, i), *b = nb_optim_slot(o, i);
        assert_memory_equal(a->moment[0], b->moment[0], (size_t)a->n * sizeof(float));
        assert_memory_equal(a->moment[1], b->moment[1], (size_t)a->n * sizeof(float));
        assert_memory_equal(a->average, b->average, (size_t)a->n * sizeof(float));
    }
    nb_optim_free(f->ctx, o);
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

static void a_model_checkpoint_holds_no_optimizer_and_cannot_be_resumed(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    x.spec.optim = NULL;
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    for (int32_t i = 0; i < nb_st_count(c->file); i++)
        assert_null(strchr(nb_st_at(c->file, i)->name, '/'));
    assert_int_equal(nb_checkpoint_load_optim(f->ctx, c, x.o), NB_E_FORMAT);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "tensor opt/c1.weight/0 is missing: this checkpoint cannot be resumed"));
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

static void state_that_is_not_finite_is_not_resumed_from(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    nb_optim_slot(x.o, 0)->moment[1][3] = NAN;
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    assert_int_equal(nb_checkpoint_load_optim(f->ctx, c, x.o), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "opt/c1.weight/1: value 3 is nan: it must be a finite number"));
    nb_checkpoint_close(f->ctx, c);
    nb_optim_slot(x.o, 0)->moment[1][3] = -1e-9f; /* the mean of squares, whose root is taken */
    nb_optim_slot(x.o, 0)->moment[0][3] = -1;     /* the mean of gradients */
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    assert_int_equal(nb_checkpoint_load_optim(f->ctx, c, x.o), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "opt/c1.weight/1: value 3 is -1e-09: it cannot be negative"));
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

static bool use_decimal_comma(void)
{
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    for (int i = 0; i < 3; i++)
        if (setlocale(LC_NUMERIC, comma[i]))
            return true;
    return false;
}

static void a_decimal_comma_changes_nothing(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    if (!use_decimal_comma())
        skip(); /* the machine has no such locale */
    setlocale(LC_NUMERIC, "C");
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
    use_decimal_comma();
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    setlocale(LC_NUMERIC, "C");
    assert_true(c->accuracy == 0.1 + 0.2 && c->at.loss_sum == 0.1);
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

static void equal_content_gives_equal_bytes(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    uint8_t *bytes[2];
    size_t len[2];
    open_test(state, &x);
    for (int k = 0; k < 2; k++) {
        const char *path = data_fixture_path(f, k ? "b.safetensors" : "a.safetensors");
        assert_int_equal(nb_checkpoint_save(f->ctx, path, &x.spec), NB_OK);
        assert_int_equal(nb_file_read(f->ctx, path, 1 << 24, &bytes[k], &len[k]), NB_OK);
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(bytes[0], bytes[1], len[0]);
    nb_free(f->ctx, bytes[0]);
    nb_free(f->ctx, bytes[1]);
    close_test(&x);
}

/* ---- metadata that cannot be right ---- */

#define FINGERPRINT "96 0123456789abcdef fedcba9876543210"
static const char *const good[][2] = {
    {"format", "nibble-checkpoint-1"},
    {"config", "seed: 1\n"},
    {"metrics", ""},
    {"phase_name", "float"},
    {"phase", "0"},
    {"epoch", "0"},
    {"step", "0"},
    {"updates", "0"},
    {"epochs_done", "0"},
    {"loss_sum", "0.5"},
    {"correct", "0"},
    {"seen", "0"},
    {"best_accuracy", "-1"},
    {"best_phase", "0"},
    {"best_epoch", "0"},
    {"accuracy", "0.5"},
    {"float_accuracy", "0.5"},
    {"quantized", "no"},
    {"input", "8 8 1"},
    {"classes", "3"},
    {"mean", "0 0 0 0"},
    {"std", "1 1 1 1"},
    {"features", "float32 128 0.5 1 0 1"},
    {"task", "reconstruct"},
    {"class_names", "a\nb\nc"},
    {"train_data", FINGERPRINT},
};
enum { N_GOOD = sizeof good / sizeof *good };

/* A checkpoint without tensors, whose field `key` is value; NULL leaves it out. */
static nb_status open_with(data_fixture *f, const char *key, const char *value, nb_checkpoint **c)
{
    nb_st_writer *w;
    const char *path = data_fixture_path(f, "m.safetensors");
    assert_int_equal(nb_st_writer_create(f->ctx, &w), NB_OK);
    for (int i = 0; i < N_GOOD; i++) {
        const char *v = strcmp(good[i][0], key) == 0 ? value : good[i][1];
        if (v)
            assert_int_equal(nb_st_set_meta(w, good[i][0], v), NB_OK);
    }
    assert_int_equal(nb_st_save(w, path), NB_OK);
    nb_st_writer_free(w);
    *c = NULL;
    return nb_checkpoint_open(f->ctx, path, c);
}

static void each_missing_field_is_named(void **state)
{
    data_fixture *f = *state;
    nb_checkpoint *c;
    char want[64];
    assert_int_equal(open_with(f, "", NULL, &c), NB_OK);
    assert_string_equal(c->info.class_names[2], "c");
    nb_checkpoint_close(f->ctx, c);
    for (int i = 1; i < N_GOOD; i++) {
        nb_status st = open_with(f, good[i][0], NULL, &c);
        if (strcmp(good[i][0], "class_names") == 0 || strcmp(good[i][0], "train_data") == 0 ||
            strcmp(good[i][0], "float_accuracy") == 0 || strcmp(good[i][0], "features") == 0 ||
            strcmp(good[i][0], "task") == 0) { /* optional */
            assert_int_equal(st, NB_OK);
            nb_checkpoint_close(f->ctx, c);
            continue;
        }
        assert_int_equal(st, NB_E_FORMAT);
        snprintf(want, sizeof want, "metadata \"%s\" is missing", good[i][0]);
        assert_non_null(strstr(nb_ctx_error(f->ctx), want));
    }
}

static void each_impossible_value_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"format", "nibble-checkpoint-2"},
        {"phase", "-1"},
        {"phase", "1x"},
        {"phase", ""},
        {"epoch", "99999999999999999999"},
        {"step", "1.5"},
        {"updates", "9007199254740993000"},
        {"loss_sum", "nan"},
        {"loss_sum", "inf"},
        {"best_accuracy", "0.5 "},
        {"best_accuracy", "1.5"},
        {"accuracy", "-2"},
        {"float_accuracy", "1.5"},
        {"quantized", "maybe"},
        {"input", "8 8"},
        {"input", "8 8 1 1"},
        {"input", "0 8 1"},
        {"input", "8 8 1025"},
        {"features", "float32 128 0.5 3 0 0 0 1 1 1"},
        {"features", "float32 300 0.5 1 0 1"},
        {"task", "ranking"},
        {"input", "8 8 99999999999"},
        {"classes", "0"},
        {"classes", "2000000000"},
        {"mean", "0 0 0"},
        {"mean", "nan 0 0 0"},
        {"std", "0 1 1 1"},
        {"std", "1 1 1 1 1"},
        {"class_names", "a\nb"},
        {"class_names", "a\nb\nc\nd"},
        {"train_data", "96"},
        {"train_data", "0 1 2"},
        {"train_data", "-" FINGERPRINT},
        {"train_data", FINGERPRINT " "},
        {"train_data", FINGERPRINT "0"},
    };
    data_fixture *f = *state;
    nb_checkpoint *c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_with(f, bad[i][0], bad[i][1], &c), NB_E_FORMAT);
        assert_non_null(strstr(nb_ctx_error(f->ctx), bad[i][0]));
    }
}

static void another_safetensors_file_is_called_no_checkpoint(void **state)
{
    data_fixture *f = *state;
    nb_checkpoint *c;
    assert_int_equal(open_with(f, "format", "pt", &c), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "not a Nibble checkpoint (metadata \"format\" is \"pt\""));
    assert_int_equal(open_with(f, "format", NULL, &c), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "metadata \"format\" is missing"));
}

static void a_checkpoint_cut_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    uint8_t *bytes;
    size_t len;
    nb_checkpoint *c;
    open_test(state, &x);
    assert_int_equal(nb_checkpoint_save(f->ctx, data_fixture_path(f, "a.safetensors"), &x.spec), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "a.safetensors"), 1 << 24, &bytes, &len), NB_OK);
    for (size_t cut = 0; cut < len; cut += 1 + len / 97) {
        data_fixture_write(f, "cut.safetensors", bytes, cut);
        assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "cut.safetensors"), &c), NB_E_FORMAT);
    }
    nb_free(f->ctx, bytes);
    close_test(&x);
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    checkpoint_test x;
    nb_checkpoint *c;
    open_test(state, &x);
    const char *path = data_fixture_path(f, "a.safetensors");
    for (int64_t n = 1;; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        nb_status st = nb_checkpoint_save(f->ctx, path, &x.spec);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
        assert_false(nb_file_exists(path));
    }
    for (int64_t n = 1;; n++) {
        nb_ctx_fail_alloc_at(f->ctx, n);
        nb_status st = nb_checkpoint_open(f->ctx, path, &c);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    nb_checkpoint_close(f->ctx, c);
    close_test(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(everything_written_is_read_back_exactly),
        TEST(class_names_of_any_characters_are_read_back),
        TEST(what_cannot_be_stored_shows_without_a_file),
        TEST(moments_and_averages_are_read_back),
        TEST(a_model_checkpoint_holds_no_optimizer_and_cannot_be_resumed),
        TEST(state_that_is_not_finite_is_not_resumed_from),
        TEST(a_decimal_comma_changes_nothing),
        TEST(equal_content_gives_equal_bytes),
        TEST(each_missing_field_is_named),
        TEST(each_impossible_value_is_refused),
        TEST(another_safetensors_file_is_called_no_checkpoint),
        TEST(a_checkpoint_cut_anywhere_is_an_error),
        TEST(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
