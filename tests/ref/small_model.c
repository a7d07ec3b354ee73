/* small_model.c - see small_model.h. */
#include "ref/small_model.h"

#include "base/rng.h"
#include "quant/fakequant.h"

#include <nibble/extend/quant.h>

#include <stdio.h>
#include <string.h>

nb_status small_model_build(small_model *m, nb_ctx *ctx, const char *text, int32_t batch)
{
    *m = (small_model){.ctx = ctx};
    nb_dsinfo info = {.count = batch,
                      .h = SMALL_H,
                      .w = SMALL_W,
                      .c = SMALL_C,
                      .classes = SMALL_CLASSES,
                      .mean = {0.4f, 0.5f, 0.6f},
                      .std = {0.3f, 0.25f, 0.2f}};
    nb_experiment exp = {0};
    size_t pixels = (size_t)batch * SMALL_H * SMALL_W * SMALL_C;
    m->pixels = nb_alloc(ctx, pixels);
    m->labels = nb_alloc(ctx, (size_t)batch * sizeof *m->labels);
    nb_status st = m->pixels && m->labels ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK)
        st = nb_config_parse(ctx, "test.yaml", text, strlen(text), NULL, 0, &m->cfg);
    if (st == NB_OK) {
        exp.model = nb_conf_get(nb_config_root(m->cfg), "model");
        st = nb_model_build(ctx, &exp, &info, batch, &m->g);
    }
    if (st != NB_OK) {
        small_model_free(m);
        return st;
    }
    m->g->fusions = NULL; /* tests of single layers look at every value */
    nb_rng rng = nb_rng_make(5, 0);
    for (size_t i = 0; i < pixels; i++)
        m->pixels[i] = (uint8_t)nb_rng_below(&rng, 256);
    for (int32_t i = 0; i < batch; i++)
        m->labels[i] = (int32_t)nb_rng_below(&rng, SMALL_CLASSES);
    nb_graph_init(m->g, 11);
    m->run = (nb_run){.train = true, .seed = 3, .step = 1, .pixels = m->pixels, .labels = m->labels};
    return NB_OK;
}

void small_model_free(small_model *m)
{
    nb_graph_free(m->g);
    nb_config_free(m->ctx, m->cfg);
    nb_free(m->ctx, m->pixels);
    nb_free(m->ctx, m->labels);
    *m = (small_model){0};
}

/* "conv2d: {out: 8}" and "name: x" become "conv2d: {name: x, out: 8}". */
static void with_keys(char *text, size_t len, const char *example, const char *keys)
{
    const char *brace = strchr(example, '{');
    if (brace)
        snprintf(text, len, "%.*s{%s, %s", (int)(brace - example), example, keys, brace + 1);
    else
        snprintf(text, len, "%s: {%s}", example, keys);
}

void small_model_around(char *text, size_t len, const nb_op *op, const char *example)
{
    char entry[256];
    const int32_t outputs = strcmp(op->name, "mse") == 0 ? SMALL_H * SMALL_W * SMALL_C : SMALL_CLASSES;
    const char *conv = "conv2d: {kernel: 3, pad: 1, out: 4";
    with_keys(entry, sizeof entry, example, op->max_in > 1 ? "name: x, in: [pre, pre2]" : "name: x");
    if (op->role == NB_ROLE_INPUT)
        snprintf(text, len, "model:\n- %s\n- %s, name: pre}\n- linear: {out: %d}\n", entry, conv, SMALL_CLASSES);
    else if (op->role == NB_ROLE_LOSS)
        snprintf(text, len, "model:\n- input\n- linear: {name: pre, out: %d}\n- %s\n", outputs, entry);
    else if (op->max_in > 1)
        snprintf(text, len,
                 "model:\n- input\n- %s, name: pre}\n- %s, name: pre2, in: input1}\n- %s\n- linear: {out: %d}\n", conv,
                 conv, entry, SMALL_CLASSES);
    else
        snprintf(text, len, "model:\n- input\n- %s, name: pre}\n- %s\n- linear: {out: %d}\n", conv, entry,
                 SMALL_CLASSES);
}

nb_status small_model_codes(nb_graph *g, nb_node *x, int32_t k)
{
    nb_fakequant_attr a = {.format = nb_registry_find(nb_formats, "uniform"),
                           .range = nb_registry_find(nb_ranges, "minmax"),
                           .learning = nb_registry_find(nb_learnings, "none"),
                           .bits = 8,
                           .scheme = k ? NB_SCHEME_SYMMETRIC : NB_SCHEME_ASYMMETRIC,
                           .weights = k,
                           .per_channel = k};
    return nb_graph_insert(g, x->id, &nb_op_fakequant, k ? "wq" : "xq", &a, &x->in[k], 1, &x->in[k]);
}
