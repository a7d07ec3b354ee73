/* safetensors.c - the reader. A file is hostile until every line below has passed:
 *
 *   the header's length fits the file and the limit; it is UTF-8 JSON without NUL (cJSON cuts strings there) and
 * without repeated names; every tensor has exactly dtype, shape, data_offsets; sizes are integers below 2^53 (a JSON
 * number is a double) and agree; sorted by offset, tensors follow each other without a gap from the first data byte to
 * the last. Tensors are handed out in order of offset. Data stays where it was read; only what stands unaligned for its
 * type is copied. */
#include "base/safetensors.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/crc32.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors on disk are little-endian and are used in place");

enum { LENGTH_BYTES = 8 };
static const size_t max_file_bytes = (size_t)4 << 30;
static const double max_integer = 9007199254740992.0; /* 2^53: above, a double no longer holds every integer */

typedef struct {
    const char *key, *value;
} meta_entry;

struct nb_st_file {
    nb_arena *arena;
    uint8_t *bytes; /* the whole file, or its header alone */
    size_t have;    /* how many they are */
    bool head_only;
    const char *name;
    const nb_st_tensor *tensors;  /* by offset */
    const nb_st_tensor **by_name; /* the same, sorted for find */
    meta_entry *meta;
    int32_t n, n_meta;
};

/* A tensor while its place is being checked. */
typedef struct {
    int64_t begin, end;
    int32_t order; /* in the header; decides among empty tensors */
    int32_t align;
    nb_st_tensor t;
} placed;

/* ---- dtypes ---- */
static const struct {
    char name[12];
    uint8_t bytes;
    uint8_t dtype;
} dtypes[] = {
    {"F32", 4, NB_ST_F32},    {"I8", 1, NB_ST_I8},         {"U8", 1, NB_ST_U8},         {"I32", 4, NB_ST_I32},
    {"I64", 8, NB_ST_I64},    {"F64", 8, NB_ST_F64},       {"F16", 2, NB_ST_F16},       {"BF16", 2, NB_ST_BF16},
    {"U32", 4, NB_ST_U32},    {"I16", 2, NB_ST_OTHER},     {"U16", 2, NB_ST_OTHER},     {"U64", 8, NB_ST_OTHER},
    {"BOOL", 1, NB_ST_OTHER}, {"F8_E4M3", 1, NB_ST_OTHER}, {"F8_E5M2", 1, NB_ST_OTHER},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

const char *nb_st_dtype_name(nb_st_dtype t)
{
    return t == NB_ST_OTHER ? NULL : dtypes[t].name; /* the table begins in the order of the enumeration */
}

size_t nb_st_dtype_bytes(nb_st_dtype t)
{
    return t == NB_ST_OTHER ? 0 : dtypes[t].bytes;
}

/* ---- the checksum ---- */
uint32_t nb_st_tensor_crc32(const nb_st_tensor *t)
{
    const char *dtype = t->dtype == NB_ST_OTHER ? "" : nb_st_dtype_name(t->dtype); /* our formats have no other */
    uint32_t crc = nb_crc32(0, t->name, strlen(t->name) + 1);
    crc = nb_crc32(crc, dtype, strlen(dtype) + 1);
    crc = nb_crc32(crc, t->shape, (size_t)t->ndim * sizeof *t->shape);
    return nb_crc32(crc, t->data, t->bytes);
}

uint32_t nb_st_meta_crc32(const char *key, const char *value)
{
    const uint32_t crc = nb_crc32(0, key, strlen(key) + 1);
    return strcmp(key, NB_ST_CRC32) == 0 ? 0 : nb_crc32(crc, value, strlen(value));
}

/* ---- text ---- */

/* A NUL, raw or as an escape, would make cJSON cut a name short and so let two names look equal. */
static bool holds_nul(const char *s, size_t len)
{
    if (memchr(s, 0, len))
        return true;
    for (size_t i = 0; i + 5 < len; i++) {
        if (s[i] != '\\')
            continue;
        if (memcmp(s + i, "\\u0000", 6) == 0)
            return true;
        i++; /* the escaped character, perhaps a backslash */
    }
    return false;
}

/* ---- one tensor ---- */
static nb_status bad(nb_ctx *ctx, const nb_st_file *f, const char *tensor, const char *what)
{
    return nb_fail(ctx, NB_E_FORMAT, "%s: tensor \"%.100s\": %s", f->name, tensor, what);
}

static bool get_integer(const cJSON *v, int64_t *out)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble < max_integer) ||
        v->valuedouble != floor(v->valuedouble))
        return false;
    *out = (int64_t)v->valuedouble;
    return true;
}

