/* build_info.c - the lines that a report of a speed or a difference in the last bits cannot do without. */
#include "cli/build_info.h"

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "kernels/families.h"
#include "kernels/float/fblas.h"
#include "kernels/float/fwide.h"

#include <stdio.h>

void cli_print_build(void)
{
#ifdef NB_ONNX
    const char *onnx = "yes";
#else
    const char *onnx = "no";
#endif
    const bool narrow = nb_fblas_width() > 0 && 2 * nb_fblas_width() < nb_fwide_own_width();
    printf("threads: %d (%s), kernels: %s, BLAS: %s%s, ONNX: %s, MPI: %s\n", nb_threads(), nb_threads_runtime(),
           nb_cpu_name(), nb_fblas_name(), narrow ? ", not used: too narrow for this processor" : "", onnx,
           nb_ranks_runtime());
}

void cli_print_variants(void)
{
    printf("variants:");
    for (const nb_family *f = nb_families; f->name; f++)
        printf("%s %s %s", f == nb_families ? "" : ",", f->name, nb_variant_best(f->variants)->name);
    printf("\n");
}
