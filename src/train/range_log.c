/* range_log.c - see range_log.h. A line of the CSV:
 *   phase, epoch   as in metrics.csv, 1-based
 *   quantizer      name of the fake-quant node, as in the checkpoint
 *   of             weights or values
 *   bits, scales   width of a code; how many scales the quantizer has
 *   lo, hi         the reals of the grid's first and last code, the lowest and highest of all scales
 *   scale_min, scale_max */
#include "train/range_log.h"

#include "base/check.h"
#include "base/files.h"
#include "base/textbuf.h"
#include "quant/fakequant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "phase,epoch,quantizer,of,bits,scales,lo,hi,scale_min,scale_max\n"

enum { MOST_BYTES = 1 << 28 };

/* The lines of text up to that epoch. */
static void keep_lines(nb_text *t, const char *text, int32_t phase, int32_t epoch)
{
    const size_t head = sizeof HEAD - 1;
    const char *at = strncmp(text, HEAD, head) == 0 ? text + head : "", *end;
    for (; (end = strchr(at, '\n')); at = end + 1) {
        char *comma;
        const long p = strtol(at, &comma, 10), e = *comma == ',' ? strtol(comma + 1, NULL, 10) : 0;
        if (p > 0 && e > 0 && (p <= phase || (p == phase + 1 && e <= epoch)))
            nb_text_bytes(t, at, (size_t)(end + 1 - at));
    }
}

/* In quotes where it must be (RFC 4180). */
static void add_name(nb_text *t, const char *name)
{
    if (!name[strcspn(name, ",\"\r\n")]) {
        nb_text_add(t, name);
        return;
    }
    nb_text_add(t, "\"");
    for (; *name; name++)
        nb_text_bytes(t, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
    nb_text_add(t, "\"");
}

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
    add_name(t, fq->name);
    nb_text_printf(t, ",%s,%d,%d,%.9g,%.9g,%.9g,%.9g\n", nb_fakequant_of_weights(fq) ? "weights" : "values", q->bits,
                   q->n, lo, hi, least, most);
}

static nb_status add_quantizer(nb_ctx *ctx, nb_text *t, const nb_node *fq, int32_t phase, int32_t epoch)
{
    const size_t n = (size_t)nb_fakequant_channels(fq);
    nb_qparams q = {.scale = nb_alloc(ctx, n * sizeof(float)), .zero = nb_alloc(ctx, n * sizeof(int32_t))};
    nb_status st = q.scale && q.zero ? nb_fakequant_snapshot(ctx, fq, NULL, &q, NULL) : NB_E_NOMEM;
    if (st == NB_OK) {
        nb_text_printf(t, "%d,%d,", phase + 1, epoch + 1);
        add_line(t, fq, &q);
    }
    nb_free(ctx, q.scale);
    nb_free(ctx, q.zero);
    return st;
}

static nb_status add_epoch(nb_ctx *ctx, nb_text *t, const nb_graph *g, int32_t phase, int32_t epoch)
{
    for (int32_t i = 0; i < g->n; i++)
        if (nb_is_quantizer(g->node[i]) && nb_fakequant_seen(g->node[i]))
            NB_TRY(add_quantizer(ctx, t, g->node[i], phase, epoch));
    return t->st;
}

nb_status nb_range_log_write(nb_ctx *ctx, const char *path, const nb_graph *g, int32_t phase, int32_t epoch)
{
    uint8_t *old = NULL;
    size_t len;
    nb_text t;
    if (nb_file_exists(path))
        NB_TRY(nb_file_read(ctx, path, MOST_BYTES, &old, &len));
    else if (!g->quantized)
        return NB_OK;
    nb_text_init(ctx, &t);
    nb_text_add(&t, HEAD);
    keep_lines(&t, old ? (const char *)old : "", phase, epoch);
    nb_status st = add_epoch(ctx, &t, g, phase, epoch);
    if (st == NB_OK && (!old || len != t.len || memcmp(old, t.s, len) != 0))
        st = nb_file_write(ctx, path, t.s, t.len);
    nb_text_free(&t);
    nb_free(ctx, old);
    return st;
}
