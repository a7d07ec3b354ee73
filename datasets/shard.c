/* shard.c - opening a shard of a packed data set, and reading images of it. See shard.h for the format.
 *
 * A file is hostile until open has passed: tensors have the names, types and shapes that they must, labels are classes,
 * names are as many as images, and the checksum is right. */
#include "shard.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32.h"

enum { MAX_NAMES = 1 << 30 };

const char *const nb_pack_split_names[2] = {"train", "test"};

nb_status nb_shard_path(nb_ctx *ctx, const char *folder, const char *split, int32_t number, char *path)
{
    const int n = snprintf(path, NB_SHARD_PATH, "%s/%s-%05d.safetensors", folder, split, number);
    return n > 0 && n < NB_SHARD_PATH ? NB_OK : nb_fail(ctx, NB_E_CONFIG, "%.100s...: too long a path", folder);
}

nb_status nb_pack_remedy(nb_ctx *ctx, nb_status st)
{
    char why[512];
    if (st == NB_OK || st == NB_E_NOMEM)
        return st;
    snprintf(why, sizeof why, "%s", nb_ctx_error(ctx));
    return nb_fail(ctx, st, "%s: " NB_PACK_AGAIN, why);
}

nb_status nb_pack_check_format(nb_ctx *ctx, const nb_st_file *f, const char *family, const char *what)
{
    const nb_status st = nb_st_check_format(ctx, f, family, NB_PACK_VERSION, what);
    const char *format = nb_st_meta(f, "format");
    const size_t len = strlen(family);
    int32_t version = 0, end = 0;
    const bool ours = format && strncmp(format, family, len) == 0 && sscanf(format + len, "%d%n", &version, &end) == 1;
    return ours && !format[len + (size_t)end] && version > NB_PACK_VERSION ? st : nb_pack_remedy(ctx, st);
}

typedef struct {
    const nb_st_tensor *labels, *checksums, *pixels, *names, *checksum;
} tensors;

static nb_status damaged(nb_ctx *ctx, const char *path, const char *what)
{
    return nb_fail(ctx, NB_E_FORMAT, "%s: damaged: %s: " NB_PACK_AGAIN, path, what);
}

static bool is(const nb_st_tensor *t, nb_st_dtype dtype, int64_t count)
{
    return t && t->dtype == dtype && t->ndim == 1 && t->count == count;
}

static nb_status find_tensors(nb_ctx *ctx, const nb_st_file *f, const nb_shard_shape *s, tensors *t)
{
    static const char *const order[] = {"labels", "checksums", "pixels", "names", "checksum"};
    const char *path = nb_st_name(f);
    bool known = nb_st_count(f) == 5;
    for (int32_t i = 0; i < 5 && known; i++)
        known = strcmp(nb_st_at(f, i)->name, order[i]) == 0;
    if (!known)
        return damaged(ctx, path, "it has not the five tensors of a shard, labels to checksum");
    *t = (tensors){nb_st_at(f, 0), nb_st_at(f, 1), nb_st_at(f, 2), nb_st_at(f, 3), nb_st_at(f, 4)};
    const nb_st_tensor *p = t->pixels;
    if (p->dtype != NB_ST_U8 || p->ndim != 4 || p->shape[0] < 1 || p->shape[0] > INT32_MAX)
        return damaged(ctx, path, "its pixels are not u8 [n, h, w, c]");
    if (p->shape[1] != s->h || p->shape[2] != s->w || p->shape[3] != s->c)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: images of %" PRId64 "x%" PRId64 "x%" PRId64
                       ", but the folder's are %dx%dx%d: it is of another packing: " NB_PACK_AGAIN,
                       path, p->shape[1], p->shape[2], p->shape[3], s->h, s->w, s->c);
    if (!is(t->labels, NB_ST_I32, p->shape[0]) || !is(t->checksums, NB_ST_U32, p->shape[0]) ||
        !is(t->names, NB_ST_U8, t->names->count) || t->names->count < p->shape[0] || t->names->count > MAX_NAMES ||
        !is(t->checksum, NB_ST_U32, 1))
        return damaged(ctx, path, "labels, checksums and names are not as many as its images");
    return NB_OK;
}

static nb_status check_place(nb_ctx *ctx, const nb_st_file *f, const char *split, int32_t number)
{
    char want[16];
    const char *is_split = nb_st_meta(f, "split"), *is_number = nb_st_meta(f, "number");
    snprintf(want, sizeof want, "%d", number);
    if (is_split && is_number && strcmp(is_split, split) == 0 && strcmp(is_number, want) == 0)
        return NB_OK;
    return nb_fail(ctx, NB_E_FORMAT, "%s: is shard %.20s of split %.20s, not %d of %s: was it renamed? " NB_PACK_AGAIN,
                   nb_st_name(f), is_number ? is_number : "?", is_split ? is_split : "?", number, split);
}