static nb_status read_dtype(nb_ctx *ctx, const nb_st_file *f, const cJSON *v, const char *name, placed *p)
{
    if (!cJSON_IsString(v))
        return bad(ctx, f, name, "dtype is not a string");
    for (int i = 0; i < N_DTYPES; i++)
        if (strcmp(v->valuestring, dtypes[i].name) == 0) {
            p->t.dtype = (nb_st_dtype)dtypes[i].dtype;
            p->align = dtypes[i].bytes;
            return NB_OK;
        }
    return nb_fail(ctx, NB_E_FORMAT, "%s: tensor \"%.100s\": unknown dtype \"%.20s\"", f->name, name, v->valuestring);
}

static nb_status read_shape(nb_ctx *ctx, const nb_st_file *f, const cJSON *v, const char *name, placed *p)
{
    if (!cJSON_IsArray(v))
        return bad(ctx, f, name, "shape is not a list");
    p->t.count = 1;
    bool empty = false;
    for (const cJSON *d = v->child; d; d = d->next) {
        if (p->t.ndim == NB_ST_MAX_DIM)
            return bad(ctx, f, name, "more than 8 dimensions");
        int64_t size;
        if (!get_integer(d, &size))
            return bad(ctx, f, name, "a dimension is not an integer below 2^53");
        p->t.shape[p->t.ndim++] = size;
        empty = empty || size == 0;
        if (size && p->t.count > (int64_t)max_integer / size)
            return bad(ctx, f, name, "the product of its dimensions is absurd");
        p->t.count *= size ? size : 1;
    }
    if (empty)
        p->t.count = 0;
    return NB_OK;
}

static nb_status read_offsets(nb_ctx *ctx, const nb_st_file *f, const cJSON *v, const char *name, placed *p)
{
    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2)
        return bad(ctx, f, name, "data_offsets is not a pair");
    if (!get_integer(v->child, &p->begin) || !get_integer(v->child->next, &p->end))
        return bad(ctx, f, name, "data_offsets are not integers below 2^53");
    if (p->end < p->begin)
        return bad(ctx, f, name, "data_offsets run backwards");
    return NB_OK;
}

static nb_status read_tensor(nb_ctx *ctx, const nb_st_file *f, const cJSON *v, placed *p)
{
    const char *name = v->string;
    if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) != 3) /* three fields found among three: none is there twice */
        return bad(ctx, f, name, "must have exactly dtype, shape and data_offsets");
    NB_TRY(read_dtype(ctx, f, cJSON_GetObjectItemCaseSensitive(v, "dtype"), name, p));
    NB_TRY(read_shape(ctx, f, cJSON_GetObjectItemCaseSensitive(v, "shape"), name, p));
    NB_TRY(read_offsets(ctx, f, cJSON_GetObjectItemCaseSensitive(v, "data_offsets"), name, p));
    if ((p->end - p->begin) % p->align != 0 || (p->end - p->begin) / p->align != p->t.count)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: tensor \"%.100s\": data_offsets hold %jd bytes, its shape needs %jd elements of %d",
                       f->name, name, (intmax_t)(p->end - p->begin), (intmax_t)p->t.count, p->align);
    p->t.bytes = (size_t)(p->end - p->begin);
    p->t.name = nb_arena_strdup(f->arena, name);
    return p->t.name ? NB_OK : NB_E_NOMEM;
}

/* ---- all tensors ---- */
static int by_offset(const void *a, const void *b)
{
    const placed *p = a, *q = b;
    if (p->begin != q->begin)
        return p->begin < q->begin ? -1 : 1;
    if (p->end != q->end)
        return p->end < q->end ? -1 : 1;
    return p->order < q->order ? -1 : p->order > q->order;
}

static int by_name(const void *a, const void *b)
{
    const nb_st_tensor *const *p = a, *const *q = b;
    return strcmp((*p)->name, (*q)->name);
}

