/* ipool.h - what the engine and the training graph do to codes beside convolution: pools, concat; ipair.h has sums. One
 * implementation for both, so they cannot differ. Pure, integer, no libc beyond memcpy/memset. Codes are bytes: u8, or
 * s8 as their bit pattern. */
#ifndef NB_KERNELS_IPOOL_H
#define NB_KERNELS_IPOOL_H

#include <nibble/geom.h>
#include <stdint.h>

/* From one grid to another: y = clamp(rescale(v - x_zero) + y_zero, lo, hi). */
typedef struct {
    int32_t x_signed, x_zero; /* input: 0 = u8, 1 = s8 */
    int32_t mult, shift;      /* mult in [2^30, 2^31), shift in [1, 62] */
    int32_t y_zero, lo, hi;   /* output */
} nb_regrid;

/* Does every window hold at least one pixel of the image? Asked of pools, whose dilation is 1. */
int32_t nb_pool_touches(const nb_geom *g);
/* Pixels of the image in the window of one output pixel. */
int32_t nb_pool_pixels(const nb_geom *g, int32_t oy, int32_t ox);
/* Largest code of each window, then clamped. The grid stays. Padding is ignored, dilation is 1, every window touches the
 * image. y: [oh, ow, c]. */
void nb_k_maxpool_codes(uint8_t *y, const uint8_t *x, int32_t is_signed, int32_t lo, int32_t hi, const nb_geom *g);
/* Rescaled sum of (x - x_zero) over each window's pixels of the image; mult and shift hold 1 / (kh * kw) from
 * nb_avgpool_multiplier. inside: where a window reaches over the edge, those of 1 / its pixels of the image instead. No
 * dilation, every window touches the image; kh * kw <= 2^22. */
void nb_k_avgpool_codes(uint8_t *y, const uint8_t *x, const nb_regrid *r, const nb_geom *g, int32_t inside);
/* mult / 2^shift = 1 / count to the nearest, mult in [2^30, 2^31); 1 <= count <= 2^30. */
void nb_avgpool_multiplier(int32_t count, int32_t *mult, int32_t *shift);

/* y[row * y_stride + i] = regrid(x[row * c + i]): one input of a concat; y points at its first channel. */
void nb_k_concat_codes(uint8_t *y, int64_t y_stride, const uint8_t *x, int64_t rows, int32_t c, const nb_regrid *r);

#endif
