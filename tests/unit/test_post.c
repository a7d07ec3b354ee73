/* test_post.c - the list quant.steps: bound with its mistakes named, done in order, each on the graph it asks for. */
#include "ref/street.h"

#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, {conv2d: {name: c1, out: 4}}, batchnorm, relu, {linear: {name: fc, out: 3}}]\n"

/* ---- three steps of our own: two on the float network, one on the quantized one ---- */

typedef struct {
    int32_t times;
    float by;
} scale_attr;

static char trace[256];

static void note(const char *name, const nb_post_input *in)
{
    size_t at = strlen(trace);
    snprintf(trace + at, sizeof trace - at, "%s(%s, %d images) ", name, in->graph->quantized ? "quantized" : "float",
             in->n);
}

static const nb_post_step scale, poison, nudge;

static nb_status scale_run(const nb_post_input *in, const void *attr, char *summary)
{
    const scale_attr *a = attr;
    float *w = nb_graph_find(in->graph, "c1.weight")->out.data;
    note("scale", in);
    for (int32_t i = 0; i < a->times; i++)
        w[0] *= a->by;
    nb_post_say(in, &scale, &(nb_post_row){.layer = "c1", .text = "scaled", .done = true, .before = 1, .after = 2});
    snprintf(summary, NB_POST_SUMMARY, "%d times", a->times);
    return NB_OK;
}

static nb_status poison_run(const nb_post_input *in, const void *attr, char *summary)
{
    (void)attr;
    (void)summary;
    note("poison", in);
    ((float *)nb_graph_find(in->graph, "c1.bias")->out.data)[0] = NAN;
    return NB_OK;
}

static nb_status nudge_run(const nb_post_input *in, const void *attr, char *summary)
{
    (void)attr;
    (void)summary;
    note("nudge", in);
    return NB_OK;
}

static const nb_key scale_keys[] = {
    NB_KEY_INT(scale_attr, times, "1", 1, 9, "how often"), NB_KEY_FLOAT(scale_attr, by, "2", 0, 10, "factor"), {0}};
static const nb_post_step scale = {.name = "scale",
                                   .help = "scales",
                                   .keys = scale_keys,
                                   .attr_size = sizeof(scale_attr),
                                   .measure = "size",
                                   .run = scale_run};
static const nb_post_step poison = {.name = "poison", .help = "spoils a bias", .run = poison_run};
static const nb_post_step nudge = {.name = "nudge", .help = "nudges", .stage = NB_POST_QUANTIZED, .run = nudge_run};
static const nb_post_step *const known[] = {&scale, &poison, &nudge, NULL};

/* ---- binding ---- */

static nb_status bind(const char *quant, ref_street *s, nb_post_list *l)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, NET "%s", quant);
    *l = (nb_post_list){0};
    assert_int_equal(ref_street_open(s, yaml, 2, REF_FLOAT), NB_OK);
    return nb_post_bind(s->ctx, s->exp.quant, known, l);
}

static void a_config_without_steps_has_an_empty_list(void **state)
{
    (void)state;
    static const char *const none[] = {"", "quant:\n", "quant: {weights: {bits: 4}}\n", "quant: {steps: []}\n",
                                       "quant: {steps: none}\n"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ref_street s;
        nb_post_list l;
        assert_int_equal(bind(none[i], &s, &l), NB_OK);
        assert_int_equal(l.n, 0);
        assert_int_equal(nb_post_run(&l, NB_POST_FLOAT, &(nb_post_input){.graph = s.graph}), NB_OK);
        nb_post_free(&l);
        ref_street_close(&s);
    }
}

static void entries_are_names_or_names_with_keys(void **state)
{
    (void)state;
    ref_street s;
    nb_post_list l;
    assert_int_equal(bind("quant: {steps: [scale, {scale: {times: 3}}, nudge, {nudge: {}}]}\n", &s, &l), NB_OK);
    assert_int_equal(l.n, 4);
    assert_int_equal(((scale_attr *)l.entry[0].attr)->times, 1);
    assert_int_equal(((scale_attr *)l.entry[1].attr)->times, 3);
    assert_ptr_equal(l.entry[2].step, &nudge);
    assert_true(nb_post_has(&l, NB_POST_FLOAT) && nb_post_has(&l, NB_POST_QUANTIZED));
    nb_post_free(&l);
    ref_street_close(&s);
}

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"quant: {steps: scale}\n", "test.yaml:3: quant.steps: must be a list of steps"},
        {"quant: {steps: [skale]}\n", "test.yaml:3: quant.steps[0]: skale: unknown step (did you mean \"scale\"?)"},
        {"quant: {steps: [scale, {xyz: {}}]}\n", "quant.steps[1]: xyz: unknown step (there are: scale, poison, nudge)"},
        {"quant: {steps: [{scale: {timse: 2}}]}\n",
         "quant.steps[0] scale.timse: unknown key (did you mean \"times\"?)"},
        {"quant: {steps: [{scale: {times: 10}}]}\n", "quant.steps[0] scale.times: 10: must be in 1..9"},
        {"quant: {steps: [{nudge: {a: 1}}]}\n", "quant.steps[0] nudge.a: unknown key (there are none)"},
        {"quant: {steps: [{scale: {}, nudge: {}}]}\n", "quant.steps[0]: must be one name"},
        {"quant: {steps: [{scale: 3}]}\n", "quant.steps[0] scale: 3: must be a section of keys"},
        {"quant: {steps: [[scale]]}\n", "quant.steps[0]: must be the name of a step"},
        {"quant: {steps: ['']}\n", "quant.steps[0]: must be one name"},
        {"quant: {steps: [nudge, scale]}\n",
         "quant.steps[1]: scale works on the float network and nudge on the quantized one: put scale first"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ref_street s;
        nb_post_list l;
        nb_status st = bind(cases[i][0], &s, &l);
        if (st != NB_E_CONFIG || !strstr(nb_ctx_error(s.ctx), cases[i][1]))
            fail_msg("%s: got %d: %s", cases[i][0], (int)st, nb_ctx_error(s.ctx));
        ref_street_close(&s);
    }
    char many[512] = "quant: {steps: [scale";
    for (int32_t i = 0; i < 32; i++)
        strcat(many, ", scale");
    strcat(many, "]}\n");
    ref_street s;
    nb_post_list l;
    assert_int_equal(bind(many, &s, &l), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "33 steps: at most 32"));
    ref_street_close(&s);
}

