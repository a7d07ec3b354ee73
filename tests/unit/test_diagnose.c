/* test_diagnose.c - the first thing that is not finite is named. */
#include "ref/small_model.h"
#include "train/diagnose.h"

#include <nibble/extend/fusion.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "model:\n- input\n- conv2d: {name: c1, out: 4, kernel: 3}\n- relu: {name: r1}\n"
                           "- conv2d: {name: c2, out: 3, kernel: 3}\n- linear: {name: fc, out: 4}\n";

static void build(small_model *m, nb_ctx *ctx)
{
    assert_int_equal(small_model_build(m, ctx, text, 2), NB_OK);
    m->g->fusions = nb_fusions;
    assert_int_equal(nb_graph_freeze(m->g, NB_PLAN_TRAIN), NB_OK);
}

static void check(void (*spoil)(small_model *m), const char *want)
{
    nb_ctx *ctx = nb_ctx_create();
    small_model m;
    char buf[128] = "";
    build(&m, ctx);
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    spoil(&m);
    assert_int_equal(nb_diagnose(m.g, &m.run, buf, sizeof buf), *want != '\0');
    assert_string_equal(buf, want);
    small_model_free(&m);
    nb_ctx_destroy(ctx);
}

static float *leaf(small_model *m, const char *name)
{
    return nb_graph_find(m->g, name)->out.data;
}

static void nothing(small_model *m)
{
    (void)m;
}

static void nan_weight(small_model *m)
{
    leaf(m, "c2.weight")[1] = NAN;
    leaf(m, "fc.weight")[0] = INFINITY;
}

static void huge_weight(small_model *m)
{
    for (int i = 0; i < 36; i++)
        leaf(m, "c1.weight")[i] = 3e38f;
    for (int i = 0; i < 36; i++)
        leaf(m, "c2.weight")[i] = 3e38f;
}

static void nan_gradient(small_model *m)
{
    nb_graph_find(m->g, "c1.weight")->out.grad[0] = NAN;
    nb_graph_find(m->g, "c2.weight")->out.grad[0] = NAN;
}

static void a_healthy_step_has_nothing_to_name(void **state)
{
    (void)state;
    check(nothing, "");
}

static void the_first_bad_parameter_is_named(void **state)
{
    (void)state;
    check(nan_weight, "the parameter c2.weight");
}

static void an_overflow_is_named_by_the_layer_where_it_happens_first(void **state)
{
    (void)state;
    check(huge_weight, "the output of conv2d c1");
}

static void a_bad_gradient_is_named_by_the_layer_nearest_to_the_loss(void **state)
{
    (void)state;
    check(nan_gradient, "the gradient of c2.weight");
}

static void parameters_are_finite_until_one_is_not(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    small_model m;
    build(&m, ctx);
    assert_true(nb_params_finite(m.g));
    leaf(&m, "fc.bias")[3] = -INFINITY;
    assert_false(nb_params_finite(m.g));
    small_model_free(&m);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_step_has_nothing_to_name),
        cmocka_unit_test(the_first_bad_parameter_is_named),
        cmocka_unit_test(an_overflow_is_named_by_the_layer_where_it_happens_first),
        cmocka_unit_test(a_bad_gradient_is_named_by_the_layer_nearest_to_the_loss),
        cmocka_unit_test(parameters_are_finite_until_one_is_not),
    };
    return cmocka_run_group_tests_name("diagnose", tests, NULL, NULL);
}
