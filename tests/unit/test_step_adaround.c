/* test_step_adaround.c - the step adaround: every layer gets better, its codes last, and what cannot be rounded so is named. */
#include "ref/post_run.h"

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

#define NET                                                                                                            \
    "seed: 2\n"                                                                                                        \
    "data: {name: synth, count: 96, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, {conv2d: {name: c1, out: 8, pad: 1, bias: no}}, {batchnorm: {name: n1}}, relu,\n"                  \
    "  {dwconv2d: {name: d, pad: 1}}, relu, {resblock: {name: b, out: 8}}, {avgpool: {global: yes}},\n"                \
    "  {linear: {name: fc, out: 3}}]\n"

enum { BATCH = 16, N = 64, MACS = 5 };

typedef struct {
    ref_street s;
    nb_graph *g;
    int32_t rows, done;
    double before[16], after[16];
    char summary[NB_POST_SUMMARY], last[64];
    double share;
    const nb_post_store *store;
} step_case;

static void open_case(step_case *c, const char *quant)
{
    char yaml[1024];
    *c = (step_case){0};
    snprintf(yaml, sizeof yaml, NET "%s", quant);
    if (ref_street_open(&c->s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(c->s.ctx));
    ref_street_steps(&c->s, 10, 0.1f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = BATCH,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    if (nb_graph_open(c->s.ctx, &spec, &from, &c->g) != NB_OK)
        fail_msg("%s: %s", quant, nb_ctx_error(c->s.ctx));
    assert_int_equal(nb_calibrate(c->g, c->s.train, NULL, N), NB_OK);
}

static void close_case(step_case *c)
{
    nb_graph_free(c->g);
    ref_street_close(&c->s);
}

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    step_case *c = ud;
    (void)step;
    c->before[c->rows] = r->before;
    c->after[c->rows] = r->after;
    c->done += r->done;
    snprintf(c->last, sizeof c->last, "%s", r->layer);
    c->rows++;
}

static void on_done(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    (void)step;
    snprintf(((step_case *)ud)->summary, NB_POST_SUMMARY, "%s", r->summary);
}

static void on_progress(void *ud, const nb_post_step *step, const char *layer, double share)
{
    step_case *c = ud;
    (void)step;
    (void)layer;
    assert_true(share > c->share && share <= 1 + 1e-9);
    c->share = share;
}

static nb_status adaround(step_case *c, const char *keys, int32_t n)
{
    char text[128];
    nb_config *cfg;
    nb_post_list l = {0};
    const nb_post_report report = {.row = on_row, .done = on_done, .progress = on_progress, .ud = c};
    snprintf(text, sizeof text, "steps: [{adaround: %s}]\n", keys);
    assert_int_equal(nb_config_parse(c->s.ctx, "steps", text, strlen(text), NULL, 0, &cfg), NB_OK);
    nb_status st = nb_post_bind(c->s.ctx, nb_config_root(cfg), nb_post_steps, &l);
    if (st == NB_OK)
        st = nb_post_run(&l, NB_POST_QUANTIZED,
                         &(nb_post_input){.graph = c->g,
                                          .experiment = &c->s.exp,
                                          .data = c->s.train,
                                          .n = n,
                                          .report = &report,
                                          .store = c->store});
    nb_post_free(&l);
    nb_config_free(c->s.ctx, cfg);
    return st;
}

/* ---- codes ---- */

enum { MOST = 4096 };

/* Scales and codes of all weights as the next forward pass has them, one after the other; floats, so that simulated networks
 * have them, too. */
static int32_t weights_now(const step_case *c, float *out)
{
    int32_t at = 0;
    for (int32_t i = 0; i < c->g->n; i++) {
        nb_node *fq = c->g->node[i]->op->role == NB_ROLE_MAC ? c->g->node[i]->in[1] : NULL;
        if (!fq)
            continue;
        const int32_t count = (int32_t)nb_count(&fq->out);
        fq->op->forward(fq, &(nb_run){0});
        assert_true(at + count + fq->out.q->n <= MOST);
        memcpy(out + at, fq->out.q->scale, (size_t)fq->out.q->n * sizeof *out);
        at += fq->out.q->n;
        for (int32_t k = 0; k < count; k++)
            out[at++] =
                fq->out.dtype == NB_F32 ? ((const float *)fq->out.data)[k] : (float)((const int8_t *)fq->out.data)[k];
    }
    return at;
}

static int32_t differences(const float *a, const float *b, int32_t n)
{
    int32_t d = 0;
    for (int32_t i = 0; i < n; i++)
        d += a[i] != b[i];
    return d;
}

static const char *const kinds[] = {
    "quant: {weights: {bits: 3, range: mse}}\n",
    "quant: {weights: {bits: 3, granularity: tensor}, batchnorm: fold}\n",
    "quant: {weights: {bits: 4, granularity: group, group: 4, scheme: asymmetric}}\n",
    "quant: {weights: {bits: 4, scheme: full, granularity: tensor}}\n",
    "quant: {weights: {bits: 4, format: pow2}}\n",
    "quant: {weights: {bits: 5, format: fixed, granularity: tensor}, activations: {format: fixed}}\n",
    "quant: {weights: {bits: 4, learn: lsq}, activations: {learn: lsq}}\n",
    "quant: {weights: {bits: 8, scheme: asymmetric}}\n", /* simulated */
};

static void every_layer_gets_better_and_codes_outlast_what_comes_after(void **state)
{
    (void)state;
    static float before[MOST], chosen[MOST], later[MOST];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        step_case c;
        open_case(&c, kinds[i]);
        const int32_t n = weights_now(&c, before);
        if (adaround(&c, "{iterations: 100, rows: 128}", N) != NB_OK)
            fail_msg("%s: %s", kinds[i], nb_ctx_error(c.s.ctx));
        assert_int_equal(c.rows, MACS);
        assert_int_equal(c.done, MACS);
        assert_string_equal(c.last, "fc");
        assert_true(fabs(c.share - 1) < 1e-9);
        double was = 0, is = 0;
        for (int32_t k = 0; k < MACS; k++) {
            assert_true(c.after[k] <= c.before[k] && c.before[k] > 0);
            was += c.before[k];
            is += c.after[k];
        }
        /* with 8 bits nearly all of the error is that of activations */
        if (!(is < (strstr(kinds[i], "bits: 8") ? 1 : 0.9) * was))
            fail_msg("%s: mean error %g -> %g", kinds[i], was / MACS, is / MACS);
        assert_non_null(strstr(c.summary, "5 layers over 64 images; error of what they give, mean of layers, "));
        assert_int_equal(weights_now(&c, chosen), n);
        assert_true(differences(before, chosen, n) > 3);
        assert_int_equal(nb_calibrate(c.g, c.s.train, NULL, 32), NB_OK); /* as reestimate_bn does */
        assert_int_equal(weights_now(&c, later), n);
        if (!strstr(kinds[i], "fixed")) /* the one scale of which follows activations */
            assert_int_equal(differences(chosen, later, n), 0);
        nb_graph_free(c.s.graph); /* and a step of training that moves nothing */
        c.s.graph = c.g;
        ref_street_steps(&c.s, 1, 0, true);
        assert_int_equal(weights_now(&c, later), n);
        assert_int_equal(strstr(kinds[i], "fixed") ? 0 : differences(chosen, later, n), 0);
        c.s.graph = NULL;
        close_case(&c);
    }
}

