/* test_files.c - whole reads with limits, and writes that leave the old file or the new one, never a part. */
#include "base/files.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char dir[64], path[128];
} sandbox;

static int setup(void **state)
{
    sandbox *s = calloc(1, sizeof *s);
    s->ctx = nb_ctx_create();
    strcpy(s->dir, "/tmp/nibble-files-XXXXXX");
    *state = s;
    if (!mkdtemp(s->dir))
        return -1;
    snprintf(s->path, sizeof s->path, "%s/file", s->dir);
    return 0;
}

static int teardown(void **state)
{
    sandbox *s = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", s->dir);
    int rc = system(command);
    nb_ctx_destroy(s->ctx);
    free(s);
    return rc;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect_content(sandbox *s, const char *want)
{
    uint8_t *got;
    size_t len;
    assert_int_equal(nb_file_read(s->ctx, s->path, 1000, &got, &len), NB_OK);
    assert_int_equal(len, strlen(want));
    assert_string_equal((char *)got, want);
    nb_free(s->ctx, got);
}

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void a_file_is_read_whole_with_a_nul_behind(void **state)
{
    sandbox *s = *state;
    put(s->path, "four");
    expect_content(s, "four");
    put(s->path, "");
    expect_content(s, "");
}

static void a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not(void **state)
{
    sandbox *s = *state;
    put(s->path, "12345");
    uint8_t *got = NULL;
    size_t len;
    assert_int_equal(nb_file_read(s->ctx, s->path, 4, &got, &len), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "/file: 5 bytes, more than the 4 allowed here"));
    assert_int_equal(nb_file_read(s->ctx, s->path, 5, &got, &len), NB_OK);
    nb_free(s->ctx, got);
}

static void what_is_not_a_regular_file_is_refused_without_hanging(void **state)
{
    sandbox *s = *state;
    uint8_t *got;
    size_t len;
    assert_int_equal(nb_file_read(s->ctx, s->dir, 100, &got, &len), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "is a folder"));
    assert_int_equal(mkfifo(s->path, 0600), 0);
    assert_int_equal(nb_file_read(s->ctx, s->path, 100, &got, &len), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "is not a regular file"));
    assert_int_equal(nb_file_read(s->ctx, "/dev/zero", 100, &got, &len), NB_E_IO);
}

static void a_missing_file_is_named_in_the_sentence(void **state)
{
    sandbox *s = *state;
    uint8_t *got;
    size_t len;
    assert_int_equal(nb_file_read(s->ctx, "/nowhere/at/all", 100, &got, &len), NB_E_IO);
    assert_string_equal(nb_ctx_error(s->ctx), "/nowhere/at/all: cannot open: No such file or directory");
}

static void exists_tells_files_and_folders_from_nothing(void **state)
{
    sandbox *s = *state;
    assert_false(nb_file_exists(s->path));
    put(s->path, "");
    assert_true(nb_file_exists(s->path));
    assert_true(nb_file_exists(s->dir));
}

static void folders_are_made_with_their_parents_and_again_without_error(void **state)
{
    sandbox *s = *state;
    char deep[200];
    snprintf(deep, sizeof deep, "%s/a//b/c/", s->dir);
    assert_int_equal(nb_make_dirs(s->ctx, deep), NB_OK);
    assert_int_equal(nb_make_dirs(s->ctx, deep), NB_OK);
    assert_true(nb_file_exists(deep));
    assert_int_equal(nb_make_dirs(s->ctx, ""), NB_E_IO);
}

static void a_file_in_the_way_of_a_folder_is_an_error(void **state)
{
    sandbox *s = *state;
    put(s->path, "x");
    char below[200];
    snprintf(below, sizeof below, "%s/sub", s->path);
    assert_int_equal(nb_make_dirs(s->ctx, below), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "/file: cannot make the folder: Not a directory"));
    assert_int_equal(nb_make_dirs(s->ctx, s->path), NB_E_IO);
}

static void a_commit_replaces_the_file_and_leaves_nothing_beside_it(void **state)
{
    sandbox *s = *state;
    put(s->path, "old");
    nb_atomic a;
    assert_int_equal(nb_atomic_open(s->ctx, s->path, &a), NB_OK);
    fputs("new", a.f);
    expect_content(s, "old");
    assert_int_equal(nb_atomic_commit(&a), NB_OK);
    expect_content(s, "new");
    assert_int_equal(entries(s->dir), 1);
    nb_atomic_abort(&a); /* harmless after commit */
    expect_content(s, "new");
}