/* p is sorted: each begins where the one before ended, and the last ends with the file. */
static nb_status check_cover(nb_ctx *ctx, const nb_st_file *f, const placed *p, int64_t data_bytes)
{
    int64_t at = 0;
    for (int32_t i = 0; i < f->n; i++) {
        if (p[i].begin < at)
            return bad(ctx, f, p[i].t.name, "overlaps another tensor");
        if (p[i].begin > at)
            return bad(ctx, f, p[i].t.name, "bytes before it belong to no tensor");
        if (p[i].end > data_bytes)
            return nb_fail(ctx, NB_E_FORMAT,
                           "%s: tensor \"%.100s\": ends at byte %jd of the data, the file holds %jd (cut short?)",
                           f->name, p[i].t.name, (intmax_t)p[i].end, (intmax_t)data_bytes);
        at = p[i].end;
    }
    if (at != data_bytes)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %jd bytes behind the last tensor belong to none", f->name,
                       (intmax_t)(data_bytes - at));
    return NB_OK;
}

static const void *aligned_data(const nb_st_file *f, const placed *p, const uint8_t *data)
{
    const uint8_t *at = data + p->begin;
    if ((uintptr_t)at % (uintptr_t)p->align == 0)
        return at;
    void *copy = nb_arena_alloc(f->arena, p->t.bytes);
    return copy ? memcpy(copy, at, p->t.bytes) : NULL;
}

static nb_status index_tensors(nb_ctx *ctx, nb_st_file *f, const placed *p, const uint8_t *data)
{
    nb_st_tensor *t = nb_arena_array(f->arena, (size_t)f->n, sizeof *t);
    f->by_name = nb_arena_array(f->arena, (size_t)f->n, sizeof *f->by_name);
    if (!t || !f->by_name)
        return NB_E_NOMEM;
    f->tensors = t;
    for (int32_t i = 0; i < f->n; i++) {
        t[i] = p[i].t;
        t[i].at = (data - f->bytes) + p[i].begin;
        t[i].data = f->head_only ? NULL : aligned_data(f, &p[i], data);
        if (!t[i].data && !f->head_only)
            return NB_E_NOMEM;
        f->by_name[i] = &t[i];
    }
    qsort(f->by_name, (size_t)f->n, sizeof *f->by_name, by_name);
    for (int32_t i = 1; i < f->n; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return bad(ctx, f, f->by_name[i]->name, "is there twice");
    return NB_OK;
}

static int by_key(const void *a, const void *b)
{
    const meta_entry *p = a, *q = b;
    return strcmp(p->key, q->key);
}

static nb_status read_meta(nb_ctx *ctx, nb_st_file *f, const cJSON *v)
{
    if (f->meta)
        return nb_fail(ctx, NB_E_FORMAT, "%s: __metadata__ is there twice", f->name);
    if (!cJSON_IsObject(v))
        return nb_fail(ctx, NB_E_FORMAT, "%s: __metadata__ is not a map of strings", f->name);
    f->meta = nb_arena_array(f->arena, (size_t)cJSON_GetArraySize(v), sizeof *f->meta);
    if (!f->meta)
        return NB_E_NOMEM;
    for (const cJSON *e = v->child; e; e = e->next) {
        if (!cJSON_IsString(e))
            return nb_fail(ctx, NB_E_FORMAT, "%s: __metadata__ \"%.100s\" is not a string", f->name, e->string);
        meta_entry *m = &f->meta[f->n_meta++];
        m->key = nb_arena_strdup(f->arena, e->string);
        m->value = nb_arena_strdup(f->arena, e->valuestring);
        if (!m->key || !m->value)
            return NB_E_NOMEM;
    }
    qsort(f->meta, (size_t)f->n_meta, sizeof *f->meta, by_key);
    for (int32_t i = 1; i < f->n_meta; i++)
        if (strcmp(f->meta[i - 1].key, f->meta[i].key) == 0)
            return nb_fail(ctx, NB_E_FORMAT, "%s: __metadata__ \"%.100s\" is there twice", f->name, f->meta[i].key);
    return NB_OK;
}

static nb_status read_header(nb_ctx *ctx, nb_st_file *f, const cJSON *root, const uint8_t *data, int64_t data_bytes)
{
    size_t entries = (size_t)cJSON_GetArraySize(root);
    placed *p = nb_alloc(ctx, entries * sizeof *p);
    nb_status st = p ? NB_OK : NB_E_NOMEM;
    for (const cJSON *v = root->child; v && st == NB_OK; v = v->next) {
        if (strcmp(v->string, "__metadata__") == 0) {
            st = read_meta(ctx, f, v);
            continue;
        }
        p[f->n].order = f->n;
        st = read_tensor(ctx, f, v, &p[f->n++]);
    }
    if (st == NB_OK) {
        qsort(p, (size_t)f->n, sizeof *p, by_offset);
        st = check_cover(ctx, f, p, data_bytes);
    }
    if (st == NB_OK)
        st = index_tensors(ctx, f, p, data);
    nb_free(ctx, p);
    return st;
}

/* Its first bytes are no header's: say what they are, if that is known. */
static nb_status not_ours(nb_ctx *ctx, const nb_st_file *f, size_t len)
{
    char kind[NB_FILE_KIND_BYTES];
    const bool ours = len > LENGTH_BYTES && f->bytes[LENGTH_BYTES] == '{';
    if (!ours && nb_file_kind(f->name, f->bytes, len, kind, sizeof kind))
        return nb_fail(ctx, NB_E_FORMAT, "%s: not a safetensors file but %s", f->name, kind);
    return NB_OK;
}

static nb_status parse_header(nb_ctx *ctx, nb_st_file *f, size_t len)
{
    NB_TRY(not_ours(ctx, f, f->have));
    if (len < LENGTH_BYTES)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not a safetensors file: %zu bytes", f->name, len);
    uint64_t header_bytes = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        header_bytes = header_bytes << 8 | f->bytes[i];
    if (header_bytes > len - LENGTH_BYTES || header_bytes > NB_ST_MAX_HEADER)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: not a safetensors file, or cut short: it claims a header of %ju bytes in %zu", f->name,
                       (uintmax_t)header_bytes, len);
    const char *text = (const char *)f->bytes + LENGTH_BYTES;
    size_t n = (size_t)header_bytes;
    if (n == 0 || text[0] != '{')
        return nb_fail(ctx, NB_E_FORMAT, "%s: not a safetensors file: its header does not begin with {", f->name);
    if (holds_nul(text, n) || !nb_utf8_valid(text, n))
        return nb_fail(ctx, NB_E_FORMAT, "%s: damaged header: not UTF-8 text, or with a NUL in it", f->name);
    const char *end = text;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    if (!root)
        return nb_fail(ctx, NB_E_FORMAT, "%s: damaged header: not JSON at byte %td of %zu", f->name, end - text, n);
    nb_status st = NB_OK;
    for (; end < text + n && st == NB_OK; end++)
        if (*end != ' ' && *end != '\n' && *end != '\t' && *end != '\r')
            st = nb_fail(ctx, NB_E_FORMAT, "%s: damaged header: text behind the closing } at byte %td", f->name,
                         end - text);
    if (st == NB_OK)
        st = read_header(ctx, f, root, f->bytes + LENGTH_BYTES + n, (int64_t)(len - LENGTH_BYTES - n));
    cJSON_Delete(root);
    return st;
}

