/* test_table.c - aligned text and JSON from the same cells. */
#include "report/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <cJSON.h>

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static void assert_text(nb_ctx *ctx, const nb_table *t, const char *want)
{
    char *got = NULL;
    assert_int_equal(nb_table_print(t, &got), NB_OK);
    assert_string_equal(got, want);
    nb_free(ctx, got);
}

static void assert_json(nb_ctx *ctx, const nb_table *t, const char *want)
{
    char *got = NULL;
    assert_int_equal(nb_table_print_json(t, &got), NB_OK);
    assert_string_equal(got, want);
    nb_free(ctx, got);
}

static nb_table *layers(nb_ctx *ctx)
{
    nb_table *t = NULL;
    assert_int_equal(nb_table_create(ctx, &t), NB_OK);
    nb_table_column(t, "layer", "layer", NB_LEFT);
    nb_table_column(t, "macs", "MACs", NB_RIGHT);
    nb_table_column(t, "sqnr", "SQNR", NB_RIGHT);
    nb_table_column(t, "bytes", "weights", NB_RIGHT);
    nb_table_column(t, "note", "note", NB_LEFT);
    nb_table_row(t);
    nb_table_add_text(t, "conv1");
    nb_table_add_int(t, 112896);
    nb_table_add_real(t, 31.0625, 1);
    nb_table_add_int(t, 1536);
    nb_table_add_text(t, "first");
    nb_table_row(t);
    nb_table_add_text(t, "fc");
    nb_table_add_int(t, 40);
    nb_table_add_blank(t);
    nb_table_add_int(t, 40);
    nb_table_footer(t);
    nb_table_add_text(t, "total");
    nb_table_add_int(t, 112936);
    return t;
}

/* Callers print them into buffers of their own. */
static void headings_are_copied(void **state)
{
    nb_ctx *ctx = *state;
    nb_table *t;
    char key[] = "a", header[] = "first", group[] = "both";
    assert_int_equal(nb_table_create(ctx, &t), NB_OK);
    nb_table_group(t, group);
    nb_table_column(t, key, header, NB_LEFT);
    nb_table_column(t, "b", "second", NB_LEFT);
    key[0] = header[0] = group[0] = '?';
    nb_table_row(t);
    nb_table_add_int(t, 1);
    nb_table_add_int(t, 2);
    char *got = NULL;
    assert_int_equal(nb_table_print(t, &got), NB_OK);
    assert_non_null(strstr(got, "both"));
    assert_non_null(strstr(got, "first"));
    assert_null(strchr(got, '?'));
    nb_free(ctx, got);
    assert_int_equal(nb_table_print_json(t, &got), NB_OK);
    assert_non_null(strstr(got, "\"a\""));
    nb_free(ctx, got);
    nb_table_free(t);
}

static void columns_are_aligned_and_lines_have_no_trailing_spaces(void **state)
{
    nb_table *t = layers(*state);
    assert_text(*state, t,
                "layer    MACs  SQNR  weights  note\n"
                "-----  ------  ----  -------  -----\n"
                "conv1  112896  31.1     1536  first\n"
                "fc         40             40\n"
                "-----  ------  ----  -------  -----\n"
                "total  112936\n");
    nb_table_free(t);
}

static nb_table *grouped(nb_ctx *ctx)
{
    nb_table *t;
    assert_int_equal(nb_table_create(ctx, &t), NB_OK);
    nb_table_column(t, "n", "", NB_RIGHT);
    nb_table_column(t, "name", "name", NB_LEFT);
    nb_table_group(t, "before");
    nb_table_column(t, "a", "a", NB_RIGHT);
    nb_table_group(t, "before"); /* said again for every column, as tables of columns do */
    nb_table_column(t, "b", "b", NB_RIGHT);
    nb_table_group(t, "a long heading");
    nb_table_column(t, "c", "c", NB_RIGHT);
    nb_table_group(t, NULL);
    nb_table_column(t, "note", "note", NB_LEFT);
    nb_table_row(t);
    nb_table_add_int(t, 7);
    nb_table_add_text(t, "x");
    nb_table_add_int(t, 1234567);
    for (int32_t i = 2; i < 4; i++)
        nb_table_add_int(t, i);
    nb_table_add_text(t, "so");
    return t;
}

