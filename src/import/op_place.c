/* op_place.c - values that come to other places: DepthToSpace and SpaceToDepth, which are convolutions with a single 1 for
 * each output, and Concat along rows or columns, a sum of images with zeros where the others stand. */
#include "base/check.h"
#include "import/onnx_net.h"

#include <string.h>

enum { MAX_BLOCK = 16 /* as far as our convolutions step */, MAX_WEIGHTS = 1 << 24 };

typedef struct {
    int64_t size, channels; /* of a block; of the larger image */
    bool by_block;          /* CRD: the values of a block are neighbours; else those of a place in it */
} block;

/* The channel of the small image that place (i, j) of channel c of the larger comes from. */
static int64_t place_of(const block *b, int64_t c, int64_t i, int64_t j)
{
    return b->by_block ? (c * b->size + i) * b->size + j : (i * b->size + j) * b->channels + c;
}

static nb_status read_block(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, bool to_depth, block *b)
{
    const onnx_attr *mode = onnx_attr_find(d, "mode");
    NB_TRY(onnx_attr_int(n, d, "blocksize", 0, &b->size));
    b->by_block = mode && mode->kind == ONNX_A_STRING && strcmp(mode->s, "CRD") == 0;
    if (mode && !b->by_block && (mode->kind != ONNX_A_STRING || strcmp(mode->s, "DCR") != 0))
        return onnx_fail(n, d, NB_E_FORMAT, "mode: must be DCR or CRD");
    if (x->flat || x->row || b->size < 1 || b->size > MAX_BLOCK ||
        (to_depth ? x->h % b->size || x->w % b->size : x->c % (b->size * b->size)))
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "blocksize: %lld: must be in 1..%d and divide an image of %dx%dx%d (channels, rows, columns)",
                         (long long)b->size, MAX_BLOCK, x->c, x->h, x->w);
    b->channels = to_depth ? x->c : x->c / (b->size * b->size);
    return NB_OK;
}

/* Weights [small, large, size, size] either way: OIHW of the convolution, IOHW of the transposed one. */
static nb_status rearrange(onnx_net *n, const onnx_node *d, bool to_depth)
{
    onnx_v_entry *x, y = {.kind = ONNX_V_DATA};
    block b;
    nb_st_tensor w;
    float *to;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(read_block(n, d, x, to_depth, &b));
    const int64_t area = b.size * b.size, small = b.channels * area, dims[4] = {small, b.channels, b.size, b.size};
    if (small > ONNX_MAX_SIDE || small * small > MAX_WEIGHTS)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "blocksize: %lld: too large for %lld channels", (long long)b.size,
                         (long long)b.channels);
    NB_TRY(onnx_new_floats(n, d->out[0], 4, dims, &to, &w));
    memset(to, 0, w.bytes);
    for (int64_t c = 0; c < b.channels; c++)
        for (int64_t i = 0; i < b.size; i++)
            for (int64_t j = 0; j < b.size; j++)
                to[((place_of(&b, c, i, j) * b.channels + c) * b.size + i) * b.size + j] = 1;
    NB_TRY(onnx_add_layer(n, d, to_depth ? "conv2d" : "convtranspose2d", w.name, &x->layer, 1, &y.layer));
    onnx_keys(n, y.layer, "out: %d, kernel: %d, stride: %d", (int)(to_depth ? small : b.channels), (int)b.size,
              (int)b.size);
    onnx_give(n, y.layer, "weight", &w);
    y.c = (int32_t)(to_depth ? small : b.channels);
    y.h = (int32_t)(to_depth ? x->h / b.size : x->h * b.size);
    y.w = (int32_t)(to_depth ? x->w / b.size : x->w * b.size);
    return onnx_output(n, d, &y);
}

nb_status onnx_op_depthtospace(onnx_net *n, const onnx_node *d)
{
    return rearrange(n, d, false);
}

nb_status onnx_op_spacetodepth(onnx_net *n, const onnx_node *d)
{
    return rearrange(n, d, true);
}

nb_status onnx_concat_along(onnx_net *n, const onnx_node *d, bool columns)
{
    int64_t total = 0, before = 0;
    onnx_v_entry *first, sum = {0};
    NB_TRY(onnx_data(n, d, 0, &first));
    for (size_t k = 0; k < d->n_in; k++) {
        onnx_v_entry *x;
        NB_TRY(onnx_data(n, d, k, &x));
        total += columns ? x->w : x->h;
        if (x->c != first->c || (columns ? x->h != first->h : x->w != first->w) || x->row || total > ONNX_MAX_SIDE)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "joins images of %dx%dx%d and %dx%dx%d (channels, rows, columns)",
                             first->c, first->h, first->w, x->c, x->h, x->w);
    }
    for (size_t k = 0; k < d->n_in; k++) {
        onnx_v_entry *x, next;
        NB_TRY(onnx_data(n, d, k, &x));
        const int64_t size = columns ? x->w : x->h, behind = total - before - size;
        const int64_t pads[6] = {columns ? 0 : before, columns ? before : 0, columns ? 0 : behind,
                                 columns ? behind : 0};
        next = *x;
        if (before + behind)
            NB_TRY(onnx_add_pad(n, d, "", pads, &next));
        before += size;
        if (k > 0) {
            const onnx_v_entry so_far = sum;
            NB_TRY(onnx_pair(n, d, "add", &so_far, &next, &sum));
        } else {
            sum = next;
        }
    }
    return onnx_output(n, d, &sum);
}
