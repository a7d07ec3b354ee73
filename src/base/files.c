/* files.c - whole-file reads and atomic writes.
 *
 * Reads: only regular files (opening a pipe must not hang), sizes checked before memory is asked for, so a hostile file
 * costs at most its limit. Writes: a temporary file in the same folder, flushed to disk, then renamed; readers see the
 * old bytes or the new. */
#include "base/files.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nb_status io_error(nb_ctx *ctx, const char *path, const char *what)
{
    return nb_fail(ctx, NB_E_IO, "%s: %s: %s", path, what, strerror(errno));
}

static nb_status check_size(nb_ctx *ctx, const char *path, const struct stat *s, size_t max)
{
    if (S_ISDIR(s->st_mode))
        return nb_fail(ctx, NB_E_IO, "%s: is a folder, expected a file", path);
    if (!S_ISREG(s->st_mode))
        return nb_fail(ctx, NB_E_IO, "%s: is not a regular file", path);
    if (s->st_size < 0 || (uintmax_t)s->st_size > max)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %jd bytes, more than the %zu allowed here", path, (intmax_t)s->st_size,
                       max);
    return NB_OK;
}

/* Exactly len bytes, or an error: the file must not shrink under us. */
static nb_status read_all(nb_ctx *ctx, const char *path, int fd, uint8_t *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, to + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return io_error(ctx, path, "cannot read");
        if (n == 0)
            return nb_fail(ctx, NB_E_IO, "%s: ended after %zu of %zu bytes, was it changed while being read?", path,
                           got, len);
        got += (size_t)n;
    }
    return NB_OK;
}

static nb_status read_fd(nb_ctx *ctx, const char *path, int fd, size_t max, uint8_t **out, size_t *len)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return io_error(ctx, path, "cannot read");
    NB_TRY(check_size(ctx, path, &s, max));
    size_t bytes = (size_t)s.st_size;
    uint8_t *p = nb_alloc(ctx, bytes + 1); /* memory comes zeroed: this is the NUL */
    if (!p)
        return NB_E_NOMEM;
    nb_status st = read_all(ctx, path, fd, p, bytes);
    if (st != NB_OK) {
        nb_free(ctx, p);
        return st;
    }
    *out = p;
    *len = bytes;
    return NB_OK;
}

nb_status nb_file_read(nb_ctx *ctx, const char *path, size_t max, uint8_t **out, size_t *len)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* NONBLOCK: a pipe without a writer must not hang */
    if (fd < 0)
        return io_error(ctx, path, "cannot open");
    nb_status st = read_fd(ctx, path, fd, max, out, len);
    close(fd);
    return st;
}

size_t nb_file_head(const char *path, uint8_t *to, size_t max)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? read(fd, to, max) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

bool nb_file_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

bool nb_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static nb_status make_one_dir(nb_ctx *ctx, const char *path)
{
    if (mkdir(path, 0777) == 0)
        return NB_OK;
    int why = errno;
    struct stat s;
    if (stat(path, &s) == 0) {
        if (S_ISDIR(s.st_mode))
            return NB_OK;
        why = ENOTDIR;
    }
    return nb_fail(ctx, NB_E_IO, "%s: cannot make the folder: %s", path, strerror(why));
}

nb_status nb_make_dirs(nb_ctx *ctx, const char *path)
{
    char *part = nb_strdup(ctx, path);
    if (!part)
        return NB_E_NOMEM;
    nb_status st = NB_OK;
    for (char *p = part + 1; part[0] && st == NB_OK && *p; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        st = make_one_dir(ctx, part);
        *p = '/';
    }
    if (st == NB_OK)
        st = make_one_dir(ctx, path);
    nb_free(ctx, part);
    return st;
}

/* "<path>.tmp.<pid>", or NULL. */
static char *temporary_name(nb_ctx *ctx, const char *path)
{
    size_t room = strlen(path) + 32;
    char *tmp = nb_alloc(ctx, room);
    if (tmp)
        snprintf(tmp, room, "%s.tmp.%ld", path, (long)getpid());
    return tmp;
}

