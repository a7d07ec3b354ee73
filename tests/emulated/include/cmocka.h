/* cmocka.h - what the tests of kernels use of cmocka, for a machine without an operating system: a test that fails
 * prints its place and stops the machine. */
#ifndef NB_EMULATED_CMOCKA_H
#define NB_EMULATED_CMOCKA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

void emulated_fail(const char *file, int line);
int emulated_run(const struct CMUnitTest *tests, size_t n);

#define cmocka_unit_test(f)                                                                                            \
    {                                                                                                                  \
#        f, f                                                                                                          \
    }
#define cmocka_run_group_tests(tests, a, b)        emulated_run(tests, sizeof tests / sizeof *tests)
#define cmocka_run_group_tests_name(name, t, a, b) emulated_run(t, sizeof t / sizeof *t)
#define CHECK(x)                                   ((x) ? (void)0 : emulated_fail(__FILE__, __LINE__))
#define fail()                                     emulated_fail(__FILE__, __LINE__)
#define fail_msg(...)                              emulated_fail(__FILE__, __LINE__)
#define skip()                                     return
#define print_message(...)                         ((void)0)
#define assert_true(x)                             CHECK(x)
#define assert_false(x)                            CHECK(!(x))
#define assert_non_null(x)                         CHECK((x) != NULL)
#define assert_null(x)                             CHECK((x) == NULL)
#define assert_ptr_equal(a, b)                     CHECK((a) == (b))
#define assert_int_equal(a, b)                     CHECK((a) == (b))
#define assert_int_not_equal(a, b)                 CHECK((a) != (b))
#define assert_memory_equal(a, b, n)               CHECK(memcmp(a, b, n) == 0)
#define assert_string_equal(a, b)                  CHECK(strcmp(a, b) == 0)
#define assert_float_equal(a, b, e)                CHECK(fabs((double)(a) - (double)(b)) <= (double)(e))
#define assert_double_equal(a, b, e)               CHECK(fabs((a) - (b)) <= (e))

#endif
