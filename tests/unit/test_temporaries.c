/* test_temporaries.c - the names a signal handler removes. */
#include "base/files.h"
#include "base/temporaries.h"

#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void names_are_removed_until_they_are_forgotten(void **state)
{
    data_fixture *f = *state;
    data_fixture_write(f, "a", "x", 1);
    data_fixture_write(f, "b", "x", 1);
    int32_t a = nb_temporary_note(data_fixture_path(f, "a")), b = nb_temporary_note(data_fixture_path(f, "b"));
    assert_true(a >= 0 && b >= 0 && a != b);
    nb_temporary_forget(a);
    nb_temporaries_remove();
    assert_true(nb_file_exists(data_fixture_path(f, "a")));
    assert_false(nb_file_exists(data_fixture_path(f, "b")));
    nb_temporary_forget(b);
    nb_temporary_forget(-1);
}

static void a_full_table_and_a_name_too_long_are_no_errors(void **state)
{
    (void)state;
    static char name[5000];
    int32_t slot[64], n = 0;
    memset(name, 'a', sizeof name - 1);
    assert_int_equal(nb_temporary_note(name), -1);
    while ((slot[n] = nb_temporary_note("/nowhere/at/all")) >= 0)
        n++;
    assert_true(n >= 8); /* the largest set */
    nb_temporaries_remove();
    for (int32_t i = 0; i < n; i++)
        nb_temporary_forget(slot[i]);
    slot[0] = nb_temporary_note("/nowhere/at/all");
    assert_true(slot[0] >= 0);
    nb_temporary_forget(slot[0]);
}

static void every_write_notes_its_file_until_it_is_in_place(void **state)
{
    data_fixture *f = *state;
    nb_atomic a;
    assert_int_equal(nb_atomic_open(f->ctx, data_fixture_path(f, "a"), &a), NB_OK);
    assert_true(nb_file_exists(a.tmp));
    nb_temporaries_remove();
    assert_false(nb_file_exists(a.tmp));
    nb_atomic_abort(&a);
    nb_together_begin(f->ctx);
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), '\0'};
        assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, name), "x", 1), NB_OK);
    }
    nb_temporaries_remove();
    assert_int_equal(rmdir(f->dir), 0); /* nothing is left in it */
    nb_together_abort(f->ctx);
    data_fixture_mkdir(f, "."); /* which the teardown removes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_removed_until_they_are_forgotten, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test(a_full_table_and_a_name_too_long_are_no_errors),
        cmocka_unit_test_setup_teardown(every_write_notes_its_file_until_it_is_in_place, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
