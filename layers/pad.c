/* pad.c - more rows, columns and channels around an image: zeros, or the image's own; and zeros between its rows and
 * columns, which is what a transposed convolution slides over. */
#include "layer.h"
#include "moves.h"

#include "base/check.h"

typedef enum { PAD_ZERO, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

typedef struct {
    nb_sides pad;
    nb_hw channels, between;
    int32_t mode;
} pad_attr;

static const nb_key pad_keys[] = {
    NB_KEY_SIDES(pad_attr, pad, "0", 4096, "rows and columns more on each side"),
    NB_KEY_ENUM(pad_attr, mode, "zero", "zero|reflect|edge|wrap",
                "what is in them: zeros, the image mirrored at its edge, the edge again, the other side"),
    NB_KEY_HW(pad_attr, channels, "0", 0, 65536, "channels of zeros before and behind: [before, behind]"),
    NB_KEY_HW(pad_attr, between, "0", 0, 64, "zeros between one row and the next, and between columns"),
    {0}};

/* Which of n rows stands at place i, from before the first to behind the last; -1: zeros. */
static int32_t row_at(int32_t i, int32_t n, pad_mode mode)
{
    if (i >= 0 && i < n)
        return i;
    switch (mode) {
    case PAD_REFLECT:
        return i < 0 ? -i : 2 * (n - 1) - i;
    case PAD_EDGE:
        return i < 0 ? 0 : n - 1;
    case PAD_WRAP:
        return i < 0 ? i + n : i - n;
    default:
        return -1;
    }
}

typedef struct {
    int32_t axis, before, behind, between;
    pad_mode mode;
} sides;

static nb_status pad_axis(nb_graph *g, nb_node *n, const sides *s)
{
    int32_t in[3], *index;
    nb_take_in(n, in);
    const int32_t size = in[s->axis], most = s->mode == PAD_REFLECT ? size - 1 : size;
    if ((s->mode == PAD_REFLECT || s->mode == PAD_WRAP) && (s->before > most || s->behind > most))
        return nb_node_fail(g, n, NB_E_SHAPE, "pad: %d: must be at most %d with mode: %s, since %s has %d",
                            s->before > most ? s->before : s->behind, most, s->mode == PAD_WRAP ? "wrap" : "reflect",
                            n->in[0]->name, size);
    const int64_t wide = (int64_t)(size - 1) * (s->between + 1) + 1;
    NB_TRY(nb_take_axis(g, n, s->axis, s->before + wide + s->behind, &index));
    for (int64_t i = 0; i < s->before + wide + s->behind; i++) {
        const int64_t at = i - s->before;
        index[i] = s->between == 0                                      ? row_at((int32_t)at, size, s->mode)
                   : at < 0 || at >= wide || at % (s->between + 1) != 0 ? -1
                                                                        : (int32_t)(at / (s->between + 1));
    }
    return NB_OK;
}

static nb_status pad_build(nb_graph *g, nb_node *n)
{
    const pad_attr *a = n->attr;
    const pad_mode mode = (pad_mode)a->mode;
    const nb_sides p = a->pad;
    if (p.top < 0)
        return nb_node_fail(g, n, NB_E_CONFIG, "pad: same: has no meaning here: say how many");
    if (mode != PAD_ZERO && (a->between.h || a->between.w))
        return nb_node_fail(g, n, NB_E_CONFIG, "between: puts zeros: leave mode out");
    NB_TRY(pad_axis(g, n, &(sides){0, p.top, p.bottom, a->between.h, mode}));
    NB_TRY(pad_axis(g, n, &(sides){1, p.left, p.right, a->between.w, mode}));
    NB_TRY(pad_axis(g, n, &(sides){2, a->channels.h, a->channels.w, 0, PAD_ZERO}));
    return nb_take_done(g, n);
}

const nb_op nb_op_pad = {
    .name = "pad",
    .help = "rows, columns or channels of zeros, or of the image itself, around it",
    .keys = pad_keys,
    .attr_size = sizeof(pad_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS | NB_OP_MOVES,
    .role = NB_ROLE_KEEP,
    .build = pad_build,
    .prepare = nb_take_prepare,
    .forward = nb_take_forward,
    .backward = nb_take_backward,
    .lower = nb_take_lower,
    .examples =
        (const char *const[]){"pad: {pad: [1, 0, 2, 3]}", "pad: {channels: [1, 2]}",
                              "pad: {pad: [2, 1], mode: reflect}", "pad: {pad: 2, mode: edge, channels: [0, 1]}",
                              "pad: {pad: [1, 3, 0, 1], mode: wrap}", "pad: {between: [1, 2], pad: 1}", NULL},
};
