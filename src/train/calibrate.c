/* calibrate.c - post-training quantization: the ranges of a quantized graph from a sample of images.
 *
 * A pass is a training step's forward pass with batch norm standing still: every observer sees what it would see in
 * training, codes of the layers before it included. Batches are of even size, since averages over batches count each
 * the same. */
#include <nibble/extend/op.h>
#include <nibble/train.h>

#include "train/reestimate.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "core/score.h"
#include "quant/fakequant.h"

#include <math.h>
#include <string.h>

static nb_status run_batch(nb_graph *g, int32_t size, const nb_run *r)
{
    nb_graph_set_batch(g, size);
    nb_forward(g, r);
    if (isfinite(nb_graph_loss(g)))
        return NB_OK;
    return nb_fail(g->ctx, NB_E_DIVERGED,
                   "the network's loss on the images to calibrate with is not a number: its weights are unusable");
}

/* The darkest and the brightest pixels, one image after the other: what observers of weights and of pixels need. */
static nb_status run_without_data(nb_graph *g, uint8_t *pixels, int32_t *labels)
{
    const nb_node *needs = nb_quant_needs_data(g);
    if (needs)
        return nb_fail(
            g->ctx, NB_E_CONFIG,
            "%s: its range is %s, which needs images to calibrate with; without any the activations' range must "
            "be bn or fixed",
            needs->in[0]->name, ((const nb_fakequant_attr *)needs->attr)->range->name);
    labels[0] = 0;
    for (int32_t b = 0; b < 2; b++) {
        memset(pixels, b ? 255 : 0, (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c);
        NB_TRY(run_batch(
            g, 1,
            &(nb_run){.train = true, .freeze_bn = true, .calibration = b + 1, .pixels = pixels, .labels = labels}));
    }
    return NB_OK;
}

static nb_status run_batches(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, uint8_t *pixels,
                             int32_t *labels)
{
    const nb_dsinfo *d = nb_data_info(data);
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    const int32_t batches = (n + g->max_batch - 1) / g->max_batch;
    for (int32_t b = 0, at = 0, size; b < batches; b++, at += size) {
        size = (n - at) / (batches - b);
        const nb_cut cut = nb_cut_of(size, g->shared);
        for (int32_t i = 0; i < cut.images; i++) {
            const int32_t k = at + cut.first + i;
            nb_data_get(data, indices ? indices[k] : k, pixels + (size_t)i * image, &labels[i]);
        }
        NB_TRY(nb_data_check(g->ctx, data));
        NB_TRY(run_batch(
            g, size,
            &(nb_run){.train = true, .freeze_bn = true, .calibration = b + 1, .pixels = pixels, .labels = labels}));
    }
    return NB_OK;
}

nb_status nb_check_images(const nb_graph *g, const nb_data *data)
{
    return nb_score_check(g->ctx, &g->info, nb_data_info(data));
}

nb_status nb_calibrate(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n)
{
    const nb_dsinfo *d = n ? nb_data_info(data) : &g->info;
    NB_ASSERT(g->frozen && g->quantized && n >= 0 && (!n || indices || n <= d->count));
    if (n)
        NB_TRY(nb_check_images(g, data));
    uint8_t *pixels = nb_alloc(g->ctx, (size_t)g->max_batch * (size_t)d->h * (size_t)d->w * (size_t)d->c);
    int32_t *labels = nb_alloc(g->ctx, (size_t)g->max_batch * sizeof *labels);
    nb_status st = NB_E_NOMEM;
    if (pixels && labels)
        st = n ? run_batches(g, data, indices, n, pixels, labels) : run_without_data(g, pixels, labels);
    nb_graph_set_batch(g, g->max_batch);
    nb_free(g->ctx, labels);
    nb_free(g->ctx, pixels);
    return st;
}

nb_status nb_calibrate_shared(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n)
{
    const bool was = g->shared;
    g->shared = n > 0; /* its tensors have room for all images of a batch, and so for a part of them */
    const nb_status st = nb_calibrate(g, data, indices, n);
    g->shared = was;
    nb_graph_set_batch(g, g->max_batch);
    return st;
}
