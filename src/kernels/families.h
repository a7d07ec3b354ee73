/* families.h - all families of kernels that come in variants, for who names or checks them: version, benchmarks, tests. */
#ifndef NB_KERNELS_FAMILIES_H
#define NB_KERNELS_FAMILIES_H

#include "kernels/variant.h"

typedef struct {
    const char *name;
    const nb_variant *variants;
} nb_family;

extern const nb_family nb_families[]; /* ends with a NULL name */

#endif
