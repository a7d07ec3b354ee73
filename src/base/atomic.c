/* atomic.c - writing, of files.h: a temporary file in the same folder, flushed to disk, then renamed; readers see the
 * old bytes or the new. Sets of files: all are finished before the first is renamed. */
#include "base/check.h"
#include "base/files_state.h"
#include "base/ranks.h"
#include "base/temporaries.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nb_status write_error(nb_ctx *ctx, const char *path, int why)
{
    return nb_fail(ctx, NB_E_IO, "%s: cannot write: %s", path, strerror(why));
}

/* "<path><what>.tmp.<pid>", or NULL. */
static char *temporary_name(nb_ctx *ctx, const char *path, const char *what)
{
    size_t room = strlen(path) + strlen(what) + 32;
    char *tmp = nb_alloc(ctx, room);
    if (tmp)
        snprintf(tmp, room, "%s%s.tmp.%ld", path, what, (long)getpid());
    return tmp;
}

static void remove_temporary(nb_atomic *a)
{
    if (a->tmp)
        unlink(a->tmp);
    nb_temporary_forget(a->temporary);
    a->temporary = -1;
}

static void release_names(nb_atomic *a)
{
    nb_free(a->ctx, a->path);
    nb_free(a->ctx, a->tmp);
    *a = (nb_atomic){.ctx = a->ctx, .temporary = -1};
}

/* ---- opening ---- */

void nb_files_own(nb_ctx *ctx, bool own)
{
    nb_ctx_files(ctx)->own = own;
}

static bool goes_nowhere(nb_ctx *ctx)
{
    return nb_rank() > 0 && !nb_ctx_files(ctx)->own;
}

/* "/dev/fd/3" -> 3; -1: it is none. */
static int descriptor_of(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(folders[i]);
        const char *digits = path + n;
        if (strncmp(path, folders[i], n) != 0 || !*digits || strlen(digits) > 6)
            continue;
        int fd = 0;
        for (; *digits >= '0' && *digits <= '9'; digits++)
            fd = 10 * fd + (*digits - '0');
        return *digits ? -1 : fd;
    }
    return -1;
}

/* Descriptors have names, and links to those like that of the standard output: opening it anew would replace, or write
 * from the start of, a file that the shell opened for appending. */
static int named_descriptor(const char *path)
{
    char link[64];
    ssize_t n = readlink(path, link, sizeof link - 1);
    int fd = descriptor_of(path);
    if (fd >= 0 || n <= 0)
        return fd;
    link[n] = '\0';
    return descriptor_of(link);
}

static int open_temporary(const nb_atomic *a)
{
    unlink(a->tmp); /* left by a killed process that had our id */
    const int fd = open(a->tmp, O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666);
    struct stat s;
    if (fd >= 0 && fstat(fd, &s) == 0)
        nb_file_note_made(a->ctx, &s);
    return fd;
}

/* Opens the file that will be written; old describes the one it replaces, or is NULL. */
static nb_status open_target(nb_atomic *a, const struct stat *old)
{
    const int named = a->tmp ? -1 : named_descriptor(a->path);
    if (a->tmp)
        a->temporary = nb_temporary_note(a->tmp);
    int fd = a->tmp       ? open_temporary(a)
             : named >= 0 ? fcntl(named, F_DUPFD_CLOEXEC, 0)
                          : open(a->path, O_WRONLY | O_CLOEXEC);
    nb_status st = fd < 0 ? write_error(a->ctx, a->path, errno) : NB_OK;
    if (st == NB_OK && old && a->tmp && fchmod(fd, old->st_mode & 07777) != 0)
        st = nb_fail(a->ctx, NB_E_IO, "%s: cannot keep its permissions: %s", a->path, strerror(errno));
    if (st == NB_OK && !(a->f = fdopen(fd, "wb")))
        st = write_error(a->ctx, a->path, errno);
    if (st == NB_OK)
        return NB_OK;
    if (fd >= 0)
        close(fd);
    remove_temporary(a);
    return st;
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
    *a = (nb_atomic){.ctx = ctx, .temporary = -1};
    struct stat s;
    path = goes_nowhere(ctx) ? "/dev/null" : path;
    const bool exists = stat(path, &s) == 0, named = named_descriptor(path) >= 0;
    const bool direct = named || (exists && !S_ISREG(s.st_mode));
    if (exists && S_ISDIR(s.st_mode))
        return nb_fail(ctx, NB_E_IO, "%s: is a folder, expected a file", path);
    a->path = named ? nb_strdup(ctx, path) : resolved(ctx, path);
    if (a->path && !direct)
        a->tmp = temporary_name(ctx, a->path, "");
    nb_status st = NB_E_NOMEM;
    if (a->path && (a->tmp || direct))
        st = open_target(a, exists ? &s : NULL);
    if (st != NB_OK)
        release_names(a);
    return st;
}

