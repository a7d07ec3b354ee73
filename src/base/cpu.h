/* cpu.h - what this processor can do, masked by the environment variable NB_CPU (for tests and benchmarks). */
#ifndef NB_BASE_CPU_H
#define NB_BASE_CPU_H

#include <stdint.h>

enum {
    NB_CPU_AVX2 = 1,   /* AVX2 and FMA */
    NB_CPU_AVX512 = 2, /* F, BW, DQ, VL */
    NB_CPU_VNNI = 4,   /* AVX-512 VNNI or AVX-VNNI */
    NB_CPU_AMX = 8,
    NB_CPU_NEON = 16,
    NB_CPU_DOTPROD = 32
};

/* Feature bits usable here. NB_CPU=scalar masks all; avx2 keeps AVX2 only; avx512 keeps AVX2|AVX512|VNNI; vnni, amx,
 * neon likewise (each level includes those before it). An unknown value is treated as unset; the command line checks
 * it. Read once. */
uint32_t nb_cpu_features(void);
/* "avx2", "avx512+vnni", "scalar", ...; for info and reports. */
const char *nb_cpu_name(void);

#endif
