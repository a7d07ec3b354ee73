/* upsample.c - an image of another size: of each pixel the nearest of the input's, or four of them mixed. A larger and a
 * smaller image alike.
 *
 * Shares are in 2048ths, for floats and codes alike, so that the integers are those of the float network. */
#include "layer.h"
#include "moves.h"

#include "base/check.h"
#include "core/resize.h"

typedef enum { UPSAMPLE_NEAREST, UPSAMPLE_BILINEAR } upsample_mode;

typedef struct {
    nb_hw factor, size;
    int32_t mode, align;
} upsample_attr;

static const nb_key upsample_keys[] = {
    NB_KEY_HW(upsample_attr, factor, "2", 1, 64, "how many times as many rows and columns; not with size"),
    NB_KEY_HW(upsample_attr, size, "0", 0, 16384, "rows and columns; 0: factor says"),
    NB_KEY_ENUM(upsample_attr, mode, "nearest", "nearest|bilinear",
                "the nearest pixel's value, or between the four around"),
    NB_KEY_ENUM(upsample_attr, align, "half_pixel", "half_pixel|corners|asymmetric",
                "what lies upon each other: whole images, centres of corner pixels, first pixels (PyTorch's nearest)"),
    {0}};

static nb_status build_axis(nb_graph *g, nb_node *n, int32_t axis, int64_t out)
{
    const upsample_attr *a = n->attr;
    int32_t (*place)(int32_t, int32_t, int32_t, nb_align) =
        a->mode == UPSAMPLE_NEAREST ? nb_resize_nearest : nb_resize_between;
    int32_t in[3], *index;
    nb_take_in(n, in);
    NB_TRY(nb_take_axis(g, n, axis, out, &index));
    for (int32_t i = 0; i < (int32_t)out; i++)
        index[i] = place(i, in[axis], (int32_t)out, (nb_align)a->align);
    return NB_OK;
}

static nb_status upsample_build(nb_graph *g, nb_node *n)
{
    const upsample_attr *a = n->attr;
    int32_t in[3];
    NB_TRY(nb_layer_need_image(g, n, 0));
    nb_take_in(n, in);
    if (!a->size.h != !a->size.w)
        return nb_node_fail(g, n, NB_E_CONFIG, "size: needs rows and columns");
    if (a->size.h && (a->factor.h != 2 || a->factor.w != 2)) /* 2: nobody gave it */
        return nb_node_fail(g, n, NB_E_CONFIG, "factor: not with size, which says how many rows and columns there are");
    NB_TRY(build_axis(g, n, 0, a->size.h ? a->size.h : (int64_t)in[0] * a->factor.h));
    NB_TRY(build_axis(g, n, 1, a->size.w ? a->size.w : (int64_t)in[1] * a->factor.w));
    if (a->mode == UPSAMPLE_NEAREST)
        NB_TRY(nb_take_same(g, n, 2));
    return nb_take_done(g, n);
}

const nb_op nb_op_upsample = {
    .name = "upsample",
    .help = "an image of another size: nearest pixels, or bilinear",
    .keys = upsample_keys,
    .attr_size = sizeof(upsample_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_KEEP,
    .build = upsample_build,
    .prepare = nb_take_prepare,
    .forward = nb_take_forward,
    .backward = nb_take_backward,
    .lower = nb_take_lower,
    .examples =
        (const char *const[]){"upsample: {factor: 2}", "upsample: {factor: [1, 3]}",
                              "upsample: {size: [9, 4], align: asymmetric}", "upsample: {factor: 2, mode: bilinear}",
                              "upsample: {size: [5, 11], mode: bilinear, align: corners}", NULL},
};
