/* test_config_convert.c - texts to typed values: what each kind takes, what it refuses and with which words. */
#include "config/config_tree.h"
#include "unit/config_case.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>

static const char *refused(const nb_key *k, const char *text) /* valid until the next call */
{
    static char why[320];
    union {
        int32_t i;
        uint64_t u;
        float f;
        bool b;
    } v = {0};
    *why = '\0';
    assert_false(nb_conf_convert(k, text, &v, why, sizeof why));
    return why;
}

static int32_t int_of(const nb_key *k, const char *text)
{
    char why[320];
    int32_t v = 0;
    if (!nb_conf_convert(k, text, &v, why, sizeof why))
        fail_msg("%s: %s", text, why);
    return v;
}

static float float_of(const nb_key *k, const char *text)
{
    char why[320];
    float v = 0;
    if (!nb_conf_convert(k, text, &v, why, sizeof why))
        fail_msg("%s: %s", text, why);
    return v;
}

static void integers_are_whole_decimal_numbers_within_bounds(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_INT, .min = -2, .max = 8};
    assert_int_equal(int_of(&k, "8"), 8);
    assert_int_equal(int_of(&k, "+3"), 3);
    assert_int_equal(int_of(&k, "-2"), -2);
    assert_int_equal(int_of(&k, "007"), 7);
    static const char *const wrong[] = {"1.5", "1e3", "", " 1", "1 ", "0x1", "1_0", "--1", "-", "one", "1.0", "4u"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(refused(&k, wrong[i]), "must be an integer in -2..8");
    assert_string_equal(refused(&k, "9"), "must be in -2..8");
    assert_string_equal(refused(&k, "-3"), "must be in -2..8");
    assert_string_equal(refused(&k, "99999999999999999999"), "must be in -2..8");
    assert_string_equal(refused(&k, "-99999999999999999999"), "must be in -2..8");
}

static void an_integer_without_bounds_takes_what_32_bits_hold(void **state)
{
    (void)state;
    const nb_key any = {.kind = NB_K_INT}, natural = {.kind = NB_K_INT, .min = 1, .max = INFINITY};
    assert_int_equal(int_of(&any, "2147483647"), INT32_MAX);
    assert_int_equal(int_of(&any, "-2147483648"), INT32_MIN);
    assert_string_equal(refused(&any, "2147483648"), "must be in -2147483648..2147483647");
    assert_string_equal(refused(&any, "x"), "must be an integer");
    assert_string_equal(refused(&natural, "0"), "must be >= 1");
    assert_string_equal(refused(&natural, "x"), "must be an integer >= 1");
    assert_string_equal(refused(&natural, "2147483648"), "must be in 1..2147483647");
}

static void seeds_take_64_bits(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_UINT64};
    char why[320];
    uint64_t v = 0;
    assert_true(nb_conf_convert(&k, "18446744073709551615", &v, why, sizeof why));
    assert_true(v == UINT64_MAX);
    static const char *const wrong[] = {"18446744073709551616", "-1", "+1", "", "1.5", "0x10"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(refused(&k, wrong[i]), "must be an integer in 0..18446744073709551615");
}

static void floats_take_decimal_numbers_only(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_FLOAT, .min = 0, .max = 1};
    assert_true(float_of(&k, "0.1") == 0.1f);
    assert_true(float_of(&k, "1") == 1.0f);
    assert_true(float_of(&k, ".5") == 0.5f);
    assert_true(float_of(&k, "5.0e-4") == 5.0e-4f);
    assert_true(float_of(&k, "1E-3") == 1e-3f);
    static const char *const wrong[] = {"nan", "NaN", ".nan", "0x1p-1", "",   ".",  "e3",
                                        "1e",  "1e+", "1,5",  "0.1f",   " 1", "inf"};
    for (size_t i = 0; i + 1 < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(refused(&k, wrong[i]), "must be a number in 0..1");
    assert_string_equal(refused(&k, "inf"), "must be in 0..1");
    assert_string_equal(refused(&k, "1.0001"), "must be in 0..1");
    assert_string_equal(refused(&k, "-0.1"), "must be in 0..1");
    assert_string_equal(refused(&k, "1e999"), "must be in 0..1");
}

static void bounds_are_compared_before_rounding_to_32_bits(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_FLOAT, .min = 0.1, .max = 0.3}; /* 0.1f > 0.1 and 0.3f > 0.3 */
    assert_true(float_of(&k, "0.1") == 0.1f);
    assert_true(float_of(&k, "0.3") == 0.3f);
    assert_string_equal(refused(&k, "0.30000001"), "must be in 0.1..0.3");
}

static void inf_is_taken_where_the_bound_is_infinite(void **state)
{
    (void)state;
    const nb_key cap = {.kind = NB_K_FLOAT, .min = 0, .max = INFINITY}, any = {.kind = NB_K_FLOAT};
    const nb_key both = {.kind = NB_K_FLOAT, .min = -INFINITY, .max = INFINITY};
    assert_true(isinf(float_of(&cap, "inf")));
    assert_true(isinf(float_of(&cap, ".inf")));
    assert_true(float_of(&both, "-inf") < 0);
    assert_string_equal(refused(&cap, "-inf"), "must be >= 0");
    assert_string_equal(refused(&cap, "-1"), "must be >= 0");
    assert_string_equal(refused(&cap, "x"), "must be a number >= 0 or inf");
    assert_string_equal(refused(&any, "inf"), "must be a finite number");
    assert_string_equal(refused(&any, "nan"), "must be a finite number");
}