static void scales_stay_when_training_goes_on(void **state)
{
    (void)state;
    static float chosen[MOST], later[MOST];
    step_case c;
    open_case(&c, kinds[0]);
    assert_int_equal(adaround(&c, "{iterations: 100, images: 32, rows: 128}", N), NB_OK);
    const int32_t n = weights_now(&c, chosen);
    nb_graph_free(c.s.graph);
    c.s.graph = c.g;
    ref_street_steps(&c.s, 3, 0.1f, true);
    assert_int_equal(weights_now(&c, later), n);
    for (int32_t i = 0; i < n; i++)
        if (chosen[i] != nearbyintf(chosen[i])) /* a scale */
            assert_true(chosen[i] == later[i]);
    assert_true(differences(chosen, later, n) > 0);
    c.s.graph = NULL;
    close_case(&c);
}

static void integers_have_the_codes_that_were_chosen(void **state)
{
    (void)state;
    static float chosen[MOST];
    step_case c;
    nb_intmodel *m;
    nb_eval floats, integers;
    open_case(&c, kinds[0]);
    assert_int_equal(adaround(&c, "{iterations: 100, rows: 128}", N), NB_OK);
    weights_now(&c, chosen);
    assert_int_equal(nb_lower(c.g, "", &m), NB_OK);
    const nb_node *fc = nb_graph_find(c.g, "fc");
    const int32_t scales = fc->in[1]->out.q->n, count = (int32_t)nb_count(&fc->in[1]->out);
    int8_t *code = nb_alloc(c.s.ctx, (size_t)count);
    float scale[8];
    int32_t zero[8];
    nb_qparams q = {.scale = scale, .zero = zero};
    const nb_weight_use use = {.x = fc->in[0]->out.q, .bias = fc->in[2]->out.data};
    assert_int_equal(nb_fakequant_snapshot(c.s.ctx, fc->in[1], &use, &q, code), NB_OK);
    int32_t at = weights_now(&c, chosen) - count; /* fc is the last */
    for (int32_t i = 0; i < count; i++)
        assert_true((float)code[i] == chosen[at + i]);
    for (int32_t i = 0; i < scales; i++)
        assert_true(scale[i] == chosen[at - scales + i]);
    assert_int_equal(nb_evaluate_graph(c.g, c.s.test, NULL, 32, &floats), NB_OK);
    assert_int_equal(nb_intmodel_evaluate(c.s.ctx, m, c.s.test, NULL, 32, &integers), NB_OK);
    assert_true(fabs(floats.loss - integers.loss) < 0.02);
    nb_free(c.s.ctx, code);
    nb_intmodel_free(c.s.ctx, m);
    close_case(&c);
}

