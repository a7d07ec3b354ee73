/* test_format_pow2.c - scales that are powers of two: the format, and a network whose rescales are shifts. */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_scale_is_the_next_power_of_two_not_below(void **state)
{
    (void)state;
    const nb_format *f = nb_registry_find(nb_formats, "pow2");
    static const float wanted[] = {1, 0.75f, 0.5f, 0.500001f, 3, 4, 0x1p-40f, 0x1p40f},
                       want[] = {1, 1, 0.5f, 1, 4, 4, 0x1p-40f, 0x1p40f};
    for (int i = 0; i < 8; i++)
        assert_true(f->scale(NULL, wanted[i]) == want[i]);
}

static void zero_points_belong_to_the_rounded_scale(void **state)
{
    (void)state;
    int8_t level[256];
    float scale;
    int32_t zero;
    const nb_grid g = nb_grid_of(nb_registry_find(nb_formats, "pow2"), NULL, 8, NB_SCHEME_ASYMMETRIC, false, level);
    nb_params_cover(&g, -1, 2, &scale, &zero); /* 3 / 255, so 1 / 64 */
    assert_true(scale == 0x1p-6f && zero == 64);
}

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3, bias: no}, batchnorm, relu, resblock: {out: 5},\n"            \
    "  avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"                                                          \
    "quant: {batchnorm: fold, weights: {bits: 4, format: pow2, range: %s, learn: %s}, "                                \
    "activations: {format: pow2, range: %s, learn: %s}}\n"

static void with_folded_batch_norms_every_rescale_is_a_shift(void **state)
{
    (void)state;
    static const char *const how[][2] = {{"minmax", "none"}, {"mse", "none"}, {"minmax", "lsq"}};
    for (size_t k = 0; k < 3; k++) {
        char text[1024];
        snprintf(text, sizeof text, NET, how[k][0], how[k][1], how[k][0], how[k][1]);
        ref_street s;
        nb_graph *g;
        nb_intmodel *m;
        assert_int_equal(ref_street_open(&s, text, 8, REF_QUANTIZED), NB_OK);
        ref_street_steps(&s, 5, 0.1f, false);
        assert_int_equal(ref_street_copy(&s, 8, REF_QUANTIZED, &g), NB_OK);
        assert_int_equal(nb_lower(g, "", &m), NB_OK);
        int32_t convs = 0;
        for (int32_t i = 0; i < m->e.n_steps; i++)
            for (int32_t c = 0; m->e.steps[i].kind == NB_STEP_CONV && c < m->e.steps[i].geom.oc; c++, convs++)
                assert_int_equal(m->e.steps[i].mult[c], 1 << 30);
        assert_true(convs >= 5 + 5 + 5);
        nb_intmodel_free(s.ctx, m);
        nb_graph_free(g);
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scale_is_the_next_power_of_two_not_below),
        cmocka_unit_test(zero_points_belong_to_the_rounded_scale),
        cmocka_unit_test(with_folded_batch_norms_every_rescale_is_a_shift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
