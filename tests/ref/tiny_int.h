/* tiny_int.h - small integer models made by hand, one step of every kind in the first. */
#ifndef NB_REF_TINY_INT_H
#define NB_REF_TINY_INT_H

#include "lower/intbuild.h"

/* What a test may bend before the builder sees it. */
typedef struct {
    nb_etensor tensors[9];
    nb_tinfo tinfo[9];
    nb_estep steps[9];
    nb_sinfo sinfo[9];
    int32_t n_tensors, n_steps;
    nb_intmeta meta;
    uint8_t table[2 * 256];
    int8_t conv1[3 * 3 * 3 * 2], depthwise[3], last[4 * 6];
    int32_t bias[4], mult[4], shift[4];
    float scales[4];
    int8_t levels[256];
    int32_t moved[3][6];
} ref_tiny;

/* table 5x5x2 u8 -> conv 3x3 pad 1 (3 channels) -> maxpool 2x2 -> depthwise 1x1 -> add -> concat -> clamp -> avgpool ->
 * conv (4 classes, int32). Weights of the first conv have weight_bits and fill its grid. */
void ref_tiny_fill(ref_tiny *t, int32_t weight_bits);
/* The first conv's weights become integers of a table, all of them in turn, stored as `bits` wide indices. */
void ref_tiny_levels(ref_tiny *t, int32_t bits, const int8_t *level, int32_t n);
/* The first convolution's weights, 18 to a channel, in blocks with exponents 0, 1, ... */
void ref_tiny_blocks(ref_tiny *t, int32_t bits, int32_t block);
/* The clamp becomes a take: rows the other way round, columns as they are, two channels of zeros and four others. */
void ref_tiny_moves(ref_tiny *t);
/* Everything in t through the builder; *out belongs to the caller. */
nb_status ref_tiny_build(nb_ctx *ctx, const ref_tiny *t, nb_intmodel **out);
nb_status ref_tiny_model(nb_ctx *ctx, int32_t weight_bits, nb_intmodel **out);

#endif
