/* ref_conv.c - three uses of one walk over (output, tap) pairs; nothing is clever here on purpose. */
#include "ref_conv.h"

#include <stddef.h>
#include <string.h>

/* n channels of one tap of one output. */
typedef void visit_fn(double *out, const double *a, const double *b, size_t y, size_t x, size_t w, size_t n);

static void visit_forward(double *out, const double *in, const double *weights, size_t y, size_t x, size_t w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[y] += in[x + i] * weights[w + i];
}

static void visit_input_grad(double *dx, const double *dy, const double *weights, size_t y, size_t x, size_t w,
                             size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[x + i] += dy[y] * weights[w + i];
}

static void visit_weight_grad(double *dw, const double *in, const double *dy, size_t y, size_t x, size_t w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dw[w + i] += in[x + i] * dy[y];
}

static void walk(const nb_geom *g, visit_fn *visit, double *out, const double *a, const double *b)
{
    int32_t cg = g->c / g->groups, ocg = g->oc / g->groups;
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++)
            for (int32_t oc = 0; oc < g->oc; oc++)
                for (int32_t ky = 0; ky < g->kh; ky++)
                    for (int32_t kx = 0; kx < g->kw; kx++) {
                        int32_t iy = oy * g->stride.h + ky * g->dilation.h - g->pad.top;
                        int32_t ix = ox * g->stride.w + kx * g->dilation.w - g->pad.left;
                        if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                            continue;
                        size_t y = ((size_t)oy * (size_t)g->ow + (size_t)ox) * (size_t)g->oc + (size_t)oc;
                        size_t x = ((size_t)iy * (size_t)g->w + (size_t)ix) * (size_t)g->c + (size_t)(oc / ocg * cg);
                        size_t w =
                            (((size_t)oc * (size_t)g->kh + (size_t)ky) * (size_t)g->kw + (size_t)kx) * (size_t)cg;
                        visit(out, a, b, y, x, w, (size_t)cg);
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