/* Takes bytes over, also when it fails: have of them, of a file of len. */
static nb_status parse_owned(nb_ctx *ctx, const char *name, uint8_t *bytes, size_t have, size_t len, nb_st_file **out)
{
    nb_st_file *f = nb_alloc(ctx, sizeof *f);
    if (!f) {
        nb_free(ctx, bytes);
        return NB_E_NOMEM;
    }
    f->bytes = bytes;
    f->have = have;
    f->head_only = have < len;
    nb_status st = nb_arena_create(ctx, &f->arena);
    if (st == NB_OK)
        st = (f->name = nb_arena_strdup(f->arena, name)) ? parse_header(ctx, f, len) : NB_E_NOMEM;
    if (st == NB_OK)
        *out = f;
    else
        nb_st_close(ctx, f);
    return st;
}

nb_status nb_st_open(nb_ctx *ctx, const char *path, nb_st_file **out)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, max_file_bytes, &bytes, &len));
    return parse_owned(ctx, path, bytes, len, len, out);
}

/* A length that cannot be right stays as it is: parse_header has the sentence for it, and reads no further. */
nb_status nb_st_open_head(nb_ctx *ctx, const char *path, int fd, nb_st_file **out)
{
    uint8_t length[LENGTH_BYTES] = {0};
    size_t len;
    uint64_t header = 0;
    NB_TRY(nb_file_size(ctx, path, fd, &len));
    size_t have = len < LENGTH_BYTES ? len : LENGTH_BYTES;
    NB_TRY(nb_file_read_at(ctx, path, fd, 0, length, have));
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        header = header << 8 | length[i];
    if (have == LENGTH_BYTES && header <= len - LENGTH_BYTES && header <= NB_ST_MAX_HEADER)
        have += (size_t)header;
    uint8_t *bytes = nb_alloc(ctx, have);
    if (!bytes)
        return NB_E_NOMEM;
    const nb_status st = nb_file_read_at(ctx, path, fd, 0, bytes, have);
    if (st == NB_OK)
        return parse_owned(ctx, path, bytes, have, len, out);
    nb_free(ctx, bytes);
    return st;
}

