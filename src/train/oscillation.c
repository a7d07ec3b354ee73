/* oscillation.c - see oscillation.h. Columns of the CSV:
 *   phase, epoch   as in metrics.csv, 1-based
 *   weights        name of the leaf
 *   bits, count    width of a code; how many weights
 *   oscillating    share of them that does
 *   frozen         share of them that is
 *
 * Codes are those of the step's forward pass, so they are taken before the optimizer moves the weights. A frozen weight
 * is set back to scale * code after every step, with the scale of that step's codes: when the scale moves, the code stays.
 * Work is cut by channels of scales; every weight is on its own, so nothing depends on the number of threads. */
#include "train/oscillation.h"

#include "base/check.h"
#include "base/parallel.h"
#include "quant/fakequant.h"
#include "train/epoch_log.h"

#include <math.h>
#include <string.h>

#define HEAD "phase,epoch,weights,bits,count,oscillating,frozen\n"

enum { GRAIN = 8192, FROZEN = 2 /* a value of `turn`, which else is -1, 0 or 1 */ };

static const double PI = 3.14159265358979323846;

const nb_key nb_oscillation_table[] = {
    NB_KEY_FLOAT(nb_oscillation_keys, momentum, "0.01", 1e-5, 1,
                 "share of the newest step in how often a weight turns back, and in the mean of its code"),
    NB_KEY_FLOAT(nb_oscillation_keys, freeze, "0", 0, 1,
                 "freeze weights that turn back in more than this share of steps; 0 = none"),
    NB_KEY_FLOAT(nb_oscillation_keys, freeze_end, "0.01", 0, 1, "what `freeze` falls to, by half a cosine"),
    NB_KEY_FLOAT(nb_oscillation_keys, dampen, "0", 0, 1e6,
                 "factor that the loss |weight - value of its code|^2 rises to, by half a cosine; 0 = none"),
    NB_KEY_FLOAT(nb_oscillation_keys, begin, "0.25", 0, 0.999,
                 "share of the phase before which weights are only watched"),
    NB_KEY_INT(nb_oscillation_keys, bits, "4", 1, 8, "only weights of at most so many bits"),
    {0},
};

typedef struct {
    const nb_node *fq;
    const nb_slot *slot;
    float *share, *mean, *code, *turn; /* [n] */
    int8_t *now;                       /* [n]: codes of this step */
    int64_t n;
} watched;

typedef struct {
    int32_t tensor, first, end; /* channels of scales */
} job;

struct nb_oscillation {
    const nb_oscillation_keys *keys;
    watched *tensor;
    job *job;
    int32_t n_tensors, n_jobs;
    float threshold, dampen; /* of the step under way; 0: none */
    bool first;              /* step of the phase: nothing to compare with */
};

nb_status nb_oscillation_bind(nb_ctx *ctx, nb_phase *p)
{
    const nb_conf *c = p->keys.oscillation;
    nb_oscillation_keys *k = &p->oscillation;
    char section[96];
    p->watches = c != NULL;
    if (!c)
        return NB_OK;
    snprintf(section, sizeof section, "%s.oscillation", p->where);
    if (!nb_conf_is_map(c) && !nb_conf_is_empty(c))
        return nb_conf_fail(ctx, c, section, NB_E_CONFIG, "must be a map like {freeze: 0.1}, or {} to watch only");
    NB_TRY(nb_conf_bind(ctx, c, section, &(nb_binding){nb_oscillation_table, k}, 1));
    if (!p->keys.quant)
        return nb_conf_fail(ctx, c, section, NB_E_CONFIG, "this phase has no codes: it needs `quant: on`");
    if (k->freeze > 0 && k->freeze_end > k->freeze)
        return nb_conf_fail(ctx, c, section, NB_E_CONFIG, "freeze_end: %g: must be at most freeze, %g",
                            (double)k->freeze_end, (double)k->freeze);
    if (k->freeze > 0 && k->freeze_end < k->momentum)
        return nb_conf_fail(
            ctx, c, section, NB_E_CONFIG,
            "freeze_end: %g: must be at least momentum, %g, or a weight is frozen when it turns back once",
            (double)k->freeze_end, (double)k->momentum);
    return NB_OK;
}

static bool is_watched(const nb_phase *p, const nb_node *n)
{
    return nb_is_quantizer(n) && nb_fakequant_of_weights(n) &&
           ((const nb_fakequant_attr *)n->attr)->bits <= p->oscillation.bits;
}

/* Why a node's weights have no codes of their own that could be held, or NULL. */
static const char *refusal(const nb_node *fq)
{
    const nb_fakequant_attr *a = fq->attr;
    if (a->simulated)
        return "the network is simulated in floats";
    if (!(fq->in[0]->flags & NB_NODE_PARAM))
        return "they are made anew in every step (batchnorm: fold_corrected; keep or fold would do)";
    return a->learning->warp ? "they are codes of what `learn` makes of them (lsq or none would do)" : NULL;
}

