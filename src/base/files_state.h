/* files_state.h - what a context knows of files: which ones it has read, and which are written but not yet in their
 * places. */
#ifndef NB_BASE_FILES_STATE_H
#define NB_BASE_FILES_STATE_H

#include "base/files.h"

#include <sys/stat.h>

enum { NB_MAX_TOGETHER = 8 };

typedef struct {
    dev_t device;
    ino_t inode;
} nb_file_id;

typedef struct {
    nb_file_id *read; /* from nb_alloc */
    int64_t n_read, cap;
    bool together;
    bool own;                        /* nb_files_own */
    nb_atomic held[NB_MAX_TOGETHER]; /* closed, waiting for their renames */
    int32_t n_held;
} nb_files_state;

/* The context's own. */
nb_files_state *nb_ctx_files(nb_ctx *ctx);
/* A regular file is being read. */
nb_status nb_file_note_read(nb_ctx *ctx, const struct stat *s);
/* A file is new: what had its inode before, and may have been read, is gone. */
void nb_file_note_made(nb_ctx *ctx, const struct stat *s);

#endif
