/* shard_write.c - writing a shard of a packed data set while its images come in. See shard.h for the format.
 *
 * The header depends on how many images and which names there are, so it can be written first; labels and checksums go
 * into their places behind it at the end. Errors of the stream stay in it until commit. */
#include "shard.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32.h"
#include "base/textbuf.h"

enum { LENGTH_BYTES = 8, ALIGN = 8 };

static void put_tensor(nb_text *o, const char *name, const char *dtype, const char *shape, int64_t *at, int64_t bytes)
{
    nb_text_printf(o, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", name,
                   dtype, shape, *at, *at + bytes);
    *at += bytes;
}

/* base/safetensors.h writes what is in memory as a whole; a shard is not. */
static void put_header(nb_text *o, const nb_shard_spec *s, const nb_shard_shape *shape)
{
    char count[16], dims[64], names[24];
    int64_t at = 0;
    snprintf(count, sizeof count, "%d", s->n);
    snprintf(dims, sizeof dims, "%d,%d,%d,%d", s->n, shape->h, shape->w, shape->c);
    snprintf(names, sizeof names, "%zu", s->name_bytes);
    nb_text_printf(o, "{\"__metadata__\":{\"format\":\"" NB_SHARD_FAMILY "%d\",\"split\":\"%s\",\"number\":\"%d\"",
                   NB_PACK_VERSION, s->split, s->number);
    nb_text_printf(o, ",\"source\":\"%s\"}", s->source);
    put_tensor(o, "labels", "I32", count, &at, 4 * (int64_t)s->n);
    put_tensor(o, "checksums", "U32", count, &at, 4 * (int64_t)s->n);
    put_tensor(o, "pixels", "U8", dims, &at, s->n * (int64_t)nb_shard_image_bytes(shape));
    put_tensor(o, "names", "U8", names, &at, (int64_t)s->name_bytes);
    put_tensor(o, "checksum", "U32", "1", &at, 4);
    nb_text_add(o, "}");
    nb_text_fill(o, ' ', (ALIGN - o->len % ALIGN) % ALIGN);
}

static nb_status write_header(nb_ctx *ctx, nb_shard_writer *w, const nb_shard_spec *spec, const nb_shard_shape *shape)
{
    nb_text header;
    uint8_t length[LENGTH_BYTES];
    nb_text_init(ctx, &header);
    put_header(&header, spec, shape);
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
    const nb_status st = header.st;
    if (st == NB_OK) {
        fwrite(length, 1, sizeof length, w->file.f);
        fwrite(header.s, 1, header.len, w->file.f);
        w->checksum = nb_crc32(nb_crc32(0, length, sizeof length), header.s, header.len);
        w->tables = (int64_t)(LENGTH_BYTES + header.len);
        fwrite(w->labels, sizeof *w->labels, (size_t)w->n, w->file.f); /* still 0: room */
        fwrite(w->sums, sizeof *w->sums, (size_t)w->n, w->file.f);
    }
    nb_text_free(&header);
    return st;
}

nb_status nb_shard_create(nb_ctx *ctx, const char *path, const nb_shard_spec *spec, const nb_shard_shape *shape,
                          nb_shard_writer *out)
{
    NB_ASSERT(spec->n > 0);
    nb_shard_writer w = {.n = spec->n,
                         .image_bytes = nb_shard_image_bytes(shape),
                         .labels = nb_alloc(ctx, (size_t)spec->n * sizeof *w.labels),
                         .sums = nb_alloc(ctx, (size_t)spec->n * sizeof *w.sums)};
    nb_status st = w.labels && w.sums ? nb_atomic_open(ctx, path, &w.file) : NB_E_NOMEM;
    if (st == NB_OK)
        st = write_header(ctx, &w, spec, shape);
    if (st == NB_OK)
        *out = w;
    else
        nb_shard_abort(ctx, &w);
    return st;
}

void nb_shard_add(nb_shard_writer *w, const uint8_t *hwc, int32_t label)
{
    NB_ASSERT(w->done < w->n);
    w->labels[w->done] = label;
    w->sums[w->done++] = nb_crc32(0, hwc, w->image_bytes);
    fwrite(hwc, 1, w->image_bytes, w->file.f);
}

nb_status nb_shard_commit(nb_ctx *ctx, nb_shard_writer *w, const nb_shard_spec *spec, uint32_t *checksum)
{
    NB_ASSERT(w->done == w->n);
    const size_t table = (size_t)w->n * sizeof(int32_t);
    uint32_t sum = nb_crc32(nb_crc32(w->checksum, w->labels, table), w->sums, table);
    sum = nb_crc32(sum, spec->names, spec->name_bytes);
    FILE *f = w->file.f;
    fwrite(spec->names, 1, spec->name_bytes, f);
    fwrite(&sum, sizeof sum, 1, f);
    nb_status st = NB_OK;
    if (fseeko(f, (off_t)w->tables, SEEK_SET) != 0)
        st = nb_fail(ctx, NB_E_IO, "%s: cannot write: %s", w->file.path, strerror(errno));
    fwrite(w->labels, 1, table, f);
    fwrite(w->sums, 1, table, f);
    if (st == NB_OK)
        st = nb_atomic_commit(&w->file);
    *checksum = sum;
    nb_shard_abort(ctx, w);
    return st;
}

void nb_shard_abort(nb_ctx *ctx, nb_shard_writer *w)
{
    nb_atomic_abort(&w->file);
    nb_free(ctx, w->labels);
    nb_free(ctx, w->sums);
    *w = (nb_shard_writer){0};
}
