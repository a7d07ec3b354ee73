/* test_layers.c - every layer in layers.def and every example it gives: against plain loops in double, by finite
 * differences, and with different numbers of threads. A new layer is tested by being in the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "ref/node_check.h"
#include "ref/one_thread.h"
#include "ref/ref_layers.h"
#include "ref/small_model.h"

#include <math.h>

static void build(small_model *m, const char *text, int32_t batch)
{
    assert_ok(small_model_build(m, ctx, text, batch));
}

static void build_around(small_model *m, const nb_op *op, const char *example, int32_t batch)
{
    char text[1024];
    small_model_around(text, sizeof text, op, example);
    build(m, text, batch);
}

typedef void (*example_fn)(const nb_op *op, const char *example);

/* Beside the examples: what a reader of the documentation need not see, but a test must. */
static const char *const more[][2] = {
    {"relu", "relu: {cap: 0.4}"},
    {"conv2d", "conv2d: {out: 6, groups: 2}"},
    {"conv2d", "conv2d: {out: 3, kernel: 5, pad: 4, stride: 3, bias: no}"},
    {"conv2d", "conv2d: {out: 8, kernel: 1, stride: 2, groups: 4}"},
    {"dwconv2d", "dwconv2d: {kernel: 2, dilation: 3, multiplier: 3}"},
    {"batchnorm", "batchnorm: {zero_init: yes}"},
    {"maxpool", "maxpool: {kernel: 3, stride: 1, pad: 2}"},
    {"avgpool", "avgpool: {kernel: 2, stride: 3}"},
};

static void for_every_example(example_fn fn)
{
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        fn(nb_registry_find(nb_layers, more[i][0]), more[i][1]);
    for (int32_t i = 0; nb_layers[i]; i++) {
        assert_non_null(nb_layers[i]->examples);
        for (int32_t k = 0; nb_layers[i]->examples[k]; k++)
            fn(nb_layers[i], nb_layers[i]->examples[k]);
    }
}

/* Leaves that start equal (biases, beta, gamma) get values of their own, so that a mix-up shows. */
static void shake_leaves(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *p = g->node[i];
        nb_rng rng = nb_rng_make(29, (uint64_t)i);
        if (!(p->flags & NB_NODE_LEAF) || (p->flags & NB_NODE_DECAY))
            continue;
        for (int64_t k = 0; k < nb_count(&p->out); k++)
            ((float *)p->out.data)[k] += 0.3f * nb_rng_uniform(&rng);
    }
}

static void check_oracle(const nb_op *op, const char *example)
{
    const int32_t batches[] = {3, 19}; /* 19: linear has one whole chunk of rows and a short one */
    for (int32_t b = 0; b < 2; b++) {
        small_model m;
        node_error e;
        build_around(&m, op, example, batches[b]);
        shake_leaves(m.g);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        bool has = node_check(m.g, nb_graph_find(m.g, "x"), &m.run, b ? 10 : 40, &e);
        assert_true(has || op->role == NB_ROLE_INPUT || (op->flags & NB_OP_TRAIN_ONLY));
        if (e.forward > 2e-6 || e.backward > 1e-5)
            fail_msg("%s, batch %d: forward %g, backward %g", example, batches[b], e.forward, e.backward);
        small_model_free(&m);
    }
}

static void every_example_equals_plain_loops_forward_and_backward(void **state)
{
    (void)state;
    for_every_example(check_oracle);
}

static void check_gradient(const nb_op *op, const char *example)
{
    small_model m;
    double worst;
    build_around(&m, op, example, 3);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    assert_ok(nb_grad_check(m.g, &m.run, 6, 1e-3, &worst));
    if (worst > 0.02)
        fail_msg("%s: %g", example, worst);
    small_model_free(&m);
}

static void every_example_passes_the_gradient_check_inside_a_network(void **state)
{
    (void)state;
    for_every_example(check_gradient);
}

/* Loss, logits and all parameter gradients of one step; running statistics too. */
static uint64_t step_digest(const char *text, int32_t threads, int32_t batch)
{
    small_model m;
    nb_set_threads(threads);
    build(&m, text, batch);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    uint64_t digest = 0;
    for (int32_t i = 0; i < m.g->n; i++) {
        const nb_tensor *t = &m.g->node[i]->out;
        for (int64_t k = 0; (m.g->node[i]->flags & NB_NODE_LEAF) && k < nb_count(t); k++) {
            uint32_t bits[2] = {0};
            memcpy(&bits[0], (const float *)t->data + k, 4);
            if (t->grad)
                memcpy(&bits[1], t->grad + k, 4);
            digest = nb_mix(digest, (uint64_t)bits[0] << 32 | bits[1]);
        }
    }
    float loss = nb_graph_loss(m.g);
    uint32_t bits;
    memcpy(&bits, &loss, 4);
    small_model_free(&m);
    nb_set_threads(1);
    return nb_mix(digest, bits);
}

