/* muon.c - momentum whose matrix is made orthogonal (Jordan et al. 2024): all directions of a layer's weight are stepped along
 * alike, whatever their gradients' sizes.
 *
 *   m = momentum * m + g;  d = nesterov ? g + momentum * m : m
 *   of a weight seen as [out, all of one output]:  x = d / |d|, then `steps` times  x = a x + (b A + c A A) x  with A = x x',
 *   which takes every singular value to about 1;  w = (1 - lr * weight_decay) * w - lr * sqrt(max(1, rows / columns)) * x
 *   of everything else:  w = (1 - lr * weight_decay) * w - lr * rest * d
 * OHWI weights have their columns in another order than OIHW: nothing depends on it. moments[0] = m. */
#include "train/matrix.h"
#include "train/optim.h"

#include <math.h>
#include <string.h>

typedef struct {
    float momentum, rest;
    int32_t steps;
    bool nesterov, linear, normalize;
} muon_attr;

static const nb_key muon_keys[] = {
    NB_KEY_FLOAT(muon_attr, momentum, "0.95", 0, 0.9999, "share of the previous step that is kept"),
    NB_KEY_BOOL(muon_attr, nesterov, "yes", "look ahead: step along gradient + momentum"),
    NB_KEY_INT(muon_attr, steps, "5", 1, 20, "Newton-Schulz steps; 3 are cheaper and nearly as good"),
    NB_KEY_BOOL(muon_attr, linear, "no",
                "weights of linear layers are orthogonal steps, too, not those of convolutions alone"),
    NB_KEY_BOOL(
        muon_attr, normalize, "no",
        "before every step make a weight's norm the root of its outputs: for weights that a batch norm follows"),
    NB_KEY_FLOAT(muon_attr, rest, "1", 0, 1000, "factor on the learning rate of everything that is no such weight"),
    {0},
};

static bool muon_takes(const void *attr, bool convolution)
{
    return convolution || ((const muon_attr *)attr)->linear;
}

/* The step's direction from momentum and gradient; returns the new momentum's or Nesterov's value. */
static float direction(const muon_attr *s, float g, float *m)
{
    *m = s->momentum * *m + g;
    return s->nesterov ? g + s->momentum * *m : *m;
}

static void muon_update(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                        int64_t n)
{
    const muon_attr *s = attr;
    const float keep = 1.0f - a->lr * a->weight_decay, rate = a->lr * s->rest;
    for (int64_t i = 0; i < n; i++)
        w[i] = keep * w[i] - rate * direction(s, g[i], &moments[0][i]);
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* x [rows, columns], rows <= columns, in place; work: another such matrix, and two [rows, rows]. */
static void orthogonalize(float *x, int32_t rows, int32_t columns, int32_t steps, float *work)
{
    static const float a = 3.4445f, b = -4.7750f, c = 2.0315f; /* Jordan's: fast rather than exact */
    const int64_t n = (int64_t)rows * columns, square = (int64_t)rows * rows;
    float *y = work, *gram = work + n, *mix = gram + square;
    const float scale = (float)(1.0 / (norm_of(x, n) + 1e-7));
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale;
    for (int32_t k = 0; k < steps; k++) {
        nb_matrix_product(gram, x, x, rows, rows, columns, 1, 0, true);
        memcpy(mix, gram, (size_t)square * sizeof *mix);
        nb_matrix_product(mix, gram, gram, rows, rows, rows, c, b, false);
        memcpy(y, x, (size_t)n * sizeof *y);
        nb_matrix_product(x, mix, y, rows, columns, rows, 1, a, false);
    }
}

static void transpose(float *to, const float *from, int32_t rows, int32_t columns)
{
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < columns; c++)
            to[(int64_t)c * rows + r] = from[(int64_t)r * columns + c];
}

static int64_t muon_work(const nb_matrix_size *m)
{
    const int64_t n = (int64_t)m->rows * m->columns, least = m->rows < m->columns ? m->rows : m->columns;
    return 2 * n + 2 * least * least;
}

static void muon_matrix(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                        const nb_matrix_size *size, float *work)
{
    const muon_attr *s = attr;
    const int32_t rows = size->rows, columns = size->columns;
    const int64_t n = (int64_t)rows * columns;
    const bool tall = rows > columns;
    float *d = work, *more = work + n;
    for (int64_t i = 0; i < n; i++)
        d[i] = direction(s, g[i], &moments[0][i]);
    if (tall) {
        transpose(more, d, rows, columns);
        memcpy(d, more, (size_t)n * sizeof *d);
        orthogonalize(d, columns, rows, s->steps, more);
        transpose(more, d, columns, rows);
        memcpy(d, more, (size_t)n * sizeof *d);
    } else {
        orthogonalize(d, rows, columns, s->steps, more);
    }
    const float rate = a->lr * (tall ? sqrtf((float)rows / (float)columns) : 1.0f);
    const float whole = s->normalize ? (float)(sqrt((double)rows) / (norm_of(w, n) + 1e-12)) : 1.0f;
    const float keep = whole * (1.0f - a->lr * a->weight_decay);
    for (int64_t i = 0; i < n; i++)
        w[i] = keep * w[i] - rate * d[i];
}

const nb_optimizer nb_optimizer_muon = {
    .name = "muon",
    .help = "momentum made orthogonal for the weights of convolutions, plain for the rest; weight decay shrinks the "
            "weights directly",
    .keys = muon_keys,
    .attr_size = sizeof(muon_attr),
    .n_moments = 1,
    .update = muon_update,
    .takes = muon_takes,
    .matrix = muon_matrix,
    .work_floats = muon_work,
};
