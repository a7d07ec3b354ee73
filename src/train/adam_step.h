/* adam_step.h - what Adam and AdamW share: the keys and the step; they differ in where weight decay enters. */
#ifndef NB_TRAIN_ADAM_STEP_H
#define NB_TRAIN_ADAM_STEP_H

#include "train/optim.h"
#include <math.h>

typedef struct {
    float beta1, beta2, eps;
} adam_attr;

#define ADAM_KEYS                                                                                                      \
    NB_KEY_FLOAT(adam_attr, beta1, "0.9", 0, 0.9999, "decay of the mean of gradients"),                                \
        NB_KEY_FLOAT(adam_attr, beta2, "0.999", 0, 0.999999, "decay of the mean of squared gradients"),                \
        NB_KEY_FLOAT(adam_attr, eps, "1.0e-8", 1e-30, 1, "added to the root of the squared gradients")

/* The numbers of one step, the same for all values: corrections 1 - beta^t are computed in double. */
typedef struct {
    float b1, b2, eps, rate, root; /* w -= rate * m / (sqrt(v) * root + eps) */
} adam_step;

static inline adam_step adam_step_make(const adam_attr *s, const nb_step_args *a)
{
    double c1 = 1.0 - pow((double)s->beta1, (double)a->t), c2 = 1.0 - pow((double)s->beta2, (double)a->t);
    return (adam_step){
        .b1 = s->beta1, .b2 = s->beta2, .eps = s->eps, .rate = (float)(a->lr / c1), .root = (float)(1.0 / sqrt(c2))};
}

static inline float adam_step_apply(const adam_step *s, float w, float g, float *m, float *v)
{
    *m = s->b1 * *m + (1.0f - s->b1) * g;
    *v = s->b2 * *v + (1.0f - s->b2) * g * g;
    return w - s->rate * *m / (sqrtf(*v) * s->root + s->eps);
}

#endif
