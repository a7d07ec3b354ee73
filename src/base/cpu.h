/* cpu.h - what this processor can do, masked by the environment variable NB_CPU (for tests and benchmarks). */
#ifndef NB_BASE_CPU_H
#define NB_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NB_CPU_AVX2 = 1,   /* AVX2 and FMA */
    NB_CPU_AVX512 = 2, /* F, BW, DQ, VL */
    NB_CPU_VNNI = 4,   /* AVX-512 VNNI; never without AVX512 */
    NB_CPU_AMX = 8,    /* tiles and int8, with the permission to use them */
    NB_CPU_NEON = 16,
    NB_CPU_DOTPROD = 32,
    NB_CPU_AVXVNNI = 64 /* the VEX form for 256-bit registers: other encodings, so a bit of its own */
};

/* Feature bits usable here, found once. The levels of NB_CPU keep, of what is there:
 *   scalar nothing | avx2 | avx512 (and avx2) | avxvnni (and avx2) | vnni (all of these) | amx (all x86) | neon |
 *   dotprod (and neon)
 * An unknown value is treated as unset; the command line refuses it. */
uint32_t nb_cpu_features(void);
/* From now on only these of the bits that are there; UINT32_MAX: all again. Not while kernels run; weights that were
 * packed before must be packed again. For checking one instruction set against another in one process. */
void nb_cpu_limit(uint32_t keep);
/* "avx2", "avx512+vnni", "scalar", ...; for info and reports. */
const char *nb_cpu_name(void);
/* The bits a level keeps; false for an unknown name. */
bool nb_cpu_level(const char *level, uint32_t *bits);
/* The i-th level, NULL after the last. */
const char *nb_cpu_level_name(int32_t i);
/* Does the i-th level keep, of these features, a set that no level before it keeps? Those are the levels worth a test
 * on a processor that has them: vnni without AVX-VNNI is one, amx without tiles is not. */
bool nb_cpu_level_counts(int32_t i, uint32_t have);

#endif
