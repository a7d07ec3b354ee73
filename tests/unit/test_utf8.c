/* test_utf8.c - what is UTF-8, and reading it where it is not. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void utf8_is_checked_by_the_letter(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const wrong[] = {"\x80",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xe1\x80",
                                        "\xff",
                                        "a\xc2/"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(nb_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(nb_utf8_valid(wrong[i], strlen(wrong[i])));
}

static void characters_are_read_one_by_one_and_broken_bytes_too(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3(\xe2\x82";
    static const uint32_t want[] = {'a', 0xe9, 0x20ac, 0x1f600, NB_UTF8_BROKEN, '(', NB_UTF8_BROKEN, NB_UTF8_BROKEN};
    static const size_t length[] = {1, 2, 3, 4, 1, 1, 1, 1};
    const char *s = text;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        uint32_t cp;
        size_t n = nb_utf8_next(s, &cp);
        assert_int_equal(cp, want[i]);
        assert_int_equal(n, length[i]);
        s += n;
    }
    assert_int_equal(*s, 0);
}

static void controls_are_those_of_terminals(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x200; cp++)
        assert_int_equal(nb_utf8_is_control(cp), cp <= 31 || (cp >= 127 && cp <= 159));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_checked_by_the_letter),
        cmocka_unit_test(characters_are_read_one_by_one_and_broken_bytes_too),
        cmocka_unit_test(controls_are_those_of_terminals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
