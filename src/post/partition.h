/* partition.h - a quantized network cut into blocks, one behind the other.
 *
 * It is cut at values that all behind them depend on alone. Between two neighbouring cuts stands one plain layer, or all that
 * branches and joins again: a residual block, an inverted residual that adds, a layer with a concatenation around it.
 * Plain layers that follow each other are one block, a run, which ends behind a layer without an activation (an
 * inverted residual that adds nothing) or with NB_MOST_RUN layers; the first layer and the last are blocks of their own. What
 * has no weights, a pool say, belongs to the block behind it. */
#ifndef NB_POST_PARTITION_H
#define NB_POST_PARTITION_H

#include "base/arena.h"

#include <nibble/extend/op.h>

/* Layers of a run: a stage of VGG has three, two pairs of MobileNet four. */
enum { NB_MOST_RUN = 4 };

typedef enum {
    NB_BLOCKS,       /* as above */
    NB_BLOCKS_SINGLE /* no runs: as small as cuts allow */
} nb_block_size;

typedef struct {
    const char *name;          /* "b1", "stem", "c2..c4": of its layers */
    const nb_node *from, *to;  /* it reads the one alone, and all behind it the other */
    const nb_node *const *mac; /* [n_macs] in order of execution */
    int32_t n_macs;
} nb_post_block;

/* Memory is the arena's. */
nb_status nb_blocks_find(nb_arena *arena, const nb_graph *g, nb_block_size size, nb_post_block **out, int32_t *n);

#endif
