/* test_atomic.c - sets of files that change together or not at all; single files are in test_files.c. */
#include "base/check.h"
#include "base/files.h"

#include "ref/data_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void put(data_fixture *f, const char *name, const char *text)
{
    assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, name), text, strlen(text)), NB_OK);
}

static void expect(data_fixture *f, const char *name, const char *want)
{
    uint8_t *got;
    size_t len;
    if (!want) {
        assert_false(nb_file_exists(data_fixture_path(f, name)));
        return;
    }
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, name), 1000, &got, &len), NB_OK);
    assert_string_equal((char *)got, want);
    nb_free(f->ctx, got);
}

static int entries(data_fixture *f)
{
    char command[400];
    snprintf(command, sizeof command, "exit $(ls -A '%s' | wc -l)", f->dir);
    return system(command) >> 8;
}

static void a_set_is_in_place_when_it_is_committed_and_not_before(void **state)
{
    data_fixture *f = *state;
    put(f, "a", "old a");
    nb_together_begin(f->ctx);
    put(f, "a", "new a");
    put(f, "b", "new b");
    expect(f, "a", "old a");
    expect(f, "b", NULL);
    assert_int_equal(nb_together_commit(f->ctx), NB_OK);
    expect(f, "a", "new a");
    expect(f, "b", "new b");
    assert_int_equal(entries(f), 2);
    put(f, "a", "alone"); /* the set is over */
    expect(f, "a", "alone");
}

static void an_aborted_set_changes_nothing(void **state)
{
    data_fixture *f = *state;
    put(f, "a", "old a");
    nb_together_begin(f->ctx);
    put(f, "a", "new a");
    put(f, "b", "new b");
    assert_int_equal(nb_together_end(f->ctx, NB_E_SHAPE), NB_E_SHAPE);
    expect(f, "a", "old a");
    expect(f, "b", NULL);
    assert_int_equal(entries(f), 1);
    nb_together_abort(f->ctx); /* harmless */
}

/* A folder in the way fails the last rename, after two that worked. */
static void a_rename_that_fails_takes_the_earlier_ones_back(void **state)
{
    data_fixture *f = *state;
    put(f, "a", "old a");
    nb_together_begin(f->ctx);
    put(f, "a", "new a");
    put(f, "b", "new b");
    put(f, "c", "new c");
    data_fixture_mkdir(f, "c");
    assert_int_equal(nb_together_commit(f->ctx), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "/c: cannot write: Is a directory"));
    expect(f, "a", "old a");
    expect(f, "b", NULL);
    assert_int_equal(entries(f), 2);
}

static void a_set_that_is_never_ended_leaves_nothing_behind(void **state)
{
    data_fixture *f = *state;
    nb_ctx *ctx = nb_ctx_create();
    nb_together_begin(ctx);
    assert_int_equal(nb_file_write(ctx, data_fixture_path(f, "a"), "x", 1), NB_OK);
    assert_int_equal(entries(f), 1);
    nb_ctx_destroy(ctx);
    assert_int_equal(entries(f), 0);
}

static void a_device_in_a_set_is_written_at_once(void **state)
{
    data_fixture *f = *state;
    nb_together_begin(f->ctx);
    assert_int_equal(nb_file_write(f->ctx, "/dev/null", "x", 1), NB_OK);
    assert_int_equal(nb_file_write(f->ctx, "/dev/full", "x", 1), NB_E_IO);
    assert_int_equal(nb_together_commit(f->ctx), NB_OK);
}

static void a_descriptor_by_name_goes_on_where_it_stands(void **state)
{
    data_fixture *f = *state;
    char name[32];
    put(f, "log", "first ");
    FILE *log = fopen(data_fixture_path(f, "log"), "ab");
    assert_non_null(log);
    snprintf(name, sizeof name, "/dev/fd/%d", fileno(log));
    assert_int_equal(nb_file_write(f->ctx, name, "second", 6), NB_OK);
    fclose(log);
    expect(f, "log", "first second");
    assert_int_equal(entries(f), 1);
    assert_int_equal(nb_file_write(f->ctx, name, "x", 1), NB_E_IO); /* closed */
}