/* Opens the file that will be written; old describes the one it replaces, or is NULL. */
static nb_status open_target(nb_atomic *a, const struct stat *old)
{
    const char *name = a->tmp ? a->tmp : a->path;
    int flags = O_WRONLY | O_CLOEXEC | (a->tmp ? O_CREAT | O_EXCL : 0);
    if (a->tmp)
        unlink(a->tmp); /* left by a killed process that had our id */
    int fd = open(name, flags, 0666);
    if (fd < 0)
        return io_error(a->ctx, a->path, "cannot write");
    if (old && a->tmp && fchmod(fd, old->st_mode & 07777) != 0) {
        nb_status st = io_error(a->ctx, a->path, "cannot keep its permissions");
        close(fd);
        unlink(a->tmp);
        return st;
    }
    a->f = fdopen(fd, "wb");
    if (a->f)
        return NB_OK;
    nb_status st = io_error(a->ctx, a->path, "cannot write");
    close(fd);
    if (a->tmp)
        unlink(a->tmp);
    return st;
}

static void release_names(nb_atomic *a)
{
    nb_free(a->ctx, a->path);
    nb_free(a->ctx, a->tmp);
    *a = (nb_atomic){.ctx = a->ctx};
}

/* The file behind a symbolic link is replaced, not the link. */
static char *resolved(nb_ctx *ctx, const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = nb_strdup(ctx, real ? real : path);
    free(real);
    return copy;
}

nb_status nb_atomic_open(nb_ctx *ctx, const char *path, nb_atomic *a)
{
    *a = (nb_atomic){.ctx = ctx};
    struct stat s;
    bool exists = stat(path, &s) == 0;
    if (exists && S_ISDIR(s.st_mode))
        return nb_fail(ctx, NB_E_IO, "%s: is a folder, expected a file", path);
    a->path = resolved(ctx, path);
    if (a->path && (!exists || S_ISREG(s.st_mode)))
        a->tmp = temporary_name(ctx, a->path);
    nb_status st = NB_E_NOMEM;
    if (a->path && (a->tmp || (exists && !S_ISREG(s.st_mode))))
        st = open_target(a, exists ? &s : NULL);
    if (st != NB_OK)
        release_names(a);
    return st;
}

/* The rename is on disk only when its folder is; a file system that cannot sync folders is no error. */
static void sync_folder(nb_ctx *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? nb_strdup(ctx, path) : NULL;
    if (slash && !folder)
        return;
    if (folder)
        folder[slash == path ? 1 : slash - path] = '\0';
    int fd = open(folder ? folder : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    nb_free(ctx, folder);
}

/* Flushes, syncs and closes; 0 or the first error. Pipes and devices cannot be synced (EINVAL), which is no error. */
static int close_synced(nb_atomic *a)
{
    int why = 0;
    if (ferror(a->f)) /* an earlier write failed; one more byte of the file we give up tells why */
        why = write(fileno(a->f), "", 1) < 0 ? errno : EIO;
    else if (fflush(a->f) != 0)
        why = errno;
    if (!why && fsync(fileno(a->f)) != 0 && a->tmp)
        why = errno;
    if (fclose(a->f) != 0 && !why)
        why = errno;
    a->f = NULL;
    return why;
}

nb_status nb_atomic_commit(nb_atomic *a)
{
    NB_ASSERT(a->f);
    int why = close_synced(a);
    if (!why && a->tmp && rename(a->tmp, a->path) != 0)
        why = errno;
    nb_status st = NB_OK;
    if (why) {
        st = nb_fail(a->ctx, NB_E_IO, "%s: cannot write: %s", a->path, strerror(why));
        if (a->tmp)
            unlink(a->tmp);
    } else if (a->tmp) {
        sync_folder(a->ctx, a->path);
    }
    release_names(a);
    return st;
}

void nb_atomic_abort(nb_atomic *a)
{
    if (!a->f)
        return;
    fclose(a->f);
    a->f = NULL;
    if (a->tmp)
        unlink(a->tmp);
    release_names(a);
}

nb_status nb_file_write(nb_ctx *ctx, const char *path, const void *bytes, size_t len)
{
    nb_atomic a;
    NB_TRY(nb_atomic_open(ctx, path, &a));
    if (len)
        fwrite(bytes, 1, len, a.f); /* an error stays in the stream until commit */
    return nb_atomic_commit(&a);
}
