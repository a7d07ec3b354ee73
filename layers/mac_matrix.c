/* mac_matrix.c - integer passes of a large linear layer: weights are read once forward and once backward.
 *
 * Such a layer is bound by its weights, not by its images. So the work is cut along the weights, each part is packed by the
 * thread that uses it, while it is in its cache, and takes all rows of the batch: nothing is packed beforehand, no part of a
 * pass is one thread's alone, and there are no slots to add up, which would be as large as the weights.
 *   forward   some outputs: sums as everywhere else, so the same bits
 *   backward  some inputs: their gradient, and that of their weights, by kernels/grad16/qgrad.h. An "image" is ROWS rows of
 *             the batch for the weights and a unit's rows for the input: what scales are taken over.
 * When the batch is shared, ranks bring each other what goes in and the gradient of what comes out, which are small beside
 * the weights, and all make the same gradient of the weights.
 *
 * saved: what takes sums to reals (mac.c), then sums of the bias, then dy with its rows made whole by zeros, then, where the
 * batch is shared, everybody's x. */
#include "mac.h"

#include "layer.h"
#include "mac_job.h"

#include "base/check.h"
#include "kernels/integer/iconv.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <string.h>

enum {
    ROWS = 256,        /* of a gradient of weights, at most: no sum needs more than one float addition */
    OUTPUTS = 32,      /* of a part: its panels stay in the nearest large cache */
    FORWARD_ROWS = 32, /* of one product of these: what a kernel that widens codes keeps of x */
    INPUTS = 256,      /* of a part of the backward pass, at most */
    PARTS = 16,        /* of that pass at least, where inputs suffice */
    LARGE = 1 << 20    /* weights */
};

struct nb_mac_matrix {
    nb_geom forward;                /* a full part's; the last may have fewer outputs */
    int32_t inputs, parts;          /* of the backward pass */
    int32_t dw_rows, dx_rows, rows; /* rows: dy has room for, whole products of either */
    nb_fconv_plan *dw_plan, *dx_plan;
    nb_qgrad_plan *dw, *dx;                       /* NULL: gradients are no integers here */
    size_t at_sums, at_dy, at_all_x;              /* in saved */
    size_t at_x, at_w, at_panels, at_slot, at_dx; /* in a thread's scratch; kernels use it from 0 */
};

static size_t take(size_t *at, size_t bytes)
{
    const size_t here = *at;
    *at += (bytes + NB_MAC_ALIGN - 1) / NB_MAC_ALIGN * NB_MAC_ALIGN;
    return here;
}

static int32_t round16(int32_t n)
{
    return (n + 15) / 16 * 16;
}

