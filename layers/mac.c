/* mac.c - multiply-accumulate layers: y = bias + conv(x, w), on floats or on integers.
 *
 * The dtypes of x and w choose: codes times codes run on integers (int32 sums, taken to reals once at the end),
 * anything else on floats, codes being expanded first. The gradient of x uses the weights the forward pass really
 * multiplied with; the gradient of w reads codes as they are and applies their scale at the end. What a fake-quant node
 * between a parameter and in[1] does with that gradient is its own affair.
 *
 * Work is cut into chunks of `per` batch items; a short last chunk is completed with zeros in scratch. Weight gradients
 * go to a fixed number of slots, each summing its chunks in order, and slots are added in order: the same bits for any
 * number of threads. saved: float panels, then for codes: integer panels, expanded weights, per-channel bias, scale and
 * shift. */
#include "mac.h"

#include <nibble/quant.h>

#include "layer.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/eltwise.h"
#include "kernels/fconv.h"
#include "kernels/iconv.h"

#include <math.h>
#include <string.h>

enum { MAX_SLOTS = 8, ALIGN = 64 };
static const size_t slot_budget = (size_t)64
                                  << 20; /* bytes: huge linear layers get fewer slots instead of more memory */

typedef struct {
    nb_geom geom;
    nb_fconv_plan *plan;
    int32_t per, n_slots, slots_per_thread;
    bool integer;                  /* codes times codes */
    int64_t x_item, y_item;        /* values per batch item */
    int64_t k;                     /* weights per output channel */
    size_t slot_bytes, grad_bytes; /* a slot: weight gradient in the kernel's layout, then double[oc] for the bias */
    size_t at_x, at_y, at_slots;   /* in a thread's scratch; kernels use it from 0 */
    size_t at_ipanels, at_weights, at_bias, at_scale, at_shift; /* in saved; float panels stand at 0 */
} mac_priv;

typedef struct {
    nb_node *n;
    const mac_priv *p;
    int64_t batch, n_chunks, n_slots;
} mac_job;

