/* mac_wide.c - float passes of multiply-accumulate layers that OpenBLAS does faster (kernels/float/fwide.h says which).
 *
 * Work is cut by sizes alone into products that one thread makes each. Forward and the gradient of the input: some images of
 * a unit of the batch (extend/cut.h) and, where there are few, some channels. The gradient of the weights: in slots, as in
 * mac_backward.c, by window position and input channels; a slot sums its units' images in order. Taps (fusion.h) are served in
 * sweeps of their own, since here they cost little beside the products.
 *
 * Of a linear layer a unit has too few rows to pay for packing the weights: the products are of the whole batch, and need
 * no slots. When the batch is shared, ranks bring each other what goes in and the gradient of what comes out, which are small
 * beside the weights, and all make the same products.
 *
 * saved: expanded weights where they are codes (mac.c), then the output gradients that a tap computes, for as many
 * images at a time as fit 1 MB, and sums of the bias of a linear layer; where one is shared, everybody's values. */
#include "mac.h"

#include <nibble/extend/fusion.h>

#include "layer.h"
#include "mac_job.h"

#include "core/cut_gather.h"
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

static int32_t tap_channels(const nb_mac_priv *p)
{
    const int32_t most = nb_fwide_is_matrix(&p->item) ? MATRIX_CHANNELS : TAP_CHANNELS;
    return p->item.c < most ? p->item.c : most;
}

static size_t round_up(size_t bytes)
{
    return (bytes + NB_MAC_ALIGN - 1) / NB_MAC_ALIGN * NB_MAC_ALIGN;
}

size_t nb_mac_wide_scratch(const nb_node *n, const nb_mac_priv *p)
{
    const bool codes = nb_layer_is_codes(&n->in[0]->out);
    const size_t forward = nb_fwide_cols(&p->item, nb_fwide_group(&p->item), codes && !p->integer),
                 weights = nb_fwide_tap_cols(&p->item, tap_channels(p));
    return sizeof(float) * (forward > weights ? forward : weights);
}

void nb_mac_wide_plan(const nb_graph *g, const nb_node *n, nb_mac_priv *p, size_t *saved)
{
    /* whole products of the weight gradient */
    const int64_t group = 2 * nb_fwide_group(&p->item), item_bytes = p->y_item * (int64_t)sizeof(float);
    const bool may_be_tapped = g->fusions && (n->op->flags & NB_OP_TAPS); /* chains are prepared after their nodes */
    const bool all = p->whole && n->cut->shared;
    const int64_t groups = dy_budget / (group * item_bytes), batch = n->cut->batch;
    const size_t x_bytes = all ? (size_t)(batch * p->x_item) * sizeof(float) : 0;
    p->dy_items = (int32_t)lesser(n->cut->images, group * (groups < 1 ? 1 : groups));
    p->at_dy = round_up(*saved);
    p->at_sums = round_up(p->at_dy + (size_t)(item_bytes * (all ? batch : may_be_tapped ? p->dy_items : 0)));
    p->at_all_x = round_up(p->at_sums + (p->whole ? (size_t)p->item.oc * sizeof(double) : 0));
    p->at_all_y = round_up(p->at_all_x + x_bytes);
    p->at_all_dx = round_up(p->at_all_y + (all ? (size_t)(batch * item_bytes) : 0));
    *saved = p->at_all_dx + x_bytes;
}

/* ---- a pass: what it reads and writes, and how it is cut ---- */

/* Some images in a row, all of one unit; a weight gradient adds them to what is in the slot, or begins it. */
typedef struct {
    int32_t first, images, slot;
    bool add;
} stretch;

typedef struct {
    nb_mac_job *j;
    const nb_run *r;
    const void *x; /* from image 0 on, as y and dx */
    const float *w;
    float *y, *dx, *dy;
    int64_t dy_first; /* the image that dy begins with */
    float scale;      /* of the codes that x is made of; 1 for floats */
    stretch piece[NB_MAX_UNITS];
    int32_t pieces, slot, end_slot;
    int32_t groups, block; /* products of the longest piece; columns of one */
    int64_t blocks;
} pass;

static float scale_of(const nb_tensor *x)
{
    return nb_layer_is_codes(x) ? x->q->scale[0] : 1.0f;
}

static bool is_brought(const nb_mac_job *j)
{
    return j->p->whole && j->cut->shared;
}

/* The images that are worked on in one go: a unit, or all. */
static stretch unit_of(const nb_mac_job *j, int32_t i)
{
    if (j->p->whole)
        return (stretch){.images = is_brought(j) ? j->cut->batch : j->cut->images};
    const int32_t unit = j->cut->unit + i, first = nb_cut_unit_at(j->cut, unit);
    stretch s = {.first = first, .images = nb_cut_unit_at(j->cut, unit + 1) - first, .slot = j->slot};
    while (nb_mac_slot_unit(j, s.slot + 1) <= unit)
        s.slot++;
    s.add = nb_mac_slot_unit(j, s.slot) < unit;
    return s;
}

