/* onnx_writer.c - grids, codes and real values in ONNX: what every step of either form is made of. */
#include "export/onnx_writer.h"

#ifdef NB_ONNX

const nb_etensor *onnx_tensor(const onnx_writer *w, int32_t t)
{
    return &w->m->e.tensors[t];
}

int32_t onnx_type(const onnx_writer *w, int32_t t)
{
    return onnx_tensor(w, t)->type == NB_EI_S8 && w->form == NB_ONNX_QDQ ? ONNX_INT8 : ONNX_UINT8;
}

int32_t onnx_moved(const onnx_writer *w, int32_t t)
{
    return onnx_tensor(w, t)->type == NB_EI_S8 && w->form == NB_ONNX_OPERATOR ? 128 : 0;
}

const char *onnx_grid(onnx_writer *w, const char *what, int32_t t, const char **zero)
{
    *zero = onnx_scalar(w->o, onnx_name(w->o, "%s.zero", what), onnx_type(w, t),
                        onnx_tensor(w, t)->zero + onnx_moved(w, t));
    return onnx_scalar(w->o, onnx_name(w->o, "%s.scale", what), ONNX_FLOAT, (double)w->m->tensors[t].scale);
}

/* The engine reads a flattened image in its own order of pixels. */
const char *onnx_codes(onnx_writer *w, int32_t t, int32_t i, int32_t h, int32_t width, int32_t c)
{
    const nb_etensor *e = onnx_tensor(w, t);
    if (e->h == h && e->w == width && e->c == c)
        return w->name[t];
    const char *in = w->name[t];
    if (e->h * e->w > 1) {
        in = onnx_add(w->o, "Transpose", onnx_name(w->o, "%s.nhwc.%d", w->name[t], i), &in, 1);
        onnx_ints(w->o, "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    }
    const int64_t dims[4] = {0, c, h, width}, four = 4;
    const char *both[2] = {in, onnx_constant(w->o, onnx_name(w->o, "%s.shape.%d", w->name[t], i), ONNX_INT64, &four, 1,
                                             dims, sizeof dims)};
    return onnx_add(w->o, "Reshape", onnx_name(w->o, "%s.flat.%d", w->name[t], i), both, 2);
}

const char *onnx_dequantize(onnx_writer *w, const char *what, int32_t t, const char *codes)
{
    const char *zero, *scale = onnx_grid(w, what, t, &zero);
    return onnx_add(w->o, "DequantizeLinear", what, (const char *const[]){codes, scale, zero}, 3);
}

bool onnx_clamps(const onnx_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const bool s8 = onnx_tensor(w, s->out)->type == NB_EI_S8;
    return s->lo > (s8 ? -128 : 0) || s->hi < (s8 ? 127 : 255);
}

void onnx_quantize(onnx_writer *w, int32_t i, const char *real)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = onnx_tensor(w, s->out);
    const double unit = (double)w->m->tensors[s->out].scale;
    const char *name = w->m->tensors[s->out].name, *zero;
    if (onnx_clamps(w, i)) {
        const char *lo = onnx_scalar(w->o, onnx_name(w->o, "%s.min", name), ONNX_FLOAT, unit * (s->lo - y->zero));
        const char *hi = onnx_scalar(w->o, onnx_name(w->o, "%s.max", name), ONNX_FLOAT, unit * (s->hi - y->zero));
        real = onnx_add(w->o, "Clip", onnx_name(w->o, "%s.clip", name), (const char *const[]){real, lo, hi}, 3);
    }
    const char *scale = onnx_grid(w, onnx_name(w->o, "%s.q", name), s->out, &zero);
    w->name[s->out] = onnx_add(w->o, "QuantizeLinear", name, (const char *const[]){real, scale, zero}, 3);
}

const char *onnx_unclamped(onnx_writer *w, int32_t i)
{
    const char *name = w->m->tensors[w->m->e.steps[i].out].name;
    return onnx_clamps(w, i) ? onnx_name(w->o, "%s.unclamped", name) : name;
}

void onnx_clamp(onnx_writer *w, int32_t i, const char *unclamped)
{
    const nb_estep *s = &w->m->e.steps[i];
    const char *name = w->m->tensors[s->out].name;
    const int32_t type = onnx_type(w, s->out), moved = onnx_moved(w, s->out);
    w->name[s->out] = unclamped;
    if (!onnx_clamps(w, i))
        return;
    const char *lo = onnx_scalar(w->o, onnx_name(w->o, "%s.lo", name), type, s->lo + moved);
    const char *hi = onnx_scalar(w->o, onnx_name(w->o, "%s.hi", name), type, s->hi + moved);
    w->name[s->out] = onnx_add(w->o, "Clip", name, (const char *const[]){unclamped, lo, hi}, 3);
}

void onnx_window(onnx_writer *w, const nb_geom *g)
{
    onnx_ints(w->o, "kernel_shape", (const int64_t[]){g->kh, g->kw}, 2);
    onnx_ints(w->o, "strides", (const int64_t[]){g->stride.h, g->stride.w}, 2);
    /* The engine drops what is left of the last stride; so does ONNX, by rounding down. */
    onnx_ints(w->o, "pads", (const int64_t[]){g->pad.top, g->pad.left, g->pad.bottom, g->pad.right}, 4);
}

#endif