static void every_step_there_is_can_be_listed_as_its_examples_say(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_post_steps[i]; i++)
        for (const char *const *e = nb_post_steps[i]->examples; *e; e++) {
            char yaml[1024];
            ref_street s;
            nb_post_list l;
            snprintf(yaml, sizeof yaml, NET "quant: {steps: [%s]}\n", *e);
            assert_int_equal(ref_street_open(&s, yaml, 2, REF_FLOAT), NB_OK);
            assert_int_equal(nb_post_bind(s.ctx, s.exp.quant, nb_post_steps, &l), NB_OK);
            assert_ptr_equal(l.entry[0].step, nb_post_steps[i]);
            nb_post_free(&l);
            ref_street_close(&s);
        }
}

/* ---- doing ---- */

typedef struct {
    char text[256];
} heard;

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    heard *h = ud;
    size_t at = strlen(h->text);
    snprintf(h->text + at, sizeof h->text - at, "%s/%s: %s; ", step->name, r->layer, r->text);
}

static void on_done(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    heard *h = ud;
    size_t at = strlen(h->text);
    snprintf(h->text + at, sizeof h->text - at, "%s = %s; ", step->name, r->summary);
}

static void steps_run_in_order_on_the_graph_of_their_stage_and_report(void **state)
{
    (void)state;
    ref_street s;
    nb_post_list l;
    heard h = {{0}};
    const nb_post_report report = {.row = on_row, .done = on_done, .ud = &h};
    trace[0] = '\0';
    assert_int_equal(bind("quant: {steps: [scale, {scale: {times: 2, by: 3}}, nudge]}\n", &s, &l), NB_OK);
    const float before = *(float *)nb_graph_find(s.graph, "c1.weight")->out.data;
    nb_post_input in = {.graph = s.graph, .data = s.train, .n = 7, .report = &report};
    assert_int_equal(nb_post_run(&l, NB_POST_FLOAT, &in), NB_OK);
    assert_float_equal(*(float *)nb_graph_find(s.graph, "c1.weight")->out.data, 18 * before, 1e-5);
    assert_int_equal(nb_model_quantize(s.graph, s.exp.quant), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    in.n = 5;
    in.report = NULL; /* nobody listens */
    assert_int_equal(nb_post_run(&l, NB_POST_QUANTIZED, &in), NB_OK);
    assert_string_equal(trace, "scale(float, 7 images) scale(float, 7 images) nudge(quantized, 5 images) ");
    assert_string_equal(h.text, "scale/c1: scaled; scale = 1 times; scale/c1: scaled; scale = 2 times; ");
    nb_post_free(&l);
    ref_street_close(&s);
}

static void a_step_that_leaves_a_nan_fails_and_nothing_runs_after_it(void **state)
{
    (void)state;
    ref_street s;
    nb_post_list l;
    trace[0] = '\0';
    assert_int_equal(bind("quant: {steps: [poison, scale]}\n", &s, &l), NB_OK);
    assert_int_equal(nb_post_run(&l, NB_POST_FLOAT, &(nb_post_input){.graph = s.graph}), NB_E_DIVERGED);
    assert_string_equal(nb_ctx_error(s.ctx), "step poison: c1.bias holds a value that is not a finite number");
    assert_string_equal(trace, "poison(float, 0 images) ");
    nb_post_free(&l);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_without_steps_has_an_empty_list),
        cmocka_unit_test(entries_are_names_or_names_with_keys),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(every_step_there_is_can_be_listed_as_its_examples_say),
        cmocka_unit_test(steps_run_in_order_on_the_graph_of_their_stage_and_report),
        cmocka_unit_test(a_step_that_leaves_a_nan_fails_and_nothing_runs_after_it),
    };
    return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
