/* arena.c - a list of blocks; pieces are cut off the newest block and never given back one by one.
 *
 * Every piece starts on a 64-byte boundary. A piece too large for a block gets one of its own, put behind the newest so
 * that the rest of that one stays in use. Each piece asks nb_alloc_permit(), so failure injection reaches every call,
 * not only new blocks. */
#include "base/arena.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

enum { ALIGN = 64, BLOCK_BYTES = 64 * 1024 };

typedef struct block {
    struct block *next;
    size_t used, size; /* bytes, header included; used is a multiple of ALIGN */
} block;

struct nb_arena {
    nb_ctx *ctx;
    block *newest;
};

_Static_assert(sizeof(block) <= ALIGN, "the header takes one aligned slot");

nb_status nb_arena_create(nb_ctx *ctx, nb_arena **out)
{
    nb_arena *a = nb_alloc(ctx, sizeof *a);
    if (!a)
        return NB_E_NOMEM;
    a->ctx = ctx;
    *out = a;
    return NB_OK;
}

void nb_arena_free(nb_arena *a)
{
    if (!a)
        return;
    for (block *b = a->newest; b;) {
        block *next = b->next;
        nb_free(a->ctx, b);
        b = next;
    }
    nb_free(a->ctx, a);
}

/* A block with room for at least `need` bytes, linked in; NULL when out of memory. */
static block *add_block(nb_arena *a, size_t need)
{
    bool own = need > BLOCK_BYTES - ALIGN;
    size_t size = own ? need + ALIGN : BLOCK_BYTES;
    block *b = nb_alloc(a->ctx, size);
    if (!b)
        return NULL;
    b->used = ALIGN;
    b->size = size;
    if (own && a->newest) {
        b->next = a->newest->next;
        a->newest->next = b;
    } else {
        b->next = a->newest;
        a->newest = b;
    }
    return b;
}

void *nb_arena_alloc(nb_arena *a, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 3 * (size_t)ALIGN) {
        nb_fail(a->ctx, NB_E_NOMEM, "out of memory: %zu bytes", bytes);
        return NULL;
    }
    size_t need = bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    block *b = a->newest;
    if (b && b->size - b->used >= need) {
        if (nb_alloc_permit(a->ctx, bytes) != NB_OK)
            return NULL;
    } else {
        b = add_block(a, need);
    }
    if (!b)
        return NULL;
    void *p = (char *)b + b->used;
    b->used += need;
    return p;
}

void *nb_arena_array(nb_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        nb_fail(a->ctx, NB_E_NOMEM, "out of memory: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    return nb_arena_alloc(a, count * size);
}

char *nb_arena_strdup(nb_arena *a, const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = nb_arena_alloc(a, bytes);
    if (copy)
        memcpy(copy, s, bytes);
    return copy;
}

char *nb_arena_printf(nb_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    NB_ASSERT(n >= 0);
    char *text = nb_arena_alloc(a, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return text;
}
