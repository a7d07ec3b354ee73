/* stop_at_call.c - loaded before the C library (LD_PRELOAD): ends the process at its n-th call that changes files, or lets the disk be full
 * from there on.
 *
 * NB_STOP_AT=n, NB_STOP_HOW=kill (SIGKILL in place of the call) or full (only calls that need room count; ENOSPC for this one and all later
 * ones). Counting begins with the first folder that is made or the first file that is opened for writing. At a regular end the count goes to the file
 * NB_STOP_COUNT. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int calls, count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* One call. True: it must fail for want of room. */
static bool stop(bool needs_room)
{
    const char *at = getenv("NB_STOP_AT"), *how = getenv("NB_STOP_HOW");
    int n = at ? atoi(at) : 0;
    bool full = how && strcmp(how, "full") == 0;
    calls++;
    count += needs_room || !full;
    if (n && how && !full && count == n)
        kill(getpid(), SIGKILL);
    if (!n || !full || count < n || !needs_room)
        return false;
    errno = ENOSPC;
    return true;
}

static bool started(void)
{
    return calls > 0;
}

__attribute__((destructor)) static void tell(void)
{
    const char *name = getenv("NB_STOP_COUNT");
    FILE *f = name ? fopen(name, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "%d\n", count);
    REAL(fclose)(f);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list ap;
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    struct stat s;
    bool makes = flags & O_CREAT && stat(path, &s) != 0;
    if ((started() || flags & O_CREAT) && stop(makes))
        return -1;
    return REAL(open)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    struct stat s;
    return stop(stat(path, &s) != 0) ? -1 : REAL(mkdir)(path, mode);
}

/* What glibc does when it empties its buffer in vain. */
size_t fwrite(const void *p, size_t size, size_t n, FILE *f)
{
    if (!started() || f == stdout || f == stderr || !stop(true))
        return REAL(fwrite)(p, size, n, f);
#ifdef __GLIBC__
    f->_flags |= 0x20; /* _IO_ERR_SEEN */
#endif
    return 0;
}

#define AFTER_START(type, name, params, args, needs_room)                                                              \
    type name params                                                                                                   \
    {                                                                                                                  \
        if (started() && stop(needs_room))                                                                             \
            return (type)-1;                                                                                           \
        return REAL(name) args;                                                                                        \
    }
AFTER_START(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), true)
AFTER_START(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), true)
AFTER_START(int, fsync, (int fd), (fd), true)
AFTER_START(int, rename, (const char *from, const char *to), (from, to), true)
AFTER_START(int, fclose, (FILE * f), (f), false)
AFTER_START(int, close, (int fd), (fd), false)
AFTER_START(int, unlink, (const char *path), (path), false)
AFTER_START(int, remove, (const char *path), (path), false)
AFTER_START(int, fchmod, (int fd, mode_t mode), (fd, mode), false)
AFTER_START(int, ftruncate, (int fd, off_t n), (fd, n), false)

int fflush(FILE *f)
{
    if (started() && f != stdout && f != stderr && stop(true))
        return -1;
    return REAL(fflush)(f);
}

int fcntl(int fd, int what, ...)
{
    va_list ap;
    va_start(ap, what);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    if (started())
        stop(false);
    return REAL(fcntl)(fd, what, arg);
}
