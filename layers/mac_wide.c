/* mac_wide.c - float passes of multiply-accumulate layers that OpenBLAS does faster (kernels/float/fwide.h says which).
 *
 * Work is cut by sizes alone into products that one thread makes each: forward and the gradient of the input by images
 * and, where there are few, by channels; the gradient of the weights by window position and input channel, so that
 * every part of it has one writer and the batch is summed in order: no slots, and the same bits for any number of
 * threads. Taps (fusion.h) are served in sweeps of their own, since here they cost little beside the products.
 *
 * saved: expanded weights where they are codes (mac.c), then the output gradients that a tap computes, for as many
 * images at a time as fit 1 MB, and sums of the bias. */
#include "mac.h"

#include <nibble/extend/fusion.h>

#include "layer.h"
#include "mac_job.h"

#include "kernels/float/fblas.h"

#include <string.h>

enum {
    CHUNKS = 8,        /* of a pass at least, where the sizes allow it */
    MIN_COLUMNS = 256, /* of a product: below, the other operand is packed too often */
    TAP_CHANNELS = 128,
    MATRIX_CHANNELS = 512 /* of a part of the weight gradient */
};
/* Bytes of output gradients: they stay in the last cache until the weights have read them. */
static const int64_t dy_budget = 1 << 20;

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Products are of `group` images and `block` columns. */
typedef struct {
    int32_t group, block;
    int64_t blocks;
} cut;

/* For the whole batch, also where a pass goes over a part of it: a chain and its nodes one by one make equal products.
 */
static cut cut_of(const nb_mac_job *j, int32_t columns, bool by_columns)
{
    cut c = {.group = nb_fwide_group(&j->p->item), .block = columns};
    const int64_t groups = nb_chunks(j->batch, c.group);
    if (by_columns && groups < CHUNKS) {
        const int64_t blocks = lesser(nb_chunks(CHUNKS, groups), nb_chunks(columns, MIN_COLUMNS));
        c.block = (int32_t)((columns + blocks - 1) / blocks + 15) / 16 * 16;
    }
    c.blocks = nb_chunks(columns, c.block);
    return c;
}

static int32_t tap_channels(const nb_mac_priv *p)
{
    const int32_t most = nb_fwide_is_matrix(&p->item) ? MATRIX_CHANNELS : TAP_CHANNELS;
    return p->item.c < most ? p->item.c : most;
}

static size_t round_up(size_t bytes)
{
    return (bytes + NB_MAC_ALIGN - 1) / NB_MAC_ALIGN * NB_MAC_ALIGN;
}

void nb_mac_wide_plan(const nb_graph *g, const nb_node *n, nb_mac_priv *p, size_t *saved, size_t *scratch)
{
    const bool codes = nb_layer_is_codes(&n->in[0]->out);
    const size_t forward = nb_fwide_cols(&p->item, nb_fwide_group(&p->item), codes && !p->integer),
                 weights = nb_fwide_tap_cols(&p->item, tap_channels(p));
    const size_t cols = sizeof(float) * (forward > weights ? forward : weights);
    *scratch = *scratch > cols ? *scratch : cols;

    /* whole products of the weight gradient */
    const int64_t group = 2 * nb_fwide_group(&p->item), item_bytes = p->y_item * (int64_t)sizeof(float);
    const bool may_be_tapped = g->fusions && (n->op->flags & NB_OP_TAPS); /* chains are prepared after their nodes */
    const int64_t groups = dy_budget / (group * item_bytes);
    p->dy_items = (int32_t)lesser(n->out.shape.d[0], group * (groups < 1 ? 1 : groups));
    p->at_dy = round_up(*saved);
    p->at_sums = round_up(p->at_dy + (may_be_tapped ? (size_t)(p->dy_items * item_bytes) : 0));
    *saved = p->at_sums + (size_t)p->item.oc * sizeof(double);
}

/* One pass: `images` from `first` on. */
typedef struct {
    nb_mac_job *j;
    const nb_run *r;
    const float *w, *dy;
    int64_t first, images;
    cut cut;
    float scale; /* of the codes that x is made of; 1 for floats */
    bool fresh;  /* the weight gradient is written for the first time */
} pass;

static nb_fconv_image input_from(const pass *a, int64_t image)
{
    const nb_tensor *x = &a->j->n->in[0]->out;
    const size_t bytes = (size_t)(image * a->j->p->x_item) * nb_dtype_bytes(x->dtype);
    return (nb_fconv_image){(const unsigned char *)x->data + bytes, (int32_t)x->dtype,
                            nb_layer_is_codes(x) ? x->q->zero[0] : 0};
}

/* The chunk's part: images from *first on (of the batch), columns. */
static nb_fwide_part part_of(const pass *a, int64_t chunk, int32_t columns, int64_t *first)
{
    const int64_t group = chunk / a->cut.blocks, column = chunk % a->cut.blocks * a->cut.block;
    *first = a->first + group * a->cut.group;
    return (nb_fwide_part){.images = (int32_t)lesser(a->cut.group, a->first + a->images - *first),
                           .first = (int32_t)column,
                           .n = (int32_t)lesser(a->cut.block, columns - column),
                           .scale = 1.0f};
}

static void run(pass *a, int64_t chunks, nb_chunk_fn fn)
{
    nb_fblas_begin();
    nb_parallel_for(chunks, fn, a);
    nb_fblas_end();
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    int64_t first;
    nb_fwide_part part = part_of(a, chunk, p->item.oc, &first);
    part.scale = a->scale;
    const nb_fconv_image x = input_from(a, first);
    nb_fwide_forward(&p->item, &part, (float *)n->out.data + first * p->y_item, &x, a->w,
                     n->n_in > 2 ? n->in[2]->out.data : NULL, nb_node_scratch(n, thread));
}

