/* safetensors.h - the container of both checkpoints: 8-byte little-endian header length, JSON header, raw tensors.
 *
 * Reading trusts nothing: header length, JSON, dtypes, shapes, that data_offsets match dtype*shape, that tensors do not
 * overlap, leave no holes and stay inside the file. Offsets are compared so that nothing can overflow. Writing: tensors
 * stand in the order they were added, aligned to 8 bytes by padding the header with spaces; equal content gives equal
 * bytes.
 *
 * Metadata "crc32" of our own formats, eight hexadecimal digits, covers what the file says, whatever order it says it in (a
 * program that reads and saves it again may choose another): the sum modulo 2^32 of one CRC-32 (zlib's) per tensor and per
 * other metadata entry. A tensor's is of its name, a NUL, its dtype's name, a NUL, its dimensions as 64-bit little-endian
 * numbers and its data; an entry's of its key, a NUL, and its value. It may be absent, as in files of programs that did not
 * know it; those ignore it. */
#ifndef NB_BASE_SAFETENSORS_H
#define NB_BASE_SAFETENSORS_H

#include <nibble/context.h>
#include <stdbool.h>

enum {
    NB_ST_MAX_DIM = 8,
    NB_ST_MAX_HEADER = 8 << 20 /* bytes; cJSON needs up to 32 times as much, real headers stay far below 1 MiB */
};

typedef enum {
    NB_ST_F32,
    NB_ST_I8,
    NB_ST_U8,
    NB_ST_I32,
    NB_ST_I64,
    NB_ST_F64,
    NB_ST_F16,
    NB_ST_BF16,
    NB_ST_U32,
    NB_ST_OTHER
} nb_st_dtype;

typedef struct {
    const char *name;
    nb_st_dtype dtype;
    int32_t ndim;
    int64_t shape[NB_ST_MAX_DIM];
    int64_t count;    /* product of shape; 1 for ndim 0 */
    const void *data; /* aligned for its type; NULL of a header alone */
    size_t bytes;
    int64_t at; /* of its first byte in the file */
} nb_st_tensor;

typedef struct nb_st_file nb_st_file;

nb_status nb_st_open(nb_ctx *ctx, const char *path, nb_st_file **out);
/* From memory (copied); name stands in messages. */
nb_status nb_st_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_st_file **out);
/* The header alone, of an open file of any size (base/files.h): tensors have a place in the file, but no data. */
nb_status nb_st_open_head(nb_ctx *ctx, const char *path, int fd, nb_st_file **out);
/* The bytes that were read: of nb_st_open_head the length and the header. */
const uint8_t *nb_st_raw(const nb_st_file *f, size_t *len);
/* Gives their memory back: the file has none afterwards, but its name and metadata. */
void nb_st_drop_tensors(nb_ctx *ctx, nb_st_file *f);
void nb_st_close(nb_ctx *ctx, nb_st_file *f);
int32_t nb_st_count(const nb_st_file *f);
const nb_st_tensor *nb_st_at(const nb_st_file *f, int32_t i);
const nb_st_tensor *nb_st_find(const nb_st_file *f, const char *name); /* NULL when absent */
const char *nb_st_meta(const nb_st_file *f, const char *key);          /* __metadata__[key] or NULL */
const char *nb_st_name(const nb_st_file *f);                           /* path, for messages */
/* Fails with a sentence unless metadata "format" is `family` followed by 1 to `version`, "nibble-int " and 2 say; a later
 * version gets a sentence of its own. what: "an integer checkpoint". Where there is a "crc32", tensors and metadata must
 * be those that were written, unless the header alone was read. */
nb_status nb_st_check_format(nb_ctx *ctx, const nb_st_file *f, const char *family, int version, const char *what);

typedef struct nb_st_writer nb_st_writer;
nb_status nb_st_writer_create(nb_ctx *ctx, nb_st_writer **out);
/* data is borrowed until save. */
nb_status nb_st_add(nb_st_writer *w, const char *name, nb_st_dtype dtype, int32_t ndim, const int64_t *shape,
                    const void *data);
nb_status nb_st_set_meta(nb_st_writer *w, const char *key, const char *value);
/* Metadata "crc32" of what was added and set so far, which is all, and does not change until save. */
nb_status nb_st_set_crc32(nb_st_writer *w);
nb_status nb_st_save(nb_st_writer *w, const char *path);
/* The bytes of the file instead; *out is freed with nb_free, name stands in messages. */
nb_status nb_st_bytes(nb_st_writer *w, const char *name, uint8_t **out, size_t *len);
void nb_st_writer_free(nb_st_writer *w);

/* ---- shared by the two halves, safetensors.c and safetensors_write.c ---- */
#define NB_ST_CRC32 "crc32"
const char *nb_st_dtype_name(nb_st_dtype t); /* "F32"; NULL for OTHER */
size_t nb_st_dtype_bytes(nb_st_dtype t);     /* 0 for OTHER */
/* What each adds to "crc32"; that entry itself adds nothing. */
uint32_t nb_st_tensor_crc32(const nb_st_tensor *t);
uint32_t nb_st_meta_crc32(const char *key, const char *value);

#endif
