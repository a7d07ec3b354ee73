/* test_exporters.c - the table of exporters is complete and searchable. */
#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_exporter_is_found_by_its_name_and_says_what_it_is(void **state)
{
    (void)state;
    for (const nb_exporter *const *e = nb_exporters; *e; e++) {
        assert_ptr_equal(nb_exporter_find((*e)->name), *e);
        assert_true((*e)->ext[0] == '.' && strlen((*e)->help) > 0 && (*e)->write);
    }
    assert_string_equal(nb_exporter_find("text")->ext, ".txt");
}

static void an_unknown_name_finds_nothing(void **state)
{
    (void)state;
    assert_null(nb_exporter_find("nothing"));
    assert_null(nb_exporter_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exporter_is_found_by_its_name_and_says_what_it_is),
        cmocka_unit_test(an_unknown_name_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
