/* flatbuf.h - FlatBuffers, written: what a table refers to is put down before the table, and the root last, so a buffer
 * grows from its end to its beginning (https://flatbuffers.dev, "Internals"). Nothing but what a writer needs.
 *
 * A failure (out of memory, more than 2^31 bytes) sticks: everything after it does nothing, and fb_finish returns it. */
#ifndef NB_EXPORT_FLATBUF_H
#define NB_EXPORT_FLATBUF_H

#include <nibble/context.h>

typedef uint32_t fb_ref; /* bytes from where something begins to the buffer's end; 0: nothing */

enum { FB_MAX_FIELDS = 16, FB_MAX_VTABLES = 64 };

typedef struct {
    nb_ctx *ctx;
    nb_status st;
    uint8_t *bytes; /* the last `used` of `room` are written */
    size_t room, used, align;
    size_t begun; /* the table that is being written: `used` before its first field */
    fb_ref field[FB_MAX_FIELDS];
    int32_t n_fields;
    fb_ref vtable[FB_MAX_VTABLES]; /* tables of one kind with the same fields share one */
    int32_t n_vtables;
} fb_builder;

void fb_open(fb_builder *b, nb_ctx *ctx);
void fb_close(fb_builder *b);
/* n elements of `size` bytes, in little-endian order, the first of them aligned to `align` bytes. */
fb_ref fb_vector(fb_builder *b, const void *v, size_t n, size_t size, size_t align);
fb_ref fb_refs(fb_builder *b, const fb_ref *v, size_t n);
fb_ref fb_string(fb_builder *b, const char *s);
/* A table: begin, its fields by the numbers that the schema gives them, end. Zeros and nothings are left out, which
 * readers take for the default 0. */
void fb_begin(fb_builder *b);
void fb_i8(fb_builder *b, int32_t field, int32_t v);
void fb_i32(fb_builder *b, int32_t field, int32_t v);
void fb_to(fb_builder *b, int32_t field, fb_ref v);
fb_ref fb_end(fb_builder *b);
/* Writes the file atomically; identifier: four characters. */
nb_status fb_finish(fb_builder *b, fb_ref root, const char *identifier, const char *path);

#endif
