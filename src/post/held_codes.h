/* held_codes.h - codes that were chosen for a layer's weights, in place of the nearest ones, and stay.
 *
 * They are written into the float weights, scale times code (less zero point), which rounds to nothing else, and the range that
 * gave the scale is held (nb_fakequant_hold): whatever reads the network afterwards finds these codes. */
#ifndef NB_POST_HELD_CODES_H
#define NB_POST_HELD_CODES_H

#include <nibble/extend/op.h>

/* Is there a layer whose weights cannot be rounded up or down as one likes? Then which, why, and what would do, in why [size].
 * Values do not matter. */
bool nb_codes_refuse(const nb_graph *g, char *why, size_t size);

/* Bits of mac's weights; INT32_MAX: they are not quantized. */
int32_t nb_codes_bits(const nb_node *mac);

static inline int64_t nb_codes_count(const nb_node *mac)
{
    return nb_count(&mac->in[1]->out);
}

/* The float weights that mac rounds. */
static inline float *nb_codes_leaf(const nb_node *mac)
{
    return mac->in[1]->in[0]->out.data;
}

/* Scale of each filter, and the first and last code there is, less the zero point: those of the last forward pass. */
typedef struct {
    float *step;
    int32_t *first, *last;
} nb_codes_grid;
void nb_codes_read_grid(const nb_node *mac, const nb_codes_grid *out);

/* Writes the weights of these codes, and says whether they last: not where other codes ask for another scale, that of before, so
 * that sums fit 32 bits. step: of each filter. before [weights]: what stood there. */
bool nb_codes_write(const nb_node *mac, const float *step, const int32_t *code, float *before);
/* Puts that back. */
void nb_codes_take_back(const nb_node *mac, const float *before);

#endif
