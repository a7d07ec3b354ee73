/* tensor.h - shapes, dtypes, quantization parameters and the tensor.
 *
 * Layout is NHWC for activations and OHWI for weights, everywhere. A tensor never owns memory. A tensor of dtype u8 or
 * s8 holds *codes* and points to the parameters that give them meaning: real = scale * (code - zero). Gradients are
 * always float. */
#ifndef NIBBLE_EXTEND_TENSOR_H
#define NIBBLE_EXTEND_TENSOR_H

#include <nibble/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_MAX_DIM = 4 };

typedef enum { NB_F32, NB_U8, NB_S8, NB_S32 } nb_dtype;

typedef struct {
    int32_t ndim, d[NB_MAX_DIM];
} nb_shape;

/* Quantization parameters: the ONLY thing that crosses from training to integers. A network that is simulated has them
 * beside floats, for who wants to know; dtype is then NB_F32 where codes cannot be integers, and n also counts (output,
 * input) channels of weights.
 * n is 1 (per tensor) or the number of output channels (axis 0 of OHWI weights). Tensors of weights hold code - zero, which fits
 * -127..127, so that real = scale * what is there; lo, hi and zero are of the grid as it is without that.
 * With a table of levels codes are these integers alone; bits is then the width of an index into it, as it is stored. */
typedef struct {
    int32_t bits, n;
    int32_t lo, hi;      /* the grid's first and last code */
    nb_dtype dtype;      /* of codes: NB_U8 or NB_S8 */
    float *scale;        /* [n], > 0 and normal */
    int32_t *zero;       /* [n], lo <= zero <= hi */
    const int8_t *level; /* [n_tables][n_levels] each ascending, -127..127; NULL: every integer lo..hi */
    int32_t n_levels;    /* at most 2^bits */
    int32_t n_tables;    /* 1, or n: a table for each channel; 0 without levels */
} nb_qparams;

typedef struct {
    nb_shape shape;
    nb_dtype dtype;
    void *data;
    float *grad;         /* same shape, or NULL */
    const nb_qparams *q; /* of codes, or of floats that simulate codes; NULL for other floats and raw bytes */
} nb_tensor;

/* Of one element. */
static inline size_t nb_dtype_bytes(nb_dtype t)
{
    return t == NB_F32 || t == NB_S32 ? 4 : 1;
}

/* Product of the sizes; -1 if it does not fit in 2^40 (nothing legitimate is that large). */
NB_API int64_t nb_shape_count(const nb_shape *s);
NB_API bool nb_shape_equal(const nb_shape *a, const nb_shape *b);
NB_API nb_shape nb_shape_of(int32_t ndim, int32_t d0, int32_t d1, int32_t d2, int32_t d3);
/* "128x32x32x16" into buf; returns buf. */
NB_API const char *nb_shape_text(const nb_shape *s, char *buf, size_t len);

static inline int64_t nb_count(const nb_tensor *t)
{
    return nb_shape_count(&t->shape);
}
/* All dimensions but the last, and the last: how channel-wise layers see a tensor. */
static inline int32_t nb_channels(const nb_tensor *t)
{
    return t->shape.d[t->shape.ndim - 1];
}
static inline int64_t nb_rows(const nb_tensor *t)
{
    return nb_count(t) / nb_channels(t);
}

#ifdef __cplusplus
}
#endif
#endif
