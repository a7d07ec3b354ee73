/* qgrad.h - gradients of a convolution of codes in 16-bit integers: dx and dw of one image from a quantized dy.
 *
 * In quantized training both operands of the forward pass are codes, so once the output gradient dy [oh, ow, oc] is
 * rounded to integers too, both backward products are sums of s16 x s16 in s32, which processors do at twice the rate
 * of float multiply-adds. Per image, with M = 32767 and Q at most M:
 *   dw   q[p][o] = round_half_even(dy[p][o] / s[o]),  s[o] = max over p of |dy[p][o]| / M   a scale per channel
 *   dx   q[p][o] = round_half_even(dy[p][o] * w_scale[o] / s),  s = max over p, o of |dy * w_scale| / Q
 * Weight scales go into dx's codes because its sum runs over output channels. The sums themselves are exact: Q is the
 * largest for which Q * max over input channels of sum|w| stays below 2^31 (known when weights are packed), and sums
 * for dw are added to floats every 256 pixels, 32767 * 255 * 256 < 2^31. 3x3 convolutions with stride 1 and channels in
 * sixteens may be computed by Winograd's tiles, with less than half of the products (qgrad_winograd.h); they take two
 * bits for that: M = 8191, and Q * sum|w| stays below 2^29. So for every element
 *   |dw - exact| <= s[o] / 2 * sum over p of |x - zero|,  |dx - exact| <= s / 2 * sum over window and o of |w|
 * beside float rounding, and results are the same bits on every instruction set.
 *
 * An image whose dy holds NaN or infinity gets NaN everywhere in dx and dw. Gradients below 2^-100 count as that when
 * scales are chosen, so scales are never 0. Everything is pure and thread safe; memory is the caller's, 64-byte
 * aligned. Dense and grouped convolutions, strides, dilation; not depthwise. */
#ifndef NB_KERNELS_QGRAD_H
#define NB_KERNELS_QGRAD_H

#include "kernels/float/fconv.h"

typedef struct nb_qgrad_plan nb_qgrad_plan;

/* A kernel in vector instructions is there: it beats the float convolution. */
bool nb_qgrad_is_fast(void);

/* f: the float plan of the same geometry; the new plan reads its tables, so it must live as long. False for depthwise
 * convolutions, and when something would exceed 2^31 elements. */
bool nb_qgrad_plan_bytes(const nb_fconv_plan *f, size_t *bytes);
nb_qgrad_plan *nb_qgrad_plan_init(void *mem, const nb_fconv_plan *f);

size_t nb_qgrad_panel_bytes(const nb_qgrad_plan *p);
size_t nb_qgrad_scratch_bytes(const nb_qgrad_plan *p); /* per thread */
/* w: OHWI codes, zero point 0; scale: their scales, n = 1 or oc of them. */
void nb_qgrad_pack(const nb_qgrad_plan *p, void *panels, const int8_t *w, const float *scale, int32_t n);
/* The same by parts, which may be packed at once, each once; then the rest. */
int32_t nb_qgrad_pack_parts(const nb_qgrad_plan *p);
void nb_qgrad_pack_part(const nb_qgrad_plan *p, void *panels, const int8_t *w, int32_t part);
void nb_qgrad_pack_finish(const nb_qgrad_plan *p, void *panels, const float *scale, int32_t n);

/* Finds the largest |dy| of every channel, once for both passes: they read it from the same scratch. */
void nb_qgrad_measure(const nb_qgrad_plan *p, const float *dy, void *scratch);
/* dx [h, w, c] = or += the gradient of the input's real values. dy has been measured. */
void nb_qgrad_input(const nb_qgrad_plan *p, float *dx, bool add, const float *dy, const void *panels, void *scratch);
/* slot += this image's share, as nb_fconv_weight_grad does (same layout, finished by nb_fconv_weight_grad_finish). x is
 * codes, dy has been measured. */
void nb_qgrad_weight(const nb_qgrad_plan *p, void *slot, const nb_fconv_image *x, const float *dy, void *scratch);

#endif
