/* flatbuf.c - FlatBuffers, from the end to the beginning.
 *
 * Positions are counted from the end, which does not move: something is aligned when its distance to the end is a
 * multiple, because fb_finish makes the whole a multiple of every alignment that was asked for. */
#include "export/flatbuf.h"

#include "base/check.h"
#include "base/files.h"

#include <string.h>

enum { FIRST_ROOM = 4096, IDENTIFIER_BYTES = 4 };

void fb_open(fb_builder *b, nb_ctx *ctx)
{
    *b = (fb_builder){.ctx = ctx, .align = 4};
}

void fb_close(fb_builder *b)
{
    nb_free(b->ctx, b->bytes);
    b->bytes = NULL;
}

/* n more bytes in front; NULL after a failure. */
static uint8_t *more(fb_builder *b, size_t n)
{
    if (b->st != NB_OK)
        return NULL;
    if (n > INT32_MAX - b->used) {
        b->st = nb_fail(b->ctx, NB_E_UNSUPPORTED, "a FlatBuffer holds at most 2^31 bytes, and this one has more");
        return NULL;
    }
    if (b->room - b->used < n) {
        size_t room = b->room ? b->room : FIRST_ROOM;
        while (room - b->used < n)
            room *= 2;
        uint8_t *bigger = nb_alloc(b->ctx, room);
        if (!bigger) {
            b->st = NB_E_NOMEM;
            return NULL;
        }
        if (b->used)
            memcpy(bigger + room - b->used, b->bytes + b->room - b->used, b->used);
        nb_free(b->ctx, b->bytes);
        b->bytes = bigger;
        b->room = room;
    }
    b->used += n;
    return b->bytes + b->room - b->used;
}

/* Zeros, so that what is put after them and `n` bytes more begins aligned. */
static void pad(fb_builder *b, size_t n, size_t align)
{
    const size_t zeros = (0 - (b->used + n)) & (align - 1);
    uint8_t *p = more(b, zeros);
    if (p && zeros)
        memset(p, 0, zeros);
    b->align = b->align < align ? align : b->align;
}

static void put_le(fb_builder *b, uint32_t v, size_t bytes)
{
    uint8_t *p = more(b, bytes);
    for (size_t i = 0; p && i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* To something that lies behind. */
static void put_offset(fb_builder *b, fb_ref to)
{
    put_le(b, (uint32_t)(b->used + 4 - to), 4);
}

fb_ref fb_vector(fb_builder *b, const void *v, size_t n, size_t size, size_t align)
{
    pad(b, n * size, align < 4 ? 4 : align);
    uint8_t *p = more(b, n * size);
    if (p && n)
        memcpy(p, v, n * size);
    put_le(b, (uint32_t)n, 4);
    return (fb_ref)b->used;
}

fb_ref fb_refs(fb_builder *b, const fb_ref *v, size_t n)
{
    pad(b, 0, 4);
    for (size_t i = n; i-- > 0;)
        put_offset(b, v[i]);
    put_le(b, (uint32_t)n, 4);
    return (fb_ref)b->used;
}

fb_ref fb_string(fb_builder *b, const char *s)
{
    const size_t n = strlen(s);
    pad(b, n + 1, 4);
    uint8_t *p = more(b, n + 1);
    if (p)
        memcpy(p, s, n + 1);
    put_le(b, (uint32_t)n, 4);
    return (fb_ref)b->used;
}

void fb_begin(fb_builder *b)
{
    pad(b, 0, 4);
    b->begun = b->used;
    b->n_fields = 0;
    memset(b->field, 0, sizeof b->field);
}

static void field_is_here(fb_builder *b, int32_t field)
{
    NB_ASSERT(field < FB_MAX_FIELDS);
    b->field[field] = (fb_ref)b->used;
    b->n_fields = b->n_fields <= field ? field + 1 : b->n_fields;
}

void fb_i8(fb_builder *b, int32_t field, int32_t v)
{
    if (v == 0)
        return;
    put_le(b, (uint32_t)v, 1);
    field_is_here(b, field);
}

void fb_i32(fb_builder *b, int32_t field, int32_t v)
{
    if (v == 0)
        return;
    pad(b, 4, 4);
    put_le(b, (uint32_t)v, 4);
    field_is_here(b, field);
}

void fb_to(fb_builder *b, int32_t field, fb_ref v)
{
    if (v == 0)
        return;
    pad(b, 4, 4);
    put_offset(b, v);
    field_is_here(b, field);
}

/* One that is there already, or 0. */
static fb_ref same_vtable(const fb_builder *b, const uint8_t *vtable, size_t bytes)
{
    for (int32_t i = 0; i < b->n_vtables; i++)
        if (b->vtable[i] >= bytes && memcmp(b->bytes + b->room - b->vtable[i], vtable, bytes) == 0)
            return b->vtable[i];
    return 0;
}

/* A table begins with the way back to its vtable: the two's sizes in bytes, then where in the table every field lies. */
fb_ref fb_end(fb_builder *b)
{
    uint8_t vtable[4 + 2 * FB_MAX_FIELDS];
    pad(b, 4, 4);
    put_le(b, 0, 4);
    const fb_ref table = (fb_ref)b->used;
    const size_t bytes = 4 + 2 * (size_t)b->n_fields;
    for (size_t i = 0; i < bytes / 2; i++) {
        const size_t v = i == 0 ? bytes : i == 1 ? table - b->begun : b->field[i - 2] > 0 ? table - b->field[i - 2] : 0;
        vtable[2 * i] = (uint8_t)v;
        vtable[2 * i + 1] = (uint8_t)(v >> 8);
    }
    fb_ref at = b->st == NB_OK ? same_vtable(b, vtable, bytes) : 0;
    if (!at) {
        uint8_t *p = more(b, bytes);
        if (!p)
            return 0;
        memcpy(p, vtable, bytes);
        at = (fb_ref)b->used;
        if (b->n_vtables < FB_MAX_VTABLES)
            b->vtable[b->n_vtables++] = at;
    }
    const uint32_t back = at - table; /* modulo 2^32: a shared one lies behind */
    for (size_t i = 0; i < 4; i++)
        b->bytes[b->room - table + i] = (uint8_t)(back >> 8 * i);
    return table;
}

nb_status fb_finish(fb_builder *b, fb_ref root, const char *identifier, const char *path)
{
    pad(b, 4 + IDENTIFIER_BYTES, b->align);
    uint8_t *p = more(b, IDENTIFIER_BYTES);
    if (p)
        memcpy(p, identifier, IDENTIFIER_BYTES);
    put_offset(b, root);
    NB_TRY(b->st);
    return nb_file_write(b->ctx, path, b->bytes + b->room - b->used, b->used);
}
