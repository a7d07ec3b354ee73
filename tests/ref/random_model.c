/* random_model.c - sound integer models from a seed. */
#include "ref/random_model.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { MAX = 48 };

typedef struct {
    ref_model *m;
    nb_rng r, of_levels, of_moves; /* their own: everything else is the same with and without */
    bool oblong;                   /* rows and columns of windows differ, and means have padding */
} maker;

static int32_t pick(maker *k, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(&k->r, (uint32_t)(hi - lo + 1));
}

static void *take(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

static int32_t new_tensor(maker *k, int32_t h, int32_t w, int32_t c, int32_t type)
{
    nb_etensor *t = &k->m->tensors[k->m->e.n_tensors];
    *t = (nb_etensor){.h = h, .w = w, .c = c, .type = type};
    if (type == NB_EI_U8)
        t->zero = pick(k, 0, 2) ? pick(k, 0, 255) : 0;
    else if (type == NB_EI_S8)
        t->zero = pick(k, 0, 2) ? pick(k, -128, 127) : 0;
    return k->m->e.n_tensors++;
}

static int32_t any_type(maker *k)
{
    return pick(k, 0, 1) ? NB_EI_S8 : NB_EI_U8;
}

static nb_estep *new_step(maker *k, int32_t kind, int32_t out)
{
    nb_estep *s = &k->m->e.steps[k->m->e.n_steps++];
    const nb_etensor *t = &k->m->tensors[out];
    *s = (nb_estep){.kind = kind, .out = out};
    s->lo = t->type == NB_EI_S32 ? INT32_MIN : t->type == NB_EI_S8 ? -128 : 0;
    s->hi = t->type == NB_EI_S32 ? INT32_MAX : t->type == NB_EI_S8 ? 127 : 255;
    if (t->type != NB_EI_S32 && pick(k, 0, 2) == 0) { /* a narrower grid, or a fused relu */
        s->lo = pick(k, s->lo, t->zero);
        s->hi = pick(k, t->zero, s->hi);
    }
    return s;
}

/* n rescales by about `factor` (log2), each a little different; sometimes one from the ends of what is allowed. */
static void give_rescales(maker *k, nb_estep *s, int32_t n, double log2_factor)
{
    int32_t *mult = take((size_t)n * sizeof *mult), *shift = take((size_t)n * sizeof *shift);
    for (int32_t i = 0; i < n; i++) {
        const int32_t sh = 31 - (int32_t)floor(log2_factor) + pick(k, -1, 1);
        mult[i] = pick(k, 0, 9) ? (1 << 30) + (int32_t)(nb_rng_u32(&k->r) >> 2) : pick(k, 0, 1) ? INT32_MAX : 1 << 30;
        shift[i] = pick(k, 0, 49) == 0 ? pick(k, 1, 62) : sh < 1 ? 1 : sh > 62 ? 62 : sh;
    }
    s->mult = mult;
    s->shift = shift;
}

static int32_t add_table(maker *k)
{
    const int32_t type = any_type(k), c = pick(k, 1, 4), w = pick(k, 1, 20), h = pick(k, 1, 20);
    const int32_t out = new_tensor(k, h, w, c, type);
    nb_estep *s = new_step(k, NB_STEP_TABLE, out);
    s->one_table = k->m->tensors[out].c == 4 && k->m->tensors[out].h % 3 == 0;
    const int32_t n = (s->one_table ? 1 : k->m->tensors[out].c) * 256;
    uint8_t *table = take((size_t)n);
    for (int32_t i = 0; i < n; i++)
        table[i] = (uint8_t)pick(k, s->lo, s->hi);
    s->table = table;
    return out;
}

/* An activation; sometimes behind a flattened image. */
static int32_t add_lookup(maker *k, int32_t in)
{
    const nb_etensor x = k->m->tensors[in];
    const bool flat = pick(k, 0, 3) == 0 && x.h * x.w * x.c <= 200;
    const int32_t out =
        flat ? new_tensor(k, 1, 1, x.h * x.w * x.c, any_type(k)) : new_tensor(k, x.h, x.w, x.c, any_type(k));
    nb_estep *s = new_step(k, NB_STEP_TABLE, out);
    s->n_in = 1;
    s->in[0] = in;
    s->one_table = k->m->tensors[out].c > 64 || (k->m->tensors[out].c > 1 && pick(k, 0, 2));
    const int32_t n = (s->one_table ? 1 : k->m->tensors[out].c) * 256;
    uint8_t *table = take((size_t)n);
    for (int32_t i = 0; i < n; i++)
        table[i] = (uint8_t)pick(k, s->lo, s->hi);
    s->table = table;
    return out;
}

/* Ascending: `bits` 1..8, up to 2^bits of the integers -127..127, in a third of them without 0, in a third symmetric. */
static void draw_table(nb_rng *r, const ref_levels *to, int8_t *table)
{
    bool in[255] = {false}; /* by level + 127 */
    const bool symmetric = to->n % 2 == 0 && nb_rng_below(r, 3) == 0, zero = nb_rng_below(r, 3) != 0;
    for (int32_t have = 0; have < to->n;) {
        const int32_t level = (int32_t)nb_rng_below(r, 255) - 127;
        if (in[level + 127] || (level == 0 && (!zero || symmetric)))
            continue;
        in[level + 127] = true;
        have++;
        if (symmetric) {
            in[127 - level] = true;
            have++;
        }
    }
    for (int32_t i = 0; i < 255; i++)
        if (in[i])
            *table++ = (int8_t)(i - 127);
}

static void draw_levels(nb_rng *r, ref_levels *to, int32_t channels)
{
    to->bits = 1 + (int32_t)nb_rng_below(r, 8);
    const int32_t most = to->bits == 8 ? 254 : 1 << to->bits;
    to->n = 2 + (int32_t)nb_rng_below(r, (uint32_t)(most - 1));
    to->tables = nb_rng_below(r, 4) == 0 ? channels : 1;
    to->level = take((size_t)to->tables * (size_t)to->n);
    for (int32_t t = 0; t < to->tables; t++)
        draw_table(r, to, to->level + t * to->n);
}

/* Every channel's codes moved by as many as there is room for. */
static int32_t move_channels(nb_rng *r, int8_t *w, int32_t channels, int32_t per, int32_t limit)
{
    for (int32_t c = 0; c < channels; c++) {
        const int32_t by = (int32_t)nb_rng_below(r, (uint32_t)(2 * (127 - limit) + 1)) - (127 - limit);
        for (int32_t i = 0; i < per; i++)
            w[c * per + i] = (int8_t)(w[c * per + i] + by);
    }
    return 127;
}

/* Of 2..7 bits, any exponent that fits; some blocks are all 0. */
static int32_t draw_blocks(nb_rng *r, ref_levels *to, int8_t *w, int32_t channels, int32_t per)
{
    int32_t mantissa = 0, unit = 1;
    to->bits = 2 + (int32_t)nb_rng_below(r, 6);
    to->block = 1 + (int32_t)nb_rng_below(r, 40);
    const int32_t limit = (1 << (to->bits - 1)) - 1;
    for (int32_t i = 0; i < channels * per; i++) {
        if (i % per % to->block == 0) {
            unit = 1 << nb_rng_below(r, (uint32_t)(9 - to->bits));
            mantissa = nb_rng_below(r, 5) == 0 ? 0 : limit;
        }
        w[i] = (int8_t)(unit * ((int32_t)nb_rng_below(r, (uint32_t)(2 * mantissa + 1)) - mantissa));
    }
    return 127;
}

static void give_weights(maker *k, nb_estep *s)
{
    const nb_geom *g = &s->geom;
    const int32_t per_oc = g->kh * g->kw * (g->c / g->groups), n = per_oc * g->oc, bits = pick(k, 2, 8);
    int32_t limit = (1 << (bits - 1)) - 1;
    int8_t *w = take((size_t)n);
    int32_t *bias = take((size_t)g->oc * sizeof *bias);
    for (int32_t i = 0; i < n; i++)
        w[i] = (int8_t)pick(k, -limit, limit);
    if (nb_rng_below(&k->of_levels, 3) == 0) {
        ref_levels *l = &k->m->levels[s - k->m->e.steps];
        draw_levels(&k->of_levels, l, g->oc);
        for (int32_t i = 0; i < n; i++)
            w[i] = l->level[(l->tables > 1 ? i / per_oc * l->n : 0) +
                            (int32_t)nb_rng_below(&k->of_levels, (uint32_t)l->n)];
        limit = 127;
    } else if (nb_rng_below(&k->of_levels, 3) == 0) {
        limit = move_channels(&k->of_levels, w, g->oc, per_oc, limit);
    } else if (nb_rng_below(&k->of_levels, 3) == 0) {
        limit = draw_blocks(&k->of_levels, &k->m->levels[s - k->m->e.steps], w, g->oc, per_oc);
    }
    for (int32_t i = 0; i < g->oc; i++)
        bias[i] = pick(k, -5000, 5000) * per_oc;
    s->weights = w;
    s->bias = bias;
    give_rescales(k, s, g->oc, 7.0 - log2(sqrt(per_oc) * 100.0 * limit));
}

static int32_t add_conv(maker *k, int32_t in, int32_t same_shape)
{
    const nb_etensor *x = &k->m->tensors[in];
    nb_geom g = {.h = x->h, .w = x->w, .c = x->c, .dilation = {1, 1}, .stride = {1, 1}, .groups = 1};
    g.kh = g.kw = pick(k, 0, 1) ? 3 : 1;
    g.pad = nb_sides_of(g.kh / 2);
    g.oc = same_shape ? x->c : pick(k, 1, 40);
    if (!same_shape) {
        g.kh = pick(k, 1, 4);
        g.pad = nb_sides_of(pick(k, 0, 2));
        g.stride = nb_hw_of(pick(k, 1, 2));
        g.dilation = nb_hw_of(pick(k, 1, 2));
        if (k->oblong) {
            g.pad.top = pick(k, 0, 2);
            g.pad.left = pick(k, 0, 2);
            g.pad.bottom = pick(k, 0, 2);
            g.pad.right = pick(k, 0, 2);
            g.stride.w = pick(k, 1, 2);
            g.dilation.w = pick(k, 1, 2);
        }
    }
    if (pick(k, 0, 3) == 0) {
        g.groups = g.c;
        g.oc = same_shape ? g.c : g.c * pick(k, 1, 2);
    }
    nb_geom_fit(&g);
    if (g.oh < 1 || g.ow < 1)
        return in;
    const int32_t out = new_tensor(k, g.oh, g.ow, g.oc, any_type(k));
    nb_estep *s = new_step(k, NB_STEP_CONV, out);
    s->n_in = 1;
    s->in[0] = in;
    s->geom = g;
    give_weights(k, s);
    return out;
}

static int32_t add_pool(maker *k, int32_t in)
{
    const nb_etensor x = k->m->tensors[in];
    static const nb_step_kind kinds[] = {NB_STEP_MAXPOOL, NB_STEP_AVGPOOL, NB_STEP_AVGPOOL_INSIDE};
    const nb_step_kind kind = kinds[pick(k, 0, k->oblong ? 2 : 1)];
    nb_geom g = {.h = x.h, .w = x.w, .c = x.c, .oc = x.c, .dilation = {1, 1}};
    g.kh = pick(k, 1, 3);
    g.kw = pick(k, 1, 3);
    if (pick(k, 0, 3) == 0) { /* global */
        g.kh = x.h;
        g.kw = x.w;
    }
    g.stride = nb_hw_of(pick(k, 1, 2));
    const int32_t smaller = g.kh < g.kw ? g.kh : g.kw;
    if (kind == NB_STEP_MAXPOOL)
        g.pad = nb_sides_of(pick(k, 0, smaller - 1));
    if (k->oblong) {
        g.stride.w = pick(k, 1, 2);
        g.pad.top = pick(k, 0, g.kh - 1);
        g.pad.left = pick(k, 0, g.kw - 1);
        g.pad.bottom = pick(k, 0, g.kh - 1);
        g.pad.right = pick(k, 0, g.kw - 1);
    }
    nb_geom_fit(&g);
    if (g.oh < 1 || g.ow < 1)
        return in;
    const int32_t out = new_tensor(k, g.oh, g.ow, g.oc, x.type);
    if (kind == NB_STEP_MAXPOOL || pick(k, 0, 1))
        k->m->tensors[out].zero = x.zero;
    nb_estep *s = new_step(k, kind, out);
    s->n_in = 1;
    s->in[0] = in;
    s->geom = g;
    if (kind != NB_STEP_MAXPOOL)
        give_rescales(k, s, 1, -log2(g.kh * g.kw));
    return out;
}

static int32_t any_mult(maker *k)
{
    if (pick(k, 0, 9) == 0)
        return pick(k, 0, 1) ? INT32_MAX : 0;
    const uint32_t bits = nb_rng_u32(&k->r);
    return (int32_t)(bits >> pick(k, 1, 6));
}

static void give_sum(maker *k, nb_estep *s, bool minus)
{
    int32_t *mult = take(2 * sizeof *mult), *shift = take(sizeof *shift);
    mult[0] = any_mult(k);
    mult[1] = any_mult(k);
    mult[1] = minus ? -mult[1] : mult[1];
    shift[0] = pick(k, 0, 9) ? pick(k, 29, 32) : pick(k, 1, 62);
    s->mult = mult;
    s->shift = shift;
}

static int32_t add_residual(maker *k, int32_t in)
{
    const int32_t mid = add_conv(k, in, 1);
    const nb_etensor x = k->m->tensors[in];
    const int32_t out = new_tensor(k, x.h, x.w, x.c, any_type(k));
    nb_estep *s = new_step(k, NB_STEP_ADD, out);
    s->n_in = 2;
    s->in[0] = pick(k, 0, 1) ? in : mid;
    s->in[1] = s->in[0] == in ? mid : in;
    give_sum(k, s, pick(k, 0, 4) == 0);
    return out;
}

/* The image times, plus or less a value per channel, per pixel, or one for all: what a pool of it has. */
static int32_t add_gate(maker *k, int32_t in)
{
    const nb_etensor x = k->m->tensors[in];
    const bool product = pick(k, 0, 2) > 0, vector = pick(k, 0, 2) > 0, deep = pick(k, 0, 2) > 0;
    const nb_hw side = {vector ? 1 : x.h, vector ? 1 : x.w};
    const nb_geom g = {.h = x.h,
                       .w = x.w,
                       .c = x.c,
                       .oh = side.h,
                       .ow = side.w,
                       .oc = deep ? x.c : 1,
                       .kh = x.h - side.h + 1,
                       .kw = x.w - side.w + 1,
                       .stride = {1, 1},
                       .dilation = {1, 1},
                       .groups = deep ? x.c : 1};
    const int32_t gate = new_tensor(k, side.h, side.w, g.oc, any_type(k));
    nb_estep *s = new_step(k, NB_STEP_CONV, gate);
    s->n_in = 1;
    s->in[0] = in;
    s->geom = g;
    give_weights(k, s);
    const int32_t out = new_tensor(k, x.h, x.w, x.c, any_type(k));
    s = new_step(k, product ? NB_STEP_MUL : NB_STEP_ADD, out);
    s->n_in = 2;
    s->in[0] = pick(k, 0, 1) ? in : gate;
    s->in[1] = s->in[0] == in ? gate : in;
    if (product)
        give_rescales(k, s, 1, -8);
    else
        give_sum(k, s, true);
    return out;
}

static int32_t add_concat(maker *k, int32_t in)
{
    const nb_etensor x = k->m->tensors[in];
    int32_t from[NB_ENGINE_MAX_IN], n = 0, channels = 0;
    for (int32_t t = k->m->e.n_tensors - 1; t >= 0 && n < 4; t--)
        if (k->m->tensors[t].h == x.h && k->m->tensors[t].w == x.w && channels + k->m->tensors[t].c < 100) {
            from[n++] = t;
            channels += k->m->tensors[t].c;
        }
    if (n == 0)
        return in;
    const int32_t out = new_tensor(k, x.h, x.w, channels, any_type(k));
    nb_estep *s = new_step(k, NB_STEP_CONCAT, out);
    s->n_in = n;
    memcpy(s->in, from, (size_t)n * sizeof *from);
    give_rescales(k, s, n, 0.0);
    return out;
}

/* An axis: slices, repeats, zeros, anything; a line now and then, which exported C writes as one. */
static const int32_t *draw_indices(nb_rng *r, int32_t in, int32_t out)
{
    int32_t *index = take((size_t)out * sizeof *index);
    const uint32_t kind = nb_rng_below(r, 4);
    const int32_t from = (int32_t)nb_rng_below(r, (uint32_t)in), wide = 1 + (int32_t)nb_rng_below(r, 3);
    for (int32_t i = 0; i < out; i++) {
        const int32_t at = kind == 1 ? i - from : kind == 2 ? (i + from) / wide : from - i * wide;
        index[i] = kind == 0 ? (int32_t)nb_rng_below(r, (uint32_t)in + 1) - 1 : at < 0 || at >= in ? -1 : at;
    }
    return index;
}

static int32_t add_move(maker *k, int32_t in)
{
    nb_rng *r = &k->of_moves;
    const nb_etensor x = k->m->tensors[in];
    const bool blends = nb_rng_below(r, 2);
    const int32_t h = 1 + (int32_t)nb_rng_below(r, 20), w = 1 + (int32_t)nb_rng_below(r, 20),
                  c = blends ? x.c : 1 + (int32_t)nb_rng_below(r, 40), out = new_tensor(k, h, w, c, x.type);
    k->m->tensors[out].zero = x.zero;
    nb_estep *s = new_step(k, blends ? NB_STEP_BLEND : NB_STEP_TAKE, out);
    s->n_in = 1;
    s->in[0] = in;
    s->lo = x.type == NB_EI_S8 ? -128 : 0;
    s->hi = x.type == NB_EI_S8 ? 127 : 255;
    const int32_t from[3] = {x.h, x.w, x.c}, to[3] = {h, w, c};
    for (int32_t axis = 0; axis < (blends ? 2 : 3); axis++) {
        int32_t *place = blends ? take((size_t)to[axis] * sizeof *place) : NULL;
        for (int32_t i = 0; blends && i < to[axis]; i++)
            place[i] = (int32_t)nb_rng_below(r, (uint32_t)(from[axis] - 1) * 2048 + 1);
        s->index[axis] = blends ? place : draw_indices(r, from[axis], to[axis]);
    }
    return out;
}

/* Flattens: a linear layer over everything, to codes, to rescaled int32 or to raw accumulators. */
static void add_head(maker *k, int32_t in)
{
    const nb_etensor x = k->m->tensors[in];
    const int32_t kind = pick(k, 0, 2), type = kind == 0 ? any_type(k) : NB_EI_S32;
    const int32_t out = new_tensor(k, 1, 1, pick(k, 2, 40), type);
    nb_estep *s = new_step(k, NB_STEP_CONV, out);
    s->n_in = 1;
    s->in[0] = in;
    s->geom = (nb_geom){.h = 1,
                        .w = 1,
                        .c = x.h * x.w * x.c,
                        .oh = 1,
                        .ow = 1,
                        .oc = k->m->tensors[out].c,
                        .kh = 1,
                        .kw = 1,
                        .stride = {1, 1},
                        .dilation = {1, 1},
                        .groups = 1};
    give_weights(k, s);
    if (kind == 2) {
        free((void *)(uintptr_t)s->mult);
        free((void *)(uintptr_t)s->shift);
        s->mult = s->shift = NULL;
    }
}

static int32_t last_reader(const nb_emodel *e, int32_t t)
{
    int32_t last = -1;
    for (int32_t i = 0; i < e->n_steps; i++)
        for (int32_t j = -1; j < e->steps[i].n_in; j++)
            if ((j < 0 ? e->steps[i].out : e->steps[i].in[j]) == t)
                last = i;
    return last;
}

void ref_model_place(ref_model *m)
{
    uint64_t end[MAX], total = 0;
    for (int32_t t = 0; t < m->e.n_tensors; t++) { /* tensor t is written by step t */
        nb_etensor *x = &m->tensors[t];
        const uint64_t bytes = (uint64_t)x->h * (uint64_t)x->w * (uint64_t)x->c * (x->type == NB_EI_S32 ? 4 : 1);
        x->offset = 0;
        for (int32_t u = 0; u < t; u++) {
            if (last_reader(&m->e, u) < t || x->offset + bytes <= m->tensors[u].offset || end[u] <= x->offset)
                continue;
            x->offset = (end[u] + 63) / 64 * 64; /* behind it, and look again from the start */
            u = -1;
        }
        end[t] = x->offset + bytes;
        total = end[t] > total ? end[t] : total;
    }
    m->e.tensor_bytes = total;
}

ref_model *ref_model_random(uint64_t seed)
{
    maker k = {.m = take(sizeof *k.m), .r = nb_rng_make(seed, 77), .of_levels = nb_rng_make(seed, 78)};
    k.of_moves = nb_rng_make(seed, 79);
    k.oblong = pick(&k, 0, 1);
    k.m->levels = take(MAX * sizeof *k.m->levels);
    k.m->tensors = take(MAX * sizeof *k.m->tensors);
    k.m->e.tensors = k.m->tensors;
    k.m->e.steps = take(MAX * sizeof *k.m->e.steps);
    int32_t x = add_table(&k);
    const int32_t n = pick(&k, 1, 10);
    for (int32_t i = 0; i < n; i++) {
        switch (pick(&k, 0, 6)) {
        case 0:
            x = add_pool(&k, x);
            break;
        case 1:
            x = add_residual(&k, x);
            break;
        case 2:
            x = add_concat(&k, x);
            break;
        case 3:
            x = pick(&k, 0, 1) ? add_gate(&k, x) : add_lookup(&k, x);
            break;
        default:
            x = add_conv(&k, x, 0);
        }
        if (nb_rng_below(&k.of_moves, 8) == 0)
            x = add_move(&k, x);
    }
    if (pick(&k, 0, 3))
        add_head(&k, x);
    ref_model_place(k.m);
    const nb_etensor *in = &k.m->tensors[0];
    const size_t bytes = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    k.m->pixels = take(bytes);
    for (size_t i = 0; i < bytes; i++)
        k.m->pixels[i] = (uint8_t)nb_rng_u32(&k.r);
    return k.m;
}

void ref_model_free(ref_model *m)
{
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        nb_estep *s = &m->e.steps[i];
        const void *owned[] = {s->table, s->weights, s->bias, s->mult, s->shift, s->index[0], s->index[1], s->index[2]};
        for (size_t j = 0; j < sizeof owned / sizeof *owned; j++)
            free((void *)(uintptr_t)owned[j]);
    }
    free(m->e.steps);
    free(m->tensors);
    for (int32_t i = 0; i < m->e.n_steps; i++)
        free(m->levels[i].level);
    free(m->levels);
    free(m->pixels);
    free(m);
}

