/* judge.c - see judge.h.
 *
 * No threshold is tuned: the errors are bounds. A float operation is off by a share of 2^-24 of its result; lowering
 * carries what that adds up to along the chain of layers (nb_lval). The engine's sum is exact, its multiplier is off by
 * a share of 2^-31. Steps that only move codes, and the table, which both take from one function, cannot differ at
 * all. */
#include "lower/judge.h"

#include <math.h>
#include <stdlib.h>

/* The value before rounding, and how far the two sides can be from it. */
typedef struct {
    double real, engine, graph;
} exact;

static const double MULTIPLIER = 0x1p-31;

/* Of the sum's window: weight codes times input codes without their zero point. */
static int64_t sum_of(const nb_lval *v, const nb_lval *x, const int32_t *codes, int64_t at)
{
    const nb_geom *g = &v->geom;
    const int64_t oc = at % g->oc, oy = at / g->oc / g->ow, ox = at / g->oc % g->ow;
    const int32_t per_group = g->c / g->groups, first = (int32_t)(oc / (g->oc / g->groups)) * per_group;
    const int8_t *w = v->weights + oc * g->kh * g->kw * per_group;
    int64_t sum = 0;
    for (int64_t ky = 0; ky < g->kh; ky++)
        for (int64_t kx = 0; kx < g->kw; kx++, w += per_group) {
            const int64_t y = oy * g->stride.h - g->pad.top + ky * g->dilation.h,
                          col = ox * g->stride.w - g->pad.left + kx * g->dilation.w;
            if (y < 0 || y >= g->h || col < 0 || col >= g->w)
                continue;
            const int32_t *from = codes + (y * g->w + col) * g->c + first;
            for (int32_t i = 0; i < per_group; i++)
                sum += (int64_t)w[i] * (from[i] - x->t.zero);
        }
    return sum;
}

/* Lowering made this channel a constant, because all its sums move the output by half a code at most, or not at all:
 * its weights are 0, or its multiplier is not that of its scale (without a level 0, quant/requant.c). */
static bool is_constant(const nb_estep *s, int64_t oc, bool levels, double ratio)
{
    if (levels && s->mult && fabs(ldexp(s->mult[oc], -s->shift[oc]) - ratio) > 1e-6 * ratio)
        return true;
    const int64_t n = (int64_t)s->geom.kh * s->geom.kw * (s->geom.c / s->geom.groups);
    for (int64_t i = 0; i < n; i++)
        if (s->weights[oc * n + i])
            return false;
    return true;
}

static exact mac_value(const nb_judge *j, const nb_verdict *d, const nb_lval *v, double unit)
{
    const int64_t c = d->at % v->geom.oc, sum = sum_of(v, &j->val[v->in[0]], d->in[0], d->at);
    const double scale = v->scale[c], bias = v->bias[c], moved = scale * (double)sum;
    exact e = {.real = moved + bias};
    e.graph = v->err_scale[c] * fabs((double)sum) + v->err_bias[c];
    e.engine = MULTIPLIER * fabs(e.real) + 0x1p-50 * (fabs(moved) + fabs(bias));
    if (scale != 0) /* an int32 bias is a whole number of the sum's units; in the graph, too, but for a huge one */
        e.engine += fabs(bias - nearbyint(bias / scale) * scale);
    const bool levels = j->m->steps[d->step].level != NULL;
    if (is_constant(&j->m->e.steps[d->step], c, levels, fabs(scale) / unit) && fabs(moved) <= 0.5 * unit)
        e.engine += fabs(moved);
    return e;
}

/* Of the value that input k of a sum or product has for y's value at `at`; sides of 1 are repeated. */
static double code_at(const nb_judge *j, const nb_verdict *d, const nb_lval *v, const nb_etensor *y, int32_t k)
{
    const nb_lval *x = &j->val[v->in[k]];
    const int64_t c = d->at % y->c, col = d->at / y->c % y->w, row = d->at / y->c / y->w;
    const int64_t at = ((x->t.h > 1 ? row : 0) * x->t.w + (x->t.w > 1 ? col : 0)) * x->t.c + (x->t.c > 1 ? c : 0);
    return (double)d->in[k][at] - x->t.zero;
}

static exact add_value(const nb_judge *j, const nb_verdict *d, const nb_lval *v, const nb_etensor *y)
{
    exact e = {0};
    double codes = 0, scale = 0;
    for (int32_t k = 0; k < v->n_in; k++) {
        const nb_lval *x = &j->val[v->in[k]];
        const double code = code_at(j, d, v, y, k), unit = (double)x->info.scale;
        e.real += k && v->minus ? -unit * code : unit * code;
        e.graph += 2 * NB_FLOAT_ROUNDING * fabs(unit * code);
        codes += fabs(code);
        scale = fmax(scale, unit);
    }
    e.engine = MULTIPLIER * scale * codes; /* both multipliers have the larger one's shift */
    return e;
}

static exact mul_value(const nb_judge *j, const nb_verdict *d, const nb_lval *v, const nb_etensor *y)
{
    exact e = {.real = 1};
    for (int32_t k = 0; k < 2; k++)
        e.real *= (double)j->val[v->in[k]].info.scale * code_at(j, d, v, y, k);
    e.graph = 3 * NB_FLOAT_ROUNDING * fabs(e.real); /* of either value, and of the product */
    e.engine = MULTIPLIER * fabs(e.real);
    return e;
}

