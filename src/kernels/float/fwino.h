/* fwino.h - 3x3 convolutions of stride 1 by Winograd's tiles F(2x2, 3x3) (Lavin and Gray 2016): 16 products where the
 * plain sum makes 36, for the forward pass, the gradient of the input and that of the weights. fconv.c sends them here.
 *
 *   forward        y  = A^T [ sum over c of (G w G^T) * (B^T x B) ] A    per tile of 4x4 pixels in, 2x2 out
 *   input gradient the same of dy with the weights turned round
 *   weight gradient dw = G^T [ sum over tiles of (B^T x B) * (A dy A^T) ] G
 *
 * with B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 -1 0 1], G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1],
 * A^T = [1 1 1 0; 0 1 -1 1]. Products lie in 16 planes, one for each place in a tile. Rounding differs from the plain
 * sum's in the last bits, and with a pixel's place in its tile; where all sums are exact, so are these.
 *
 * Panels: per 16 output channels [16 planes][c][16], then per 16 input channels [16 planes][oc][16] of turned weights.
 * Slots are like the first half. */
#ifndef NB_KERNELS_FWINO_H
#define NB_KERNELS_FWINO_H

#include "kernels/float/fconv.h"
#include "kernels/float/fconv_isa.h"

bool nb_fwino_supports(const nb_geom *g);
/* Is it faster than the plain sum? */
bool nb_fwino_wins(const nb_geom *g);

size_t nb_fwino_panel_floats(const nb_geom *g);
size_t nb_fwino_slot_floats(const nb_geom *g);
size_t nb_fwino_scratch_floats(const nb_geom *g);
/* Panel j of 16 columns, of the forward pass or of the input gradient. */
void nb_fwino_pack(const nb_geom *g, float *panels, const float *w, int32_t j, bool forward);

/* The three passes of fconv.h for one image. */
void nb_fwino_forward(const nb_fconv_isa *k, const nb_geom *g, float *y, const nb_fconv_image *x, const float *panels,
                      const float *bias, float *scratch);
void nb_fwino_input_grad(const nb_fconv_isa *k, const nb_geom *g, float *dx, bool add, const float *dy,
                         const float *panels, float *scratch);
void nb_fwino_weight_grad(const nb_fconv_isa *k, const nb_geom *g, float *slot, const nb_fconv_image *x,
                          const float *dy, float *scratch);
/* Of panel j of the slots. */
void nb_fwino_finish(const nb_geom *g, float *dw, const nb_fconv_slots *s, int32_t j);

#endif
