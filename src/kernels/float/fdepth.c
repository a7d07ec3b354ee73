/* fdepth.c - depthwise 3x3: which rows of the image, and which taps, each output row sees.
 *
 * Rows go one after the other with all their channels, and each asks for the next: in training, images come from memory
 * and go back there, and this way they stream. */
#include "kernels/float/fdepth.h"

#include "kernels/sweeps/sweep.h"

#include <nibble/extend/tensor.h>

enum {
    MAX_BAND = 8,     /* rows of output gradient that the weight kernel sums in one go, ... */
    BAND_PIXELS = 128 /* ... until they have so many pixels: its nine sums are loaded and stored once for all of them */
};

bool nb_fdepth_supports(const nb_geom *g)
{
    return g->groups > 1 && g->groups == g->c && g->c == g->oc && g->kh == 3 && g->kw == 3 && g->pad.top == 1 &&
           g->pad.left == 1 && g->dilation.h == 1 && g->dilation.w == 1 && g->stride.h == g->stride.w &&
           (g->stride.h == 1 || g->stride.h == 2) && g->oh == (g->h - 1) / g->stride.h + 1 &&
           g->ow == (g->w - 1) / g->stride.w + 1;
}

static ptrdiff_t panel_stride(const nb_geom *g)
{
    return (g->c + NB_PANEL - 1) / NB_PANEL * NB_PANEL;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t band_rows(const nb_geom *g)
{
    return smaller((BAND_PIXELS + g->ow - 1) / g->ow, MAX_BAND);
}

/* Rows of the image that one band reads: as many stay converted. */
static int32_t ring_rows(const nb_geom *g)
{
    return (band_rows(g) - 1) * g->stride.h + 3;
}

size_t nb_fdepth_scratch_bytes(const nb_geom *g)
{
    return (size_t)ring_rows(g) * (size_t)g->w * (size_t)g->c * sizeof(float);
}

/* Rows of an image as floats; codes are converted once each, as the window moves down. */
typedef struct {
    const nb_geom *g;
    const nb_fconv_image *x;
    float *ring;
    int32_t next; /* first row that has not been converted */
} source;

static const float *row_at(source *s, int32_t y)
{
    const int64_t row = (int64_t)s->g->w * s->g->c;
    if (y < 0 || y >= s->g->h)
        return NULL;
    if (s->x->dtype == NB_F32)
        return (const float *)s->x->data + y * row;
    for (; s->next <= y; s->next++)
        nb_k_dequantize(s->ring + s->next % ring_rows(s->g) * row, (const uint8_t *)s->x->data + s->next * row, row,
                        1.0f, s->x->zero, s->x->dtype == NB_S8);
    return s->ring + y % ring_rows(s->g) * row;
}

static void add_row(nb_fdepth_row *r, const float *in, const float *w)
{
    r->in[r->n_rows] = in;
    r->w[r->n_rows++] = w;
}

static uintptr_t after(const float *row, int64_t n)
{
    return (uintptr_t)row + (uintptr_t)n * sizeof *row;
}

void nb_fdepth_forward(const nb_fconv_isa *k, const nb_geom *g, float *y, const nb_fconv_image *x, const float *panel,
                       const float *bias, float *scratch)
{
    const ptrdiff_t ldw = panel_stride(g);
    const int64_t in_row = (int64_t)g->w * g->c, out_row = (int64_t)g->ow * g->c;
    source s = {.g = g, .x = x, .ring = scratch};
    for (int32_t oy = 0; oy < g->oh; oy++) {
        nb_fdepth_row r = {.out = y + oy * out_row,
                           .bias = bias,
                           .ldw = ldw,
                           .n_in = g->w,
                           .n_out = g->ow,
                           .c = g->c,
                           .stride = g->stride.w};
        for (int32_t ky = 0; ky < 3; ky++) {
            const float *in = row_at(&s, oy * g->stride.h + ky - 1);
            if (in)
                add_row(&r, in, panel + 3 * ky * ldw);
        }
        r.in_ahead = after(r.in[r.n_rows - 1], in_row);
        r.out_ahead = after(r.out, out_row);
        k->depth3(&r);
    }
}

/* Row y of the input was read with tap ky for output row (y + 1 - ky) / stride, if that is whole. Stride 1 is a forward
 * pass with the taps in reverse order. */
void nb_fdepth_input_grad(const nb_fconv_isa *k, const nb_geom *g, float *dx, bool add, const float *dy,
                          const float *panel)
{
    const bool same = g->stride.h == 1;
    const ptrdiff_t ldw = panel_stride(g);
    const int64_t in_row = (int64_t)g->w * g->c, out_row = (int64_t)g->ow * g->c;
    for (int32_t y = 0; y < g->h; y++) {
        nb_fdepth_row r = {.out = dx + y * in_row,
                           .ldw = same ? -ldw : ldw,
                           .n_in = g->ow,
                           .n_out = g->w,
                           .c = g->c,
                           .stride = 1,
                           .out_ahead = after(dx, (y + 1) * in_row),
                           .add = add};
        for (int32_t ky = 2; ky >= 0; ky--) {
            const int32_t at = y + 1 - ky;
            if (at < 0 || at % g->stride.h != 0 || at / g->stride.h >= g->oh)
                continue;
            const float *in = dy + at / g->stride.h * out_row;
            add_row(&r, in, panel + (3 * ky + (same ? 2 : 0)) * ldw);
            r.in_ahead = after(in, out_row);
        }
        if (same)
            k->depth3(&r);
        else
            k->depth3_spread(&r);
    }
}

void nb_fdepth_weight_grad(const nb_fconv_isa *k, const nb_geom *g, float *slot, const nb_fconv_image *x,
                           const float *dy, float *scratch)
{
    const float *in[2 * (MAX_BAND - 1) + 3];
    source s = {.g = g, .x = x, .ring = scratch};
    for (int32_t oy = 0; oy < g->oh; oy += band_rows(g)) {
        nb_fdepth_sums r = {.out = slot,
                            .in = in,
                            .dy = dy + (int64_t)oy * g->ow * g->c,
                            .ldw = panel_stride(g),
                            .n_rows = smaller(g->oh - oy, band_rows(g)),
                            .n_in = g->w,
                            .n_out = g->ow,
                            .c = g->c,
                            .stride = g->stride.w};
        for (int32_t i = 0; i < (r.n_rows - 1) * g->stride.h + 3; i++) {
            in[i] = row_at(&s, oy * g->stride.h + i - 1);
            if (in[i])
                r.in_ahead = after(in[i], (int64_t)g->w * g->c);
        }
        r.dy_ahead = after(r.dy, (int64_t)r.n_rows * g->ow * g->c);
        k->depth3_weights(&r);
    }
}
