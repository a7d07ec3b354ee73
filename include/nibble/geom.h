/* geom.h - the geometry of a sliding window over one NHWC image: convolutions and pools, float and integer. */
#ifndef NIBBLE_GEOM_H
#define NIBBLE_GEOM_H

#include <stdint.h>

typedef struct { /* rows and columns of anything */
    int32_t h, w;
} nb_hw;

typedef struct { /* rows and columns around an image, in the order of ONNX */
    int32_t top, left, bottom, right;
} nb_sides;

typedef struct {
    int32_t h, w, c;    /* input rows, columns, channels */
    int32_t oh, ow, oc; /* output */
    int32_t kh, kw;     /* window */
    nb_hw stride, dilation;
    nb_sides pad;
    int32_t groups; /* 1 = dense; c = depthwise; weights are [oc, kh, kw, c / groups] (OHWI) */
} nb_geom;

/* Rows (or columns) of output, pads being those before and behind together:
 * floor((in + pads - dilation*(k-1) - 1) / stride) + 1; 0 if the window does not fit. */
static inline int32_t nb_geom_out(int32_t in, int32_t k, int32_t stride, int32_t pads, int32_t dilation)
{
    int32_t span = in + pads - dilation * (k - 1) - 1;
    return span < 0 ? 0 : span / stride + 1;
}

/* Sets oh and ow to what the other sizes give. */
static inline void nb_geom_fit(nb_geom *g)
{
    g->oh = nb_geom_out(g->h, g->kh, g->stride.h, g->pad.top + g->pad.bottom, g->dilation.h);
    g->ow = nb_geom_out(g->w, g->kw, g->stride.w, g->pad.left + g->pad.right, g->dilation.w);
}

/* Does no window leave the image? */
static inline int32_t nb_geom_inside(const nb_geom *g)
{
    return !(g->pad.top | g->pad.left | g->pad.bottom | g->pad.right);
}

/* The same for rows and columns. */
static inline nb_hw nb_hw_of(int32_t both)
{
    nb_hw p = {both, both};
    return p;
}

/* The same on all sides. */
static inline nb_sides nb_sides_of(int32_t all)
{
    nb_sides s = {all, all, all, all};
    return s;
}

/* Every pixel a window of its own, one after another without a gap: a matrix product. */
static inline int32_t nb_geom_is_pixels(const nb_geom *g)
{
    return g->kh == 1 && g->kw == 1 && g->stride.h == 1 && g->stride.w == 1 && nb_geom_inside(g);
}

/* Output pixels for input pixels, each for itself: a 1x1 window. */
static inline nb_geom nb_geom_pixels(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t groups)
{
    nb_geom g = {h, w, c, h, w, oc, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, groups};
    return g;
}

/* One output pixel that sees the whole image. */
static inline nb_geom nb_geom_whole(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t groups)
{
    nb_geom g = {h, w, c, 1, 1, oc, h, w, {1, 1}, {1, 1}, {0, 0, 0, 0}, groups};
    return g;
}

#endif
