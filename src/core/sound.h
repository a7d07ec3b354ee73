/* sound.h - can a stored value be what it is said to be? One rule for whatever is imported, loaded or resumed. */
#ifndef NB_CORE_SOUND_H
#define NB_CORE_SOUND_H

#include <nibble/extend/op.h>

#include <math.h>

/* What is wrong with v, for "value 3 is -0.5: ..."; NULL when nothing is. nonnegative: variances, squared gradients. */
static inline const char *nb_value_fault(float v, bool nonnegative)
{
    if (!isfinite(v))
        return "it must be a finite number";
    return nonnegative && v < 0 ? "it cannot be negative" : NULL;
}

/* The first of n values that cannot be, or n. */
static inline int64_t nb_first_fault(const float *v, int64_t n, bool nonnegative)
{
    int64_t i = 0;
    while (i < n && !nb_value_fault(v[i], nonnegative))
        i++;
    return i;
}

#endif
