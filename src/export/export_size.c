/* export_size.c - flash and RAM of an experiment's exported C before it is trained.
 *
 * Nearly every figure follows from shapes, bits and grids, so the network with its initial values has them already: its
 * ranges are set on noise, it is lowered and measured like any other. What trained values can change is how weights on a
 * grid that is not symmetric are stored (lower/pack.h), which is a byte a channel or so: the result is then not settled. */
#include <nibble/export.h>
#include <nibble/lower.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/rng.h"

enum { IMAGES = 2 };

/* Observers see one batch of noise, as in the first batch of a calibration. */
static nb_status observe_noise(nb_ctx *ctx, nb_graph *g)
{
    const nb_dsinfo *d = nb_graph_about(g).info;
    const int64_t n = (int64_t)IMAGES * d->h * d->w * d->c;
    const int32_t labels[IMAGES] = {0};
    uint8_t *pixels = nb_alloc(ctx, (size_t)n);
    if (!pixels)
        return NB_E_NOMEM;
    nb_rng noise = nb_rng_make(1, 0);
    for (int64_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)nb_rng_below(&noise, 256);
    nb_forward(g, &(nb_run){.train = true, .freeze_bn = true, .calibration = 1, .pixels = pixels, .labels = labels});
    nb_free(ctx, pixels);
    return NB_OK;
}

nb_status nb_export_size_before(nb_ctx *ctx, const nb_experiment *e, const nb_dsinfo *info, nb_export_size *out)
{
    const nb_graph_spec spec = {
        .experiment = e, .info = info, .max_batch = IMAGES, .quant = true, .plan = NB_PLAN_TRAIN};
    nb_graph *g;
    nb_intmodel *m = NULL;
    NB_TRY(nb_graph_open(ctx, &spec, &(nb_params_source){0}, &g));
    nb_status st = nb_graph_about(g).simulated ? NB_OK : observe_noise(ctx, g); /* lowering says why it cannot be */
    if (st == NB_OK)
        st = nb_lower(g, "", &m);
    if (st == NB_OK)
        st = nb_exporter_find("c")->size(ctx, m, out);
    if (st == NB_OK)
        out->settled = nb_quant_storage_settled(g);
    nb_intmodel_free(ctx, m);
    nb_graph_free(g);
    return st;
}