static void check_threads(const nb_op *op, const char *example)
{
    char text[1024];
    small_model_around(text, sizeof text, op, example);
    uint64_t one = step_digest(text, 1, 21);
    if (one != step_digest(text, 3, 21))
        fail_msg("%s: 1 and 3 threads differ", example);
}

static void every_example_gives_the_same_bits_on_1_and_3_threads(void **state)
{
    (void)state;
    for_every_example(check_threads);
}

static void frozen_batch_norm_uses_running_statistics_and_leaves_them(void **state)
{
    (void)state;
    for (int32_t mode = 0; mode < 2; mode++) {
        small_model m;
        node_error e;
        build_around(&m, nb_registry_find(nb_layers, "batchnorm"), "batchnorm", 3);
        shake_leaves(m.g);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        m.run.train = mode == 0;
        m.run.freeze_bn = mode == 0;
        nb_node *x = nb_graph_find(m.g, "x");
        float before = ((const float *)x->in[3]->out.data)[1];
        assert_true(node_check(m.g, x, &m.run, 60, &e));
        assert_true(e.forward < 2e-6 && e.backward < 1e-5);
        assert_true(((const float *)x->in[3]->out.data)[1] == before);
        small_model_free(&m);
    }
}

static void batch_norm_moves_running_statistics_by_momentum_with_the_unbiased_variance(void **state)
{
    (void)state;
    small_model m;
    build(&m, "model:\n- input\n- batchnorm: {name: x, momentum: 0.25}\n- linear: {out: 4}\n", 2);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_node *x = nb_graph_find(m.g, "x");
    for (int32_t i = 0; i <= x->id; i++)
        if (m.g->node[i]->op->forward)
            m.g->node[i]->op->forward(m.g->node[i], &m.run);
    const float *v = x->in[0]->out.data;
    const int64_t rows = 2 * SMALL_H * SMALL_W;
    for (int32_t c = 0; c < SMALL_C; c++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < rows; i++)
            mean += (double)v[i * SMALL_C + c] / (double)rows;
        for (int64_t i = 0; i < rows; i++)
            var += pow((double)v[i * SMALL_C + c] - mean, 2) / (double)(rows - 1);
        assert_true(fabs((double)((float *)x->in[3]->out.data)[c] - 0.25 * mean) < 1e-6);
        assert_true(fabs((double)((float *)x->in[4]->out.data)[c] - (0.75 + 0.25 * var)) < 1e-6);
    }
    small_model_free(&m);
}

static void a_smaller_batch_gives_the_same_logits_for_the_same_images(void **state)
{
    (void)state;
    const char *text = "model:\n- input\n- conv2d: {out: 5, pad: 1}\n- batchnorm\n- relu\n- maxpool\n- dropout\n"
                       "- dwconv2d: {pad: 1}\n- avgpool: {global: yes}\n- linear: {out: 4}\n";
    float whole[20 * SMALL_CLASSES];
    small_model m;
    build(&m, text, 20);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_INFER));
    m.run.train = false;
    nb_forward(m.g, &m.run);
    memcpy(whole, nb_graph_logits(m.g), sizeof whole);
    for (int32_t batch = 1; batch < 20; batch += 6) {
        nb_graph_set_batch(m.g, batch);
        nb_forward(m.g, &m.run);
        assert_memory_equal(whole, nb_graph_logits(m.g), (size_t)batch * SMALL_CLASSES * sizeof(float));
    }
    small_model_free(&m);
}

static void without_labels_the_loss_does_nothing(void **state)
{
    (void)state;
    small_model m;
    build(&m, "model:\n- input\n- linear: {out: 4}\n", 2);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_INFER));
    m.run.labels = NULL;
    nb_forward(m.g, &m.run);
    assert_true(isfinite(nb_graph_logits(m.g)[0]));
    small_model_free(&m);
}

