/* block_data.h - what a block is learned from: for every image what it reads in the quantized network, whose blocks before
 * it are rounded, what it gives in the float network, and how much that matters.
 *
 * How much is the diagonal of Fisher's information, the expected square of the gradient of the float network's loss by the value
 * (BRECQ, Li et al. 2021, arXiv:2102.05426, eq. 10): the mean over the images, of each for one label, drawn from the
 * probabilities that the network itself gives. The paper weighs every image's values by its own squares; that fitted the images that
 * are learned from better, and others worse. The mean of all values' weights is 1. */
#ifndef NB_POST_BLOCK_DATA_H
#define NB_POST_BLOCK_DATA_H

#include "post/partition.h"

#include <nibble/train.h>

typedef struct {
    int32_t n;       /* images */
    int64_t in, out; /* values of one */
    float *x, *y;    /* [n][in], [n][out] */
    float *floats;   /* [n][in] what it reads in the float network; NULL: not asked for */
    float *weight;   /* [out] as above; NULL: all values matter alike */
} nb_block_data;

typedef struct {
    nb_graph *copy;   /* nb_block_graph_open */
    nb_graph *floats; /* node by node, frozen for training */
    const nb_data *data;
    const int32_t *indices;
    int32_t n; /* images indices[0..n-1] (NULL: 0..n-1) of data */
    bool mix;  /* floats is asked for */
    bool fisher;
} nb_block_source;

/* Of the first images, as many as fit into NB_BLOCK_BYTES. Memory is the caller's: nb_block_data_free, after a failure, too. */
enum { NB_BLOCK_BYTES = 256 << 20 };
nb_status nb_block_data_read(const nb_block_source *s, const nb_post_block *block, nb_block_data *out);
void nb_block_data_free(nb_ctx *ctx, nb_block_data *d);

#endif
