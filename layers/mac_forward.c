/* mac_forward.c - forward of multiply-accumulate layers, chunk by chunk; mac.c says what runs on integers. */
#include "mac.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

#include "layer.h"
#include "mac_job.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "kernels/integer/iconv.h"
#include "kernels/sweeps/sweep.h"

#include <string.h>

void nb_mac_sums_to_reals(const nb_mac_job *j, int32_t first, int32_t n)
{
    const nb_tensor *x = &j->n->in[0]->out;
    const nb_tensor *w = &j->n->in[1]->out;
    const int8_t *codes = w->data;
    const float *b = j->n->n_in > 2 ? j->n->in[2]->out.data : NULL;
    int32_t *bias = nb_mac_saved(j, j->p->at_bias);
    float *scale = nb_mac_saved(j, j->p->at_scale);
    float *shift = nb_mac_saved(j, j->p->at_shift);
    for (int32_t c = first; c < first + n; c++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < j->p->k; i++)
            sum += codes[c * j->p->k + i];
        double unit = (double)x->q->scale[0] * (double)w->q->scale[w->q->n == 1 ? 0 : c];
        bias[c] = (int32_t)(-x->q->zero[0] * sum);
        scale[c] = (float)unit;
        shift[c] = b ? (float)nb_round_to_unit((double)b[c], unit) : 0.0f;
    }
}

static void pack_codes(const nb_mac_job *j)
{
    const nb_tensor *x = &j->n->in[0]->out;
    const int8_t *codes = j->n->in[1]->out.data;
    nb_iconv_pack(nb_mac_saved(j, j->p->at_ipanels), codes, (nb_icodes){x->q->lo, x->q->hi}, &j->p->geom);
    nb_mac_sums_to_reals(j, 0, j->p->geom.oc);
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const nb_mac_job *j = arg;
    const nb_mac_priv *p = j->p;
    nb_node *n = j->n;
    unsigned char *scratch = nb_node_scratch(n, thread);
    int64_t first, items = nb_mac_chunk_items(j, chunk, &first);
    float *y = (float *)n->out.data + first * p->y_item;
    nb_fconv_image x = nb_mac_chunk_input(j, chunk, !p->integer, scratch + p->at_x);
    void *whole = scratch + p->at_y;
    if (p->integer) {
        nb_iconv_run(whole, x.data, x.dtype == NB_S8, x.zero, nb_mac_saved(j, p->at_ipanels), &p->geom, scratch);
        nb_k_acc_to_real(y, whole, nb_mac_saved(j, p->at_bias), nb_mac_saved(j, p->at_scale),
                         nb_mac_saved(j, p->at_shift), items * p->y_item / p->geom.oc, p->geom.oc);
        return;
    }
    const float *bias = n->n_in > 2 ? n->in[2]->out.data : NULL;
    bool is_short = items < p->per;
    nb_fconv_forward(p->plan, is_short ? whole : y, &x, n->saved, bias, scratch);
    if (is_short)
        memcpy(y, whole, (size_t)(items * p->y_item) * sizeof *y);
}

typedef struct {
    nb_mac_job *job;
    const nb_run *r;
} tapped;

static void forward_part(void *arg, int64_t part, int32_t thread)
{
    const tapped *t = arg;
    const nb_cut *cut = t->job->cut;
    for (int32_t i = nb_cut_part_at(cut, (int32_t)part); i < nb_cut_part_at(cut, (int32_t)part + 1); i++) {
        forward_chunk(t->job, i, thread);
        t->job->n->tap->value(t->job->n->tap, t->r, (int32_t)part, i);
    }
}

void nb_mac_forward(nb_node *n, const nb_run *r)
{
    nb_mac_job j = nb_mac_make_job(n);
    if (j.p->wide && !j.p->integer) {
        nb_mac_wide_forward(&j, r);
        return;
    }
    if (j.p->matrix) {
        nb_mac_matrix_forward(&j);
        return;
    }
    if (j.p->integer)
        pack_codes(&j);
    else
        nb_mac_pack_real(&j);
    if (n->tap) {
        NB_ASSERT(j.p->per == 1);
        nb_cut_run(j.cut, forward_part, &(tapped){&j, r});
    } else {
        nb_parallel_for(j.n_chunks, forward_chunk, &j);
    }
}
