/* street.c - see street.h. */
#include "ref/street.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

static nb_status build(const ref_street *s, int32_t batch, nb_graph **out)
{
    return nb_model_build(s->ctx, &s->exp, nb_data_info(s->train), batch, out);
}

nb_status ref_street_open(ref_street *s, const char *yaml, int32_t batch, ref_quantize q)
{
    *s = (ref_street){.ctx = nb_ctx_create()};
    NB_ASSERT(s->ctx != NULL);
    NB_TRY(nb_config_parse(s->ctx, "test.yaml", yaml, strlen(yaml), NULL, 0, &s->cfg));
    NB_TRY(nb_experiment_bind(s->ctx, s->cfg, &s->exp));
    NB_TRY(nb_data_open(s->ctx, s->exp.data, "train", &s->train));
    NB_TRY(nb_data_open(s->ctx, s->exp.data, "test", &s->test));
    NB_TRY(build(s, batch, &s->graph));
    nb_graph_init(s->graph, s->exp.seed);
    return q == REF_QUANTIZED ? nb_model_quantize(s->graph, s->exp.quant) : NB_OK;
}

nb_status ref_street_copy(const ref_street *s, int32_t batch, ref_quantize q, nb_graph **out)
{
    nb_graph *g;
    NB_TRY(build(s, batch, &g));
    nb_status st = q == REF_QUANTIZED ? nb_model_quantize(g, s->exp.quant) : NB_OK;
    for (int32_t i = 0; st == NB_OK && i < g->n; i++) {
        nb_node *to = g->node[i], *from = nb_graph_find(s->graph, to->name);
        if (!(to->flags & NB_NODE_LEAF))
            continue;
        NB_ASSERT(from && nb_shape_equal(&from->out.shape, &to->out.shape));
        memcpy(to->out.data, from->out.data, (size_t)nb_count(&to->out) * sizeof(float));
    }
    if (st == NB_OK)
        st = nb_graph_freeze(g, NB_PLAN_INFER);
    if (st == NB_OK)
        *out = g;
    else
        nb_graph_free(g);
    return st;
}

static void descend(nb_graph *g, float lr)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *p = g->node[i];
        if (!(p->flags & NB_NODE_PARAM))
            continue;
        float *w = p->out.data;
        for (int64_t k = 0, n = nb_count(&p->out); k < n; k++)
            w[k] -= lr * p->out.grad[k];
    }
}

float ref_street_steps(ref_street *s, int32_t steps, float lr, bool freeze_bn)
{
    nb_graph *g = s->graph;
    const nb_dsinfo *info = nb_data_info(s->train);
    if (!g->frozen)
        NB_ASSERT(nb_graph_freeze(g, NB_PLAN_TRAIN) == NB_OK);
    size_t bytes = (size_t)info->h * (size_t)info->w * (size_t)info->c;
    uint8_t *pixels = nb_alloc(s->ctx, (size_t)g->batch * bytes);
    int32_t *labels = nb_alloc(s->ctx, (size_t)g->batch * sizeof *labels);
    NB_ASSERT(pixels && labels);
    for (int32_t step = 0; step < steps; step++) {
        for (int32_t b = 0; b < g->batch; b++)
            nb_data_get(s->train, (step * g->batch + b) % info->count, pixels + (size_t)b * bytes, &labels[b]);
        nb_run r = {.train = true, .seed = 1, .step = (uint64_t)step, .pixels = pixels, .labels = labels};
        r.freeze_bn = freeze_bn;
        nb_forward(g, &r);
        nb_backward(g, &r);
        descend(g, lr);
    }
    nb_free(s->ctx, pixels);
    nb_free(s->ctx, labels);
    return nb_graph_loss(g);
}

void ref_street_close(ref_street *s)
{
    nb_graph_free(s->graph);
    nb_data_close(s->ctx, s->train);
    nb_data_close(s->ctx, s->test);
    nb_config_free(s->ctx, s->cfg);
    nb_ctx_destroy(s->ctx);
}

nb_status ref_street_weights(ref_street *s, const char *keys)
{
    static const char *const net =
        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
        "model: [input, conv2d: {name: c, out: 5, kernel: 3}, relu, conv2d: {name: d, out: 7, kernel: 3}, batchnorm, "
        "relu,\n"
        "  avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"
        "quant: {weights: {%s}}\n";
    char text[1024];
    snprintf(text, sizeof text, net, keys);
    return ref_street_open(s, text, 8, REF_QUANTIZED);
}
