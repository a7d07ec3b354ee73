/* test_batchnorm_folded.c - batch norm folded in every step: its definition by PyTorch (tests/golden/make_golden.py), the
 * batch norm it stands for where nothing is rounded, and what is deployed. Run from the top of the tree. */
#include "ref/random_network.h"
#include "ref/small_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/one_thread.h"

#include "base/parallel.h"
#include "base/safetensors.h"
#include "quant/fakequant.h"

#include <math.h>
#include <nibble/extend/fusion.h>

/* Largest difference, relative to the largest wanted value, or to `least`. */
static double difference(const float *got, const float *want, int64_t n, double least)
{
    double size = least, worst = 0;
    for (int64_t i = 0; i < n; i++)
        size = fmax(size, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++) {
        const double e = fabs((double)got[i] - (double)want[i]) / size;
        worst = isnan(e) ? INFINITY : fmax(worst, e);
    }
    return worst;
}

/* ---- the definition ---- */

static const nb_st_tensor *part(const nb_st_file *f, int32_t k, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%d.%s", k, what);
    return nb_st_find(f, name);
}

static void assert_near(const nb_st_file *f, int32_t k, const char *what, const float *got)
{
    const nb_st_tensor *want = part(f, k, what);
    assert_non_null(want);
    const double e = difference(got, want->data, want->count, 1e-6);
    if (e > 1e-5)
        fail_msg("case %d, %s: relative error %g", k, what, e);
}

static nb_status given_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = *(const nb_shape *)n->attr;
    return NB_OK;
}

static const nb_op op_given = {
    .name = "given", .attr_size = sizeof(nb_shape), .role = NB_ROLE_INPUT, .build = given_build};

/* Adds the layer that text, "kind: {keys}", describes. */
static nb_node *add_layer(nb_graph *g, const char *text, const char *name, nb_node *in)
{
    nb_config *cfg;
    nb_node *n;
    assert_ok(nb_config_parse(ctx, name, text, strlen(text), NULL, 0, &cfg));
    const nb_conf *root = nb_config_root(cfg);
    const nb_op *op = nb_registry_find(nb_layers, nb_conf_key_at(root, 0));
    assert_non_null(op);
    void *attr = calloc(1, op->attr_size + 1);
    const nb_binding bind = {op->keys, attr};
    assert_ok(nb_conf_bind(ctx, nb_conf_at(root, 0), name, &bind, 1));
    assert_ok(nb_graph_add(g, op, name, NULL, attr, &in, 1, &n));
    free(attr);
    nb_config_free(ctx, cfg);
    return n;
}

/* x -> layer c -> batch norm n, folded, the layer's weights rounded in ranges that are given. */
static nb_node *build_case(const nb_st_file *f, int32_t k, nb_graph **out, nb_node **x)
{
    char key[32];
    nb_graph *g;
    nb_node *fq;
    nb_dsinfo info = {0};
    nb_shape s = {.ndim = part(f, k, "x")->ndim};
    int bits, channels;
    for (int32_t i = 0; i < s.ndim; i++)
        s.d[i] = (int32_t)part(f, k, "x")->shape[i];
    snprintf(key, sizeof key, "%d.layer", k);
    assert_ok(nb_graph_create(ctx, &info, s.d[0], &g));
    assert_ok(nb_graph_add(g, &op_given, "x", NULL, &s, NULL, 0, x));
    nb_node *mac = add_layer(g, nb_st_meta(f, key), "c", *x);
    snprintf(key, sizeof key, "%d.norm", k);
    nb_node *norm = add_layer(g, nb_st_meta(f, key), "n", mac);
    assert_ok(nb_quant_fold_corrected(g, NULL));
    snprintf(key, sizeof key, "%d.weights", k);
    assert_int_equal(sscanf(nb_st_meta(f, key), "%d %d", &bits, &channels), 2);
    const nb_fakequant_attr a = {.format = nb_registry_find(nb_formats, "uniform"),
                                 .range = nb_registry_find(nb_ranges, "minmax"),
                                 .learning = nb_registry_find(nb_learnings, "none"),
                                 .bits = bits,
                                 .scheme = NB_SCHEME_SYMMETRIC,
                                 .weights = true,
                                 .per_channel = channels > 1};
    assert_ok(nb_graph_insert(g, mac->id, &nb_op_fakequant, "fq", &a, &mac->in[1], 1, &fq));
    mac->in[1] = fq;
    assert_ok(nb_graph_add(g, nb_registry_find(nb_layers, "softmax_xent"), "loss", NULL, NULL, &norm, 1, NULL));
    assert_ok(nb_graph_freeze(g, NB_PLAN_TRAIN));
    for (int32_t c = 0; c < channels; c++) {
        const float high = ((const float *)part(f, k, "high")->data)[c], row[] = {-high, high, 1};
        memcpy((float *)fq->in[1]->out.data + (ptrdiff_t)3 * c, row, sizeof row);
    }
    *out = g;
    return norm;
}

