/* start.c - libgomp reads how long its threads wait, and OpenBLAS how many threads it starts, from the environment when
 * they are loaded, before main: so the program sets both and executes itself again. base/parallel.c says why it matters.
 *
 * What the user has said about waiting stays as it is. Programs that this one starts (compilers, Python) find the
 * user's environment: what was set here is taken out again after the second start, which a mark tells from the first.
 *
 * It must never fail or loop: wherever something is unusual (no /proc, valgrind, run by the dynamic linker, privileges)
 * the program goes on as it is, merely slower on a busy machine. */
#define _DEFAULT_SOURCE /* getloadavg */
#include "cli/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(NB_SERIAL)
#    include <sys/auxv.h>

#    define MARK "NIBBLE_START" /* names what was set, in the second start */

enum { PATH_BYTES = 4096, NAMES_BYTES = 128 };

typedef struct {
    const char *name, *value;
    const char *unless[3]; /* the user has said something; ends with NULL */
} setting;

/* How long to spin: long where processors are free, or every region of a small network pays for waking a thread; short
 * where others wait for them. The load is that of the last minute, our own runs' included, which is at most one a
 * processor. */
static const char *spin_count(void)
{
    double load;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return getloadavg(&load, 1) == 1 && load > 1.5 * (double)processors ? "500" : "2000";
}

/* The first alone is worth a second start. */
static const setting settings[] = {
    {"GOMP_SPINCOUNT", NULL /* spin_count */, {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}},
    {"OPENBLAS_NUM_THREADS", "1", {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"}},
};

static int user_decided(const setting *s)
{
    for (int i = 0; s->unless[i]; i++)
        if (getenv(s->unless[i]))
            return 1;
    return 0;
}

/* The second start: takes the settings out again. */
static void forget(const char *names)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (strstr(names, settings[i].name))
            unsetenv(settings[i].name);
    unsetenv(MARK);
}

/* Started by the kernel through its interpreter, from a file that is there; not inside a tool that would lose us. */
static int can_start_again(char path[PATH_BYTES])
{
    const char *preload = getenv("LD_PRELOAD");
    if (getauxval(AT_SECURE) || !getauxval(AT_BASE) || (preload && strstr(preload, "vgpreload")))
        return 0;
    const ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES - 1);
    if (n < 1 || n == PATH_BYTES - 1)
        return 0;
    path[n] = 0;
    return access(path, X_OK) == 0;
}

void cli_start(char **argv)
{
    extern char **environ;
    char path[PATH_BYTES], names[NAMES_BYTES] = "";
    const char *mark = getenv(MARK);
    if (mark) {
        forget(mark);
        return;
    }
    if (user_decided(&settings[0]) || !can_start_again(path))
        return;
    for (size_t i = 0, at = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        if (!user_decided(s) && setenv(s->name, s->value ? s->value : spin_count(), 1) == 0)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s ", s->name);
    }
    if (setenv(MARK, names, 1) == 0)
        execve(path, argv, environ);
    forget(names);
}

#else

void cli_start(char **argv)
{
    (void)argv;
}

#endif
