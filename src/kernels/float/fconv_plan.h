/* fconv_plan.h - the tables of one convolution geometry, and where everything lies in panels, slots and scratch.
 *
 * A padded image is the input (or the output gradient) with a border of zeros, so that every tap of every row exists.
 * Offsets count floats; a row's offset plus a tap's offset is always inside the padded image. Dense convolutions run
 * one product per group; depthwise ones (groups == c == oc) are one product whose columns are the channels, with pixels
 * padded to whole panels of floats. */
#ifndef NB_KERNELS_FCONV_PLAN_H
#define NB_KERNELS_FCONV_PLAN_H

#include "kernels/float/fconv.h"
#include "kernels/float/fdepth.h"

typedef struct {
    int32_t h, w, c;        /* the image */
    int32_t top, left;      /* border before it */
    int32_t ph, pw, stride; /* padded rows and columns, floats per padded pixel */
} nb_fborder;

/* One residue class (y % stride, x % stride) of input pixels: all of them see the same taps of the output gradient. */
typedef struct {
    int32_t first_row, n_rows; /* in dx_off and dy_row */
    int32_t first_pos, n_pos;  /* in dy_pos; times tap_depth in dy_tap */
    int64_t panel;             /* floats before the panels of this phase */
} nb_fphase;

struct nb_fconv_plan {
    nb_geom g;
    const nb_fconv_isa *isa; /* chosen once; tests put others here */
    bool depthwise;
    bool rows3;               /* depthwise as fdepth.h does it: the tables are empty */
    bool tiles;               /* dense as fwino.h does it: the same */
    int32_t groups;           /* products: 1 when depthwise */
    int32_t cg, ocg;          /* input and output channels of one product */
    int32_t tap_depth;        /* taps of the output gradient per kernel position: ocg, or 1 when depthwise */
    int32_t n_pixels, n_taps; /* oh * ow; kh * kw * cg, or kh * kw when depthwise */
    int32_t n_phases;
    nb_fborder x, dy;
    int64_t forward_floats;    /* panels of the forward pass; those of the input gradient follow */
    int64_t panel_floats;      /* both */
    int32_t *x_row, *y_off;    /* [n_pixels] */
    int32_t *x_tap, *slot_off; /* [n_taps] */
    int32_t *dx_off, *dy_row;  /* [h * w], phase by phase */
    int32_t *dy_tap,
        *dy_pos;      /* [kh * kw * tap_depth] offsets; [kh * kw] kernel positions ky * kw + kx, phase by phase */
    nb_fphase *phase; /* [n_phases] */
};

static inline int32_t nb_fpanels(int32_t columns)
{
    return (columns + NB_PANEL - 1) / NB_PANEL;
}

/* Floats per row of one product's columns, over all its panels. */
static inline int32_t nb_fround(int32_t columns)
{
    return nb_fpanels(columns) * NB_PANEL;
}

/* Floats in use can be read where they are: no border, no rounding. */
static inline bool nb_fborder_none(const nb_fborder *b)
{
    return b->ph == b->h && b->pw == b->w && b->stride == b->c;
}

static inline size_t nb_fborder_floats(const nb_fborder *b)
{
    return (size_t)b->ph * (size_t)b->pw * (size_t)b->stride;
}

/* The image with its border, as floats: x itself when nothing is to be done, else built in scratch. */
const float *nb_fpadded(const nb_fborder *b, const nb_fconv_image *x, float *scratch);

#endif
