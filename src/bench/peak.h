/* peak.h - what one thread of this machine can do at most, measured: products per second of its units, bytes per second
 * of its memory. The roof that kernels are compared with (`nibble bench --kernels`).
 *
 * S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52 (4), 2009. */
#ifndef NB_KERNELS_PEAK_H
#define NB_KERNELS_PEAK_H

#include <nibble/context.h>

typedef enum {
    NB_PEAK_FLOAT, /* fused multiply-adds of floats */
    NB_PEAK_PAIRS, /* 16-bit integers, two products per 32-bit sum, and the addition to it */
    NB_PEAK_QUADS, /* bytes, four products per 32-bit sum, and the addition to it */
    NB_PEAK_UNITS
} nb_peak_unit;

typedef struct {
    double macs[NB_PEAK_UNITS]; /* per second, operands in registers; 0: no vector form is known for this processor */
    double memory;              /* bytes per second over 64 MiB: reading, or reading and writing, whichever is faster */
    double cache;               /* the same over 256 KiB: second-level cache */
} nb_peaks;

/* Best of `rounds` >= 1 rounds of some milliseconds, in processor time of the thread. Fails only for want of memory. */
nb_status nb_peaks_measure(nb_ctx *ctx, int32_t rounds, nb_peaks *out);

#endif
