/* shard.h - packed data sets: decoded images in a few large files, which `nibble pack` writes and data.name `packed` reads.
 *
 * A folder with index.safetensors and, for each split, train-00000.safetensors and so on, test-00000.safetensors and so
 * on: safetensors files (base/safetensors.h), little-endian, with these tensors, in this order.
 *
 *   a shard, metadata "format" "nibble-shard 1", "split" "train" or "test", "number" "0", ..., "source" of what it was made
 *     labels     I32 [n]
 *     checksums  U32 [n]           CRC-32 (zlib's) of each image's pixels
 *     pixels     U8  [n, h, w, c]  as the network takes them, or codes of features
 *     names      U8  [bytes]       n strings, each with a 0 behind it; empty where an image has none
 *     checksum   U32 [1]           CRC-32 of all of the file before it but the pixels
 *
 *   the index, metadata "format" "nibble-pack 1", "input" "h w c", "classes", "source", "features" where codes are those of
 *     features (core/feature_map.h), "train" and "test" "images labels pixels": how many, and the hashes by which a run knows
 *     its data (fingerprint.h)
 *     mean, std        F32 [c]         of pixel/255
 *     class_names      U8  [bytes]     a string with a 0 behind it for each class; not there where they have none
 *     train.images, test.images        I32 [shards]  n of each shard
 *     train.checksums, test.checksums  U32 [shards]  checksum of each shard
 *     checksum         U32 [1]         CRC-32 of all of the file before it
 *
 * The index is written last, so a folder without one is not finished, and it knows its shards by their checksums, so that
 * those of another packing are noticed. Opening reads all but the pixels; an image's checksum is looked at whenever it is
 * read. Pixels are read where they stand with pread, not mapped: a file that shrinks or a disk that fails is then an error
 * of that image and no signal, and what the system keeps of the files is not this process's memory. */
#ifndef NB_DATASETS_SHARD_H
#define NB_DATASETS_SHARD_H

#include <nibble/dataset.h>

#include "base/files.h"
#include "base/safetensors.h"

#define NB_SHARD_FAMILY "nibble-shard "
#define NB_PACK_FAMILY  "nibble-pack "
#define NB_PACK_INDEX   "index.safetensors"
enum {
    NB_PACK_VERSION = 1,
    NB_SHARD_MAX = 100000, /* of a split: their numbers have five digits */
    NB_SHARD_PATH = 4096
};

/* What all shards of a folder have in common. */
typedef struct {
    int32_t h, w, c, classes;
} nb_shard_shape;

static inline size_t nb_shard_image_bytes(const nb_shard_shape *s)
{
    return (size_t)s->h * (size_t)s->w * (size_t)s->c;
}

/* An open one. */
typedef struct {
    char *path, *source;
    int fd;
    int32_t n;
    int64_t pixels; /* where they begin in the file */
    int32_t *labels;
    uint32_t *sums;    /* of each image */
    char *names;       /* as in the file */
    int32_t *name;     /* where in names each image's begins */
    size_t name_bytes; /* of names */
    uint32_t checksum;
} nb_shard;

/* The path of a shard in path [NB_SHARD_PATH]. */
nb_status nb_shard_path(nb_ctx *ctx, const char *folder, const char *split, int32_t number, char *path);
/* Trusts nothing; *out is written, and to be closed, only on success. */
nb_status nb_shard_open(nb_ctx *ctx, const char *path, const char *split, int32_t number, const nb_shard_shape *shape,
                        nb_shard *out);
/* The pixels of image i, compared with their checksum. Any number of threads at once, each with its context. */
nb_status nb_shard_read(nb_ctx *ctx, const nb_shard *s, int32_t i, size_t bytes, uint8_t *hwc);
void nb_shard_close(nb_ctx *ctx, nb_shard *s); /* a zeroed one is fine */
int64_t nb_shard_memory(const nb_shard *s);    /* bytes that it holds */

/* The remedy that all sentences about damage end with. */
#define NB_PACK_AGAIN "run nibble pack again with the same folder, which writes anew what is damaged or missing"
/* Gives it to the sentence of somebody who found the damage and knows nothing of packing; returns st. */
nb_status nb_pack_remedy(nb_ctx *ctx, nb_status st);
/* As nb_st_check_format, with the remedy unless the file is of a later version. */
nb_status nb_pack_check_format(nb_ctx *ctx, const nb_st_file *f, const char *family, const char *what);

typedef struct {
    int32_t images, n_shards;
    int32_t *n;     /* [n_shards] */
    uint32_t *sums; /* [n_shards] checksums */
    nb_fingerprint print;
} nb_pack_split;

typedef struct {
    nb_shard_shape shape;
    float *mean, *std;              /* [c] */
    const nb_features *features;    /* or NULL */
    const char *const *class_names; /* [classes], or NULL */
    const char *source;             /* of the folder */
    nb_pack_split split[2];         /* train, test */
    struct nb_arena *arena;         /* of all of it, where it was read */
} nb_pack_index;

extern const char *const nb_pack_split_names[2];

nb_status nb_pack_index_read(nb_ctx *ctx, const char *folder, nb_pack_index *out); /* arena freed by the caller */
nb_status nb_pack_index_write(nb_ctx *ctx, const char *folder, const nb_pack_index *index);

/* ---- writing a shard: header, then pixels in order, then the rest ---- */
typedef struct {
    nb_atomic file;
    int32_t n, done;
    size_t image_bytes;
    uint32_t checksum; /* of the header */
    int64_t tables;    /* where labels begin */
    int32_t *labels;
    uint32_t *sums;
} nb_shard_writer;

typedef struct {
    const char *split, *source;
    int32_t number, n;
    const char *names; /* n strings */
    size_t name_bytes;
} nb_shard_spec;

nb_status nb_shard_create(nb_ctx *ctx, const char *path, const nb_shard_spec *spec, const nb_shard_shape *shape,
                          nb_shard_writer *out);
void nb_shard_add(nb_shard_writer *w, const uint8_t *hwc, int32_t label);
/* After the n-th image: the checksum of the shard. Ends the writer, also on failure. */
nb_status nb_shard_commit(nb_ctx *ctx, nb_shard_writer *w, const nb_shard_spec *spec, uint32_t *checksum);
void nb_shard_abort(nb_ctx *ctx, nb_shard_writer *w);

#endif
