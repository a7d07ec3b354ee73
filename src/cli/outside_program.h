/* outside_program.h - programs that are not ours: found in PATH, run in a temporary folder of their own, with a time limit, and
 * never through a shell. */
#ifndef NB_CLI_OUTSIDE_H
#define NB_CLI_OUTSIDE_H

#include "cli/cli.h"

#include <signal.h>
#include <stdbool.h>

enum { OUTSIDE_PATH_BYTES = 4096, OUTSIDE_TEXT_BYTES = 160 };

typedef struct {
    cli *c;
    char folder[OUTSIDE_PATH_BYTES]; /* absolute */
    const volatile sig_atomic_t *stop;
} outside;

/* Makes an empty folder below $TMPDIR or /tmp; from now on Ctrl-C (see signals.h) ends the program that runs and what
 * waits for it with NB_E_STOPPED instead of this process, so that outside_close removes the folder. */
nb_status outside_open(cli *c, outside *o);
/* Removes the folder and all in it; harmless on a zeroed struct. */
void outside_close(outside *o);
/* NB_E_STOPPED after Ctrl-C. */
nb_status outside_check(const outside *o);

/* "<folder>/<name>" into path [OUTSIDE_PATH_BYTES]. */
void outside_path(const outside *o, const char *name, char *path);
nb_status outside_write(outside *o, const char *name, const void *bytes, size_t len);

/* Where a program is: name itself when it has a slash (made absolute), else the first in PATH that can be executed. */
bool outside_find(const char *name, char *path);

typedef struct {
    bool ok;                       /* ran and ended with 0 */
    bool late;                     /* did not end in time, and was ended */
    char said[OUTSIDE_TEXT_BYTES]; /* otherwise why: the first line on stderr, or what became of it */
} outside_end;

/* Runs argv[0] (a path) in the folder, for so many seconds at most: stdin empty, stdout and stderr into the files of
 * these names there. An error is only what keeps us from going on (no memory, Ctrl-C). */
nb_status outside_run(outside *o, const char *const *argv, double seconds, outside_end *end);

#endif
