/* ref_engine.c - a naive interpreter of integer models. */
#include "ref/ref_engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* floor((v + 2^(shift-1)) / 2^shift), with the flooring spelled out instead of shifted. */
static int64_t round_shift(int64_t v, int32_t shift)
{
    const int64_t unit = (int64_t)1 << shift, sum = v + unit / 2;
    return sum >= 0 ? sum / unit : -((-sum + unit - 1) / unit);
}

static int64_t clamp(int64_t v, const nb_estep *s)
{
    if (v > s->hi)
        v = s->hi;
    if (v < s->lo)
        v = s->lo;
    return v;
}

typedef struct {
    const nb_emodel *m;
    const nb_estep *s;
    const nb_etensor *in, *out; /* first input */
    const int64_t *x;
    int64_t *y;
} frame;

static void run_conv(const frame *f)
{
    const nb_geom *g = &f->s->geom;
    const int64_t cg = g->c / g->groups, ocg = g->oc / g->groups;
    for (int64_t oy = 0; oy < g->oh; oy++)
        for (int64_t ox = 0; ox < g->ow; ox++)
            for (int64_t oc = 0; oc < g->oc; oc++) {
                int64_t acc = f->s->bias[oc];
                for (int64_t ky = 0; ky < g->kh; ky++)
                    for (int64_t kx = 0; kx < g->kw; kx++)
                        for (int64_t c = 0; c < cg; c++) {
                            const int64_t iy = oy * g->stride.h + ky * g->dilation.h - g->pad.top,
                                          ix = ox * g->stride.w + kx * g->dilation.w - g->pad.left;
                            int64_t x = f->in->zero;
                            if (iy >= 0 && ix >= 0 && iy < g->h && ix < g->w)
                                x = f->x[(iy * g->w + ix) * g->c + oc / ocg * cg + c];
                            acc += x * f->s->weights[((oc * g->kh + ky) * g->kw + kx) * cg + c];
                        }
                if (f->s->mult)
                    acc = round_shift(acc * f->s->mult[oc], f->s->shift[oc]) + f->out->zero;
                f->y[(oy * g->ow + ox) * g->oc + oc] = clamp(acc, f->s);
            }
}

/* sum / pixels with the multiplier in [2^30, 2^31) nearest to 1 / pixels; the step's own where the window is whole. */
static int64_t mean_of(const frame *f, int64_t sum, int64_t pixels)
{
    if (pixels == (int64_t)f->s->geom.kh * f->s->geom.kw)
        return round_shift(sum * f->s->mult[0], f->s->shift[0]);
    int32_t shift = 30;
    while (((int64_t)1 << (shift - 30)) < pixels)
        shift++;
    return round_shift(sum * llround(ldexp(1.0, shift) / (double)pixels), shift);
}

static void run_pool(const frame *f)
{
    const nb_geom *g = &f->s->geom;
    for (int64_t oy = 0; oy < g->oh; oy++)
        for (int64_t ox = 0; ox < g->ow; ox++)
            for (int64_t c = 0; c < g->c; c++) {
                int64_t sum = 0, most = INT64_MIN, pixels = 0;
                for (int64_t ky = 0; ky < g->kh; ky++)
                    for (int64_t kx = 0; kx < g->kw; kx++) {
                        const int64_t iy = oy * g->stride.h + ky - g->pad.top, ix = ox * g->stride.w + kx - g->pad.left;
                        if (iy < 0 || ix < 0 || iy >= g->h || ix >= g->w)
                            continue;
                        const int64_t v = f->x[(iy * g->w + ix) * g->c + c];
                        sum += v - f->in->zero;
                        pixels++;
                        if (v > most)
                            most = v;
                    }
                int64_t y = most;
                if (f->s->kind == NB_STEP_AVGPOOL)
                    y = round_shift(sum * f->s->mult[0], f->s->shift[0]) + f->out->zero;
                if (f->s->kind == NB_STEP_AVGPOOL_INSIDE)
                    y = mean_of(f, sum, pixels) + f->out->zero;
                f->y[(oy * g->ow + ox) * g->oc + c] = clamp(y, f->s);
            }
}

/* What input k has for the output's value (row, col, c), without its zero point; sides of 1 are repeated. */
static int64_t real_at(const frame *f, int64_t *const *value, int32_t k, int64_t row, int64_t col, int64_t c)
{
    const nb_etensor *x = &f->m->tensors[f->s->in[k]];
    return value[f->s->in[k]][(row % x->h * x->w + col % x->w) * x->c + c % x->c] - x->zero;
}

static void run_pair(const frame *f, int64_t *const *value)
{
    int64_t *y = f->y;
    for (int64_t row = 0; row < f->out->h; row++)
        for (int64_t col = 0; col < f->out->w; col++)
            for (int64_t c = 0; c < f->out->c; c++) {
                const int64_t a = real_at(f, value, 0, row, col, c), b = real_at(f, value, 1, row, col, c);
                const int64_t wide =
                    f->s->kind == NB_STEP_MUL ? a * b * f->s->mult[0] : a * f->s->mult[0] + b * f->s->mult[1];
                *y++ = clamp(round_shift(wide, f->s->shift[0]) + f->out->zero, f->s);
            }
}

