/* adam.c - Adam (Kingma and Ba 2015) with L2 regularization: weight decay is part of the gradient. moments = {m, v}. */
#include "train/adam_step.h"

static const nb_key adam_keys[] = {ADAM_KEYS, {0}};

static void adam_update(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                        int64_t n)
{
    adam_step s = adam_step_make(attr, a);
    for (int64_t i = 0; i < n; i++)
        w[i] = adam_step_apply(&s, w[i], g[i] + a->weight_decay * w[i], &moments[0][i], &moments[1][i]);
}

const nb_optimizer nb_optimizer_adam = {
    .name = "adam",
    .help = "adaptive moments; weight decay is added to the gradient",
    .keys = adam_keys,
    .attr_size = sizeof(adam_attr),
    .n_moments = 2,
    .squares = 1u << 1,
    .update = adam_update,
};
