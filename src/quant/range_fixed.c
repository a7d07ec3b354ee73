/* range_fixed.c - the range that the config says. It needs no data and never moves. */
#include "quant/range_ends.h"

#include <stdio.h>

typedef struct {
    float lo, hi;
} fixed_attr;

static const nb_key fixed_keys[] = {
    NB_KEY_FLOAT(fixed_attr, lo, "0", -1e9, 0, "low end of the range, at most 0, so that real 0 is a code"),
    NB_KEY_FLOAT(fixed_attr, hi, "0", 0, 1e9,
                 "high end, at least 0 and above lo; symmetric grids cover the larger of both"),
    {0}};

static bool fixed_refuse(const void *attr, const nb_range_use *use, char *why, size_t size)
{
    const fixed_attr *a = attr;
    (void)use;
    if (a->hi > a->lo)
        return false;
    snprintf(why, size,
             "needs lo and hi, the range's ends: hi above lo, and 0 between them or one of them, e.g. {lo: 0, hi: 6}");
    return true;
}

static void fixed_observe(const void *attr, float *state, const nb_observation *o)
{
    const fixed_attr *a = attr;
    (void)o;
    state[NB_LOW] = a->lo;
    state[NB_HIGH] = a->hi;
}

const nb_range nb_range_fixed = {.name = "fixed",
                                 .help = "lo and hi as given",
                                 .keys = fixed_keys,
                                 .attr_size = sizeof(fixed_attr),
                                 .n_state = NB_ENDS,
                                 .data_free = true,
                                 .refuse = fixed_refuse,
                                 .observe = fixed_observe,
                                 .params = nb_ends_params,
                                 .sound = nb_ends_sound};