static const char *const leaves[] = {"c.weight", "c.bias", "n.gamma", "n.beta", "n.mean", "n.var"};

static void check_case(const nb_st_file *f, int32_t k)
{
    nb_graph *g;
    nb_node *x, *norm = build_case(f, k, &g, &x);
    nb_run r = {.train = *(const int32_t *)part(f, k, "train")->data, .freeze_ranges = true};
    memcpy(x->out.data, part(f, k, "x")->data, part(f, k, "x")->bytes);
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (part(f, k, leaves[i] + 2))
            memcpy(nb_graph_find(g, leaves[i])->out.data, part(f, k, leaves[i] + 2)->data,
                   part(f, k, leaves[i] + 2)->bytes);
    nb_forward(g, &r);
    assert_near(f, k, "y", norm->out.data);
    assert_near(f, k, "after.mean", nb_graph_find(g, "n.mean")->out.data);
    assert_near(f, k, "after.var", nb_graph_find(g, "n.var")->out.data);
    float *dx = calloc(1, part(f, k, "x")->bytes);
    x->out.grad = dx;
    nb_backward_begin(g);
    memcpy(norm->out.grad, part(f, k, "dy")->data, part(f, k, "dy")->bytes);
    int32_t step = g->n_steps - 1;
    while (nb_step_last(&g->step[step]) != norm)
        step--;
    for (; step >= 0; step--)
        nb_backward_step(g, step, &r);
    assert_near(f, k, "d.x", dx);
    for (int32_t i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "d.%s", leaves[i] + 2);
        const nb_node *leaf = nb_graph_find(g, leaves[i]);
        assert_int_equal(leaf != NULL, part(f, k, name) != NULL);
        if (leaf && (i != 1 || !r.train)) /* a bias before a batch norm has none: only rounding is left of it */
            assert_near(f, k, name, leaf->out.grad);
        for (int64_t c = 0; leaf && i == 1 && r.train && c < 6; c++)
            assert_true(fabsf(((float *)leaf->out.grad)[c]) < 1e-4f);
    }
    nb_graph_free(g);
    free(dx);
}

static void two_passes_equal_pytorch_in_training_and_frozen(void **state)
{
    (void)state;
    nb_st_file *f;
    assert_ok(nb_st_open(ctx, "tests/golden/folded_norm.safetensors", &f));
    for (int32_t k = 0; k < 5; k++)
        check_case(f, k);
    assert_null(part(f, 5, "x"));
    nb_st_close(ctx, f);
}

/* ---- where nothing is rounded ---- */

static const char *const net = "model:\n"
                               "- input\n"
                               "- conv2d: {name: c1, out: 6, kernel: 3, pad: 1}\n"
                               "- batchnorm: {name: b1}\n"
                               "- relu\n"
                               "- dwconv2d: {name: d1, kernel: 3, pad: 1, bias: no}\n"
                               "- batchnorm: {name: b2, momentum: 0.3}\n"
                               "- relu: {name: r2}\n"
                               "- conv2d: {name: c2, in: r2, out: 6, kernel: 1}\n"
                               "- batchnorm: {name: b3}\n"
                               "- add: {in: [b3, r2]}\n"
                               "- linear: {name: l1, out: 5}\n"
                               "- batchnorm: {name: b4}\n"
                               "- linear: {out: 4}\n";

static void disturb(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        float *v = g->node[i]->out.data;
        const char *dot = strrchr(g->node[i]->name, '.');
        for (int64_t c = 0; dot && c < nb_count(&g->node[i]->out); c++)
            v[c] = !strcmp(dot, ".gamma")   ? 0.8f - 0.3f * (float)c
                   : !strcmp(dot, ".var")   ? 0.5f + 0.4f * (float)c
                   : strcmp(dot, ".weight") ? 0.1f * (float)c
                                            : v[c];
    }
}

