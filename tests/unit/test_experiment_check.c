/* test_experiment_check.c - every section is checked, whether a phase will use it or not. */
#include "ref/street.h"

#include <nibble/train.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NET                                                                                                            \
    "model: [input, {conv2d: {name: c1, out: 4, kernel: 3, pad: 1, bias: no}}, batchnorm, relu, {linear: {out: 3}}]\n"
#define DATA  "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3%s}\n"
#define FLOAT "train: {phases: [{epochs: 1, lr: 0.1}]}\n"

/* data: more keys of `data`; rest: more sections. The sentence goes to why. */
static nb_status check(const char *data, const char *rest, char why[512])
{
    char yaml[2048];
    ref_street s;
    int n = snprintf(yaml, sizeof yaml, DATA NET, data);
    snprintf(yaml + n, sizeof yaml - (size_t)n, "%s", rest);
    nb_status st = ref_street_open(&s, yaml, 1, REF_FLOAT);
    if (st == NB_OK)
        st = nb_experiment_check(s.ctx, &s.exp, nb_data_info(s.train));
    snprintf(why, 512, "%s", nb_ctx_error(s.ctx));
    ref_street_close(&s);
    return st;
}

static void a_sound_experiment_passes_with_any_of_its_optional_sections(void **state)
{
    (void)state;
    static const char *const rests[] = {"", FLOAT, "quant: {weights: {bits: 4}, layers: {c1: {weights: {bits: 2}}}}\n",
                                        FLOAT "quant: {batchnorm: fold, activations: {range: mse, momentum: 0.5}}\n"};
    char why[512];
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++)
        if (check(", augment: [flip]", rests[i], why) != NB_OK)
            fail_msg("%s: %s", rests[i], why);
}

/* Lowering would refuse it, after hours of training. */
static void an_output_without_integers_is_named(void **state)
{
    (void)state;
    static const char yaml[] =
        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
        "model: [input, {linear: {name: a, out: 3}}, {linear: {name: b, in: input1, out: 3}}, %s]\n"
        "quant: {weights: {bits: 8}, activations: {bits: 8}%s}\n";
    static const struct {
        const char *end, *quant;
        bool fine;
    } cases[] = {
        {"{add: {in: [a, b]}}", "", false},
        {"{mul: {in: [a, b]}}, sigmoid", "", false},
        {"{sub: {in: [a, b]}}, relu", "", false},
        {"{add: {in: [a, b]}}", ", output_bits: 8", true},
        {"{add: {in: [a, b]}}, {linear: {out: 3}}, relu", "", true},
        {"{add: {in: [a, b]}}", ", simulate: yes", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        ref_street s;
        snprintf(text, sizeof text, yaml, cases[i].end, cases[i].quant);
        assert_int_equal(ref_street_open(&s, text, 1, REF_FLOAT), NB_OK);
        const nb_status st = nb_experiment_check(s.ctx, &s.exp, nb_data_info(s.train));
        if (st != (cases[i].fine ? NB_OK : NB_E_CONFIG))
            fail_msg("%s%s: %d: %s", cases[i].end, cases[i].quant, (int)st, nb_ctx_error(s.ctx));
        if (!cases[i].fine)
            assert_non_null(strstr(nb_ctx_error(s.ctx),
                                   ":3: quant: output_bits: 0: must be 1..8 (e.g. 8), as the network's output, "));
        ref_street_close(&s);
    }
}

static void mistakes_in_sections_that_no_phase_uses_are_named(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"", FLOAT "quant: {wieghts: {bits: 2}}\n", "quant.wieghts: unknown key (did you mean \"weights\"?)"},
        {"", FLOAT "quant: {weights: {bits: 1}}\n", "quant.weights: format: uniform: has codes of 2..8 bits"},
        {"", FLOAT "quant: {layers: {c2: {weights: {bits: 2}}}}\n", "quant.layers.c2: the model has no such layer"},
        {"", FLOAT "quant: {layers: {relu1: {weights: {bits: 2}}}}\n", "quant.layers.relu1.weights: changes nothing"},
        {"", FLOAT "quant: {steps: [nothing]}\n", "quant.steps[0]: nothing: unknown step"},
        {"", FLOAT "quant: {activations: {range: em}}\n", "unknown range method (did you mean \"ema\"?)"},
        {"", "train: {phases: [{epochs: 1, lr: 0.1, schedule: cosin}]}\n", "train.phases[0].schedule: cosin: unknown"},
        {", augment: [flop]", FLOAT, "data.augment[0]: flop: unknown augmentation (did you mean \"flip\"?)"},
        {", augment: [crop9]", "", "data.augment[0]: crop.pad: 9: must be in 1..7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[512];
        nb_status st = check(cases[i][0], cases[i][1], why);
        if (st != NB_E_CONFIG || !strstr(why, cases[i][2]))
            fail_msg("%s%s: got %d: %s", cases[i][0], cases[i][1], (int)st, why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_experiment_passes_with_any_of_its_optional_sections),
        cmocka_unit_test(mistakes_in_sections_that_no_phase_uses_are_named),
        cmocka_unit_test(an_output_without_integers_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
