/* step_reestimate_bn.c - batch-norm statistics over a sample of training images, with rounding in place.
 *
 * Rounded weights and codes shift the mean and variance of what a batch norm reads; its statistics are of the float
 * network. Taking them anew gives every channel the mean and variance that gamma and beta were trained for (Sun et al.
 * 2019, arXiv:1906.11549; before evaluation in Nagel et al. 2022, arXiv:2203.11086). Where the work is done:
 * src/train/reestimate.c. Ranges were found with the old statistics, so they are found again on the same images. */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/numtext.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    int32_t images;
    bool ranges;
} reestimate_attr;

extern const nb_post_step nb_post_step_reestimate_bn;

static const nb_key reestimate_keys[] = {
    NB_KEY_INT(reestimate_attr, images, "0", 0, INT32_MAX,
               "of the sample that ranges are found on, the first so many; 0 = all of it"),
    NB_KEY_BOOL(reestimate_attr, ranges, "yes", "then find ranges again, which bound what has moved"),
    {0}};

typedef struct {
    const nb_post_input *in;
    int32_t norms;
    double moved;
} work;

static void say(void *ud, const char *layer, double moved)
{
    work *k = ud;
    k->norms++;
    k->moved = fmax(k->moved, moved);
    nb_post_say(k->in, &nb_post_step_reestimate_bn,
                &(nb_post_row){.layer = layer, .text = "statistics of what it reads", .done = true, .before = moved});
}

static nb_status reestimate_run(const nb_post_input *in, const void *attr, char *summary)
{
    const reestimate_attr *a = attr;
    work k = {.in = in};
    const nb_reestimate_report report = {say, &k};
    const int32_t n = a->images ? a->images : in->n;
    if (n > in->n || n < 1)
        return nb_fail(in->graph->ctx, NB_E_CONFIG,
                       "quant.steps: reestimate_bn: images: %d: there are %d to look at; in `nibble quantize` --images "
                       "says how many",
                       n, in->n);
    NB_TRY(nb_reestimate_bn(in->graph, in->data, in->indices, n, &report));
    if (a->ranges)
        NB_TRY((in->shared ? nb_calibrate_shared : nb_calibrate)(in->graph, in->data, in->indices, in->n));
    snprintf(summary, NB_POST_SUMMARY, "%d batch norm%s over %d image%s%s; statistics were off by up to %.3g sigma",
             k.norms, nb_plural(k.norms), n, nb_plural(n), a->ranges ? ", then ranges again" : "", k.moved);
    return NB_OK;
}

static const char *reestimate_pointless(const nb_graph *g)
{
    return nb_graph_norms(g) ? NULL
                             : "the quantized network has no batch norm (batchnorm: fold puts them into the weights; "
                               "keep and fold_corrected leave them)";
}

static bool reestimate_looks(const void *attr)
{
    (void)attr;
    return true;
}

const nb_post_step nb_post_step_reestimate_bn = {
    .name = "reestimate_bn",
    .help = "takes batch-norm statistics anew over training images, with the network's quantizers at work",
    .keys = reestimate_keys,
    .attr_size = sizeof(reestimate_attr),
    .stage = NB_POST_QUANTIZED,
    .measure = "sigmas off",
    .run = reestimate_run,
    .looks = reestimate_looks,
    .pointless = reestimate_pointless,
    .examples = (const char *const[]){"reestimate_bn", "reestimate_bn: {images: 500, ranges: no}", NULL},
};
