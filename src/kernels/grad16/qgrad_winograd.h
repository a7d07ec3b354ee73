/* qgrad_winograd.h - 16-bit gradients of 3x3 convolutions by tiles; for qgrad.c, the variants that offer it and tests.
 */
#ifndef NB_KERNELS_QGRAD_WINOGRAD_H
#define NB_KERNELS_QGRAD_WINOGRAD_H

#include "kernels/grad16/qgrad_isa.h"

enum {
    NB_QGRAD_TILE_MAX = 8191, /* largest code where tiles are used: a point of the transform is up to 4 of them */
    NB_QGRAD_TILE_GAIN = 4    /* and sums come out this many times as large */
};

/* Is this a geometry for tiles? The answer is the same for every variant, since codes depend on it. */
bool nb_qgrad_winograd_fits(const nb_geom *g);
/* Rows of output pixels whose sum for dw fits 32 bits: an even number. */
int32_t nb_qgrad_winograd_rows(const nb_geom *g);

size_t nb_qgrad_winograd_panel_bytes(const nb_geom *g);
size_t nb_qgrad_winograd_scratch_bytes(const nb_geom *g); /* for either pass */
/* 16 input channels of the panels u. */
void nb_qgrad_winograd_pack(int16_t *u, const int8_t *w, const nb_geom *g, int32_t part);
/* dx = or += scale * the sums over codes round_half_even(dy * w_scale * times). */
void nb_qgrad_winograd_input(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dx *dx, const int16_t *u,
                             void *scratch);
/* slot += scale[o] * the sums over codes round_half_even(dy * times[o]). */
void nb_qgrad_winograd_weight(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dw *dw, void *scratch);

#endif
