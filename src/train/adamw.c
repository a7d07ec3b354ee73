/* adamw.c - Adam with decoupled weight decay (Loshchilov and Hutter 2019): w shrinks by lr * decay, untouched by the
 * moments. */
#include "train/adam_step.h"

static const nb_key adamw_keys[] = {ADAM_KEYS, {0}};

static void adamw_update(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                         int64_t n)
{
    adam_step s = adam_step_make(attr, a);
    float keep = 1.0f - a->lr * a->weight_decay;
    for (int64_t i = 0; i < n; i++)
        w[i] = adam_step_apply(&s, keep * w[i], g[i], &moments[0][i], &moments[1][i]);
}

const nb_optimizer nb_optimizer_adamw = {
    .name = "adamw",
    .help = "adaptive moments; weight decay shrinks the weights directly",
    .keys = adamw_keys,
    .attr_size = sizeof(adam_attr),
    .n_moments = 2,
    .squares = 1u << 1,
    .update = adamw_update,
};
