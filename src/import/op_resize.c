/* op_resize.c - Resize and Upsample: where every pixel of the output comes from, as ONNX says it, must be what one of our
 * three ways to lay images upon each other gives (core/resize.h), along rows and along columns; of nearest pixels any
 * choice will do. */
#include "base/check.h"
#include "core/resize.h"
#include "import/fill.h"
#include "import/onnx_net.h"

#include <nibble/take.h>

#include <math.h>
#include <string.h>

enum { MAX_SIZE = 1 << 14 };

typedef struct {
    bool linear;
    const char *align, *nearest; /* theirs */
    int32_t out[2];
    double scale[2];
} resize;

static const char *text_of(const onnx_node *d, const char *name, const char *dflt)
{
    const onnx_attr *a = onnx_attr_find(d, name);
    return !a ? dflt : a->kind == ONNX_A_STRING ? a->s : "?";
}

/* Opset 10 and Upsample know one way. */
static nb_status read_modes(const onnx_net *n, const onnx_node *d, resize *r)
{
    const bool old = d->op[0] == 'U' || n->file->opset < 11;
    const char *mode = text_of(d, "mode", "nearest");
    int64_t antialias, exclude;
    r->align = text_of(d, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
    r->nearest = text_of(d, "nearest_mode", old ? "floor" : "round_prefer_floor");
    r->linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0;
    if (!r->linear && strcmp(mode, "nearest") != 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "mode: '%.40s': nearest and linear are supported", mode);
    NB_TRY(onnx_attr_int(n, d, "antialias", 0, &antialias));
    NB_TRY(onnx_attr_int(n, d, "exclude_outside", 0, &exclude));
    if (antialias || exclude)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "%s: is not supported", antialias ? "antialias" : "exclude_outside");
    if (onnx_attr_find(d, "keep_aspect_ratio_policy") &&
        strcmp(text_of(d, "keep_aspect_ratio_policy", ""), "stretch") != 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "keep_aspect_ratio_policy: only stretch is supported");
    return NB_OK;
}

/* For which axes of the image are there numbers? One for each of NCHW, or those that `axes` names. */
static nb_status read_axes(const onnx_net *n, const onnx_node *d, int64_t axes[4], int32_t *count)
{
    const onnx_attr *a = onnx_attr_find(d, "axes");
    bool fits = !a || (a->kind == ONNX_A_INTS && a->n <= 4);
    *count = a && fits ? (int32_t)a->n : 4;
    for (int32_t i = 0; i < *count && fits; i++) {
        axes[i] = a ? a->ints[i] + (a->ints[i] < 0 ? 4 : 0) : i;
        fits = axes[i] >= 0 && axes[i] < 4;
    }
    return fits ? NB_OK : onnx_fail(n, d, NB_E_FORMAT, "axes: must be some of 0..3");
}

static nb_status set_axis(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, int64_t axis, double scale,
                          double out, resize *r)
{
    const int32_t in[2] = {x->h, x->w};
    if (axis < 2) {
        const double same = axis == 0 ? out : x->c;
        if (scale == 1.0 || out == same)
            return NB_OK;
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "resizes axis %lld: only rows and columns can be", (long long)axis);
    }
    if (!(out >= 1 && out <= MAX_SIZE))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "gives %g rows or columns: must be 1..%d", out, MAX_SIZE);
    r->out[axis - 2] = (int32_t)out;
    r->scale[axis - 2] = scale > 0 ? scale : out / in[axis - 2];
    return NB_OK;
}

static nb_status read_scales(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const int64_t *axes,
                             int32_t count, resize *r)
{
    const onnx_attr *a = onnx_attr_find(d, "scales");
    const size_t k = d->op[0] == 'U' || n->file->opset < 11 ? 1 : 2;
    const int32_t size[4] = {1, x->c, x->h, x->w};
    const nb_st_tensor *t = NULL;
    if (a ? a->kind != ONNX_A_FLOATS : !onnx_input(n, d, k))
        return onnx_fail(n, d, NB_E_FORMAT, "has neither scales nor sizes");
    if (!a)
        NB_TRY(onnx_floats(n, d, k, &t));
    if ((a ? (int64_t)a->n : t->count) != count)
        return onnx_fail(n, d, NB_E_FORMAT, "scales: must be %d numbers", count);
    for (int32_t i = 0; i < count; i++) {
        const double scale = (double)(a ? a->floats[i] : nb_fill_element(t, i));
        NB_TRY(set_axis(n, d, x, axes[i], scale, floor(size[axes[i]] * scale), r));
    }
    return NB_OK;
}

static nb_status read_sizes(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, resize *r)
{
    const onnx_v_entry *e = n->file->opset >= 11 && d->op[0] == 'R' ? onnx_input(n, d, 3) : NULL;
    int64_t axes[4], sizes[ONNX_SHAPE_MAX];
    int32_t count, given = 0;
    r->out[0] = x->h;
    r->out[1] = x->w;
    r->scale[0] = r->scale[1] = 1;
    NB_TRY(read_axes(n, d, axes, &count));
    if (e)
        NB_TRY(onnx_integers(n, d, 3, NULL, sizes, &given));
    if (given == 0)
        return read_scales(n, d, x, axes, count, r);
    if (given != count)
        return onnx_fail(n, d, NB_E_FORMAT, "sizes: must be %d numbers", count);
    for (int32_t i = 0; i < count; i++)
        if (axes[i] > 0)
            NB_TRY(set_axis(n, d, x, axes[i], 0, (double)sizes[i], r));
    return NB_OK;
}

