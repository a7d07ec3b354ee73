/* fbench.h - how fast the convolutions of training are here: one geometry, one thread, the processor time of the three
 * passes in floats and of the two backward ones in 16-bit integers. */
#ifndef NB_KERNELS_FBENCH_H
#define NB_KERNELS_FBENCH_H

#include <nibble/context.h>
#include <nibble/geom.h>

typedef enum {
    NB_FBENCH_FORWARD,
    NB_FBENCH_INPUT_GRAD,
    NB_FBENCH_WEIGHT_GRAD,
    NB_FBENCH_INPUT_GRAD_INT16, /* qgrad.h: from and to floats too, so packing and scales are in the time */
    NB_FBENCH_WEIGHT_GRAD_INT16,
    NB_FBENCH_PASSES
} nb_fbench_pass;

typedef struct {
    const char *name; /* "3x3 16->16 at 32x32" */
    nb_geom geom;
} nb_fbench_case;

/* Shapes of small networks, ends with name NULL. */
extern const nb_fbench_case nb_fbench_cases[];

/* gflops[pass]: 2 * multiplications / median time of `rounds` >= 1 rounds, each long enough for the clock. Values are
 * random. A pass without kernels for this geometry gets 0. */
nb_status nb_fbench_run(nb_ctx *ctx, const nb_geom *g, int32_t rounds, double gflops[NB_FBENCH_PASSES]);

#endif
