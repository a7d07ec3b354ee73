/* locate.h - where the files of a data set lie, and reading one of them, packed or not. */
#ifndef NB_DATASETS_LOCATE_H
#define NB_DATASETS_LOCATE_H

#include <nibble/context.h>

/* The folder that holds `file` or `file`.gz. With a path (data.path) only that folder counts; otherwise the first of
 * $NB_DATA/<name>, $NB_DATA, datasets/data/<name>, ../shared/data/<name>, /usr/share/datasets/<name>. *dir is freed
 * with nb_free. */
nb_status nb_data_locate(nb_ctx *ctx, const char *name, const char *path, const char *file, char **dir);
/* dir/file or dir/file.gz, whichever exists, inflated; an empty dir means file is a path of its own. At most max bytes.
 * *where is the path that was read, for messages; it and *bytes are freed with nb_free. */
nb_status nb_data_read(nb_ctx *ctx, const char *dir, const char *file, size_t max, char **where, uint8_t **bytes,
                       size_t *len);
/* "dir/file" in fresh memory, just file when dir is "". */
char *nb_data_join(nb_ctx *ctx, const char *dir, const char *file);

#endif
