/* test_html.c - text that wants to harm a page, base64, tables and pages of such text. */
#include "report/html.h"
#include "report/page.h"

#include "base/rng.h"
#include "table_case.h"

#include <stdbool.h>
#include <stdio.h>

static const char evil[] = "<script>alert('1')</script>&\"\x1b[31m\xff";
static const char harmless[] = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;?[31m\xef\xbf\xbd";

static void assert_text(nb_text *t, const char *want)
{
    assert_int_equal(t->st, NB_OK);
    assert_string_equal(t->s ? t->s : "", want);
    nb_text_free(t);
}

static void what_means_something_in_html_is_spelled_out(void **state)
{
    nb_text t;
    nb_text_init(*state, &t);
    nb_html_add(&t, evil);
    assert_text(&t, harmless);
    nb_html_add(&t, "a\n\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x88 \xef\xbf\xbf");
    assert_text(&t, "a\n\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x88 ?");
}

static void no_byte_can_open_a_tag_or_end_an_attribute(void **state)
{
    nb_rng r = nb_rng_make(7, 0);
    for (int32_t i = 0; i < 2000; i++) {
        char s[12] = "";
        nb_text t;
        for (int32_t k = 0; k < 11; k++)
            s[k] = (char)(1 + nb_rng_below(&r, 255));
        nb_text_init(*state, &t);
        nb_html_add(&t, s);
        assert_int_equal(strcspn(t.s, "<>\"'\x1b"), strlen(t.s));
        nb_text_free(&t);
    }
}

static void short_text_is_cut_between_characters(void **state)
{
    nb_text t;
    nb_text_init(*state, &t);
    nb_html_add_short(&t, "\xc3\xa4<cd", 4);
    assert_text(&t, "\xc3\xa4&lt;cd");
    nb_html_add_short(&t, "\xc3\xa4<cde", 4);
    assert_text(&t, "\xc3\xa4&lt;c\xe2\x80\xa6");
}

/* RFC 4648, section 10 */
static void base64_is_that_of_the_rfc(void **state)
{
    static const char *const want[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const uint8_t high[] = {0xff, 0xef, 0xbe};
    nb_text t;
    nb_text_init(*state, &t);
    for (size_t i = 0; i < 7; i++) {
        nb_base64_add(&t, (const uint8_t *)"foobar", i);
        assert_text(&t, want[i]);
    }
    nb_base64_add(&t, high, 3);
    assert_text(&t, "/+++");
}

static void a_table_has_harmless_cells_and_its_footers_below(void **state)
{
    nb_table *t;
    char *html;
    assert_int_equal(nb_table_create(*state, &t), NB_OK);
    nb_table_column(t, "name", "<name>", NB_LEFT);
    nb_table_column(t, "v", "v", NB_RIGHT);
    nb_table_row(t);
    nb_table_add_text(t, evil);
    nb_table_add_real(t, 0.125, 2);
    nb_table_footer(t);
    nb_table_add_text(t, "all");
    assert_int_equal(nb_table_print_html(t, "a & b", &html), NB_OK);
    char want[512];
    snprintf(want, sizeof want,
             "<div class=\"note\">a &amp; b</div>\n<div class=\"wide\"><table>\n"
             "<thead><tr><th class=\"k\">&lt;name&gt;</th><th class=\"r\">v</th></tr></thead>\n"
             "<tbody>\n<tr><td class=\"k\">%s</td><td class=\"r\">0.13</td></tr>\n</tbody>\n"
             "<tfoot>\n<tr><td class=\"k\">all</td><td class=\"r\"></td></tr>\n</tfoot>\n</table></div>\n",
             harmless);
    assert_string_equal(html, want);
    nb_free(*state, html);
    nb_table_free(t);
}

static void fill(nb_page *p)
{
    const double value[] = {1, 2};
    const char *const label[] = {evil, "b"}, *const series[] = {"n"};
    nb_table *t;
    nb_page_section(p, "one", evil);
    nb_page_say(p, "%s", evil);
    nb_page_folded(p, evil, evil);
    nb_page_figures(p);
    nb_page_bars(
        p, "bars", evil,
        &(nb_svg_bars){.title = evil, .n = 2, .n_series = 1, .label = label, .series = series, .value = value});
    nb_page_figures_end(p);
    if (!nb_page_ok(p, nb_table_create(p->ctx, &t)))
        return;
    nb_table_column(t, "a", "a", NB_LEFT);
    nb_table_row(t);
    nb_table_add_text(t, evil);
    nb_page_table(p, "table", evil, t);
}

static void a_page_has_nothing_in_it_that_was_data_and_became_html(void **state)
{
    nb_page p;
    char *html;
    assert_int_equal(nb_page_open(*state, &p), NB_OK);
    fill(&p);
    assert_int_equal(nb_page_print(&p, evil, &html), NB_OK);
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "\x1b"));
    int32_t n = 0;
    for (const char *s = html; (s = strstr(s, "&lt;script&gt;")); s++)
        n++;
    /* title, headings and a link; paragraph; folded; caption, title, name, bar, note of the drawing; of the table two */
    assert_int_equal(n, 4 + 1 + 2 + 5 + 2);
    nb_free(*state, html);
    nb_page_close(&p);
}

static void what_is_drawn_is_there_as_files_with_the_numbers(void **state)
{
    nb_page p;
    assert_int_equal(nb_page_open(*state, &p), NB_OK);
    fill(&p);
    assert_string_equal(p.first->name, "bars");
    assert_non_null(strstr(p.first->svg, "<svg "));
    assert_non_null(strstr(p.first->csv, "name,n\n"));
    assert_non_null(strstr(p.first->csv, "b,2\n"));
    assert_string_equal(p.last->name, "table");
    assert_null(p.last->svg);
    assert_true(p.first->next == p.last && !p.last->next);
    nb_page_close(&p);
}

static void without_memory_a_page_says_so(void **state)
{
    bool whole = false;
    for (int64_t n = 1; !whole; n++) {
        nb_page p;
        char *html = NULL;
        nb_ctx_fail_alloc_at(*state, n);
        nb_status st = nb_page_open(*state, &p);
        if (st == NB_OK) {
            fill(&p);
            st = nb_page_print(&p, "t", &html);
        }
        nb_ctx_fail_alloc_at(*state, 0);
        whole = st == NB_OK;
        assert_true(whole ? html != NULL : st == NB_E_NOMEM);
        nb_free(*state, html);
        nb_page_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_means_something_in_html_is_spelled_out, setup, teardown),
        cmocka_unit_test_setup_teardown(no_byte_can_open_a_tag_or_end_an_attribute, setup, teardown),
        cmocka_unit_test_setup_teardown(short_text_is_cut_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(base64_is_that_of_the_rfc, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_has_harmless_cells_and_its_footers_below, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_has_nothing_in_it_that_was_data_and_became_html, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_drawn_is_there_as_files_with_the_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_a_page_says_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
