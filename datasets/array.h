/* array.h - numbers in rows of equal size, as a file holds them: what NumPy's and IDX files have in common. */
#ifndef NB_DATASETS_ARRAY_H
#define NB_DATASETS_ARRAY_H

#include <nibble/context.h>

#include <stdbool.h>

enum { NB_ARRAY_MAX_DIM = 8 };

typedef enum {
    NB_ARRAY_U8,
    NB_ARRAY_I8,
    NB_ARRAY_BOOL,
    NB_ARRAY_U16,
    NB_ARRAY_I16,
    NB_ARRAY_U32,
    NB_ARRAY_I32,
    NB_ARRAY_U64,
    NB_ARRAY_I64,
    NB_ARRAY_F32,
    NB_ARRAY_F64,
    NB_ARRAY_DTYPES
} nb_array_dtype;

typedef struct {
    const uint8_t *data; /* inside the bytes that were parsed, of any alignment */
    nb_array_dtype dtype;
    bool big_endian;
    int32_t ndim;
    int64_t dim[NB_ARRAY_MAX_DIM]; /* each >= 1 */
    int64_t count;                 /* their product */
} nb_array;

const char *nb_array_name(nb_array_dtype dtype); /* "uint8", ... as NumPy says it */
int32_t nb_array_bytes(nb_array_dtype dtype);
bool nb_array_is_float(nb_array_dtype dtype);
double nb_array_value(const nb_array *a, int64_t i);
/* "[60000, 28, 28]"; returns buf. */
enum { NB_ARRAY_SHAPE_BYTES = 24 * NB_ARRAY_MAX_DIM };
const char *nb_array_shape(const nb_array *a, char buf[NB_ARRAY_SHAPE_BYTES]);

/* A file of numpy.save, versions 1 to 3. Trusts nothing; name stands in messages. */
nb_status nb_npy_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_array *out);

#endif
