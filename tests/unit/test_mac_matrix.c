/* test_mac_matrix.c - a linear layer of a million weights on codes, which is worked on by parts of its weights: values and
 * gradients against plain loops in double, products and parts that are not whole, the same bits on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ref/node_check.h"
#include "ref/one_thread.h"
#include "ref/small_model.h"

#include <math.h>
#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

enum { INPUTS = 7 * 6 * 48, OUTPUTS = 531 }; /* 1.07 million weights; neither divides into parts */

/* Frozen, of codes, with room for `batch` images. */
static nb_node *build(small_model *m, bool bias, int32_t batch, nb_compute compute)
{
    char text[256];
    snprintf(text, sizeof text,
             "model:\n- input\n- conv2d: {name: pre, kernel: 3, pad: 1, out: 48}\n- linear: {name: x, out: %d%s}\n"
             "- linear: {out: %d}\n",
             OUTPUTS, bias ? "" : ", bias: no", SMALL_CLASSES);
    assert_ok(small_model_build(m, ctx, text, batch));
    nb_node *x = nb_graph_find(m->g, "x");
    assert_ok(small_model_codes(m->g, x, 0));
    assert_ok(small_model_codes(m->g, x, 1));
    m->g->compute = compute;
    assert_ok(nb_graph_freeze(m->g, NB_PLAN_TRAIN));
    return x;
}

static void check(bool bias, int32_t room, int32_t batch, nb_compute compute)
{
    small_model m;
    node_error e;
    nb_node *x = build(&m, bias, room, compute);
    for (int32_t c = 0; bias && c < OUTPUTS; c++)
        ((float *)x->in[2]->out.data)[c] = 0.0f; /* another one would be rounded to an accumulator's unit */
    nb_graph_set_batch(m.g, batch);
    nb_forward(m.g, &m.run);
    assert_true(node_check(m.g, x, &m.run, 4, &e));
    /* a term of a 16-bit gradient is wrong by 1 / 65534 of the largest at most, with either sign */
    if (e.forward > 1e-6 || e.backward > (compute == NB_COMPUTE_INT16 ? 2e-4 : 1e-5))
        fail_msg("bias %d, %d of %d rows: forward %g, backward %g", bias, batch, room, e.forward, e.backward);
    small_model_free(&m);
}

static void values_and_gradients_equal_plain_loops(void **state)
{
    (void)state;
    check(true, 19, 19, NB_COMPUTE_INT16);
    check(false, 16, 16, NB_COMPUTE_INT16); /* whole products of both gradients: dy is read where it lies */
    check(true, 19, 19, NB_COMPUTE_F32);    /* forward by parts, gradients of floats */
}

static void rows_that_are_missing_count_for_nothing(void **state)
{
    (void)state;
    check(true, 19, 5, NB_COMPUTE_INT16);
    check(true, 19, 1, NB_COMPUTE_INT16);
}

static uint64_t digest_of(const nb_graph *g)
{
    uint64_t digest = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_tensor *t = &g->node[i]->out;
        for (int64_t k = 0; (g->node[i]->flags & NB_NODE_PARAM) && t->grad && k < nb_count(t); k++) {
            uint32_t bits;
            memcpy(&bits, t->grad + k, sizeof bits);
            digest = nb_mix(digest, bits);
        }
    }
    return digest;
}

static uint64_t step_digest(int32_t threads, int32_t room, int32_t batch)
{
    small_model m;
    nb_set_threads(threads);
    build(&m, true, room, NB_COMPUTE_INT16);
    nb_graph_set_batch(m.g, batch);
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    const uint64_t digest = digest_of(m.g);
    small_model_free(&m);
    nb_set_threads(1);
    return digest;
}

static void the_same_bits_on_any_number_of_threads(void **state)
{
    (void)state;
    for (int32_t batch = 19; batch > 0; batch -= 12) {
        const uint64_t want = step_digest(1, 19, batch);
        assert_true(step_digest(3, 19, batch) == want);
    }
}

/* The gradient of x's weights after a step; free() it. */
static float *weight_gradient(int32_t batch, nb_compute compute)
{
    small_model m;
    nb_node *x = build(&m, false, batch, compute);
    const nb_tensor *w = &x->in[1]->in[0]->out;
    const size_t bytes = (size_t)nb_count(w) * sizeof(float);
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    float *grad = malloc(bytes);
    assert_non_null(grad);
    memcpy(grad, w->grad, bytes);
    small_model_free(&m);
    return grad;
}

/* More rows than one product takes. */
static void a_large_batch_is_several_products(void **state)
{
    (void)state;
    float *want = weight_gradient(300, NB_COMPUTE_F32), *got = weight_gradient(300, NB_COMPUTE_INT16);
    double size = 0, error = 0;
    for (int64_t i = 0; i < (int64_t)INPUTS * OUTPUTS; i++) {
        size = fmax(size, fabs((double)want[i]));
        error = fmax(error, fabs((double)want[i] - (double)got[i]));
    }
    if (size == 0 || error > 1e-3 * size)
        fail_msg("wrong by %g of %g", error, size);
    free(want);
    free(got);
}

/* A convolution of one pixel has as many weights, but a batch norm behind it that it may be fused with. */
static void convolutions_of_one_pixel_are_none_of_these(void **state)
{
    (void)state;
    uint64_t digest[2];
    for (int32_t fused = 0; fused < 2; fused++) {
        small_model m;
        assert_ok(small_model_build(
            &m, ctx,
            "model:\n- input\n- conv2d: {name: pre, kernel: 3, pad: 1, out: 1024}\n- avgpool: {global: yes}\n"
            "- conv2d: {name: x, out: 1024, kernel: 1, bias: no}\n- batchnorm\n- relu\n- linear: {out: 4}\n",
            6));
        nb_node *x = nb_graph_find(m.g, "x");
        assert_ok(small_model_codes(m.g, x, 0));
        assert_ok(small_model_codes(m.g, x, 1));
        m.g->compute = NB_COMPUTE_INT16;
        m.g->fusions = fused ? nb_fusions : NULL;
        assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
        nb_forward(m.g, &m.run);
        nb_backward(m.g, &m.run);
        digest[fused] = digest_of(m.g);
        small_model_free(&m);
    }
    assert_true(digest[0] == digest[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_equal_plain_loops),
        cmocka_unit_test(rows_that_are_missing_count_for_nothing),
        cmocka_unit_test(the_same_bits_on_any_number_of_threads),
        cmocka_unit_test(a_large_batch_is_several_products),
        cmocka_unit_test(convolutions_of_one_pixel_are_none_of_these),
    };
    return cmocka_run_group_tests_name("mac_matrix", tests, setup, teardown);
}
