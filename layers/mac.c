/* mac.c - multiply-accumulate layers: y = bias + conv(x, w), on floats or on integers.
 *
 * The dtypes of x and w choose: codes times codes run on integers (int32 sums, taken to reals once at the end),
 * anything else on floats, codes being expanded first. Here is what is decided before the first step (kernels, memory)
 * and what both directions read; mac_forward.c and mac_backward.c do the work, mac_matrix.c that of large linear layers.
 *
 * Work is cut into chunks of `per` batch items; a short chunk is completed with zeros in scratch. saved: panels of
 * floats (or of 16-bit gradients, which leave nothing to floats), then for codes: expanded weights, integer panels,
 * per-channel bias, scale and shift. Integers that do not go back have no use for floats. */
#include "mac.h"

#include <nibble/extend/quant.h>

#include "layer.h"
#include "mac_job.h"

#include "base/check.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "core/cut_gather.h"
#include "core/gather_later.h"
#include "kernels/float/fblas.h"
#include "kernels/integer/iconv.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static const size_t later_budget = (size_t)32 << 20; /* bytes: gradients larger than that do not travel later */
static const size_t slot_budget = (size_t)128
                                  << 20; /* bytes: huge linear layers get fewer slots instead of more memory */

static size_t take(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += (bytes + NB_MAC_ALIGN - 1) / NB_MAC_ALIGN * NB_MAC_ALIGN;
    return here;
}

nb_status nb_mac_leaves(nb_graph *g, nb_node *n, const nb_geom *geom, bool bias)
{
    nb_shape w = nb_shape_of(4, geom->oc, geom->kh, geom->kw, geom->c / geom->groups);
    NB_TRY(nb_graph_leaf(g, n, "weight", w, NB_NODE_PARAM | NB_NODE_DECAY, NULL));
    if (bias)
        NB_TRY(nb_graph_leaf(g, n, "bias", nb_shape_of(1, geom->oc, 0, 0, 0), NB_NODE_PARAM, NULL));
    return NB_OK;
}