static int32_t lesser(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

bool nb_mac_is_matrix(const nb_geom *item, int64_t k)
{
    return item->oh * item->ow == 1 && item->kh * item->kw == 1 && item->oc * k >= LARGE;
}

/* ---- before the first step ---- */

static nb_geom forward_geom(const nb_mac_priv *p, int32_t rows, int32_t outputs)
{
    return nb_geom_pixels(rows, 1, (int32_t)p->k, outputs, 1);
}

/* The plans of `rows` rows at a time; *grad stays NULL where there are no 16-bit gradients for it. */
static nb_status plan_rows(nb_graph *g, const nb_mac_priv *p, int32_t rows, nb_fconv_plan **plan, nb_qgrad_plan **grad)
{
    const nb_geom q = nb_geom_pixels(1, rows, p->matrix->inputs, p->geom.oc, 1);
    size_t bytes, grad_bytes;
    if (!nb_fconv_plan_bytes(&q, NB_FCONV_PLAIN, &bytes))
        return NB_OK;
    void *mem = nb_graph_alloc(g, bytes);
    if (!mem)
        return NB_E_NOMEM;
    *plan = nb_fconv_plan_init(mem, &q, NB_FCONV_PLAIN);
    if (!nb_qgrad_plan_bytes(*plan, &grad_bytes))
        return NB_OK;
    mem = nb_graph_alloc(g, grad_bytes);
    if (!mem)
        return NB_E_NOMEM;
    *grad = nb_qgrad_plan_init(mem, *plan);
    return NB_OK;
}

static nb_status plan_backward(nb_graph *g, nb_mac_priv *p)
{
    struct nb_mac_matrix *m = p->matrix;
    const int32_t batch = g->max_batch, pieces = (batch - 1) / ROWS + 1, k = (int32_t)p->k;
    const int32_t inputs = round16((k - 1) / PARTS + 1);
    m->inputs = lesser(inputs, INPUTS);
    m->parts = (k - 1) / m->inputs + 1;
    m->dw_rows = (batch - 1) / pieces + 1;
    m->dx_rows = p->per;
    const int32_t dw_whole = (batch - 1) / m->dw_rows * m->dw_rows + m->dw_rows;
    const int32_t dx_whole = (batch - 1) / m->dx_rows * m->dx_rows + m->dx_rows;
    m->rows = dw_whole > dx_whole ? dw_whole : dx_whole;
    NB_TRY(plan_rows(g, p, m->dw_rows, &m->dw_plan, &m->dw));
    return plan_rows(g, p, m->dx_rows, &m->dx_plan, &m->dx);
}

nb_status nb_mac_matrix_prepare(nb_graph *g, nb_mac_priv *p, bool int16)
{
    p->matrix = nb_graph_alloc(g, sizeof *p->matrix);
    if (!p->matrix)
        return NB_E_NOMEM;
    memset(p->matrix, 0, sizeof *p->matrix);
    p->matrix->forward = forward_geom(p, FORWARD_ROWS, lesser(OUTPUTS, p->geom.oc));
    return int16 && !g->infers ? plan_backward(g, p) : NB_OK;
}

bool nb_mac_matrix_goes_back(const nb_mac_priv *p)
{
    return p->matrix && p->matrix->dw && p->matrix->dx;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t nb_mac_matrix_scratch(const nb_mac_priv *p)
{
    struct nb_mac_matrix *m = p->matrix;
    const nb_geom *f = &m->forward;
    size_t forward = 0, back = 0;
    take(&forward, nb_iconv_scratch_bytes(f));
    take(&forward, nb_iconv_packed_bytes(f));
    take(&forward, (size_t)FORWARD_ROWS * (size_t)f->oc * sizeof(int32_t));
    if (!nb_mac_matrix_goes_back(p))
        return forward;
    const size_t inputs = (size_t)m->inputs, oc = (size_t)p->geom.oc;
    take(&back, larger(nb_qgrad_scratch_bytes(m->dw), nb_qgrad_scratch_bytes(m->dx)));
    m->at_x = take(&back, (size_t)m->dw_rows * inputs);
    m->at_w = take(&back, oc * inputs);
    m->at_panels = take(&back, nb_qgrad_panel_bytes(m->dx));
    m->at_slot = take(&back, nb_fconv_slot_bytes(m->dw_plan));
    m->at_dx = take(&back, (size_t)m->dx_rows * inputs * sizeof(float));
    return larger(forward, back);
}

void nb_mac_matrix_plan(const nb_node *n, nb_mac_priv *p, size_t *saved)
{
    struct nb_mac_matrix *m = p->matrix;
    if (!nb_mac_matrix_goes_back(p))
        return;
    const size_t oc = (size_t)p->geom.oc;
    m->at_sums = take(saved, oc * sizeof(double));
    m->at_dy = take(saved, (size_t)m->rows * oc * sizeof(float));
    m->at_all_x = take(saved, n->cut->shared ? (size_t)(n->cut->batch * p->k) : 0);
}

/* ---- forward ---- */

static void forward_part(void *arg, int64_t part, int32_t thread)
{
    const nb_mac_job *j = arg;
    const nb_mac_priv *p = j->p;
    const nb_tensor *x = &j->n->in[0]->out, *w = &j->n->in[1]->out;
    const int32_t step = p->matrix->forward.oc, first = (int32_t)part * step, n = lesser(step, p->geom.oc - first);
    const nb_geom q = forward_geom(p, FORWARD_ROWS, n);
    unsigned char *scratch = nb_node_scratch(j->n, thread);
    size_t at = 0;
    take(&at, nb_iconv_scratch_bytes(&p->matrix->forward));
    void *panels = scratch + take(&at, nb_iconv_packed_bytes(&p->matrix->forward));
    int32_t *sum = (void *)(scratch + at);
    nb_iconv_pack(panels, (const int8_t *)w->data + first * p->k, (nb_icodes){x->q->lo, x->q->hi}, &q);
    nb_mac_sums_to_reals(j, first, n);
    const int32_t *bias = nb_mac_saved(j, p->at_bias);
    const float *scale = nb_mac_saved(j, p->at_scale), *shift = nb_mac_saved(j, p->at_shift);
    for (int64_t row = 0; row < j->batch; row += FORWARD_ROWS) {
        const int32_t rows = lesser(FORWARD_ROWS, (int32_t)(j->batch - row));
        const nb_iconv_input in = {(const uint8_t *)x->data + row * p->k, x->dtype == NB_S8, x->q->zero[0]};
        nb_iconv_rows(&(nb_iconv_output){.acc = sum}, &in, panels, &q, 0, rows, scratch);
        for (int32_t i = 0; i < rows; i++)
            nb_k_acc_to_real((float *)j->n->out.data + (row + i) * p->geom.oc + first, sum + (int64_t)i * n,
                             bias + first, scale + first, shift + first, 1, n);
    }
}

void nb_mac_matrix_forward(nb_mac_job *j)
{
    nb_parallel_for(nb_chunks(j->p->geom.oc, j->p->matrix->forward.oc), forward_part, j);
}

/* ---- backward ---- */

typedef struct {
    const nb_mac_job *j;
    const uint8_t *x; /* of all rows, as dy, which has rows of zeros behind them */
    const float *dy;
    int32_t batch;              /* rows */
    int32_t own_first, own_end; /* of which these are here */
} pass;

/* One part: inputs [first, first + n), of the weights and of x laid side by side; those up to m->inputs are zeros. */
typedef struct {
    const pass *a;
    const struct nb_mac_matrix *m;
    int32_t first, n;
    unsigned char *scratch;
} part;

static void copy_columns(uint8_t *to, const uint8_t *from, int64_t stride, int32_t rows, const part *t, int32_t fill)
{
    for (int32_t i = 0; i < rows; i++, to += t->m->inputs) {
        memcpy(to, from + i * stride + t->first, (size_t)t->n);
        memset(to + t->n, fill & 0xff, (size_t)(t->m->inputs - t->n));
    }
}

static void weight_grad(const part *t)
{
    const pass *a = t->a;
    const struct nb_mac_matrix *m = t->m;
    const nb_mac_priv *p = a->j->p;
    const nb_tensor *x = &a->j->n->in[0]->out;
    void *slot = t->scratch + m->at_slot;
    uint8_t *some = t->scratch + m->at_x;
    memset(slot, 0, nb_fconv_slot_bytes(m->dw_plan));
    for (int32_t row = 0; row < a->batch; row += m->dw_rows) {
        const int32_t rows = lesser(m->dw_rows, a->batch - row);
        const float *dy = a->dy + (int64_t)row * p->geom.oc;
        copy_columns(some, a->x + row * p->k, p->k, rows, t, x->q->zero[0]);
        memset(some + (int64_t)rows * m->inputs, x->q->zero[0] & 0xff, (size_t)(m->dw_rows - rows) * (size_t)m->inputs);
        nb_qgrad_measure(m->dw, dy, t->scratch);
        nb_qgrad_weight(m->dw, slot, &(nb_fconv_image){some, (int32_t)x->dtype, x->q->zero[0]}, dy, t->scratch);
    }
    const nb_fconv_slots slots = {&slot, 1, x->q->scale[0]};
    nb_fconv_rows to = {.row = p->k, .taps = t->n, .set = nb_layer_fresh(a->j->n, 1)};
    for (int32_t i = 0; i < nb_fconv_finish_parts(m->dw_plan); i++) {
        to.dw = (float *)a->j->n->in[1]->out.grad + (int64_t)i * NB_FCONV_FINISH * p->k + t->first;
        nb_fconv_finish_rows(m->dw_plan, &to, &slots, i);
    }
}

static void input_grad(const part *t)
{
    const pass *a = t->a;
    const struct nb_mac_matrix *m = t->m;
    const nb_mac_priv *p = a->j->p;
    const nb_tensor *w = &a->j->n->in[1]->out;
    int8_t *some = (void *)(t->scratch + m->at_w);
    void *panels = t->scratch + m->at_panels;
    float *dx = (void *)(t->scratch + m->at_dx);
    copy_columns((uint8_t *)some, w->data, p->k, p->geom.oc, t, 0);
    nb_qgrad_pack(m->dx, panels, some, w->q->scale, w->q->n);
    for (int32_t row = 0; row < a->own_end; row += m->dx_rows) {
        if (row + m->dx_rows <= a->own_first)
            continue;
        const float *dy = a->dy + (int64_t)row * p->geom.oc;
        nb_qgrad_measure(m->dx, dy, t->scratch);
        nb_qgrad_input(m->dx, dx, false, dy, panels, t->scratch);
        for (int32_t i = 0; i < m->dx_rows; i++)
            if (row + i >= a->own_first && row + i < a->own_end)
                nb_layer_pass_grad((float *)a->j->n->in[0]->out.grad + (row + i - a->own_first) * p->k + t->first,
                                   dx + (int64_t)i * m->inputs, t->n, nb_layer_fresh(a->j->n, 0));
    }
}

static void backward_part(void *arg, int64_t i, int32_t thread)
{
    const pass *a = arg;
    const nb_mac_priv *p = a->j->p;
    const int32_t first = (int32_t)i * p->matrix->inputs;
    const part t = {a, p->matrix, first, lesser(p->matrix->inputs, (int32_t)p->k - first),
                    nb_node_scratch(a->j->n, thread)};
    if (a->j->n->in[1]->out.grad)
        weight_grad(&t);
    if (a->j->n->in[0]->out.grad)
        input_grad(&t);
}

/* All ranks' rows of x and dy, and zeros behind dy where products are not whole. */
static pass pass_of(nb_mac_job *j)
{
    const nb_node *n = j->n;
    const struct nb_mac_matrix *m = j->p->matrix;
    const int64_t oc = j->p->geom.oc;
    pass a = {j, n->in[0]->out.data, n->out.grad, (int32_t)j->batch, 0, (int32_t)j->batch};
    float *dy = nb_mac_saved(j, m->at_dy);
    if (j->cut->shared) {
        a.batch = j->cut->batch;
        a.own_first = j->cut->first;
        a.own_end = a.own_first + j->cut->images;
        a.x = nb_mac_bring(j, nb_mac_saved(j, m->at_all_x), n->in[0]->out.data, j->p->k);
        a.dy = nb_mac_bring(j, dy, n->out.grad, oc * (int64_t)sizeof *dy);
    } else if (a.batch % m->dw_rows != 0 || a.batch % m->dx_rows != 0) {
        memcpy(dy, n->out.grad, (size_t)(a.batch * oc) * sizeof *dy);
        a.dy = dy;
    }
    if (a.dy == dy)
        memset(dy + a.batch * oc, 0, (size_t)((m->rows - a.batch) * oc) * sizeof *dy);
    return a;
}

static void bias_grad(const pass *a)
{
    const nb_node *n = a->j->n;
    const int64_t oc = a->j->p->geom.oc;
    double *sum = nb_mac_saved(a->j, a->j->p->matrix->at_sums);
    float *db = n->in[2]->out.grad;
    for (int64_t c = 0; c < oc; c++)
        sum[c] = nb_layer_fresh(n, 2) ? 0.0 : (double)db[c];
    for (int64_t i = 0; i < a->batch; i++)
        for (int64_t c = 0; c < oc; c++)
            sum[c] += (double)a->dy[i * oc + c];
    for (int64_t c = 0; c < oc; c++)
        db[c] = (float)sum[c];
}

void nb_mac_matrix_backward(nb_mac_job *j)
{
    pass a = pass_of(j);
    if (j->n->in[0]->out.grad || j->n->in[1]->out.grad)
        nb_parallel_for(j->p->matrix->parts, backward_part, &a);
    if (j->n->n_in > 2 && j->n->in[2]->out.grad)
        bias_grad(&a);
}
