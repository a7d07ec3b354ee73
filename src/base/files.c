/* files.c - whole-file reads, and which files were read.
 *
 * Only regular files (opening a pipe must not hang), sizes checked before memory is asked for, so a hostile file costs
 * at most its limit. Writing is in atomic.c. */
#include "base/files.h"

#include "base/check.h"
#include "base/files_state.h"

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
    NB_TRY(nb_file_note_read(ctx, &s));
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

nb_status nb_file_open(nb_ctx *ctx, const char *path, int *out)
{
    struct stat s;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return nb_fail(ctx, NB_E_IO, "%s: too many files are open: allow more of them with ulimit -n", path);
    if (fd < 0)
        return io_error(ctx, path, "cannot open");
    nb_status st = fstat(fd, &s) == 0 ? check_size(ctx, path, &s, PTRDIFF_MAX) : io_error(ctx, path, "cannot read");
    if (st == NB_OK)
        st = nb_file_note_read(ctx, &s);
    if (st == NB_OK)
        *out = fd;
    else
        close(fd);
    return st;
}

nb_status nb_file_size(nb_ctx *ctx, const char *path, int fd, size_t *bytes)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return io_error(ctx, path, "cannot read");
    *bytes = (size_t)s.st_size;
    return NB_OK;
}

nb_status nb_file_read_at(nb_ctx *ctx, const char *path, int fd, int64_t at, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        const ssize_t n = pread(fd, (uint8_t *)to + got, len - got, (off_t)at + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return io_error(ctx, path, "cannot read");
        if (n == 0)
            return nb_fail(ctx, NB_E_IO, "%s: ends before byte %jd: it is cut short", path,
                           (intmax_t)at + (intmax_t)len);
        got += (size_t)n;
    }
    return NB_OK;
}

void nb_file_ahead(int fd, int64_t at, size_t len)
{
    (void)posix_fadvise(fd, (off_t)at, (off_t)len, POSIX_FADV_WILLNEED);
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

/* ---- which files were read ---- */

nb_status nb_file_note_read(nb_ctx *ctx, const struct stat *s)
{
    nb_files_state *f = nb_ctx_files(ctx);
    if (f->n_read == f->cap) {
        int64_t more = f->cap ? 2 * f->cap : 16;
        nb_file_id *bigger = nb_alloc(ctx, (size_t)more * sizeof *bigger);
        if (!bigger)
            return NB_E_NOMEM;
        if (f->n_read)
            memcpy(bigger, f->read, (size_t)f->n_read * sizeof *bigger);
        nb_free(ctx, f->read);
        f->read = bigger;
        f->cap = more;
    }
    f->read[f->n_read++] = (nb_file_id){s->st_dev, s->st_ino};
    return NB_OK;
}

nb_status nb_files_join(nb_ctx *ctx, nb_ctx *other)
{
    const nb_files_state *f = nb_ctx_files(other);
    for (int64_t i = 0; i < f->n_read; i++)
        NB_TRY(nb_file_note_read(ctx, &(struct stat){.st_dev = f->read[i].device, .st_ino = f->read[i].inode}));
    return NB_OK;
}

void nb_file_note_made(nb_ctx *ctx, const struct stat *s)
{
    nb_files_state *f = nb_ctx_files(ctx);
    for (int64_t i = 0; i < f->n_read; i++)
        if (f->read[i].device == s->st_dev && f->read[i].inode == s->st_ino)
            f->read[i--] = f->read[--f->n_read];
}

bool nb_file_was_read(nb_ctx *ctx, const char *path)
{
    const nb_files_state *f = nb_ctx_files(ctx);
    struct stat s;
    if (stat(path, &s) != 0)
        return false;
    for (int64_t i = 0; i < f->n_read; i++)
        if (f->read[i].device == s.st_dev && f->read[i].inode == s.st_ino)
            return true;
    return false;
}

nb_status nb_output_check(nb_ctx *ctx, const char *path)
{
    if (!nb_file_was_read(ctx, path))
        return NB_OK;
    return nb_fail(ctx, NB_E_CONFIG,
                   "%s: is one of the files that are read here, and would be written over: choose "
                   "another place for the output",
                   path);
}

/* ---- folders ---- */

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