void nb_mac_init_he(nb_node *n, uint64_t seed, double fan)
{
    nb_tensor *w = &nb_layer_leaf(n, 1)->out;
    nb_rng rng = nb_rng_make(seed, 0);
    float std = (float)sqrt(2.0 / fan);
    float *data = w->data;
    for (int64_t i = 0, count = nb_count(w); i < count; i++)
        data[i] = std * nb_rng_normal(&rng);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void plan_scratch(nb_graph *g, nb_node *n, nb_mac_priv *p)
{
    size_t at = 0;
    if (nb_mac_matrix_goes_back(p) || (p->matrix && g->infers)) {
        n->scratch_bytes = nb_mac_matrix_scratch(p);
        return;
    }
    size_t floats = nb_fconv_scratch_bytes(p->plan),
           codes = p->integer && !p->matrix ? nb_iconv_scratch_bytes(&p->geom) : 0;
    size_t grad = p->grad ? nb_qgrad_scratch_bytes(p->grad) : 0;
    size_t wide = p->wide ? nb_mac_wide_scratch(n, p) : 0;
    take(&at, larger(larger(floats, wide), larger(codes, grad)));
    size_t x_bytes = (size_t)(p->per * p->x_item) * sizeof(float);
    size_t y_bytes = (size_t)(p->per * p->y_item) * sizeof(float);
    bool expands = nb_layer_is_codes(&n->in[0]->out) && !p->integer;
    p->at_x = take(&at, p->per > 1 || expands ? x_bytes : 0);
    p->at_y = take(&at, y_bytes);
    p->at_slots = at;
    n->scratch_bytes = p->matrix ? larger(at, nb_mac_matrix_scratch(p)) : at;
    if (p->whole || g->infers)
        return; /* no slots */

    size_t slot = 0;
    p->grad_bytes = p->wide ? (size_t)(p->geom.oc * p->k) * sizeof(float) : nb_fconv_slot_bytes(p->plan);
    take(&slot, p->grad_bytes);
    take(&slot, (size_t)p->geom.oc * sizeof(double));
    p->slot_bytes = slot;
    p->n_slots = nb_cut_units(g->max_batch) < 8 ? 8 : nb_cut_units(g->max_batch);
    while (p->n_slots > 1 && (size_t)p->n_slots * slot > slot_budget)
        p->n_slots /= 2;
    /* Slots are shared out over the threads' scratch: memory for one layer at a time, not for the whole step. */
    const size_t all = (size_t)p->n_slots * slot;
    if (n->cut->shared && all <= later_budget)
        g->later_bytes = larger(g->later_bytes, all);
    p->slots_per_thread = (p->n_slots + nb_threads() - 1) / nb_threads();
    n->scratch_bytes = at + (size_t)p->slots_per_thread * slot;
}

static void plan_saved(const nb_graph *g, nb_node *n, nb_mac_priv *p)
{
    size_t at = 0;
    size_t oc = (size_t)p->geom.oc;
    if (!(g->infers && p->integer) && !nb_mac_matrix_goes_back(p)) {
        take(&at, p->grad ? nb_qgrad_panel_bytes(p->grad) : p->wide ? 0 : nb_fconv_panel_bytes(p->plan));
        p->at_weights =
            take(&at, nb_layer_is_codes(&n->in[1]->out) && !p->grad ? oc * (size_t)p->k * sizeof(float) : 0);
    }
    if (p->integer) {
        p->at_ipanels = take(&at, p->matrix ? 0 : nb_iconv_packed_bytes(&p->geom));
        p->at_bias = take(&at, oc * sizeof(int32_t));
        p->at_scale = take(&at, oc * sizeof(float));
        p->at_shift = take(&at, oc * sizeof(float));
    }
    n->saved_bytes = at;
}

static bool wants_int16(const nb_graph *g)
{
    return g->compute == NB_COMPUTE_INT16 || (g->compute == NB_COMPUTE_AUTO && nb_qgrad_is_fast());
}

/* p->grad, where the graph asks for 16-bit gradients, both operands are codes and there are kernels. */
static nb_status prepare_grad(nb_graph *g, nb_mac_priv *p)
{
    size_t bytes;
    if (!wants_int16(g) || !p->integer || !nb_qgrad_plan_bytes(p->plan, &bytes))
        return NB_OK;
    void *mem = nb_graph_alloc(g, bytes);
    if (!mem)
        return NB_E_NOMEM;
    p->grad = nb_qgrad_plan_init(mem, p->plan);
    return NB_OK;
}

/* Once: a BLAS that is there and not used because it computes wrong products, where it would be used. */
static void warn_of_wrong_blas(nb_graph *g, const nb_mac_priv *p)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!p->grad && !nb_mac_matrix_goes_back(p) && nb_fwide_rule(&p->item, g->max_batch, 16, 16) &&
        nb_fblas_complaint() && !atomic_flag_test_and_set(&said))
        nb_log(g->ctx, "%s", nb_fblas_complaint());
}

nb_status nb_mac_prepare(nb_graph *g, nb_node *n, const nb_geom *geom, int32_t per)
{
    size_t plan_bytes;
    const bool integer = nb_layer_is_codes(&n->in[0]->out) && nb_layer_is_codes(&n->in[1]->out);
    const nb_fconv_way way = integer && wants_int16(g) ? NB_FCONV_PLAIN : NB_FCONV_FAST;
    if (!nb_fconv_plan_bytes(geom, way, &plan_bytes) || (integer && !nb_iconv_supports(geom)))
        return nb_node_fail(g, n, NB_E_SHAPE, "one image is too large to convolve");
    nb_mac_priv *p = nb_graph_alloc(g, sizeof *p);
    void *mem = nb_graph_alloc(g, plan_bytes);
    if (!p || !mem)
        return NB_E_NOMEM;
    p->geom = *geom;
    p->plan = nb_fconv_plan_init(mem, geom, way);
    p->per = per;
    p->integer = integer;
    p->x_item = (int64_t)geom->h * geom->w * geom->c / per;
    p->y_item = (int64_t)geom->oh * geom->ow * geom->oc / per;
    p->k = (int64_t)geom->kh * geom->kw * (geom->c / geom->groups);
    if (p->integer && nb_is_quantizer(n->in[1]))
        NB_TRY(nb_fakequant_read_by(g, n->in[1], n)); /* which sees to it that sums fit an int32 */
    p->item = *geom;
    if (per > 1) /* a row of items */
        p->item.w = p->item.ow = 1;
    if (p->integer && !(n->op->flags & NB_OP_TAPS) &&
        nb_mac_is_matrix(&p->item, p->k)) /* taps take images one by one */
        NB_TRY(nb_mac_matrix_prepare(g, p, wants_int16(g)));
    else
        NB_TRY(prepare_grad(g, p));
    p->wide = !p->grad && !nb_mac_matrix_goes_back(p) && nb_fwide_wins(&p->item, g->max_batch);
    p->whole = p->wide && p->item.oh * p->item.ow == 1 && nb_fwide_is_matrix(&p->item);
    warn_of_wrong_blas(g, p);
    plan_scratch(g, n, p);
    plan_saved(g, n, p);
    if (p->wide)
        nb_mac_wide_plan(g, n, p, &n->saved_bytes);
    if (p->matrix)
        nb_mac_matrix_plan(n, p, &n->saved_bytes);
    n->priv = p;
    if (p->n_slots == 0 || nb_cut_divides(n->cut, p->n_slots))
        return NB_OK;
    return nb_node_fail(
        g, n, NB_E_CONFIG,
        "its weights' gradient of %zu MB is kept %d times: %d ranks cannot share that, a divisor of %d can",
        p->slot_bytes >> 20, p->n_slots, nb_ranks(), p->n_slots);
}

