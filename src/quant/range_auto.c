/* range_auto.c - the default: the range that its bits need, by the table of docs/choosing.md ("Ranges").
 *
 * With few bits what is cut off is worth less than the levels that it costs; with many nothing need be cut off. The
 * method that is picked is a node's range from then on, so this one is never observed. */
#include "quant/range_ends.h"

static const nb_key auto_keys[] = {NB_KEY_MOMENTUM, {0}};

enum { WEIGHTS_MSE_BELOW = 4, ACTIVATIONS_MSE_BELOW = 8 };

/* All of these have the attributes of this one, or none. */
static const char *auto_pick(const nb_range_use *use)
{
    if (use->weights)
        return use->bits < WEIGHTS_MSE_BELOW ? "mse" : "minmax";
    return use->bits < ACTIVATIONS_MSE_BELOW ? "mse" : "ema";
}

const nb_range nb_range_auto = {
    .name = "auto",
    .help = "by bits: weights mse below 4, minmax from there on; activations mse below 8, ema at 8",
    .keys = auto_keys,
    .attr_size = sizeof(nb_range_average),
    .pick = auto_pick};
