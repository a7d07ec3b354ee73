/* fill.c - theirs are OIHW for images of CHW, ours OHWI for HWC (core/oihw.h); floats of any width become ours. */
#include "import/fill.h"

#include "base/check.h"
#include "core/oihw.h"
#include "core/sound.h"

#include <float.h>
#include <math.h>
#include <string.h>

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
    const nb_oihw r = nb_oihw_of(layer, leaf);
    int64_t sizes[4];
    if (r.turned) {
        nb_oihw_sizes(&r, sizes);
        return t->ndim == 4 && memcmp(t->shape, sizes, sizeof sizes) == 0;
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
    const nb_oihw r = nb_oihw_of(layer, leaf);
    const bool same = ohwi || r.same;
    float *to = leaf->out.data;
    for (int64_t o = 0; o < r.o; o++)
        for (int64_t y = 0; y < r.y; y++)
            for (int64_t x = 0; x < r.x; x++)
                for (int64_t i = 0; i < r.i; i++, to++) {
                    int64_t from = same ? to - (float *)leaf->out.data : nb_oihw_place(&r, o, y, x, i);
                    *to = nb_fill_element(t, from);
                    const char *fault = nb_value_fault(*to, leaf->flags & NB_NODE_NONNEGATIVE);
                    if (fault)
                        return nb_fail(ctx, NB_E_FORMAT, "%s: tensor %.100s: value %lld is %g: %s", file, t->name,
                                       (long long)from, (double)*to, fault);
                }
    return NB_OK;
}