nb_status nb_oscillation_check(nb_ctx *ctx, const nb_train_plan *plan, int32_t phase, const nb_graph *g)
{
    const nb_phase *p = &plan->phase[phase];
    int32_t n = 0;
    char where[64];
    if (!p->watches)
        return NB_OK;
    snprintf(where, sizeof where, "%s.oscillation", p->where);
    for (int32_t i = 0; i < g->n; i++) {
        if (!is_watched(p, g->node[i]))
            continue;
        n++;
        if (refusal(g->node[i]))
            return nb_conf_fail(ctx, p->keys.oscillation, where, NB_E_CONFIG, "weights of %s cannot be watched: %s",
                                g->node[i]->in[0]->name, refusal(g->node[i]));
    }
    return n ? NB_OK
             : nb_conf_fail(ctx, p->keys.oscillation, where, NB_E_CONFIG,
                            "no layer has weights of at most %d bits: raise `bits`", p->oscillation.bits);
}

static nb_status add_tensor(nb_optim *o, nb_oscillation *s, const nb_node *fq)
{
    int32_t slot = 0;
    while (nb_optim_slot(o, slot)->leaf != fq->in[0])
        slot++; /* the leaf is a parameter: it has one */
    watched *w = &s->tensor[s->n_tensors];
    *w = (watched){.fq = fq, .slot = nb_optim_slot(o, slot), .n = nb_count(&fq->out)};
    w->now = nb_optim_alloc(o, (size_t)w->n);
    if (!w->now)
        return NB_E_NOMEM;
    NB_TRY(nb_optim_keep(o, slot, "turns", true, &w->share));
    NB_TRY(nb_optim_keep(o, slot, "mean", false, &w->mean));
    NB_TRY(nb_optim_keep(o, slot, "code", false, &w->code));
    NB_TRY(nb_optim_keep(o, slot, "turn", false, &w->turn));
    const int32_t channels = nb_fakequant_channels(fq), each = (int32_t)(1 + GRAIN / (w->n / channels));
    for (int32_t c = 0; c < channels; c += each)
        s->job[s->n_jobs++] = (job){s->n_tensors, c, c + each < channels ? c + each : channels};
    s->n_tensors++;
    return NB_OK;
}

nb_status nb_oscillation_create(nb_optim *o, const nb_phase *p, nb_graph *g, nb_oscillation **out)
{
    size_t tensors = 0, jobs = 0;
    *out = NULL;
    for (int32_t i = 0; p->watches && i < g->n; i++)
        if (is_watched(p, g->node[i])) {
            tensors++;
            jobs += (size_t)nb_fakequant_channels(g->node[i]);
        }
    if (!tensors)
        return NB_OK;
    nb_oscillation *s = nb_optim_alloc(o, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    *s = (nb_oscillation){.keys = &p->oscillation,
                          .tensor = nb_optim_alloc(o, tensors * sizeof(watched)),
                          .job = nb_optim_alloc(o, jobs * sizeof(job))};
    if (!s->tensor || !s->job)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++)
        if (is_watched(p, g->node[i]) && !refusal(g->node[i]))
            NB_TRY(add_tensor(o, s, g->node[i]));
    *out = s;
    return NB_OK;
}

/* The code next to v: of a table of levels, or of all integers of the grid. */
static float nearest_code(const nb_qparams *q, int32_t c, float v)
{
    const int8_t *level = q->level ? q->level + (q->n_tables > 1 ? (int64_t)c * q->n_levels : 0) : NULL;
    const float lo = (float)(q->lo - q->zero[c]), hi = (float)(q->hi - q->zero[c]);
    if (!level)
        return fminf(fmaxf(nearbyintf(v), lo), hi);
    int32_t best = 0;
    for (int32_t i = 1; i < q->n_levels; i++)
        if (fabsf((float)level[i] - v) < fabsf((float)level[best] - v))
            best = i;
    return (float)level[best];
}

static void follow(const nb_oscillation *s, watched *w, int32_t c, int64_t i)
{
    const float m = s->keys->momentum, now = (float)w->now[i];
    if (s->first) {
        w->code[i] = w->mean[i] = now;
        return;
    }
    const float d = now > w->code[i] ? 1.0f : now < w->code[i] ? -1.0f : 0.0f;
    const float turned = d * w->turn[i] < 0 ? 1.0f : 0.0f;
    w->share[i] = m * turned + (1.0f - m) * w->share[i];
    w->mean[i] = m * now + (1.0f - m) * w->mean[i];
    w->code[i] = now;
    if (d != 0)
        w->turn[i] = d;
    if (s->threshold > 0 && w->share[i] > s->threshold) {
        w->turn[i] = FROZEN;
        w->share[i] = 0;
        w->code[i] = nearest_code(w->fq->out.q, c, w->mean[i]);
    }
}

