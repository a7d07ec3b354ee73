/* test_csv.c - CSV read back: what a table printed, and what a killed process left of it. */
#include "report/csv.h"
#include "table_case.h"

#include <math.h>

static nb_csv parse(nb_arena *a, const char *text)
{
    nb_csv c;
    assert_int_equal(nb_csv_parse(a, text, &c), NB_OK);
    return c;
}

static void cells_are_what_a_table_printed(void **state)
{
    static const char *const texts[] = {"plain", "a,b", "\"x\" y", "two\nlines", "", "\""};
    nb_table *t;
    nb_arena *a;
    char *text;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "text", "text", NB_LEFT);
    nb_table_column(t, "v", "v", NB_RIGHT);
    for (int32_t i = 0; i < 6; i++) {
        nb_table_row(t);
        nb_table_add_text(t, texts[i]);
        nb_table_add_real(t, i / 7.0, 2);
    }
    assert_int_equal(nb_table_print_csv(t, &text), NB_OK);
    const nb_csv c = parse(a, text);
    assert_int_equal(c.n_rows, 6);
    assert_int_equal(c.dropped, 0);
    assert_int_equal(nb_csv_column(&c, "v"), 1);
    for (int32_t i = 0; i < 6; i++) {
        assert_string_equal(nb_csv_text(&c, i, 0), texts[i]);
        assert_true(nb_csv_real(&c, i, 1) == i / 7.0);
    }
    nb_free(*state, text);
    nb_table_free(t);
    nb_arena_free(a);
}

static void lines_that_are_not_whole_are_counted_and_left_out(void **state)
{
    nb_arena *a;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    nb_csv c = parse(a, "a,b\n1,2\n3\n4,5,6\n7,8\r\n9,1");
    assert_int_equal(c.n_rows, 2);
    assert_int_equal(c.dropped, 3); /* the last may go on */
    assert_true(nb_csv_real(&c, 1, 1) == 8);
    c = parse(a, "a,b\n1,\"2\n3,4\n");
    assert_int_equal(c.n_rows, 0);
    assert_int_equal(c.dropped, 1);
    c = parse(a, "a,b");
    assert_int_equal(c.n_columns + c.n_rows, 0);
    c = parse(a, "");
    assert_int_equal(c.n_columns + c.n_rows, 0);
    nb_arena_free(a);
}

static void what_is_not_there_is_empty_and_no_number(void **state)
{
    nb_arena *a;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    const nb_csv c = parse(a, "a,b\n1x,\n");
    assert_int_equal(nb_csv_column(&c, "c"), -1);
    assert_string_equal(nb_csv_text(&c, 0, -1), "");
    assert_true(isnan(nb_csv_real(&c, 0, 0)) && isnan(nb_csv_real(&c, 0, 1)) && isnan(nb_csv_real(&c, 0, -1)));
    nb_arena_free(a);
}

static void any_part_of_a_file_can_be_read(void **state)
{
    static const char text[] = "n,\"a b\",c\n1,\"x,\"\"y\",3\r\n2,\"line\nline\",4\n";
    char part[sizeof text];
    nb_arena *a;
    assert_int_equal(nb_arena_create(*state, &a), NB_OK);
    for (size_t n = 0; n < sizeof text; n++) {
        memcpy(part, text, n);
        part[n] = '\0';
        const nb_csv c = parse(a, part);
        assert_true(c.n_rows <= 2 && c.dropped <= 1);
        for (int32_t i = 0; i < c.n_rows; i++)
            assert_true(nb_csv_real(&c, i, 0) == i + 1);
    }
    nb_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cells_are_what_a_table_printed, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_are_not_whole_are_counted_and_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_empty_and_no_number, setup, teardown),
        cmocka_unit_test_setup_teardown(any_part_of_a_file_can_be_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
