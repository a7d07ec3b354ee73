/* test_post.c - the list quant.steps: bound with its mistakes named, done in order, each on the graph it asks for. */
#include "ref/post_run.h"

#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NET_OF(count)                                                                                                  \
    "data: {name: synth, count: " #count ", height: 8, width: 8, channels: 3, classes: 3}\n"                           \
    "model: [input, {conv2d: {name: c1, out: 4}}, batchnorm, relu, {linear: {name: fc, out: 3}}]\n"
#define NET NET_OF(64)

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
                                   .moves_weights = true,
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
        {"quant: {steps: scale}\n",
         "test.yaml:3: quant.steps: must be a list of steps, [a, b: {key: value}], or recommended, or none"},
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

/* ---- what they gain ---- */

static nb_status move_bias(const nb_post_input *in, float by)
{
    ((float *)nb_graph_find(in->graph, "fc.bias")->out.data)[0] += by;
    return NB_OK;
}

static float harm_by, heal_by;

static nb_status harm_run(const nb_post_input *in, const void *attr, char *summary)
{
    (void)attr;
    (void)summary;
    return move_bias(in, harm_by);
}

static nb_status heal_run(const nb_post_input *in, const void *attr, char *summary)
{
    (void)attr;
    (void)summary;
    return move_bias(in, heal_by);
}

static nb_status idle_run(const nb_post_input *in, const void *attr, char *summary)
{
    (void)in;
    (void)attr;
    snprintf(summary, NB_POST_SUMMARY, "nothing to do");
    return NB_OK;
}

static const char *always(const nb_graph *g)
{
    (void)g;
    return "because";
}

static const char *dear(const nb_graph *g)
{
    (void)g;
    return "too dear";
}

static bool barred(const nb_graph *g, char *why, size_t size)
{
    snprintf(why, size, "%d nodes too many", g->n);
    return true;
}

#define STEP(name_, stage_)                                                                                            \
    {                                                                                                                  \
        .name = #name_, .help = "moves a bias", .stage = stage_, .run = name_##_run                                    \
    }
#define LEFT_OUT(name_, stage_, hook, why)                                                                             \
    {                                                                                                                  \
        .name = name_, .help = "", .stage = stage_, .run = poison_run, .hook = why                                     \
    }
#define STEPS(stage)                                                                                                   \
    {                                                                                                                  \
        STEP(harm, stage), STEP(heal, stage), STEP(idle, stage), LEFT_OUT("vain", stage, pointless, always),           \
            LEFT_OUT("costly", stage, needless, dear), LEFT_OUT("closed", stage, refuse, barred)                       \
    }
enum { N_STEPS = 6 };
static const nb_post_step steps_of[2][N_STEPS] = {STEPS(NB_POST_FLOAT), STEPS(NB_POST_QUANTIZED)};

typedef struct {
    nb_post_start start; /* quantized.n = 0: not heard */
    nb_post_result result[N_STEPS];
    int32_t n;
    char summary[N_STEPS][64];
} gains;

static void on_start(void *ud, const nb_post_start *start)
{
    gains *h = ud;
    h->start = *start;
}

static void on_result(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    gains *h = ud;
    (void)step;
    snprintf(h->summary[h->n], sizeof h->summary[0], "%s", r->summary);
    h->result[h->n++] = *r;
}

enum { OF_FIRST = 80 };

/* All images are of class 0, for which the float network has this bias, and the quantized one, where the steps are its
 * own, so much more. n = 0: no images. */
typedef struct {
    bool quantized, tried;
    int32_t n;
    float bias, more;
} gain_case;

static void find_first_class(const nb_data *d, int32_t *indices)
{
    uint8_t pixels[8 * 8 * 3];
    int32_t found = 0, label;
    for (int32_t i = 0; found < OF_FIRST; i++) {
        nb_data_get(d, i, pixels, &label);
        if (label == 0)
            indices[found++] = i;
    }
}

