/* fwide.c - writes windows out into matrices and back, and multiplies them. */
#include "kernels/float/fwide.h"

#include "kernels/float/fblas.h"
#include "kernels/float/fconv_isa.h"
#include "kernels/float/fwino.h"
#include "kernels/sweeps/sweep.h"

#include <nibble/extend/tensor.h>
#include <string.h>

enum {
    GROUP_ROWS = 256,       /* of one product; twice as many for the weight gradient */
    MIN_CHANNELS = 64,      /* on either side: below, a window's copy costs as much as its products */
    MOST_OF_TILES = 1 << 20 /* weights that Winograd's tiles read fast enough */
};
static const int64_t max_cols = 1 << 22; /* floats of one product's windows: 16 MB of scratch per thread */

static int64_t rows_of(const nb_geom *g)
{
    return (int64_t)g->oh * g->ow;
}

static int32_t depth_of(const nb_geom *g)
{
    return g->kh * g->kw * g->c;
}

bool nb_fwide_is_matrix(const nb_geom *g)
{
    return nb_geom_is_pixels(g);
}

/* From the table of `nibble bench --kernels` on a Zen 5 with AVX-512 and OpenBLAS 0.3.21, all passes together, ours to
 * theirs. Instructions as wide as ours (Cooperlake): 3x3 64->64 0.95, 128->128 1.02, 256->256 1.1, 512->512 1.3 to 1.7;
 * 1x1 64->256 1.15; linear 784->128 1.4. Half as wide (Haswell): 3x3 512->512 0.75 to 0.86, 1024->1024 1.6; linear
 * 784->128 0.8, 1024->1024 1.2, 12544->1024 2. So what counts is the number of weights, which we pack in every step and
 * read for every image; a window of one pixel is not written out, and a linear layer has few rows to pay for packing.
 * 3x3 of stride 1 by fwino.h's tiles, on a Zen 4 (AVX-512): 128->128 0.42 to 0.47, 256->256 0.47, 512->512 at 8x8 0.88. */
bool nb_fwide_rule(const nb_geom *g, int64_t batch, int32_t blas, int32_t own)
{
    const bool linear = rows_of(g) == 1 && nb_fwide_is_matrix(g);
    const int64_t weights = (int64_t)depth_of(g) * g->oc;
    int64_t least = nb_fwide_is_matrix(g) ? 1 << 14 : 1 << 16;
    if (blas == 0 || 2 * blas < own || g->groups != 1 || g->c < MIN_CHANNELS || g->oc < MIN_CHANNELS)
        return false;
    if (blas < own)
        least = linear ? 1 << 20 : 1 << 22;
    if (weights < least || (nb_fwino_wins(g) && weights <= MOST_OF_TILES))
        return false;
    return linear ||
           (batch * rows_of(g) >= GROUP_ROWS && (int64_t)nb_fwide_cols(g, nb_fwide_group(g), true) <= max_cols);
}

int32_t nb_fwide_own_width(void)
{
    return ((const nb_fconv_isa *)nb_variant_best(nb_fconv_variants)->kernels)->width;
}

bool nb_fwide_wins(const nb_geom *g, int64_t batch)
{
    const int32_t own = nb_fwide_own_width();
    return nb_fwide_rule(g, batch, own, own) && nb_fwide_rule(g, batch, nb_fblas_width(), own);
}

int32_t nb_fwide_group(const nb_geom *g)
{
    return (int32_t)((GROUP_ROWS + rows_of(g) - 1) / rows_of(g));
}

size_t nb_fwide_cols(const nb_geom *g, int32_t images, bool codes)
{
    return nb_fwide_is_matrix(g) && !codes ? 0 : (size_t)images * (size_t)rows_of(g) * (size_t)depth_of(g);
}

/* Of one product of the weight gradient. */
static int32_t tap_images(const nb_geom *g)
{
    return 2 * nb_fwide_group(g);
}

size_t nb_fwide_tap_cols(const nb_geom *g, int32_t n)
{
    return (size_t)tap_images(g) * (size_t)rows_of(g) * (size_t)n;
}

