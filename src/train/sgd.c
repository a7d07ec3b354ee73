/* sgd.c - stochastic gradient descent with momentum, as PyTorch writes it.
 *
 *   d = g + weight_decay * w;  m = momentum * m + (1 - dampening) * d;  w -= lr * (nesterov ? d + momentum * m : m)
 * The first step has m = d: dampening does not apply to it. moments[0] = m. */
#include "train/optim.h"

typedef struct {
    float momentum, dampening;
    bool nesterov;
} sgd_attr;

static const nb_key sgd_keys[] = {
    NB_KEY_FLOAT(sgd_attr, momentum, "0.9", 0, 0.9999, "share of the previous step that is kept; 0 = plain descent"),
    NB_KEY_FLOAT(sgd_attr, dampening, "0", 0, 1, "share of the gradient that does not enter the momentum"),
    NB_KEY_BOOL(sgd_attr, nesterov, "no", "look ahead: step along gradient + momentum"),
    {0},
};

static void sgd_update(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                       int64_t n)
{
    const sgd_attr *s = attr;
    float *m = moments[0];
    float take = a->t == 1 ? 1.0f : 1.0f - s->dampening;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + a->weight_decay * w[i];
        m[i] = s->momentum * m[i] + take * d;
        w[i] -= a->lr * (s->nesterov ? d + s->momentum * m[i] : m[i]);
    }
}

const nb_optimizer nb_optimizer_sgd = {
    .name = "sgd",
    .help = "stochastic gradient descent with momentum; weight decay is added to the gradient",
    .keys = sgd_keys,
    .attr_size = sizeof(sgd_attr),
    .n_moments = 1,
    .update = sgd_update,
};
