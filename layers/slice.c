/* slice.c - some rows, columns or channels, by number, in any order: "8:", "::2", "0:4, 6", "::-1" as in Python. */
#include "layer.h"
#include "moves.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *rows, *cols, *channels;
} slice_attr;

static const nb_key slice_keys[] = {
    NB_KEY_STRING(slice_attr, channels, "", "which, as in Python: \"8:\", \"::2\", \"0:4, 6\"; all if left out"),
    NB_KEY_STRING(slice_attr, rows, "", "likewise"),
    NB_KEY_STRING(slice_attr, cols, "", "likewise"),
    {0}};

typedef struct {
    bool given;
    int64_t v;
} number;

/* A whole number, or none; *text goes on behind it and blanks. */
static bool read_number(const char **text, number *out)
{
    char *end;
    errno = 0;
    out->v = strtol(*text, &end, 10);
    out->given = end != *text;
    for (*text = end; **text == ' ';)
        ++*text;
    return errno == 0 && out->v >= INT32_MIN && out->v <= INT32_MAX;
}

typedef struct {
    number from, to, step;
    bool one; /* a single number */
} range;

/* "from:to:step" or "from" up to a comma or the end. */
static bool read_range(const char **text, range *r)
{
    *r = (range){.step = {false, 1}};
    if (!read_number(text, &r->from))
        return false;
    r->one = **text != ':';
    if (r->one)
        return r->from.given;
    ++*text;
    if (!read_number(text, &r->to))
        return false;
    if (**text == ':') {
        ++*text;
        if (!read_number(text, &r->step))
            return false;
    }
    r->step.v = r->step.given ? r->step.v : 1;
    return r->step.v != 0;
}

static int64_t clamped(number a, int64_t dflt, int64_t size, int64_t lo, int64_t hi)
{
    const int64_t v = a.v + (a.v < 0 ? size : 0);
    return !a.given ? dflt : v < lo ? lo : v > hi ? hi : v;
}

/* Numbers that text lists of 0..size - 1, into index unless that is NULL; -1 when it does not say any, -2 when one is
 * outside. */
static int64_t numbers(const char *text, int64_t size, int32_t *index)
{
    int64_t n = 0;
    for (;; text++) {
        range r;
        if (!read_range(&text, &r) || (*text && *text != ','))
            return -1;
        int64_t from, to;
        if (r.one && (r.from.v < -size || r.from.v >= size))
            return -2;
        if (r.step.v > 0) {
            from = clamped(r.from, 0, size, 0, size);
            to = r.one ? from + 1 : clamped(r.to, size, size, 0, size);
        } else {
            from = clamped(r.from, size - 1, size, -1, size - 1);
            to = clamped(r.to, -1, size, -1, size - 1);
        }
        for (int64_t at = from; r.step.v > 0 ? at < to : at > to; at += r.step.v, n++)
            if (index)
                index[n] = (int32_t)at;
        if (!*text)
            return n;
    }
}

static nb_status build_axis(nb_graph *g, nb_node *n, int32_t axis, const char *key, const char *text)
{
    int32_t in[3], *index;
    nb_take_in(n, in);
    if (!*text)
        return nb_take_same(g, n, axis);
    const int64_t count = numbers(text, in[axis], NULL);
    if (count == -1)
        return nb_node_fail(g, n, NB_E_CONFIG,
                            "%s: %.80s: must be numbers or FROM:TO:STEP with commas between, such as \"8:\" or \"::2\"",
                            key, text);
    if (count == -2)
        return nb_node_fail(g, n, NB_E_SHAPE, "%s: %.80s: %s has %d of them", key, text, n->in[0]->name, in[axis]);
    NB_TRY(nb_take_axis(g, n, axis, count, &index));
    numbers(text, in[axis], index);
    return NB_OK;
}

static nb_status slice_build(nb_graph *g, nb_node *n)
{
    const slice_attr *a = n->attr;
    if (!*a->rows && !*a->cols && !*a->channels)
        return nb_node_fail(g, n, NB_E_CONFIG, "needs `channels`, `rows` or `cols`");
    NB_TRY(build_axis(g, n, 0, "rows", a->rows));
    NB_TRY(build_axis(g, n, 1, "cols", a->cols));
    NB_TRY(build_axis(g, n, 2, "channels", a->channels));
    return nb_take_done(g, n);
}

const nb_op nb_op_slice = {
    .name = "slice",
    .help = "some channels, rows or columns; several of one layer split it",
    .keys = slice_keys,
    .attr_size = sizeof(slice_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS | NB_OP_MOVES,
    .role = NB_ROLE_KEEP,
    .build = slice_build,
    .prepare = nb_take_prepare,
    .forward = nb_take_forward,
    .backward = nb_take_backward,
    .lower = nb_take_lower,
    .examples = (const char *const[]){"slice: {channels: \"1:3\"}", "slice: {rows: \"::2\", cols: \"::2\"}",
                                      "slice: {channels: \"::-1, 0\", rows: \"-3:\", cols: \"1, 1, 4:0:-2\"}", NULL},
};
