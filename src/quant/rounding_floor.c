/* rounding_floor.c - to the code below, as a plain shift of integers does. */
#include <nibble/extend/quant.h>

static float below_of(float v, float below, float above, float u)
{
    (void)u;
    return v < above ? below : above;
}

const nb_rounding nb_rounding_floor = {
    .name = "floor",
    .help = "the code below (towards minus infinity), in training and integers; of activations simulated",
    .choose = below_of};