static nb_status read_table(nb_ctx *ctx, const nb_shard *s, const nb_st_tensor *t, void *to, uint32_t *checksum)
{
    NB_TRY(nb_file_read_at(ctx, s->path, s->fd, t->at, to, t->bytes));
    *checksum = nb_crc32(*checksum, to, t->bytes);
    return NB_OK;
}

static nb_status read_tables(nb_ctx *ctx, const nb_st_file *f, const tensors *t, nb_shard *s)
{
    size_t head;
    uint32_t sum, want;
    const uint8_t *bytes = nb_st_raw(f, &head);
    s->labels = nb_alloc(ctx, t->labels->bytes);
    s->sums = nb_alloc(ctx, t->checksums->bytes);
    s->names = nb_alloc(ctx, t->names->bytes);
    s->name = nb_alloc(ctx, (size_t)s->n * sizeof *s->name);
    if (!s->labels || !s->sums || !s->names || !s->name)
        return NB_E_NOMEM;
    sum = nb_crc32(0, bytes, head);
    NB_TRY(read_table(ctx, s, t->labels, s->labels, &sum));
    NB_TRY(read_table(ctx, s, t->checksums, s->sums, &sum));
    NB_TRY(read_table(ctx, s, t->names, s->names, &sum));
    NB_TRY(nb_file_read_at(ctx, s->path, s->fd, t->checksum->at, &want, sizeof want));
    if (sum != want)
        return damaged(ctx, s->path, "its header, labels or names do not have their checksum");
    s->checksum = sum;
    s->name_bytes = t->names->bytes;
    return NB_OK;
}

static nb_status check_tables(nb_ctx *ctx, nb_shard *s, int32_t classes)
{
    size_t at = 0;
    for (int32_t i = 0; i < s->n; i++) {
        const char *end = memchr(s->names + at, 0, s->name_bytes - at);
        if (s->labels[i] < 0 || s->labels[i] >= classes || !end)
            return damaged(ctx, s->path, !end ? "its images have not all a name" : "a label is no class");
        s->name[i] = (int32_t)at;
        at = (size_t)(end - s->names) + 1;
    }
    return at == s->name_bytes ? NB_OK : damaged(ctx, s->path, "it has more names than images");
}

static nb_status open_file(nb_ctx *ctx, const char *split, int32_t number, const nb_shard_shape *shape, nb_shard *s)
{
    nb_st_file *f;
    tensors t = {0};
    NB_TRY(nb_file_open(ctx, s->path, &s->fd));
    NB_TRY(nb_pack_remedy(ctx, nb_st_open_head(ctx, s->path, s->fd, &f)));
    nb_status st = nb_pack_check_format(ctx, f, NB_SHARD_FAMILY, "a shard of a packed data set");
    if (st == NB_OK)
        st = check_place(ctx, f, split, number);
    if (st == NB_OK)
        st = find_tensors(ctx, f, shape, &t);
    if (st == NB_OK) {
        const char *source = nb_st_meta(f, "source");
        s->n = (int32_t)t.pixels->shape[0];
        s->pixels = t.pixels->at;
        s->source = nb_strdup(ctx, source ? source : "");
        st = s->source ? read_tables(ctx, f, &t, s) : NB_E_NOMEM;
    }
    nb_st_close(ctx, f);
    return st == NB_OK ? check_tables(ctx, s, shape->classes) : st;
}

nb_status nb_shard_open(nb_ctx *ctx, const char *path, const char *split, int32_t number, const nb_shard_shape *shape,
                        nb_shard *out)
{
    nb_shard s = {.path = nb_strdup(ctx, path), .fd = -1};
    const nb_status st = s.path ? open_file(ctx, split, number, shape, &s) : NB_E_NOMEM;
    if (st == NB_OK)
        *out = s;
    else
        nb_shard_close(ctx, &s);
    return st;
}

nb_status nb_shard_read(nb_ctx *ctx, const nb_shard *s, int32_t i, size_t bytes, uint8_t *hwc)
{
    NB_TRY(nb_pack_remedy(ctx, nb_file_read_at(ctx, s->path, s->fd, s->pixels + (int64_t)bytes * i, hwc, bytes)));
    if (nb_crc32(0, hwc, bytes) == s->sums[i])
        return NB_OK;
    return nb_fail(ctx, NB_E_FORMAT,
                   "%s: damaged: image %d%s%s does not have the checksum it was packed with: " NB_PACK_AGAIN, s->path,
                   i, s->names[s->name[i]] ? ", " : "", s->names + s->name[i]);
}

void nb_shard_close(nb_ctx *ctx, nb_shard *s)
{
    if (s->path && s->fd >= 0)
        close(s->fd);
    nb_free(ctx, s->path);
    nb_free(ctx, s->source);
    nb_free(ctx, s->labels);
    nb_free(ctx, s->sums);
    nb_free(ctx, s->names);
    nb_free(ctx, s->name);
    *s = (nb_shard){.fd = -1};
}

int64_t nb_shard_memory(const nb_shard *s)
{
    return (int64_t)s->name_bytes + (int64_t)s->n * (int64_t)(2 * sizeof(int32_t) + sizeof(uint32_t));
}
