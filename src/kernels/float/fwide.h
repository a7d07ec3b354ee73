/* fwide.h - a float convolution of several images as matrix products by OpenBLAS (fblas.h): for layers so wide that
 * these beat the kernels of fconv.h. nb_fwide_wins decides.
 *
 * A row is an output pixel, and `cols` its window written out (im2col); of a 1x1 convolution the input itself is that
 * matrix. y = cols w^T; d cols = dy w, added back into dx (col2im); dw = dy^T cols. A linear layer is a 1x1 convolution
 * of images of one pixel. Weights are OHWI, images NHWC, dense (groups = 1). Nothing is packed beforehand.
 *
 * Everything is pure; `cols` is scratch of nb_fwide_cols floats, and calls for different images or channels may run at
 * once. Sums depend on how the caller cuts images and channels into calls, so cut by sizes alone. */
#ifndef NB_KERNELS_FWIDE_H
#define NB_KERNELS_FWIDE_H

#include "kernels/float/fconv.h"

/* Is the product by OpenBLAS faster than fconv.h for this layer here? g: of one image; batch: images of a step. The
 * same answer at any number of threads. */
bool nb_fwide_wins(const nb_geom *g, int64_t batch);
/* Floats per instruction of our own kernels here. */
int32_t nb_fwide_own_width(void);
/* The rule alone. blas and own: floats per instruction of either, blas = 0 for none. */
bool nb_fwide_rule(const nb_geom *g, int64_t batch, int32_t blas, int32_t own);

/* Images that go into one product: enough rows that packing the weights, which OpenBLAS does in every call, is paid. */
int32_t nb_fwide_group(const nb_geom *g);
/* Floats of cols for so many images; 0 where the input, if it is of floats, is the matrix. */
size_t nb_fwide_cols(const nb_geom *g, int32_t images, bool codes);
/* A window of one pixel, stride 1: products may take a part of the channels of dx. */
bool nb_fwide_is_matrix(const nb_geom *g);

/* Channels [first, first + n) of y [images, oh, ow, oc] = scale * conv(x) (+ bias). Codes are used as integers (code -
 * zero). x->data: of the first image. */
typedef struct {
    int32_t images, first, n;
    float scale;
} nb_fwide_part;
void nb_fwide_forward(const nb_geom *g, const nb_fwide_part *p, float *y, const nb_fconv_image *x, const float *w,
                      const float *bias, float *cols);
/* dx [images, h, w, c] = or +=. first, n: input channels; all of them unless the window is 1x1. */
void nb_fwide_input_grad(const nb_geom *g, const nb_fwide_part *p, float *dx, bool add, const float *dy, const float *w,
                         float *cols);

/* The batch is summed in products of 2 * nb_fwide_group images: cut elsewhere, and sums differ in their last bits.
 * Input channels [first, first + n) of dw [oc, kh, kw, c] at window position `tap`: = or += scale * dy^T x. */
void nb_fwide_weight_grad(const nb_geom *g, const nb_fwide_part *p, int32_t tap, float *dw, bool add,
                          const nb_fconv_image *x, const float *dy, float *cols);
/* Floats of cols for a part of n channels. */
size_t nb_fwide_tap_cols(const nb_geom *g, int32_t n);

#endif
