/* start.c - libgomp reads how long its threads wait, and OpenBLAS how many threads it starts and for which processor, from
 * the environment when they are loaded, before main: so the program sets it and executes itself again. base/parallel.c
 * says why waiting matters; an OpenBLAS that is older than the processor takes the kernels of 2004 by itself.
 *
 * What the user has said stays as it is. Programs that this one starts (compilers, Python) find the
 * user's environment: what was set here is taken out again after the second start, which a mark tells from the first.
 *
 * It must never fail or loop: wherever something is unusual (no /proc, valgrind, run by the dynamic linker, privileges)
 * the program goes on as it is, merely slower on a busy machine. */
#define _DEFAULT_SOURCE /* getloadavg */
#include "cli/start.h"

#include "kernels/float/fblas.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(NB_SERIAL)
#    include <sys/auxv.h>

#    define MARK "NIBBLE_START" /* names what was set, in the second start */

enum { PATH_BYTES = 4096, NAMES_BYTES = 128 };

typedef struct {
    const char *name;
    const char *(*value)(void); /* NULL: nothing to set */
    bool decides;               /* worth a second start by itself */
    const char *unless[3];      /* the user has said something; ends with NULL */
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

static const char *one_thread(void)
{
    return "1";
}

static const setting settings[] = {
    {"GOMP_SPINCOUNT", spin_count, true, {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}},
    {"OPENBLAS_CORETYPE", nb_fblas_better_core, true, {"OPENBLAS_CORETYPE"}},
    {"OPENBLAS_NUM_THREADS", one_thread, false, {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"}},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

/* NULL: the user has decided, or there is nothing to set. */
static const char *value_of(const setting *s)
{
    for (int i = 0; s->unless[i]; i++)
        if (getenv(s->unless[i]))
            return NULL;
    return s->value();
}

/* The second start: takes the settings out again. */
static void forget(const char *names)
{
    for (int i = 0; i < N_SETTINGS; i++)
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
    if (!can_start_again(path))
        return;
    bool worth = false;
    for (int i = 0; i < N_SETTINGS; i++)
        worth = worth || (settings[i].decides && value_of(&settings[i]));
    for (int i = 0, at = 0; worth && i < N_SETTINGS; i++) {
        const char *value = value_of(&settings[i]);
        if (value && setenv(settings[i].name, value, 1) == 0)
            at += snprintf(names + at, sizeof names - (size_t)at, "%s ", settings[i].name);
    }
    if (worth && setenv(MARK, names, 1) == 0)
        execve(path, argv, environ);
    forget(names);
}

#else

void cli_start(char **argv)
{
    (void)argv;
}

#endif