static void without_rounding_it_is_the_batch_norm_it_stands_for(void **state)
{
    (void)state;
    small_model m[2];
    for (int32_t i = 0; i < 2; i++) {
        assert_ok(small_model_build(&m[i], ctx, net, 8));
        if (i == 1)
            assert_ok(nb_quant_fold_corrected(m[i].g, NULL));
        assert_ok(nb_graph_freeze(m[i].g, NB_PLAN_TRAIN));
        disturb(m[i].g);
    }
    for (int32_t mode = 0; mode < 4; mode++) {
        for (int32_t i = 0; i < 2; i++) {
            m[i].run.freeze_bn = mode & 1;
            nb_forward(m[i].g, &m[i].run);
        }
        assert_true(difference(nb_graph_logits(m[1].g), nb_graph_logits(m[0].g), 32, 1e-6) < 1e-5);
        for (int32_t i = 0; i < 2; i++)
            nb_backward(m[i].g, &m[i].run);
        for (int32_t i = 0; i < m[0].g->n; i++) {
            const nb_node *leaf = m[0].g->node[i], *other = nb_graph_find(m[1].g, leaf->name);
            if (!(leaf->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)))
                continue;
            assert_non_null(other); /* the same leaves, whatever node holds them */
            assert_true(difference(other->out.data, leaf->out.data, nb_count(&leaf->out), 1e-6) < 1e-5);
            if (leaf->out.grad) /* some are 0: a bias before a batch norm */
                assert_true(difference(other->out.grad, leaf->out.grad, nb_count(&leaf->out), 1e-3) < 1e-4);
        }
    }
    small_model_free(&m[0]);
    small_model_free(&m[1]);
}

/* Without relus, which have kinks. */
static void its_backward_is_the_derivative_of_its_forward(void **state)
{
    (void)state;
    small_model m;
    double worst;
    assert_ok(small_model_build(&m, ctx,
                                "model: [input, conv2d: {name: c1, out: 3, pad: 1}, batchnorm: {name: b1}, dwconv2d: "
                                "{pad: 1, bias: no}, batchnorm, avgpool: {kernel: 2}, linear: {out: 4}]\n",
                                8));
    assert_ok(nb_quant_fold_corrected(m.g, NULL));
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    disturb(m.g);
    for (int32_t mode = 0; mode < 2; mode++) {
        m.run.freeze_bn = mode;
        assert_ok(nb_grad_check(m.g, &m.run, 6, 1e-3, &worst));
        assert_true(worst < 1e-2);
    }
    small_model_free(&m);
}

/* ---- what is deployed ---- */

static const char yaml_head[] =
    "seed: 3\ndata: {name: synth, count: 64, height: 9, width: 7, channels: 3, classes: 4}\n"
    "model: [input, conv2d: {name: c1, out: 8, pad: 1}, batchnorm: {name: b1}, relu, dwconv2d: {name: d1, pad: 1}, "
    "batchnorm: {name: b2}, relu, avgpool: {global: yes}, linear: {out: 4, name: fc}]\n";

static void open_street(ref_street *s, const char *batchnorm, const char *granularity)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "%squant: {weights: {bits: 4, granularity: %s, range: mse}, batchnorm: %s}\n",
             yaml_head, granularity, batchnorm);
    nb_status st = ref_street_open(s, yaml, 8, REF_QUANTIZED);
    if (st != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
}

/* Between two steps: q(gamma W / sigma) with the running sigma are the codes of the next step and those of lowering. */
static void the_codes_of_a_step_are_those_that_are_deployed(void **state)
{
    (void)state;
    for (int32_t tensor = 0; tensor < 2; tensor++) {
        ref_street s;
        open_street(&s, "fold_corrected", tensor ? "tensor" : "channel");
        ref_street_steps(&s, 3, 0.01f, false);
        nb_intmodel *m;
        assert_int_equal(nb_lower(s.graph, "", &m), NB_OK);
        uint8_t *pixels = calloc(8, 9 * 7 * 3);
        for (int32_t i = 0; i < 8; i++) {
            int32_t label;
            nb_data_get(s.train, i, pixels + (ptrdiff_t)i * 9 * 7 * 3, &label);
        }
        nb_forward(s.graph, &(nb_run){.train = true, .freeze_ranges = true, .pixels = pixels});
        const nb_node *c1 = nb_graph_find(s.graph, "c1"), *w = nb_graph_find(s.graph, "c1.weight");
        const float *gamma = nb_graph_find(s.graph, "b1.gamma")->out.data;
        const nb_estep *step = NULL;
        for (int32_t i = 0; i < m->e.n_steps && !step; i++)
            step = m->e.steps[i].kind == NB_STEP_CONV ? &m->e.steps[i] : NULL;
        assert_true(step && gamma[0] > 0);
        assert_memory_equal(c1->in[1]->out.data, step->weights, (size_t)nb_count(&w->out));
        nb_intmodel_free(s.ctx, m);
        free(pixels);
        ref_street_close(&s);
    }
}

