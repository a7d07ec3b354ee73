/* input.c - pixels to real values: y = (u8 / 255 - mean) / std, per channel, by a 256-entry table built once.
 *
 * Codes of features (nibble/features.h) are pixels here: mean and std of the data set make y = step * (code - zero) of them.
 * Training and lowering read the same table, so preprocessing cannot differ after deployment. */
#include "layer.h"

#include "base/check.h"

#include <nibble/extend/lowering.h>

#include <math.h>
#include <stdio.h>

typedef struct {
    const nb_conf *mean, *std;
} input_attr;

static const nb_key input_keys[] = {
    NB_KEY_NODE(input_attr, mean, "a number or one per channel", "mean of pixel/255, -1..1; default: the data set's"),
    NB_KEY_NODE(input_attr, std, "a number or one per channel",
                "standard deviation of pixel/255, at most 4; default: the data set's"),
    {0}};

typedef struct {
    nb_graph *g;
    char where[128]; /* "input input1.mean" */
    nb_key number;   /* what each of them must be */
    float *values;
    int32_t count;
} number_list;

static nb_status read_number(void *ud, const char *text, const nb_conf *node)
{
    (void)text;
    number_list *l = ud;
    if (l->count >= l->g->info.c)
        return nb_conf_fail(l->g->ctx, node, l->where, NB_E_CONFIG, "more than %d numbers for %d channels",
                            l->g->info.c, l->g->info.c);
    return nb_conf_value(l->g->ctx, node, l->where, &l->number, &l->values[l->count++]);
}

/* Who has mean and deviation of pixels in 0..255 gets no error from arithmetic, only a network that sees nothing. */
static nb_status check_unit(nb_graph *g, const number_list *l, const nb_conf *list, double most)
{
    for (int32_t i = 0; i < l->count; i++)
        if (fabs((double)l->values[i]) > most)
            return nb_conf_fail(
                g->ctx, list, l->where, NB_E_CONFIG,
                "%g: must be at most %g in size, since pixels are divided by 255 first (%g / 255 is %.4g)",
                (double)l->values[i], most, (double)l->values[i], (double)l->values[i] / 255);
    return NB_OK;
}

/* Overwrites values[0..c) when the key is given; one number stands for all channels. */
static nb_status read_numbers(nb_graph *g, const nb_node *n, const char *key, const nb_conf *list, double low,
                              double most, float *values)
{
    if (!list)
        return NB_OK;
    number_list l = {.g = g, .number = {.kind = NB_K_FLOAT, .min = low, .max = 1000}, .values = values};
    snprintf(l.where, sizeof l.where, "input %.96s.%s", n->name, key);
    NB_TRY(nb_conf_each_text(g->ctx, list, l.where, read_number, &l));
    for (int32_t c = 1; c < g->info.c && l.count == 1; c++)
        values[c] = values[0];
    if (l.count != 1 && l.count != g->info.c)
        return nb_conf_fail(g->ctx, list, l.where, NB_E_CONFIG, "%d numbers for %d channels", l.count, g->info.c);
    return check_unit(g, &l, list, most);
}

static nb_status input_build(nb_graph *g, nb_node *n)
{
    const input_attr *a = n->attr;
    const nb_dsinfo *d = &g->info;
    float mean[NB_MAX_CHANNELS] = {0};
    float std[NB_MAX_CHANNELS] = {0};
    if (d->c < 1 || d->c > NB_MAX_CHANNELS || d->h < 1 || d->w < 1)
        return nb_node_fail(g, n, NB_E_SHAPE, "images of %d x %d x %d: must have 1..%d channels", d->h, d->w, d->c,
                            NB_MAX_CHANNELS);
    for (int32_t c = 0; c < d->c; c++) {
        mean[c] = d->mean[c];
        std[c] = d->std[c];
    }
    if (d->features && (a->mean || a->std))
        return nb_node_fail(g, n, NB_E_CONFIG,
                            "%s: features are normalised where they are read: data.mean and data.std",
                            a->mean ? "mean" : "std");
    NB_TRY(read_numbers(g, n, "mean", a->mean, -1000, NB_INPUT_MAX_MEAN, mean));
    NB_TRY(read_numbers(g, n, "std", a->std, 1e-6, NB_INPUT_MAX_STD, std));
    float *real = nb_graph_alloc(g, (size_t)d->c * 256 * sizeof *real);
    if (!real)
        return NB_E_NOMEM;
    for (int32_t c = 0; c < d->c; c++)
        for (int32_t v = 0; v < 256; v++) {
            double s = std[c] > 0.0f ? (double)std[c] : 1.0; /* a constant channel */
            real[c * 256 + v] = (float)((v / 255.0 - (double)mean[c]) / s);
        }
    n->priv = real;
    n->out.shape = nb_shape_of(4, g->room, d->h, d->w, d->c);
    return NB_OK;
}

typedef struct {
    const float *real;
    const uint8_t *pixels;
    float *out;
    int64_t values; /* per image */
    int32_t c;
} input_job;

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    const input_job *j = arg;
    const uint8_t *in = j->pixels + image * j->values;
    float *out = j->out + image * j->values;
    for (int64_t i = 0; i < j->values; i += j->c)
        for (int32_t c = 0; c < j->c; c++)
            out[i + c] = j->real[c * 256 + in[i + c]];
}

static void input_forward(nb_node *n, const nb_run *r)
{
    int32_t batch = n->out.shape.d[0];
    input_job j = {.real = n->priv,
                   .pixels = r->pixels,
                   .out = n->out.data,
                   .values = nb_count(&n->out) / batch,
                   .c = nb_channels(&n->out)};
    nb_parallel_for(batch, forward_image, &j);
}

static nb_status input_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_input(lo, n, n->priv);
}

const nb_op nb_op_input = {
    .name = "input",
    .help = "the images, normalised: (pixel / 255 - mean) / std",
    .keys = input_keys,
    .attr_size = sizeof(input_attr),
    .role = NB_ROLE_INPUT,
    .build = input_build,
    .forward = input_forward,
    .lower = input_lower,
    .examples = (const char *const[]){"input", "input: {mean: 0.5, std: [0.25]}", NULL},
};
