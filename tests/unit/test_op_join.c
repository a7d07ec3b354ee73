/* test_op_join.c - sums and concatenations of ONNX, and constants that are a bias (op_join.c). */
#include "operator_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

static void a_constant_behind_a_layer_without_bias_is_its_bias(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nAdd y c,b\noutput y",
           "conv2d: {name: c, out: 4, kernel: 3}");
    refuse(f, "floats w 4x2x3x3\nfloats b 4\nConv c x,w\nAdd y c,b\noutput y", "one number per channel");
    refuse(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nRelu r c\nAdd y r,b\noutput y",
           "right behind a layer without a bias");
    refuse(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nAdd d c,b\nAdd y c,d\noutput y",
           "right behind a layer without a bias");
    refuse(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nIdentity i c\nAdd d i,b\nAdd y c,d\noutput y",
           "right behind a layer without a bias");
}

static void sums_are_of_equal_shapes(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nAdd y a,r\noutput y", "add: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nRelu s a\nSum y a,r,s\noutput y", "- add: {in: [y, s]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nAdd y a,x\noutput y", "adds 2x8x8 to 4x6x6");
}

static void channels_are_joined_in_steps_of_eight(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nConcat y a,r axis=1\noutput y", "concat: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a,a,a,a,a,a,a,a axis=1\noutput y", "concat: {in: [y, a]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a axis=2\noutput y", "axis: 2: only channels");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,x axis=1\noutput y", "joins images of 6x6 and 8x8");
    refuse(f, "Flatten a x\nConcat y a,a axis=1\noutput y", "that are flat");
}

#else

static void this_build_has_no_onnx(void **state)
{
    data_fixture *f = *state;
    nb_onnx *o;
    assert_int_equal(nb_onnx_parse(f->ctx, "m.onnx", NULL, 0, &o), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "this build has no ONNX"));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef NB_ONNX
        cmocka_unit_test_setup_teardown(a_constant_behind_a_layer_without_bias_is_its_bias, data_fixture_setup,
                                        data_fixture_teardown),
        cmocka_unit_test_setup_teardown(sums_are_of_equal_shapes, data_fixture_setup, data_fixture_teardown),
        cmocka_unit_test_setup_teardown(channels_are_joined_in_steps_of_eight, data_fixture_setup,
                                        data_fixture_teardown),
#else
        cmocka_unit_test_setup_teardown(this_build_has_no_onnx, data_fixture_setup, data_fixture_teardown),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
