/* tflite_writer.c - codes, shapes, windows and clamps in TensorFlow Lite. */
#include "export/tflite_writer.h"

#include <math.h>
#include <string.h>

const nb_etensor *tfl_etensor(const tfl_writer *w, int32_t t)
{
    return &w->m->e.tensors[t];
}

int32_t tfl_code(const tfl_writer *w, int32_t t, int32_t code)
{
    return tfl_etensor(w, t)->type == NB_EI_U8 ? code - 128 : code;
}

tfl_shape tfl_shape4(int32_t h, int32_t width, int32_t c)
{
    return (tfl_shape){4, {1, h, width, c}};
}

tfl_shape tfl_shape2(int32_t c)
{
    return (tfl_shape){2, {1, c}};
}

const char *tfl_name(const tfl_writer *w, int32_t i, const char *word)
{
    return tfl_printf(w->o, "%s.%s", w->m->tensors[w->m->e.steps[i].out].name, word);
}

void tfl_on_grid_of(tfl_writer *w, int32_t t, int32_t made)
{
    tfl_quantize(w->o, made, &w->m->tensors[t].scale, 1, tfl_code(w, t, tfl_etensor(w, t)->zero), 0);
}

int32_t tfl_on_grid(tfl_writer *w, int32_t t, const char *name, tfl_shape shape)
{
    const int32_t made = tfl_tensor(w->o, name, TFL_INT8, shape);
    tfl_on_grid_of(w, t, made);
    return made;
}

bool tfl_same_grid(const tfl_writer *w, int32_t a, int32_t b)
{
    return w->m->tensors[a].scale == w->m->tensors[b].scale &&
           tfl_code(w, a, tfl_etensor(w, a)->zero) == tfl_code(w, b, tfl_etensor(w, b)->zero);
}

int32_t tfl_codes(tfl_writer *w, int32_t t, tfl_shape shape)
{
    const tfl_shape has = tfl_shape_of(w->o, w->at[t]);
    if (memcmp(&has, &shape, sizeof has) == 0)
        return w->at[t];
    const int32_t in[2] = {w->at[t], tfl_constant(w->o, "shape", TFL_INT32, (tfl_shape){1, {shape.n}}, shape.d,
                                                  (size_t)shape.n * sizeof *shape.d)};
    const int32_t out = tfl_like(w->o, w->at[t], tfl_printf(w->o, "%s.%dd", w->m->tensors[t].name, shape.n), shape);
    tfl_op(w->o, TFL_RESHAPE, in, 2, out, (tfl_options){0});
    return out;
}

/* A constant on the grid of tensor t. */
static int32_t one_code(tfl_writer *w, int32_t t, const char *name, int32_t code)
{
    const int8_t value = (int8_t)code;
    const int32_t made = tfl_constant(w->o, name, TFL_INT8, (tfl_shape){1, {1}}, &value, 1);
    tfl_on_grid_of(w, t, made);
    return made;
}

/* ---- windows ---- */

typedef struct { /* along one axis; span: of the dilated window */
    int32_t in, out, span, stride, before;
} axis;

/* Rows that the last window needs behind the image; those that no window reads are nothing to TensorFlow Lite. */
static int32_t behind(const axis *a)
{
    const int32_t need = (a->out - 1) * a->stride + a->span - a->in - a->before;
    return need > 0 ? need : 0;
}

static bool is_valid(const axis *a)
{
    return a->before == 0 && behind(a) == 0;
}

/* SAME: as many outputs as strides, half of what is missing in front, rounded down. */
static bool is_same(const axis *a)
{
    const int32_t missing = (a->out - 1) * a->stride + a->span - a->in;
    return a->out == (a->in + a->stride - 1) / a->stride && a->before == (missing > 0 ? missing : 0) / 2;
}

static axis rows(const nb_geom *g)
{
    return (axis){g->h, g->oh, g->dilation.h * (g->kh - 1) + 1, g->stride.h, g->pad.top};
}

static axis columns(const nb_geom *g)
{
    return (axis){g->w, g->ow, g->dilation.w * (g->kw - 1) + 1, g->stride.w, g->pad.left};
}

bool tfl_lies(const nb_geom *g, tfl_padding *how)
{
    const axis h = rows(g), v = columns(g);
    *how = is_valid(&h) && is_valid(&v) ? TFL_VALID : TFL_SAME;
    return *how == TFL_VALID || (is_same(&h) && is_same(&v));
}

