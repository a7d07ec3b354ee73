/* variant.h - how a family of kernels comes in variants, one per instruction set, and the one place that chooses the
 * best of them for this processor.
 *
 * A family is a struct of functions (nb_fconv_isa, nb_iconv_isa, nb_qgrad_isa, nb_sweep_isa, nb_fused_isa). A variant is
 * one constant of that type, nb_<family>_<name>, in a file of its own, and one line in the family's .def:
 *   VARIANT(name, processor features it needs)
 * best last, scalar first. The .def makes the declarations and the list; families.c has the lists of all families.
 * Nothing is remembered: a choice is a walk over a few lines, once per layer or chunk, and nb_cpu_limit holds at once.
 * Header only, so that the engine's freestanding library, which sees nothing else outside its folders, has it too. */
#ifndef NB_KERNELS_VARIANT_H
#define NB_KERNELS_VARIANT_H

#include "kernels/integer/ibytes.h"

#include <stdbool.h>

#include "base/cpu.h"

/* Which variants are compiled. The library has all that its compiler can make, and asks the processor which will run.
 * The freestanding engine cannot ask: it has those that the compiler was told will run. */
#if defined(__x86_64__) && defined(__GNUC__)
#    if !defined(NB_FREESTANDING) || defined(__AVX2__)
#        define NB_WITH_AVX2
#    endif
#    if !defined(NB_FREESTANDING) || (defined(__AVX512BW__) && defined(__AVX512VL__))
#        define NB_WITH_AVX512
#    endif
#    if !defined(NB_FREESTANDING) || (defined(__AVX2__) && defined(__AVXVNNI__))
#        define NB_WITH_AVXVNNI
#    endif
#    if !defined(NB_FREESTANDING) || (defined(__AVX512BW__) && defined(__AVX512VNNI__))
#        define NB_WITH_VNNI
#    endif
#    if !defined(NB_FREESTANDING) || (defined(__AMX_INT8__) && defined(__AVX512VNNI__))
#        define NB_WITH_AMX
#    endif
#elif defined(__aarch64__) && defined(__GNUC__) && defined(__ARM_NEON)
#    define NB_WITH_NEON
#    if !defined(NB_FREESTANDING) || defined(__ARM_FEATURE_DOTPROD)
#        define NB_WITH_DOTPROD
#    endif
#endif

typedef struct {
    const char *name;
    uint32_t needs;      /* NB_CPU_... bits */
    const void *kernels; /* the family's struct */
} nb_variant;            /* a list is an array of them and ends with a NULL name */

/* Does it run here, as far as NB_CPU and nb_cpu_limit let it? */
static inline bool nb_variant_runs(const nb_variant *v)
{
#ifdef NB_FREESTANDING
    (void)v;
    return true;
#else
    return (v->needs & ~nb_cpu_features()) == 0;
#endif
}

/* The next worse one that runs here, NULL below the first. */
static inline const nb_variant *nb_variant_below(const nb_variant *list, const nb_variant *v)
{
    while (v != list)
        if (nb_variant_runs(--v))
            return v;
    return NULL;
}

/* The one used here. */
static inline const nb_variant *nb_variant_best(const nb_variant *list)
{
    const nb_variant *end = list;
    while (end->name)
        end++;
    return nb_variant_below(list, end);
}

/* The kernels of v or, where the function at that offset is NULL, of the next worse one that has it; the first one's if
 * none has. */
static inline const void *nb_variant_with(const nb_variant *list, const nb_variant *v, size_t function)
{
    for (;; v = nb_variant_below(list, v)) {
        void (*f)(void);
        memcpy(&f, (const char *)v->kernels + function, sizeof f);
        if (f || v == list)
            return v->kernels;
    }
}
/* So a variant brings what it is better at, and leaves the rest NULL. */
#define NB_VARIANT_FUNCTION(type, list, v, function)                                                                   \
    (((const type *)nb_variant_with(list, v, offsetof(type, function)))->function)

#endif