static exact mean_value(const nb_judge *j, const nb_verdict *d, const nb_lval *v)
{
    const nb_geom *g = &v->geom;
    const nb_lval *x = &j->val[v->in[0]];
    const int64_t c = d->at % g->c, oy = d->at / g->c / g->ow, ox = d->at / g->c % g->ow;
    int64_t sum = 0;
    for (int64_t ky = 0; ky < g->kh; ky++)
        for (int64_t kx = 0; kx < g->kw; kx++) {
            const int64_t row = oy * g->stride.h - g->pad.top + ky, col = ox * g->stride.w - g->pad.left + kx;
            if (row >= 0 && row < g->h && col >= 0 && col < g->w)
                sum += d->in[0][(row * g->w + col) * g->c + c] - x->t.zero;
        }
    exact e = {.real = (double)x->info.scale * (double)sum / g->kh / g->kw};
    e.graph =
        3 * NB_FLOAT_ROUNDING * fabs(e.real); /* sums of codes are exact; the quotient, the scale, their product */
    e.engine = MULTIPLIER * fabs(e.real);
    return e;
}

static exact concat_value(const nb_judge *j, const nb_verdict *d, const nb_lval *v, int64_t channels)
{
    int64_t c = d->at % channels, k = 0;
    while (c >= j->val[v->in[k]].t.c)
        c -= j->val[v->in[k++]].t.c;
    const nb_lval *x = &j->val[v->in[k]];
    exact e = {.real = (double)x->info.scale * (d->in[k][d->at / channels * x->t.c + c] - x->t.zero)};
    e.graph = NB_FLOAT_ROUNDING * fabs(e.real);
    e.engine = MULTIPLIER * fabs(e.real);
    return e;
}

/* What steps close; those that only move codes or look them up: nothing. */
static const nb_lval_kind kinds[NB_STEP_KINDS] = {[NB_STEP_CONV] = NB_LVAL_MAC,
                                                  [NB_STEP_ADD] = NB_LVAL_ADD,
                                                  [NB_STEP_CONCAT] = NB_LVAL_CONCAT,
                                                  [NB_STEP_MUL] = NB_LVAL_MUL,
                                                  [NB_STEP_AVGPOOL] = NB_LVAL_MEAN};

/* The open value that step i closes; NULL when it closes none. */
static const nb_lval *opened(const nb_judge *j, int32_t i)
{
    const nb_estep *s = &j->m->e.steps[i];
    const nb_node *n = j->node[s->out];
    const bool logits = j->m->e.tensors[s->out].type == NB_EI_S32;
    const nb_lval *v = logits ? &j->val[n->id] : n->n_in > 0 ? &j->val[n->in[0]->id] : NULL;
    return v && kinds[s->kind] != NB_LVAL_NONE && v->kind == kinds[s->kind] ? v : NULL;
}

bool nb_judge_fits(const nb_judge *j, int32_t i)
{
    const nb_estep *s = &j->m->e.steps[i];
    const nb_lval *v = opened(j, i);
    if (!v)
        return kinds[s->kind] == NB_LVAL_NONE || s->kind == NB_STEP_AVGPOOL; /* a mean may keep its grid */
    if (v->n_in != s->n_in || (s->kind == NB_STEP_CONV && s->geom.oc != v->geom.oc))
        return false;
    for (int32_t k = 0; k < s->n_in; k++) {
        const nb_lval *x = &j->val[v->in[k]];
        const nb_etensor *e = &j->m->e.tensors[s->in[k]];
        if (x->tensor != s->in[k] || (int64_t)x->t.h * x->t.w * x->t.c != (int64_t)e->h * e->w * e->c)
            return false;
    }
    return true;
}

bool nb_judge_is_rounding(const nb_judge *j, const nb_verdict *d)
{
    const nb_estep *s = &j->m->e.steps[d->step];
    const nb_etensor *y = &j->m->e.tensors[s->out];
    const nb_lval *v = opened(j, d->step), *closed = &j->val[j->node[s->out]->id];
    const double unit = (double)j->m->tensors[s->out].scale;
    if (!v)
        return false;
    const exact e = v->kind == NB_LVAL_MAC    ? mac_value(j, d, v, unit)
                    : v->kind == NB_LVAL_ADD  ? add_value(j, d, v, y)
                    : v->kind == NB_LVAL_MUL  ? mul_value(j, d, v, y)
                    : v->kind == NB_LVAL_MEAN ? mean_value(j, d, v)
                                              : concat_value(j, d, v, y->c);
    const bool logits = y->type == NB_EI_S32;
    const double lo = logits ? INT32_MIN : closed->lo, hi = logits ? INT32_MAX : closed->hi;
    const double real = fmax(fmin(e.real, v->high), v->low), code = fmax(fmin(real / unit + y->zero, hi), lo);
    /* the float network still divides by the scale; what is of second order is far below a thousandth of the bounds */
    const double graph = 1.001 * (e.graph + NB_FLOAT_ROUNDING * fabs(real)) / unit, engine = 1.001 * e.engine / unit;
    const double own = 1e-9 + 1e-12 * fabs(code);
    return fabs(d->graph - code) <= 0.5 + graph + own && fabs(d->engine - code) <= 0.5 + engine + own;
}