static void headings_stand_over_the_columns_of_their_group(void **state)
{
    nb_table *t = grouped(*state);
    char *text;
    assert_text(*state, t,
                "         before ---  a long heading\n"
                "   name        a  b               c  note\n"
                "-  ----  -------  -  --------------  ----\n"
                "7  x     1234567  2               3  so\n");
    assert_int_equal(nb_table_print_markdown(t, &text), NB_OK);
    assert_ptr_equal(strstr(text, "|  | name | before: a | before: b | a long heading: c | note |\n"), text);
    nb_free(*state, text);
    assert_int_equal(nb_table_print_csv(t, &text), NB_OK);
    assert_string_equal(text, "n,name,a,b,c,note\n7,x,1234567,2,3,so\n");
    nb_free(*state, text);
    assert_int_equal(nb_table_print_html(t, NULL, &text), NB_OK);
    assert_non_null(strstr(text,
                           "<thead><tr><th colspan=\"2\"></th><th class=\"g\" colspan=\"2\">before</th><th class=\"g\" "
                           "colspan=\"1\">a long heading</th><th colspan=\"1\"></th></tr>\n"));
    assert_non_null(strstr(text, "<td class=\"r\">7</td><td class=\"k\">x</td>")); /* the name is kept in sight */
    nb_free(*state, text);
    nb_table_free(t);
}

static void json_has_exact_values_and_no_totals(void **state)
{
    nb_table *t = layers(*state);
    assert_json(*state, t,
                "[\n"
                "  {\"layer\": \"conv1\", \"macs\": 112896, \"sqnr\": 31.0625, \"bytes\": 1536, \"note\": \"first\"},\n"
                "  {\"layer\": \"fc\", \"macs\": 40, \"sqnr\": null, \"bytes\": 40, \"note\": null}\n"
                "]\n");
    nb_table_free(t);
}

static void a_table_without_rows_is_a_header_and_an_empty_array(void **state)
{
    nb_table *t = NULL;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "a", "a", NB_LEFT);
    nb_table_column(t, "b", "long", NB_RIGHT);
    assert_text(*state, t, "a  long\n-  ----\n");
    assert_json(*state, t, "[]\n");
    nb_table_footer(t);
    assert_json(*state, t, "[]\n");
    nb_table_free(t);
}

static void width_counts_characters_and_not_bytes(void **state)
{
    assert_int_equal(nb_text_columns("abc"), 3);
    assert_int_equal(nb_text_columns("\xc3\xa9t\xc3\xa9"), 3);                    /* precomposed */
    assert_int_equal(nb_text_columns("e\xcc\x81"), 1);                            /* combining acute */
    assert_int_equal(nb_text_columns("\xe7\x8c\xab"), 2);                         /* a cat in Chinese */
    assert_int_equal(nb_text_columns("\xf0\x9f\x90\xb1"), 2);                     /* and as an emoji */
    assert_int_equal(nb_text_columns("\xff\xc3"), 2);                             /* broken: one mark per byte */
    assert_int_equal(nb_text_columns("\xe2\x82"), 2);                             /* cut at the end */
    assert_int_equal(nb_text_columns("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"), 9); /* overlong, surrogate, too large */
    nb_table *t = NULL;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "class", "class", NB_RIGHT);
    nb_table_column(t, "n", "n", NB_RIGHT);
    nb_table_row(t);
    nb_table_add_text(t, "\xe7\x8c\xab");
    nb_table_add_int(t, 1);
    nb_table_row(t);
    nb_table_add_text(t, "\xc3\xa9t\xc3\xa9");
    nb_table_add_int(t, -2);
    assert_text(*state, t,
                "class   n\n"
                "-----  --\n"
                "   \xe7\x8c\xab   1\n"
                "  \xc3\xa9t\xc3\xa9  -2\n");
    nb_table_free(t);
}

static void hostile_texts_harm_neither_terminal_nor_json(void **state)
{
    nb_table *t = NULL;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "x", "x", NB_LEFT);
    nb_table_row(t);
    nb_table_add_text(t, "a\x1b[31m\n\"\\\xc2\x9b\xff");
    assert_text(*state, t, "x\n-----------\na?[31m?\"\\?\xef\xbf\xbd\n");
    assert_json(*state, t, "[\n  {\"x\": \"a\\u001b[31m\\u000a\\\"\\\\\\u009b\\ufffd\"}\n]\n");
    nb_table_free(t);
}