/* ---- closing ---- */

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
    nb_files_state *files = nb_ctx_files(a->ctx);
    int why = close_synced(a);
    if (!why && a->tmp && files->together) {
        NB_ASSERT(files->n_held < NB_MAX_TOGETHER);
        files->held[files->n_held++] = *a; /* moved there */
        *a = (nb_atomic){.ctx = a->ctx, .temporary = -1};
        return NB_OK;
    }
    if (!why && a->tmp && rename(a->tmp, a->path) != 0)
        why = errno;
    nb_status st = why ? write_error(a->ctx, a->path, why) : NB_OK;
    if (why)
        remove_temporary(a);
    else if (a->tmp)
        sync_folder(a->ctx, a->path);
    nb_temporary_forget(a->temporary);
    release_names(a);
    return st;
}

void nb_atomic_abort(nb_atomic *a)
{
    if (!a->f)
        return;
    fclose(a->f);
    a->f = NULL;
    remove_temporary(a);
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

/* ---- sets of files ---- */

void nb_together_begin(nb_ctx *ctx)
{
    nb_files_state *f = nb_ctx_files(ctx);
    NB_ASSERT(!f->together);
    f->together = true;
}

void nb_together_abort(nb_ctx *ctx)
{
    nb_files_state *f = nb_ctx_files(ctx);
    for (int32_t i = 0; i < f->n_held; i++) {
        remove_temporary(&f->held[i]);
        release_names(&f->held[i]);
    }
    f->n_held = 0;
    f->together = false;
}

/* Keeps what stands at path under a second name until the set is complete; NULL: nothing stands there, or the file
 * system has no links, and then a failed rename of a later file leaves this one new. */
static char *keep_old(nb_ctx *ctx, const char *path, bool *nothing)
{
    struct stat s;
    *nothing = lstat(path, &s) != 0 && errno == ENOENT;
    char *name = *nothing ? NULL : temporary_name(ctx, path, ".old");
    if (!name)
        return NULL;
    unlink(name);
    if (link(path, name) == 0)
        return name;
    nb_free(ctx, name);
    return NULL;
}

/* All renames, or none: 0, or why the one of held[*at] failed. */
static int rename_all(nb_ctx *ctx, nb_files_state *f, int32_t *at)
{
    char *old[NB_MAX_TOGETHER] = {0};
    bool nothing[NB_MAX_TOGETHER] = {0};
    int why = 0;
    for (*at = 0; *at < f->n_held; ++*at) {
        nb_atomic *a = &f->held[*at];
        if (*at + 1 < f->n_held) /* the last one has no other to fail after it */
            old[*at] = keep_old(ctx, a->path, &nothing[*at]);
        if (rename(a->tmp, a->path) == 0)
            continue;
        why = errno;
        break;
    }
    for (int32_t i = *at - 1; i >= 0 && why; i--) {
        if (old[i])
            rename(old[i], f->held[i].path);
        else if (nothing[i])
            unlink(f->held[i].path);
    }
    for (int32_t i = 0; i < f->n_held; i++) {
        if (old[i])
            unlink(old[i]);
        nb_free(ctx, old[i]);
    }
    return why;
}

nb_status nb_together_commit(nb_ctx *ctx)
{
    nb_files_state *f = nb_ctx_files(ctx);
    sigset_t all, before;
    int32_t at = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = rename_all(ctx, f, &at);
    nb_status st = why ? write_error(ctx, f->held[at].path, why) : NB_OK;
    for (int32_t i = 0; i < f->n_held && !why; i++)
        sync_folder(ctx, f->held[i].path);
    nb_together_abort(ctx); /* what was renamed is not there to be removed */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

nb_status nb_together_end(nb_ctx *ctx, nb_status st)
{
    if (st == NB_OK)
        return nb_together_commit(ctx);
    nb_together_abort(ctx);
    return st;
}

/* ---- logs ---- */

nb_status nb_file_extend(nb_ctx *ctx, const char *path, size_t keep, const void *bytes, size_t len)
{
    if (goes_nowhere(ctx))
        return NB_OK;
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb"); /* which truncates nothing, unlike fopen */
    if (!f) {
        const int why = errno;
        if (fd >= 0)
            close(fd);
        return write_error(ctx, path, why);
    }
    bool good = ftruncate(fd, (off_t)keep) == 0 && fseek(f, 0, SEEK_END) == 0 && fwrite(bytes, 1, len, f) == len;
    int why = good ? 0 : errno;
    if (fclose(f) != 0 && good) {
        good = false;
        why = errno;
    }
    return good ? NB_OK : write_error(ctx, path, why);
}
