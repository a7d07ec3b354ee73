/* fconv.h - float convolution of one NHWC image: forward, gradient of the input, gradient of the weights.
 *
 * All three are "rows times taps": out[row][:] = sum over taps of in[row_off[row] + tap_off[tap]] * w[tap][:], with
 * offsets from tables, so nothing is gathered (no im2col) and strides, dilation and groups cost nothing. Two kinds have a
 * faster way: depthwise 3x3 (fdepth.h) and dense 3x3 of stride 1 (fwino.h). Forward: rows
 * are output pixels of the zero-padded image. The gradient of the input is the same operation on the padded output
 * gradient, one product per (y % stride, x % stride). The gradient of the weights swaps the tables: rows are taps, the
 * sum runs over pixels. Linear layers are 1x1 convolutions on a 1 x rows image.
 *
 * A plan holds the tables for one geometry; it is built once (nb_fconv_plan_bytes/_init into caller's memory) and is
 * read-only after. Panels are weights repacked per step (nb_fconv_pack): both for forward and for the input gradient.
 * Everything is pure and thread safe; plan memory, panels, slots and scratch are 64-byte aligned; scratch is per
 * thread, contents undefined. Inputs may be floats or codes (u8, s8): codes are used as the integers (code - zero),
 * unscaled; the caller applies the scale. A pixel's result depends on its own window alone, but for fwino.h's last bits
 * never on its place in the image. */
#ifndef NB_KERNELS_FCONV_H
#define NB_KERNELS_FCONV_H

#include <nibble/geom.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct nb_fconv_plan nb_fconv_plan;

typedef struct {      /* an image to read */
    const void *data; /* [h, w, c] */
    int32_t dtype;    /* nb_dtype: NB_F32, NB_U8 or NB_S8 */
    int32_t zero;     /* for codes */
} nb_fconv_image;

/* How sums are taken: the fastest way here, or one product after the other, which kernels/grad16 reads the tables of. */
typedef enum { NB_FCONV_FAST, NB_FCONV_PLAIN } nb_fconv_way;

/* False when something would exceed 2^31 elements, or a window leaves the padded image. Any geometry with oh, ow >= 1
 * and c, oc divisible by groups works. */
bool nb_fconv_plan_bytes(const nb_geom *g, nb_fconv_way way, size_t *bytes);
nb_fconv_plan *nb_fconv_plan_init(void *mem, const nb_geom *g, nb_fconv_way way);

size_t nb_fconv_panel_bytes(const nb_fconv_plan *p);
size_t nb_fconv_scratch_bytes(const nb_fconv_plan *p); /* per thread, enough for any of the three */
void nb_fconv_pack(const nb_fconv_plan *p, void *panels, const float *w /* OHWI */);
/* The same in parts 0..n-1, which may be packed at once. */
int32_t nb_fconv_pack_parts(const nb_fconv_plan *p);
void nb_fconv_pack_part(const nb_fconv_plan *p, void *panels, const float *w, int32_t part);

/* y [oh, ow, oc] = conv(x) (+ bias [oc] if not NULL) */
void nb_fconv_forward(const nb_fconv_plan *p, float *y, const nb_fconv_image *x, const void *panels, const float *bias,
                      void *scratch);
/* dx [h, w, c] = or += */
void nb_fconv_input_grad(const nb_fconv_plan *p, float *dx, bool add, const float *dy, const void *panels,
                         void *scratch);
/* slot (nb_fconv_slot_bytes, zeroed by the caller) += this image's share, in the kernel's own layout */
size_t nb_fconv_slot_bytes(const nb_fconv_plan *p);
void nb_fconv_weight_grad(const nb_fconv_plan *p, void *slot, const nb_fconv_image *x, const float *dy, void *scratch);
/* dw (OHWI) += scale * sum of n slots, added in slot order (fixed order: results do not depend on threads) */
typedef struct {
    void *const *slots;
    int32_t n;
    float scale;
} nb_fconv_slots;
void nb_fconv_weight_grad_finish(const nb_fconv_plan *p, float *dw, const nb_fconv_slots *s);
/* The same in parts 0..n-1, so many output channels each (the last of a group: what is left), which may be finished at once. */
enum { NB_FCONV_FINISH = 16 };
int32_t nb_fconv_finish_parts(const nb_fconv_plan *p);
void nb_fconv_finish_part(const nb_fconv_plan *p, float *dw, const nb_fconv_slots *s, int32_t part);
/* A part of a plan that is NB_FCONV_PLAIN to where its output channels do not lie side by side: the first `taps` weights of
 * each, rows of `row` floats, from dw on. set: = instead of +=. */
typedef struct {
    float *dw;
    int64_t row;
    int32_t taps;
    bool set;
} nb_fconv_rows;
void nb_fconv_finish_rows(const nb_fconv_plan *p, const nb_fconv_rows *to, const nb_fconv_slots *s, int32_t part);

#endif
