/* random_model.h - sound integer models from a seed: chains of all kinds of steps with residual adds, concats,
 * flattening, strides, groups, both code types, any zero points, tensors that share the arena as tightly as their
 * lifetimes allow. A third of the convolutions has weights from a table of levels, of index widths 1..8, with or without
 * 0, symmetric or not, a quarter of them a table for each channel; of the others some have grids that lie elsewhere in
 * every channel, as those with zero points do, and some are in blocks with a power of two each. Some steps move codes, by
 * any indices or along lines. */
#ifndef NB_REF_RANDOM_MODEL_H
#define NB_REF_RANDOM_MODEL_H

#include <nibble/engine.h>

/* What a convolution's weights are drawn from; n = 0: all integers of a narrow grid, with blocks times powers of two. */
typedef struct {
    int32_t bits, n, tables, block;
    int8_t *level; /* [tables][n] */
} ref_levels;

typedef struct {
    nb_emodel e; /* e.steps' arrays are single blocks of malloc, exactly as long as they must be */
    nb_etensor *tensors;
    ref_levels *levels; /* [n_steps] */
    uint8_t *pixels;    /* one image that fits */
} ref_model;

/* Stops the test when there is no memory. */
ref_model *ref_model_random(uint64_t seed);
void ref_model_free(ref_model *m);
/* First-fit offsets from lifetimes; sets e.tensor_bytes. */
void ref_model_place(ref_model *m);
/* Sizes in bytes of a step's arrays; -1 when its geometry is not one that could be allocated. */
typedef struct {
    int64_t table, weights, bias, mult, shift, index[3];
} ref_step_bytes;
ref_step_bytes ref_model_step_bytes(const nb_emodel *m, const nb_estep *s);

#endif