static void run_gains(const gain_case *c, gains *h, float *moved)
{
    ref_street s;
    nb_graph *g;
    nb_post_list l;
    char yaml[1024];
    int32_t indices[OF_FIRST];
    const int32_t q = c->quantized;
    const nb_post_step *known_here[N_STEPS + 1] = {NULL};
    for (int32_t i = 0; i < N_STEPS; i++)
        known_here[i] = &steps_of[q][i];
    *h = (gains){.n = 0};
    snprintf(yaml, sizeof yaml, NET_OF(512) "quant: {steps: [harm, heal, idle, vain, costly, closed]}\n");
    assert_int_equal(ref_street_open(&s, yaml, 8, REF_FLOAT), NB_OK);
    find_first_class(s.train, indices);
    ((float *)nb_graph_find(s.graph, "fc.bias")->out.data)[0] = c->bias;
    assert_int_equal(ref_quantized(&s, 8, 64, &g), NB_OK);
    assert_int_equal(nb_post_bind(s.ctx, s.exp.quant, known_here, &l), NB_OK);
    l.tried = c->tried;
    const nb_post_report report = {.done = on_result, .start = on_start, .ud = h};
    if (!c->tried)
        l.n = 3; /* what is pointless or barred is then refused beforehand (nb_post_check) */
    nb_post_input in = {.graph = s.graph,
                        .data = s.train,
                        .indices = indices,
                        .n = c->n,
                        .experiment = &s.exp,
                        .measure = true,
                        .report = &report};
    assert_int_equal(nb_post_run(&l, NB_POST_FLOAT, &in), NB_OK);
    float *bias = nb_graph_find(g, "fc.bias")->out.data;
    bias[0] += c->more;
    in.graph = g;
    if (c->quantized)
        assert_int_equal(nb_post_run(&l, NB_POST_QUANTIZED, &in), NB_OK);
    *moved = c->quantized ? *bias - c->bias - c->more : *(float *)nb_graph_find(s.graph, "fc.bias")->out.data - c->bias;
    nb_post_free(&l);
    nb_graph_free(g);
    ref_street_close(&s);
}

static void what_is_tried_and_gains_nothing_is_undone(void **state)
{
    (void)state;
    gains h[2];
    float moved;
    harm_by = -3;
    heal_by = 2;
    for (int32_t q = 0; q < 2; q++) {
        run_gains(&(gain_case){.quantized = q, .tried = true, .n = OF_FIRST, .bias = 5}, &h[q], &moved);
        const nb_post_result *r = h[q].result;
        assert_int_equal(h[q].n, N_STEPS);
        assert_true(moved == 2);
        assert_true(r[0].measured && r[0].changed && !r[0].kept && r[0].after.loss > r[0].before.loss);
        assert_true(r[1].measured && r[1].changed && r[1].kept && r[1].after.loss < r[1].before.loss);
        assert_true(r[1].sqnr_after < r[1].sqnr_before); /* more right than the float network */
        assert_true(r[1].before.loss == r[0].before.loss && r[2].before.loss == r[1].after.loss);
        assert_true(!r[2].changed && !r[2].kept && r[2].after.loss == r[2].before.loss);
        for (int32_t i = 3; i < N_STEPS; i++)
            assert_true(!r[i].changed && !r[i].kept && !r[i].measured);
        assert_string_equal(h[q].summary[3], "because");
        assert_string_equal(h[q].summary[4], "too dear");
        assert_non_null(strstr(h[q].summary[5], "nodes too many"));
    }
    /* a step on the float network is measured as it will be quantized; the start is what the first step of all found */
    const nb_post_start *start = &h[0].start;
    assert_true(start->by_loss && start->quantized.n == OF_FIRST && start->floats.n == OF_FIRST);
    assert_true(start->quantized.loss == h[0].result[0].before.loss && start->floats.loss != start->quantized.loss);
    assert_true(start->sqnr == h[0].result[0].sqnr_before && start->sqnr > 10);
    assert_true(h[1].start.sqnr == start->sqnr);
}

/* The float network takes none of the images for what they are called: more of the first logit lowers the loss and leads
 * away from what the network does. */
static void labels_that_the_float_network_does_not_know_judge_no_step(void **state)
{
    (void)state;
    gains h;
    float moved;
    harm_by = 3;
    heal_by = -2;
    run_gains(&(gain_case){.quantized = true, .tried = true, .n = OF_FIRST, .bias = -5, .more = 2}, &h, &moved);
    const nb_post_result *r = h.result;
    assert_true(!h.start.by_loss && h.n == N_STEPS);
    assert_true(moved == -2);
    assert_true(r[0].changed && !r[0].kept && r[0].after.loss < r[0].before.loss && r[0].sqnr_after < r[0].sqnr_before);
    assert_true(r[1].changed && r[1].kept && r[1].after.loss > r[1].before.loss &&
                r[1].sqnr_after > r[1].sqnr_before + 5);
    assert_true(fabs(r[1].sqnr_after - h.start.sqnr) < 3);
}

