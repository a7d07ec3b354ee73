/* npy_file.c - NumPy's file format: "\x93NUMPY", version, the length of a Python dictionary with dtype, order and shape,
 * then the numbers.
 *
 * What cannot be read here can be saved again in NumPy, so every sentence says by which call. */
#include "array.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { MAGIC = 6, MAX_HEADER = 65536 };

typedef struct {
    nb_ctx *ctx;
    const char *name;
    const char *at, *end; /* of the dictionary's text */
} parser;

static nb_status bad_header(const parser *p, const char *what)
{
    char near[17] = "";
    for (size_t i = 0; i < sizeof near - 1 && p->at + i < p->end; i++)
        near[i] = p->at[i] >= ' ' && p->at[i] <= '~' ? p->at[i] : '?';
    return nb_fail(p->ctx, NB_E_FORMAT, "%s: NumPy header: %s expected at \"%s\": save it again with numpy.save",
                   p->name, what, near);
}

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n'))
        p->at++;
}

/* Is c next? Then it is taken. */
static bool take(parser *p, char c)
{
    skip_blanks(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

/* 'text' or "text", cut to fit. */
static bool take_string(parser *p, char *buf, size_t size)
{
    skip_blanks(p);
    const char quote = p->at < p->end ? *p->at : 0;
    if (quote != '\'' && quote != '"')
        return false;
    const char *begin = p->at + 1, *stop = memchr(begin, quote, (size_t)(p->end - begin));
    if (!stop)
        return false;
    size_t n = 0;
    for (const char *s = begin; s < stop && n + 1 < size; s++)
        buf[n++] = *s >= ' ' && *s <= '~' ? *s : '?';
    buf[n] = '\0';
    p->at = stop + 1;
    return true;
}

static bool take_word(parser *p, const char *word)
{
    const size_t n = strlen(word);
    skip_blanks(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

static nb_status read_dtype(parser *p, nb_array *a)
{
    static const char *const codes[NB_ARRAY_DTYPES] = {"|u1", "|i1", "|b1", "<u2", "<i2", "<u4",
                                                       "<i4", "<u8", "<i8", "<f4", "<f8"};
    char text[24];
    skip_blanks(p);
    if (p->at < p->end && *p->at == '[')
        return nb_fail(p->ctx, NB_E_UNSUPPORTED,
                       "%s: holds records of several fields: save one field, x['field'].astype('float32')", p->name);
    if (!take_string(p, text, sizeof text))
        return bad_header(p, "a dtype");
    for (int32_t i = 0; i < NB_ARRAY_DTYPES; i++)
        if (strcmp(text, codes[i]) == 0) {
            a->dtype = (nb_array_dtype)i;
            return NB_OK;
        }
    if (strcmp(text, "|O") == 0)
        return nb_fail(p->ctx, NB_E_UNSUPPORTED,
                       "%s: holds Python objects: save an array of numbers, numpy.asarray(list, 'float32')", p->name);
    return nb_fail(p->ctx, NB_E_UNSUPPORTED,
                   "%s: dtype '%s': must be 8 to 64 bit integers, float32 or float64, little-endian: save "
                   "x.astype('<f4') or x.astype('<i2')",
                   p->name, text);
}

static nb_status read_order(parser *p)
{
    if (take_word(p, "False"))
        return NB_OK;
    if (take_word(p, "True"))
        return nb_fail(p->ctx, NB_E_UNSUPPORTED, "%s: is in Fortran order: save numpy.ascontiguousarray(x)", p->name);
    return bad_header(p, "True or False");
}

static nb_status read_dim(parser *p, nb_array *a)
{
    int64_t v = 0;
    const char *begin = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        if (v > INT32_MAX)
            return nb_fail(p->ctx, NB_E_FORMAT, "%s: a size of more than %d cannot be right", p->name, INT32_MAX);
        v = 10 * v + (*p->at - '0');
    }
    if (p->at == begin)
        return bad_header(p, "a size");
    take_word(p, "L"); /* Python 2 */
    if (a->ndim == NB_ARRAY_MAX_DIM)
        return nb_fail(p->ctx, NB_E_UNSUPPORTED, "%s: has more than %d dimensions", p->name, NB_ARRAY_MAX_DIM);
    if (v == 0)
        return nb_fail(p->ctx, NB_E_FORMAT, "%s: is empty: dimension %d is 0", p->name, a->ndim);
    if (v > INT32_MAX || a->count > INT64_MAX / 8 / v)
        return nb_fail(p->ctx, NB_E_FORMAT, "%s: its sizes cannot be right: dimension %d is %" PRId64, p->name, a->ndim,
                       v);
    a->dim[a->ndim++] = v;
    a->count *= v;
    return NB_OK;
}

static nb_status read_shape(parser *p, nb_array *a)
{
    a->count = 1;
    if (!take(p, '('))
        return bad_header(p, "(");
    while (!take(p, ')')) {
        NB_TRY(read_dim(p, a));
        if (take(p, ','))
            continue;
        if (!take(p, ')'))
            return bad_header(p, ", or )");
        break;
    }
    return a->ndim > 0 ? NB_OK
                       : nb_fail(p->ctx, NB_E_FORMAT,
                                 "%s: is one number, not an array: save samples along the first "
                                 "dimension",
                                 p->name);
}

static nb_status read_dictionary(parser *p, nb_array *a)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    if (!take(p, '{'))
        return bad_header(p, "{");
    while (!take(p, '}')) {
        char key[24];
        int32_t k = 0;
        if (!take_string(p, key, sizeof key))
            return bad_header(p, "a key");
        while (k < 3 && strcmp(key, keys[k]) != 0)
            k++;
        if (k == 3 || seen & 1u << k || !take(p, ':'))
            return bad_header(p, "one of descr, fortran_order, shape and a colon");
        NB_TRY(k == 0 ? read_dtype(p, a) : k == 1 ? read_order(p) : read_shape(p, a));
        seen |= 1u << k;
        if (take(p, ','))
            continue;
        if (!take(p, '}'))
            return bad_header(p, ", or }");
        break;
    }
    skip_blanks(p);
    return seen == 7 && p->at == p->end ? NB_OK : bad_header(p, "descr, fortran_order, shape and then nothing");
}

/* The dictionary's place in the file. */
static nb_status find_dictionary(nb_ctx *ctx, const char *name, const uint8_t *b, size_t len, size_t *at, size_t *size)
{
    if (len >= 4 && memcmp(b, "PK\x03\x04", 4) == 0)
        return nb_fail(ctx, NB_E_UNSUPPORTED, "%s: is an .npz archive: save every array on its own with numpy.save",
                       name);
    if (len < MAGIC || memcmp(b, "\x93NUMPY", MAGIC) != 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not a NumPy file: must be written by numpy.save", name);
    if (len < MAGIC + 4)
        return nb_fail(ctx, NB_E_FORMAT, "%s: ends within its NumPy header", name);
    const int32_t version = b[MAGIC];
    if (version < 1 || version > 3)
        return nb_fail(ctx, NB_E_UNSUPPORTED, "%s: NumPy format %d.%d: must be 1.0, 2.0 or 3.0", name, version,
                       b[MAGIC + 1]);
    *at = version == 1 ? MAGIC + 4 : MAGIC + 6;
    *size = (size_t)b[MAGIC + 2] | (size_t)b[MAGIC + 3] << 8;
    if (version > 1 && len >= *at)
        *size |= (size_t)b[MAGIC + 4] << 16 | (size_t)b[MAGIC + 5] << 24;
    if (len < *at || *size > MAX_HEADER || len - *at < *size)
        return nb_fail(ctx, NB_E_FORMAT, "%s: ends within its NumPy header", name);
    return NB_OK;
}

nb_status nb_npy_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_array *out)
{
    size_t at = 0, size = 0;
    NB_TRY(find_dictionary(ctx, name, bytes, len, &at, &size));
    parser p = {ctx, name, (const char *)bytes + at, (const char *)bytes + at + size};
    nb_array a = {0};
    NB_TRY(read_dictionary(&p, &a));
    const size_t each = (size_t)nb_array_bytes(a.dtype), have = len - at - size;
    if (have % each || have / each != (size_t)a.count)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: header promises %" PRId64 " numbers of %zu bytes, but %zu bytes follow it: the file is not "
                       "whole",
                       name, a.count, each, have);
    a.data = bytes + at + size;
    *out = a;
    return NB_OK;
}
