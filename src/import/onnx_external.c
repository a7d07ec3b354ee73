/* onnx_external.c - each file is read once, whole, and its parts are used where they lie. */
#include "import/onnx_external.h"

#include "base/check.h"
#include "base/files.h"

#include <stdio.h>
#include <string.h>

enum { MAX_FILES = 64, PATH_BYTES = 4096 };
static const size_t max_bytes = (size_t)1 << 31;

struct onnx_external_file {
    struct onnx_external_file *next;
    const char *location;
    uint8_t *bytes;
    size_t len;
};

/* A model must not make us read anything but what lies beside it or below. */
static bool is_beside(const char *location)
{
    if (!*location || *location == '/' || strchr(location, '\\'))
        return false;
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strcspn(part, "/") == 2 && part[0] == '.' && part[1] == '.')
            return false;
    }
    return true;
}

static nb_status open_file(nb_ctx *ctx, nb_arena *arena, onnx_externals *files, const char *model, const char *location,
                           const struct onnx_external_file **out)
{
    int32_t n = 0;
    for (const struct onnx_external_file *f = files->first; f; f = f->next, n++)
        if (strcmp(f->location, location) == 0) {
            *out = f;
            return NB_OK;
        }
    if (!is_beside(location) || n == MAX_FILES)
        return nb_fail(ctx, NB_E_FORMAT, "its values are in '%.200s': %s", location,
                       n == MAX_FILES ? "more than 64 such files" : "must be a file beside the model");
    char path[PATH_BYTES];
    const char *slash = strrchr(model, '/');
    const int written =
        snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash + 1 - model) : 0, slash ? model : "", location);
    if (written < 0 || (size_t)written >= sizeof path)
        return nb_fail(ctx, NB_E_FORMAT, "its values are in '%.200s': the path is too long", location);
    struct onnx_external_file *f = nb_arena_alloc(arena, sizeof *f);
    if (!f)
        return NB_E_NOMEM;
    f->location = location;
    nb_status st = nb_file_read(ctx, path, max_bytes, &f->bytes, &f->len);
    if (st != NB_OK)
        return nb_fail(ctx, st, "its values are in another file: %s", nb_ctx_error(ctx));
    f->next = files->first;
    files->first = f;
    *out = f;
    return NB_OK;
}

nb_status onnx_external_read(nb_ctx *ctx, nb_arena *arena, onnx_externals *files, const char *model,
                             const onnx_place *at, const void **data)
{
    const struct onnx_external_file *f = NULL;
    NB_TRY(open_file(ctx, arena, files, model, at->location, &f));
    if (at->length >= 0 && at->length != at->bytes)
        return nb_fail(ctx, NB_E_FORMAT, "has %lld bytes in '%.200s': must have %lld", (long long)at->length,
                       at->location, (long long)at->bytes);
    if (at->offset < 0 || (uint64_t)at->offset > f->len || (uint64_t)at->bytes > f->len - (uint64_t)at->offset)
        return nb_fail(ctx, NB_E_FORMAT, "its %lld bytes from %lld on are not in '%.200s', which has %zu (cut short?)",
                       (long long)at->bytes, (long long)at->offset, at->location, f->len);
    *data = f->bytes + at->offset;
    if (at->offset % (int64_t)sizeof(int64_t) == 0)
        return NB_OK;
    void *copy =
        nb_arena_alloc(arena, (size_t)at->bytes + 1); /* numbers are used where they lie, so they lie aligned */
    if (!copy)
        return NB_E_NOMEM;
    memcpy(copy, *data, (size_t)at->bytes);
    *data = copy;
    return NB_OK;
}

void onnx_externals_free(nb_ctx *ctx, onnx_externals *files)
{
    for (struct onnx_external_file *f = files->first; f; f = f->next)
        nb_free(ctx, f->bytes);
    files->first = NULL;
}
