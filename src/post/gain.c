/* gain.c - see gain.h. */
#include "post/gain.h"

#include <nibble/extend/op.h>

#include "base/check.h"
#include "core/score.h"
#include "post/paired.h"

#include <math.h>

enum { MOST_OUTPUTS = 1 << 24 /* that are kept, of all images */, ENOUGH_IMAGES = 64 /* for a loss to judge by */ };

struct nb_post_reference {
    float *outputs; /* [n][classes]; NULL: not looked at yet */
    int32_t n;
    bool by_loss;
};

nb_status nb_post_reference_create(nb_ctx *ctx, struct nb_post_reference **out)
{
    struct nb_post_reference *r = nb_alloc(ctx, sizeof *r);
    if (r)
        *out = r;
    return r ? NB_OK : NB_E_NOMEM;
}

void nb_post_reference_free(nb_ctx *ctx, struct nb_post_reference *r)
{
    if (r)
        nb_free(ctx, r->outputs);
    nb_free(ctx, r);
}

static float *new_outputs(const nb_graph *g, int32_t n)
{
    return nb_alloc(g->ctx, (size_t)n * (size_t)g->info.classes * sizeof(float));
}

static int32_t images_of(const nb_post_input *in)
{
    const int32_t most = MOST_OUTPUTS / in->graph->info.classes;
    return in->n < most ? in->n : most > 0 ? most : 1;
}

/* The network with the float graph's values, quantized and calibrated on the images, or, with unrounded, in floats. */
static nb_status open_copy(const nb_post_input *in, bool unrounded, nb_graph **out)
{
    const nb_graph *g = in->graph;
    if (unrounded)
        return nb_pair_open_twin(g, in->experiment, true, out);
    NB_TRY(nb_graph_open(g->ctx,
                         &(nb_graph_spec){.experiment = in->experiment,
                                          .info = &g->info,
                                          .max_batch = g->max_batch,
                                          .quant = true,
                                          .plan = NB_PLAN_INFER},
                         &(nb_params_source){.graph = g, .mode = NB_PARAMS_CALIBRATE, .folded = true, .lends = true},
                         out));
    const nb_status st = (in->shared ? nb_calibrate_shared : nb_calibrate)(*out, in->data, in->indices, in->n);
    if (st != NB_OK)
        nb_graph_free(*out);
    return st;
}

static nb_status evaluate(const nb_post_input *in, nb_graph *g, float *outputs, nb_eval *out)
{
    return (in->shared ? nb_evaluate_graph_shared : nb_evaluate_graph_each)(g, in->data, in->indices, images_of(in),
                                                                            out, &(nb_answers){.logits = outputs});
}

static nb_status evaluate_copy(const nb_post_input *in, bool unrounded, float *outputs, nb_eval *out)
{
    nb_graph *copy;
    NB_TRY(open_copy(in, unrounded, &copy));
    const nb_status st = evaluate(in, copy, outputs, out);
    nb_graph_free(copy);
    return st;
}

static double sqnr_of(const float *want, const float *got, int64_t count)
{
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)want[i] - (double)got[i];
        signal += (double)want[i] * (double)want[i];
        noise += d * d;
    }
    return noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
}

nb_status nb_post_gain_measure(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out)
{
    const nb_graph *g = in->graph;
    const struct nb_post_reference *r = list->reference;
    NB_ASSERT(r && r->outputs && r->n == images_of(in));
    nb_post_gain gain;
    float *outputs = new_outputs(g, r->n);
    if (!outputs)
        return NB_E_NOMEM;
    const nb_status st =
        g->quantized ? evaluate(in, in->graph, outputs, &gain.eval) : evaluate_copy(in, false, outputs, &gain.eval);
    gain.sqnr = st == NB_OK ? sqnr_of(r->outputs, outputs, (int64_t)r->n * g->info.classes) : 0;
    nb_free(g->ctx, outputs);
    if (st == NB_OK)
        *out = gain;
    return st;
}

/* A guess that knows nothing has the loss log(classes). */
static bool knows_labels(const nb_graph *g, const nb_eval *floats)
{
    return !nb_task_has_target(g->info.task) && floats->n >= ENOUGH_IMAGES &&
           floats->loss < 0.5 * log((double)g->info.classes);
}

nb_status nb_post_gain_start(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out)
{
    struct nb_post_reference *r = list->reference;
    nb_post_start start;
    if (r->outputs)
        return nb_post_gain_measure(list, in, out);
    r->n = images_of(in);
    r->outputs = new_outputs(in->graph, r->n);
    NB_TRY(r->outputs ? evaluate_copy(in, true, r->outputs, &start.floats) : NB_E_NOMEM);
    r->by_loss = knows_labels(in->graph, &start.floats);
    NB_TRY(nb_post_gain_measure(list, in, out));
    start.quantized = out->eval;
    start.sqnr = out->sqnr;
    start.by_loss = r->by_loss;
    if (in->report && in->report->start)
        in->report->start(in->report->ud, &start);
    return NB_OK;
}

bool nb_post_gain_is(const nb_post_list *list, const nb_post_gain *before, const nb_post_gain *after)
{
    return list->reference->by_loss ? after->eval.loss < before->eval.loss : after->sqnr > before->sqnr;
}
