/* pack_index.c - the index of a packed data set, read and written. See shard.h for the format. */
#include "shard.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/crc32.h"
#include "base/numtext.h"
#include "base/textbuf.h"
#include "core/feature_map.h"

enum { MAX_SIDE = 1 << 14, MAX_CLASSES = 1 << 24, SUM_BYTES = 4, NAME_BYTES = 32 };
static const size_t max_index = (size_t)1 << 30;

static nb_status damaged(nb_ctx *ctx, const char *path, const char *what)
{
    return nb_fail(ctx, NB_E_FORMAT, "%s: damaged: %s: " NB_PACK_AGAIN, path, what);
}

/* ---- reading ---- */

static nb_status read_shape(nb_ctx *ctx, const nb_st_file *f, nb_pack_index *x)
{
    const char *input = nb_st_meta(f, "input"), *classes = nb_st_meta(f, "classes");
    nb_shard_shape *s = &x->shape;
    int end[2] = {-1, -1};
    const bool read = input && classes && sscanf(input, "%d %d %d%n", &s->h, &s->w, &s->c, &end[0]) == 3 &&
                      sscanf(classes, "%d%n", &s->classes, &end[1]) == 1 && !input[end[0]] && !classes[end[1]];
    if (!read || s->h < 1 || s->h > MAX_SIDE || s->w < 1 || s->w > MAX_SIDE || s->c < 1 || s->c > NB_MAX_CHANNELS ||
        s->classes < 1 || s->classes > MAX_CLASSES)
        return damaged(ctx, nb_st_name(f), "it does not say how large images are and how many classes there are");
    return NB_OK;
}

/* A tensor of n values; n < 0: any number. NULL: it is not there, or another. */
static const nb_st_tensor *find(const nb_st_file *f, const char *name, nb_st_dtype dtype, int64_t n)
{
    const nb_st_tensor *t = nb_st_find(f, name);
    return t && t->dtype == dtype && t->ndim == 1 && (n < 0 || t->count == n) ? t : NULL;
}

static nb_status read_normalisation(nb_ctx *ctx, const nb_st_file *f, nb_pack_index *x)
{
    const nb_st_tensor *mean = find(f, "mean", NB_ST_F32, x->shape.c), *std = find(f, "std", NB_ST_F32, x->shape.c);
    bool good = mean && std;
    for (int32_t c = 0; good && c < x->shape.c; c++)
        good = isfinite(((const float *)mean->data)[c]) && ((const float *)std->data)[c] > 0 &&
               isfinite(((const float *)std->data)[c]);
    if (!good)
        return damaged(ctx, nb_st_name(f), "it has no mean and deviation of each channel");
    x->mean = nb_arena_alloc(x->arena, mean->bytes);
    x->std = nb_arena_alloc(x->arena, std->bytes);
    if (!x->mean || !x->std)
        return NB_E_NOMEM;
    memcpy(x->mean, mean->data, mean->bytes);
    memcpy(x->std, std->data, std->bytes);
    return NB_OK;
}

static nb_status read_class_names(nb_ctx *ctx, const nb_st_file *f, nb_pack_index *x)
{
    const nb_st_tensor *t = nb_st_find(f, "class_names");
    if (!t)
        return NB_OK;
    if (t->dtype != NB_ST_U8 || t->count < x->shape.classes)
        return damaged(ctx, nb_st_name(f), "its classes have not all a name");
    char *text = nb_arena_alloc(x->arena, t->bytes);
    const char **name = nb_arena_array(x->arena, (size_t)x->shape.classes, sizeof *name);
    if (!text || !name)
        return NB_E_NOMEM;
    memcpy(text, t->data, t->bytes);
    const char *at = text, *end = text + t->bytes;
    for (int32_t k = 0; k < x->shape.classes; k++) {
        const char *zero = memchr(at, 0, (size_t)(end - at));
        if (!zero)
            return damaged(ctx, nb_st_name(f), "its classes have not all a name");
        name[k] = at;
        at = zero + 1;
    }
    if (at != end)
        return damaged(ctx, nb_st_name(f), "it has more names than classes");
    x->class_names = name;
    return NB_OK;
}