static void numbers_a_float_cannot_hold_are_refused(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_FLOAT, .min = 0, .max = INFINITY};
    const char *why = "must be a number a 32-bit float can hold, 1.2e-38 to 3.4e38 in size";
    assert_string_equal(refused(&k, "1e39"), why);
    assert_string_equal(refused(&k, "1e-39"), why);
    assert_string_equal(refused(&k, "1e999"), why);
    assert_string_equal(refused(&k, "1e-999"), why);
    assert_true(float_of(&k, "0e-999") == 0.0f);
    assert_true(float_of(&k, "3.4028234e38") > 3.4e38f);
}

static void the_decimal_point_does_not_depend_on_the_locale(void **state)
{
    (void)state;
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR", "pl_PL.UTF-8", "ru_RU.UTF-8"};
    const char *found = NULL;
    for (size_t i = 0; !found && i < sizeof comma / sizeof *comma; i++)
        found = setlocale(LC_NUMERIC, comma[i]);
    if (!found)
        skip(); /* no locale with a decimal comma is installed here */
    const nb_key k = {.kind = NB_K_FLOAT, .min = 0, .max = 0.5};
    float v = float_of(&k, "0.25");
    char allowed[64];
    nb_key_allowed(&k, allowed, sizeof allowed);
    setlocale(LC_NUMERIC, "C");
    assert_true(v == 0.25f);
    assert_string_equal(allowed, "0..0.5");
}

static void booleans_are_six_words(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_BOOL};
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    for (size_t i = 0; i < 6; i++) {
        char why[320];
        bool v = i % 2 == 0;
        assert_true(nb_conf_convert(&k, words[i], &v, why, sizeof why));
        assert_int_equal(v, i % 2);
    }
    static const char *const wrong[] = {"Yes", "1", "0", "y", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(refused(&k, wrong[i]), "must be yes or no (also true, false, on, off)");
}

static void words_are_chosen_from_a_list(void **state)
{
    (void)state;
    const nb_key k = {.kind = NB_K_ENUM, .choices = "keep|fold|drop"}, one = {.kind = NB_K_ENUM, .choices = "keep"};
    assert_int_equal(int_of(&k, "keep"), 0);
    assert_int_equal(int_of(&k, "drop"), 2);
    assert_string_equal(refused(&k, "flod"), "must be keep, fold or drop (did you mean \"fold\"?)");
    assert_string_equal(refused(&k, "keep|fold"), "must be keep, fold or drop (did you mean \"keep\"?)");
    assert_string_equal(refused(&k, ""), "must be keep, fold or drop");
    assert_string_equal(refused(&one, "12345"), "must be keep");
}

static void allowed_values_are_told_in_few_characters(void **state)
{
    (void)state;
    char buf[64];
    const nb_key i = {.kind = NB_K_INT, .min = 1, .max = 8}, f = {.kind = NB_K_FLOAT, .min = 0, .max = INFINITY};
    const nb_key down = {.kind = NB_K_FLOAT, .min = -INFINITY, .max = 0.5}, any = {.kind = NB_K_INT};
    const nb_key e = {.kind = NB_K_ENUM, .choices = "a|b|c"}, n = {.kind = NB_K_NODE, .choices = "[a|b, ...]"};
    assert_string_equal(nb_key_allowed(&i, buf, sizeof buf), "1..8");
    assert_string_equal(nb_key_allowed(&f, buf, sizeof buf), ">= 0");
    assert_string_equal(nb_key_allowed(&down, buf, sizeof buf), "<= 0.5");
    assert_string_equal(nb_key_allowed(&any, buf, sizeof buf), "any integer");
    assert_string_equal(nb_key_allowed(&e, buf, sizeof buf), "a | b | c");
    assert_string_equal(nb_key_allowed(&n, buf, sizeof buf), "[a|b, ...]");
    assert_string_equal(nb_key_allowed(&e, buf, 6), "a | "); /* cut, never past the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_whole_decimal_numbers_within_bounds),
        cmocka_unit_test(an_integer_without_bounds_takes_what_32_bits_hold),
        cmocka_unit_test(seeds_take_64_bits),
        cmocka_unit_test(floats_take_decimal_numbers_only),
        cmocka_unit_test(bounds_are_compared_before_rounding_to_32_bits),
        cmocka_unit_test(inf_is_taken_where_the_bound_is_infinite),
        cmocka_unit_test(numbers_a_float_cannot_hold_are_refused),
        cmocka_unit_test(the_decimal_point_does_not_depend_on_the_locale),
        cmocka_unit_test(booleans_are_six_words),
        cmocka_unit_test(words_are_chosen_from_a_list),
        cmocka_unit_test(allowed_values_are_told_in_few_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
