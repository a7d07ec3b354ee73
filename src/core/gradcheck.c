/* gradcheck.c - backward against central differences of the loss.
 *
 * For every parameter: one random direction (tests all elements at once) and `samples` single elements. The loss is a
 * float, so its difference carries about 1e-7 / eps of noise: errors are relative to max(|numeric|, |analytic|, 1e-2).
 */
#include <nibble/extend/op.h>

#include "base/check.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

static double loss_at(nb_graph *g, const nb_run *r)
{
    nb_forward(g, r);
    return nb_graph_loss(g);
}

/* Central difference of the loss along dir, a sparse or dense direction over the values w[0..n). */
static double slope(nb_graph *g, const nb_run *r, float *w, const float *dir, float *keep, int64_t n, double eps)
{
    memcpy(keep, w, (size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)((double)keep[i] + eps * (double)dir[i]);
    double up = loss_at(g, r);
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)((double)keep[i] - eps * (double)dir[i]);
    double down = loss_at(g, r);
    memcpy(w, keep, (size_t)n * sizeof *w);
    return (up - down) / (2 * eps);
}

static double error_of(double numeric, double analytic)
{
    double size = fmax(fmax(fabs(numeric), fabs(analytic)), 1e-2);
    double e = fabs(numeric - analytic) / size;
    return isnan(e) ? INFINITY : e;
}

static double check_leaf(nb_graph *g, const nb_run *r, nb_node *p, const float *grad, float *dir, float *keep,
                         int32_t samples, double eps)
{
    int64_t n = nb_count(&p->out);
    nb_rng rng = nb_rng_make(0x67726164, nb_hash_text(p->name));
    double analytic = 0, worst = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        dir[i] = nb_rng_normal(&rng);
        norm += (double)dir[i] * dir[i];
    }
    for (int64_t i = 0; i < n; i++) {
        dir[i] = (float)(dir[i] / sqrt(norm));
        analytic += (double)dir[i] * grad[i];
    }
    worst = error_of(slope(g, r, p->out.data, dir, keep, n, eps), analytic);
    for (int32_t s = 0; s < samples; s++) {
        int64_t at = (int64_t)nb_rng_below(&rng, (uint32_t)n);
        memset(dir, 0, (size_t)n * sizeof *dir);
        dir[at] = 1.0f;
        worst = fmax(worst, error_of(slope(g, r, p->out.data, dir, keep, n, eps), grad[at]));
    }
    return worst;
}

nb_status nb_grad_check(nb_graph *g, const nb_run *r, int32_t samples, double eps, double *worst)
{
    *worst = 0;
    nb_forward(g, r);
    nb_backward(g, r);
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *p = g->node[i];
        if (!(p->flags & NB_NODE_PARAM))
            continue;
        size_t bytes = (size_t)nb_count(&p->out) * sizeof(float);
        float *work = nb_alloc(g->ctx, 3 * bytes);
        if (!work)
            return NB_E_NOMEM;
        int64_t n = nb_count(&p->out);
        memcpy(work, p->out.grad, bytes);
        *worst = fmax(*worst, check_leaf(g, r, p, work, work + n, work + 2 * n, samples, eps));
        nb_free(g->ctx, work);
    }
    return NB_OK;
}
