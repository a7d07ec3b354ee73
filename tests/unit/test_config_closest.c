/* test_config_closest.c - "did you mean": slips, swaps, other spellings are found, strangers are not. */
#include "unit/config_case.h"

static const char *const names[] = {"name", "in", "out", "kernel", "stride", "pad", "groups", "weight_decay", "lr"};

static const char *closest(const char *word)
{
    return nb_closest(word, names, sizeof names / sizeof *names);
}

static void one_slip_is_forgiven(void **state)
{
    (void)state;
    assert_string_equal(closest("strde"), "stride");
    assert_string_equal(closest("strride"), "stride");
    assert_string_equal(closest("strode"), "stride");
    assert_string_equal(closest("kenrel"), "kernel"); /* a swap is one slip */
    assert_string_equal(closest("ot"), "out");
    assert_string_equal(closest("ou"), "out");
}

static void case_and_hyphens_do_not_matter(void **state)
{
    (void)state;
    assert_string_equal(closest("Weight-Decay"), "weight_decay");
    assert_string_equal(closest("LR"), "lr");
}

static void a_longer_or_shorter_form_is_found(void **state)
{
    (void)state;
    assert_string_equal(closest("kernel_size"), "kernel");
    assert_string_equal(closest("padding"), "pad");
    assert_string_equal(closest("weight"), "weight_decay");
}

static void the_beginning_of_a_name_is_nearer_than_two_slips(void **state)
{
    (void)state;
    const char *const layers[] = {"count", "invconv", "conv2d_grouped", "conv2d", "cont"};
    assert_string_equal(nb_closest("conv", layers, 4), "conv2d");
    assert_string_equal(nb_closest("conv", layers, 5), "cont"); /* one slip */
}

static void strangers_are_not_suggested(void **state)
{
    (void)state;
    assert_null(closest("dilation"));
    assert_null(closest("x"));
    assert_null(closest(""));
    assert_null(nb_closest("out", NULL, 0));
}

static void a_word_of_any_length_is_safe(void **state)
{
    (void)state;
    char word[4096];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(closest(word));
    const char *one[] = {word};
    assert_null(nb_closest("b", one, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slip_is_forgiven),
        cmocka_unit_test(case_and_hyphens_do_not_matter),
        cmocka_unit_test(a_longer_or_shorter_form_is_found),
        cmocka_unit_test(the_beginning_of_a_name_is_nearer_than_two_slips),
        cmocka_unit_test(strangers_are_not_suggested),
        cmocka_unit_test(a_word_of_any_length_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
