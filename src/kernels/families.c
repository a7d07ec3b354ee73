/* families.c - the list of families. */
#include "kernels/families.h"

#include "kernels/float/fconv_isa.h"
#include "kernels/grad16/qgrad_isa.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/sweeps/sweep_isa.h"

const nb_family nb_families[] = {{"float convolution", nb_fconv_variants}, {"integer convolution", nb_iconv_variants},
                                 {"16-bit gradients", nb_qgrad_variants},  {"sweeps", nb_sweep_variants},
                                 {"fused sweeps", nb_fused_variants},      {0}};
