/* phase_graph.c - see phase_graph.h. Steps that come before quantization look at whole batches: where ranks share them, a graph of
 * its own has these, on every rank the same, and the one that is trained starts from it. */
#include "train/phase_graph.h"

#include "base/check.h"
#include "base/ranks.h"

/* A float network becomes a quantized one, for the first time. */
static bool enters_quant(const nb_train_plan *plan, int32_t phase, const nb_params_source *from)
{
    for (int32_t i = 0; i < phase; i++)
        if (plan->phase[i].keys.quant)
            return false;
    return plan->phase[phase].keys.quant && !(from->file && from->file->quantized);
}

/* With the values of g, which is freed. */
static nb_status share(nb_ctx *ctx, nb_graph_spec spec, nb_graph **g)
{
    nb_graph *whole = *g;
    spec.shared = true;
    spec.before_quant = NULL;
    nb_status st = nb_graph_open(ctx, &spec, &(nb_params_source){.graph = whole, .mode = NB_PARAMS_EXACT}, g);
    nb_graph_free(whole);
    return st;
}

nb_status nb_phase_graph_open(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_params_source *from,
                              nb_graph **out)
{
    const nb_phase_keys *k = &job->plan->phase[phase].keys;
    const bool steps = job->before_quant && enters_quant(job->plan, phase, from), shared = nb_ranks() > 1;
    const nb_graph_spec spec = {.experiment = job->experiment,
                                .info = nb_data_info(job->data),
                                .max_batch = job->plan->keys.batch,
                                .shared = shared && !steps,
                                .quant = k->quant,
                                .bits = {k->bits[0], k->bits[1]},
                                .plan = NB_PLAN_TRAIN,
                                .compute = (nb_compute)job->plan->keys.compute,
                                .reference = job->reference,
                                .before_quant = steps ? job->before_quant : NULL,
                                .ud = job->ud};
    nb_graph *g;
    NB_TRY(nb_graph_open(ctx, &spec, from, &g));
    nb_status st = steps ? job->before_quant(job->ud, g) : NB_OK;
    if (st != NB_OK) {
        nb_graph_free(g);
        return st;
    }
    if (steps && shared)
        NB_TRY(share(ctx, spec, &g));
    *out = g;
    return NB_OK;
}
