/* geom.h - the geometry of a sliding window over one NHWC image: convolutions and pools, float and integer. */
#ifndef NIBBLE_GEOM_H
#define NIBBLE_GEOM_H

#include <stdint.h>

typedef struct {
    int32_t h, w, c;    /* input rows, columns, channels */
    int32_t oh, ow, oc; /* output */
    int32_t kh, kw;     /* window */
    int32_t stride, pad, dilation;
    int32_t groups; /* 1 = dense; c = depthwise; weights are [oc, kh, kw, c / groups] (OHWI) */
} nb_geom;

/* Rows (or columns) of output: floor((in + 2*pad - dilation*(k-1) - 1) / stride) + 1; <= 0 if the window does not fit.
 */
static inline int32_t nb_geom_out(int32_t in, int32_t k, int32_t stride, int32_t pad, int32_t dilation)
{
    int32_t span = in + 2 * pad - dilation * (k - 1) - 1;
    return span < 0 ? 0 : span / stride + 1;
}

/* Output pixels for input pixels, each for itself: a 1x1 window. */
static inline nb_geom nb_geom_pixels(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t groups)
{
    nb_geom g = {h, w, c, h, w, oc, 1, 1, 1, 0, 1, groups};
    return g;
}

/* One output pixel that sees the whole image. */
static inline nb_geom nb_geom_whole(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t groups)
{
    nb_geom g = {h, w, c, 1, 1, oc, h, w, 1, 0, 1, groups};
    return g;
}

#endif