static int32_t units_of(const nb_mac_job *j)
{
    return j->p->whole ? 1 : j->cut->end_unit - j->cut->unit;
}

/* Columns are cut where there are too few products in the whole batch. */
static void cut_columns(pass *a, int32_t columns, bool by_columns)
{
    const nb_mac_job *j = a->j;
    const int64_t groups = j->p->whole ? a->groups : (int64_t)nb_cut_units(j->cut->batch) * a->groups;
    a->block = columns;
    if (by_columns && groups < CHUNKS) {
        const int64_t blocks = lesser(nb_chunks(CHUNKS, groups), nb_chunks(columns, MIN_COLUMNS));
        a->block = (int32_t)((columns + blocks - 1) / blocks + 15) / 16 * 16;
    }
    a->blocks = nb_chunks(columns, a->block);
}

/* Over all images, in units. */
static pass pass_of(nb_mac_job *j, const nb_run *r)
{
    const nb_node *n = j->n;
    pass a = {.j = j, .r = r, .x = n->in[0]->out.data, .y = n->out.data, .dx = n->in[0]->out.grad, .dy = n->out.grad};
    if (is_brought(j)) {
        a.x = nb_mac_saved(j, j->p->at_all_x);
        a.y = nb_mac_saved(j, j->p->at_all_y);
        a.dx = a.dx ? nb_mac_saved(j, j->p->at_all_dx) : NULL;
        a.dy = nb_mac_saved(j, j->p->at_dy);
    }
    a.scale = scale_of(&n->in[0]->out);
    a.pieces = units_of(j);
    for (int32_t i = 0; i < a.pieces; i++)
        a.piece[i] = unit_of(j, i);
    a.slot = j->p->whole ? 0 : j->slot;
    a.end_slot = j->p->whole ? 1 : j->end_slot;
    const int32_t most = j->p->whole ? a.piece[0].images : nb_cut_unit_most(j->cut->batch);
    a.groups = (int32_t)nb_chunks(most, nb_fwide_group(&j->p->item));
    return a;
}

static nb_fconv_image input_from(const pass *a, int64_t image)
{
    const nb_tensor *x = &a->j->n->in[0]->out;
    const size_t bytes = (size_t)(image * a->j->p->x_item) * nb_dtype_bytes(x->dtype);
    return (nb_fconv_image){(const unsigned char *)a->x + bytes, (int32_t)x->dtype,
                            nb_layer_is_codes(x) ? x->q->zero[0] : 0};
}

/* The chunk's part: images from *first on, columns. No images: the piece is shorter than others. */
static nb_fwide_part part_of(const pass *a, int64_t chunk, int32_t columns, int32_t *first)
{
    const int64_t column = chunk % a->blocks * a->block, group = chunk / a->blocks % a->groups;
    const stretch *s = &a->piece[chunk / a->blocks / a->groups];
    const int32_t step = nb_fwide_group(&a->j->p->item), from = (int32_t)group * step;
    *first = s->first + from;
    return (nb_fwide_part){.images = (int32_t)lesser(step, s->images - from),
                           .first = (int32_t)column,
                           .n = (int32_t)lesser(a->block, columns - column),
                           .scale = 1.0f};
}

static void run(pass *a, int64_t chunks, nb_chunk_fn fn)
{
    nb_fblas_begin();
    nb_parallel_for(chunks, fn, a);
    nb_fblas_end();
}

/* ---- forward ---- */

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    int32_t first;
    nb_fwide_part part = part_of(a, chunk, p->item.oc, &first);
    if (part.images <= 0)
        return;
    part.scale = a->scale;
    const nb_fconv_image x = input_from(a, first);
    nb_fwide_forward(&p->item, &part, a->y + first * p->y_item, &x, a->w, n->n_in > 2 ? n->in[2]->out.data : NULL,
                     nb_node_scratch(n, thread));
}

static void tap_part(void *arg, int64_t part, int32_t thread)
{
    const pass *a = arg;
    const nb_tap *t = a->j->n->tap;
    const nb_cut *cut = a->j->cut;
    (void)thread;
    for (int32_t i = nb_cut_part_at(cut, (int32_t)part); i < nb_cut_part_at(cut, (int32_t)part + 1); i++)
        t->value(t, a->r, (int32_t)part, i);
}