const uint8_t *nb_st_raw(const nb_st_file *f, size_t *len)
{
    *len = f->have;
    return f->bytes;
}

nb_status nb_st_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_st_file **out)
{
    uint8_t *copy = nb_alloc(ctx, len);
    if (!copy)
        return NB_E_NOMEM;
    if (len)
        memcpy(copy, bytes, len);
    return parse_owned(ctx, name, copy, len, len, out);
}

void nb_st_drop_tensors(nb_ctx *ctx, nb_st_file *f)
{
    nb_free(ctx, f->bytes);
    f->bytes = NULL;
    f->n = 0;
}

void nb_st_close(nb_ctx *ctx, nb_st_file *f)
{
    if (!f)
        return;
    nb_arena_free(f->arena);
    nb_free(ctx, f->bytes);
    nb_free(ctx, f);
}

int32_t nb_st_count(const nb_st_file *f)
{
    return f->n;
}

const nb_st_tensor *nb_st_at(const nb_st_file *f, int32_t i)
{
    NB_ASSERT(i >= 0 && i < f->n);
    return &f->tensors[i];
}

const nb_st_tensor *nb_st_find(const nb_st_file *f, const char *name)
{
    const nb_st_tensor wanted = {.name = name}, *key = &wanted;
    const nb_st_tensor **hit = bsearch(&key, f->by_name, (size_t)f->n, sizeof *f->by_name, by_name);
    return hit ? *hit : NULL;
}

const char *nb_st_meta(const nb_st_file *f, const char *key)
{
    const meta_entry wanted = {.key = key};
    const meta_entry *hit = f->n_meta ? bsearch(&wanted, f->meta, (size_t)f->n_meta, sizeof *f->meta, by_key) : NULL;
    return hit ? hit->value : NULL;
}

const char *nb_st_name(const nb_st_file *f)
{
    return f->name;
}

static nb_status check_crc32(nb_ctx *ctx, const nb_st_file *f)
{
    const char *want = nb_st_meta(f, NB_ST_CRC32);
    uint32_t crc = 0;
    char digits[9];
    if (!want || f->head_only)
        return NB_OK;
    for (int32_t i = 0; i < f->n; i++)
        crc += nb_st_tensor_crc32(&f->tensors[i]);
    for (int32_t i = 0; i < f->n_meta; i++)
        crc += nb_st_meta_crc32(f->meta[i].key, f->meta[i].value);
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    if (strcmp(want, digits) == 0)
        return NB_OK;
    return nb_fail(ctx, NB_E_FORMAT,
                   "%s: damaged: the CRC-32 of its contents is %s, metadata \"" NB_ST_CRC32
                   "\" says %.40s: copy it once more or make it again (if it was changed on purpose, leave "
                   "\"" NB_ST_CRC32 "\" out)",
                   f->name, digits, want);
}

nb_status nb_st_check_format(nb_ctx *ctx, const nb_st_file *f, const char *family, int version, const char *what)
{
    const char *format = nb_st_meta(f, "format");
    bool ours = format && strncmp(format, family, strlen(family)) == 0;
    char *end = NULL;
    long found = ours ? strtol(format + strlen(family), &end, 10) : 0;
    bool number = ours && end != format + strlen(family) && *end == '\0';
    if (number && found >= 1 && found <= version)
        return check_crc32(ctx, f);
    if (number && found > version)
        return nb_fail(
            ctx, NB_E_FORMAT,
            "%s: written by a newer Nibble (format \"%.40s\"; this program reads up to \"%s%d\"): use that one",
            f->name, format, family, version);
    return nb_fail(ctx, NB_E_FORMAT, "%s: not %s (metadata \"format\" is %s%.40s%s, not \"%s%d\")", f->name, what,
                   format ? "\"" : "", format ? format : "missing", format ? "\"" : "", family, version);
}