static void numbers_of_any_size_are_printed_and_valid_json(void **state)
{
    nb_table *t = NULL;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "v", "v", NB_LEFT);
    const double reals[] = {0.1, -0.0, 1e300, 5e-324, 123456789.125, (double)NAN, -(double)INFINITY};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        nb_table_row(t);
        nb_table_add_real(t, reals[i], 3);
    }
    nb_table_row(t);
    nb_table_add_int(t, INT64_MIN);
    char *text = NULL, *json = NULL;
    assert_int_equal(nb_table_print(t, &text), NB_OK);
    assert_non_null(strstr(text, "\n0.100\n-0.000\n1.000e+300\n0.000\n123456789.125\n"));
    assert_non_null(strstr(text, "\n\n-inf\n-9223372036854775808\n")); /* no number: nothing, as in CSV */
    assert_int_equal(nb_table_print_json(t, &json), NB_OK);
    cJSON *root = cJSON_Parse(json);
    assert_non_null(root);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const cJSON *v = cJSON_GetObjectItem(cJSON_GetArrayItem(root, (int)i), "v");
        if (isfinite(reals[i]))
            assert_true(cJSON_IsNumber(v) && v->valuedouble == reals[i]);
        else
            assert_true(cJSON_IsNull(v));
    }
    cJSON_Delete(root);
    nb_free(*state, text);
    nb_free(*state, json);
    nb_table_free(t);
}

static nb_status whole_table(nb_ctx *ctx)
{
    nb_table *t = NULL;
    char *text = NULL, *json = NULL;
    nb_status st = nb_table_create(ctx, &t);
    if (st == NB_OK) {
        nb_table_column(t, "a", "a", NB_LEFT);
        nb_table_column(t, "b", "b", NB_RIGHT);
        for (int32_t i = 0; i < 20; i++) {
            nb_table_row(t);
            nb_table_add_text(t, "a rather long text that makes the buffer grow");
            nb_table_add_int(t, i);
        }
        st = nb_table_print(t, &text);
    }
    if (st == NB_OK)
        st = nb_table_print_json(t, &json);
    nb_free(ctx, text);
    nb_free(ctx, json);
    nb_table_free(t);
    return st;
}

static void every_failing_allocation_comes_out_of_the_print(void **state)
{
    for (int64_t n = 1;; n++) {
        nb_ctx_fail_alloc_at(*state, n);
        nb_status st = whole_table(*state);
        nb_ctx_fail_alloc_at(*state, 0);
        if (st == NB_OK) {
            assert_true(n > 40);
            break;
        }
        assert_int_equal(st, NB_E_NOMEM);
        assert_true(n < 1000);
    }
}

static void csv_quotes_what_needs_it_and_markdown_escapes_bars(void **state)
{
    nb_table *t;
    char *text = NULL;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "name", "the name", NB_LEFT);
    nb_table_column(t, "share", "share %", NB_RIGHT);
    nb_table_row(t);
    nb_table_add_text(t, "a,b \"c\" | d");
    nb_table_add_real(t, 0.125, 1);
    nb_table_row(t);
    nb_table_add_text(t, "plain");
    nb_table_add_real(t, (double)NAN, 1);
    nb_table_footer(t);
    nb_table_add_text(t, "all");
    nb_table_add_int(t, 7);
    assert_int_equal(nb_table_print_as(t, NB_TABLE_CSV, &text), NB_OK);
    assert_string_equal(text, "name,share\n\"a,b \"\"c\"\" | d\",0.125\nplain,\n");
    nb_free(*state, text);
    assert_int_equal(nb_table_print_as(t, NB_TABLE_MARKDOWN, &text), NB_OK);
    assert_string_equal(text,
                        "| the name | share % |\n|---|---:|\n| a,b \"c\" \\| d | 0.1 |\n| plain |  |\n| all | 7 |\n");
    nb_free(*state, text);
    nb_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headings_are_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(headings_stand_over_the_columns_of_their_group, setup, teardown),
        cmocka_unit_test_setup_teardown(csv_quotes_what_needs_it_and_markdown_escapes_bars, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_are_aligned_and_lines_have_no_trailing_spaces, setup, teardown),
        cmocka_unit_test_setup_teardown(json_has_exact_values_and_no_totals, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_without_rows_is_a_header_and_an_empty_array, setup, teardown),
        cmocka_unit_test_setup_teardown(width_counts_characters_and_not_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_texts_harm_neither_terminal_nor_json, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_of_any_size_are_printed_and_valid_json, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failing_allocation_comes_out_of_the_print, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