static size_t take(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += (bytes + ALIGN - 1) / ALIGN * ALIGN;
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

/* |sum w*(x - zero)| <= k * max|w| * max|x - zero| must fit an int32; lowering proves the same with the real weights.
 */
static nb_status check_sums(nb_graph *g, const nb_node *n, int64_t k)
{
    const nb_qparams *x = n->in[0]->out.q;
    const nb_qparams *w = n->in[1]->out.q;
    double bound = (double)k * w->hi * ((double)x->hi - x->lo);
    if (bound < 2147483648.0)
        return NB_OK;
    return nb_node_fail(
        g, n, NB_E_RANGE,
        "a sum of %lld products of %d-bit weights and %d-bit inputs may not fit 32 bits: use fewer bits, "
        "groups or a smaller kernel",
        (long long)k, w->bits, x->bits);
}

static void plan_scratch(nb_node *n, mac_priv *p)
{
    size_t at = 0;
    size_t kernel = nb_fconv_scratch_bytes(p->plan);
    if (p->integer && nb_iconv_scratch_bytes(&p->geom) > kernel)
        kernel = nb_iconv_scratch_bytes(&p->geom);
    take(&at, kernel);
    size_t x_bytes = (size_t)(p->per * p->x_item) * sizeof(float);
    size_t y_bytes = (size_t)(p->per * p->y_item) * sizeof(float);
    bool expands = nb_layer_is_codes(&n->in[0]->out) && !p->integer;
    p->at_x = take(&at, p->per > 1 || expands ? x_bytes : 0);
    p->at_y = take(&at, p->per > 1 || p->integer ? y_bytes : 0);
    p->at_slots = at;

    size_t slot = 0;
    p->grad_bytes = nb_fconv_slot_bytes(p->plan);
    take(&slot, p->grad_bytes);
    take(&slot, (size_t)p->geom.oc * sizeof(double));
    p->slot_bytes = slot;
    p->n_slots = MAX_SLOTS;
    while (p->n_slots > 1 && (size_t)p->n_slots * slot > slot_budget)
        p->n_slots /= 2;
    /* Slots are shared out over the threads' scratch: memory for one layer at a time, not for the whole step. */
    p->slots_per_thread = (p->n_slots + nb_threads() - 1) / nb_threads();
    n->scratch_bytes = at + (size_t)p->slots_per_thread * slot;
}

static void plan_saved(nb_node *n, mac_priv *p)
{
    size_t at = 0;
    size_t oc = (size_t)p->geom.oc;
    take(&at, nb_fconv_panel_bytes(p->plan));
    p->at_weights = take(&at, nb_layer_is_codes(&n->in[1]->out) ? oc * (size_t)p->k * sizeof(float) : 0);
    if (p->integer) {
        p->at_ipanels = take(&at, nb_iconv_packed_bytes(&p->geom));
        p->at_bias = take(&at, oc * sizeof(int32_t));
        p->at_scale = take(&at, oc * sizeof(float));
        p->at_shift = take(&at, oc * sizeof(float));
    }
    n->saved_bytes = at;
}

nb_status nb_mac_prepare(nb_graph *g, nb_node *n, const nb_geom *geom, int32_t per)
{
    size_t plan_bytes;
    bool integer = nb_layer_is_codes(&n->in[0]->out) && nb_layer_is_codes(&n->in[1]->out);
    if (!nb_fconv_plan_bytes(geom, &plan_bytes) || (integer && !nb_iconv_supports(geom)))
        return nb_node_fail(g, n, NB_E_SHAPE, "one image is too large to convolve");
    mac_priv *p = nb_graph_alloc(g, sizeof *p);
    void *mem = nb_graph_alloc(g, plan_bytes);
    if (!p || !mem)
        return NB_E_NOMEM;
    p->geom = *geom;
    p->plan = nb_fconv_plan_init(mem, geom);
    p->per = per;
    p->integer = integer;
    p->x_item = (int64_t)geom->h * geom->w * geom->c / per;
    p->y_item = (int64_t)geom->oh * geom->ow * geom->oc / per;
    p->k = (int64_t)geom->kh * geom->kw * (geom->c / geom->groups);
    if (p->integer)
        NB_TRY(check_sums(g, n, p->k));
    plan_scratch(n, p);
    plan_saved(n, p);
    n->priv = p;
    return NB_OK;
}

static mac_job make_job(nb_node *n)
{
    const mac_priv *p = n->priv;
    int64_t batch = n->out.shape.d[0];
    int64_t chunks = nb_chunks(batch, p->per);
    return (mac_job){
        .n = n, .p = p, .batch = batch, .n_chunks = chunks, .n_slots = chunks < p->n_slots ? chunks : p->n_slots};
}

static void *saved_at(const mac_job *j, size_t at)
{
    return (unsigned char *)j->n->saved + at;
}

static int64_t chunk_items(const mac_job *j, int64_t chunk)
{
    return nb_chunk_end(j->batch, j->p->per, chunk) - chunk * j->p->per;
}

/* The chunk's input as kernels read it: floats, or codes unless they are to be expanded. A short chunk is completed
 * with real zeros in buf, which holds a whole chunk. */
static nb_fconv_image chunk_input(const mac_job *j, int64_t chunk, bool expand, void *buf)
{
    const mac_priv *p = j->p;
    const nb_tensor *x = &j->n->in[0]->out;
    int64_t from = chunk * p->per * p->x_item;
    int64_t want = p->per * p->x_item;
    int64_t have = chunk_items(j, chunk) * p->x_item;
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

/* Weights as floats: the parameter itself, or its codes expanded. */
static const float *real_weights(const mac_job *j)
{
    const nb_tensor *w = &j->n->in[1]->out;
    if (!nb_layer_is_codes(w))
        return w->data;
    float *real = saved_at(j, j->p->at_weights);
    for (int32_t c = 0; c < j->p->geom.oc; c++)
        nb_k_dequantize(real + c * j->p->k, (const uint8_t *)w->data + c * j->p->k, j->p->k,
                        w->q->scale[w->q->n == 1 ? 0 : c], 0, w->dtype == NB_S8);
    return real;
}

/* Integer panels, and what takes a channel's sum to a real value: the zero point leaves the sum while it is still
 * exact, the bias is a whole number of accumulator units as in the integers. */
static void pack_codes(const mac_job *j)
{
    const nb_tensor *x = &j->n->in[0]->out;
    const nb_tensor *w = &j->n->in[1]->out;
    const int8_t *codes = w->data;
    const float *b = j->n->n_in > 2 ? j->n->in[2]->out.data : NULL;
    int32_t *bias = saved_at(j, j->p->at_bias);
    float *scale = saved_at(j, j->p->at_scale);
    float *shift = saved_at(j, j->p->at_shift);
    nb_iconv_pack(saved_at(j, j->p->at_ipanels), codes, &j->p->geom);
    for (int32_t c = 0; c < j->p->geom.oc; c++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < j->p->k; i++)
            sum += codes[c * j->p->k + i];
        double unit = (double)x->q->scale[0] * (double)w->q->scale[w->q->n == 1 ? 0 : c];
        bias[c] = (int32_t)(-x->q->zero[0] * sum);
        scale[c] = (float)unit;
        shift[c] = b ? (float)nb_round_to_unit((double)b[c], unit) : 0.0f;
    }
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const mac_job *j = arg;
    const mac_priv *p = j->p;
    nb_node *n = j->n;
    unsigned char *scratch = nb_node_scratch(n, thread);
    int64_t items = chunk_items(j, chunk);
    float *y = (float *)n->out.data + chunk * p->per * p->y_item;
    nb_fconv_image x = chunk_input(j, chunk, !p->integer, scratch + p->at_x);
    void *whole = scratch + p->at_y;
    if (p->integer) {
        nb_iconv_run(whole, x.data, x.dtype == NB_S8, x.zero, saved_at(j, p->at_ipanels), &p->geom, scratch);
        nb_k_acc_to_real(y, whole, saved_at(j, p->at_bias), saved_at(j, p->at_scale), saved_at(j, p->at_shift),
                         items * p->y_item / p->geom.oc, p->geom.oc);
        return;
    }
    const float *bias = n->n_in > 2 ? n->in[2]->out.data : NULL;
    bool is_short = items < p->per;
    nb_fconv_forward(p->plan, is_short ? whole : y, &x, n->saved, bias, scratch);
    if (is_short)
        memcpy(y, whole, (size_t)(items * p->y_item) * sizeof *y);
}

void nb_mac_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    mac_job j = make_job(n);
    if (j.p->integer)
        pack_codes(&j);
    else
        nb_fconv_pack(j.p->plan, n->saved, real_weights(&j));
    nb_parallel_for(j.n_chunks, forward_chunk, &j);
}