/* A network of the layers whose names are in `inputs`, which op x reads. */
static void pair_text(char *text, size_t len, const char *op, const char *inputs)
{
    static const struct {
        const char *name, *layer;
    } parts[] = {{"one", "conv2d: {name: flat, out: 1, pad: 1}\n- avgpool: {name: one, global: yes}"},
                 {"plane", "conv2d: {name: plane, in: pre, out: 1, pad: 1}"},
                 {"pool", "avgpool: {name: pool, in: pre, global: yes}"},
                 {"rows", "avgpool: {name: mean, in: pre, global: yes}\n- flatten: {name: rows}"}};
    size_t at = (size_t)snprintf(text, len, "model:\n- input\n- conv2d: {name: pre, out: 5, pad: 1}\n");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(inputs, parts[i].name))
            at += (size_t)snprintf(text + at, len - at, "- %s\n", parts[i].layer);
    snprintf(text + at, len - at, "- %s: {name: x, in: [%s]}\n- linear: {out: 4}\n", op, inputs);
}

/* Either input, or both, has sides of 1; a gate may be rows. */
static void a_side_of_one_is_repeated_and_its_gradient_is_the_sum(void **state)
{
    (void)state;
    static const char *const ops[] = {"add", "sub", "mul"};
    static const char *const inputs[] = {"pre, pool",  "pool, pre", "pre, rows",
                                         "plane, pre", "pre, one",  "plane, pool"};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) {
            char text[600];
            small_model m;
            node_error e;
            double worst;
            pair_text(text, sizeof text, ops[i], inputs[k]);
            build(&m, text, 3);
            assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
            const nb_node *x = nb_graph_find(m.g, "x");
            assert_int_equal(nb_count(&x->out), 3 * SMALL_H * SMALL_W * 5);
            assert_true(node_check(m.g, nb_graph_find(m.g, "x"), &m.run, 40, &e));
            if (e.forward > 2e-6 || e.backward > 1e-5)
                fail_msg("%s of %s: forward %g, backward %g", ops[i], inputs[k], e.forward, e.backward);
            assert_ok(nb_grad_check(m.g, &m.run, 6, 1e-2, &worst));
            if (worst > 0.02)
                fail_msg("%s of %s: %g", ops[i], inputs[k], worst);
            small_model_free(&m);
            if (step_digest(text, 1, 5) != step_digest(text, 3, 5))
                fail_msg("%s of %s: 1 and 3 threads differ", ops[i], inputs[k]);
        }
}

static void what_is_read_twice_gets_both_gradients(void **state)
{
    (void)state;
    static const char *const ops[] = {"add", "mul"};
    for (size_t i = 0; i < 2; i++) {
        char text[200];
        small_model m;
        double worst;
        pair_text(text, sizeof text, ops[i], "pre, pre");
        build(&m, text, 3);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        assert_ok(nb_grad_check(m.g, &m.run, 6, 1e-2, &worst));
        if (worst > 0.02)
            fail_msg("%s: %g", ops[i], worst);
        small_model_free(&m);
    }
}

static void input_normalises_pixels_with_the_given_or_the_data_sets_numbers(void **state)
{
    (void)state;
    const char *entries[] = {"input", "input: {mean: 0.5, std: [0.25, 0.5, 1]}"};
    const double mean[2][3] = {{(double)0.4f, 0.5, (double)0.6f}, {0.5, 0.5, 0.5}};
    const double std[2][3] = {{(double)0.3f, 0.25, (double)0.2f}, {0.25, 0.5, 1}};
    for (int32_t k = 0; k < 2; k++) {
        char text[256];
        small_model m;
        snprintf(text, sizeof text, "model:\n- %s\n- linear: {out: 4}\n", entries[k]);
        build(&m, text, 2);
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        nb_forward(m.g, &m.run);
        const float *y = m.g->input->out.data;
        for (int32_t i = 0; i < 2 * SMALL_H * SMALL_W * SMALL_C; i++)
            assert_true(fabs((double)y[i] - (m.pixels[i] / 255.0 - mean[k][i % 3]) / std[k][i % 3]) < 1e-6);
        small_model_free(&m);
    }
}

/* dropout's values: 0 or x / (1 - p), and the gradient is masked alike. */
static void dropout_drops_its_share_scales_the_rest_and_masks_gradients_alike(void **state)
{
    (void)state;
    small_model m;
    build(&m, "model:\n- input\n- conv2d: {name: pre, out: 16}\n- dropout: {name: x, p: 0.25}\n- linear: {out: 4}\n",
          16);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_node *x = nb_graph_find(m.g, "x"), *pre = x->in[0];
    int64_t count = nb_count(&x->out), dropped = 0;
    float *ones = malloc((size_t)count * sizeof *ones), *dx = malloc((size_t)count * sizeof *dx);
    assert_true(ones && dx);
    for (int64_t i = 0; i < count; i++)
        ones[i] = 1.0f;
    for (int32_t i = 0; i <= x->id; i++)
        if (m.g->node[i]->op->forward)
            m.g->node[i]->op->forward(m.g->node[i], &m.run);
    x->out.grad = ones;
    pre->out.grad = dx;
    x->fresh = 1;
    x->op->backward(x, &m.run);
    for (int64_t i = 0; i < count; i++) {
        float got = ((const float *)x->out.data)[i], from = ((const float *)pre->out.data)[i];
        bool gone = dx[i] == 0.0f;
        dropped += gone;
        assert_true(gone ? got == 0.0f
                         : fabsf(got - from / 0.75f) <= 1e-5f * fabsf(from) && fabsf(dx[i] - 4.0f / 3) < 1e-6f);
    }
    assert_true(fabs((double)dropped / (double)count - 0.25) < 4 * sqrt(0.25 * 0.75 / (double)count));
    free(ones);
    free(dx);
    small_model_free(&m);
}