ref_step_bytes ref_model_step_bytes(const nb_emodel *m, const nb_estep *s)
{
    ref_step_bytes b = {0};
    const nb_geom *g = &s->geom;
    const int32_t raw = s->kind == NB_STEP_CONV && !s->mult && !s->shift;
    if (s->kind == NB_STEP_TABLE) {
        const int32_t c = s->out >= 0 && s->out < m->n_tensors ? m->tensors[s->out].c : 0;
        b.table = c > 0 && c < 100000 ? (int64_t)(s->one_table ? 1 : c) * 256 : -1;
    } else if (s->kind == NB_STEP_CONV) {
        const double n = (double)g->oc * g->kh * g->kw * g->c / (g->groups > 0 ? g->groups : 1);
        const int32_t sane = g->oc > 0 && g->kh > 0 && g->kw > 0 && g->c > 0 && g->groups > 0 && n >= 1 && n < 1e7;
        b.weights = sane ? (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups) : -1;
        b.bias = sane ? g->oc * (int64_t)sizeof(int32_t) : -1;
        b.mult = b.shift = raw ? 0 : b.bias;
    } else if (s->kind == NB_STEP_ADD || s->kind == NB_STEP_CONCAT || s->kind == NB_STEP_AVGPOOL ||
               s->kind == NB_STEP_AVGPOOL_INSIDE || s->kind == NB_STEP_MUL) {
        const int32_t n = s->kind == NB_STEP_ADD || s->kind == NB_STEP_CONCAT ? s->n_in : 1;
        b.mult = n > 0 && n <= NB_ENGINE_MAX_IN ? n * (int64_t)sizeof(int32_t) : -1;
        b.shift = s->kind == NB_STEP_ADD ? (int64_t)sizeof(int32_t) : b.mult;
    }
    if ((s->kind == NB_STEP_TAKE || s->kind == NB_STEP_BLEND) && s->out >= 0 && s->out < m->n_tensors) {
        const nb_etensor *t = &m->tensors[s->out];
        const int32_t size[3] = {t->h, t->w, s->kind == NB_STEP_TAKE ? t->c : 0};
        for (int32_t axis = 0; axis < 3; axis++)
            b.index[axis] = size[axis] >= 0 && size[axis] < 1000000 ? size[axis] * (int64_t)sizeof(int32_t) : -1;
    }
    return b;
}