void nb_mac_wide_forward(nb_mac_job *j, const nb_run *r)
{
    const nb_node *n = j->n;
    const nb_mac_priv *p = j->p;
    pass a = pass_of(j, r);
    a.w = nb_mac_real_weights(j);
    cut_columns(&a, p->item.oc, true);
    if (is_brought(j))
        nb_mac_bring(j, nb_mac_saved(j, p->at_all_x), n->in[0]->out.data,
                     p->x_item * (int64_t)nb_dtype_bytes(n->in[0]->out.dtype));
    run(&a, a.pieces * a.groups * a.blocks, forward_chunk);
    if (is_brought(j))
        memcpy(n->out.data, nb_mac_own_images(j, a.y, p->y_item * (int64_t)sizeof(float)),
               (size_t)(j->batch * p->y_item) * sizeof(float));
    if (n->tap)
        nb_cut_run(j->cut, tap_part, &a);
}

/* ---- backward ---- */

/* Of the only piece, into the rows that it has in dy. */
static void tapped_grad(void *arg, int64_t i, int32_t thread)
{
    const pass *a = arg;
    const nb_tap *t = a->j->n->tap;
    const int64_t image = a->piece[0].first + i;
    (void)thread;
    t->grad(t, a->dy + (image - a->dy_first) * a->j->p->y_item, (int32_t)image);
}

static void input_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    int32_t first;
    const nb_fwide_part part = part_of(a, chunk, p->item.c, &first);
    if (part.images > 0)
        nb_fwide_input_grad(&p->item, &part, a->dx + first * p->x_item, !nb_layer_fresh(n, 0),
                            a->dy + (first - a->dy_first) * p->y_item, a->w, nb_node_scratch(n, thread));
}

static double *bias_sums(const pass *a, int32_t slot)
{
    return a->j->p->whole ? nb_mac_saved(a->j, a->j->p->at_sums) : nb_mac_slot_bias(a->j, slot);
}

static void add_bias_sums(const pass *a, const stretch *s)
{
    const int32_t oc = a->j->p->item.oc;
    const float *dy = a->dy + (s->first - a->dy_first) * a->j->p->y_item;
    double *sum = bias_sums(a, s->slot);
    memset(sum, 0, s->add ? 0 : (size_t)oc * sizeof *sum);
    for (int64_t i = 0, rows = s->images * a->j->p->y_item / oc; i < rows; i++)
        for (int32_t c = 0; c < oc; c++)
            sum[c] += (double)dy[i * oc + c];
}

/* Positions of the window times blocks of channels: parts of a weight gradient, each with one writer. */
static int64_t weight_parts(const nb_mac_priv *p)
{
    return (int64_t)p->item.kh * p->item.kw * nb_chunks(p->item.c, tap_channels(p));
}

static void add_weights(const pass *a, const stretch *s, int64_t i, int32_t thread)
{
    const nb_node *n = a->j->n;
    const nb_mac_priv *p = a->j->p;
    const int32_t block = tap_channels(p);
    const int64_t blocks = nb_chunks(p->item.c, block), channel = i % blocks * block;
    const nb_fwide_part part = {.images = s->images,
                                .first = (int32_t)channel,
                                .n = (int32_t)lesser(block, p->item.c - channel),
                                .scale = a->scale};
    const nb_fconv_image x = input_from(a, s->first);
    nb_fwide_weight_grad(&p->item, &part, (int32_t)(i / blocks),
                         p->whole ? n->in[1]->out.grad : nb_mac_slot(a->j, s->slot),
                         s->add || (p->whole && !nb_layer_fresh(n, 1)), &x,
                         a->dy + (s->first - a->dy_first) * p->y_item, nb_node_scratch(n, thread));
}

/* Of a slot, chunk 0 is the bias, the others are parts of the weights. */
static void weight_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const pass *a = arg;
    const nb_node *n = a->j->n;
    const int64_t parts = 1 + weight_parts(a->j->p), i = chunk % parts;
    const int32_t slot = a->slot + (int32_t)(chunk / parts);
    for (int32_t k = 0; k < a->pieces; k++) {
        if (a->piece[k].slot != slot)
            continue;
        if (i > 0 && n->in[1]->out.grad)
            add_weights(a, &a->piece[k], i - 1, thread);
        else if (i == 0 && n->n_in > 2 && n->in[2]->out.grad)
            add_bias_sums(a, &a->piece[k]);
    }
}

/* The gradients of the pieces there are. */
static void backward_pieces(pass *a)
{
    const nb_node *n = a->j->n;
    const int32_t slots = a->end_slot - a->slot;
    if (a->dx)
        run(a, a->pieces * a->groups * a->blocks, input_chunk);
    if (n->in[1]->out.grad || (n->n_in > 2 && n->in[2]->out.grad))
        run(a, slots * (1 + weight_parts(a->j->p)), weight_chunk);
}

