/* shuffle.c - channels of all groups in turn: [groups, c / groups] becomes [c / groups, groups] (ShuffleNet). */
#include "layer.h"
#include "moves.h"

#include "base/check.h"

typedef struct {
    int32_t groups;
} shuffle_attr;

static const nb_key shuffle_keys[] = {
    NB_KEY_INT(shuffle_attr, groups, "2", 1, 65536, "groups of channels, of which one after the other gives a channel"),
    {0}};

static nb_status shuffle_build(nb_graph *g, nb_node *n)
{
    const int32_t groups = ((const shuffle_attr *)n->attr)->groups;
    int32_t in[3], *index;
    nb_take_in(n, in);
    if (in[2] % groups)
        return nb_node_fail(g, n, NB_E_SHAPE, "groups: %d: must divide the %d channels of %s", groups, in[2],
                            n->in[0]->name);
    NB_TRY(nb_take_same(g, n, 0));
    NB_TRY(nb_take_same(g, n, 1));
    NB_TRY(nb_take_axis(g, n, 2, in[2], &index));
    for (int32_t k = 0; k < in[2]; k++)
        index[k] = k % groups * (in[2] / groups) + k / groups;
    return nb_take_done(g, n);
}

const nb_op nb_op_shuffle = {
    .name = "shuffle",
    .help = "channels of all groups in turn",
    .keys = shuffle_keys,
    .attr_size = sizeof(shuffle_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS | NB_OP_MOVES,
    .role = NB_ROLE_KEEP,
    .build = shuffle_build,
    .prepare = nb_take_prepare,
    .forward = nb_take_forward,
    .backward = nb_take_backward,
    .lower = nb_take_lower,
    .examples = (const char *const[]){"shuffle: {groups: 2}", NULL},
};
