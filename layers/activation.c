/* activation.c - every line of activations.def becomes a layer: the loops over its function and its slope, its keys, its nb_op.
 *
 * What reads it needs its input for backward: a slope is computed again, not stored. */
#include "activation_math.h"
#include "each.h"
#include "layer.h"

#include <nibble/extend/lowering.h>

typedef struct {
    float a, b;
} act_attr;

/* clang-format off */
#define ACT_KEY(field, key, dflt_, low, high, what) \
    {.name = (key), .dflt = (dflt_), .help = (what), .kind = NB_K_FLOAT, .offset = offsetof(act_attr, field), .min = (low), .max = (high)}
#define NO_KEYS {{0}}
#define ONE_KEY(key, dflt_, low, high, what) {ACT_KEY(a, key, dflt_, low, high, what), {0}}
#define TWO_KEYS(key, dflt_, low, high, what, key2, dflt2, low2, high2, what2) \
    {ACT_KEY(a, key, dflt_, low, high, what), ACT_KEY(b, key2, dflt2, low2, high2, what2), {0}}
/* clang-format on */

/* What a line says a function is, for its nodes and for its op, and which examples it has. */
#define ACT_EXAMPLES_PLAIN(name, example)       name, example
#define ACT_EXAMPLES_NONNEGATIVE(name, example) name, example
#define ACT_EXAMPLES_HOMOGENEOUS(name, example) name, example
#define ACT_EXAMPLES_SHARP(name, example)       example
enum {
    ACT_NODE_SHARP = 0,
    ACT_OP_SHARP = 0,
    ACT_NODE_PLAIN = 0,
    ACT_NODE_NONNEGATIVE = NB_NODE_NONNEGATIVE,
    ACT_NODE_HOMOGENEOUS = 0,
    ACT_OP_PLAIN = 0,
    ACT_OP_NONNEGATIVE = 0,
    ACT_OP_HOMOGENEOUS = NB_OP_HOMOGENEOUS
};

static nb_status act_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_each(lo, n, 1);
}

#define NB_ACTIVATION(name_, value_, slope_, keys_, flags_, example_, help_)                                           \
    static void name_##_each(const nb_node *n, float *y, const float *v, int64_t rows)                                 \
    {                                                                                                                  \
        const float a = ((const act_attr *)n->attr)->a, b = ((const act_attr *)n->attr)->b;                            \
        (void)a, (void)b;                                                                                              \
        for (int64_t i = 0; i < rows; i++) {                                                                           \
            const float x = v[i];                                                                                      \
            y[i] = value_;                                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    static void name_##_slope(const nb_node *n, float *y, const float *v, int64_t rows)                                \
    {                                                                                                                  \
        const float a = ((const act_attr *)n->attr)->a, b = ((const act_attr *)n->attr)->b;                            \
        (void)a, (void)b;                                                                                              \
        for (int64_t i = 0; i < rows; i++) {                                                                           \
            const float x = v[i];                                                                                      \
            y[i] = slope_;                                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    static nb_status name_##_build(nb_graph *g, nb_node *n)                                                            \
    {                                                                                                                  \
        (void)g;                                                                                                       \
        n->out.shape = n->in[0]->out.shape;                                                                            \
        n->flags |= ACT_NODE_##flags_;                                                                                 \
        return NB_OK;                                                                                                  \
    }                                                                                                                  \
    static nb_status name_##_prepare(nb_graph *g, nb_node *n)                                                          \
    {                                                                                                                  \
        return nb_each_prepare(g, n, 1, name_##_slope);                                                                \
    }                                                                                                                  \
    static const nb_key name_##_keys[] = keys_;                                                                        \
    const nb_op nb_op_##name_ = {                                                                                      \
        .name = #name_,                                                                                                \
        .help = help_,                                                                                                 \
        .keys = name_##_keys,                                                                                          \
        .attr_size = sizeof(act_attr),                                                                                 \
        .min_in = 1,                                                                                                   \
        .max_in = 1,                                                                                                   \
        .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS | ACT_OP_##flags_,                                                \
        .role = NB_ROLE_TABLE,                                                                                         \
        .build = name_##_build,                                                                                        \
        .prepare = name_##_prepare,                                                                                    \
        .forward = nb_each_forward,                                                                                    \
        .backward = nb_each_backward,                                                                                  \
        .each = name_##_each,                                                                                          \
        .lower = act_lower,                                                                                            \
        .examples = (const char *const[]){ACT_EXAMPLES_##flags_(#name_, example_), NULL},                              \
    };
#include "activations.def"
