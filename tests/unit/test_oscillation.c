/* test_oscillation.c - weights that jump between codes: followed as the paper says, frozen, dampened, and the same after a stop. */
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/oscillation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plan_case.h"

#define QUANT "quant: {weights: {bits: 3, granularity: channel, range: minmax}, first_last_bits: 8}\n"

enum { STEPS = 40 };

typedef struct {
    train_case t;
    nb_graph *g;
    nb_optim *o;
    nb_oscillation *s;
    float *w, *dw; /* c2.weight, the only one of 3 bits: 6 channels of 36 */
    int64_t n;
} oscillation_test;

static void open_test(void **state, oscillation_test *x, const char *keys)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text,
             "%s" QUANT "train: {batch: 8, ema: 0.9, phases: [{epochs: 1, lr: 0.1, quant: on, oscillation: %s}]}\n",
             train_case_head, keys);
    assert_int_equal(train_case_open(&x->t, f->ctx, f->dir, text), NB_OK);
    assert_int_equal(train_case_graph(&x->t, true, &(nb_params_source){0}, &x->g), NB_OK);
    assert_int_equal(nb_oscillation_check(f->ctx, x->t.plan, 0, x->g), NB_OK);
    assert_int_equal(nb_optim_create(f->ctx, x->t.plan, x->g, &x->o), NB_OK);
    assert_int_equal(nb_oscillation_create(x->o, &x->t.plan->phase[0], x->g, &x->s), NB_OK);
    nb_tensor *w = &nb_graph_find(x->g, "c2.weight")->out;
    x->w = w->data;
    x->dw = w->grad;
    x->n = nb_count(w);
}

static void close_test(oscillation_test *x)
{
    nb_optim_free(x->t.ctx, x->o);
    nb_graph_free(x->g);
    train_case_close(&x->t);
}

static float *kept(const oscillation_test *x, const char *name)
{
    int32_t n;
    const nb_kept *k = nb_optim_kept(x->o, &n);
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(k[i].name, name))
            return k[i].data;
    fail_msg("%s is not kept", name);
    return NULL;
}

/* The last of a channel is 3, so that the scale is 1; the others sway around the middle between two codes, each at a pace of
 * its own, some not at all. */
static void set_weights(const oscillation_test *x, int32_t t)
{
    for (int64_t i = 0; i < x->n; i++)
        x->w[i] = i % 36 == 35 ? 3.0f : (float)(1.5 + 0.9 * sin(0.35 * (double)(i % 7) * t));
}

/* One step up to the optimizer. */
static void go(oscillation_test *x, int32_t t)
{
    static uint8_t pixels[8 * 64];
    static const int32_t labels[8] = {0, 1, 2};
    const nb_run r = {.train = true, .pixels = pixels, .labels = labels};
    nb_forward(x->g, &r);
    nb_backward(x->g, &r);
    nb_oscillation_watch(x->s, t, STEPS);
}

/* What the paper says, its algorithm 1, for one weight. */
typedef struct {
    double f, mean, last, turn, held; /* held: NAN until frozen */
} reference;

static void follow(reference *r, double code, double m, double threshold)
{
    const double delta = code - r->last;
    const bool turned = delta != 0 && r->turn != 0 && (delta > 0) != (r->turn > 0);
    if (!isnan(r->held))
        return;
    r->f = m * turned + (1 - m) * r->f;
    r->mean = m * code + (1 - m) * r->mean;
    r->last = code;
    r->turn = delta != 0 ? delta : r->turn;
    if (threshold > 0 && r->f > threshold)
        r->held = nearbyint(r->mean);
}

