/* test_svg.c - drawings: where things are, what is left out, that no number and no name breaks them. */
#include "report/svg.h"
#include "report/svg_plane.h"
#include "table_case.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers behind every `what` in s, in order; how many. */
static int32_t numbers(const char *s, const char *what, double *to, int32_t most)
{
    int32_t n = 0;
    while ((s = strstr(s, what)) && n < most) {
        s += strlen(what);
        to[n++] = strtod(s, NULL);
    }
    return n;
}

/* Tags are closed in order, and there is no number that is none. Frees t. */
static char *taken(nb_text *t)
{
    char *s, stack[16][16];
    int32_t depth = 0;
    assert_int_equal(nb_text_take(t, &s), NB_OK);
    assert_true(!strstr(s, "nan") && !strstr(s, "inf"));
    for (const char *at = s; (at = strchr(at, '<')); at++) {
        const size_t n = strcspn(at + 1, " />");
        const char *end = strchr(at, '>');
        if (at[1] == '/') {
            char name[16];
            snprintf(name, sizeof name, "%.*s", (int)(end - at - 2), at + 2);
            assert_true(depth > 0);
            assert_string_equal(name, stack[--depth]);
        } else if (end[-1] != '/') {
            assert_true(depth < 16);
            snprintf(stack[depth++], sizeof stack[0], "%.*s", (int)n, at + 1);
        }
    }
    assert_int_equal(depth, 0);
    return s;
}

static void a_bar_is_as_long_as_its_value(void **state)
{
    static const char *const label[] = {"a<b", "b", "c"}, *const series[] = {"one"};
    static const double value[] = {4, 2, NAN};
    double width[8], x[8];
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_bars(
        &t, &(nb_svg_bars){.title = "<t>", .n = 3, .n_series = 1, .label = label, .series = series, .value = value});
    char *s = taken(&t);
    assert_int_equal(numbers(s, "width=\"", width, 8), 2);
    assert_int_equal(numbers(s, " x=\"", x, 8), 3 + 2 * 2); /* names; bars and their numbers */
    assert_true(width[0] == 260 && width[1] == 130);
    assert_non_null(strstr(s, "<title>&lt;t&gt;</title>"));
    assert_non_null(strstr(s, ">a&lt;b</text>"));
    nb_free(*state, s);
}

/* 0.00413 beside 2.6e-06 would look like two kinds of number. */
static void numbers_of_a_drawing_are_in_one_style(void **state)
{
    static const char *const label[] = {"a", "b"}, *const series[] = {"one"};
    static const double value[] = {0.004125, 0.0000026};
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_bars(
        &t, &(nb_svg_bars){.title = "t", .n = 2, .n_series = 1, .label = label, .series = series, .value = value});
    char *s = taken(&t);
    assert_non_null(strstr(s, ">0.004125</text>"));
    assert_non_null(strstr(s, ">0.000003</text>"));
    assert_non_null(strstr(s, ": 2.6e-06</title>"));
    nb_free(*state, s);
}

static void the_axis_ends_at_a_number_that_is_not_below_the_tallest(void **state)
{
    static const double height[] = {1, 19};
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_columns(&t,
                       &(nb_svg_columns){.title = "t", .x_title = "x", .n = 2, .height = height, .lo = 0, .width = 1});
    char *s = taken(&t);
    assert_non_null(strstr(s, ">20</text>"));
    nb_free(*state, s);
}

static void lines_go_from_corner_to_corner_and_around_what_is_missing(void **state)
{
    static const char *const series[] = {"up", "hole"};
    static const double x[] = {1, 2, 3}, value[] = {0, 5, 10, 10, NAN, 0};
    nb_text t;
    char want[64];
    nb_text_init(*state, &t);
    nb_svg_add_lines(
        &t, &(nb_svg_lines){
                .title = "t", .x_title = "epoch", .n = 3, .n_series = 2, .series = series, .x = x, .value = value});
    char *s = taken(&t);
    snprintf(want, sizeof want, "d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1f\"", (double)SVG_LEFT, (double)SVG_FLOOR,
             (SVG_LEFT + SVG_RIGHT) / 2.0, (SVG_TOP + SVG_FLOOR) / 2.0, (double)SVG_RIGHT, (double)SVG_TOP);
    assert_non_null(strstr(s, want));
    snprintf(want, sizeof want, "d=\"M%.1f %.1fM%.1f %.1f\"", (double)SVG_LEFT, (double)SVG_TOP, (double)SVG_RIGHT,
             (double)SVG_FLOOR);
    assert_non_null(strstr(s, want));
    nb_free(*state, s);
}

static void columns_fill_the_width_and_stand_on_the_floor(void **state)
{
    static const double height[] = {1, 0, 4};
    nb_text t;
    char want[64];
    nb_text_init(*state, &t);
    nb_svg_add_columns(
        &t, &(nb_svg_columns){.title = "t", .x_title = "x", .n = 3, .height = height, .lo = -1.5, .width = 1});
    char *s = taken(&t);
    snprintf(want, sizeof want, "M%.1f %dV%.1fH", SVG_LEFT + 0.5, SVG_FLOOR, SVG_FLOOR - (SVG_FLOOR - SVG_TOP) / 4.0);
    assert_non_null(strstr(s, want));
    snprintf(want, sizeof want, "V%.1fH%.1fV%dz\"", (double)SVG_TOP, SVG_RIGHT - 0.5, SVG_FLOOR);
    assert_non_null(strstr(s, want));
    nb_free(*state, s);
}

