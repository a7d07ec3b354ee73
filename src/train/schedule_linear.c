/* schedule_linear.c - straight down from 1 to `final`, step by step. */
#include "train/train_plan.h"

typedef struct {
    float final;
} linear_attr;

static const nb_key linear_keys[] = {
    NB_KEY_FLOAT(linear_attr, final, "0", 0, 1, "share of the learning rate that is left at the end"),
    {0},
};

static double linear_factor(const void *attr, const nb_schedule_at *at)
{
    const double final = (double)((const linear_attr *)attr)->final;
    const double x = (double)(at->t - at->warmup) / (double)(at->n - at->warmup);
    return 1.0 - (1.0 - final) * x;
}

const nb_schedule nb_schedule_linear = {
    .name = "linear",
    .help = "straight down to `final`",
    .keys = linear_keys,
    .attr_size = sizeof(linear_attr),
    .factor = linear_factor,
};
