/* ref_flatbuf.h - FlatBuffers, read: an oracle that shares nothing with the writer. Stops the test where an offset leads
 * out of the file, a number does not lie on a multiple of its size, or a string does not end. */
#ifndef NB_REF_FLATBUF_H
#define NB_REF_FLATBUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *b;
    size_t len;
} ref_flat;

size_t ref_flat_root(const ref_flat *f, const char *identifier);
int32_t ref_flat_number(const ref_flat *f, size_t at, size_t bytes); /* signed */
/* Where a field of a table lies; 0: it is left out. */
size_t ref_flat_field(const ref_flat *f, size_t table, int32_t field);
int32_t ref_flat_i32(const ref_flat *f, size_t table, int32_t field); /* 0 when left out */
int32_t ref_flat_i8(const ref_flat *f, size_t table, int32_t field);
size_t ref_flat_to(const ref_flat *f, size_t table,
                   int32_t field); /* what it refers to: a table, a vector, a string; 0 */
/* Elements of a vector (none: 0), whose first lies 4 bytes behind it. */
int32_t ref_flat_count(const ref_flat *f, size_t vector, size_t size);
size_t ref_flat_item(const ref_flat *f, size_t vector, int32_t i); /* a table of a vector of them */
const char *ref_flat_string(const ref_flat *f, size_t string);

#endif
