/* mac_backward.c - backward of multiply-accumulate layers, chunk by chunk.
 *
 * Floats, or 16-bit integers when the layer multiplies codes and the graph says so (kernels/grad16/qgrad.h): the pass then
 * sees dy rounded per chunk, and weights as codes with their scales. The gradient of x uses the weights the forward
 * pass really multiplied with; the gradient of w reads codes as they are and applies their scale at the end. What a
 * fake-quant node between a parameter and in[1] does with that gradient is its own affair.
 *
 * Weight gradients go to a fixed number of slots, each summing its chunks in order, and slots are added in order: the
 * same bits for any number of threads. */
#include "mac.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

#include "layer.h"
#include "mac_job.h"

#include <string.h>

static void bias_sums(double *sum, const float *dy, int64_t rows, int32_t oc)
{
    for (int64_t i = 0; i < rows; i++)
        for (int32_t c = 0; c < oc; c++)
            sum[c] += (double)dy[i * oc + c];
}

/* The chunk's output gradient, from the reader that knows how it comes about, or from memory; a short chunk is
 * completed with zeros in buf, which holds a whole chunk. */
static const float *chunk_grad(const nb_mac_job *j, int64_t chunk, float *buf)
{
    const nb_mac_priv *p = j->p;
    int64_t first;
    const int64_t have = nb_mac_chunk_items(j, chunk, &first) * p->y_item;
    const int64_t want = p->per * p->y_item;
    if (j->n->tap) {
        j->n->tap->grad(j->n->tap, buf, (int32_t)chunk);
        return buf;
    }
    const float *dy = j->n->out.grad + first * p->y_item;
    if (have == want)
        return dy;
    memcpy(buf, dy, (size_t)have * sizeof *buf);
    memset(buf + have, 0, (size_t)(want - have) * sizeof *buf);
    return buf;
}

static void kernel_input_grad(const nb_mac_job *j, float *dx, bool add, const float *dy, unsigned char *scratch)
{
    if (j->p->grad)
        nb_qgrad_input(j->p->grad, dx, add, dy, j->n->saved, scratch);
    else
        nb_fconv_input_grad(j->p->plan, dx, add, dy, j->n->saved, scratch);
}

static void input_grad(const nb_mac_job *j, int64_t chunk, const float *dy, unsigned char *scratch)
{
    const nb_mac_priv *p = j->p;
    bool fresh = nb_layer_fresh(j->n, 0);
    int64_t first, items = nb_mac_chunk_items(j, chunk, &first);
    float *dx = j->n->in[0]->out.grad + first * p->x_item;
    float *whole = (void *)(scratch + p->at_x);
    if (items == p->per) {
        kernel_input_grad(j, dx, !fresh, dy, scratch);
        return;
    }
    kernel_input_grad(j, whole, false, dy, scratch);
    nb_layer_pass_grad(dx, whole, items * p->x_item, fresh);
}

/* The first chunk of a slot. */
static int64_t slot_chunk(const nb_mac_job *j, int32_t slot)
{
    const int32_t unit = nb_mac_slot_unit(j, slot);
    return j->p->per == 1 ? nb_cut_unit_at(j->cut, unit) : (int64_t)(unit - j->cut->unit) * j->chunks_per_unit;
}

/* One slot: its chunks in order, all three gradients of a chunk while its dy is in cache. */
static void backward_slot(void *arg, int64_t own, int32_t thread)
{
    const nb_mac_job *j = arg;
    const int32_t slot = j->slot + (int32_t)own;
    const nb_mac_priv *p = j->p;
    const nb_node *n = j->n;
    unsigned char *scratch = nb_node_scratch(n, thread);
    void *grad = nb_mac_slot(j, slot);
    double *sums = nb_mac_slot_bias(j, slot);
    bool need_x = n->in[0]->out.grad, need_w = n->in[1]->out.grad, need_b = n->n_in > 2 && n->in[2]->out.grad;
    memset(grad, 0, need_w ? p->grad_bytes : 0);
    memset(sums, 0, (size_t)p->geom.oc * sizeof *sums);
    for (int64_t chunk = slot_chunk(j, slot), first; chunk < slot_chunk(j, slot + 1); chunk++) {
        const float *dy = chunk_grad(j, chunk, (void *)(scratch + p->at_y));
        if (need_b)
            bias_sums(sums, dy, nb_mac_chunk_items(j, chunk, &first) * p->y_item / p->geom.oc, p->geom.oc);
        if (p->grad)
            nb_qgrad_measure(p->grad, dy, scratch);
        if (need_w) {
            nb_fconv_image x = nb_mac_chunk_input(j, chunk, false, scratch + p->at_x);
            if (p->grad)
                nb_qgrad_weight(p->grad, grad, &x, dy, scratch);
            else
                nb_fconv_weight_grad(p->plan, grad, &x, dy, scratch);
        }
        if (need_x)
            input_grad(j, chunk, dy, scratch);
    }
}

typedef struct {
    const nb_mac_job *j;
    nb_fconv_slots slots;
} slot_sum;

static void finish_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const slot_sum *s = arg;
    nb_fconv_finish_part(s->j->p->plan, s->j->n->in[1]->out.grad, &s->slots, (int32_t)part);
}

static void finish(const nb_mac_job *j, void *const *slots, int32_t n)
{
    nb_tensor *w = &j->n->in[1]->out;
    const nb_tensor *x = &j->n->in[0]->out;
    if (!w->grad)
        return;
    if (nb_layer_fresh(j->n, 1))
        memset(w->grad, 0, (size_t)nb_count(w) * sizeof(float));
    slot_sum sum = {j, {slots, n, nb_layer_is_codes(x) ? x->q->scale[0] : 1.0f}};
    if (nb_mac_few(j))
        nb_fconv_weight_grad_finish(j->p->plan, w->grad, &sum.slots);
    else
        nb_parallel_for(nb_fconv_finish_parts(j->p->plan), finish_part, &sum);
}

static void pack_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_mac_job *j = arg;
    nb_qgrad_pack_part(j->p->grad, j->n->saved, j->n->in[1]->out.data, (int32_t)part);
}

/* Weights for the gradient of x. */
static void pack_weights(nb_mac_job *j)
{
    const nb_tensor *w = &j->n->in[1]->out;
    if (nb_mac_few(j)) {
        nb_qgrad_pack(j->p->grad, j->n->saved, w->data, w->q->scale, w->q->n);
        return;
    }
    nb_parallel_for(nb_qgrad_pack_parts(j->p->grad), pack_part, j);
    nb_qgrad_pack_finish(j->p->grad, j->n->saved, w->q->scale, w->q->n);
}

void nb_mac_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_mac_job j = nb_mac_make_job(n);
    if (nb_mac_matrix_goes_back(j.p)) {
        nb_mac_matrix_backward(&j);
        return;
    }
    if (j.p->wide) {
        nb_mac_wide_backward(&j);
        return;
    }
    if (j.p->grad && n->in[0]->out.grad)
        pack_weights(&j);
    else if (j.p->integer && n->in[0]->out.grad)
        nb_mac_pack_real(&j);
    nb_parallel_for(j.end_slot - j.slot, backward_slot, &j);
    if (n->in[1]->out.grad || (n->n_in > 2 && n->in[2]->out.grad))
        nb_mac_gather_slots(&j, finish);
}