/* Where ONNX says that pixel i of the output lies. */
static double place_of(const resize *r, int32_t axis, int32_t i, int32_t in)
{
    const int32_t out = r->out[axis];
    const double scale = r->scale[axis];
    if (strcmp(r->align, "align_corners") == 0)
        return out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
    if (strcmp(r->align, "asymmetric") == 0)
        return i / scale;
    if (strcmp(r->align, "pytorch_half_pixel") == 0 && out == 1)
        return 0;
    return (i + 0.5) / scale - (strcmp(r->align, "tf_half_pixel_for_nn") == 0 ? 0 : 0.5);
}

static int32_t theirs(const resize *r, int32_t axis, int32_t i, int32_t in)
{
    const double p = place_of(r, axis, i, in), near = 1e-6; /* of scales in single precision */
    if (r->linear)
        return (int32_t)nearbyint(fmin(fmax(p, 0), in - 1) * NB_BLEND_ONE);
    const double at = strcmp(r->nearest, "floor") == 0               ? floor(p + near)
                      : strcmp(r->nearest, "ceil") == 0              ? ceil(p - near)
                      : strcmp(r->nearest, "round_prefer_ceil") == 0 ? floor(p + 0.5 + near)
                                                                     : ceil(p - 0.5 - near);
    return (int32_t)fmin(fmax(at, 0), in - 1);
}

static bool is_as(const resize *r, int32_t axis, int32_t in, nb_align align)
{
    for (int32_t i = 0; i < r->out[axis]; i++) {
        const int32_t want = theirs(r, axis, i, in);
        const int32_t got = (r->linear ? nb_resize_between : nb_resize_nearest)(i, in, r->out[axis], align);
        if (r->linear ? got - want > 1 || want - got > 1 : got != want) /* a 2048th is a matter of rounding */
            return false;
    }
    return true;
}

static nb_status check_align(const onnx_net *n, const onnx_node *d, const resize *r)
{
    static const char *const known[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                                        "tf_half_pixel_for_nn"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], r->align) == 0)
            return NB_OK;
    return onnx_fail(n, d, NB_E_UNSUPPORTED, "coordinate_transformation_mode: '%.40s' is not supported", r->align);
}

/* x becomes rows x columns, laid upon each other as `align` says. */
static nb_status add_upsample(onnx_net *n, const onnx_node *d, const resize *r, nb_align align, const int32_t to[2],
                              onnx_v_entry *x)
{
    static const char *const aligns[] = {"", "corners", "asymmetric"};
    const int32_t factor[2] = {to[0] / x->h, to[1] / x->w};
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, "upsample", NULL, &x->layer, 1, &l));
    if (to[0] % x->h || to[1] % x->w)
        onnx_keys(n, l, "size: [%d, %d]", to[0], to[1]);
    else if (factor[0] == factor[1])
        onnx_keys(n, l, "factor: %d", factor[0]);
    else
        onnx_keys(n, l, "factor: [%d, %d]", factor[0], factor[1]);
    if (r->linear)
        onnx_keys(n, l, "mode: bilinear");
    if (*aligns[align])
        onnx_keys(n, l, "align: %s", aligns[align]);
    x->layer = l;
    x->h = to[0];
    x->w = to[1];
    x->name = NULL;
    return NB_OK;
}

/* One axis for itself; of nearest pixels any choice is a slice. */
static nb_status resize_axis(onnx_net *n, const onnx_node *d, const resize *r, int32_t axis, onnx_v_entry *x)
{
    const int32_t in = axis ? x->w : x->h;
    int32_t to[2] = {x->h, x->w};
    to[axis] = r->out[axis];
    for (int32_t a = NB_ALIGN_HALF_PIXEL; a <= NB_ALIGN_ASYMMETRIC; a++)
        if (is_as(r, axis, in, (nb_align)a))
            return r->out[axis] == in ? NB_OK : add_upsample(n, d, r, (nb_align)a, to, x);
    if (r->linear)
        return onnx_fail(
            n, d, NB_E_UNSUPPORTED,
            "coordinate_transformation_mode '%.40s' with scales %g and %g gives shares that `upsample` does "
            "not",
            r->align, r->scale[0], r->scale[1]);
    int32_t *at = nb_arena_array(n->arena, (size_t)to[axis], sizeof *at);
    if (!at)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < to[axis]; i++)
        at[i] = theirs(r, axis, i, in);
    return onnx_pick(n, d, x, axis, at, to[axis]);
}

nb_status onnx_op_resize(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    resize r;
    NB_TRY(onnx_data(n, d, 0, &x));
    if (x->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    NB_TRY(read_modes(n, d, &r));
    NB_TRY(check_align(n, d, &r));
    NB_TRY(read_sizes(n, d, x, &r));
    onnx_v_entry y = *x;
    const bool same = r.out[0] == x->h && r.out[1] == x->w;
    for (int32_t a = NB_ALIGN_HALF_PIXEL; a <= NB_ALIGN_ASYMMETRIC; a++)
        if (is_as(&r, 0, x->h, (nb_align)a) && is_as(&r, 1, x->w, (nb_align)a)) {
            NB_TRY(same ? NB_OK : add_upsample(n, d, &r, (nb_align)a, r.out, &y));
            return onnx_output(n, d, &y);
        }
    NB_TRY(resize_axis(n, d, &r, 0, &y));
    NB_TRY(resize_axis(n, d, &r, 1, &y));
    return onnx_output(n, d, &y);
}
