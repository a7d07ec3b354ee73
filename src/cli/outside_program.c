/* outside_program.c - a child process per program; a clock that ends it; a folder that goes with it. */
#include "cli/outside_program.h"
#include "cli/signals.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILES_OPEN = 16, CANNOT_START = 127, MAX_WORDS = 32, TEXT_MAX_BYTES = 1 << 20, REMOVE_TRIES = 100 };

/* ---- the folder ---- */

nb_status outside_open(cli *c, outside *o)
{
    const char *tmp = getenv("TMPDIR");
    char folder[OUTSIDE_PATH_BYTES];
    tmp = tmp && *tmp == '/' ? tmp : "/tmp";
    *o = (outside){.c = c};
    int len = snprintf(folder, sizeof folder, "%s/nibble-XXXXXX", tmp);
    if (len < 0 || (size_t)len >= sizeof folder - 64) /* room for the names of files */
        return nb_fail(c->ctx, NB_E_IO, "TMPDIR: %.64s...: the path is too long", tmp);
    o->stop = cli_signals_ask(CLI_AGAIN_WAITS);
    if (!mkdtemp(folder))
        return nb_fail(c->ctx, NB_E_IO,
                       "%s: a temporary folder cannot be made: %s; set TMPDIR to one that can be "
                       "written",
                       tmp, strerror(errno));
    memcpy(o->folder, folder, sizeof folder);
    setenv("TMPDIR", folder, 1); /* what a compiler leaves behind when it is ended goes with the folder, too */
    return NB_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    remove(path);
    return 0;
}

void outside_close(outside *o)
{
    const struct timespec nap = {0, 10000000};
    struct stat st;
    for (int32_t i = 0; *o->folder && i < REMOVE_TRIES; i++) { /* what was killed may still be writing */
        nftw(o->folder, remove_entry, MAX_FILES_OPEN, FTW_DEPTH | FTW_PHYS);
        if (lstat(o->folder, &st) != 0)
            break;
        nanosleep(&nap, NULL);
    }
    o->folder[0] = '\0';
}

nb_status outside_check(const outside *o)
{
    return *o->stop ? nb_fail(o->c->ctx, NB_E_STOPPED, "interrupted") : NB_OK;
}

void outside_path(const outside *o, const char *name, char *path)
{
    int len = snprintf(path, OUTSIDE_PATH_BYTES, "%s/%s", o->folder, name);
    NB_ASSERT(len > 0 && len < OUTSIDE_PATH_BYTES);
}

nb_status outside_write(outside *o, const char *name, const void *bytes, size_t len)
{
    char path[OUTSIDE_PATH_BYTES];
    outside_path(o, name, path);
    return nb_file_write(o->c->ctx, path, bytes, len);
}

/* ---- finding a program ---- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The folder of a symbolic link is kept: a Python knows by it which packages are its own. */
static bool make_absolute(const char *name, char *path)
{
    char here[OUTSIDE_PATH_BYTES];
    if (*name != '/' && !getcwd(here, sizeof here))
        return false;
    int len = *name == '/' ? snprintf(path, OUTSIDE_PATH_BYTES, "%s", name)
                           : snprintf(path, OUTSIDE_PATH_BYTES, "%s/%s", here, name);
    return len > 0 && len < OUTSIDE_PATH_BYTES && is_program(path);
}

bool outside_find(const char *name, char *path)
{
    if (strchr(name, '/'))
        return make_absolute(name, path);
    const char *dirs = getenv("PATH");
    for (const char *at = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        char one[OUTSIDE_PATH_BYTES];
        size_t n = strcspn(at, ":");
        int len = snprintf(one, sizeof one, "%.*s/%s", (int)(n < sizeof one ? n : 0), at, name);
        if (n > 0 && len > 0 && (size_t)len < sizeof one && make_absolute(one, path))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

/* ---- running it ---- */

/* In the child, where only what is safe after a fork may be called. Does not return. */
static void become(const outside *o, char *const *argv, const sigset_t *signals)
{
    setpgid(0, 0); /* what it starts ends with it */
    cli_signals_reset_child(signals);
    int in = open("/dev/null", O_RDONLY);
    if (chdir(o->folder) == 0 && in >= 0) {
        int out = open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int err = open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (out >= 0 && err >= 0 && dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
            execv(argv[0], argv);
    }
    _exit(CANNOT_START);
}

/* Waits for the child, for as long as it may take. *late: it was ended. */
static int wait_for(const outside *o, pid_t child, double seconds, bool *late)
{
    const double end = nb_now() + seconds;
    int status = 0;
    struct timespec nap = {0, 1000000};
    *late = false;
    for (;;) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child || (done < 0 && errno != EINTR)) {
            kill(-child, SIGKILL); /* what it started and did not wait for */
            return status;
        }
        *late = nb_now() > end;
        if (*late || *o->stop)
            break;
        nanosleep(&nap, NULL);
        nap.tv_nsec += nap.tv_nsec < 20000000 ? 1000000 : 0;
    }
    kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* The first line of its stderr that speaks of an error, or else the first that is not empty. */
static bool complaint(outside *o, char *text)
{
    char path[OUTSIDE_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    outside_path(o, "stderr", path);
    if (nb_file_read(o->c->ctx, path, TEXT_MAX_BYTES, &bytes, &len) != NB_OK)
        return false;
    *text = '\0';
    bool error = false;
    for (const char *at = (const char *)bytes; *at && !error;) {
        at += strspn(at, " \t\r\n");
        char line[OUTSIDE_TEXT_BYTES];
        int n = (int)strcspn(at, "\r\n");
        snprintf(line, sizeof line, "%.*s", n, at);
        error = strstr(line, "rror") != NULL;
        if (error || !*text)
            memcpy(text, line, sizeof line);
        at += n;
    }
    nb_free(o->c->ctx, bytes);
    return *text != '\0';
}

nb_status outside_run(outside *o, const char *const *argv, double seconds, outside_end *end)
{
    char *words[MAX_WORDS]; /* execv's type has a const less, and its promise not to write */
    size_t n = 0;
    while (argv[n])
        n++;
    NB_ASSERT(n < MAX_WORDS);
    memcpy(words, argv, (n + 1) * sizeof *words);
    *end = (outside_end){0};
    NB_TRY(outside_check(o));
    fflush(NULL);
    sigset_t signals;
    cli_signals_hold(&signals);
    pid_t child = fork();
    const int why = errno;
    if (child == 0)
        become(o, words, &signals);
    if (child > 0)
        setpgid(child, child); /* here, too: whoever is first, the group is there when it has to be ended */
    cli_signals_release(&signals);
    if (child < 0) {
        snprintf(end->said, sizeof end->said, "cannot be started: %s", strerror(why));
        return NB_OK;
    }
    int status = wait_for(o, child, seconds, &end->late);
    NB_TRY(outside_check(o));
    end->ok = !end->late && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (end->ok)
        return NB_OK;
    if (end->late)
        snprintf(end->said, sizeof end->said, "no end after %g s", seconds);
    else if (!complaint(o, end->said) && WIFSIGNALED(status))
        snprintf(end->said, sizeof end->said, "ended by signal %d", WTERMSIG(status));
    else if (!*end->said)
        snprintf(end->said, sizeof end->said, "exit code %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return NB_OK;
}
