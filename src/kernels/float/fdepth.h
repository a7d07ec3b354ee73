/* fdepth.h - the depthwise convolution that nearly all networks use, 3x3 with a border of 1 and stride 1 or 2, row by
 * row and straight from the image: no padded copy, no tables. fconv.c sends it here; other depthwise geometries take
 * the general way.
 *
 * panel and slot: [9][rounded up to NB_PANEL channels], as fconv.c lays them out. */
#ifndef NB_KERNELS_FDEPTH_H
#define NB_KERNELS_FDEPTH_H

#include "kernels/float/fconv.h"
#include "kernels/float/fconv_isa.h"

bool nb_fdepth_supports(const nb_geom *g);
size_t nb_fdepth_scratch_bytes(const nb_geom *g); /* per thread: rows of codes as floats */

/* The three passes of fconv.h for one image. */
void nb_fdepth_forward(const nb_fconv_isa *k, const nb_geom *g, float *y, const nb_fconv_image *x, const float *panel,
                       const float *bias, float *scratch);
void nb_fdepth_input_grad(const nb_fconv_isa *k, const nb_geom *g, float *dx, bool add, const float *dy,
                          const float *panel);
void nb_fdepth_weight_grad(const nb_fconv_isa *k, const nb_geom *g, float *slot, const nb_fconv_image *x,
                           const float *dy, float *scratch);

#endif