static int32_t slot_of_unit(const nb_mac_job *j, int32_t unit)
{
    int32_t s = 0;
    while (s < j->n_slots && nb_mac_slot_unit(j, s) < unit)
        s++;
    return s;
}

nb_mac_job nb_mac_make_job(nb_node *n)
{
    const nb_mac_priv *p = n->priv;
    const int32_t units = nb_cut_units(n->cut->batch);
    nb_mac_job j = {.n = n, .p = p, .cut = n->cut, .batch = n->cut->images};
    j.chunks_per_unit = (int32_t)nb_chunks(nb_cut_unit_most(n->cut->batch), p->per);
    j.n_chunks = p->per == 1 ? j.batch : (int64_t)(n->cut->end_unit - n->cut->unit) * j.chunks_per_unit;
    j.n_slots = p->n_slots == 0      ? 1
                : units < p->n_slots ? units
                                     : p->n_slots; /* none has memory where nothing goes back */
    j.slot = slot_of_unit(&j, n->cut->unit);
    j.end_slot = slot_of_unit(&j, n->cut->end_unit);
    return j;
}

void *nb_mac_own_images(const nb_mac_job *j, void *all, int64_t item_bytes)
{
    return (unsigned char *)all + j->cut->first * item_bytes;
}

void *nb_mac_bring(const nb_mac_job *j, void *all, const void *own, int64_t item_bytes)
{
    if (own)
        memcpy(nb_mac_own_images(j, all, item_bytes), own, (size_t)(j->batch * item_bytes));
    nb_gather_images(j->cut, all, (size_t)item_bytes);
    return all;
}

bool nb_mac_few(const nb_mac_job *j)
{
    enum { FEW = 1 << 14 };
    return nb_count(&j->n->in[1]->out) <= FEW;
}

typedef struct {
    const nb_mac_job *j;
    const float *w;
} real_weights;

static void pack_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const real_weights *r = arg;
    nb_fconv_pack_part(r->j->p->plan, r->j->n->saved, r->w, (int32_t)part);
}

void nb_mac_pack_real(nb_mac_job *j)
{
    real_weights r = {j, nb_mac_real_weights(j)};
    if (nb_mac_few(j))
        nb_fconv_pack(j->p->plan, j->n->saved, r.w);
    else
        nb_parallel_for(nb_fconv_pack_parts(j->p->plan), pack_part, &r);
}

void *nb_mac_saved(const nb_mac_job *j, size_t at)
{
    return (unsigned char *)j->n->saved + at;
}

int64_t nb_mac_chunk_items(const nb_mac_job *j, int64_t chunk, int64_t *first)
{
    if (j->p->per == 1) {
        *first = chunk;
        return 1;
    }
    const int64_t m = j->chunks_per_unit, k = chunk % m;
    const int32_t unit = j->cut->unit + (int32_t)(chunk / m);
    const int64_t from = nb_cut_unit_at(j->cut, unit), n = nb_cut_unit_at(j->cut, unit + 1) - from;
    *first = from + k * n / m;
    return from + (k + 1) * n / m - *first;
}

int32_t nb_mac_slot_unit(const nb_mac_job *j, int32_t slot)
{
    return slot * nb_cut_units(j->cut->batch) / j->n_slots;
}

