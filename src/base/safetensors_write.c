/* safetensors_write.c - the writer of safetensors.h.
 *
 * The file is a function of what was added, in that order: no dates, no hash order. Sizes and names given by our own code are asserted,
 * not reported. */
#include "base/arena.h"
#include "base/check.h"
#include "base/files.h"
#include "base/safetensors.h"
#include "base/textbuf.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LENGTH_BYTES = 8, HEADER_ALIGN = 8 };

typedef struct entry {
    struct entry *next;
    nb_st_tensor t;
} entry;

typedef struct meta {
    struct meta *next;
    const char *key, *value;
} meta;

struct nb_st_writer {
    nb_ctx *ctx;
    nb_arena *arena;
    entry *first, **last;
    meta *first_meta, **last_meta;
};

nb_status nb_st_writer_create(nb_ctx *ctx, nb_st_writer **out)
{
    nb_st_writer *w = nb_alloc(ctx, sizeof *w);
    if (!w)
        return NB_E_NOMEM;
    nb_status st = nb_arena_create(ctx, &w->arena);
    if (st != NB_OK) {
        nb_free(ctx, w);
        return st;
    }
    w->ctx = ctx;
    w->last = &w->first;
    w->last_meta = &w->first_meta;
    *out = w;
    return NB_OK;
}

void nb_st_writer_free(nb_st_writer *w)
{
    if (!w)
        return;
    nb_arena_free(w->arena);
    nb_free(w->ctx, w);
}

static nb_status check_text(nb_st_writer *w, const char *what, const char *name, const char *text)
{
    if (nb_utf8_valid(text, strlen(text)))
        return NB_OK;
    return nb_fail(w->ctx, NB_E_FORMAT, "%s \"%.100s\" is not valid UTF-8 and cannot be stored", what, name);
}

nb_status nb_st_add(nb_st_writer *w, const char *name, nb_st_dtype dtype, int32_t ndim, const int64_t *shape,
                    const void *data)
{
    NB_ASSERT(dtype < NB_ST_OTHER && ndim >= 0 && ndim <= NB_ST_MAX_DIM && strcmp(name, "__metadata__") != 0);
    NB_TRY(check_text(w, "tensor name", name, name));
    for (const entry *e = w->first; e; e = e->next)
        if (strcmp(e->t.name, name) == 0)
            return nb_fail(w->ctx, NB_E_FORMAT,
                           "two tensors are called \"%.100s\": give one of the layers another name", name);
    entry *e = nb_arena_alloc(w->arena, sizeof *e);
    char *copy = nb_arena_strdup(w->arena, name);
    if (!e || !copy)
        return NB_E_NOMEM;
    e->t = (nb_st_tensor){.name = copy, .dtype = dtype, .ndim = ndim, .count = 1, .data = data};
    for (int32_t i = 0; i < ndim; i++) {
        NB_ASSERT(shape[i] >= 0 && (shape[i] == 0 || e->t.count <= ((int64_t)1 << 48) / shape[i]));
        e->t.shape[i] = shape[i];
        e->t.count *= shape[i];
    }
    e->t.bytes = (size_t)e->t.count * nb_st_dtype_bytes(dtype);
    *w->last = e;
    w->last = &e->next;
    return NB_OK;
}

nb_status nb_st_set_meta(nb_st_writer *w, const char *key, const char *value)
{
    NB_TRY(check_text(w, "metadata key", key, key));
    NB_TRY(check_text(w, "metadata value of", key, value));
    meta *m = w->first_meta;
    while (m && strcmp(m->key, key) != 0)
        m = m->next;
    char *text = nb_arena_strdup(w->arena, value);
    if (!text)
        return NB_E_NOMEM;
    if (m) {
        m->value = text;
        return NB_OK;
    }
    m = nb_arena_alloc(w->arena, sizeof *m);
    char *name = nb_arena_strdup(w->arena, key);
    if (!m || !name)
        return NB_E_NOMEM;
    *m = (meta){.key = name, .value = text};
    *w->last_meta = m;
    w->last_meta = &m->next;
    return NB_OK;
}

