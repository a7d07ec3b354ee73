/* fill.c - layouts: theirs are OIHW for images of CHW, ours OHWI for HWC.
 *
 * A linear layer sees an image as one row, in each framework's own order of pixels; where one stands behind a flatten,
 * its columns are put into ours, and so are the vectors of a batch norm in between. */
#include "import/fill.h"

#include "base/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

nb_node *nb_fill_leaf_of(const nb_node *layer, const char *what)
{
    size_t n = strlen(layer->name);
    for (int32_t k = 0; k < layer->n_in; k++) {
        nb_node *x = layer->in[k];
        if ((x->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) && strncmp(x->name, layer->name, n) == 0 &&
            x->name[n] == '.' && strcmp(x->name + n + 1, what) == 0)
            return x;
    }
    return NULL;
}

const float *nb_fill_float_key(const nb_node *layer, const char *name)
{
    for (const nb_key *k = layer->op->keys; k && k->name; k++)
        if (k->kind == NB_K_FLOAT && strcmp(k->name, name) == 0)
            return (const float *)(const void *)((const char *)layer->attr + k->offset);
    return NULL;
}

/* The image [h, w, c] whose pixels are the values of x's rows, through everything that works value by value; false when
 * there is none or its order does not matter. */
static bool image_behind(const nb_node *x, nb_geom *q)
{
    while (x->out.shape.ndim == 2 && x->n_in > 0 &&
           (x->op->flags & NB_OP_VIEW || x->op->role == NB_ROLE_CLAMP || x->op->role == NB_ROLE_AFFINE ||
            x->op->flags & NB_OP_TRAIN_ONLY))
        x = x->in[0];
    const nb_shape *s = &x->out.shape;
    if (s->ndim != 4 || s->d[1] * (int64_t)s->d[2] == 1)
        return false;
    *q = (nb_geom){.h = s->d[1], .w = s->d[2], .c = s->d[3]};
    return true;
}

/* How element (o, y, x, i) of the leaf is found in the tensor. */
typedef struct {
    bool same;          /* in the same order */
    bool columns;       /* the last dimension is an image of q */
    int64_t o, i, y, x; /* sizes of the leaf */
    nb_geom q;
} order;

static order order_of(const nb_node *layer, const nb_node *leaf, bool ohwi)
{
    const nb_shape *s = &leaf->out.shape;
    order r = {.o = 1, .y = 1, .x = 1, .i = s->d[s->ndim - 1], .same = ohwi};
    if (s->ndim == 4) {
        r.o = s->d[0];
        r.y = s->d[1];
        r.x = s->d[2];
    }
    const nb_node *x = layer->in[0];
    bool per_column =
        layer->op->role == NB_ROLE_AFFINE ? x->out.shape.ndim == 2 : layer->out.shape.ndim == 2 && s->ndim == 4;
    r.columns = per_column && image_behind(x, &r.q);
    r.same = r.same || (!r.columns && r.y * r.x == 1);
    return r;
}

static int64_t place_of(const order *r, int64_t o, int64_t y, int64_t x, int64_t i)
{
    if (!r->columns)
        return ((o * r->i + i) * r->y + y) * r->x + x;
    int64_t c = i % r->q.c, pixel = i / r->q.c;
    return o * r->i + c * r->q.h * r->q.w + pixel;
}

bool nb_fill_fits(const nb_node *layer, const nb_node *leaf, const nb_st_tensor *t, bool ohwi)
{
    const nb_shape *s = &leaf->out.shape;
    if (t->count != nb_shape_count(s))
        return false;
    if (s->ndim == 1 || ohwi) {
        if (t->ndim != s->ndim)
            return false;
        for (int32_t k = 0; k < s->ndim; k++)
            if (t->shape[k] != s->d[k])
                return false;
        return true;
    }
    /* [out, in] for a 1x1 window, [out, c, h, w] for a layer over a whole image: the same numbers in the same order */
    bool linear = layer->out.shape.ndim == 2, rows = t->ndim == 2 || t->ndim == 4;
    if (rows && t->shape[0] == s->d[0] && (linear || (t->ndim == 2 && s->d[1] * s->d[2] == 1)))
        return true;
    return t->ndim == 4 && t->shape[0] == s->d[0] && t->shape[1] == s->d[3] && t->shape[2] == s->d[1] &&
           t->shape[3] == s->d[2];
}

/* ---- numbers ---- */

bool nb_fill_is_float(const nb_st_tensor *t)
{
    return t->dtype == NB_ST_F32 || t->dtype == NB_ST_F16 || t->dtype == NB_ST_BF16 || t->dtype == NB_ST_F64;
}

static float from_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* binary16: 5 bits of exponent, 10 of mantissa; exact in a float. */
static float from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h >> 15) << 31, e = h >> 10 & 31, m = h & 1023;
    if (e == 31)
        return from_bits(sign | 0x7f800000u | m << 13);
    if (e > 0)
        return from_bits(sign | (e + 112) << 23 | m << 13);
    float v = ldexpf((float)m, -24);
    return sign ? -v : v;
}

float nb_fill_element(const nb_st_tensor *t, int64_t i)
{
    const uint8_t *at = t->data;
    double wide;
    float v;
    uint16_t half;
    switch (t->dtype) {
    case NB_ST_F32:
        memcpy(&v, at + i * 4, sizeof v);
        return v;
    case NB_ST_F64:
        memcpy(&wide, at + i * 8, sizeof wide);
        return fabs(wide) > FLT_MAX ? INFINITY : (float)wide;
    default:
        memcpy(&half, at + i * 2, sizeof half);
        return t->dtype == NB_ST_F16 ? from_half(half) : from_bits((uint32_t)half << 16);
    }
}

nb_status nb_fill_leaf(nb_ctx *ctx, const char *file, const nb_node *layer, nb_node *leaf, const nb_st_tensor *t,
                       bool ohwi)
{
    const order r = order_of(layer, leaf, ohwi);
    float *to = leaf->out.data;
    for (int64_t o = 0; o < r.o; o++)
        for (int64_t y = 0; y < r.y; y++)
            for (int64_t x = 0; x < r.x; x++)
                for (int64_t i = 0; i < r.i; i++, to++) {
                    int64_t from = r.same ? to - (float *)leaf->out.data : place_of(&r, o, y, x, i);
                    *to = nb_fill_element(t, from);
                    if (!isfinite(*to))
                        return nb_fail(ctx, NB_E_FORMAT, "%s: tensor %.100s: value %lld is not a finite float", file,
                                       t->name, (long long)from);
                }
    return NB_OK;
}
