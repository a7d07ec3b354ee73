/* layer_rows.c - see layer_rows.h. */
#include "post/layer_rows.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "core/oihw.h"
#include "post/held_codes.h"

#include <math.h>
#include <string.h>

enum {
    MOST_ROWS = 16384,     /* more taught the layers of ResNet-20 nothing */
    MOST_FLOATS = 32 << 20 /* of x */
};

/* ---- what a layer is ---- */

static nb_geom geom_of(const nb_node *mac)
{
    const nb_shape *w = &mac->in[1]->out.shape;
    if (mac->out.shape.ndim == 2)
        return nb_geom_pixels(1, 1, (int32_t)(nb_shape_count(w) / w->d[0]), w->d[0], 1);
    return mac->op->window(mac);
}

/* Batch norms and one clamp belong to a layer, where nobody else reads what is between them. */
static const nb_node *next_of(const nb_graph *g, const nb_node *n)
{
    const nb_node *next = n->op->role == NB_ROLE_CLAMP ? NULL : nb_node_only_reader(g, n);
    const bool affine = next && next->op->role == NB_ROLE_AFFINE && next->op->affine;
    return affine || (next && next->op->role == NB_ROLE_CLAMP) ? next : NULL;
}

nb_status nb_layer_rows_plan(nb_arena *arena, const nb_graph *g, const nb_node *mac, int32_t n, nb_layer_rows *out)
{
    nb_layer_rows l = {.mac = mac, .end = mac, .geom = geom_of(mac)};
    const int32_t all = l.geom.oh * l.geom.ow, size = l.geom.kh * l.geom.kw * (l.geom.c / l.geom.groups);
    const int64_t fit = MOST_FLOATS / ((int64_t)size * l.geom.groups);
    const int32_t most = fit > MOST_ROWS ? MOST_ROWS : fit < 1 ? 1 : (int32_t)fit;
    const size_t c = (size_t)l.geom.oc;
    for (const nb_node *next; (next = next_of(g, l.end));)
        l.end = next;
    l.images = n < most ? n : most;
    l.pixels = most / l.images < all ? most / l.images : all;
    l.of = (nb_adaround_problem){
        .filters = l.geom.oc, .size = size, .groups = l.geom.groups, .rows = nb_layer_rows_count(&l)};
    l.values = nb_arena_array(arena, 3 * c, sizeof *l.values);
    l.codes = nb_arena_array(arena, 2 * c, sizeof *l.codes);
    l.work = nb_arena_array(arena, 4 * c, sizeof *l.work);
    if (!l.values || !l.codes || !l.work)
        return NB_E_NOMEM;
    *out = l;
    return NB_OK;
}

/* What takes sums to what the layer gives. */
static void follow(nb_layer_rows *l)
{
    const int32_t c = l->geom.oc;
    double *mul = l->work, *add = mul + c, *m = add + c, *a = m + c;
    const float *bias = l->mac->n_in > 2 ? l->mac->in[2]->out.data : NULL;
    const nb_node *chain[NB_MAX_CHAIN];
    int32_t n = 0;
    for (const nb_node *k = l->end; k != l->mac; k = k->in[0]) {
        NB_ASSERT(n < NB_MAX_CHAIN);
        chain[n++] = k;
    }
    for (int32_t k = 0; k < c; k++) {
        mul[k] = 1;
        add[k] = bias ? (double)bias[k] : 0;
    }
    while (n-- > 0) {
        if (chain[n]->op->role == NB_ROLE_CLAMP) {
            chain[n]->op->bounds(chain[n], &l->of.low, &l->of.high);
            continue;
        }
        chain[n]->op->affine(chain[n], m, a);
        for (int32_t k = 0; k < c; k++) {
            add[k] = m[k] * add[k] + a[k];
            mul[k] *= m[k];
        }
    }
}

/* The network has run: scales and zero points are those of its last forward pass. */
static void set_problem(nb_layer_rows *l)
{
    const int32_t c = l->geom.oc;
    float *mul = l->values, *add = mul + c, *step = add + c;
    int32_t *first = l->codes, *last = first + c;
    l->of.low = -INFINITY;
    l->of.high = INFINITY;
    l->of.w = l->mac->in[1]->in[0]->out.data;
    l->of.mul = mul;
    l->of.add = add;
    l->of.step = step;
    l->of.first = first;
    l->of.last = last;
    follow(l);
    for (int32_t k = 0; k < c; k++) {
        mul[k] = (float)l->work[k];
        add[k] = (float)l->work[c + k];
    }
    nb_codes_read_grid(l->mac, &(nb_codes_grid){step, first, last});
}

/* ---- rows ---- */

