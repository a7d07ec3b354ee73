/* test_table_verify.c - the tables of verify: layers, implementations. */
#include "table_case.h"

static void a_layer_shows_its_differences_and_their_share(void **state)
{
    const nb_verify_row rows[] = {{.name = "c1", .outputs = 800, .rounding = 2, .largest = 1, .differ_run = 3},
                                  {.name = "fc", .outputs = 10, .faults = 4, .largest = 7, .largest_run = 9}};
    nb_table *t;
    assert_int_equal(nb_table_of_verify(*state, rows, 2, &t), NB_OK);
    assert_table(*state, t,
                 "layer  outputs  rounding       %  faults  largest  differ, running  largest, running\n"
                 "-----  -------  --------  ------  ------  -------  ---------------  ----------------\n"
                 "c1         800         2  0.2500       0        1                3                 0\n"
                 "fc          10         0  0.0000       4        7                0                 9\n");
}

static void what_did_not_run_shows_only_why(void **state)
{
    const nb_check_row rows[] = {
        {.name = "scalar", .kind = NB_CHECK_EXACT, .differ = 1, .largest = 5, .same_top1 = 8, .seconds = 2.5e-6},
        {.name = "onnx", .kind = NB_CHECK_ROUNDED, .same_top1 = 9, .seconds = -1},
        {.name = "clang", .kind = NB_CHECK_ABSENT, .note = "not in PATH", .seconds = 1},
        {.name = "gcc", .kind = NB_CHECK_BROKEN, .note = "exit 1", .differ = 3}};
    nb_table *t;
    assert_int_equal(nb_table_of_checks(*state, rows, 4, 9, &t), NB_OK);
    assert_table(*state, t,
                 "implementation  images  logits that differ  largest  same top-1  us/image  note\n"
                 "--------------  ------  ------------------  -------  ----------  --------  ---------------------\n"
                 "scalar               9                   1        5           8       2.5\n"
                 "onnx                 9                   0        0           9\n"
                 "clang                                                                      not here: not in PATH\n"
                 "gcc                                                                        failed: exit 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_layer_shows_its_differences_and_their_share, setup, teardown),
        cmocka_unit_test_setup_teardown(what_did_not_run_shows_only_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
