/* node_check.c - see node_check.h. Runs every forward up to the node itself, so that nothing planned memory holds is
 * overwritten. */
#include "ref/node_check.h"

#include "base/rng.h"
#include "ref/ref_layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double *node_values(const nb_tensor *t)
{
    int64_t count = nb_count(t), per = t->q ? count / t->q->n : count;
    double *v = malloc((size_t)count * sizeof *v);
    for (int64_t i = 0; v && i < count; i++) {
        if (t->dtype == NB_F32)
            v[i] = (double)((const float *)t->data)[i];
        else
            v[i] = (double)t->q->scale[i / per] *
                   ((t->dtype == NB_S8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i]) -
                    t->q->zero[i / per]);
    }
    return v;
}

/* Aligned as planned memory is. */
static float *take_floats(int64_t count)
{
    return aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
}

typedef struct {
    nb_node *n;
    const nb_run *r;
    double *in[NB_MAX_IN], *slope[NB_MAX_IN], *dy, *y;
    float *grad[NB_MAX_IN], *dy_float;
    float *keep_grad[NB_MAX_IN], *keep_dy;
    uint32_t keep_fresh;
} check;

static double largest(const double *v, int64_t n)
{
    double max = 0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, fabs(v[i]));
    return max;
}

static bool asked(const check *c, int32_t k)
{
    return c->keep_grad[k] != NULL;
}

/* What lies in the gradients before backward runs. */
static void fill(check *c, float value)
{
    for (int32_t k = 0; k < c->n->n_in; k++)
        for (int64_t i = 0; c->grad[k] && i < nb_count(&c->n->in[k]->out); i++)
            c->grad[k][i] = value;
}

/* fresh: gradients hold garbage and are set; otherwise they hold 1 and are added to. Ops without BWD_SETS count on
 * zeros. */
static void run_backward(check *c, bool fresh)
{
    bool sets = c->n->op->flags & NB_OP_BWD_SETS;
    fill(c, !fresh ? 1.0f : sets ? NAN : 0.0f);
    for (int32_t k = 0; k < c->n->n_in; k++)
        c->n->in[k]->out.grad = asked(c, k) ? c->grad[k] : NULL;
    c->n->out.grad = c->dy_float;
    c->n->fresh = fresh ? 0xff : 0;
    c->n->op->backward(c->n, c->r);
}

static int64_t sampled(nb_rng *rng, int32_t s, int32_t samples, int64_t count)
{
    return samples < count ? (int64_t)nb_rng_below(rng, (uint32_t)count) : s % count;
}

/* What the gradient of input k must be at the places sampled: most of the time of a test. */
static bool take_slopes(check *c, int32_t k, int32_t samples)
{
    nb_rng rng = nb_rng_make(17, (uint64_t)k);
    c->slope[k] = malloc((size_t)samples * sizeof *c->slope[k]);
    for (int32_t s = 0; c->slope[k] && s < samples; s++)
        c->slope[k][s] =
            ref_layer_slope(c->n, c->r, c->in, k, sampled(&rng, s, samples, nb_count(&c->n->in[k]->out)), c->dy, c->y);
    return c->slope[k];
}

static double gradient_error(const check *c, int32_t k, int32_t samples, float start)
{
    int64_t count = nb_count(&c->n->in[k]->out);
    nb_rng rng = nb_rng_make(17, (uint64_t)k);
    double worst = 0, scale = 1e-6;
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs((double)c->grad[k][i] - (double)start));
    for (int32_t s = 0; s < samples; s++) {
        int64_t at = sampled(&rng, s, samples, count);
        double e = fabs((double)c->grad[k][at] - (double)start - c->slope[k][s]) / scale;
        worst = isnan(e) ? INFINITY : fmax(worst, e);
    }
    return worst;
}

static double check_backward(check *c, int32_t samples)
{
    double worst = 0;
    for (int32_t k = 0; k < c->n->n_in; k++)
        if (asked(c, k) && !take_slopes(c, k, samples))
            return INFINITY;
    for (int32_t pass = 0; pass < 2; pass++) {
        run_backward(c, pass == 0);
        for (int32_t k = 0; k < c->n->n_in; k++)
            if (asked(c, k))
                worst = fmax(worst, gradient_error(c, k, samples, pass == 0 ? 0.0f : 1.0f));
    }
    for (int32_t k = 0; k < c->n->n_in; k++) /* nobody asks: nothing may be written */
        c->n->in[k]->out.grad = NULL;
    c->n->op->backward(c->n, c->r);
    return worst;
}

static bool take_memory(check *c)
{
    int64_t count = nb_count(&c->n->out);
    bool ok = true;
    for (int32_t k = 0; k < c->n->n_in; k++) {
        c->in[k] = node_values(&c->n->in[k]->out);
        c->grad[k] = take_floats(nb_count(&c->n->in[k]->out));
        ok = ok && c->in[k] && c->grad[k];
        c->keep_grad[k] = c->n->in[k]->out.grad;
    }
    c->keep_dy = c->n->out.grad;
    c->keep_fresh = c->n->fresh;
    c->dy = malloc((size_t)count * sizeof *c->dy);
    c->y = malloc((size_t)count * sizeof *c->y);
    c->dy_float = take_floats(count);
    return ok && c->dy && c->y && c->dy_float;
}

static void give_back(check *c)
{
    for (int32_t k = 0; k < c->n->n_in; k++) {
        c->n->in[k]->out.grad = c->keep_grad[k];
        free(c->in[k]);
        free(c->slope[k]);
        free(c->grad[k]);
    }
    c->n->out.grad = c->keep_dy;
    c->n->fresh = c->keep_fresh;
    free(c->dy);
    free(c->y);
    free(c->dy_float);
}

static bool compare(check *c, int32_t samples, node_error *out)
{
    const double *in[NB_MAX_IN];
    int64_t count = nb_count(&c->n->out);
    nb_rng rng = nb_rng_make(23, 0);
    for (int32_t k = 0; k < c->n->n_in; k++)
        in[k] = c->in[k];
    if (!ref_layer_forward(c->y, c->n, c->r, in))
        return false;
    double *got = node_values(&c->n->out);
    double scale = fmax(largest(c->y, count), 1e-6);
    for (int64_t i = 0; got && i < count; i++) {
        double e = fabs(got[i] - c->y[i]) / scale;
        out->forward = isnan(e) ? INFINITY : fmax(out->forward, e);
    }
    free(got);
    for (int64_t i = 0; i < count; i++) {
        bool counts = c->n->op->role != NB_ROLE_LOSS || i == 0; /* the number of correct answers has no slope */
        c->dy_float[i] = counts ? nb_rng_normal(&rng) : 0.0f;
        c->dy[i] = (double)c->dy_float[i];
    }
    if (c->n->op->backward && c->keep_dy)
        out->backward = check_backward(c, samples);
    return true;
}

bool node_check(nb_graph *g, nb_node *n, const nb_run *r, int32_t samples, node_error *out)
{
    *out = (node_error){0};
    for (int32_t i = 0; i <= n->id; i++)
        if (g->node[i]->op->forward)
            g->node[i]->op->forward(g->node[i], r);
    check c = {.n = n, .r = r};
    bool has = take_memory(&c) && compare(&c, samples, out);
    give_back(&c);
    return has;
}
