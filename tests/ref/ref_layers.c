/* ref_layers.c - plain loops in double; see ref_layers.h. Only the node's shapes and its keys by name are used, nothing
 * of the code under test. */
#include "ref/ref_layers.h"

#include "ref/ref_conv.h"

#include <math.h>
#include <string.h>

double ref_attr(const nb_node *n, const char *key, double dflt)
{
    for (const nb_key *k = n->op->keys; k && k->name; k++) {
        const unsigned char *at = (const unsigned char *)n->attr + k->offset;
        if (strcmp(k->name, key) != 0)
            continue;
        if (k->kind == NB_K_INT)
            return *(const int32_t *)(const void *)at;
        if (k->kind == NB_K_FLOAT)
            return (double)*(const float *)(const void *)at;
        if (k->kind == NB_K_BOOL)
            return *(const bool *)(const void *)at;
    }
    return dflt;
}

/* Two numbers for rows and columns, or four for sides; what is not there is dflt. */
static void sizes(const nb_node *n, const char *key, int32_t dflt, int32_t *v, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        v[i] = dflt;
    for (const nb_key *k = n->op->keys; k && k->name; k++)
        if (strcmp(k->name, key) == 0)
            memcpy(v, (const unsigned char *)n->attr + k->offset, (size_t)count * sizeof *v);
}

/* Zeros before the first of `in` rows when there are as many windows as strides fit into them. */
static int32_t same_before(int32_t in, int32_t out, int32_t k, int32_t stride, int32_t dilation)
{
    const int32_t all = (out - 1) * stride + (k - 1) * dilation + 1 - in;
    return all > 0 ? all / 2 : 0;
}

static nb_geom window_of(const nb_node *n)
{
    const nb_shape *x = &n->in[0]->out.shape, *y = &n->out.shape;
    int32_t kernel[2], stride[2], dilation[2], pad[4];
    sizes(n, "kernel", 1, kernel, 2);
    sizes(n, "stride", 1, stride, 2);
    sizes(n, "dilation", 1, dilation, 2);
    sizes(n, "pad", 0, pad, 4);
    bool global = ref_attr(n, "global", 0) != 0;
    nb_geom g = {.h = x->d[1], .w = x->d[2], .c = x->d[3], .oh = y->d[1], .ow = y->d[2], .oc = y->d[3]};
    g.kh = global ? g.h : kernel[0];
    g.kw = global ? g.w : kernel[1];
    g.stride.h = stride[0] ? stride[0] : g.kh;
    g.stride.w = stride[1] ? stride[1] : g.kw;
    g.dilation = (nb_hw){dilation[0], dilation[1]};
    const bool same = pad[0] < 0;
    g.pad.top = same ? same_before(g.h, g.oh, g.kh, g.stride.h, dilation[0]) : global ? 0 : pad[0];
    g.pad.left = same ? same_before(g.w, g.ow, g.kw, g.stride.w, dilation[1]) : global ? 0 : pad[1];
    g.groups = (int32_t)ref_attr(n, "groups", 1);
    return g;
}

static void ref_conv_layer(double *y, const nb_node *n, const double *const *in)
{
    nb_geom g = window_of(n);
    if (strcmp(n->op->name, "dwconv2d") == 0)
        g.groups = g.c;
    for (int32_t i = 0; i < n->out.shape.d[0]; i++)
        ref_conv_forward(y + (int64_t)i * g.oh * g.ow * g.oc, in[0] + (int64_t)i * g.h * g.w * g.c, in[1],
                         n->n_in > 2 ? in[2] : NULL, &g);
}

static void ref_linear(double *y, const nb_node *n, const double *const *in)
{
    int64_t batch = n->out.shape.d[0], outs = n->out.shape.d[1], k = nb_count(&n->in[0]->out) / batch;
    for (int64_t i = 0; i < batch; i++)
        for (int64_t o = 0; o < outs; o++) {
            double sum = n->n_in > 2 ? in[2][o] : 0;
            for (int64_t f = 0; f < k; f++)
                sum += in[0][i * k + f] * in[1][o * k + f];
            y[i * outs + o] = sum;
        }
}

static void ref_batchnorm(double *y, const nb_node *n, const nb_run *r, const double *const *in)
{
    int64_t rows = nb_rows(&n->out);
    int32_t c = nb_channels(&n->out);
    for (int32_t k = 0; k < c; k++) {
        double mean = in[3][k], var = in[4][k];
        if (r->train && !r->freeze_bn) {
            mean = var = 0;
            for (int64_t i = 0; i < rows; i++)
                mean += in[0][i * c + k] / (double)rows;
            for (int64_t i = 0; i < rows; i++)
                var += (in[0][i * c + k] - mean) * (in[0][i * c + k] - mean) / (double)rows;
        }
        for (int64_t i = 0; i < rows; i++)
            y[i * c + k] = in[1][k] * (in[0][i * c + k] - mean) / sqrt(var + ref_attr(n, "eps", 0)) + in[2][k];
    }
}

