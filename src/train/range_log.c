/* range_log.c - see range_log.h. A line of the CSV:
 *   phase, epoch   as in metrics.csv, 1-based
 *   quantizer      name of the fake-quant node, as in the checkpoint
 *   of             weights or values
 *   bits, scales   width of a code; how many scales the quantizer has
 *   lo, hi         the reals of the grid's first and last code, the lowest and highest of all scales
 *   scale_min, scale_max */
#include "train/range_log.h"

#include "base/check.h"
#include "quant/fakequant.h"
#include "train/epoch_log.h"

#include <math.h>

#define HEAD "phase,epoch,quantizer,of,bits,scales,lo,hi,scale_min,scale_max\n"

typedef struct {
    nb_ctx *ctx;
    const nb_graph *g;
    int32_t phase, epoch;
} after;

static void add_line(nb_text *t, const nb_node *fq, const nb_qparams *q)
{
    double lo = INFINITY, hi = -INFINITY, least = INFINITY, most = 0;
    for (int32_t i = 0; i < q->n; i++) {
        const double scale = (double)q->scale[i];
        lo = fmin(lo, scale * (q->lo - q->zero[i]));
        hi = fmax(hi, scale * (q->hi - q->zero[i]));
        least = fmin(least, scale);
        most = fmax(most, scale);
    }
    nb_text_printf(t, ",%s,%d,%d,%.9g,%.9g,%.9g,%.9g\n", nb_fakequant_of_weights(fq) ? "weights" : "values", q->bits,
                   q->n, lo, hi, least, most);
}

static nb_status add_quantizer(const after *a, nb_text *t, const nb_node *fq)
{
    const size_t n = (size_t)nb_fakequant_channels(fq);
    nb_qparams q = {.scale = nb_alloc(a->ctx, n * sizeof(float)), .zero = nb_alloc(a->ctx, n * sizeof(int32_t))};
    nb_status st = q.scale && q.zero ? nb_fakequant_snapshot(a->ctx, fq, NULL, &q, NULL) : NB_E_NOMEM;
    if (st == NB_OK) {
        nb_epoch_log_line(t, a->phase, a->epoch, fq->name);
        add_line(t, fq, &q);
    }
    nb_free(a->ctx, q.scale);
    nb_free(a->ctx, q.zero);
    return st;
}

static nb_status add_epoch(void *ud, nb_text *t)
{
    const after *a = ud;
    for (int32_t i = 0; i < a->g->n; i++)
        if (nb_is_quantizer(a->g->node[i]) && nb_fakequant_seen(a->g->node[i]))
            NB_TRY(add_quantizer(a, t, a->g->node[i]));
    return NB_OK;
}

nb_status nb_range_log_write(nb_ctx *ctx, const char *path, const nb_graph *g, int32_t phase, int32_t epoch)
{
    after a = {ctx, g, phase, epoch};
    return nb_epoch_log_write(ctx, &(nb_epoch_log){path, HEAD, phase, epoch, g->quantized ? add_epoch : NULL, &a});
}
