/* schedule_onecycle.c - straight up to the learning rate, then straight down (Smith and Topin 2018). A warm-up before it is
 * over when it begins. */
#include "train/train_plan.h"

typedef struct {
    float start, peak, final;
} onecycle_attr;

static const nb_key onecycle_keys[] = {
    NB_KEY_FLOAT(onecycle_attr, start, "0.2", 0, 1, "share of the learning rate at the beginning"),
    NB_KEY_FLOAT(onecycle_attr, peak, "0.25", 0, 1, "share of the phase after which all of it is reached"),
    NB_KEY_FLOAT(onecycle_attr, final, "0.07", 0, 1, "share of the learning rate that is left at the end"),
    {0},
};

static double onecycle_factor(const void *attr, const nb_schedule_at *at)
{
    const onecycle_attr *o = attr;
    const double x = (double)(at->t - at->warmup) / (double)(at->n - at->warmup), peak = (double)o->peak;
    if (x < peak)
        return (double)o->start + (1.0 - (double)o->start) * x / peak;
    return peak < 1 ? 1.0 - (1.0 - (double)o->final) * (x - peak) / (1.0 - peak) : 1.0;
}

const nb_schedule nb_schedule_onecycle = {
    .name = "onecycle",
    .help = "straight up from `start`, then straight down to `final`",
    .keys = onecycle_keys,
    .attr_size = sizeof(onecycle_attr),
    .factor = onecycle_factor,
};
