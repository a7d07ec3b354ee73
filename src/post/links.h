/* links.h - what stands between two layers: a MAC, and where the values arise that it reads.
 *
 *   source -> [relu, pools, flatten, dropout] -> sink
 *
 * with the source a MAC or a batch norm, and nobody else reading any of it. What is done across such a link (equalize,
 * absorb) changes the source's channel and the sink's weights for it, and nothing else in the network notices. */
#ifndef NB_POST_LINKS_H
#define NB_POST_LINKS_H

#include <nibble/extend/op.h>

typedef struct {
    const nb_node *source, *sink; /* source NULL: there is nothing that could be changed */
    const nb_node *stop;          /* where the way up from the sink ended */
    const char *why;              /* and why, for people, when there is no source: "which joins values" */
    bool relu;                    /* stands between them */
    int32_t channels;             /* of the source */
} nb_link;

/* From the sink, a MAC, up. Nothing goes across a relu with a cap (one for all channels), a join, a value with several
 * readers, the images. */
nb_link nb_link_find(const nb_graph *g, const nb_node *sink);

/* A batch norm with gamma and beta. */
bool nb_link_is_norm(const nb_node *n);
/* Values of the layer's leaf "<layer>.<what>", or NULL. */
float *nb_link_leaf(const nb_node *n, const char *what);

/* Weights of one filter of a MAC. */
int64_t nb_link_filter_size(const nb_node *mac);

/* Which channel of the source a weight of the sink reads. Weights are OHWI; a linear layer has a column per value of an
 * image, whose channel runs fastest. */
typedef struct {
    int64_t wide, filters_each, size; /* size: of a filter */
    int32_t filters, channels;
} nb_link_reader;
nb_link_reader nb_link_reader_of(const nb_node *sink, int32_t channels);
static inline int32_t nb_link_channel_read(const nb_link_reader *r, int32_t filter, int64_t i)
{
    return (int32_t)((filter / r->filters_each * r->wide + i % r->wide) % r->channels);
}

#endif
