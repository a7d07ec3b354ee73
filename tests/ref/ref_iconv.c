/* ref_iconv.c - integer convolution as its definition reads: plain loops, no packing, no padding in memory. */
#include "ref/ref_iconv.h"
#include "kernels/integer/ibytes.h"

/* One output: window at (y0, x0) of the image, input channels from c0 on, w: this filter's [kh, kw, cg]. */
static int32_t window_sum(const uint8_t *x, int32_t x_signed, int32_t zero, const int8_t *w, const nb_geom *g,
                          int32_t y0, int32_t x0, int32_t c0)
{
    const int32_t cg = g->c / g->groups;
    int32_t acc = 0;
    for (int32_t ky = 0; ky < g->kh; ky++)
        for (int32_t kx = 0; kx < g->kw; kx++) {
            const int32_t iy = y0 + ky * g->dilation.h, ix = x0 + kx * g->dilation.w;
            const bool inside = iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
            for (int32_t c = 0; c < cg; c++)
                acc += *w++ * (inside ? nb_code(x[((int64_t)iy * g->w + ix) * g->c + c0 + c], x_signed) : zero);
        }
    return acc;
}

void ref_iconv(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const int8_t *w, const nb_geom *g)
{
    const int32_t cg = g->c / g->groups, ocg = g->oc / g->groups;
    const int64_t filter = (int64_t)g->kh * g->kw * cg;
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++)
            for (int32_t oc = 0; oc < g->oc; oc++)
                *acc++ = window_sum(x, x_signed, zero, w + oc * filter, g, oy * g->stride.h - g->pad.top,
                                    ox * g->stride.w - g->pad.left, oc / ocg * cg);
}