static void tap_part(void *arg, int64_t part, int32_t thread)
{
    const pass *a = arg;
    const nb_tap *t = a->j->n->tap;
    const int32_t batch = (int32_t)a->j->batch, end = nb_tap_part(batch, (int32_t)part + 1);
    (void)thread;
    for (int32_t i = nb_tap_part(batch, (int32_t)part); i < end; i++)
        t->value(t, a->r, (int32_t)part, i);
}

static float scale_of(const nb_tensor *x)
{
    return nb_layer_is_codes(x) ? x->q->scale[0] : 1.0f;
}

void nb_mac_wide_forward(nb_mac_job *j, const nb_run *r)
{
    const nb_node *n = j->n;
    pass a = {.j = j,
              .r = r,
              .w = nb_mac_real_weights(j),
              .images = j->batch,
              .cut = cut_of(j, j->p->item.oc, true),
              .scale = scale_of(&n->in[0]->out)};
    run(&a, nb_chunks(a.images, a.cut.group) * a.cut.blocks, forward_chunk);
    if (n->tap)
        nb_parallel_for(nb_tap_parts((int32_t)j->batch), tap_part, &a);
}

static void tapped_grad(void *arg, int64_t i, int32_t thread)
{
    const pass *a = arg;
    const nb_tap *t = a->j->n->tap;
    (void)thread;
    t->grad(t, (float *)nb_mac_saved(a->j, a->j->p->at_dy) + i * a->j->p->y_item, (int32_t)(a->first + i));
}

static void input_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    int64_t first;
    const nb_fwide_part part = part_of(a, chunk, p->item.c, &first);
    nb_fwide_input_grad(&p->item, &part, n->in[0]->out.grad + first * p->x_item, !nb_layer_fresh(n, 0),
                        a->dy + (first - a->first) * p->y_item, a->w, nb_node_scratch(n, thread));
}

static void add_bias_sums(const pass *a)
{
    const int32_t oc = a->j->p->item.oc;
    double *sum = nb_mac_saved(a->j, a->j->p->at_sums);
    for (int64_t i = 0, rows = a->images * a->j->p->y_item / oc; i < rows; i++)
        for (int32_t c = 0; c < oc; c++)
            sum[c] += (double)a->dy[i * oc + c];
}

/* Chunk 0 is the bias, the others are parts of the weights. */
static void weight_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    if (chunk == 0) {
        if (n->n_in > 2 && n->in[2]->out.grad)
            add_bias_sums(a);
        return;
    }
    const int32_t block = tap_channels(p);
    const int64_t blocks = nb_chunks(p->item.c, block), channel = (chunk - 1) % blocks * block;
    const nb_fwide_part part = {.images = (int32_t)a->images,
                                .first = (int32_t)channel,
                                .n = (int32_t)lesser(block, p->item.c - channel),
                                .scale = a->scale};
    const nb_fconv_image x = input_from(a, a->first);
    nb_fwide_weight_grad(&p->item, &part, (int32_t)((chunk - 1) / blocks), n->in[1]->out.grad, !a->fresh, &x, a->dy,
                         nb_node_scratch(n, thread));
}

static void finish_bias(const nb_mac_job *j)
{
    const double *sum = nb_mac_saved(j, j->p->at_sums);
    float *db = j->n->in[2]->out.grad;
    for (int32_t c = 0; c < j->p->item.oc; c++)
        db[c] = (float)((nb_layer_fresh(j->n, 2) ? 0.0 : (double)db[c]) + sum[c]);
}

void nb_mac_wide_backward(nb_mac_job *j)
{
    const nb_node *n = j->n;
    const nb_mac_priv *p = j->p;
    const bool need_x = n->in[0]->out.grad, need_w = n->in[1]->out.grad, need_b = n->n_in > 2 && n->in[2]->out.grad;
    const int64_t parts = (int64_t)p->item.kh * p->item.kw * nb_chunks(p->item.c, tap_channels(p));
    pass a = {.j = j,
              .w = need_x && p->integer ? nb_mac_real_weights(j) : NULL,
              .cut = cut_of(j, p->item.c, nb_fwide_is_matrix(&p->item)),
              .scale = scale_of(&n->in[0]->out),
              .fresh = nb_layer_fresh(n, 1)};
    if (need_x && !p->integer) /* expanded by the forward pass where they are codes */
        a.w = nb_layer_is_codes(&n->in[1]->out) ? nb_mac_saved(j, p->at_weights) : n->in[1]->out.data;
    memset(nb_mac_saved(j, p->at_sums), 0, (size_t)p->item.oc * sizeof(double));
    for (; a.first < j->batch; a.first += a.images) {
        a.images = n->tap ? lesser(p->dy_items, j->batch - a.first) : j->batch;
        a.dy = n->tap ? nb_mac_saved(j, p->at_dy) : n->out.grad;
        if (n->tap)
            nb_parallel_for(a.images, tapped_grad, &a);
        if (need_x)
            run(&a, nb_chunks(a.images, a.cut.group) * a.cut.blocks, input_chunk);
        if (need_w || need_b)
            run(&a, need_w ? 1 + parts : 1, weight_chunk);
        a.fresh = false;
    }
    if (need_b)
        finish_bias(j);
}