static void any_number_of_threads_learns_the_same(void **state)
{
    (void)state;
    static float one[MOST], more[MOST];
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        step_case c;
        nb_set_threads(threads);
        open_case(&c, kinds[0]);
        assert_int_equal(adaround(&c, "{iterations: 60, rows: 128}", N), NB_OK);
        const int32_t n = weights_now(&c, threads == 1 ? one : more);
        assert_true(threads == 1 || differences(one, more, n) == 0);
        close_case(&c);
    }
    nb_set_threads(1);
}

static void what_was_kept_before_a_kill_is_found_and_ends_in_the_same_bits(void **state)
{
    (void)state;
    static const char keys[] = "{iterations: 30, rows: 128}";
    static float want[MOST], have[MOST], later[MOST];
    step_case whole;
    open_case(&whole, kinds[0]);
    assert_int_equal(adaround(&whole, keys, N), NB_OK);
    const int32_t n = weights_now(&whole, want);
    for (int32_t stop = 0; stop <= MACS; stop += 2) {
        step_case c;
        static ref_parts p;
        p = (ref_parts){.stop = stop};
        const nb_post_store store = ref_parts_store(&p);
        open_case(&c, kinds[0]);
        c.store = &store;
        assert_int_equal(adaround(&c, keys, N), NB_E_NOMEM);
        close_case(&c);
        open_case(&c, kinds[0]);
        c.store = &store;
        p.stop = MACS;
        assert_int_equal(adaround(&c, keys, N), NB_OK);
        assert_true(p.found == stop && p.count == MACS);
        assert_int_equal(weights_now(&c, have), n);
        assert_int_equal(differences(want, have, n), 0);
        assert_string_equal(c.summary, whole.summary);
        assert_int_equal(nb_calibrate(c.g, c.s.train, NULL, 32), NB_OK);
        weights_now(&c, later);
        assert_int_equal(differences(have, later, n), 0); /* what was found is held, too */
        close_case(&c);
    }
    close_case(&whole);
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        step_case c;
        char quant[256];
        snprintf(quant, sizeof quant, "quant: %s\n", cases[i][0]);
        open_case(&c, quant);
        nb_post_list l;
        nb_config *cfg;
        static const char steps[] = "steps: [adaround]\n";
        assert_int_equal(nb_config_parse(c.s.ctx, "x.yaml", steps, strlen(steps), NULL, 0, &cfg), NB_OK);
        assert_int_equal(nb_post_bind(c.s.ctx, nb_config_root(cfg), nb_post_steps, &l), NB_OK);
        assert_int_equal(nb_post_check(&l, c.g), NB_E_CONFIG); /* before anything is trained */
        if (!strstr(nb_ctx_error(c.s.ctx), cases[i][1]) ||
            !strstr(nb_ctx_error(c.s.ctx), "x.yaml:1: quant.steps[0]: adaround: "))
            fail_msg("%s: %s", quant, nb_ctx_error(c.s.ctx));
        nb_post_free(&l);
        nb_config_free(c.s.ctx, cfg);
        assert_int_equal(adaround(&c, "{}", N), NB_E_CONFIG);
        assert_non_null(strstr(nb_ctx_error(c.s.ctx), cases[i][1]));
        close_case(&c);
    }
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *says;
        int32_t n;
    } cases[] = {
        {"{iterations: 0}", "quant.steps[0] adaround.iterations: 0: must be in 1..1000000", N},
        {"{lr: 0}", "adaround.lr: 0: must be in 1e-06..1", N},
        {"{images: 65}", "quant.steps: adaround: images: 65: there are 64 to look at", N},
        {"{}", "quant.steps: adaround: images: 0: there are 0 to look at", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        step_case c;
        open_case(&c, kinds[0]);
        assert_int_equal(adaround(&c, cases[i].keys, cases[i].n), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(c.s.ctx), cases[i].says))
            fail_msg("%s", nb_ctx_error(c.s.ctx));
        close_case(&c);
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
