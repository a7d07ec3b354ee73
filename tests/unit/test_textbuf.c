/* test_textbuf.c - the growing string: what is appended stands there, and the first failure sticks. */
#include "base/textbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

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

static void pieces_stand_in_order(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    nb_text_add(&t, "a");
    nb_text_bytes(&t, "bcd", 2);
    nb_text_fill(&t, '-', 3);
    nb_text_printf(&t, "%d%s", 42, "!");
    assert_int_equal(t.len, 9);
    assert_int_equal(nb_text_take(&t, &s), NB_OK);
    assert_string_equal(s, "abc---42!");
    nb_free(*state, s);
}

static void nothing_appended_is_an_empty_string(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    assert_int_equal(nb_text_take(&t, &s), NB_OK);
    assert_string_equal(s, "");
    nb_free(*state, s);
}

static void it_grows_at_every_size(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    for (int i = 0; i < 5000; i++)
        nb_text_fill(&t, (char)('a' + i % 26), 1);
    nb_text_fill(&t, 'x', 100000);
    assert_int_equal(nb_text_take(&t, &s), NB_OK);
    assert_int_equal(strlen(s), 105000);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(s[i], 'a' + i % 26);
    nb_free(*state, s);
}

static void a_length_set_back_cuts_the_text(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    nb_text_add(&t, "abcdef");
    t.len = 2;
    assert_int_equal(nb_text_take(&t, &s), NB_OK);
    assert_string_equal(s, "ab");
    nb_free(*state, s);
}

static void the_first_failure_sticks(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    nb_text_add(&t, "abc");
    nb_ctx_fail_alloc_at(*state, 1);
    nb_text_fill(&t, 'x', 1000);
    nb_text_add(&t, "d"); /* there would be room, but the text has a hole already */
    assert_int_equal(t.st, NB_E_NOMEM);
    assert_int_equal(nb_text_take(&t, &s), NB_E_NOMEM);
    assert_null(s);
    nb_text_init(*state, &t);
    nb_ctx_fail_alloc_at(*state, 1);
    assert_int_equal(nb_text_take(&t, &s), NB_E_NOMEM);
    nb_text_init(*state, &t);
    nb_text_add(&t, "abc");
    nb_text_fill(&t, 'x', SIZE_MAX - 300); /* no size arithmetic may wrap */
    assert_int_equal(nb_text_take(&t, &s), NB_E_NOMEM);
}

static void json_strings_are_escaped(void **state)
{
    nb_text t;
    char *s = NULL;
    nb_text_init(*state, &t);
    nb_text_json(&t, "a\"\\\n\x7f\xc2\x9b\xc3\xa9\xe9/");
    nb_text_json(&t, "");
    assert_int_equal(nb_text_take(&t, &s), NB_OK);
    assert_string_equal(s, "\"a\\\"\\\\\\u000a\\u007f\\u009b\xc3\xa9\\ufffd/\"\"\"");
    nb_free(*state, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_stand_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_appended_is_an_empty_string, setup, teardown),
        cmocka_unit_test_setup_teardown(it_grows_at_every_size, setup, teardown),
        cmocka_unit_test_setup_teardown(a_length_set_back_cuts_the_text, setup, teardown),
        cmocka_unit_test_setup_teardown(json_strings_are_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_failure_sticks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