nb_status nb_st_set_crc32(nb_st_writer *w)
{
    uint32_t crc = 0;
    char digits[9];
    for (const entry *e = w->first; e; e = e->next)
        crc += nb_st_tensor_crc32(&e->t);
    for (const meta *m = w->first_meta; m; m = m->next)
        crc += nb_st_meta_crc32(m->key, m->value);
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    return nb_st_set_meta(w, NB_ST_CRC32, digits);
}

/* ---- the header's text ---- */

static void put_meta(nb_text *o, const meta *m)
{
    nb_text_add(o, "\"__metadata__\":{");
    for (; m; m = m->next) {
        nb_text_json(o, m->key);
        nb_text_add(o, ":");
        nb_text_json(o, m->value);
        nb_text_add(o, m->next ? "," : "}");
    }
}

static void put_tensor(nb_text *o, const nb_st_tensor *t, int64_t at)
{
    nb_text_json(o, t->name);
    nb_text_add(o, ":{\"dtype\":\"");
    nb_text_add(o, nb_st_dtype_name(t->dtype));
    nb_text_add(o, "\",\"shape\":[");
    for (int32_t i = 0; i < t->ndim; i++) {
        nb_text_add(o, i ? "," : "");
        nb_text_printf(o, "%" PRId64, t->shape[i]);
    }
    nb_text_printf(o, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", at, at + (int64_t)t->bytes);
}

static void put_header(nb_text *o, const nb_st_writer *w)
{
    nb_text_add(o, "{");
    if (w->first_meta)
        put_meta(o, w->first_meta);
    int64_t at = 0;
    for (const entry *e = w->first; e; at += (int64_t)e->t.bytes, e = e->next) {
        nb_text_add(o, e != w->first || w->first_meta ? "," : "");
        put_tensor(o, &e->t, at);
    }
    nb_text_add(o, "}");
    nb_text_fill(o, ' ', (HEADER_ALIGN - o->len % HEADER_ALIGN) % HEADER_ALIGN);
}

static void put_length(uint8_t *to, size_t len)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        to[i] = (uint8_t)((uint64_t)len >> (8 * i));
}

static nb_status make_header(nb_st_writer *w, const char *path, nb_text *header)
{
    nb_text_init(w->ctx, header);
    put_header(header, w);
    nb_status st = header->st;
    if (st == NB_OK && header->len > NB_ST_MAX_HEADER)
        st = nb_fail(w->ctx, NB_E_UNSUPPORTED, "%s: a header of %zu bytes, more than the %d allowed", path, header->len,
                     NB_ST_MAX_HEADER);
    if (st != NB_OK)
        nb_text_free(header);
    return st;
}

/* Errors of fwrite stay in the stream until commit reports them. */
static void write_all(const nb_st_writer *w, const nb_text *header, FILE *f)
{
    uint8_t length[LENGTH_BYTES];
    put_length(length, header->len);
    fwrite(length, 1, sizeof length, f);
    fwrite(header->s, 1, header->len, f);
    for (const entry *e = w->first; e; e = e->next)
        if (e->t.bytes)
            fwrite(e->t.data, 1, e->t.bytes, f);
}

nb_status nb_st_save(nb_st_writer *w, const char *path)
{
    nb_text header;
    nb_atomic a;
    NB_TRY(make_header(w, path, &header));
    nb_status st = nb_atomic_open(w->ctx, path, &a);
    if (st == NB_OK) {
        write_all(w, &header, a.f);
        st = nb_atomic_commit(&a);
    }
    nb_text_free(&header);
    return st;
}

nb_status nb_st_bytes(nb_st_writer *w, const char *name, uint8_t **out, size_t *len)
{
    nb_text header;
    NB_TRY(make_header(w, name, &header));
    size_t at = LENGTH_BYTES + header.len, bytes = at;
    for (const entry *e = w->first; e; e = e->next)
        bytes += e->t.bytes;
    uint8_t *p = nb_alloc(w->ctx, bytes);
    if (p) {
        put_length(p, header.len);
        memcpy(p + LENGTH_BYTES, header.s, header.len);
        for (const entry *e = w->first; e; at += e->t.bytes, e = e->next)
            if (e->t.bytes)
                memcpy(p + at, e->t.data, e->t.bytes);
        *out = p;
        *len = bytes;
    }
    nb_text_free(&header);
    return p ? NB_OK : NB_E_NOMEM;
}
