/* test_step_reconstruct.c - the step reconstruct: every block gets better, codes and scales last, and what cannot be rounded
 * so is named. */
#include "ref/rounding_case.h"

#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS = 4 }; /* c1, d, b, fc */

static void every_block_gets_better_and_codes_outlast_what_comes_after(void **state)
{
    (void)state;
    rounding_gets_better("reconstruct: {iterations: 40, batch: 16}", BLOCKS, 0.95,
                         "4 blocks over 64 images; error of what they give, mean of blocks, ");
}

static void integers_have_the_codes_that_were_chosen(void **state)
{
    (void)state;
    rounding_integers_have_the_codes(rounding_kinds[0], "reconstruct: {iterations: 40, batch: 16}");
}

static void any_number_of_threads_learns_the_same(void **state)
{
    (void)state;
    rounding_is_the_same_on_threads(rounding_kinds[0], "reconstruct: {iterations: 30, batch: 16, drop: 0.5}");
}

static void what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits(void **state)
{
    (void)state;
    rounding_goes_on_after_a_kill(rounding_kinds[0], "reconstruct: {iterations: 20, batch: 16}", BLOCKS);
}

/* Scales of activations as the next evaluation has them, in order. */
static int32_t scales_now(const rounding_case *c, float *out)
{
    nb_eval e;
    int32_t n = 0;
    assert_int_equal(nb_evaluate_graph(c->g, c->s.test, NULL, 16, &e), NB_OK);
    for (int32_t i = 0; i < c->g->n; i++)
        if (nb_is_quantizer(c->g->node[i]) && !nb_fakequant_of_weights(c->g->node[i]))
            out[n++] = c->g->node[i]->out.q->scale[0];
    return n;
}

static void scales_of_activations_are_learned_and_stay_where_that_can_be(void **state)
{
    (void)state;
    static const struct {
        const char *quant, *step;
        bool moves;
    } cases[] = {
        {"quant: {weights: {bits: 3}, activations: {bits: 4}}\n", "reconstruct: {iterations: 40, batch: 16}", true},
        {"quant: {weights: {bits: 3}, activations: {bits: 4, scheme: symmetric, range: percentile}}\n",
         "reconstruct: {iterations: 40, batch: 16}", true},
        {"quant: {weights: {bits: 3}, activations: {bits: 4, learn: lsq}}\n",
         "reconstruct: {iterations: 40, batch: 16}", true},
        {"quant: {weights: {bits: 3}, activations: {bits: 4}}\n",
         "reconstruct: {iterations: 40, batch: 16, scale_lr: 0}", false},
        {"quant: {weights: {bits: 3}, activations: {bits: 4, format: pow2}}\n",
         "reconstruct: {iterations: 40, batch: 16}", false},
        {"quant: {weights: {bits: 3}, activations: {bits: 4, learn: lsq+}}\n",
         "reconstruct: {iterations: 40, batch: 16}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rounding_case c;
        float before[16], after[16], later[16];
        rounding_open(&c, cases[i].quant);
        const int32_t n = scales_now(&c, before);
        assert_int_equal(rounding_run(&c, cases[i].step, ROUNDING_IMAGES), NB_OK);
        assert_int_equal(scales_now(&c, after), n);
        assert_true(before[0] == after[0]); /* pixels */
        for (int32_t k = 1; k < n; k++)
            if ((before[k] != after[k]) != cases[i].moves)
                fail_msg("%s: %g -> %g", cases[i].quant, (double)before[k], (double)after[k]);
        assert_int_equal(nb_calibrate(c.g, c.s.train, NULL, 16), NB_OK);
        scales_now(&c, later);
        assert_true(!cases[i].moves || memcmp(after, later, (size_t)n * sizeof *after) == 0);
        rounding_close(&c);
    }
}

static void keys_do_what_they_say(void **state)
{
    (void)state;
    static float usual[ROUNDING_MOST], other[ROUNDING_MOST];
    static const char *const keys[] = {"fisher: no", "drop: 0.5", "granularity: layer", "images: 32", "lambda: 0.1"};
    rounding_case c;
    rounding_open(&c, rounding_kinds[0]);
    assert_int_equal(rounding_run(&c, "reconstruct: {iterations: 30, batch: 16}", ROUNDING_IMAGES), NB_OK);
    const int32_t n = rounding_weights(&c, usual);
    rounding_close(&c);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char step[96];
        snprintf(step, sizeof step, "reconstruct: {iterations: 30, batch: 16, %s}", keys[i]);
        rounding_open(&c, rounding_kinds[0]);
        assert_int_equal(rounding_run(&c, step, ROUNDING_IMAGES), NB_OK);
        assert_int_equal(rounding_weights(&c, other), n);
        /* all its plain layers are blocks of their own anyway */
        assert_int_equal(rounding_differences(usual, other, n) > 0, strcmp(keys[i], "granularity: layer") != 0);
        rounding_close(&c);
    }
}