static void weights_are_followed_and_frozen_as_the_paper_says(void **state)
{
    oscillation_test x;
    static reference ref[216];
    int32_t held = 0;
    open_test(state, &x, "{momentum: 0.1, freeze: 0.3, freeze_end: 0.15, begin: 0.5}");
    assert_int_equal(x.n, 216);
    const float *share = kept(&x, "opt/c2.weight/turns"), *mean = kept(&x, "opt/c2.weight/mean");
    for (int32_t t = 0; t < STEPS; t++) {
        set_weights(&x, t);
        go(&x, t);
        const double y = (t - STEPS / 2) / (double)(STEPS - STEPS / 2);
        const double threshold = y < 0 ? 0 : 0.15 + 0.15 * 0.5 * (1 + cos(3.141592653589793 * y));
        for (int64_t i = 0; i < x.n; i++) {
            const double code = nearbyint((double)x.w[i]); /* the scale is 1, and no weight is half way */
            if (t == 0)
                ref[i] = (reference){.mean = code, .last = code, .held = NAN};
            else
                follow(&ref[i], code, 0.1, threshold);
            if (isnan(ref[i].held)) {
                assert_true(fabs((double)share[i] - ref[i].f) < 1e-5);
                assert_true(fabs((double)mean[i] - ref[i].mean) < 1e-5);
            }
        }
        nb_oscillation_hold(x.s); /* with an optimizer that does nothing */
        for (int64_t i = 0; i < x.n; i++)
            if (!isnan(ref[i].held)) {
                assert_true((double)x.w[i] == ref[i].held && x.dw[i] == 0);
                held += t == STEPS - 1;
            }
    }
    double oscillating, frozen;
    nb_oscillation_shares(x.s, &oscillating, &frozen);
    assert_true(held > 0 && held < x.n && frozen == (double)held / (double)x.n && oscillating > 0);
    close_test(&x);
}

static void a_frozen_weight_keeps_its_code_when_the_scale_moves(void **state)
{
    oscillation_test x;
    open_test(state, &x, "{momentum: 0.5, freeze: 0.6, freeze_end: 0.5, begin: 0}");
    for (int32_t t = 0; t < 6; t++) { /* the first weight goes to and fro, its code from 1 to 2 and back */
        set_weights(&x, 0);
        for (int64_t i = 0; i < x.n; i++)
            x.w[i] = i % 36 == 35 ? 3.0f : 0.0f;
        x.w[0] = t % 2 ? 1.9f : 1.1f;
        go(&x, t);
        nb_oscillation_hold(x.s);
    }
    const float *turn = kept(&x, "opt/c2.weight/turn"), *code = kept(&x, "opt/c2.weight/code");
    assert_true(turn[0] == 2 && (code[0] == 1 || code[0] == 2));
    assert_true(x.w[0] == code[0] && turn[1] == 0);
    x.w[35] = 6; /* the scale doubles: by value it would be another code */
    go(&x, 6);
    x.w[0] = 100; /* whatever the optimizer does */
    nb_oscillation_hold(x.s);
    assert_true(x.w[0] == 2 * code[0]);
    const nb_slot *slot = nb_optim_slot(x.o, 0);
    for (int32_t i = 0; i < nb_optim_count(x.o); i++)
        if (nb_optim_slot(x.o, i)->leaf->out.data == x.w)
            slot = nb_optim_slot(x.o, i);
    assert_true(slot->average[0] == x.w[0] && slot->average[1] != x.w[0]);
    close_test(&x);
}

/* dampen * mean over the kernel of the sum over channels of (w - value of its code)^2, the codes standing still. */
static double loss(const oscillation_test *x, const float *codes)
{
    double sum = 0;
    for (int64_t i = 0; i < x->n; i++)
        sum += x->w[i] < -3 || x->w[i] > 3 ? 0 : pow((double)x->w[i] - (double)codes[i], 2);
    return sum / 36;
}

static void dampening_adds_the_gradient_of_its_loss(void **state)
{
    oscillation_test x, plain;
    float codes[216];
    open_test(state, &x, "{dampen: 8, begin: 0}");
    open_test(state, &plain, "{}");
    for (int32_t t = 0; t <= 10;
         t += 10) { /* at the beginning its factor is 0, at 1/4 of the phase it is 8 * (1 - cos(pi / 4)) / 2 */
        const double factor = 8 * 0.5 * (1 - cos(3.141592653589793 * t / STEPS));
        set_weights(&x, 5);
        set_weights(&plain, 5);
        go(&x, t);
        go(&plain, t);
        for (int64_t i = 0; i < x.n; i++)
            codes[i] = nearbyintf(x.w[i]);
        for (int64_t i = 0; i < x.n; i++) {
            const float w = x.w[i], h = 1.0f / 64;
            double up, down;
            x.w[i] = w + h;
            up = loss(&x, codes);
            x.w[i] = w - h;
            down = loss(&x, codes);
            x.w[i] = w;
            const double got = (double)x.dw[i] - (double)plain.dw[i], want = factor * (up - down) / (2 * (double)h);
            if (i % 36 != 35) /* which is at the end of the grid: beyond it there is no loss */
                assert_true(fabs(got - want) < 1e-4 * (1 + fabs(want)));
        }
    }
    close_test(&x);
    close_test(&plain);
}

