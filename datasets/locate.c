/* locate.c - the search path of data sets. An explicit data.path is never overruled by a copy found elsewhere. */
#include "locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"

static char *join3(nb_ctx *ctx, const char *dir, const char *file, const char *suffix)
{
    const char *slash = dir[0] && dir[strlen(dir) - 1] != '/' ? "/" : "";
    size_t bytes = strlen(dir) + strlen(slash) + strlen(file) + strlen(suffix) + 1;
    char *s = nb_alloc(ctx, bytes);
    if (s)
        snprintf(s, bytes, "%s%s%s%s", dir, slash, file, suffix);
    return s;
}

char *nb_data_join(nb_ctx *ctx, const char *dir, const char *file)
{
    return join3(ctx, dir, file, "");
}

/* *out: dir/file, or dir/file.gz, or NULL when neither is there. */
static nb_status find_in(nb_ctx *ctx, const char *dir, const char *file, char **out)
{
    *out = NULL;
    static const char *const suffixes[] = {"", ".gz"};
    for (int32_t i = 0; i < 2; i++) {
        char *s = join3(ctx, dir, file, suffixes[i]);
        if (!s)
            return NB_E_NOMEM;
        if (nb_file_exists(s)) {
            *out = s;
            return NB_OK;
        }
        nb_free(ctx, s);
    }
    return NB_OK;
}

nb_status nb_data_locate(nb_ctx *ctx, const char *name, const char *path, const char *file, char **dir)
{
    const char *env = getenv("NB_DATA");
    const bool has_env = env && env[0];
    struct {
        const char *dir, *sub;
    } places[] = {{has_env ? env : NULL, name},
                  {has_env ? env : NULL, ""},
                  {"datasets/data", name},
                  {"../shared/data", name},
                  {"/usr/share/datasets", name}};
    int32_t n = sizeof places / sizeof places[0];
    if (path[0]) {
        places[0].dir = path;
        places[0].sub = "";
        n = 1;
    }
    for (int32_t i = 0; i < n; i++) {
        if (!places[i].dir)
            continue;
        char *d = places[i].sub[0] ? join3(ctx, places[i].dir, places[i].sub, "") : nb_strdup(ctx, places[i].dir);
        if (!d)
            return NB_E_NOMEM;
        char *found;
        nb_status st = find_in(ctx, d, file, &found);
        if (found) {
            nb_free(ctx, found);
            *dir = d;
            return NB_OK;
        }
        nb_free(ctx, d);
        NB_TRY(st);
    }
    if (path[0])
        return nb_fail(ctx, NB_E_IO,
                       "%s: holds neither %s nor %s.gz: data.path must be the folder with the files of %s", path, file,
                       file, name);
    return nb_fail(ctx, NB_E_IO,
                   "%s: %s not found in %s%sdatasets/data/%s, ../shared/data/%s or /usr/share/datasets/%s: run "
                   "datasets/get.sh %s, or set "
                   "data.path or NB_DATA",
                   name, file, has_env ? env : "", has_env ? ", " : "", name, name, name, name);
}

nb_status nb_data_read(nb_ctx *ctx, const char *dir, const char *file, size_t max, char **where, uint8_t **bytes,
                       size_t *len)
{
    char *p;
    NB_TRY(find_in(ctx, dir, file, &p));
    if (!p)
        return nb_fail(ctx, NB_E_IO, "%s%s%s: no such file, packed (.gz) or not", dir, dir[0] ? "/" : "", file);
    nb_status st = nb_file_read_gz(ctx, p, max, bytes, len);
    if (st != NB_OK) {
        nb_free(ctx, p);
        return st;
    }
    *where = p;
    return NB_OK;
}