static void run_concat(const frame *f, int64_t *const *value)
{
    const int64_t pixels = (int64_t)f->out->h * f->out->w;
    int64_t at = 0;
    for (int32_t k = 0; k < f->s->n_in; k++) {
        const nb_etensor *in = &f->m->tensors[f->s->in[k]];
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < in->c; c++) {
                const int64_t v = value[f->s->in[k]][p * in->c + c] - in->zero;
                f->y[p * f->out->c + at + c] =
                    clamp(round_shift(v * f->s->mult[k], f->s->shift[k]) + f->out->zero, f->s);
            }
        at += in->c;
    }
}

static void run_take(const frame *f)
{
    const nb_etensor *in = f->in, *out = f->out;
    for (int64_t i = 0; i < out->h; i++)
        for (int64_t j = 0; j < out->w; j++)
            for (int64_t k = 0; k < out->c; k++) {
                const int64_t row = f->s->index[0][i], col = f->s->index[1][j], c = f->s->index[2][k];
                const bool real = row >= 0 && col >= 0 && c >= 0;
                f->y[(i * out->w + j) * out->c + k] =
                    clamp(real ? f->x[(row * in->w + col) * in->c + c] : out->zero, f->s);
            }
}

/* All pixels of the image weigh in, most of them with 0. */
static void run_blend(const frame *f)
{
    const nb_etensor *in = f->in, *out = f->out;
    for (int64_t i = 0; i < out->h; i++)
        for (int64_t j = 0; j < out->w; j++)
            for (int64_t k = 0; k < out->c; k++) {
                int64_t sum = 0;
                for (int64_t row = 0; row < in->h; row++)
                    for (int64_t col = 0; col < in->w; col++) {
                        const int64_t down = 2048 - llabs(f->s->index[0][i] - 2048 * row),
                                      right = 2048 - llabs(f->s->index[1][j] - 2048 * col);
                        if (down > 0 && right > 0)
                            sum += down * right * f->x[(row * in->w + col) * in->c + k];
                    }
                f->y[(i * out->w + j) * out->c + k] = clamp(round_shift(sum, 22), f->s);
            }
}

static void run_table(const frame *f, const uint8_t *pixels)
{
    const int64_t n = (int64_t)f->out->h * f->out->w * f->out->c;
    for (int64_t i = 0; i < n; i++) {
        const int64_t x = !f->x ? pixels[i] : f->x[i] < 0 ? f->x[i] + 256 : f->x[i];
        const int64_t byte = f->s->table[(f->s->one_table ? 0 : i % f->out->c * 256) + x];
        f->y[i] = f->out->type == NB_EI_S8 && byte > 127 ? byte - 256 : byte;
    }
}

ref_values ref_engine_run(const nb_emodel *m, const uint8_t *pixels)
{
    ref_values v = {.n = m->n_tensors, .value = calloc((size_t)m->n_tensors, sizeof *v.value)};
    if (!v.value)
        abort();
    for (int32_t t = 0; t < m->n_tensors; t++) {
        const nb_etensor *e = &m->tensors[t];
        v.value[t] = calloc((size_t)e->h * (size_t)e->w * (size_t)e->c, sizeof **v.value);
        if (!v.value[t])
            abort();
    }
    for (int32_t i = 0; i < m->n_steps; i++) {
        const nb_estep *s = &m->steps[i];
        frame f = {.m = m, .s = s, .out = &m->tensors[s->out], .y = v.value[s->out]};
        if (s->n_in > 0) {
            f.in = &m->tensors[s->in[0]];
            f.x = v.value[s->in[0]];
        }
        if (s->kind == NB_STEP_TABLE)
            run_table(&f, pixels);
        else if (s->kind == NB_STEP_CONV)
            run_conv(&f);
        else if (s->kind == NB_STEP_ADD || s->kind == NB_STEP_MUL)
            run_pair(&f, v.value);
        else if (s->kind == NB_STEP_CONCAT)
            run_concat(&f, v.value);
        else if (s->kind == NB_STEP_TAKE)
            run_take(&f);
        else if (s->kind == NB_STEP_BLEND)
            run_blend(&f);
        else
            run_pool(&f);
    }
    return v;
}

void ref_values_free(ref_values *v)
{
    for (int32_t t = 0; t < v->n; t++)
        free(v->value[t]);
    free(v->value);
    *v = (ref_values){0};
}

bool ref_engine_equal(const nb_emodel *m, const ref_values *v, int32_t t, const void *bytes)
{
    const nb_etensor *e = &m->tensors[t];
    const int64_t n = (int64_t)e->h * e->w * e->c;
    for (int64_t i = 0; i < n; i++) {
        int64_t got;
        if (e->type == NB_EI_S32)
            got = ((const int32_t *)bytes)[i];
        else if (e->type == NB_EI_S8)
            got = ((const int8_t *)bytes)[i];
        else
            got = ((const uint8_t *)bytes)[i];
        if (got != v->value[t][i])
            return false;
    }
    return true;
}
