/* schedule_cosine.c - half a cosine from 1 down to `final` (Loshchilov and Hutter 2017), step by step. */
#include "train/train_plan.h"
#include <math.h>

typedef struct {
    float final;
} cosine_attr;

static const nb_key cosine_keys[] = {
    NB_KEY_FLOAT(cosine_attr, final, "0", 0, 1, "share of the learning rate that is left at the end"),
    {0},
};

static double cosine_factor(const void *attr, const nb_schedule_at *at)
{
    const cosine_attr *c = attr;
    double pi = 3.14159265358979323846, x = (double)(at->t - at->warmup) / (double)(at->n - at->warmup);
    double final = (double)c->final;
    return final + (1.0 - final) * 0.5 * (1.0 + cos(pi * x));
}

const nb_schedule nb_schedule_cosine = {
    .name = "cosine",
    .help = "half a cosine down to `final`",
    .keys = cosine_keys,
    .attr_size = sizeof(cosine_attr),
    .factor = cosine_factor,
};
