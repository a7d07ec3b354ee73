/* test_metrics.c - the table of epochs survives its own text; times of earlier runs are read leniently. */
#include "plan_case.h"
#include "ref/data_fixture.h"
#include "train/metrics.h"

#include "base/files.h"

static const char *const two_phases =
    "{phases: [{epochs: 3, lr: 1, name: float}, {epochs: 2, lr: 1, name: qat, quant: on}]}";

static void print_parse_and_print_again_is_equal(void **state)
{
    (void)state;
    plan_case p;
    nb_metrics a = {0}, b = {0};
    char *first, *second;
    assert_int_equal(plan_try(&p, two_phases), NB_OK);
    for (int32_t i = 0; i < 5; i++) {
        double x = 1.0 / (3 + i);
        nb_metrics_row r = {i / 3, i % 3, x * 1e-5, x * 7, x, x * 1e9, 1 - x, i == 4, NULL};
        assert_int_equal(nb_metrics_add(p.ctx, &a, &r), NB_OK);
    }
    assert_int_equal(nb_metrics_print(p.ctx, &a, p.plan, &first), NB_OK);
    assert_int_equal(nb_metrics_parse(p.ctx, "here", first, p.plan, &b), NB_OK);
    assert_int_equal(nb_metrics_print(p.ctx, &b, p.plan, &second), NB_OK);
    assert_string_equal(first, second);
    assert_int_equal(b.n, 5);
    for (int32_t i = 0; i < 5; i++) {
        assert_memory_equal(&a.row[i], &b.row[i], offsetof(nb_metrics_row, simulated));
        assert_int_equal(b.row[i].simulated, i == 4);
    }
    nb_free(p.ctx, first);
    nb_free(p.ctx, second);
    nb_metrics_deinit(p.ctx, &a);
    nb_metrics_deinit(p.ctx, &b);
    plan_close(&p);
}

static void the_text_is_plain_csv(void **state)
{
    (void)state;
    plan_case p;
    nb_metrics m = {0};
    char *text;
    assert_int_equal(plan_try(&p, two_phases), NB_OK);
    assert_int_equal(nb_metrics_add(p.ctx, &m, &(nb_metrics_row){1, 0, 0.5, 1.25, 0.75, 2, 0.875, false, NULL}), NB_OK);
    assert_int_equal(nb_metrics_add(p.ctx, &m, &(nb_metrics_row){1, 1, 0.5, 1.25, 0.75, 2, 0.875, true, NULL}), NB_OK);
    assert_int_equal(nb_metrics_print(p.ctx, &m, p.plan, &text), NB_OK);
    assert_string_equal(text, "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy\n"
                              "2,qat,yes,1,0.5,1.25,0.75,2,0.875\n"
                              "2,qat,simulated,2,0.5,1.25,0.75,2,0.875\n");
    nb_free(p.ctx, text);
    nb_metrics_deinit(p.ctx, &m);
    plan_close(&p);
}

/* Of reconstructions; what an older program wrote of them goes on as it was. */
static void another_metric_than_accuracy_has_a_column(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy,metric\n"
        "1,float,no,1,0.5,1.25,0,2,0.875,AUC\n1,float,no,2,0.5,1.25,0,2,0.5,AUC\n",
        "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy\n"
        "1,float,no,1,0.5,1.25,0,2,0.875\n1,float,no,2,0.5,1.25,0,2,0.5\n"};
    for (int32_t k = 0; k < 2; k++) {
        plan_case p;
        nb_metrics m = {0};
        char *text;
        char first[256];
        snprintf(first, sizeof first, "%s", texts[k]);
        *strstr(first, "1,float,no,2") = '\0';
        assert_int_equal(plan_try(&p, two_phases), NB_OK);
        assert_int_equal(nb_metrics_parse(p.ctx, "here", first, p.plan, &m), NB_OK);
        assert_int_equal(nb_metrics_add(p.ctx, &m, &(nb_metrics_row){0, 1, 0.5, 1.25, 0, 2, 0.5, false, "AUC"}), NB_OK);
        assert_int_equal(nb_metrics_print(p.ctx, &m, p.plan, &text), NB_OK);
        assert_string_equal(text, texts[k]);
        nb_free(p.ctx, text);
        nb_metrics_deinit(p.ctx, &m);
        plan_close(&p);
    }
}

static void text_that_is_no_such_table_is_refused(void **state)
{
    (void)state;
#define HEAD "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy\n"
    const char *const bad[] = {"",
                               "phase\n",
                               HEAD "1,float,no,1,0.5,1,1,1\n",
                               HEAD "1,float,no,1,0.5,1,1,1,1",
                               HEAD "3,float,no,1,0.5,1,1,1,1\n",
                               HEAD "0,float,no,1,0.5,1,1,1,1\n",
                               HEAD "1,float,no,4,0.5,1,1,1,1\n",
                               HEAD "1,float,no,1.5,0.5,1,1,1,1\n",
                               HEAD "nan,float,no,1,0.5,1,1,1,1\n",
                               HEAD "1,float,no,1,0.5,x,1,1,1\n",
                               HEAD "1,float,no,1,0.5,,1,1,1\n",
                               HEAD "1,float,no,1,0.5,1,1,1,1,1\n"};
    plan_case p;
    assert_int_equal(plan_try(&p, two_phases), NB_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nb_metrics m = {0};
        assert_int_equal(nb_metrics_parse(p.ctx, "last.safetensors", bad[i], p.plan, &m), NB_E_FORMAT);
        assert_string_equal(nb_ctx_error(p.ctx),
                            "last.safetensors: metadata \"metrics\" is not a table of this training's epochs");
        nb_metrics_deinit(p.ctx, &m);
    }
    plan_close(&p);
}

static void times_before_a_position_are_read_back(void **state)
{
    data_fixture *f = *state;
    const char *path = data_fixture_path(f, "timing.csv");
    nb_timing a = {0}, b = {0};
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(nb_timing_add(f->ctx, &a, &(nb_timing_row){i / 2, i % 2, 1.5 * i, 0.25}), NB_OK);
    assert_int_equal(nb_timing_write(f->ctx, &a, path), NB_OK);
    assert_int_equal(nb_timing_read(f->ctx, &b, path, 1, 1), NB_OK);
    assert_int_equal(b.n, 3);
    assert_true(b.row[2].phase == 1 && b.row[2].epoch == 0 && b.row[2].train_seconds == 3.0);
    nb_timing_deinit(f->ctx, &a);
    nb_timing_deinit(f->ctx, &b);
}

static void odd_times_are_no_error(void **state)
{
    data_fixture *f = *state;
    nb_timing t = {0};
    assert_int_equal(nb_timing_read(f->ctx, &t, data_fixture_path(f, "none.csv"), 9, 9), NB_OK);
    const char text[] = "phase,epoch,train_seconds,eval_seconds\n1,1,2.5,0.5\n1,2,oops";
    data_fixture_write(f, "t.csv", text, sizeof text - 1);
    assert_int_equal(nb_timing_read(f->ctx, &t, data_fixture_path(f, "t.csv"), 9, 9), NB_OK);
    assert_int_equal(t.n, 1);
    nb_timing_deinit(f->ctx, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_parse_and_print_again_is_equal),
        cmocka_unit_test(the_text_is_plain_csv),
        cmocka_unit_test(another_metric_than_accuracy_has_a_column),
        cmocka_unit_test(text_that_is_no_such_table_is_refused),
        cmocka_unit_test_setup_teardown(times_before_a_position_are_read_back, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(odd_times_are_no_error, data_fixture_setup, data_fixture_teardown),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