#define TRAIN                                                                                                          \
    QUANT "train:\n  batch: 16\n  ema: 0.9\n  phases: [{name: float, epochs: 1, lr: 0.1},"                             \
          " {name: qat, epochs: 3, lr: 0.3, quant: on, oscillation: {momentum: 0.2, freeze: 0.5, freeze_end: 0.2,"     \
          " dampen: 0.1, begin: 0.2}}]\n"

static void threads_and_interruptions_change_no_byte(void **state)
{
    static const char *const files[] = {"last.safetensors", "best.safetensors", "metrics.csv", NB_OSCILLATION_FILE,
                                        NULL};
    train_case t;
    train_case_repeats(*state, TRAIN, files);
    train_case_pieces(&t, *state, "more", TRAIN, 0);
    assert_true(t.last.frozen > 0 && t.last.frozen < 1 && t.last.oscillating >= 0);
    train_case_close(&t);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    plan_refuses("{phases: [{epochs: 1, lr: 1, oscillation: {}}]}",
                 "x.yaml:1: train.phases[0].oscillation: this phase has no codes: it needs `quant: on`");
    plan_refuses("{phases: [{epochs: 1, lr: 1, quant: on, oscillation: on}]}",
                 "x.yaml:1: train.phases[0].oscillation: must be a map like {freeze: 0.1}, or {} to watch only");
    plan_refuses("{phases: [{epochs: 1, lr: 1, quant: on, oscillation: {freeze: 0.1, freeze_end: 0.2}}]}",
                 "x.yaml:1: train.phases[0].oscillation: freeze_end: 0.2: must be at most freeze, 0.1");
    plan_refuses(
        "{phases: [{epochs: 1, lr: 1, quant: on, oscillation: {freeze: 0.1, momentum: 0.02}}]}",
        "x.yaml:1: train.phases[0].oscillation: freeze_end: 0.01: must be at least momentum, 0.02, or a weight is "
        "frozen when it turns back once");
}

static void network_refuses(data_fixture *f, const char *quant, const char *sentence)
{
    train_case t;
    nb_graph *g;
    char text[2048];
    snprintf(text, sizeof text,
             "%squant: %s\ntrain: {batch: 8, phases: [{epochs: 1, lr: 1, quant: on, oscillation: {}}]}\n",
             train_case_head, quant);
    assert_int_equal(train_case_open(&t, f->ctx, f->dir, text), NB_OK);
    if (train_case_graph(&t, true, &(nb_params_source){0}, &g) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    assert_int_equal(nb_oscillation_check(f->ctx, t.plan, 0, g), NB_E_CONFIG);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("%s", nb_ctx_error(f->ctx));
    nb_graph_free(g);
    train_case_close(&t);
}

static void networks_without_codes_to_hold_are_refused(void **state)
{
    network_refuses(*state, "{weights: {bits: 8}}",
                    "train.phases[0].oscillation: no layer has weights of at most 4 bits: raise `bits`");
    network_refuses(*state, "{weights: {bits: 4}, simulate: yes}",
                    "weights of c2.weight cannot be watched: the network is simulated in floats");
    network_refuses(
        *state, "{weights: {bits: 4, granularity: tensor}, batchnorm: fold_corrected}",
        "cannot be watched: they are made anew in every step (batchnorm: fold_corrected; keep or fold would do)");
    network_refuses(
        *state, "{weights: {bits: 4, granularity: tensor, learn: dorefa, format: odd}}",
        "weights of c2.weight cannot be watched: they are codes of what `learn` makes of them (lsq or none");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(weights_are_followed_and_frozen_as_the_paper_says),
        TEST(a_frozen_weight_keeps_its_code_when_the_scale_moves),
        TEST(dampening_adds_the_gradient_of_its_loss),
        TEST(threads_and_interruptions_change_no_byte),
        TEST(what_makes_no_sense_is_refused),
        TEST(networks_without_codes_to_hold_are_refused),
    };
    return cmocka_run_group_tests_name("oscillation", tests, NULL, NULL);
}
