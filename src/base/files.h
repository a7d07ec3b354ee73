/* files.h - whole-file reads with a limit, gzip included, and writes that leave neither half a file nor half of a set
 * of files behind. */
#ifndef NB_BASE_FILES_H
#define NB_BASE_FILES_H

#include <nibble/context.h>
#include <stdbool.h>
#include <stdio.h>

/* Reads a regular file whole (at most max bytes, else NB_E_FORMAT). *out is freed with nb_free and has a NUL after its
 * len bytes. */
nb_status nb_file_read(nb_ctx *ctx, const char *path, size_t max, uint8_t **out, size_t *len);
/* The same through zlib: .gz content is inflated (truncated or damaged streams are NB_E_FORMAT), other content passes
 * unchanged. */
nb_status nb_file_read_gz(nb_ctx *ctx, const char *path, size_t max, uint8_t **out, size_t *len);
/* For files that are read piece by piece: a regular file, its size, exactly len bytes from place `at` on. *fd is closed by
 * the caller. */
nb_status nb_file_open(nb_ctx *ctx, const char *path, int *fd);
nb_status nb_file_size(nb_ctx *ctx, const char *path, int fd, size_t *bytes);
nb_status nb_file_read_at(nb_ctx *ctx, const char *path, int fd, int64_t at, void *to, size_t len);
/* These will be read soon: the system may fetch them meanwhile. */
void nb_file_ahead(int fd, int64_t at, size_t len);
/* The first bytes of a regular file, at most max; 0 when there are none to be had. */
size_t nb_file_head(const char *path, uint8_t *to, size_t max);
bool nb_file_exists(const char *path);
bool nb_is_folder(const char *path);
/* mkdir -p */
nb_status nb_make_dirs(nb_ctx *ctx, const char *path);

/* Has this context read the file that path leads to (through links of either kind)? */
bool nb_file_was_read(nb_ctx *ctx, const char *path);
/* The files that `other`, a thread's context, has read are files that ctx has. */
nb_status nb_files_join(nb_ctx *ctx, nb_ctx *other);
/* NB_E_CONFIG when it has: what a command reads it must not write over. Commands ask before they write anything. */
nb_status nb_output_check(nb_ctx *ctx, const char *path);

/* Atomic write: everything goes to "<path>.tmp.<pid>" beside it and is renamed over path on commit, after fflush and
 * fsync. A path that exists and is not a regular file (/dev/full, a pipe) is written directly, and one that names a
 * descriptor (/dev/fd/3) goes to the descriptor, wherever that leads. A failed or aborted write leaves the
 * old file as it was. Of several ranks (base/ranks.h) only rank 0 writes: what the others write goes nowhere, until
 * nb_files_own says that the files of this rank are other ones than theirs. */
typedef struct {
    nb_ctx *ctx;
    FILE *f;
    char *path, *tmp;  /* tmp == NULL: direct */
    int32_t temporary; /* slot of tmp, see temporaries.h */
} nb_atomic;
nb_status nb_atomic_open(nb_ctx *ctx, const char *path, nb_atomic *a);
nb_status nb_atomic_commit(nb_atomic *a); /* closes; on failure removes the temporary file */
void nb_atomic_abort(nb_atomic *a);       /* closes and removes; harmless after commit */
nb_status nb_file_write(nb_ctx *ctx, const char *path, const void *bytes, size_t len); /* all of the above at once */

/* For a log that others read while it grows: cuts it to its first `keep` bytes and writes len more behind them, in the
 * file itself, which is made if it is not there. A kill can leave a part of them: the log's records must show that. */
nb_status nb_file_extend(nb_ctx *ctx, const char *path, size_t keep, const void *bytes, size_t len);

/* See nb_atomic. */
void nb_files_own(nb_ctx *ctx, bool own);

/* Files that belong together. From begin on, a commit leaves its finished file under the temporary name;
 * nb_together_commit then renames all of them in the order of their commits, with signals held back. When a rename
 * fails, those before it are taken back. Only a process that is killed between two renames leaves a mixture, which the
 * files must be able to tell by their contents. Sets do not nest. */
void nb_together_begin(nb_ctx *ctx);
nb_status nb_together_commit(nb_ctx *ctx); /* ends the set, also on failure */
void nb_together_abort(nb_ctx *ctx);       /* removes the temporary files; harmless when there is no set */
/* Commits when st is NB_OK, else aborts and returns st. */
nb_status nb_together_end(nb_ctx *ctx, nb_status st);

#endif