static void copy_values(float *out, const nb_fconv_image *x, int64_t at, int64_t n)
{
    if (x->dtype == NB_F32)
        memcpy(out, (const float *)x->data + at, (size_t)n * sizeof *out);
    else
        nb_k_dequantize(out, (const uint8_t *)x->data + at, n, 1.0f, x->zero, x->dtype == NB_S8);
}

static void add_values(float *restrict out, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] += from[i];
}

/* The pixels of one window row that lie in the image: kx in [from, to), which are `step` = dilation pixels apart. */
typedef struct {
    int64_t at;       /* the pixel of kx = 0, row included; may be outside */
    int32_t from, to; /* empty when the row is outside */
} span;

static span window_row(const nb_geom *g, int32_t oy, int32_t ox, int32_t ky)
{
    const int32_t y = oy * g->stride.h - g->pad.top + ky * g->dilation.h, x = ox * g->stride.w - g->pad.left;
    const int32_t step = g->dilation.w;
    span s = {(int64_t)y * g->w + x, 0, 0};
    if (y < 0 || y >= g->h)
        return s;
    s.from = x < 0 ? (-x + step - 1) / step : 0;
    s.to = x >= g->w ? 0 : (g->w - 1 - x) / step + 1;
    s.from = s.from < g->kw ? s.from : g->kw;
    s.to = s.to < g->kw ? s.to : g->kw;
    s.to = s.to < s.from ? s.from : s.to;
    return s;
}

/* One window row, kw * c floats. Neighbouring pixels are neighbours in memory unless the window is dilated. */
static void write_row(const nb_geom *g, float *cols, const nb_fconv_image *x, int64_t image, span s)
{
    const int32_t c = g->c, runs = g->dilation.w == 1 && s.to > s.from ? 1 : s.to - s.from;
    const int64_t n = runs == 1 ? (int64_t)(s.to - s.from) * c : c;
    memset(cols, 0, (size_t)s.from * (size_t)c * sizeof *cols);
    for (int32_t i = 0; i < runs; i++)
        copy_values(cols + (int64_t)(s.from + i) * c, x, image + (s.at + (int64_t)(s.from + i) * g->dilation.w) * c, n);
    memset(cols + (int64_t)s.to * c, 0, (size_t)(g->kw - s.to) * (size_t)c * sizeof *cols);
}

static void read_row(const nb_geom *g, float *dx, const float *cols, span s)
{
    for (int32_t i = s.from; i < s.to; i++)
        add_values(dx + (s.at + (int64_t)i * g->dilation.w) * g->c, cols + (int64_t)i * g->c, g->c);
}

/* im2col of some images, the first at x->data. */
static void write_windows(const nb_geom *g, float *cols, const nb_fconv_image *x, int32_t images)
{
    const int64_t item = (int64_t)g->h * g->w * g->c;
    for (int32_t i = 0; i < images; i++)
        for (int32_t oy = 0; oy < g->oh; oy++)
            for (int32_t ox = 0; ox < g->ow; ox++)
                for (int32_t ky = 0; ky < g->kh; ky++, cols += (int64_t)g->kw * g->c)
                    write_row(g, cols, x, i * item, window_row(g, oy, ox, ky));
}

/* col2im, always in the order of pixels: a value's sum does not depend on its neighbours. */
static void read_windows(const nb_geom *g, float *dx, const float *cols, int32_t images)
{
    const int64_t item = (int64_t)g->h * g->w * g->c;
    for (int32_t i = 0; i < images; i++, dx += item)
        for (int32_t oy = 0; oy < g->oh; oy++)
            for (int32_t ox = 0; ox < g->ow; ox++)
                for (int32_t ky = 0; ky < g->kh; ky++, cols += (int64_t)g->kw * g->c)
                    read_row(g, dx, cols, window_row(g, oy, ox, ky));
}

static nb_fblas_matrix matrix(const float *data, nb_fblas_form form, ptrdiff_t ld)
{
    return (nb_fblas_matrix){data, form, ld};
}