static void what_adaround_has_chosen_is_where_it_begins(void **state)
{
    (void)state;
    rounding_case c;
    double error[BLOCKS], nearest = 0;
    rounding_open(&c, rounding_kinds[0]);
    assert_int_equal(rounding_run(&c, "reconstruct: {iterations: 1, batch: 16, scale_lr: 0}", ROUNDING_IMAGES), NB_OK);
    for (int32_t i = 0; i < BLOCKS; i++)
        nearest += c.before[i];
    rounding_close(&c);
    rounding_open(&c, rounding_kinds[0]);
    assert_int_equal(rounding_run(&c, "adaround: {iterations: 100, rows: 128}", ROUNDING_IMAGES), NB_OK);
    c.rows = c.done = 0;
    c.share = 0;
    assert_int_equal(rounding_run(&c, "reconstruct: {iterations: 40, batch: 16}", ROUNDING_IMAGES), NB_OK);
    memcpy(error, c.before, sizeof error);
    assert_int_equal(c.rows, BLOCKS);
    for (int32_t i = 0; i < BLOCKS; i++) {
        assert_true(c.after[i] <= c.before[i]);
        nearest -= c.before[i];
    }
    assert_true(nearest > 0); /* it begins with less */
    rounding_close(&c);
}

static void what_cannot_be_rounded_so_is_named(void **state)
{
    (void)state;
    rounding_must_refuse("{weights: {bits: 4, format: log}}", "reconstruct",
                         "weights of d: format log has not every integer as a code; uniform, pow2 or fixed would do");
    rounding_must_refuse("{weights: {bits: 4}, batchnorm: fold_corrected}", "reconstruct",
                         "weights of c1: batchnorm: fold_corrected makes them anew");
    rounding_must_refuse("{weights: off}", "reconstruct", "weights of c1: they are not quantized");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *step, *says;
        int32_t n;
    } cases[] = {
        {"reconstruct: {iterations: 0}", "quant.steps[0] reconstruct.iterations: 0: must be in 1..1000000", 64},
        {"reconstruct: {drop: 1.5}", "reconstruct.drop: 1.5: must be in 0..1", 64},
        {"reconstruct: {granularity: net}", "reconstruct.granularity: net: ", 64},
        {"reconstruct: {images: 65}", "quant.steps: reconstruct: images: 65: there are 64 to look at", 64},
        {"reconstruct", "quant.steps: reconstruct: images: 0: there are 0 to look at", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rounding_case c;
        rounding_open(&c, rounding_kinds[0]);
        assert_int_equal(rounding_run(&c, cases[i].step, cases[i].n), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(c.s.ctx), cases[i].says))
            fail_msg("%s", nb_ctx_error(c.s.ctx));
        rounding_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_gets_better_and_codes_outlast_what_comes_after),
        cmocka_unit_test(integers_have_the_codes_that_were_chosen),
        cmocka_unit_test(any_number_of_threads_learns_the_same),
        cmocka_unit_test(what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits),
        cmocka_unit_test(scales_of_activations_are_learned_and_stay_where_that_can_be),
        cmocka_unit_test(keys_do_what_they_say),
        cmocka_unit_test(what_adaround_has_chosen_is_where_it_begins),
        cmocka_unit_test(what_cannot_be_rounded_so_is_named),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests_name("step_reconstruct", tests, NULL, NULL);
}