void *nb_mac_slot(const nb_mac_job *j, int32_t slot)
{
    const nb_mac_priv *p = j->p;
    unsigned char *scratch = nb_node_scratch(j->n, slot / p->slots_per_thread);
    return scratch + p->at_slots + (size_t)(slot % p->slots_per_thread) * p->slot_bytes;
}

static size_t bias_at(const nb_mac_job *j)
{
    const size_t bytes = (size_t)j->p->geom.oc * sizeof(double);
    return j->p->slot_bytes - (bytes + NB_MAC_ALIGN - 1) / NB_MAC_ALIGN * NB_MAC_ALIGN;
}

double *nb_mac_slot_bias(const nb_mac_job *j, int32_t slot)
{
    return (void *)((unsigned char *)nb_mac_slot(j, slot) + bias_at(j));
}

typedef struct {
    nb_mac_job j;
    nb_mac_slots_fn finish;
} slots_here;

static void finish_slots(const void *what, void *const *slots, int32_t left)
{
    const slots_here *h = what;
    const nb_mac_job *j = &h->j;
    float *db = j->n->n_in > 2 ? j->n->in[2]->out.grad : NULL;
    const bool fresh = nb_layer_fresh(j->n, 2);
    for (int32_t c = 0; db && c < j->p->geom.oc; c++) {
        double sum = fresh ? 0.0 : (double)db[c];
        for (int32_t s = 0; s < j->n_slots; s++)
            sum += ((const double *)(const void *)((const unsigned char *)slots[s] + bias_at(j)))[c];
        db[c] = (float)sum;
    }
    h->finish(j, slots, left);
}

void nb_mac_gather_slots(const nb_mac_job *j, nb_mac_slots_fn finish)
{
    const slots_here here = {*j, finish};
    void *slots[NB_MAC_SLOTS];
    for (int32_t s = 0; s < j->n_slots; s++)
        slots[s] = nb_mac_slot(j, s);
    nb_gather_later(j->cut, slots, j->n_slots, j->p->grad_bytes / sizeof(float), j->p->slot_bytes, finish_slots, &here,
                    sizeof here);
}

nb_fconv_image nb_mac_chunk_input(const nb_mac_job *j, int64_t chunk, bool expand, void *buf)
{
    const nb_mac_priv *p = j->p;
    const nb_tensor *x = &j->n->in[0]->out;
    int64_t first, want = p->per * p->x_item;
    int64_t have = nb_mac_chunk_items(j, chunk, &first) * p->x_item, from = first * p->x_item;
    if (!nb_layer_is_codes(x) || expand) {
        float *whole = buf;
        const float *part = nb_layer_values(whole, x, from, have);
        if (have < want) {
            if (part != whole)
                memcpy(whole, part, (size_t)have * sizeof *whole);
            memset(whole + have, 0, (size_t)(want - have) * sizeof *whole);
            part = whole;
        }
        return (nb_fconv_image){.data = part, .dtype = NB_F32};
    }
    const uint8_t *codes = (const uint8_t *)x->data + from;
    int32_t zero = x->q->zero[0];
    if (have < want) {
        memcpy(buf, codes, (size_t)have);
        memset((uint8_t *)buf + have, (uint8_t)zero, (size_t)(want - have));
        codes = buf;
    }
    return (nb_fconv_image){.data = codes, .dtype = (int32_t)x->dtype, .zero = zero};
}

static void expand_channel(void *arg, int64_t c, int32_t thread)
{
    const nb_mac_job *j = arg;
    const nb_tensor *w = &j->n->in[1]->out;
    const int64_t k = j->p->k;
    (void)thread;
    nb_k_dequantize((float *)nb_mac_saved(j, j->p->at_weights) + c * k, (const uint8_t *)w->data + c * k, k,
                    w->q->scale[w->q->n == 1 ? 0 : c], 0, w->dtype == NB_S8);
}

const float *nb_mac_real_weights(const nb_mac_job *j)
{
    const nb_tensor *w = &j->n->in[1]->out;
    nb_mac_job job = *j;
    if (!nb_layer_is_codes(w))
        return w->data;
    if (nb_mac_few(j))
        for (int32_t c = 0; c < j->p->geom.oc; c++)
            expand_channel(&job, c, 0);
    else
        nb_parallel_for(j->p->geom.oc, expand_channel, &job);
    return nb_mac_saved(j, j->p->at_weights);
}
