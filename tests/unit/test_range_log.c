/* test_range_log.c - ranges.csv: the grids there are, by hand; names of any kind; what an interrupted training leaves. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "report/csv.h"
#include "train/range_log.h"

#include "base/files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "phase,epoch,quantizer,of,bits,scales,lo,hi,scale_min,scale_max\n"

/* Trains in a folder of that name; text is what follows the usual network (or the whole config, if it begins with one). */
static void train(data_fixture *f, const char *name, const char *text, bool resume, train_case *t)
{
    char all[4096];
    snprintf(all, sizeof all, "%s%s", strncmp(text, "data:", 5) == 0 ? "" : train_case_head, text);
    data_fixture_mkdir(f, name);
    if (train_case_open(t, f->ctx, data_fixture_path(f, name), all) != NB_OK || train_case_run(t, resume) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
}

static char *text_of(data_fixture *f, const char *name)
{
    uint8_t *bytes;
    size_t len;
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1 << 20, &bytes, &len), NB_OK);
    return (char *)bytes;
}

static const char two_epochs[] =
    "train: {batch: 32, phases: [{epochs: 1, lr: 0.1}, {epochs: 2, lr: 0.05, quant: on}]}\n";

static int32_t row_of(const nb_csv *c, const char *quantizer)
{
    for (int32_t i = 0; i < c->n_rows; i++)
        if (!strcmp(nb_csv_text(c, i, nb_csv_column(c, "quantizer")), quantizer))
            return i;
    fail_msg("no line of %s", quantizer);
    return -1;
}

static void assert_cell(const nb_csv *c, int32_t row, const char *column, double want)
{
    assert_true(fabs(nb_csv_real(c, row, nb_csv_column(c, column)) - want) <= 1e-6 * fabs(want));
}

/* Of weights that do not move, and a range that is given. */
static void a_line_says_where_the_grid_lies(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_checkpoint *c;
    nb_graph *g;
    nb_arena *arena;
    nb_csv csv;
    train(f, "a",
          "quant: {weights: {bits: 4, granularity: tensor, range: minmax}, first_last_bits: 0,"
          " activations: {bits: 8, scheme: asymmetric, range: fixed, lo: -1, hi: 4.1}}\n"
          "train: {batch: 32, phases: [{epochs: 1, lr: 0, quant: on}]}\n",
          false, &t);
    assert_int_equal(nb_checkpoint_open(f->ctx, data_fixture_path(f, "a/last.safetensors"), &c), NB_OK);
    assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.file = c}, &g), NB_OK);
    const nb_tensor *w = &nb_graph_find(g, "c2.weight")->out;
    double most = 0;
    for (int64_t i = 0; i < nb_count(w); i++)
        most = fmax(most, fabs((double)((const float *)w->data)[i]));
    char *text = text_of(f, "a/ranges.csv");
    assert_int_equal(nb_arena_create(f->ctx, &arena), NB_OK);
    assert_int_equal(nb_csv_parse(arena, text, &csv), NB_OK);
    assert_int_equal(csv.dropped, 0);
    int32_t row = row_of(&csv, "c2.weight.fq");
    assert_string_equal(nb_csv_text(&csv, row, nb_csv_column(&csv, "of")), "weights");
    assert_cell(&csv, row, "phase", 1);
    assert_cell(&csv, row, "epoch", 1);
    assert_cell(&csv, row, "bits", 4);
    assert_cell(&csv, row, "scales", 1);
    assert_cell(&csv, row, "lo", -most);
    assert_cell(&csv, row, "hi", most);
    assert_cell(&csv, row, "scale_min", most / 7);
    row = row_of(&csv, "relu1.fq");
    assert_string_equal(nb_csv_text(&csv, row, nb_csv_column(&csv, "of")), "values");
    assert_cell(&csv, row, "lo", -1); /* 255 steps of 0.02, and 0 is one of them */
    assert_cell(&csv, row, "hi", 4.1);
    assert_cell(&csv, row, "scale_max", 0.02);
    nb_arena_free(arena);
    nb_free(f->ctx, text);
    nb_graph_free(g);
    nb_checkpoint_close(f->ctx, c);
    train_case_close(&t);
}

