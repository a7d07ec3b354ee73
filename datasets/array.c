/* array.c - one number of an array, whatever its type and order of bytes. */
#include "array.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    int32_t bytes;
    bool is_float, is_signed;
} kinds[NB_ARRAY_DTYPES] = {
    [NB_ARRAY_U8] = {"uint8", 1, false, false},  [NB_ARRAY_I8] = {"int8", 1, false, true},
    [NB_ARRAY_BOOL] = {"bool", 1, false, false}, [NB_ARRAY_U16] = {"uint16", 2, false, false},
    [NB_ARRAY_I16] = {"int16", 2, false, true},  [NB_ARRAY_U32] = {"uint32", 4, false, false},
    [NB_ARRAY_I32] = {"int32", 4, false, true},  [NB_ARRAY_U64] = {"uint64", 8, false, false},
    [NB_ARRAY_I64] = {"int64", 8, false, true},  [NB_ARRAY_F32] = {"float32", 4, true, true},
    [NB_ARRAY_F64] = {"float64", 8, true, true},
};

const char *nb_array_name(nb_array_dtype dtype)
{
    return kinds[dtype].name;
}

int32_t nb_array_bytes(nb_array_dtype dtype)
{
    return kinds[dtype].bytes;
}

bool nb_array_is_float(nb_array_dtype dtype)
{
    return kinds[dtype].is_float;
}

double nb_array_value(const nb_array *a, int64_t i)
{
    const int32_t n = kinds[a->dtype].bytes;
    const uint8_t *p = a->data + i * n;
    uint64_t bits = 0;
    for (int32_t k = 0; k < n; k++)
        bits |= (uint64_t)p[a->big_endian ? n - 1 - k : k] << 8 * k;
    if (a->dtype == NB_ARRAY_F32) {
        const uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof f);
        return (double)f;
    }
    if (a->dtype == NB_ARRAY_F64) {
        double d;
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    const uint64_t sign = UINT64_C(1) << (8 * n - 1);
    if (!kinds[a->dtype].is_signed || !(bits & sign))
        return (double)bits;
    return -(double)((sign - (bits & (sign - 1))));
}

const char *nb_array_shape(const nb_array *a, char buf[NB_ARRAY_SHAPE_BYTES])
{
    size_t at = 0;
    buf[at++] = '[';
    for (int32_t i = 0; i < a->ndim; i++)
        at += (size_t)snprintf(buf + at, NB_ARRAY_SHAPE_BYTES - at, "%s%" PRId64, i ? ", " : "", a->dim[i]);
    buf[at++] = ']';
    buf[at] = '\0';
    return buf;
}