/* Of as many as judge well the loss would keep the step. */
static void few_images_judge_by_no_loss(void **state)
{
    (void)state;
    gains h;
    float moved;
    harm_by = 3;
    heal_by = 2;
    run_gains(&(gain_case){.quantized = true, .tried = true, .n = 20, .bias = 5}, &h, &moved);
    assert_true(!h.start.by_loss && moved == 0 && h.start.floats.n == 20);
    assert_true(h.result[0].after.loss < h.result[0].before.loss);
}

static void what_was_asked_for_stays_and_is_measured(void **state)
{
    (void)state;
    for (int32_t q = 0; q < 2; q++) {
        gains h;
        float moved;
        harm_by = -3;
        heal_by = 2;
        run_gains(&(gain_case){.quantized = q, .n = OF_FIRST, .bias = 5}, &h, &moved);
        assert_true(moved == -1);
        assert_true(h.n == 3 && h.result[0].kept && h.result[0].after.loss > h.result[0].before.loss);
        assert_true(h.result[2].kept && !h.result[2].changed);
    }
}

static void without_images_nothing_is_measured_and_all_stays(void **state)
{
    (void)state;
    for (int32_t q = 0; q < 2; q++) {
        gains h;
        float moved;
        harm_by = 3;
        heal_by = -2;
        run_gains(&(gain_case){.quantized = q, .tried = true, .bias = 5}, &h, &moved);
        assert_true(moved == 1 && h.start.quantized.n == 0);
        assert_true(!h.result[0].measured && h.result[0].kept && !h.result[2].kept);
    }
}

static void the_recommended_steps_are_a_word(void **state)
{
    (void)state;
    static const char *const names[2][5] = {{"equalize", "absorb", "reestimate_bn", "adaround", "bias_correct"},
                                            {"equalize", "absorb", "bias_correct"}};
    for (int32_t k = 0; k < 2; k++) {
        ref_street s;
        nb_post_list l;
        assert_int_equal(
            bind(k ? "quant: {steps: recommended, data_free: yes}\n" : "quant: {steps: recommended}\n", &s, &l), NB_OK);
        assert_true(l.tried && l.n == (k ? 3 : 5));
        for (int32_t i = 0; i < l.n; i++)
            assert_string_equal(l.entry[i].step->name, names[k][i]);
        assert_int_equal(nb_post_check(&l, s.graph), NB_OK);
        const int32_t n = l.n;
        nb_post_leave_unrounded(&l);
        assert_int_equal(l.n, k ? n : n - 1);
        for (int32_t i = 0; i < l.n; i++)
            assert_string_not_equal(l.entry[i].step->name, "adaround");
        nb_post_free(&l);
        ref_street_close(&s);
    }
}

static void a_list_whose_steps_look_at_images_is_refused_without_them(void **state)
{
    (void)state;
    static const struct {
        const char *steps, *looks; /* NULL: none does */
    } cases[] = {{"[equalize, absorb, bias_correct: {mode: analytic}]", NULL},
                 {"[equalize, bias_correct]", NULL},
                 {"[equalize, bias_correct: {mode: empirical}]", "[1]: bias_correct"},
                 {"[reestimate_bn]", "[0]: reestimate_bn"},
                 {"[adaround]", "[0]: adaround"},
                 {"[reconstruct]", "[0]: reconstruct"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[1024], want[64];
        ref_street s;
        nb_post_list l;
        snprintf(yaml, sizeof yaml, NET "quant: {steps: %s}\n", cases[i].steps);
        snprintf(want, sizeof want, "quant.steps%s looks at images", cases[i].looks ? cases[i].looks : "");
        assert_int_equal(ref_street_open(&s, yaml, 2, REF_FLOAT), NB_OK);
        assert_int_equal(nb_post_bind(s.ctx, s.exp.quant, nb_post_steps, &l), NB_OK);
        assert_int_equal(nb_post_check_blind(&l), cases[i].looks ? NB_E_CONFIG : NB_OK);
        assert_true(!cases[i].looks || strstr(nb_ctx_error(s.ctx), want));
        nb_post_free(&l);
        ref_street_close(&s);
    }
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
        cmocka_unit_test(what_is_tried_and_gains_nothing_is_undone),
        cmocka_unit_test(labels_that_the_float_network_does_not_know_judge_no_step),
        cmocka_unit_test(few_images_judge_by_no_loss),
        cmocka_unit_test(what_was_asked_for_stays_and_is_measured),
        cmocka_unit_test(without_images_nothing_is_measured_and_all_stays),
        cmocka_unit_test(the_recommended_steps_are_a_word),
        cmocka_unit_test(a_list_whose_steps_look_at_images_is_refused_without_them),
        cmocka_unit_test(a_step_that_leaves_a_nan_fails_and_nothing_runs_after_it),
    };
    return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