static nb_status read_split(nb_ctx *ctx, const nb_st_file *f, const char *split, nb_pack_index *x, nb_pack_split *s)
{
    char name[2][NAME_BYTES];
    snprintf(name[0], NAME_BYTES, "%s.images", split);
    snprintf(name[1], NAME_BYTES, "%s.checksums", split);
    const nb_st_tensor *n = find(f, name[0], NB_ST_I32, -1);
    const nb_st_tensor *sums = n ? find(f, name[1], NB_ST_U32, n->count) : NULL;
    const char *print = nb_st_meta(f, split);
    int64_t total = 0;
    bool good = sums && n->count >= 1 && n->count <= NB_SHARD_MAX && print &&
                sscanf(print, "%d %" SCNx64 " %" SCNx64, &s->images, &s->print.labels, &s->print.pixels) == 3;
    for (int64_t i = 0; good && i < n->count; i++) {
        const int32_t images = ((const int32_t *)n->data)[i];
        total += images;
        good = images >= 1 && total <= INT32_MAX;
    }
    if (!good || total != s->images)
        return damaged(ctx, nb_st_name(f), "its shards do not have the images that it says");
    s->print.count = s->images;
    s->n_shards = (int32_t)n->count;
    s->n = nb_arena_alloc(x->arena, n->bytes);
    s->sums = nb_arena_alloc(x->arena, sums->bytes);
    if (!s->n || !s->sums)
        return NB_E_NOMEM;
    memcpy(s->n, n->data, n->bytes);
    memcpy(s->sums, sums->data, sums->bytes);
    return NB_OK;
}

static nb_status read_features(nb_ctx *ctx, const nb_st_file *f, nb_pack_index *x)
{
    const nb_shard_shape *s = &x->shape;
    const char *text = nb_st_meta(f, "features");
    if (!text)
        return NB_OK;
    nb_c_locale locale;
    if (!nb_c_locale_enter(&locale))
        return nb_fail(ctx, NB_E_NOMEM, "out of memory");
    const nb_status st = nb_features_parse(x->arena, text, (int64_t)s->h * s->w * s->c, s->c, &x->features);
    nb_c_locale_leave(&locale);
    return st == NB_OK && !x->features ? damaged(ctx, nb_st_name(f), "its map of features cannot be right") : st;
}

static nb_status read_index(nb_ctx *ctx, const nb_st_file *f, nb_pack_index *x)
{
    const char *source = nb_st_meta(f, "source");
    NB_TRY(nb_pack_check_format(ctx, f, NB_PACK_FAMILY, "the index of a packed data set"));
    NB_TRY(read_shape(ctx, f, x));
    NB_TRY(read_normalisation(ctx, f, x));
    NB_TRY(read_class_names(ctx, f, x));
    NB_TRY(read_features(ctx, f, x));
    for (int32_t i = 0; i < 2; i++)
        NB_TRY(read_split(ctx, f, nb_pack_split_names[i], x, &x->split[i]));
    x->source = nb_arena_strdup(x->arena, source ? source : "");
    return x->source ? NB_OK : NB_E_NOMEM;
}

static nb_status check_sum(nb_ctx *ctx, const char *path, const uint8_t *bytes, size_t len)
{
    uint32_t want = 0;
    if (len >= SUM_BYTES)
        memcpy(&want, bytes + len - SUM_BYTES, SUM_BYTES);
    if (len >= SUM_BYTES && nb_crc32(0, bytes, len - SUM_BYTES) == want)
        return NB_OK;
    return damaged(ctx, path, "it does not have its checksum");
}

nb_status nb_pack_index_read(nb_ctx *ctx, const char *folder, nb_pack_index *out)
{
    char path[NB_SHARD_PATH];
    uint8_t *bytes = NULL;
    size_t len = 0;
    nb_st_file *f = NULL;
    nb_pack_index x = {0};
    if (snprintf(path, sizeof path, "%s/" NB_PACK_INDEX, folder) >= (int)sizeof path)
        return nb_fail(ctx, NB_E_CONFIG, "%.100s...: too long a path", folder);
    if (nb_is_folder(folder) && !nb_file_exists(path))
        return nb_fail(ctx, NB_E_IO,
                       "%s: is not there: either %s is no packed data set, or packing did not come to its end: run "
                       "nibble pack with -o %s again, which goes on where it was",
                       path, folder, folder);
    NB_TRY(nb_file_read(ctx, path, max_index, &bytes, &len));
    nb_status st = nb_pack_remedy(ctx, nb_st_parse(ctx, path, bytes, len, &f));
    if (st == NB_OK)
        st = check_sum(ctx, path, bytes, len);
    if (st == NB_OK)
        st = nb_arena_create(ctx, &x.arena);
    if (st == NB_OK)
        st = read_index(ctx, f, &x);
    nb_st_close(ctx, f);
    nb_free(ctx, bytes);
    if (st == NB_OK)
        *out = x;
    else
        nb_arena_free(x.arena);
    return st;
}

