/* qnet_close.c - real values to steps of the engine.
 *
 * metadata nibble.multipliers, which our exporter writes, has a line for each step with multipliers: name of its output,
 * tab, hexadecimal bits of the output's scale, then a blank, multiplier, blank and shift for each. They are taken where
 * they agree with the scales, so that what somebody has changed since is not undone. The line of a table has the zero point
 * of what it gives in the place of a multiplier, and a shift of 0. */
#include "import/qnet.h"

#include "base/check.h"
#include "engine/engine_check.h"
#include "kernels/integer/ipool.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

q_grid q_tensor_grid(const qnet *n, int32_t tensor)
{
    const nb_etensor *t = &nb_intbuilder_model(n->b)->tensors[tensor];
    return (q_grid){(double)nb_intbuilder_tensor_info(n->b, tensor)->scale, t->zero, t->type == NB_EI_S8};
}

nb_status q_tensor(qnet *n, const char *name, const q_value *like, q_grid g, int32_t *out)
{
    const nb_etensor t = {
        .h = like->h, .w = like->w, .c = like->c, .type = g.is_signed ? NB_EI_S8 : NB_EI_U8, .zero = g.zero};
    const nb_tinfo info = {.name = name, .scale = (float)g.scale, .bits = 8};
    return nb_intbuilder_tensor(n->b, &t, &info, out);
}

/* ---- multipliers ---- */

typedef struct {
    int32_t *mult, *shift;
    float scale;
} known;

/* The line of `name` in what our exporter wrote: `count` pairs, or none. */
static bool read_line(const qnet *n, const char *name, int32_t count, known *k)
{
    const char *unclamped = strstr(name, ".unclamped"); /* what our operator form clamps behind a convolution */
    const size_t len = unclamped && !unclamped[strlen(".unclamped")] ? (size_t)(unclamped - name) : strlen(name);
    for (const char *line = n->ours; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, name, len) != 0 || line[len] != '\t')
            continue;
        char *at;
        const uint32_t bits = (uint32_t)strtoul(line + len + 1, &at, 16);
        memcpy(&k->scale, &bits, sizeof bits);
        for (int32_t i = 0; i < 2 * count; i++) {
            char *end;
            const long v = strtol(at, &end, 10);
            if (end == at || v < -INT32_MAX || v > INT32_MAX)
                return false;
            (i % 2 ? k->shift : k->mult)[i / 2] = (int32_t)v;
            at = end;
        }
        return *at == '\n' || *at == '\0';
    }
    return false;
}

static bool agrees(double wanted, int32_t mult, int32_t shift)
{
    return shift >= 1 && shift <= 62 && fabs(ldexp((double)mult, -shift) - wanted) <= 1e-5 * fabs(wanted);
}

static nb_status too_large(const qnet *n, const onnx_node *d, double factor)
{
    return q_fail(n, d, "its scales say to multiply by %g, which integers cannot", factor);
}

/* mult and shift of factors[0..count); name: of the output. */
static nb_status multipliers(qnet *n, const onnx_node *d, const char *name, const double *factor, int32_t count,
                             int32_t **mult)
{
    int32_t *m = nb_arena_array(n->arena, 2 * (size_t)count, sizeof *m);
    if (!m)
        return NB_E_NOMEM;
    known k = {m, m + count, 0};
    bool ours = read_line(n, name, count, &k);
    for (int32_t i = 0; ours && i < count; i++)
        ours = agrees(factor[i], m[i], m[count + i]);
    for (int32_t i = 0; !ours && i < count; i++)
        if (!nb_multiplier_or_most(factor[i], &m[i], &m[count + i]))
            return too_large(n, d, factor[i]);
    *mult = m;
    return NB_OK;
}

/* Of a sum: one shift for both. */
static nb_status sum_multipliers(qnet *n, const onnx_node *d, const char *name, const double *factor, int32_t **mult)
{
    int32_t *m = nb_arena_array(n->arena, 4, sizeof *m);
    if (!m)
        return NB_E_NOMEM;
    known k = {m, m + 2, 0};
    *mult = m;
    if (read_line(n, name, 2, &k) && m[2] == m[3] && agrees(factor[0], m[0], m[2]) && agrees(factor[1], m[1], m[2]))
        return NB_OK;
    const double large = fmax(fabs(factor[0]), fabs(factor[1]));
    if (!nb_multiplier(large, &m[0], &m[2]))
        return too_large(n, d, large);
    for (int32_t i = 0; i < 2; i++)
        m[i] = (int32_t)llround(fmin(fmax(ldexp(factor[i], m[2]), -INT32_MAX), INT32_MAX));
    return NB_OK;
}

/* ---- steps ---- */