static void dropout_differs_from_step_to_step_and_is_identity_in_evaluation(void **state)
{
    (void)state;
    small_model m;
    float logits[3][2 * SMALL_CLASSES];
    build(&m, "model:\n- input\n- dropout\n- linear: {out: 4}\n", 2);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    for (int32_t k = 0; k < 3; k++) {
        m.run.step = k == 1 ? 2 : 1;
        nb_forward(m.g, &m.run);
        memcpy(logits[k], nb_graph_logits(m.g), sizeof logits[k]);
    }
    assert_memory_equal(logits[0], logits[2], sizeof logits[0]);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    m.run.train = false;
    nb_forward(m.g, &m.run);
    nb_node *d = nb_graph_find(m.g, "dropout1");
    d->in[0]->op->forward(d->in[0], &m.run);
    d->op->forward(d, &m.run);
    assert_memory_equal(d->out.data, d->in[0]->out.data, (size_t)nb_count(&d->out) * sizeof(float));
    small_model_free(&m);
}

static void weights_start_as_the_help_says(void **state)
{
    (void)state;
    small_model m;
    build(&m, "model:\n- input\n- conv2d: {name: a, out: 64}\n- dwconv2d: {name: d}\n- linear: {name: f, out: 4}\n", 1);
    double squares = 0;
    nb_node *a = nb_graph_find(m.g, "a.weight"), *f = nb_graph_find(m.g, "f.weight"),
            *d = nb_graph_find(m.g, "d.weight");
    for (int64_t i = 0; i < nb_count(&a->out); i++)
        squares += pow((double)((float *)a->out.data)[i], 2) / (double)nb_count(&a->out);
    assert_true(fabs(squares / (2.0 / (9 * 64)) - 1) < 0.15);
    squares = 0;
    for (int64_t i = 0; i < nb_count(&d->out); i++)
        squares += pow((double)((float *)d->out.data)[i], 2) / (double)nb_count(&d->out);
    assert_true(fabs(squares / (2.0 / 9) - 1) < 0.3);
    double bound = 1 / sqrt((double)f->out.shape.d[3]), max = 0;
    for (int64_t i = 0; i < nb_count(&f->out); i++)
        max = fmax(max, fabs((double)((float *)f->out.data)[i]));
    assert_true(max <= bound * 1.0001 && max > 0.9 * bound);
    small_model_free(&m);
}

static void layers_are_found_by_name(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_layers[i]; i++)
        assert_ptr_equal(nb_registry_find(nb_layers, nb_layers[i]->name), nb_layers[i]);
    assert_null(nb_registry_find(nb_layers, "conv3d"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_equals_plain_loops_forward_and_backward),
        cmocka_unit_test(every_example_passes_the_gradient_check_inside_a_network),
        cmocka_unit_test(every_example_gives_the_same_bits_on_1_and_3_threads),
        cmocka_unit_test(a_side_of_one_is_repeated_and_its_gradient_is_the_sum),
        cmocka_unit_test(what_is_read_twice_gets_both_gradients),
        cmocka_unit_test(frozen_batch_norm_uses_running_statistics_and_leaves_them),
        cmocka_unit_test(batch_norm_moves_running_statistics_by_momentum_with_the_unbiased_variance),
        cmocka_unit_test(a_smaller_batch_gives_the_same_logits_for_the_same_images),
        cmocka_unit_test(without_labels_the_loss_does_nothing),
        cmocka_unit_test(input_normalises_pixels_with_the_given_or_the_data_sets_numbers),
        cmocka_unit_test(dropout_drops_its_share_scales_the_rest_and_masks_gradients_alike),
        cmocka_unit_test(dropout_differs_from_step_to_step_and_is_identity_in_evaluation),
        cmocka_unit_test(weights_start_as_the_help_says),
        cmocka_unit_test(layers_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
