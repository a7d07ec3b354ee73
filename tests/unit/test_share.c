/* test_share.c - whose gradients are one piece of memory. */
#include "ref/small_model.h"

#include <nibble/extend/fusion.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static nb_ctx *ctx;
static small_model m;

static void open(const char *text)
{
    ctx = nb_ctx_create();
    assert_int_equal(small_model_build(&m, ctx, text, 2), NB_OK);
    m.g->fusions = nb_fusions;
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_TRAIN), NB_OK);
}

static void close(void)
{
    small_model_free(&m);
    nb_ctx_destroy(ctx);
}

static const float *grad(const char *name)
{
    const nb_node *n = nb_graph_find(m.g, name);
    assert_non_null(n);
    assert_non_null(n->out.grad);
    return n->out.grad;
}

static void a_row_of_residual_blocks_has_one_gradient(void **state)
{
    (void)state;
    open("model: [input, conv2d: {name: stem, out: 4}, batchnorm, relu, resblock: {name: b, out: 4, repeat: 3},\n"
         "        avgpool: {global: yes}, linear: {out: 4}]\n");
    assert_ptr_equal(grad("b.3.relu"), grad("b.2.relu"));
    assert_ptr_equal(grad("b.2.relu"), grad("b.1.relu"));
    assert_ptr_equal(grad("b.3.relu"), grad("b.3.c2.bn"));
    assert_ptr_equal(grad("b.1.relu"), grad("relu1"));
    close();
}

static void a_gradient_that_is_written_to_while_its_twin_is_needed_has_its_own_memory(void **state)
{
    (void)state;
    /* backward: sum, then c adds to b's gradient, then b, and only then a reads what the sum gave it */
    open("model: [input, conv2d: {name: a, out: 4, kernel: 1}, conv2d: {name: b, out: 4, kernel: 1},\n"
         "        conv2d: {name: c, out: 4, kernel: 1}, add: {name: sum, in: [a, b]}, add: {in: [sum, c]},\n"
         "        avgpool: {global: yes}, linear: {out: 4}]\n");
    assert_ptr_equal(grad("sum"), grad("a"));
    assert_ptr_not_equal(grad("a"), grad("b"));
    assert_ptr_not_equal(grad("sum"), grad("c")); /* the sum's step may mask in place before c has read */
    close();
}

static void both_slots_of_one_add_do_not_share(void **state)
{
    (void)state;
    open("model: [input, conv2d: {name: a, out: 4}, add: {name: twice, in: [a, a]}, avgpool: {global: yes},\n"
         "        linear: {out: 4}]\n");
    assert_ptr_not_equal(grad("a"), grad("twice"));
    nb_run r = m.run;
    double worst;
    assert_int_equal(nb_grad_check(m.g, &r, 4, 1e-3, &worst), NB_OK);
    assert_true(worst < 0.02);
    close();
}

static void who_comes_second_does_not_share(void **state)
{
    (void)state;
    /* the convolution behind the sum writes a's gradient first: the sum adds to it */
    open("model: [input, conv2d: {name: a, out: 4, kernel: 1}, conv2d: {name: b, out: 4, kernel: 1, in: a},\n"
         "        add: {name: sum, in: [a, b]}, conv2d: {name: c, in: a, out: 4, kernel: 1}, add: {in: [sum, c]},\n"
         "        avgpool: {global: yes}, linear: {out: 4}]\n");
    assert_ptr_not_equal(grad("a"), grad("sum"));
    assert_ptr_equal(grad("b"), grad("sum"));
    close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_of_residual_blocks_has_one_gradient),
        cmocka_unit_test(a_gradient_that_is_written_to_while_its_twin_is_needed_has_its_own_memory),
        cmocka_unit_test(both_slots_of_one_add_do_not_share),
        cmocka_unit_test(who_comes_second_does_not_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
