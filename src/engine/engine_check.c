/* engine_check.c - proves that a model can be run without further checks.
 *
 * Sizes are bounded before they are multiplied, indices before they are used. What is proven per step: its shapes agree
 * with its tensors, no 32-bit sum and no 64-bit product can overflow, its output does not touch a tensor that is still
 * needed. Quadratic in the number of steps at worst (a few thousand), no memory of its own. */
#include <nibble/engine.h>
#include <stdbool.h>

#include "kernels/ibytes.h"
#include "kernels/iconv.h"

enum {
    MAX_COUNT = 1 << 28, /* values of one tensor: bytes and sums of two fit in 32 bits */
    MULT_MIN = 1 << 30,
    SHIFT_MAX = 62
};

typedef struct {
    int64_t lo, hi;
} range;

static range type_range(int32_t type)
{
    switch (type) {
    case NB_EI_U8:
        return (range){0, 255};
    case NB_EI_S8:
        return (range){-128, 127};
    default:
        return (range){INT32_MIN, INT32_MAX};
    }
}

static bool within(int64_t v, range r)
{
    return r.lo <= v && v <= r.hi;
}

static int64_t count_of(const nb_etensor *t)
{
    return (int64_t)t->h * t->w * t->c;
}

static uint64_t bytes_of(const nb_etensor *t)
{
    return (uint64_t)count_of(t) * (t->type == NB_EI_S32 ? 4 : 1);
}

static bool tensor_ok(const nb_emodel *m, const nb_etensor *t)
{
    if (t->h < 1 || t->w < 1 || t->c < 1 || t->w > MAX_COUNT / t->h || t->c > MAX_COUNT / (t->h * t->w))
        return false;
    if (t->type != NB_EI_U8 && t->type != NB_EI_S8 && (t->type != NB_EI_S32 || t->zero != 0))
        return false;
    return within(t->zero, type_range(t->type)) && t->offset % 64 == 0 && t->offset <= m->tensor_bytes &&
           bytes_of(t) <= m->tensor_bytes - t->offset;
}

static bool overlap(const nb_etensor *a, const nb_etensor *b)
{
    return a->offset < b->offset + bytes_of(b) && b->offset < a->offset + bytes_of(a);
}

/* The step that writes tensor t, or -1. */
static int32_t producer(const nb_emodel *m, int32_t t)
{
    for (int32_t i = 0; i < m->n_steps; i++)
        if (m->steps[i].out == t)
            return i;
    return -1;
}

static bool reads(const nb_estep *s, int32_t t)
{
    for (int32_t k = 0; k < s->n_in; k++)
        if (s->in[k] == t)
            return true;
    return false;
}

/* The first step whose output would destroy the output of step i before its last reader is done, or -1. */
static int32_t clobbered_by(const nb_emodel *m, int32_t i)
{
    const int32_t t = m->steps[i].out;
    int32_t last = i;
    for (int32_t k = i + 1; k < m->n_steps; k++)
        if (reads(&m->steps[k], t))
            last = k;
    for (int32_t k = i + 1; k <= last; k++)
        if (overlap(&m->tensors[t], &m->tensors[m->steps[k].out]))
            return k;
    return -1;
}

/* Indices in range, inputs written by earlier steps, one writer per tensor, kind where it may stand. s32 comes out of
 * the last step only, so nobody reads it. */
static bool wiring_ok(const nb_emodel *m, int32_t step)
{
    static const int32_t min_in[NB_STEP_KINDS] = {0, 1, 2, 1, 1, 1},
                         max_in[NB_STEP_KINDS] = {0, 1, 2, NB_ENGINE_MAX_IN, 1, 1};
    const nb_estep *s = &m->steps[step];
    if (s->kind < 0 || s->kind >= NB_STEP_KINDS || (s->kind == NB_STEP_TABLE) != (step == 0))
        return false;
    if (s->n_in < min_in[s->kind] || s->n_in > max_in[s->kind] || s->out < 0 || s->out >= m->n_tensors ||
        producer(m, s->out) != step)
        return false;
    for (int32_t k = 0; k < s->n_in; k++) { /* the output of an earlier step is an index that has been checked */
        const int32_t from = producer(m, s->in[k]);
        if (from < 0 || from >= step)
            return false;
    }
    const nb_etensor *out = &m->tensors[s->out];
    if (out->type == NB_EI_S32 && (s->kind != NB_STEP_CONV || step != m->n_steps - 1))
        return false;
    return s->lo <= s->hi && within(s->lo, type_range(out->type)) && within(s->hi, type_range(out->type));
}

static bool rescales_ok(const int32_t *mult, const int32_t *shift, int32_t n_mult, int32_t n_shift, int32_t mult_min)
{
    if (!mult || !shift)
        return false;
    for (int32_t i = 0; i < n_mult; i++)
        if (mult[i] < mult_min)
            return false;
    for (int32_t i = 0; i < n_shift; i++)
        if (shift[i] < 1 || shift[i] > SHIFT_MAX)
            return false;
    return true;
}

static bool table_ok(const nb_emodel *m, const nb_estep *s)
{
    const nb_etensor *out = &m->tensors[s->out];
    if (!s->table)
        return false;
    for (int64_t i = 0; i < (int64_t)out->c * 256; i++) {
        const int32_t code = nb_code(s->table[i], out->type == NB_EI_S8);
        if (code < s->lo || code > s->hi)
            return false;
    }
    return true;
}

