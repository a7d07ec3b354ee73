/* test_step_adaround.c - the step adaround: every layer gets better, its codes last, and what cannot be rounded so is named. */
#include "ref/rounding_case.h"

#include <nibble/extend/post_step.h>
#include <nibble/post.h>
#include <nibble/train.h>

#include "base/parallel.h"
#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_layer_gets_better_and_codes_outlast_what_comes_after(void **state)
{
    (void)state;
    rounding_gets_better("adaround: {iterations: 100, rows: 128}", ROUNDING_MACS, 0.9,
                         "5 layers over 64 images; error of what they give, mean of layers, ");
}

static void scales_stay_when_training_goes_on(void **state)
{
    (void)state;
    static float chosen[ROUNDING_MOST], later[ROUNDING_MOST];
    rounding_case c;
    rounding_open(&c, rounding_kinds[0]);
    assert_int_equal(rounding_run(&c, "adaround: {iterations: 100, images: 32, rows: 128}", ROUNDING_IMAGES), NB_OK);
    const int32_t n = rounding_weights(&c, chosen);
    nb_graph_free(c.s.graph);
    c.s.graph = c.g;
    ref_street_steps(&c.s, 3, 0.1f, true);
    assert_int_equal(rounding_weights(&c, later), n);
    for (int32_t i = 0; i < n; i++)
        if (chosen[i] != nearbyintf(chosen[i])) /* a scale */
            assert_true(chosen[i] == later[i]);
    assert_true(rounding_differences(chosen, later, n) > 0);
    c.s.graph = NULL;
    rounding_close(&c);
}

static void integers_have_the_codes_that_were_chosen(void **state)
{
    (void)state;
    rounding_integers_have_the_codes(rounding_kinds[0], "adaround: {iterations: 100, rows: 128}");
}

static void any_number_of_threads_learns_the_same(void **state)
{
    (void)state;
    rounding_is_the_same_on_threads(rounding_kinds[0], "adaround: {iterations: 60, rows: 128}");
}

static void what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits(void **state)
{
    (void)state;
    rounding_goes_on_after_a_kill(rounding_kinds[0], "adaround: {iterations: 30, rows: 128}", ROUNDING_MACS);
}

/* ---- what is refused ---- */

static void what_cannot_be_rounded_so_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{weights: {bits: 4, format: log}}", "weights of d: format log has not every integer as a code"},
        {"{weights: {bits: 4, format: codebook}}", "format codebook has not every integer as a code"},
        {"{weights: {bits: 4, format: block}}", "format block has not every integer as a code"},
        {"{weights: {format: ternary}}",
         "format ternary has not every integer as a code; uniform, pow2 or fixed would do"},
        {"{weights: {bits: 4, granularity: full}}", "weights of c1: granularity full has several scales in a filter"},
        {"{weights: {bits: 4}, batchnorm: fold_corrected}", "weights of c1: batchnorm: fold_corrected makes them anew"},
        {"{weights: off}", "weights of c1: they are not quantized"},
        {"{weights: {bits: 4}, layers: {b.c2: {weights: {bits: 4, format: apot}}}}", "weights of b.c2: format apot"},
        {"{weights: {bits: 4, format: odd, learn: dorefa}}", "weights of d: format odd has not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        rounding_must_refuse(cases[i][0], "adaround", cases[i][1]);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *says;
        int32_t n;
    } cases[] = {
        {"{iterations: 0}", "quant.steps[0] adaround.iterations: 0: must be in 1..1000000", ROUNDING_IMAGES},
        {"{lr: 0}", "adaround.lr: 0: must be in 1e-06..1", ROUNDING_IMAGES},
        {"{images: 65}", "quant.steps: adaround: images: 65: there are 64 to look at", ROUNDING_IMAGES},
        {"{}", "quant.steps: adaround: images: 0: there are 0 to look at", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rounding_case c;
        char step[64];
        snprintf(step, sizeof step, "adaround: %s", cases[i].keys);
        rounding_open(&c, rounding_kinds[0]);
        assert_int_equal(rounding_run(&c, step, cases[i].n), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(c.s.ctx), cases[i].says))
            fail_msg("%s", nb_ctx_error(c.s.ctx));
        rounding_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_gets_better_and_codes_outlast_what_comes_after),
        cmocka_unit_test(scales_stay_when_training_goes_on),
        cmocka_unit_test(integers_have_the_codes_that_were_chosen),
        cmocka_unit_test(any_number_of_threads_learns_the_same),
        cmocka_unit_test(what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits),
        cmocka_unit_test(what_cannot_be_rounded_so_is_named),
        cmocka_unit_test(mistakes_are_named),
    };
    nb_set_threads(1);
    return cmocka_run_group_tests_name("step_adaround", tests, NULL, NULL);
}