/* d/dw of dampen * (w - value of its code)^2, summed over output channels and averaged over the kernel, as the paper's
 * authors do; beyond the ends of the grid there is none. */
static float pull(const nb_oscillation *s, const watched *w, int32_t c, int64_t i)
{
    const nb_qparams *q = w->fq->out.q;
    const float scale = q->scale[c], v = ((const float *)w->slot->leaf->out.data)[i];
    const float lo = scale * (float)(q->lo - q->zero[c]), hi = scale * (float)(q->hi - q->zero[c]);
    const float kernel = (float)(w->n / w->fq->out.shape.d[0]);
    return v < lo || v > hi ? 0.0f : 2.0f * s->dampen / kernel * (v - scale * (float)w->now[i]);
}

static void watch_job(void *arg, int64_t k, int32_t thread)
{
    (void)thread;
    const nb_oscillation *s = arg;
    const job *j = &s->job[k];
    watched *w = &s->tensor[j->tensor];
    const int64_t per = w->n / nb_fakequant_channels(w->fq);
    float *g = w->slot->leaf->out.grad;
    nb_fakequant_codes(w->fq, w->now, j->first, j->end);
    for (int32_t c = j->first; c < j->end; c++)
        for (int64_t i = c * per; i < (c + 1) * per; i++) {
            if (w->turn[i] != FROZEN)
                follow(s, w, c, i);
            if (w->turn[i] == FROZEN)
                g[i] = 0;
            else if (s->dampen > 0)
                g[i] += pull(s, w, c, i);
        }
}

void nb_oscillation_watch(nb_oscillation *s, int64_t t, int64_t n)
{
    const nb_oscillation_keys *k = s->keys;
    const double begin = (double)k->begin, at = ((double)t / (double)n - begin) / (1 - begin);
    const double left = at >= 0 ? 0.5 * (1 + cos(PI * at)) : 1; /* from 1 to 0 */
    s->threshold = at >= 0 && k->freeze > 0 ? (float)(k->freeze_end + (k->freeze - k->freeze_end) * left) : 0;
    s->dampen = at >= 0 ? (float)(k->dampen * (1 - left)) : 0;
    s->first = t == 0;
    nb_parallel_for(s->n_jobs, watch_job, s);
}

static void hold_job(void *arg, int64_t k, int32_t thread)
{
    (void)thread;
    const nb_oscillation *s = arg;
    const job *j = &s->job[k];
    const watched *w = &s->tensor[j->tensor];
    const int64_t per = w->n / nb_fakequant_channels(w->fq);
    float *v = w->slot->leaf->out.data, *average = w->slot->average;
    for (int32_t c = j->first; c < j->end; c++)
        for (int64_t i = c * per; i < (c + 1) * per; i++)
            if (w->turn[i] == FROZEN) {
                v[i] = w->fq->out.q->scale[c] * w->code[i];
                if (average)
                    average[i] = v[i];
            }
}

void nb_oscillation_hold(nb_oscillation *s)
{
    if (s->keys->freeze > 0)
        nb_parallel_for(s->n_jobs, hold_job, s);
}

static void count(const watched *w, int64_t *oscillating, int64_t *frozen)
{
    for (int64_t i = 0; i < w->n; i++) {
        *oscillating += w->share[i] > NB_OSCILLATES;
        *frozen += w->turn[i] == FROZEN;
    }
}

void nb_oscillation_shares(const nb_oscillation *s, double *oscillating, double *frozen)
{
    int64_t n = 0, turning = 0, held = 0;
    for (int32_t i = 0; i < s->n_tensors; i++) {
        count(&s->tensor[i], &turning, &held);
        n += s->tensor[i].n;
    }
    *oscillating = (double)turning / (double)n;
    *frozen = (double)held / (double)n;
}

typedef struct {
    const nb_oscillation *s;
    int32_t phase, epoch;
} after;

static nb_status add_epoch(void *ud, nb_text *t)
{
    const after *a = ud;
    for (int32_t i = 0; i < a->s->n_tensors; i++) {
        const watched *w = &a->s->tensor[i];
        int64_t turning = 0, held = 0;
        count(w, &turning, &held);
        nb_epoch_log_line(t, a->phase, a->epoch, w->slot->leaf->name);
        nb_text_printf(t, ",%d,%lld,%.9g,%.9g\n", w->fq->out.q->bits, (long long)w->n, (double)turning / (double)w->n,
                       (double)held / (double)w->n);
    }
    return NB_OK;
}

nb_status nb_oscillation_log(nb_ctx *ctx, const char *path, const nb_oscillation *s, int32_t phase, int32_t epoch)
{
    after a = {s, phase, epoch};
    return nb_epoch_log_write(ctx, &(nb_epoch_log){path, HEAD, phase, epoch, s ? add_epoch : NULL, &a});
}