static void ref_relu(double *y, const nb_node *n, const double *const *in)
{
    for (int64_t i = 0; i < nb_count(&n->out); i++)
        y[i] = fmin(fmax(in[0][i], 0), ref_attr(n, "cap", INFINITY));
}

enum { MAX, MEAN, MEAN_INSIDE };

/* One output value of a pool; x is one image. */
static double pool_at(const double *x, const nb_geom *g, int32_t oy, int32_t ox, int32_t c, int32_t kind)
{
    double best = -INFINITY, sum = 0, inside = 0;
    for (int32_t ky = 0; ky < g->kh; ky++)
        for (int32_t kx = 0; kx < g->kw; kx++) {
            int32_t iy = oy * g->stride.h - g->pad.top + ky, ix = ox * g->stride.w - g->pad.left + kx;
            if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                continue;
            double v = x[((int64_t)iy * g->w + ix) * g->c + c];
            best = fmax(best, v);
            sum += v;
            inside++;
        }
    return kind == MAX ? best : sum / (kind == MEAN_INSIDE ? inside : g->kh * g->kw);
}

static void ref_pool(double *y, const nb_node *n, const double *const *in, int32_t kind)
{
    nb_geom g = window_of(n);
    for (int32_t i = 0; i < n->out.shape.d[0]; i++)
        for (int32_t oy = 0; oy < g.oh; oy++)
            for (int32_t ox = 0; ox < g.ow; ox++)
                for (int32_t c = 0; c < g.c; c++)
                    *y++ = pool_at(in[0] + (int64_t)i * g.h * g.w * g.c, &g, oy, ox, c, kind);
}

static void ref_concat(double *y, const nb_node *n, const double *const *in)
{
    for (int64_t row = 0; row < nb_rows(&n->out); row++)
        for (int32_t k = 0; k < n->n_in; k++)
            for (int32_t c = 0; c < nb_channels(&n->in[k]->out); c++)
                *y++ = in[k][row * nb_channels(&n->in[k]->out) + c];
}

static void ref_softmax_xent(double *y, const nb_node *n, const nb_run *r, const double *const *in)
{
    int64_t batch = n->in[0]->out.shape.d[0], classes = nb_count(&n->in[0]->out) / batch;
    double e = ref_attr(n, "smoothing", 0);
    y[0] = y[1] = 0;
    for (int64_t i = 0; i < batch; i++) {
        const double *x = in[0] + i * classes;
        double sum = 0;
        int64_t best = 0;
        for (int64_t c = 0; c < classes; c++) {
            sum += exp(x[c]);
            best = x[c] > x[best] ? c : best;
        }
        for (int64_t c = 0; c < classes; c++) {
            double target = (c == r->labels[i] ? 1 - e : 0) + e / (double)classes;
            y[0] -= target * (x[c] - log(sum)) / (double)batch;
        }
        y[1] += best == r->labels[i];
    }
}

bool ref_layer_forward(double *y, const nb_node *n, const nb_run *r, const double *const *in)
{
    const char *op = n->op->name;
    int64_t count = nb_count(&n->out);
    if (strcmp(op, "conv2d") == 0 || strcmp(op, "dwconv2d") == 0)
        ref_conv_layer(y, n, in);
    else if (strcmp(op, "linear") == 0)
        ref_linear(y, n, in);
    else if (strcmp(op, "batchnorm") == 0)
        ref_batchnorm(y, n, r, in);
    else if (strcmp(op, "relu") == 0)
        ref_relu(y, n, in);
    else if (strcmp(op, "maxpool") == 0 || strcmp(op, "avgpool") == 0)
        ref_pool(y, n, in,
                 strcmp(op, "maxpool") == 0                               ? MAX
                 : ref_attr(n, "count_pad", 1) && !ref_attr(n, "ceil", 0) ? MEAN
                                                                          : MEAN_INSIDE);
    else if (strcmp(op, "add") == 0)
        for (int64_t i = 0; i < count; i++)
            y[i] = in[0][i] + in[1][i];
    else if (strcmp(op, "concat") == 0)
        ref_concat(y, n, in);
    else if (strcmp(op, "flatten") == 0)
        memcpy(y, in[0], (size_t)count * sizeof *y);
    else if (strcmp(op, "softmax_xent") == 0)
        ref_softmax_xent(y, n, r, in);
    else
        return false;
    return true;
}

static double weighted(const nb_node *n, const nb_run *r, double *const *in, const double *dy, double *y)
{
    const double *frozen[NB_MAX_IN];
    double sum = 0;
    for (int32_t k = 0; k < n->n_in; k++)
        frozen[k] = in[k];
    ref_layer_forward(y, n, r, frozen);
    for (int64_t i = 0; i < nb_count(&n->out); i++)
        sum += dy[i] * y[i];
    return sum;
}

double ref_layer_slope(const nb_node *n, const nb_run *r, double *const *in, int32_t k, int64_t at, const double *dy,
                       double *y)
{
    const double h = 1e-5, keep = in[k][at];
    in[k][at] = keep + h;
    double up = weighted(n, r, in, dy, y);
    in[k][at] = keep - h;
    double down = weighted(n, r, in, dy, y);
    in[k][at] = keep;
    return (up - down) / (2 * h);
}