static void *slot_at(const mac_job *j, int64_t slot)
{
    const mac_priv *p = j->p;
    unsigned char *scratch = nb_node_scratch(j->n, (int32_t)(slot / p->slots_per_thread));
    return scratch + p->at_slots + (size_t)(slot % p->slots_per_thread) * p->slot_bytes;
}

static double *slot_bias(const mac_job *j, int64_t slot)
{
    return (void *)((unsigned char *)slot_at(j, slot) + j->p->slot_bytes -
                    ((size_t)j->p->geom.oc * sizeof(double) + ALIGN - 1) / ALIGN * ALIGN);
}

static void bias_sums(double *sum, const float *dy, int64_t rows, int32_t oc)
{
    for (int64_t i = 0; i < rows; i++)
        for (int32_t c = 0; c < oc; c++)
            sum[c] += (double)dy[i * oc + c];
}

static void input_grad(const mac_job *j, int64_t chunk, const float *dy, unsigned char *scratch)
{
    const mac_priv *p = j->p;
    bool fresh = nb_layer_fresh(j->n, 0);
    float *dx = j->n->in[0]->out.grad + chunk * p->per * p->x_item;
    float *whole = (void *)(scratch + p->at_x);
    int64_t items = chunk_items(j, chunk);
    if (items == p->per) {
        nb_fconv_input_grad(p->plan, dx, !fresh, dy, j->n->saved, scratch);
        return;
    }
    nb_fconv_input_grad(p->plan, whole, false, dy, j->n->saved, scratch);
    nb_layer_pass_grad(dx, whole, items * p->x_item, fresh);
}