nb_status q_add_step(qnet *n, const onnx_node *d, nb_estep *s, const nb_sinfo *info)
{
    const nb_status st = nb_intbuilder_step(n->b, s, info);
    if (st == NB_OK || st == NB_E_NOMEM || !d)
        return st;
    char why[512]; /* which begins with the file, as the sentence around it will */
    const char *error = nb_ctx_error(n->ctx);
    const size_t path = strlen(n->file->path);
    const bool twice = strncmp(error, n->file->path, path) == 0 && strncmp(error + path, ": ", 2) == 0;
    snprintf(why, sizeof why, "%s", twice ? error + path + 2 : error);
    return q_fail(n, d, "%s", why);
}

/* The engine's bias has the zero point's part. */
static nb_status close_conv(qnet *n, const onnx_node *d, const q_open *o, nb_estep *s, nb_sinfo *info, double step)
{
    const nb_geom *g = &o->geom;
    const int64_t row = (int64_t)g->kh * g->kw * (g->c / g->groups);
    const int32_t zero = q_tensor_grid(n, o->in[0]).zero;
    int32_t *bias = nb_arena_array(n->arena, (size_t)g->oc, sizeof *bias);
    double *factor = nb_arena_array(n->arena, (size_t)g->oc, sizeof *factor);
    float *scale = nb_arena_array(n->arena, (size_t)g->oc, sizeof *scale);
    if (!bias || !factor || !scale)
        return NB_E_NOMEM;
    bool plain = step > 0;
    for (int32_t c = 0; c < g->oc; c++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < row; i++)
            sum += o->weights[c * row + i];
        const int64_t b = o->bias[c] - zero * sum;
        if (b < INT32_MIN || b > INT32_MAX)
            return q_fail(n, d, "channel %d: the bias does not fit 32 bits", c);
        bias[c] = (int32_t)b;
        factor[c] = o->unit[c] / step;
        scale[c] = (float)(o->unit[c] / q_tensor_grid(n, o->in[0]).scale);
        plain = plain && factor[c] == 1;
    }
    int32_t *mult = NULL;
    if (s->hi != INT32_MAX || !plain)
        NB_TRY(multipliers(n, d, info->name, factor, g->oc, &mult));
    s->geom = *g;
    s->weights = o->weights;
    s->bias = bias;
    s->mult = mult;
    s->shift = mult ? mult + g->oc : NULL;
    info->weight_bits = o->bits;
    info->weight_scale = scale;
    info->n_scale = g->oc;
    return NB_OK;
}

/* Joins and pools: everything but the tensors and the clamp. */
static nb_status close_other(qnet *n, const onnx_node *d, const q_open *o, nb_estep *s, const char *name, double step)
{
    double factor[NB_ENGINE_MAX_IN];
    int32_t count = o->kind == NB_STEP_CONCAT ? o->n_in : o->kind == NB_STEP_ADD ? 2 : 1, *mult;
    for (int32_t k = 0; k < o->n_in; k++)
        factor[k] = q_tensor_grid(n, o->in[k]).scale / step;
    s->geom = o->geom;
    if (o->kind == NB_STEP_MAXPOOL)
        return NB_OK;
    if (o->kind == NB_STEP_ADD) {
        factor[1] *= o->sign;
        NB_TRY(sum_multipliers(n, d, name, factor, &mult));
    } else {
        if (o->kind == NB_STEP_MUL)
            factor[0] *= q_tensor_grid(n, o->in[1]).scale;
        else if (o->kind != NB_STEP_CONCAT)
            factor[0] /= (double)o->geom.kh * o->geom.kw;
        NB_TRY(multipliers(n, d, name, factor, count, &mult));
    }
    s->mult = mult;
    s->shift = mult + count;
    return NB_OK;
}

static int32_t code_at(double real, const q_grid *g, int32_t lo, int32_t hi)
{
    const double v = nearbyint(real / g->scale) + g->zero;
    return v <= lo ? lo : v >= hi ? hi : (int32_t)v;
}

static bool same_grid(const q_grid *a, const q_grid *b)
{
    return fabs(a->scale - b->scale) <= 1e-6 * b->scale && a->zero == b->zero && a->is_signed == b->is_signed;
}

static q_open pixelwise(const qnet *n, nb_step_kind kind, int32_t tensor)
{
    const nb_etensor *t = &nb_intbuilder_model(n->b)->tensors[tensor];
    return (q_open){.kind = kind,
                    .in = {tensor},
                    .n_in = 1,
                    .geom = nb_geom_pixels(t->h, t->w, t->c, t->c, t->c),
                    .lo = -INFINITY,
                    .hi = INFINITY};
}

q_open q_of_tensor(const qnet *n, int32_t tensor)
{
    return pixelwise(n, NB_STEP_KINDS, tensor);
}

bool q_said_grid(const qnet *n, const char *name, q_grid *g)
{
    int32_t said[2];
    known k = {&said[0], &said[1], 0};
    if (!read_line(n, name, 1, &k) || !(k.scale > 0))
        return false;
    *g = (q_grid){.scale = (double)k.scale, .zero = said[0]};
    return said[0] >= INT8_MIN && said[0] <= UINT8_MAX && said[1] == 0;
}

