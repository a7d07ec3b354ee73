/* test_lock.c - one process at a time has a folder's lock; it ends with the process, and goes with the folder. */
#include "ref/data_fixture.h"

#include "base/files.h"
#include "base/lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Another process that takes the lock of the folder and holds it until it is killed; its id. */
static pid_t holder_of(data_fixture *f, const char *folder)
{
    int ready[2];
    char done = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        nb_lock l;
        if (nb_lock_take(f->ctx, folder, 0, &l) != NB_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &done, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_second_is_told_who_the_first_is(void **state)
{
    data_fixture *f = *state;
    nb_lock l = {0};
    char who[64];
    pid_t pid = holder_of(f, f->dir);
    assert_int_equal(nb_lock_take(f->ctx, f->dir, 0, &l), NB_E_IO);
    assert_null(l.path);
    snprintf(who, sizeof who, "is writing into this folder (process %ld on ", (long)pid);
    assert_non_null(strstr(nb_ctx_error(f->ctx), who));
    assert_non_null(strstr(nb_ctx_error(f->ctx), " since 20"));
    assert_int_equal(nb_lock_check(f->ctx, f->dir), NB_E_IO);
    end(pid);
}

static void a_killed_holder_holds_nothing(void **state)
{
    data_fixture *f = *state;
    nb_lock l;
    end(holder_of(f, f->dir));
    assert_true(nb_file_exists(data_fixture_path(f, ".nibble.lock")));
    assert_int_equal(nb_lock_check(f->ctx, f->dir), NB_OK);
    assert_int_equal(nb_lock_take(f->ctx, f->dir, 0, &l), NB_OK);
    nb_lock_release(&l);
}

static void what_was_given_back_leaves_nothing_and_can_be_taken_by_others(void **state)
{
    data_fixture *f = *state;
    nb_lock l;
    assert_int_equal(nb_lock_take(f->ctx, f->dir, 0, &l), NB_OK);
    nb_lock_release(&l);
    assert_false(nb_file_exists(data_fixture_path(f, ".nibble.lock")));
    nb_lock_release(&l);
    end(holder_of(f, f->dir));
}

static void whoever_waits_gets_it_when_the_first_leaves(void **state)
{
    data_fixture *f = *state;
    nb_lock l;
    assert_int_equal(nb_lock_take(f->ctx, f->dir, 0, &l), NB_OK);
    pid_t pid = fork();
    if (pid == 0)
        _exit(nb_lock_take(f->ctx, f->dir, 10000, &l) == NB_OK ? 7 : 1);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    nb_lock_release(&l);
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 7);
}

static void the_lock_goes_with_the_folder(void **state)
{
    data_fixture *f = *state;
    nb_lock l, again;
    char from[300], to[300];
    data_fixture_mkdir(f, "run");
    snprintf(from, sizeof from, "%s/run", f->dir);
    snprintf(to, sizeof to, "%s/run.old1", f->dir);
    assert_int_equal(nb_lock_take(f->ctx, from, 0, &l), NB_OK);
    assert_int_equal(nb_lock_rename(&l, from, to), 0);
    data_fixture_mkdir(f, "run");
    assert_int_equal(nb_lock_take(f->ctx, from, 0, &again), NB_OK);
    nb_lock_release(&l);
    assert_false(nb_file_exists(data_fixture_path(f, "run.old1/.nibble.lock")));
    assert_true(nb_file_exists(data_fixture_path(f, "run/.nibble.lock")));
    nb_lock_release(&again);
    assert_false(nb_file_exists(data_fixture_path(f, "run/.nibble.lock")));
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
    data_fixture *f = *state;
    nb_lock l;
    const char *gone = data_fixture_path(f, "gone");
    assert_int_equal(nb_lock_take(f->ctx, gone, 0, &l), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "gone: cannot write into this folder: No such file"));
    assert_int_equal(nb_lock_check(f->ctx, gone), NB_OK);
}

/* A text that somebody put there. */
static void what_the_file_says_is_printed_without_tricks(void **state)
{
    data_fixture *f = *state;
    pid_t pid = holder_of(f, f->dir);
    data_fixture_write(f, ".nibble.lock", "\033[2Jpro\001cess\nnot this", 19);
    assert_int_equal(nb_lock_check(f->ctx, f->dir), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "(?[2Jpro?cess)"));
    data_fixture_write(f, ".nibble.lock", "", 0);
    assert_int_equal(nb_lock_check(f->ctx, f->dir), NB_E_IO);
    char who[64];
    snprintf(who, sizeof who, "(process %ld)", (long)pid);
    assert_non_null(strstr(nb_ctx_error(f->ctx), who));
    end(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(the_second_is_told_who_the_first_is),
        TEST(a_killed_holder_holds_nothing),
        TEST(what_was_given_back_leaves_nothing_and_can_be_taken_by_others),
        TEST(whoever_waits_gets_it_when_the_first_leaves),
        TEST(the_lock_goes_with_the_folder),
        TEST(a_folder_that_cannot_be_written_is_an_error),
        TEST(what_the_file_says_is_printed_without_tricks),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