void nb_fwide_forward(const nb_geom *g, const nb_fwide_part *p, float *y, const nb_fconv_image *x, const float *w,
                      const float *bias, float *cols)
{
    const int64_t rows = p->images * rows_of(g);
    const int32_t depth = depth_of(g);
    const bool there = nb_fwide_is_matrix(g) && x->dtype == NB_F32;
    if (!there)
        write_windows(g, cols, x, p->images);
    y += p->first;
    for (int64_t r = 0; bias && r < rows; r++)
        memcpy(y + r * g->oc, bias + p->first, (size_t)p->n * sizeof *y);
    nb_fblas_product((int32_t)rows, p->n, depth, p->scale, matrix(there ? x->data : cols, NB_FBLAS_AS_IS, depth),
                     matrix(w + (int64_t)p->first * depth, NB_FBLAS_TRANSPOSED, depth), bias ? 1.0f : 0.0f, y, g->oc);
}

void nb_fwide_input_grad(const nb_geom *g, const nb_fwide_part *p, float *dx, bool add, const float *dy, const float *w,
                         float *cols)
{
    const int64_t rows = p->images * rows_of(g);
    const int32_t depth = depth_of(g);
    if (nb_fwide_is_matrix(g)) {
        nb_fblas_product((int32_t)rows, p->n, g->oc, p->scale, matrix(dy, NB_FBLAS_AS_IS, g->oc),
                         matrix(w + p->first, NB_FBLAS_AS_IS, depth), add ? 1.0f : 0.0f, dx + p->first, g->c);
        return;
    }
    nb_fblas_product((int32_t)rows, depth, g->oc, p->scale, matrix(dy, NB_FBLAS_AS_IS, g->oc),
                     matrix(w, NB_FBLAS_AS_IS, depth), 0.0f, cols, depth);
    if (!add)
        memset(dx, 0, (size_t)p->images * (size_t)g->h * (size_t)g->w * (size_t)g->c * sizeof *dx);
    read_windows(g, dx, cols, p->images);
}

/* Channels [first, first + n) of the pixel that a tap sees, row by row; zeros where it sees the border. */
static void write_tap(const nb_geom *g, const nb_fwide_part *p, int32_t tap, float *cols, const nb_fconv_image *x,
                      int64_t from, int32_t images)
{
    const int32_t ky = tap / g->kw, kx = tap % g->kw;
    for (int64_t i = from; i < from + images; i++)
        for (int32_t oy = 0; oy < g->oh; oy++)
            for (int32_t ox = 0; ox < g->ow; ox++, cols += p->n) {
                const span s = window_row(g, oy, ox, ky);
                const int64_t pixel = i * g->h * g->w + s.at + (int64_t)kx * g->dilation.w;
                if (kx >= s.from && kx < s.to)
                    copy_values(cols, x, pixel * g->c + p->first, p->n);
                else
                    memset(cols, 0, (size_t)p->n * sizeof *cols);
            }
}

void nb_fwide_weight_grad(const nb_geom *g, const nb_fwide_part *p, int32_t tap, float *dw, bool add,
                          const nb_fconv_image *x, const float *dy, float *cols)
{
    const int32_t depth = depth_of(g), step = tap_images(g);
    const bool there = nb_fwide_is_matrix(g) && x->dtype == NB_F32;
    dw += (int64_t)tap * g->c + p->first;
    for (int32_t i = 0; i < p->images; i += step, add = true) {
        const int32_t images = p->images - i < step ? p->images - i : step;
        const float *b = there ? (const float *)x->data + i * rows_of(g) * g->c + p->first : cols;
        if (!there)
            write_tap(g, p, tap, cols, x, i, images);
        nb_fblas_product(g->oc, p->n, (int32_t)(images * rows_of(g)), p->scale,
                         matrix(dy + i * rows_of(g) * g->oc, NB_FBLAS_TRANSPOSED, g->oc),
                         matrix(b, NB_FBLAS_AS_IS, there ? g->c : p->n), add ? 1.0f : 0.0f, dw, depth);
    }
}
