/* test_quantity.c - amounts as users write them. */
#include "base/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char why[NB_QUANTITY_WHY];

static int64_t bytes(const char *text)
{
    int64_t v = -1;
    return nb_quantity(text, nb_units_of_bytes, &v, why, sizeof why) ? v : -1;
}

static int64_t counts(const char *text)
{
    int64_t v = -1;
    return nb_quantity(text, nb_units_of_counts, &v, why, sizeof why) ? v : -1;
}

static void bytes_have_units_of_both_kinds(void **state)
{
    (void)state;
    assert_int_equal(bytes("40KiB"), 40960);
    assert_int_equal(bytes("40 KiB"), 40960);
    assert_int_equal(bytes("40kB"), 40000);
    assert_int_equal(bytes("1.5MiB"), 1572864);
    assert_int_equal(bytes("2MB"), 2000000);
    assert_int_equal(bytes("12345"), 12345);
    assert_int_equal(bytes("7B"), 7);
    assert_int_equal(bytes("0.3KiB"), 307);
    assert_int_equal(counts("1.5G"), 1500000000);
    assert_int_equal(counts("3k"), 3000);
}

static void what_is_no_amount_is_refused(void **state)
{
    static const char *const wrong[] = {"",      "KiB",  "-4",  "1e9",   "1e400",  "0x10", "nan",     "inf", "4 0",
                                        "1.2.3", "40KB", "40K", "40kib", "40KiB ", ".",    "40  KiB", "9e99"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(bytes(wrong[i]), -1);
        assert_string_equal(why, "must be a plain number, like 40960 or 1.5, and a unit (B, kB, MB, KiB, MiB) or none");
    }
    assert_int_equal(counts("4KiB"), -1);
    assert_string_equal(why, "must be a plain number, like 40960 or 1.5, and a unit (k, M, G) or none");
}

static void an_amount_that_is_none_or_too_large_is_told_the_limits(void **state)
{
    static const char *const wrong[] = {"0",
                                        "0MB",
                                        "0.5",
                                        "9007199254740993.5",
                                        "9999999999999999999999",
                                        "99999999999999999999999999999999999999999MB"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(bytes(wrong[i]), -1);
        assert_string_equal(why, "must be in 1..9007199254740992");
    }
    assert_int_equal(bytes("9007199254740992"), 9007199254740992);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_have_units_of_both_kinds),
                                       cmocka_unit_test(what_is_no_amount_is_refused),
                                       cmocka_unit_test(an_amount_that_is_none_or_too_large_is_told_the_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
