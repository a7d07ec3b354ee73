/* sweep_isa.h - what variants of the sweeps provide: the functions of sweep_list.def and fused_sweep_list.def, in their
 * order. One that is NULL is the next worse variant's (kernels/variant.h). */
#ifndef NB_KERNELS_SWEEP_ISA_H
#define NB_KERNELS_SWEEP_ISA_H

#include "kernels/sweeps/fused_sweep.h"
#include "kernels/sweeps/sweep.h"
#include "kernels/variant.h"

#define SWEEP(name, parameters, arguments) void(*name) parameters;
typedef struct {
#include "kernels/sweeps/sweep_list.def"
} nb_sweep_isa;
typedef struct {
#include "kernels/sweeps/fused_sweep_list.def"
} nb_fused_isa;
#undef SWEEP

#define VARIANT(name, needs) extern const nb_sweep_isa nb_sweep_##name;
#include "kernels/sweeps/sweep.def"
#undef VARIANT
#define VARIANT(name, needs) extern const nb_fused_isa nb_fused_##name;
#include "kernels/sweeps/fused_sweep.def"
#undef VARIANT

extern const nb_variant nb_sweep_variants[]; /* kernels: nb_sweep_isa */
extern const nb_variant nb_fused_variants[]; /* kernels: nb_fused_isa */

#endif