static void an_end_far_outside_does_not_hide_the_ranges(void **state)
{
    static const double lo[] = {-1, 0}, hi[] = {1, 0}, low_end[] = {-1, -1000}, high_end[] = {1, 1000};
    double y[2];
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_ranges(
        &t, &(nb_svg_ranges){
                .title = "t", .x_title = "x", .n = 2, .lo = lo, .hi = hi, .low_end = low_end, .high_end = high_end});
    char *s = taken(&t);
    const char *range = strstr(s, "class=\"l1\"");
    assert_int_equal(sscanf(strstr(range, "d=\"M"), "d=\"M%*f %lfV%lf", &y[0], &y[1]), 2);
    assert_true(y[0] - y[1] > (SVG_FLOOR - SVG_TOP) / 2.0);
    nb_free(*state, s);
}

static void a_matrix_has_a_cell_for_each_count_above_0(void **state)
{
    static const char *const label[] = {"cat", "dog"};
    static const int32_t count[] = {3, 1, 0, 2};
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_matrix(&t, &(nb_svg_matrix){.title = "t", .n = 2, .count = count, .label = label});
    char *s = taken(&t);
    assert_non_null(strstr(s, "cat taken for cat: 3"));
    assert_non_null(strstr(s, "cat taken for dog: 1"));
    assert_null(strstr(s, "dog taken for cat"));
    assert_non_null(strstr(s, "dog taken for dog: 2"));
    assert_non_null(strstr(s, "rotate(-90)\" class=\"ink\">cat</text>")); /* names both ways */
    assert_non_null(strstr(s, "rotate(-90)\" class=\"ink\">dog</text>"));
    assert_non_null(strstr(s, "text-anchor=\"end\" class=\"ink\">dog</text>"));
    nb_free(*state, s);
}

static void a_band_fills_its_panel_and_breaks_where_nothing_is_known(void **state)
{
    static const double x[] = {1, 2, 3}, lo[] = {-1, -1, -1, 0, NAN, 0}, hi[] = {1, 2, 3, 1, NAN, 1};
    static const char *const label[] = {"a<b", "c"};
    double at[2];
    nb_text t;
    nb_text_init(*state, &t);
    nb_svg_add_panels(
        &t, &(nb_svg_panels){
                .title = "t", .x_title = "epoch", .n = 3, .n_panels = 2, .x = x, .lo = lo, .hi = hi, .label = label});
    char *s = taken(&t);
    int32_t bands = 0;
    for (const char *b = s; (b = strstr(b, "class=\"band\"")); b++)
        bands++;
    assert_int_equal(bands, 3); /* one; two of a single epoch each */
    assert_int_equal(numbers(s, "class=\"band\" d=\"M", at, 1), 1);
    assert_true(at[0] == 34);                             /* the left end of the first panel, where x is least */
    assert_non_null(strstr(s, "L114.0 12.5L114.0 66.5")); /* its right end, from the highest to the lowest */
    assert_non_null(strstr(s, ">a&lt;b</text>"));
    assert_non_null(strstr(s, ">epoch 1 to 3</text>"));
    nb_free(*state, s);
}

static void nothing_at_all_and_numbers_of_any_size_are_drawn(void **state)
{
    static const char *const label[] = {"p", "q"}, *const series[] = {"s"};
    static const double sizes[] = {0, -3, 1e-300, 1e300, 5e-324, NAN, INFINITY};
    static const bool best[] = {true, false};
    for (int32_t i = 0; i < 7; i++)
        for (int32_t k = 0; k < 7; k++)
            for (int32_t n = 0; n <= 2; n++) {
                const double v[] = {sizes[i], sizes[k]}, up[] = {0, 1};
                nb_text t;
                nb_text_init(*state, &t);
                nb_svg_add_lines(
                    &t, &(nb_svg_lines){
                            .title = "", .x_title = "", .n = n, .n_series = 1, .series = series, .x = up, .value = v});
                nb_svg_add_points(
                    &t,
                    &(nb_svg_points){.title = "", .x_title = "", .n = n, .x = v, .y = v, .label = label, .best = best});
                nb_svg_add_ranges(
                    &t, &(nb_svg_ranges){
                            .title = "", .x_title = "", .n = n, .lo = v, .hi = v, .low_end = v, .high_end = v});
                nb_svg_add_panels(
                    &t,
                    &(nb_svg_panels){
                        .title = "", .x_title = "", .n = n, .n_panels = 1, .x = up, .lo = v, .hi = v, .label = label});
                nb_free(*state, taken(&t));
            }
}

static void a_drawing_as_a_file_has_its_own_colours(void **state)
{
    nb_text t;
    char *s;
    nb_text_init(*state, &t);
    nb_svg_file(&t, "<svg xmlns=\"x\"><title>t</title></svg>\n");
    s = taken(&t);
    assert_int_equal(strncmp(s, "<svg xmlns=\"x\"><style>:root{", 28), 0);
    assert_non_null(strstr(s, "</style><title>t</title></svg>"));
    nb_free(*state, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bar_is_as_long_as_its_value, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_of_a_drawing_are_in_one_style, setup, teardown),
        cmocka_unit_test_setup_teardown(the_axis_ends_at_a_number_that_is_not_below_the_tallest, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_go_from_corner_to_corner_and_around_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_fill_the_width_and_stand_on_the_floor, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_far_outside_does_not_hide_the_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(a_matrix_has_a_cell_for_each_count_above_0, setup, teardown),
        cmocka_unit_test_setup_teardown(a_band_fills_its_panel_and_breaks_where_nothing_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_at_all_and_numbers_of_any_size_are_drawn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drawing_as_a_file_has_its_own_colours, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
