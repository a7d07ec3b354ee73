/* experiment_check.c - every section of an experiment bound and checked, the ones that would not be used included.
 *
 * A mistake in a section is a mistake today, not on the day when a phase is quantized or augmentation is switched on.
 */
#include <nibble/extend/op.h>
#include <nibble/model.h>
#include <nibble/post.h>
#include <nibble/train.h>

#include "base/check.h"
#include "train/augment.h"

static nb_status check_train(nb_ctx *ctx, const nb_conf *train)
{
    nb_train_plan *plan = NULL;
    if (!train)
        return NB_OK;
    NB_TRY(nb_train_plan_create(ctx, train, &plan));
    nb_train_plan_free(ctx, plan);
    return NB_OK;
}

static nb_status check_log(nb_ctx *ctx, const nb_conf *log)
{
    nb_log_keys keys = {0};
    return nb_conf_bind(ctx, log, "log", &(nb_binding){nb_log_section_keys, &keys}, 1);
}

static nb_status check_augment(nb_ctx *ctx, const nb_conf *data, const nb_dsinfo *info)
{
    nb_augment *a = NULL;
    NB_TRY(nb_augment_create(ctx, nb_conf_get(data, "augment"), info, &a));
    nb_augment_free(a);
    return NB_OK;
}

static nb_status check_steps(nb_ctx *ctx, const nb_conf *quant, const nb_graph *g)
{
    nb_post_list steps = {0};
    NB_TRY(nb_post_bind(ctx, quant, nb_post_steps, &steps));
    nb_status st = nb_post_check(&steps, g);
    nb_post_free(&steps);
    return st;
}

/* What lowering would refuse when all is done. */
static nb_status check_output(nb_ctx *ctx, const nb_conf *quant, const nb_graph *g)
{
    const nb_node *n = g->loss->in[0];
    while (n->op->role == NB_ROLE_CLAMP)
        n = n->in[0];
    if (nb_graph_about(g).simulated || !nb_role_needs_output_bits(n->op->role))
        return NB_OK;
    return nb_conf_fail(ctx, quant, "quant", NB_E_CONFIG,
                        "output_bits: 0: must be 1..8 (e.g. 8), as the network's output, %s, is neither a conv nor a "
                        "linear layer",
                        n->name);
}

/* Rules for single layers can only be checked where they go: the network is quantized, and thrown away. */
static nb_status check_network(nb_ctx *ctx, const nb_experiment *e, const nb_dsinfo *info)
{
    nb_graph *g = NULL;
    NB_TRY(nb_model_build(ctx, e, info, 1, &g));
    nb_status st = e->quant ? nb_model_quantize(g, e->quant) : NB_OK;
    if (st == NB_OK && e->quant)
        st = check_output(ctx, e->quant, g);
    if (st == NB_OK)
        st = check_steps(ctx, e->quant, g);
    nb_graph_free(g);
    return st;
}

nb_status nb_experiment_check(nb_ctx *ctx, const nb_experiment *e, const nb_dsinfo *info)
{
    NB_TRY(check_train(ctx, e->train));
    NB_TRY(check_log(ctx, e->log));
    NB_TRY(check_augment(ctx, e->data, info));
    return check_network(ctx, e, info);
}
