/* fuse.h - what the fusions share: the end of a chain, "[relu] [fakequant]". */
#ifndef NB_LAYERS_FUSE_H
#define NB_LAYERS_FUSE_H

#include <nibble/extend/fusion.h>

#include "kernels/sweeps/fused_sweep.h"

typedef struct {
    nb_kclamp clamp;
    nb_node *out; /* the chain's last node */
    nb_node *fq;  /* NULL: the chain ends in floats */
} nb_tail;

/* The end of the chain behind its first `from` nodes. */
nb_tail nb_fuse_tail(const nb_step *s, int32_t from);
bool nb_fuse_tail_fits(const nb_step *s, int32_t from);
nb_kgrid nb_fuse_grid(const nb_node *fq);

/* Keeps the smaller in *lo, the larger in *hi; NaN spoils both for good. */
void nb_fuse_extend(float *lo, float *hi, float min, float max);
/* As the kernels clamp. */
float nb_fuse_clamp(const nb_kclamp *k, float v);

#endif
