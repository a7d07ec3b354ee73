/* tflite_pool.c - pools in TensorFlow Lite.
 *
 * A mean of the whole image is MEAN. AVERAGE_POOL_2D keeps the grid of what it reads and leaves
 * padding out and rounds halves away from the code 0, so it serves means of an odd number of pixels on one grid without
 * padding, and those that leave it out. Every other mean is a depthwise convolution with ones, whose weight scale is
 * the multiplier. */
#include "export/tflite_writer.h"

#include "base/check.h"

#include <string.h>

static tfl_options pool_options(const nb_geom *g, tfl_padding how, tfl_activation a)
{
    return (tfl_options){.v = {(int32_t)how, g->stride.w, g->stride.h, g->kw, g->kh, (int32_t)a}};
}

static tfl_shape out_shape(const nb_geom *g)
{
    return tfl_shape4(g->oh, g->ow, g->oc);
}

void tfl_maxpool(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    tfl_padding how;
    int32_t x = tfl_codes(w, s->in[0], tfl_shape4(g->h, g->w, g->c));
    if (nb_geom_is_pixels(g)) {
        tfl_clamp(w, i, x);
        return;
    }
    x = tfl_padded(w, i, x, true, &how);
    const tfl_activation fused = tfl_fused(w, i);
    tfl_output(w, i, TFL_MAX_POOL_2D, &x, 1, out_shape(g), pool_options(g, how, fused), fused);
}

static void put_mean(tfl_writer *w, int32_t i, int32_t x)
{
    const nb_geom *g = &w->m->e.steps[i].geom;
    const int32_t axes[2] = {1, 2};
    const int32_t in[2] = {x, tfl_constant(w->o, "axes", TFL_INT32, (tfl_shape){1, {2}}, axes, sizeof axes)};
    /* Without the axes: kernels that keep them round the zero point on its own. */
    tfl_output(w, i, TFL_MEAN, in, 2, tfl_shape2(g->oc), (tfl_options){0}, TFL_NONE);
}

/* The bias of zeros is optional, but XNNPACK reads it. */
static nb_status put_ones(tfl_writer *w, int32_t i, int32_t x)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const size_t n = (size_t)g->kh * (size_t)g->kw * (size_t)g->c, bytes = (size_t)g->c * sizeof(int32_t);
    const double unit = (double)w->m->tensors[s->in[0]].scale;
    const float sum = (float)(tfl_factor(s, 0) * (double)w->m->tensors[s->out].scale),
                scale = (float)((double)sum / unit);
    int8_t *constants = nb_alloc(w->ctx, n + bytes);
    if (!constants)
        return NB_E_NOMEM;
    memset(constants, 1, n);
    memset(constants + n, 0, bytes);
    tfl_padding how;
    int32_t in[3] = {tfl_padded(w, i, x, false, &how)};
    in[1] = tfl_constant(w->o, tfl_name(w, i, "ones"), TFL_INT8, tfl_shape4(g->kh, g->kw, g->c), constants, n);
    in[2] = tfl_constant(w->o, tfl_name(w, i, "zeros"), TFL_INT32, (tfl_shape){1, {g->c}}, constants + n, bytes);
    nb_free(w->ctx, constants);
    tfl_quantize(w->o, in[1], &scale, 1, 0, 3);
    tfl_quantize(w->o, in[2], &sum, 1, 0, 0);
    const tfl_activation fused = tfl_fused(w, i);
    tfl_output(w, i, TFL_DEPTHWISE_CONV_2D, in, 3, out_shape(g),
               (tfl_options){.v = {(int32_t)how, g->stride.w, g->stride.h, 1, (int32_t)fused, 1, 1}}, fused);
    return NB_OK;
}

/* Means of what lies inside the image, which is what AVERAGE_POOL_2D takes under SAME; on another grid a QUANTIZE
 * follows, which rounds once more. */
static nb_status put_inside(tfl_writer *w, int32_t i, int32_t x)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    tfl_padding how;
    if (!tfl_lies(g, &how))
        return nb_fail(w->ctx, NB_E_UNSUPPORTED,
                       "%s: TensorFlow Lite leaves padding out of a mean only where it lies as SAME puts it, not "
                       "[%d, %d, %d, %d]",
                       w->m->steps[i].name, g->pad.top, g->pad.left, g->pad.bottom, g->pad.right);
    if (tfl_same_grid(w, s->in[0], s->out)) {
        const tfl_activation fused = tfl_fused(w, i);
        tfl_output(w, i, TFL_AVERAGE_POOL_2D, &x, 1, out_shape(g), pool_options(g, how, fused), fused);
        return NB_OK;
    }
    const int32_t mean = tfl_on_grid(w, s->in[0], tfl_name(w, i, "mean"), out_shape(g));
    tfl_op(w->o, TFL_AVERAGE_POOL_2D, &x, 1, mean, pool_options(g, how, TFL_NONE));
    tfl_output(w, i, TFL_QUANTIZE, &mean, 1, out_shape(g), (tfl_options){0}, TFL_NONE);
    return NB_OK;
}

nb_status tfl_avgpool(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_geom *g = &s->geom;
    const bool inside = nb_geom_inside(g);
    const double n = (double)g->kh * g->kw;
    NB_TRY(tfl_ratio_fits(w, i, tfl_factor(s, 0), tfl_ratio(w, s->in[0], s->out) / n, n * UINT8_MAX));
    const int32_t x = tfl_codes(w, s->in[0], tfl_shape4(g->h, g->w, g->c));
    if (s->kind == NB_STEP_AVGPOOL_INSIDE && !inside)
        return put_inside(w, i, x);
    if (inside && g->kh == g->h && g->kw == g->w) {
        put_mean(w, i, x);
        return NB_OK;
    }
    if (!inside || g->kh * g->kw % 2 == 0 || !tfl_same_grid(w, s->in[0], s->out))
        return put_ones(w, i, x);
    const tfl_activation fused = tfl_fused(w, i);
    tfl_output(w, i, TFL_AVERAGE_POOL_2D, &x, 1, out_shape(g), pool_options(g, TFL_VALID, fused), fused);
    return NB_OK;
}
