/* lock.c - one writer per folder.
 *
 * A record lock (fcntl) on <folder>/.nibble.lock: it ends with its process, also by SIGKILL, and holds between machines
 * on NFS. The file's text is for people only, the lock alone decides. The file is removed before the lock is given
 * back, so whoever got the lock looks whether the file is still the one of that name, and begins anew when it is not:
 * the folder was moved, or the holder has just left. Record locks do not exclude a second taker in the same process. */
#include "base/lock.h"

#include "base/check.h"
#include "base/temporaries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 20, HOLDER_BYTES = 160, HOST_BYTES = 64 };

static char *lock_path(nb_ctx *ctx, const char *folder)
{
    size_t size = strlen(folder) + sizeof "/.nibble.lock";
    char *path = nb_alloc(ctx, size);
    if (path)
        snprintf(path, size, "%s/.nibble.lock", folder);
    return path;
}

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool is_held(int why)
{
    return why == EACCES || why == EAGAIN;
}

/* Is fd still the file of this name? */
static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Who holds it, as the file says, or as the kernel does while the holder has not written yet. Another machine's text is
 * printed by us: only plain characters. */
static void read_holder(int fd, char *text)
{
    ssize_t n = pread(fd, text, HOLDER_BYTES - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    for (char *p = text; *p; p++)
        *p = *p >= ' ' && *p < 0x7f ? *p : '?';
    struct flock f = whole_file();
    if (!*text && fcntl(fd, F_GETLK, &f) == 0 && f.l_type != F_UNLCK && f.l_pid > 0)
        snprintf(text, HOLDER_BYTES, "process %ld", (long)f.l_pid);
}

static nb_status held(nb_ctx *ctx, const char *folder, int fd)
{
    char holder[HOLDER_BYTES];
    read_holder(fd, holder);
    return nb_fail(ctx, NB_E_IO,
                   "%s: another nibble is writing into this folder (%s): wait for it or choose another one", folder,
                   *holder ? holder : "it does not say which process");
}

/* Only information: a full disk does not matter. */
static void write_holder(int fd)
{
    char host[HOST_BYTES] = "?", since[32] = "?", text[HOLDER_BYTES];
    time_t t = time(NULL);
    struct tm local;
    if (gethostname(host, sizeof host) == 0)
        host[sizeof host - 1] = '\0';
    if (localtime_r(&t, &local))
        strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", &local);
    int len = snprintf(text, sizeof text, "process %ld on %s since %s\n", (long)getpid(), host, since);
    if (ftruncate(fd, 0) == 0 && len > 0 && pwrite(fd, text, (size_t)len, 0) < 0)
        return;
}

static nb_status cannot(nb_ctx *ctx, const char *folder, int why)
{
    return nb_fail(ctx, NB_E_IO, "%s: cannot write into this folder: %s", folder, strerror(why));
}

/* One try. NB_OK with *fd == -1: again. */
static nb_status try_lock(nb_ctx *ctx, const char *folder, const char *path, bool last, int *fd)
{
    *fd = -1;
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (f < 0)
        return cannot(ctx, folder, errno);
    struct flock whole = whole_file();
    nb_status st = NB_OK;
    if (fcntl(f, F_SETLK, &whole) == 0) {
        if (same_file(f, path)) {
            *fd = f;
            return NB_OK;
        }
    } else if (!is_held(errno)) {
        nb_log(ctx, "%s: its file system has no locks (%s): nothing keeps a second process from writing there", folder,
               strerror(errno));
        *fd = f;
        return NB_OK;
    } else if (last) {
        st = held(ctx, folder, f);
    }
    close(f);
    return st;
}

nb_status nb_lock_take(nb_ctx *ctx, const char *folder, int32_t wait_ms, nb_lock *l)
{
    *l = (nb_lock){0};
    char *path = lock_path(ctx, folder);
    if (!path)
        return NB_E_NOMEM;
    nb_status st = NB_OK;
    int fd = -1;
    for (int32_t waited = 0; st == NB_OK && fd < 0; waited += RETRY_MS) {
        st = try_lock(ctx, folder, path, waited >= wait_ms, &fd);
        if (st == NB_OK && fd < 0)
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
    }
    if (st != NB_OK) {
        nb_free(ctx, path);
        return st;
    }
    write_holder(fd);
    *l = (nb_lock){ctx, path, fd, nb_temporary_note(path)};
    return NB_OK;
}

nb_status nb_lock_check(nb_ctx *ctx, const char *folder)
{
    char *path = lock_path(ctx, folder);
    if (!path)
        return NB_E_NOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    nb_free(ctx, path);
    if (fd < 0)
        return NB_OK;
    struct flock f = whole_file();
    nb_status st = fcntl(fd, F_GETLK, &f) == 0 && f.l_type != F_UNLCK ? held(ctx, folder, fd) : NB_OK;
    close(fd);
    return st;
}

int nb_lock_rename(nb_lock *l, const char *folder, const char *to)
{
    NB_ASSERT(l->path);
    char *path = lock_path(l->ctx, to);
    if (!path)
        return ENOMEM;
    if (rename(folder, to) != 0) {
        int why = errno;
        nb_free(l->ctx, path);
        return why;
    }
    nb_temporary_forget(l->temporary);
    nb_free(l->ctx, l->path);
    l->path = path;
    l->temporary = nb_temporary_note(path);
    return 0;
}

void nb_lock_release(nb_lock *l)
{
    if (!l->path)
        return;
    if (same_file(l->fd, l->path)) /* or the folder is no longer ours to clean */
        unlink(l->path);
    nb_temporary_forget(l->temporary);
    close(l->fd);
    nb_free(l->ctx, l->path);
    *l = (nb_lock){0};
}
