/* broken_calls.c - preloaded into the tool: call number AT of the function CALL (rename or fsync) fails, or signals
 * arrive before it. DO is "fail", or the numbers of the signals: "15 15". Deterministic, where killing from outside
 * would have to guess a moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Does this call fail? */
static int broken(const char *name)
{
    static int calls;
    const char *call = getenv("CALL"), *at = getenv("AT"), *todo = getenv("DO");
    if (!call || !at || !todo || strcmp(call, name) != 0 || ++calls != atoi(at))
        return 0;
    if (strcmp(todo, "fail") == 0) {
        errno = EIO;
        return 1;
    }
    for (char *end; *todo; todo = end) {
        raise((int)strtol(todo, &end, 10));
        if (end == todo)
            break;
    }
    return 0;
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *);
    *(void **)&real = dlsym(RTLD_NEXT, "rename");
    return broken("rename") ? -1 : real(from, to);
}

int fsync(int fd)
{
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    return broken("fsync") ? -1 : real(fd);
}