static void what_was_read_is_known_through_links_of_either_kind(void **state)
{
    data_fixture *f = *state;
    put(f, "a", "text");
    put(f, "other", "text");
    assert_int_equal(nb_output_check(f->ctx, data_fixture_path(f, "a")), NB_OK); /* written, not read */
    expect(f, "a", "text");
    assert_int_equal(symlink("a", data_fixture_path(f, "soft")), 0);
    assert_int_equal(link(data_fixture_path(f, "a"), data_fixture_path(f, "hard")), 0);
    static const char *const names[] = {"a", "soft", "hard"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(nb_output_check(f->ctx, data_fixture_path(f, names[i])), NB_E_CONFIG);
        assert_non_null(strstr(nb_ctx_error(f->ctx), "is one of the files that are read here"));
    }
    assert_int_equal(nb_output_check(f->ctx, data_fixture_path(f, "other")), NB_OK);
    assert_int_equal(nb_output_check(f->ctx, data_fixture_path(f, "nothing")), NB_OK);
    for (int i = 0; i < 100; i++) /* more than there was room for */
        expect(f, "other", "text");
    assert_true(nb_file_was_read(f->ctx, data_fixture_path(f, "a")));
}

/* File systems give the inode of a file that is gone to the next one. */
static void a_file_that_is_written_anew_was_not_read(void **state)
{
    data_fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        put(f, "a", "text");
        expect(f, "a", "text");
        assert_int_equal(unlink(data_fixture_path(f, "a")), 0);
        assert_int_equal(nb_file_write(f->ctx, data_fixture_path(f, "b"), "text", 4), NB_OK);
        assert_int_equal(nb_output_check(f->ctx, data_fixture_path(f, "b")), NB_OK);
        assert_int_equal(unlink(data_fixture_path(f, "b")), 0);
    }
}

static void every_single_allocation_can_fail_and_the_old_set_stays(void **state)
{
    data_fixture *f = *state;
    nb_status st = NB_E_NOMEM;
    char a[300], b[300];
    snprintf(a, sizeof a, "%s", data_fixture_path(f, "a"));
    snprintf(b, sizeof b, "%s", data_fixture_path(f, "b"));
    put(f, "a", "old");
    for (int64_t n = 1; st == NB_E_NOMEM; n++) {
        expect(f, "a", "old");
        assert_int_equal(entries(f), 1);
        nb_ctx_fail_alloc_at(f->ctx, n);
        nb_together_begin(f->ctx);
        st = nb_file_write(f->ctx, a, "new", 3);
        if (st == NB_OK)
            st = nb_file_write(f->ctx, b, "new", 3);
        st = nb_together_end(f->ctx, st);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    assert_int_equal(st, NB_OK);
    expect(f, "a", "new");
    expect(f, "b", "new");
}

static void a_log_is_cut_and_grows_in_the_file_itself(void **state)
{
    data_fixture *f = *state;
    const char *log = data_fixture_path(f, "log");
    uint8_t *bytes;
    size_t len;
    assert_int_equal(nb_file_extend(f->ctx, log, 0, "one two", 7), NB_OK);
    FILE *reader = fopen(log, "rb");
    assert_int_equal(nb_file_extend(f->ctx, log, 4, "three", 5), NB_OK);
    char seen[16] = "";
    assert_int_equal(fread(seen, 1, sizeof seen, reader), 9); /* who has it open sees it */
    fclose(reader);
    assert_string_equal(seen, "one three");
    assert_int_equal(nb_file_extend(f->ctx, log, 3, "", 0), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, log, 64, &bytes, &len), NB_OK);
    assert_string_equal((char *)bytes, "one");
    nb_free(f->ctx, bytes);
    assert_int_equal(nb_file_extend(f->ctx, "/dev/full", 0, "x", 1), NB_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_set_is_in_place_when_it_is_committed_and_not_before, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(an_aborted_set_changes_nothing, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_rename_that_fails_takes_the_earlier_ones_back, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_set_that_is_never_ended_leaves_nothing_behind, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_device_in_a_set_is_written_at_once, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_descriptor_by_name_goes_on_where_it_stands, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_read_is_known_through_links_of_either_kind, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_written_anew_was_not_read, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_log_is_cut_and_grows_in_the_file_itself, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail_and_the_old_set_stays, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
