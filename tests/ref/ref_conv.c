/* ref_conv.c - three uses of one walk over (output, tap) pairs; nothing is clever here on purpose. */
#include "ref_conv.h"

#include <stddef.h>
#include <string.h>

typedef void visit_fn(size_t y, size_t x, size_t w, double *out, const double *a, const double *b);

static void visit_forward(size_t y, size_t x, size_t w, double *out, const double *in, const double *weights)
{
    out[y] += in[x] * weights[w];
}

static void visit_input_grad(size_t y, size_t x, size_t w, double *dx, const double *dy, const double *weights)
{
    dx[x] += dy[y] * weights[w];
}

static void visit_weight_grad(size_t y, size_t x, size_t w, double *dw, const double *in, const double *dy)
{
    dw[w] += in[x] * dy[y];
}

static void walk(const nb_geom *g, visit_fn *visit, double *out, const double *a, const double *b)
{
    int32_t cg = g->c / g->groups, ocg = g->oc / g->groups;
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++)
            for (int32_t oc = 0; oc < g->oc; oc++)
                for (int32_t ky = 0; ky < g->kh; ky++)
                    for (int32_t kx = 0; kx < g->kw; kx++)
                        for (int32_t i = 0; i < cg; i++) {
                            int32_t iy = oy * g->stride + ky * g->dilation - g->pad;
                            int32_t ix = ox * g->stride + kx * g->dilation - g->pad;
                            if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                                continue;
                            size_t y = ((size_t)oy * (size_t)g->ow + (size_t)ox) * (size_t)g->oc + (size_t)oc;
                            size_t x =
                                ((size_t)iy * (size_t)g->w + (size_t)ix) * (size_t)g->c + (size_t)(oc / ocg * cg + i);
                            size_t w =
                                (((size_t)oc * (size_t)g->kh + (size_t)ky) * (size_t)g->kw + (size_t)kx) * (size_t)cg +
                                (size_t)i;
                            visit(y, x, w, out, a, b);
                        }
}

void ref_conv_forward(double *y, const double *x, const double *w, const double *bias, const nb_geom *g)
{
    size_t pixels = (size_t)g->oh * (size_t)g->ow, oc = (size_t)g->oc;
    for (size_t i = 0; i < pixels * oc; i++)
        y[i] = bias ? bias[i % oc] : 0.0;
    walk(g, visit_forward, y, x, w);
}

void ref_conv_input_grad(double *dx, const double *dy, const double *w, const nb_geom *g)
{
    memset(dx, 0, (size_t)g->h * (size_t)g->w * (size_t)g->c * sizeof *dx);
    walk(g, visit_input_grad, dx, dy, w);
}

void ref_conv_weight_grad(double *dw, const double *x, const double *dy, const nb_geom *g)
{
    memset(dw, 0, (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups) * sizeof *dw);
    walk(g, visit_weight_grad, dw, x, dy);
}
