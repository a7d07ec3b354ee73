/* kbench.h - how fast every kernel is here: one thread, its processor time, shapes of small networks.
 *
 * Kernels that multiply are measured on one image, whose operands fit the second-level cache; sweeps on a tensor larger
 * than the caches, as training sees it, and on one that the nearest cache holds, where nothing but their instructions counts. Values are random and of no meaning. */
#ifndef NB_KERNELS_KBENCH_H
#define NB_KERNELS_KBENCH_H

#include "bench/peak.h"

#include <nibble/geom.h>
#include <stdbool.h>

typedef enum {
    NB_KBENCH_FORWARD,
    NB_KBENCH_INPUT_GRAD,
    NB_KBENCH_WEIGHT_GRAD,
    NB_KBENCH_INPUT_GRAD_INT16, /* qgrad.h: from and to floats too, so packing and scales are in the time */
    NB_KBENCH_WEIGHT_GRAD_INT16,
    NB_KBENCH_W8A8, /* iconv.h: u8 codes to u8 codes, requantized */
    NB_KBENCH_W4A4,
    NB_KBENCH_PASSES
} nb_kbench_pass;

typedef struct {
    const char *name; /* "3x3 16->16 at 32x32" */
    nb_geom geom;
} nb_kbench_shape;

typedef struct {
    double seconds;     /* of one call; 0: there is no such kernel for this geometry */
    double macs;        /* products of the plain loops */
    double work;        /* share of them that is really made: 1, less for Winograd's tiles */
    double bytes;       /* operands read once and the result written once */
    nb_peak_unit unit;  /* what multiplies */
    const char *method; /* "float", "pairs", or the method of iconv_isa.h */
} nb_kbench_result;

/* Shapes of small networks, ends with name NULL. */
extern const nb_kbench_shape nb_kbench_shapes[];
extern const char *const nb_kbench_pass_name[NB_KBENCH_PASSES];

/* The median of `rounds` >= 1 rounds, each long enough for the clock. */
nb_status nb_kbench_conv(nb_ctx *ctx, const nb_geom *g, int32_t rounds, nb_kbench_result out[NB_KBENCH_PASSES]);

struct nb_kbench_tensors;
typedef struct {
    const char *name, *what; /* "map_codes", "batch norm + relu + fake-quant" */
    double bytes;            /* per value: what must be read and written */
    void (*run)(struct nb_kbench_tensors *t);
} nb_kbench_sweep;

/* The sweeps over tensors (sweep.h, fused_sweep.h, ipool.h), ends with name NULL. */
extern const nb_kbench_sweep nb_kbench_sweeps[];

typedef struct { /* values per second */
    double memory, cache;
} nb_kbench_speed;

/* out[i] for the i-th sweep; the array is as long as nb_kbench_sweeps without its end. */
nb_status nb_kbench_run_sweeps(nb_ctx *ctx, int32_t rounds, nb_kbench_speed *out);

enum { NB_KBENCH_WIDE_PASSES = 3 }; /* the first of nb_kbench_pass */

typedef struct {
    const char *name; /* "3x3 512->512 at 8x8, batch 16" */
    int32_t batch;
    nb_geom geom; /* of one image */
} nb_kbench_wide;

typedef struct {
    double macs;                        /* of one pass over the batch */
    double own[NB_KBENCH_WIDE_PASSES];  /* seconds by fconv.h */
    double blas[NB_KBENCH_WIDE_PASSES]; /* by fwide.h; 0 without BLAS */
    bool blas_wins;                     /* what nb_fwide_wins says */
} nb_kbench_wide_result;

/* Float layers for which OpenBLAS is an alternative, ends with name NULL. */
extern const nb_kbench_wide nb_kbench_wides[];
nb_status nb_kbench_run_wide(nb_ctx *ctx, const nb_kbench_wide *s, int32_t rounds, nb_kbench_wide_result *out);

/* For the files of the benchmark. */
enum { NB_KBENCH_MAX_ROUNDS = 1000 };

#endif
