/* schedule_constant.c - the phase's learning rate all the way. */
#include "train/train_plan.h"

static double constant_factor(const void *attr, const nb_schedule_at *at)
{
    (void)attr;
    (void)at;
    return 1.0;
}

const nb_schedule nb_schedule_constant = {
    .name = "constant",
    .help = "the learning rate stays as it is",
    .factor = constant_factor,
};
