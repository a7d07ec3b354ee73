/* resize.c - see resize.h. */
#include "core/resize.h"

#include <nibble/take.h>

#include <math.h>

static double place_of(int32_t i, int32_t in, int32_t out, nb_align align)
{
    if (align == NB_ALIGN_CORNERS)
        return out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
    return align == NB_ALIGN_ASYMMETRIC ? (double)i * in / out : (i + 0.5) * in / out - 0.5;
}

int32_t nb_resize_nearest(int32_t i, int32_t in, int32_t out, nb_align align)
{
    if (align == NB_ALIGN_CORNERS)
        return (int32_t)floor(place_of(i, in, out, align) + 0.5);
    if (align == NB_ALIGN_ASYMMETRIC)
        return (int32_t)((int64_t)i * in / out);
    return (int32_t)(((int64_t)2 * i + 1) * in / (2 * (int64_t)out)); /* floor((i + 0.5) * in / out) */
}

int32_t nb_resize_between(int32_t i, int32_t in, int32_t out, nb_align align)
{
    const double p = fmin(fmax(place_of(i, in, out, align), 0), in - 1);
    return (int32_t)nearbyint(p * NB_BLEND_ONE);
}