/* Where a tap computes the gradient of what comes out: so many images at a time, and what depends on them while they are in cache. */
static void backward_tapped(pass *a)
{
    const nb_mac_job *j = a->j;
    a->dy = nb_mac_saved(j, j->p->at_dy);
    a->pieces = 1;
    for (int32_t u = 0; u < units_of(j); u++) {
        const stretch unit = unit_of(j, u);
        for (int32_t at = 0; at < unit.images; at += j->p->dy_items) {
            stretch s = unit;
            s.first += at;
            s.images = (int32_t)lesser(j->p->dy_items, unit.images - at);
            s.add |= at > 0;
            a->piece[0] = s;
            a->dy_first = s.first;
            a->slot = s.slot;
            a->end_slot = s.slot + 1;
            nb_parallel_for(s.images, tapped_grad, a);
            backward_pieces(a);
        }
    }
}

/* A linear layer of a batch that is shared: as if all images were here. */
static void backward_brought(pass *a)
{
    const nb_mac_job *j = a->j;
    const nb_node *n = j->n;
    const int64_t x_bytes = j->p->x_item * (int64_t)sizeof(float), y_bytes = j->p->y_item * (int64_t)sizeof(float);
    float *dx = n->in[0]->out.grad;
    if (j->p->integer) /* the forward pass was not made of products of floats */
        nb_mac_bring(j, nb_mac_saved(j, j->p->at_all_x), n->in[0]->out.data,
                     j->p->x_item * (int64_t)nb_dtype_bytes(n->in[0]->out.dtype));
    if (n->tap) {
        pass own = *a;
        own.piece[0] = (stretch){.images = (int32_t)j->batch};
        own.dy = nb_mac_own_images(j, a->dy, y_bytes);
        nb_parallel_for(j->batch, tapped_grad, &own);
    }
    nb_mac_bring(j, a->dy, n->tap ? NULL : n->out.grad, y_bytes);
    if (dx && !nb_layer_fresh(n, 0))
        memcpy(nb_mac_own_images(j, a->dx, x_bytes), dx, (size_t)(j->batch * x_bytes));
    backward_pieces(a);
    if (dx)
        memcpy(dx, nb_mac_own_images(j, a->dx, x_bytes), (size_t)(j->batch * x_bytes));
}

typedef struct {
    const nb_mac_job *j;
    void *const *slot;
    int32_t n;
} slot_sum;

static void add_slots(void *arg, int64_t chunk, int32_t thread)
{
    const slot_sum *sum = arg;
    const nb_mac_job *j = sum->j;
    float *dw = j->n->in[1]->out.grad;
    const int64_t end = nb_chunk_end(nb_count(&j->n->in[1]->out), NB_LAYER_GRAIN, chunk);
    (void)thread;
    for (int32_t s = 0; s < sum->n; s++) {
        const float *slot = sum->slot[s];
        nb_layer_pass_grad(dw + chunk * NB_LAYER_GRAIN, slot + chunk * NB_LAYER_GRAIN, end - chunk * NB_LAYER_GRAIN,
                           s == 0 && nb_layer_fresh(j->n, 1));
    }
}

static void finish(const nb_mac_job *j, void *const *slots, int32_t left)
{
    slot_sum sum = {j, slots, left};
    if (j->n->in[1]->out.grad)
        nb_parallel_for(nb_chunks(nb_count(&j->n->in[1]->out), NB_LAYER_GRAIN), add_slots, &sum);
}

static void finish_whole(nb_mac_job *j)
{
    const nb_node *n = j->n;
    float *db = n->n_in > 2 ? n->in[2]->out.grad : NULL;
    const double *sum = nb_mac_saved(j, j->p->at_sums);
    for (int32_t c = 0; db && c < j->p->item.oc; c++)
        db[c] = (float)((nb_layer_fresh(n, 2) ? 0.0 : (double)db[c]) + sum[c]);
}

void nb_mac_wide_backward(nb_mac_job *j)
{
    const nb_node *n = j->n;
    const nb_mac_priv *p = j->p;
    pass a = pass_of(j, NULL);
    cut_columns(&a, p->item.c, nb_fwide_is_matrix(&p->item));
    if (a.dx && p->integer)
        a.w = nb_mac_real_weights(j);
    else if (a.dx) /* expanded by the forward pass where they are codes */
        a.w = nb_layer_is_codes(&n->in[1]->out) ? nb_mac_saved(j, p->at_weights) : n->in[1]->out.data;
    if (is_brought(j))
        backward_brought(&a);
    else if (n->tap)
        backward_tapped(&a);
    else
        backward_pieces(&a);
    if (p->whole)
        finish_whole(j);
    else if (n->in[1]->out.grad || (n->n_in > 2 && n->in[2]->out.grad))
        nb_mac_gather_slots(j, finish);
}