nb_status q_close(qnet *n, const onnx_node *d, const q_value *v, const q_grid *g, q_value *out)
{
    q_open o = v->open;
    const char *name = d->out[0];
    const q_grid from = q_tensor_grid(n, o.in[0]);
    const bool keeps = o.kind == NB_STEP_MAXPOOL || o.kind == NB_STEP_KINDS, same = same_grid(&from, g);
    *out = *v;
    if (o.kind == NB_STEP_BLEND)
        return q_fail(n, d, "reads '%.80s', a mixture of pixels that is not rounded", v->name);
    if (o.kind == NB_STEP_KINDS) { /* the tensor itself: nothing to do, a clamp, or another grid */
        if (same && isinf(o.lo) && isinf(o.hi))
            return NB_OK;
        const double lo = o.lo, hi = o.hi;
        o = pixelwise(n, same ? NB_STEP_MAXPOOL : NB_STEP_AVGPOOL, o.in[0]);
        o.lo = lo;
        o.hi = hi;
    } else if (keeps && !same) {
        q_value inner;
        NB_TRY(q_close(n, d, v, &from, &inner));
        return q_close(n, d, &inner, g, out);
    }
    const int32_t least = g->is_signed ? INT8_MIN : 0, most = g->is_signed ? INT8_MAX : UINT8_MAX;
    nb_estep s = {.kind = (int32_t)o.kind, .n_in = o.n_in};
    nb_sinfo info = {.name = name};
    memcpy(s.in, o.in, sizeof s.in);
    s.lo = isinf(o.lo) ? least : code_at(o.lo, g, least, most);
    s.hi = isinf(o.hi) ? most : code_at(o.hi, g, least, most);
    if (o.kind == NB_STEP_CONV)
        NB_TRY(close_conv(n, d, &o, &s, &info, g->scale));
    else
        NB_TRY(close_other(n, d, &o, &s, name, g->scale));
    NB_TRY(q_tensor(n, name, v, *g, &s.out));
    NB_TRY(q_add_step(n, d, &s, &info));
    out->open = pixelwise(n, NB_STEP_KINDS, s.out);
    out->open.in_codes = true;
    return NB_OK;
}

nb_status q_codes(qnet *n, const onnx_node *d, const q_value *v, int32_t *tensor)
{
    if (v->open.kind != NB_STEP_KINDS || !isinf(v->open.lo) || !isinf(v->open.hi)) {
        if (!v->open.in_codes && v->open.kind != NB_STEP_MAXPOOL && v->open.kind != NB_STEP_KINDS)
            return q_fail(n, d, "reads '%.80s', which nothing quantizes", v->name);
        const q_grid same = q_tensor_grid(n, v->open.in[0]);
        q_value closed;
        NB_TRY(q_close(n, d, v, &same, &closed));
        *tensor = closed.open.in[0];
        return NB_OK;
    }
    *tensor = v->open.in[0];
    return NB_OK;
}

/* Sums with one common scale, so that they can be compared: ours, or the largest of the channels'. */
nb_status q_close_logits(qnet *n, const q_value *v)
{
    if (v->open.kind == NB_STEP_KINDS)
        return NB_OK; /* codes: the last step gives them */
    const onnx_node end = {.name = v->name, .op = "output", .out = &v->name, .n_out = 1};
    if (v->open.kind != NB_STEP_CONV || !isinf(v->open.lo) || !isinf(v->open.hi))
        return q_fail(n, &end, "nothing quantizes the logits, and they are no sums of a layer");
    double step = 0;
    for (int32_t c = 0; c < v->open.geom.oc; c++)
        step = fmax(step, v->open.unit[c]);
    int32_t *room = nb_arena_array(n->arena, 2 * (size_t)v->open.geom.oc, sizeof *room);
    if (!room)
        return NB_E_NOMEM;
    known k = {room, room + v->open.geom.oc, 0};
    if (read_line(n, "logits", v->open.geom.oc, &k) && k.scale > 0)
        step = (double)k.scale;
    else if (read_line(n, "logits", 0, &k) && k.scale > 0)
        for (int32_t c = 0; c < v->open.geom.oc; c++) {
            v->open.unit[c] =
                fabs(v->open.unit[c] - (double)k.scale) <= 1e-5 * (double)k.scale ? (double)k.scale : v->open.unit[c];
            step = (double)k.scale;
        }
    nb_estep s = {.kind = NB_STEP_CONV, .n_in = 1, .in = {v->open.in[0]}, .lo = INT32_MIN, .hi = INT32_MAX};
    nb_sinfo info = {.name = "logits"};
    NB_TRY(close_conv(n, &end, &v->open, &s, &info, step));
    const nb_etensor t = {.h = v->open.geom.oh, .w = v->open.geom.ow, .c = v->open.geom.oc, .type = NB_EI_S32};
    const nb_tinfo about = {.name = "logits", .scale = (float)step, .bits = 32};
    NB_TRY(nb_intbuilder_tensor(n->b, &t, &about, &s.out));
    return q_add_step(n, &end, &s, &info);
}
