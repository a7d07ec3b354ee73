/* gzip.c - reading .gz files whole: nb_file_read_gz of files.h.
 *
 * The stream must be complete: every member's CRC and length are checked (by zlib), a missing end is an error and not a
 * short read. The output grows by doubling and never past the limit, so a bomb costs at most twice the limit. */
#include "base/check.h"
#include "base/files.h"

#include <string.h>
#define ZLIB_CONST /* next_in is const */
#include <zlib.h>

enum { WINDOW_GZIP = 15 + 16, FIRST_BYTES = 64 * 1024, IN_STEP = 1 << 30 };

typedef struct {
    nb_ctx *ctx;
    const char *path;
    uint8_t *bytes; /* size + 1 of them: room for the NUL */
    size_t len, size, max;
} growing;

static void *z_alloc(void *ctx, unsigned count, unsigned size)
{
    return nb_alloc(ctx, (size_t)count * size);
}

static void z_free(void *ctx, void *p)
{
    nb_free(ctx, p);
}

static nb_status too_large(const growing *g)
{
    return nb_fail(g->ctx, NB_E_FORMAT, "%s: inflates to more than the %zu bytes allowed here", g->path, g->max);
}

static nb_status grow(growing *g)
{
    if (g->size == g->max)
        return too_large(g);
    size_t size = g->size > g->max / 2 ? g->max : g->size * 2;
    uint8_t *bytes = nb_alloc(g->ctx, size + 1);
    if (!bytes)
        return NB_E_NOMEM;
    memcpy(bytes, g->bytes, g->len);
    nb_free(g->ctx, g->bytes);
    g->bytes = bytes;
    g->size = size;
    return NB_OK;
}

static nb_status damaged(const growing *g, const z_stream *z, int rc)
{
    if (rc == Z_MEM_ERROR)
        return NB_E_NOMEM; /* nb_alloc wrote the sentence */
    if (rc == Z_BUF_ERROR)
        return nb_fail(g->ctx, NB_E_FORMAT, "%s: truncated gzip stream (%zu bytes inflated)", g->path, g->len);
    return nb_fail(g->ctx, NB_E_FORMAT, "%s: damaged gzip stream after %zu bytes: %s", g->path, g->len,
                   z->msg ? z->msg : "unknown error");
}

/* One member, from z->next_in on. */
static nb_status inflate_member(growing *g, z_stream *z, const uint8_t *end)
{
    for (;;) {
        if (z->avail_in == 0) {
            size_t left = (size_t)(end - z->next_in);
            z->avail_in = left < IN_STEP ? (unsigned)left : IN_STEP;
        }
        /* With the limit reached one spare byte tells "complete" from "too large". */
        uint8_t spare;
        size_t room = g->size - g->len;
        if (room == 0 && g->size < g->max) {
            NB_TRY(grow(g));
            continue;
        }
        unsigned offered = room == 0 ? 1 : room < IN_STEP ? (unsigned)room : IN_STEP;
        z->next_out = room == 0 ? &spare : g->bytes + g->len;
        z->avail_out = offered;
        int rc = inflate(z, Z_NO_FLUSH);
        size_t made = offered - z->avail_out;
        if (room == 0 && made)
            return too_large(g);
        g->len += made;
        if (rc == Z_STREAM_END)
            return NB_OK;
        if (rc != Z_OK || (made == 0 && z->next_in == end))
            return damaged(g, z, rc == Z_OK ? Z_BUF_ERROR : rc);
    }
}

static bool only_zeros(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p == 0)
        p++;
    return p == end;
}

static bool is_gzip(const uint8_t *p, size_t len)
{
    return len >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

/* All members; tape padding (zeros) may follow the last one, anything else is damage. */
static nb_status inflate_all(growing *g, const uint8_t *in, size_t len)
{
    z_stream z = {.zalloc = z_alloc, .zfree = z_free, .opaque = g->ctx, .next_in = in};
    int rc = inflateInit2(&z, WINDOW_GZIP);
    if (rc != Z_OK)
        return damaged(g, &z, rc);
    const uint8_t *end = in + len;
    nb_status st;
    do {
        st = inflate_member(g, &z, end);
        if (st == NB_OK && only_zeros(z.next_in, end))
            break;
        if (st == NB_OK && !is_gzip(z.next_in, (size_t)(end - z.next_in)))
            st = nb_fail(g->ctx, NB_E_FORMAT, "%s: %td bytes that are not gzip follow the stream", g->path,
                         end - z.next_in);
        if (st == NB_OK)
            inflateReset(&z);
    } while (st == NB_OK);
    inflateEnd(&z);
    return st;
}

/* The length of the last member, by its own words: a good first guess, bounded by what deflate can reach. */
static size_t first_guess(const uint8_t *in, size_t len, size_t max)
{
    size_t guess = FIRST_BYTES;
    if (len >= 18) {
        const uint8_t *p = in + len - 4;
        size_t said = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
        if (said > guess && said / 1032 <= len)
            guess = said;
    }
    return guess < max ? guess : max;
}

nb_status nb_file_read_gz(nb_ctx *ctx, const char *path, size_t max, uint8_t **out, size_t *len)
{
    uint8_t *raw;
    size_t raw_len;
    /* Incompressible content grows by 5 bytes per 16 KiB plus a header with an optional name. */
    size_t raw_max = max > SIZE_MAX / 2 ? max : max + max / 1024 + 4096;
    NB_TRY(nb_file_read(ctx, path, raw_max, &raw, &raw_len));
    if (!is_gzip(raw, raw_len)) {
        if (raw_len > max) {
            nb_free(ctx, raw);
            return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes, more than the %zu allowed here", path, raw_len, max);
        }
        *out = raw;
        *len = raw_len;
        return NB_OK;
    }
    growing g = {.ctx = ctx, .path = path, .max = max, .size = first_guess(raw, raw_len, max)};
    g.bytes = nb_alloc(ctx, g.size + 1);
    nb_status st = g.bytes ? inflate_all(&g, raw, raw_len) : NB_E_NOMEM;
    nb_free(ctx, raw);
    if (st != NB_OK) {
        nb_free(ctx, g.bytes);
        return st;
    }
    memset(g.bytes + g.len, 0, g.size + 1 - g.len);
    *out = g.bytes;
    *len = g.len;
    return NB_OK;
}