/* One slot: its chunks in order, all three gradients of a chunk while its dy is in cache. */
static void backward_slot(void *arg, int64_t slot, int32_t thread)
{
    const mac_job *j = arg;
    const mac_priv *p = j->p;
    const nb_node *n = j->n;
    unsigned char *scratch = nb_node_scratch(n, thread);
    void *grad = slot_at(j, slot);
    double *sums = slot_bias(j, slot);
    bool need_x = n->in[0]->out.grad, need_w = n->in[1]->out.grad, need_b = n->n_in > 2 && n->in[2]->out.grad;
    memset(grad, 0, need_w ? p->grad_bytes : 0);
    memset(sums, 0, (size_t)p->geom.oc * sizeof *sums);
    for (int64_t chunk = slot * j->n_chunks / j->n_slots; chunk < (slot + 1) * j->n_chunks / j->n_slots; chunk++) {
        int64_t have = chunk_items(j, chunk) * p->y_item;
        int64_t want = p->per * p->y_item;
        const float *dy = n->out.grad + chunk * want;
        if (need_b)
            bias_sums(sums, dy, have / p->geom.oc, p->geom.oc);
        if (have < want) {
            float *whole = (void *)(scratch + p->at_y);
            memcpy(whole, dy, (size_t)have * sizeof *dy);
            memset(whole + have, 0, (size_t)(want - have) * sizeof *dy);
            dy = whole;
        }
        if (need_w) {
            nb_fconv_image x = chunk_input(j, chunk, false, scratch + p->at_x);
            nb_fconv_weight_grad(p->plan, grad, &x, dy, scratch);
        }
        if (need_x)
            input_grad(j, chunk, dy, scratch);
    }
}

static void finish_weights(const mac_job *j)
{
    nb_tensor *w = &j->n->in[1]->out;
    const nb_tensor *x = &j->n->in[0]->out;
    void *slots[MAX_SLOTS];
    for (int64_t s = 0; s < j->n_slots; s++)
        slots[s] = slot_at(j, s);
    if (nb_layer_fresh(j->n, 1))
        memset(w->grad, 0, (size_t)nb_count(w) * sizeof(float));
    nb_fconv_weight_grad_finish(j->p->plan, w->grad, nb_layer_is_codes(x) ? x->q->scale[0] : 1.0f, slots,
                                (int32_t)j->n_slots);
}

static void finish_bias(const mac_job *j)
{
    float *db = j->n->in[2]->out.grad;
    bool fresh = nb_layer_fresh(j->n, 2);
    for (int32_t c = 0; c < j->p->geom.oc; c++) {
        double sum = fresh ? 0.0 : (double)db[c];
        for (int64_t s = 0; s < j->n_slots; s++)
            sum += slot_bias(j, s)[c];
        db[c] = (float)sum;
    }
}

void nb_mac_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    mac_job j = make_job(n);
    if (j.p->integer && n->in[0]->out.grad)
        nb_fconv_pack(j.p->plan, n->saved, real_weights(&j));
    nb_parallel_for(j.n_slots, backward_slot, &j);
    if (n->in[1]->out.grad)
        finish_weights(&j);
    if (n->n_in > 2 && n->in[2]->out.grad)
        finish_bias(&j);
}