static void frozen_training_leaves_statistics_alone_and_trains_gamma(void **state)
{
    (void)state;
    ref_street s;
    open_street(&s, "fold_corrected", "tensor");
    ref_street_steps(&s, 2, 0.01f, false);
    float before[8], gamma[8];
    memcpy(before, nb_graph_find(s.graph, "b1.var")->out.data, sizeof before);
    memcpy(gamma, nb_graph_find(s.graph, "b1.gamma")->out.data, sizeof gamma);
    ref_street_steps(&s, 2, 0.01f, true);
    assert_memory_equal(nb_graph_find(s.graph, "b1.var")->out.data, before, sizeof before);
    assert_memory_not_equal(nb_graph_find(s.graph, "b1.gamma")->out.data, gamma, sizeof gamma);
    ref_street_close(&s);
}

/* What is learned, or makes weights into others, reads them again on the way back, where a leaf would still be. */
static void folded_weights_live_until_their_quantizer_has_read_them(void **state)
{
    (void)state;
    static const char *const learn[] = {"lsq", "dorefa, format: odd"};
    for (int32_t k = 0; k < 2; k++) {
        ref_street s;
        char yaml[1024];
        uint8_t pixels[8 * 9 * 7 * 3];
        int32_t labels[8];
        snprintf(yaml, sizeof yaml,
                 "%squant: {weights: {bits: 4, granularity: tensor, learn: %s}, batchnorm: "
                 "fold_corrected}\n",
                 yaml_head, learn[k]);
        if (ref_street_open(&s, yaml, 8, REF_QUANTIZED) != NB_OK)
            fail_msg("%s", nb_ctx_error(s.ctx));
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
        for (int32_t i = 0; i < 8; i++)
            nb_data_get(s.train, i, pixels + (ptrdiff_t)i * 9 * 7 * 3, &labels[i]);
        const nb_run r = {.train = true, .pixels = pixels, .labels = labels};
        const nb_node *folded = nb_graph_find(s.graph, "d1.weight.folded"), *fq = nb_graph_find(s.graph, "d1")->in[1];
        float was[8 * 3 * 3];
        assert_int_equal(nb_count(&folded->out), 8 * 3 * 3);
        assert_ptr_equal(fq->in[0], folded);
        for (int32_t i = 0; i < s.graph->n_steps; i++) {
            nb_forward_step(s.graph, i, &r);
            if (nb_step_last(&s.graph->step[i]) == folded)
                memcpy(was, folded->out.data, sizeof was);
        }
        nb_backward_begin(s.graph);
        int32_t step = s.graph->n_steps - 1;
        for (; nb_step_last(&s.graph->step[step]) != fq; step--)
            nb_backward_step(s.graph, step, &r);
        assert_memory_equal(was, folded->out.data, sizeof was);
        ref_street_close(&s);
    }
}

static void a_network_without_such_a_batch_norm_is_refused(void **state)
{
    (void)state;
    ref_street s;
    nb_status st = ref_street_open(&s,
                                   "data: {name: synth, count: 64, height: 9, width: 7, channels: 3, classes: 4}\n"
                                   "model: [input, batchnorm, conv2d: {out: 8}, flatten, linear: {out: 4}]\n"
                                   "quant: {batchnorm: fold_corrected}\n",
                                   8, REF_QUANTIZED);
    assert_int_equal(st, NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "quant: batchnorm: fold_corrected: changes nothing"));
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_passes_equal_pytorch_in_training_and_frozen),
        cmocka_unit_test(without_rounding_it_is_the_batch_norm_it_stands_for),
        cmocka_unit_test(its_backward_is_the_derivative_of_its_forward),
        cmocka_unit_test(the_codes_of_a_step_are_those_that_are_deployed),
        cmocka_unit_test(frozen_training_leaves_statistics_alone_and_trains_gamma),
        cmocka_unit_test(folded_weights_live_until_their_quantizer_has_read_them),
        cmocka_unit_test(a_network_without_such_a_batch_norm_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
