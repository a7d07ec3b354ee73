/* profile_grid.h - formats that values could have, and values rounded to them: how far off, how many cut off or lost.
 *
 * A format of the registry, at one width, is a grid for weights (symmetric) and, unless it is for weights alone, one for
 * activations (asymmetric: without negative values that is the unsigned one). Rounding is what fake-quant nodes do, by
 * the same kernels. */
#ifndef NB_ANALYSIS_PROFILE_GRID_H
#define NB_ANALYSIS_PROFILE_GRID_H

#include <nibble/extend/quant.h>

#include "analysis/density.h"
#include "kernels/sweeps/sweep.h"

enum { NB_GRID_CODES = 256, NB_PROFILE_MAX_FORMATS = 14 };

typedef struct {
    const nb_format *format;
    const void *attr;
    int32_t bits;
    char name[32];               /* "uniform 4", "fp8_e4m3" */
    char key[32], predicted[48]; /* of tables: "uniform_4_db", "uniform_4_predicted_db" */
} nb_profile_format;

typedef struct {
    nb_profile_format of[NB_PROFILE_MAX_FORMATS];
    int32_t n;
    struct nb_arena *arena;
} nb_profile_formats;

/* Lists separated by commas, "uniform,log" and "2,4,8": every format at every one of these widths that it has; one that
 * says its width itself is there once. Messages begin with "--formats" or "--bits". */
nb_status nb_profile_formats_parse(nb_ctx *ctx, const char *formats, const char *bits, nb_profile_formats *out);
void nb_profile_formats_free(nb_profile_formats *f); /* zeroed is fine */

/* A grid with what kernels want to know of it. Points into itself: it must stay where it is. */
typedef struct {
    nb_grid grid;
    int8_t level[NB_GRID_CODES];
    float real[NB_GRID_CODES], edge[NB_GRID_CODES];
    nb_klevels levels;
    nb_kreals reals;
    uint8_t slot[NB_GRID_CODES]; /* place of a code, as a byte, among the codes */
    int32_t n_codes;             /* 2^bits at most */
} nb_rounder;
void nb_rounder_init(nb_rounder *r, const nb_profile_format *f, bool weights);
/* Of a format whose levels or edges follow from its range's state: these. */
void nb_rounder_book(nb_rounder *r, const float *state);
/* The codes' real values, ascending, and where each ends; level [n_codes], edge [n_codes]. Returns n_codes. */
int32_t nb_rounder_values(const nb_rounder *r, float scale, int32_t zero, double *level, double *edge);
/* Are they at equal distances? */
static inline bool nb_rounder_even(const nb_rounder *r)
{
    return r->grid.n_levels == 0;
}
/* Steps from end to end, as aciq.h counts them for such values. */
static inline double nb_rounder_intervals(const nb_rounder *r, bool one_sided)
{
    return r->grid.lo == 0 || one_sided ? r->grid.hi : 2 * r->grid.hi;
}

/* What rounding did to values. */
typedef struct {
    double noise; /* sum of squared errors */
    int64_t clipped, vanished,
        at_zero; /* beyond the grid's end by half a step; not 0 but rounded to it; the code is 0's */
} nb_rounded;

/* Adds what happens to n values; value i is of group i % groups (sums [groups]). count [n_codes]: how many went to each code;
 * may be NULL. */
void nb_rounder_measure(const nb_rounder *r, float scale, int32_t zero, const float *x, int64_t n, nb_rounded *sums,
                        int32_t groups, int64_t *count);
void nb_rounded_merge(nb_rounded *to, const nb_rounded *from);

#endif
