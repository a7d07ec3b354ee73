/* layer_rows.h - a layer as a matrix: what its filters read in the quantized network at some output pixels of many
 * images, a row per pixel, and what it should give there, which is what the float network gives.
 *
 * Which pixels is the same for both, and for any number of threads. A pixel's row is number (pixel of the image) *
 * images + image, so that rows that follow each other are of different images. What it should give is the value behind the
 * batch norm and the activation that belong to the layer (end); to there a row's products are followed by
 * clamp(mul * sum + add, low, high). */
#ifndef NB_POST_LAYER_ROWS_H
#define NB_POST_LAYER_ROWS_H

#include "post/adaround.h"
#include "post/paired.h"

#include <nibble/geom.h>

typedef struct {
    const nb_node *mac, *end; /* in the quantized graph */
    nb_geom geom;             /* of a linear layer: one pixel */
    int32_t images, pixels;   /* pixels of each of so many images */
    nb_adaround_problem of;   /* x and y: the caller's */
    float *values;            /* [3][filters] and [2][filters]: what `of` points to */
    int32_t *codes;
    double *work; /* [4][filters] */
} nb_layer_rows;

struct nb_arena;
/* n images at most are looked at. Memory is the arena's. */
nb_status nb_layer_rows_plan(struct nb_arena *arena, const nb_graph *g, const nb_node *mac, int32_t n,
                             nb_layer_rows *out);

static inline int32_t nb_layer_rows_count(const nb_layer_rows *l)
{
    return l->images * l->pixels;
}

/* Fills y [rows][filters] of n layers, in order of execution, from the float network; each has its memory. */
nb_status nb_layer_rows_want(const nb_pair *floats, const nb_layer_rows *l, int32_t n, float *const *y);
/* Fills x of one layer, and all of l->of but y, from the quantized network as it is now. */
nb_status nb_layer_rows_read(const nb_pair *quantized, nb_layer_rows *l, float *x);

#endif
