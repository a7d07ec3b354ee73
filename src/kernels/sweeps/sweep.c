/* sweep.c - the sweeps of sweep.h and fused_sweep.h, each by the best variant here that has it. */
#include "kernels/sweeps/sweep_isa.h"

const nb_variant nb_sweep_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_sweep_##name},
#include "kernels/sweeps/sweep.def"
#undef VARIANT
    {0}};

const nb_variant nb_fused_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_fused_##name},
#include "kernels/sweeps/fused_sweep.def"
#undef VARIANT
    {0}};

#define SWEEP(name, parameters, arguments)                                                                             \
    void nb_k_##name parameters                                                                                        \
    {                                                                                                                  \
        FUNCTION(name) arguments;                                                                                      \
    }
#define FUNCTION(name) NB_VARIANT_FUNCTION(nb_sweep_isa, nb_sweep_variants, nb_variant_best(nb_sweep_variants), name)
#include "kernels/sweeps/sweep_list.def"
#undef FUNCTION
#define FUNCTION(name) NB_VARIANT_FUNCTION(nb_fused_isa, nb_fused_variants, nb_variant_best(nb_fused_variants), name)
#include "kernels/sweeps/fused_sweep_list.def"