/* Codes the window of a reader of t may see: its writer's clamp and the zero point (padding). Holds 0, so that the
 * extremes of a whole sum bound its partial sums too. */
static range codes_of(const nb_emodel *m, int32_t t)
{
    const nb_estep *s = &m->steps[producer(m, t)];
    const int32_t zero = m->tensors[t].zero;
    range r = {s->lo < zero ? s->lo : zero, s->hi > zero ? s->hi : zero};
    r.lo = r.lo < 0 ? r.lo : 0;
    r.hi = r.hi > 0 ? r.hi : 0;
    return r;
}

/* Every channel's sum, alone and with its bias, stays in 32 bits for whatever codes come. */
static bool accumulators_ok(const nb_estep *s, range x)
{
    const nb_geom *g = &s->geom;
    const int64_t per_channel = (int64_t)g->kh * g->kw * (g->c / g->groups);
    const range acc = type_range(NB_EI_S32);
    const int8_t *w = s->weights;
    for (int32_t c = 0; c < g->oc; c++) {
        int64_t positive = 0, negative = 0;
        for (int64_t i = 0; i < per_channel; i++, w++)
            *(*w > 0 ? &positive : &negative) += *w;
        const int64_t most = positive * x.hi + negative * x.lo, least = positive * x.lo + negative * x.hi;
        if (!within(most, acc) || !within(least, acc) || !within(most + s->bias[c], acc) ||
            !within(least + s->bias[c], acc))
            return false;
    }
    return true;
}

static bool conv_ok(const nb_emodel *m, const nb_estep *s)
{
    const nb_geom *g = &s->geom;
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    if (!nb_iconv_supports(g) || count_of(in) != (int64_t)g->h * g->w * g->c ||
        count_of(out) != (int64_t)g->oh * g->ow * g->oc)
        return false;
    if (!s->weights || !s->bias)
        return false;
    const bool raw = out->type == NB_EI_S32 && !s->mult && !s->shift;
    return (raw || rescales_ok(s->mult, s->shift, g->oc, g->oc, MULT_MIN)) && accumulators_ok(s, codes_of(m, s->in[0]));
}

static bool pool_ok(const nb_emodel *m, const nb_estep *s)
{
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    nb_geom g = s->geom;
    g.groups = g.c; /* as a depthwise convolution; pools leave groups unset */
    if (g.oc != g.c || g.dilation != 1 || !nb_iconv_supports(&g))
        return false;
    if (count_of(in) != (int64_t)g.h * g.w * g.c || count_of(out) != (int64_t)g.oh * g.ow * g.oc)
        return false;
    if (s->kind == NB_STEP_MAXPOOL)
        return g.pad < g.kh && g.pad < g.kw && in->type == out->type && in->zero == out->zero;
    /* kh, kw <= 2^10 (nb_iconv_supports): no sum of codes reaches 2^31 */
    return g.pad == 0 && rescales_ok(s->mult, s->shift, 1, 1, MULT_MIN);
}

static bool join_ok(const nb_emodel *m, const nb_estep *s)
{
    const nb_etensor *out = &m->tensors[s->out];
    int64_t channels = 0;
    for (int32_t k = 0; k < s->n_in; k++) {
        const nb_etensor *in = &m->tensors[s->in[k]];
        if (in->h != out->h || in->w != out->w || (s->kind == NB_STEP_ADD && in->c != out->c))
            return false;
        channels += in->c;
    }
    if (s->kind == NB_STEP_ADD) /* |(a - za) * m0 + (b - zb) * m1| < 2 * 255 * 2^31: no sum of 64 bits can overflow */
        return rescales_ok(s->mult, s->shift, 2, 1, 0);
    return channels == out->c && rescales_ok(s->mult, s->shift, s->n_in, s->n_in, MULT_MIN);
}

static bool step_ok(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    if (!wiring_ok(m, step))
        return false;
    switch ((nb_step_kind)s->kind) {
    case NB_STEP_TABLE:
        return table_ok(m, s);
    case NB_STEP_CONV:
        return conv_ok(m, s);
    case NB_STEP_ADD:
    case NB_STEP_CONCAT:
        return join_ok(m, s);
    case NB_STEP_MAXPOOL:
    case NB_STEP_AVGPOOL:
        return pool_ok(m, s);
    case NB_STEP_KINDS:
        break;
    }
    return false;
}

int32_t nb_engine_check(const nb_emodel *m)
{
    if (m->n_steps < 1 || m->n_steps > NB_ENGINE_MAX_STEPS || !m->steps)
        return 1;
    if (m->n_tensors < 1 || m->n_tensors > NB_ENGINE_MAX_TENSORS || !m->tensors || m->tensor_bytes > SIZE_MAX / 2)
        return 1 + m->n_steps;
    for (int32_t t = 0; t < m->n_tensors; t++)
        if (!tensor_ok(m, &m->tensors[t]))
            return 1 + m->n_steps + t;
    for (int32_t i = 0; i < m->n_steps; i++)
        if (!step_ok(m, i))
            return 1 + i;
    for (int32_t i = 0; i < m->n_steps; i++) { /* only now are all indices and sizes known to be good */
        const int32_t bad = clobbered_by(m, i);
        if (bad >= 0)
            return 1 + bad;
    }
    for (int32_t t = 0; t < m->n_tensors; t++)
        if (producer(m, t) < 0)
            return 1 + m->n_steps + t;
    return 0;
}