int32_t tfl_padded(tfl_writer *w, int32_t i, int32_t x, bool lowest, tfl_padding *how)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    if (tfl_lies(g, how))
        return x;
    *how = TFL_VALID;
    const axis h = rows(g), v = columns(g);
    const int32_t sides[8] = {0, 0, h.before, behind(&h), v.before, behind(&v), 0, 0};
    int32_t in[3] = {x, tfl_constant(w->o, "padding", TFL_INT32, (tfl_shape){2, {4, 2}}, sides, sizeof sides)};
    if (lowest)
        in[2] = one_code(w, s->in[0], "lowest", INT8_MIN);
    const int32_t out = tfl_like(w->o, x, tfl_name(w, i, "padded"),
                                 tfl_shape4(g->h + h.before + behind(&h), g->w + v.before + behind(&v), g->c));
    tfl_op(w->o, lowest ? TFL_PADV2 : TFL_PAD, in, lowest ? 3 : 2, out, (tfl_options){0});
    return out;
}

/* ---- clamps ---- */

/* What an activation leaves of int8, as its kernels compute it. */
static void range_of(const tfl_writer *w, int32_t t, tfl_activation a, int32_t *lo, int32_t *hi)
{
    const int32_t zero = tfl_code(w, t, tfl_etensor(w, t)->zero);
    const float six = roundf(6.0f / w->m->tensors[t].scale);
    *lo = a == TFL_NONE || zero < INT8_MIN ? INT8_MIN : zero;
    *hi = a == TFL_RELU6 && six < (float)(INT8_MAX - zero) ? zero + (int32_t)six : INT8_MAX;
}

tfl_activation tfl_fused(const tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    static const tfl_activation order[] = {TFL_NONE, TFL_RELU, TFL_RELU6};
    int32_t lo, hi;
    for (int32_t k = 0; k < 3; k++) {
        range_of(w, s->out, order[k], &lo, &hi);
        if (lo == tfl_code(w, s->out, s->lo) && hi == tfl_code(w, s->out, s->hi))
            return order[k];
    }
    return s->lo == tfl_etensor(w, s->out)->zero ? TFL_RELU : TFL_NONE;
}

/* The larger, or the smaller, of x and one code. */
static int32_t limit(tfl_writer *w, int32_t i, tfl_operator op, int32_t x, int32_t code, const char *name)
{
    const int32_t t = w->m->e.steps[i].out, in[2] = {x, one_code(w, t, "limit", code)};
    const int32_t out = tfl_like(w->o, x, name, tfl_shape_of(w->o, x));
    tfl_op(w->o, op, in, 2, out, (tfl_options){0});
    return out;
}

typedef struct {
    bool below, above; /* are there codes to be cut off? */
    int32_t lo, hi;
} cut;

static cut what_is_left(const tfl_writer *w, int32_t i, tfl_activation fused)
{
    const nb_estep *s = &w->m->e.steps[i];
    int32_t lo, hi;
    range_of(w, s->out, fused, &lo, &hi);
    cut c = {.lo = tfl_code(w, s->out, s->lo), .hi = tfl_code(w, s->out, s->hi)};
    c.below = lo < c.lo;
    c.above = hi > c.hi;
    return c;
}

static void cut_off(tfl_writer *w, int32_t i, int32_t x, cut c)
{
    const nb_estep *s = &w->m->e.steps[i];
    const char *name = w->m->tensors[s->out].name;
    if (c.below)
        x = limit(w, i, TFL_MAXIMUM, x, c.lo, c.above ? tfl_name(w, i, "below") : name);
    if (c.above)
        x = limit(w, i, TFL_MINIMUM, x, c.hi, name);
    w->at[s->out] = x;
}

void tfl_output(tfl_writer *w, int32_t i, tfl_operator op, const int32_t *in, int32_t n_in, tfl_shape shape,
                tfl_options options, tfl_activation fused)
{
    const int32_t t = w->m->e.steps[i].out;
    const cut c = what_is_left(w, i, fused);
    const int32_t x =
        tfl_on_grid(w, t, c.below || c.above ? tfl_name(w, i, "unclamped") : w->m->tensors[t].name, shape);
    tfl_op(w->o, op, in, n_in, x, options);
    cut_off(w, i, x, c);
}

void tfl_clamp(tfl_writer *w, int32_t i, int32_t x)
{
    cut_off(w, i, x, what_is_left(w, i, TFL_NONE));
}

/* ---- scales ---- */

double tfl_factor(const nb_estep *s, int32_t c)
{
    return s->mult ? ldexp((double)s->mult[c], -s->shift[c]) : 1.0;
}

nb_status tfl_ratio_fits(const tfl_writer *w, int32_t i, double factor, double ratio, double reach)
{
    const double apart = fabs(ratio - factor);
    if (apart * reach <= 0.5 || apart <= 1e-6 * ratio || fmin(ratio, factor) > UINT8_MAX) /* the last: 1 saturates */
        return NB_OK;
    return nb_fail(
        w->ctx, NB_E_UNSUPPORTED,
        "%s: multiplies by %g, not by %g as the scales of its tensors say, which is all that TensorFlow Lite "
        "goes by",
        w->m->steps[i].name, factor, ratio);
}

double tfl_ratio(const tfl_writer *w, int32_t a, int32_t b)
{
    return (double)w->m->tensors[a].scale / (double)w->m->tensors[b].scale;
}
