/* schedule_step.c - the learning rate is multiplied by gamma at every milestone.
 *
 * A milestone below 1 is a share of the phase, one of 1 and above counts epochs from the start of the phase (warm-up
 * included). */
#include "base/check.h"
#include "train/train_plan.h"
#include <math.h>
#include <stdio.h>

enum { MAX_MILESTONES = 16 };

typedef struct {
    const nb_conf *milestones;
    float gamma;
    float at[MAX_MILESTONES];
    int32_t n;
} step_attr;

static const nb_key step_keys[] = {
    NB_KEY_NODE(step_attr, milestones, "[0.5, 0.75]", "where to step: shares of the phase (below 1) or epochs"),
    NB_KEY_FLOAT(step_attr, gamma, "0.1", 0, 1, "factor at every milestone"),
    {0},
};

typedef struct {
    nb_ctx *ctx;
    step_attr *attr;
    char where[96];
} adding;

static nb_status add_milestone(void *ud, const char *text, const nb_conf *node)
{
    static const nb_key number = {.kind = NB_K_FLOAT, .min = 1e-6, .max = 1e6};
    (void)text;
    adding *a = ud;
    if (a->attr->n == MAX_MILESTONES)
        return nb_conf_fail(a->ctx, node, a->where, NB_E_CONFIG, "more than %d", MAX_MILESTONES);
    return nb_conf_value(a->ctx, node, a->where, &number, &a->attr->at[a->attr->n++]);
}

static nb_status step_prepare(nb_ctx *ctx, void *attr, const char *where)
{
    step_attr *s = attr;
    adding a = {.ctx = ctx, .attr = s};
    snprintf(a.where, sizeof a.where, "%s.milestones", where);
    if (s->milestones)
        return nb_conf_each_text(ctx, s->milestones, a.where, add_milestone, &a);
    s->at[0] = 0.5f;
    s->at[1] = 0.75f;
    s->n = 2;
    return NB_OK;
}

static double step_factor(const void *attr, const nb_schedule_at *at)
{
    const step_attr *s = attr;
    double f = 1.0;
    for (int32_t i = 0; i < s->n; i++) {
        double first = (double)s->at[i] * (double)(s->at[i] < 1 ? at->n : at->per_epoch);
        if ((double)at->t >= floor(first + 0.5)) /* a whole step: 0.1 of 30 is not 3.0000000000000004 */
            f *= (double)s->gamma;
    }
    return f;
}

const nb_schedule nb_schedule_step = {
    .name = "step",
    .help = "times gamma at every milestone",
    .keys = step_keys,
    .attr_size = sizeof(step_attr),
    .prepare = step_prepare,
    .factor = step_factor,
};