/* One in each of as many stretches as are asked for, anywhere in it. */
static int32_t pixel_of(const nb_layer_rows *l, int32_t image, int32_t number)
{
    const int64_t all = (int64_t)l->geom.oh * l->geom.ow;
    const int64_t from = all * number / l->pixels, end = all * (number + 1) / l->pixels;
    const uint64_t random = nb_mix((uint64_t)image, (uint64_t)number) >> 32;
    return (int32_t)(from + (int64_t)(random * (uint64_t)(end - from) >> 32));
}

typedef struct {
    const nb_layer_rows *l;
    const nb_pair_view *v;
    float *x, *y;
    float *image; /* of each thread */
} job;

/* The window of one output pixel, group by group. */
static void read_row(const job *j, const float *image, int32_t row, int32_t pixel)
{
    const nb_geom *g = &j->l->geom;
    const int32_t depth = g->c / g->groups, top = pixel / g->ow * g->stride.h - g->pad.top;
    const int32_t left = pixel % g->ow * g->stride.w - g->pad.left;
    for (int32_t k = 0; k < g->groups; k++) {
        float *x = j->x + nb_adaround_input(&j->l->of, row, k);
        for (int32_t t = 0; t < g->kh * g->kw; t++, x += depth) {
            const int32_t r = top + t / g->kw * g->dilation.h, c = left + t % g->kw * g->dilation.w;
            if (r < 0 || r >= g->h || c < 0 || c >= g->w)
                memset(x, 0, (size_t)depth * sizeof *x);
            else
                memcpy(x, image + ((int64_t)r * g->w + c) * g->c + (int64_t)k * depth, (size_t)depth * sizeof *x);
        }
    }
}

static void read_image(void *arg, int64_t i, int32_t thread)
{
    const job *j = arg;
    const nb_geom *g = &j->l->geom;
    const int32_t image = j->v->first + (int32_t)i;
    const int64_t size = (int64_t)g->h * g->w * g->c;
    const float *x = nb_pair_floats(j->image + thread * size, j->v->quantized->in[0], i * size, size);
    for (int32_t p = 0; p < j->l->pixels; p++)
        read_row(j, x, p * j->l->images + image, pixel_of(j->l, image, p));
}

static void want_image(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_geom *g = &j->l->geom;
    const int32_t image = j->v->first + (int32_t)i;
    const float *y = (const float *)j->v->floats->out.data + i * g->oh * g->ow * g->oc;
    for (int32_t p = 0; p < j->l->pixels; p++)
        memcpy(j->y + (int64_t)(p * j->l->images + image) * g->oc, y + (int64_t)pixel_of(j->l, image, p) * g->oc,
               (size_t)g->oc * sizeof *y);
}

/* Of the images of this batch those that there are rows of. */
static int64_t images_here(const nb_layer_rows *l, const nb_pair_view *v)
{
    const int32_t left = l->images - v->first;
    return left < 0 ? 0 : left < v->images ? left : v->images;
}

typedef struct {
    const nb_layer_rows *l;
    float *const *y;
    float *x, *image;
} passing;

static void see_wanted(void *ud, const nb_pair_view *v)
{
    const passing *p = ud;
    job j = {.l = &p->l[v->layer], .v = v, .y = p->y[v->layer]};
    nb_parallel_for(images_here(j.l, v), want_image, &j);
}

static void see_read(void *ud, const nb_pair_view *v)
{
    const passing *p = ud;
    job j = {.l = p->l, .v = v, .x = p->x, .image = p->image};
    nb_parallel_for(images_here(j.l, v), read_image, &j);
}

nb_status nb_layer_rows_want(const nb_pair *floats, const nb_layer_rows *l, int32_t n, float *const *y)
{
    nb_ctx *ctx = floats->floats->ctx;
    passing p = {.l = l, .y = y};
    const char **name = nb_alloc(ctx, (size_t)n * sizeof *name);
    if (!name)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++)
        name[i] = l[i].end->name;
    nb_status st = nb_pair_run(floats, name, n, see_wanted, &p);
    nb_free(ctx, (void *)name);
    return st;
}

nb_status nb_layer_rows_read(const nb_pair *quantized, nb_layer_rows *l, float *x)
{
    nb_ctx *ctx = quantized->quantized->ctx;
    const size_t image = (size_t)l->geom.h * (size_t)l->geom.w * (size_t)l->geom.c;
    passing p = {.l = l, .x = x};
    p.image = nb_alloc(ctx, image * (size_t)nb_threads() * sizeof *p.image);
    if (!p.image)
        return NB_E_NOMEM;
    nb_status st = nb_pair_run(quantized, &l->mac->name, 1, see_read, &p);
    nb_free(ctx, p.image);
    set_problem(l);
    l->of.x = x;
    return st;
}