static void names_of_any_kind_are_read_back(void **state)
{
    data_fixture *f = *state;
    train_case t;
    nb_arena *arena;
    nb_csv csv;
    train(f, "a",
          "data: {name: synth, count: 64, test_count: 32, height: 8, width: 8, channels: 1, classes: 3}\n"
          "model: [input, conv2d: {name: 'a,\"b\"', out: 4, kernel: 3}, relu, flatten, linear: {out: 3}]\n"
          "train: {batch: 32, phases: [{epochs: 1, lr: 0.01, quant: on}]}\n",
          false, &t);
    char *text = text_of(f, "a/ranges.csv");
    assert_non_null(strstr(text, "1,1,\"a,\"\"b\"\".weight.fq\",weights,"));
    assert_int_equal(nb_arena_create(f->ctx, &arena), NB_OK);
    assert_int_equal(nb_csv_parse(arena, text, &csv), NB_OK);
    assert_int_equal(csv.dropped, 0);
    row_of(&csv, "a,\"b\".weight.fq");
    nb_arena_free(arena);
    nb_free(f->ctx, text);
    train_case_close(&t);
}

/* last.safetensors is written first: a kill may take the lines of its epoch, or part of them. */
static void what_a_kill_took_of_the_last_epoch_comes_back(void **state)
{
    data_fixture *f = *state;
    train_case t;
    static const char phases[] =
        "train: {batch: 32, phases: [{epochs: 1, lr: 0.1, quant: on}, {epochs: 2, lr: 0.05, quant: on}]}\n";
    train(f, "a", phases, false, &t);
    train_case_close(&t);
    char *whole = text_of(f, "a/ranges.csv");
    const size_t first = (size_t)(strstr(whole, "\n2,2,") + 1 - whole), len = strlen(whole);
    assert_non_null(strstr(whole, "\n1,1,"));
    const size_t cut[] = {first, first + 20, len - 1, len};
    for (int32_t i = 0; i < 4; i++) {
        data_fixture_write(f, "a/ranges.csv", whole, cut[i]);
        train(f, "a", phases, true, &t);
        train_case_close(&t);
        char *again = text_of(f, "a/ranges.csv");
        assert_string_equal(again, whole);
        nb_free(f->ctx, again);
    }
    nb_free(f->ctx, whole);
}

static void lines_of_another_training_go_and_those_that_are_lost_stay_lost(void **state)
{
    data_fixture *f = *state;
    train_case t;
    data_fixture_mkdir(f, "a");
    data_fixture_write(f, "a/ranges.csv", HEAD "1,1,old,weights,4,1,0,0,0,0\n9,9,old", sizeof HEAD - 1 + 35);
    train(f, "a", two_epochs, false, &t);
    train_case_close(&t);
    char *text = text_of(f, "a/ranges.csv");
    assert_null(strstr(text, "old"));
    assert_int_equal(strncmp(text, HEAD "2,1,", sizeof HEAD + 3), 0);
    nb_free(f->ctx, text);
    data_fixture_write(f, "a/ranges.csv", "no table\n2,1,x\n", 15);
    train(f, "a", two_epochs, true, &t);
    train_case_close(&t);
    text = text_of(f, "a/ranges.csv");
    assert_int_equal(strncmp(text, HEAD "2,2,", sizeof HEAD + 3), 0);
    nb_free(f->ctx, text);
}

static void a_float_training_has_no_such_file(void **state)
{
    data_fixture *f = *state;
    train_case t;
    train(f, "a", "train: {batch: 32, phases: [{epochs: 1, lr: 0.1}]}\n", false, &t);
    train_case_close(&t);
    assert_false(nb_file_exists(data_fixture_path(f, "a/ranges.csv")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_says_where_the_grid_lies),
        TEST(names_of_any_kind_are_read_back),
        TEST(what_a_kill_took_of_the_last_epoch_comes_back),
        TEST(lines_of_another_training_go_and_those_that_are_lost_stay_lost),
        TEST(a_float_training_has_no_such_file),
    };
    return cmocka_run_group_tests_name("range_log", tests, NULL, NULL);
}