static void an_abort_leaves_the_old_file(void **state)
{
    sandbox *s = *state;
    put(s->path, "old");
    nb_atomic a;
    assert_int_equal(nb_atomic_open(s->ctx, s->path, &a), NB_OK);
    fputs("half", a.f);
    nb_atomic_abort(&a);
    nb_atomic_abort(&a);
    expect_content(s, "old");
    assert_int_equal(entries(s->dir), 1);
}

static void a_temporary_file_left_by_a_killed_process_is_no_obstacle(void **state)
{
    sandbox *s = *state;
    char stale[200];
    snprintf(stale, sizeof stale, "%s.tmp.%ld", s->path, (long)getpid());
    put(stale, "a long rest of something that was never finished");
    assert_int_equal(nb_file_write(s->ctx, s->path, "new", 3), NB_OK);
    expect_content(s, "new");
    assert_int_equal(entries(s->dir), 1);
}

static void a_replaced_file_keeps_its_permissions_and_its_symbolic_link(void **state)
{
    sandbox *s = *state;
    char link_path[200];
    snprintf(link_path, sizeof link_path, "%s/link", s->dir);
    put(s->path, "old");
    assert_int_equal(chmod(s->path, 0600), 0);
    assert_int_equal(symlink("file", link_path), 0);
    assert_int_equal(nb_file_write(s->ctx, link_path, "new", 3), NB_OK);
    expect_content(s, "new");
    struct stat st;
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_full_device_is_an_error_and_is_not_replaced(void **state)
{
    sandbox *s = *state;
    struct stat st;
    if (stat("/dev/full", &st) != 0)
        skip();
    assert_int_equal(nb_file_write(s->ctx, "/dev/full", "x", 1), NB_E_IO);
    assert_string_equal(nb_ctx_error(s->ctx), "/dev/full: cannot write: No space left on device");
    char big[20000] = "";
    assert_int_equal(nb_file_write(s->ctx, "/dev/full", big, sizeof big), NB_E_IO);
    assert_string_equal(nb_ctx_error(s->ctx), "/dev/full: cannot write: No space left on device");
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(nb_file_write(s->ctx, "/dev/null", "x", 1), NB_OK);
}

static void writing_into_a_missing_folder_or_over_a_folder_is_an_error(void **state)
{
    sandbox *s = *state;
    assert_int_equal(nb_file_write(s->ctx, "/nowhere/file", "x", 1), NB_E_IO);
    assert_string_equal(nb_ctx_error(s->ctx), "/nowhere/file: cannot write: No such file or directory");
    assert_int_equal(nb_file_write(s->ctx, s->dir, "x", 1), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(s->ctx), "is a folder"));
}

static void every_single_allocation_can_fail_and_the_old_file_stays(void **state)
{
    sandbox *s = *state;
    put(s->path, "old");
    nb_status st = NB_E_NOMEM;
    int64_t n = 1;
    for (; st == NB_E_NOMEM; n++) {
        expect_content(s, "old");
        nb_ctx_fail_alloc_at(s->ctx, n);
        st = nb_file_write(s->ctx, s->path, "new", 3);
    }
    nb_ctx_fail_alloc_at(s->ctx, 0);
    assert_int_equal(st, NB_OK);
    assert_true(n > 2);
    expect_content(s, "new");
    assert_int_equal(entries(s->dir), 1);
    uint8_t *got;
    size_t len;
    nb_ctx_fail_alloc_at(s->ctx, 1);
    assert_int_equal(nb_file_read(s->ctx, s->path, 100, &got, &len), NB_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_whole_with_a_nul_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_a_regular_file_is_refused_without_hanging, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named_in_the_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(exists_tells_files_and_folders_from_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_are_made_with_their_parents_and_again_without_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_of_a_folder_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_replaces_the_file_and_leaves_nothing_beside_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abort_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_temporary_file_left_by_a_killed_process_is_no_obstacle, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replaced_file_keeps_its_permissions_and_its_symbolic_link, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_device_is_an_error_and_is_not_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_into_a_missing_folder_or_over_a_folder_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(every_single_allocation_can_fail_and_the_old_file_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
