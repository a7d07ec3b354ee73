/* hard.c - see hard.h. The choice costs a forward pass in evaluation mode, which changes nothing; ties go to the first image, so
 * it is the same for any number of threads. Of ranks, each has all images of a batch, looks at its share of them, and takes its
 * share of those that were chosen. */
#include "train/hard.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "core/score.h"
#include <nibble/extend/op.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double loss;
    int32_t at, right;
} ranked;

struct nb_hard {
    size_t image_bytes;
    int32_t n, classes;
    ranked *rank; /* [batch] */
    double *out;  /* [classes] */
    bool *chosen; /* [batch] */
    uint8_t *pixels;
    int32_t *labels, *other;
    float *mixed;
    nb_batch part;
};

static bool alloc_all(nb_ctx *ctx, nb_hard *h, size_t batch)
{
    h->rank = nb_alloc(ctx, batch * sizeof *h->rank);
    h->out = nb_alloc(ctx, (size_t)h->classes * sizeof *h->out);
    h->chosen = nb_alloc(ctx, batch * sizeof *h->chosen);
    h->pixels = nb_alloc(ctx, batch * h->image_bytes);
    h->labels = nb_alloc(ctx, batch * sizeof *h->labels);
    h->other = nb_alloc(ctx, batch * sizeof *h->other);
    h->mixed = nb_alloc(ctx, batch * sizeof *h->mixed);
    return h->rank && h->out && h->chosen && h->pixels && h->labels && h->other && h->mixed;
}

nb_status nb_hard_create(nb_ctx *ctx, const nb_train_job *job, nb_hard **out)
{
    const nb_train_keys *k = &job->plan->keys;
    const nb_dsinfo *d = nb_data_info(job->data);
    *out = NULL;
    if (k->hard >= 1)
        return NB_OK;
    nb_hard *h = nb_alloc(ctx, sizeof *h);
    if (!h)
        return NB_E_NOMEM;
    *h = (nb_hard){.image_bytes = (size_t)d->h * (size_t)d->w * (size_t)d->c, .classes = d->classes};
    h->n = (int32_t)(k->hard * (float)k->batch + 0.5f);
    h->n = h->n < 1 ? 1 : h->n;
    if (!alloc_all(ctx, h, (size_t)k->batch)) {
        nb_hard_free(ctx, h);
        return NB_E_NOMEM;
    }
    *out = h;
    return NB_OK;
}

void nb_hard_free(nb_ctx *ctx, nb_hard *h)
{
    if (!h)
        return;
    nb_free(ctx, h->rank);
    nb_free(ctx, h->out);
    nb_free(ctx, h->chosen);
    nb_free(ctx, h->pixels);
    nb_free(ctx, h->labels);
    nb_free(ctx, h->other);
    nb_free(ctx, h->mixed);
    nb_free(ctx, h);
}

/* What is no number is hardest: the step then says so. */
static int harder_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    const double u = isnan(x->loss) ? INFINITY : x->loss, v = isnan(y->loss) ? INFINITY : y->loss;
    return u > v ? -1 : u < v ? 1 : x->at < y->at ? -1 : 1;
}

/* In the order of the batch. */
static nb_hard_seen sum_of(const ranked *rank, int32_t n)
{
    nb_hard_seen s = {.images = n};
    for (int32_t i = 0; i < n; i++) {
        s.loss += rank[i].loss / n;
        s.correct += rank[i].right;
    }
    return isfinite(s.loss) ? s : (nb_hard_seen){0};
}

static nb_hard_seen choose(nb_hard *h, nb_graph *g, const nb_batch *b)
{
    nb_graph_set_batch(g, b->n);
    const nb_cut *cut = &g->cut;
    nb_forward(g, &(nb_run){.pixels = b->pixels + (size_t)cut->first * h->image_bytes});
    const float *logits = nb_graph_logits(g);
    for (int32_t i = 0; i < cut->images; i++) {
        const int32_t at = cut->first + i;
        for (int32_t c = 0; c < h->classes; c++)
            h->out[c] = (double)logits[(int64_t)i * h->classes + c];
        const nb_score s = nb_score_of(NB_TASK_CLASSES, h->out, NULL, h->classes, b->labels[at]);
        h->rank[at] = (ranked){s.loss, at, s.right};
    }
    nb_gather_images(cut, h->rank, sizeof *h->rank);
    const nb_hard_seen seen = sum_of(h->rank, b->n);
    qsort(h->rank, (size_t)b->n, sizeof *h->rank, harder_first);
    return seen;
}

const nb_batch *nb_hard_pick(nb_hard *h, nb_graph *g, const nb_batch *b, bool ready, nb_hard_seen *seen)
{
    int32_t n = 0;
    memset(h->chosen, 0, (size_t)b->n * sizeof *h->chosen);
    *seen = ready ? choose(h, g, b) : (nb_hard_seen){0};
    for (int32_t i = 0; i < h->n; i++)
        h->chosen[ready ? h->rank[i].at : i] = true;
    for (int32_t i = 0; i < b->n; i++) {
        if (!h->chosen[i])
            continue;
        memcpy(h->pixels + (size_t)n * h->image_bytes, b->pixels + (size_t)i * h->image_bytes, h->image_bytes);
        h->labels[n] = b->labels[i];
        h->other[n] = b->other ? b->other[i] : 0;
        h->mixed[n++] = b->other ? b->mixed[i] : 0;
    }
    nb_graph_set_batch(g, n);
    const int32_t first = g->cut.first;
    h->part = *b;
    h->part.pixels = h->pixels + (size_t)first * h->image_bytes;
    h->part.labels = h->labels + first;
    h->part.other = b->other ? h->other + first : NULL;
    h->part.mixed = b->other ? h->mixed + first : NULL;
    h->part.n = g->cut.images;
    h->part.whole = n;
    return &h->part;
}