/* ---- writing ---- */

static nb_status put_meta(nb_st_writer *w, const nb_pack_index *x)
{
    char text[96];
    const nb_shard_shape *s = &x->shape;
    snprintf(text, sizeof text, NB_PACK_FAMILY "%d", NB_PACK_VERSION);
    NB_TRY(nb_st_set_meta(w, "format", text));
    snprintf(text, sizeof text, "%d %d %d", s->h, s->w, s->c);
    NB_TRY(nb_st_set_meta(w, "input", text));
    snprintf(text, sizeof text, "%d", s->classes);
    NB_TRY(nb_st_set_meta(w, "classes", text));
    for (int32_t i = 0; i < 2; i++) {
        const nb_pack_split *p = &x->split[i];
        snprintf(text, sizeof text, "%d %016" PRIx64 " %016" PRIx64, p->images, p->print.labels, p->print.pixels);
        NB_TRY(nb_st_set_meta(w, nb_pack_split_names[i], text));
    }
    return nb_st_set_meta(w, "source", x->source);
}

static nb_status put_features(nb_ctx *ctx, nb_st_writer *w, const nb_features *f)
{
    nb_text t;
    nb_c_locale locale;
    char *text = NULL;
    if (!f)
        return NB_OK;
    if (!nb_c_locale_enter(&locale))
        return nb_fail(ctx, NB_E_NOMEM, "out of memory");
    nb_text_init(ctx, &t);
    nb_features_print(&t, f);
    nb_c_locale_leave(&locale);
    NB_TRY(nb_text_take(&t, &text));
    const nb_status st = nb_st_set_meta(w, "features", text);
    nb_free(ctx, text);
    return st;
}

/* names: the bytes of class_names, which the writer borrows. */
static nb_status put_tensors(nb_st_writer *w, const nb_pack_index *x, nb_text *names)
{
    static const uint32_t no_sum = 0; /* its place; the sum is of what stands before it */
    const int64_t c = x->shape.c, one = 1;
    char name[NAME_BYTES];
    NB_TRY(nb_st_add(w, "mean", NB_ST_F32, 1, &c, x->mean));
    NB_TRY(nb_st_add(w, "std", NB_ST_F32, 1, &c, x->std));
    for (int32_t i = 0; i < 2; i++) {
        const int64_t n = x->split[i].n_shards;
        snprintf(name, sizeof name, "%s.images", nb_pack_split_names[i]);
        NB_TRY(nb_st_add(w, name, NB_ST_I32, 1, &n, x->split[i].n));
        snprintf(name, sizeof name, "%s.checksums", nb_pack_split_names[i]);
        NB_TRY(nb_st_add(w, name, NB_ST_U32, 1, &n, x->split[i].sums));
    }
    for (int32_t k = 0; x->class_names && k < x->shape.classes; k++)
        nb_text_bytes(names, x->class_names[k], strlen(x->class_names[k]) + 1);
    NB_TRY(names->st);
    const int64_t bytes = (int64_t)names->len;
    if (x->class_names)
        NB_TRY(nb_st_add(w, "class_names", NB_ST_U8, 1, &bytes, names->s));
    return nb_st_add(w, "checksum", NB_ST_U32, 1, &one, &no_sum);
}

nb_status nb_pack_index_write(nb_ctx *ctx, const char *folder, const nb_pack_index *x)
{
    char path[NB_SHARD_PATH];
    nb_st_writer *w = NULL;
    nb_text names;
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (snprintf(path, sizeof path, "%s/" NB_PACK_INDEX, folder) >= (int)sizeof path)
        return nb_fail(ctx, NB_E_CONFIG, "%.100s...: too long a path", folder);
    nb_text_init(ctx, &names);
    nb_status st = nb_st_writer_create(ctx, &w);
    if (st == NB_OK)
        st = put_meta(w, x);
    if (st == NB_OK)
        st = put_features(ctx, w, x->features);
    if (st == NB_OK)
        st = put_tensors(w, x, &names);
    if (st == NB_OK)
        st = nb_st_bytes(w, path, &bytes, &len);
    if (st == NB_OK) {
        const uint32_t sum = nb_crc32(0, bytes, len - SUM_BYTES);
        memcpy(bytes + len - SUM_BYTES, &sum, SUM_BYTES);
        st = nb_file_write(ctx, path, bytes, len);
    }
    nb_free(ctx, bytes);
    nb_text_free(&names);
    nb_st_writer_free(w);
    return st;
}
