/* rounding_case.c - see rounding_case.h. */
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

#define NET                                                                                                            \
    "seed: 2\n"                                                                                                        \
    "data: {name: synth, count: 96, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, {conv2d: {name: c1, out: 8, pad: 1, bias: no}}, {batchnorm: {name: n1}}, relu,\n"                  \
    "  {dwconv2d: {name: d, pad: 1}}, relu, {resblock: {name: b, out: 8}}, {avgpool: {global: yes}},\n"                \
    "  {linear: {name: fc, out: 3}}]\n"

void rounding_open(rounding_case *c, const char *quant)
{
    char yaml[1024];
    *c = (rounding_case){0};
    snprintf(yaml, sizeof yaml, NET "%s", quant);
    if (ref_street_open(&c->s, yaml, ROUNDING_BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(c->s.ctx));
    ref_street_steps(&c->s, 10, 0.1f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = ROUNDING_BATCH,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    if (nb_graph_open(c->s.ctx, &spec, &from, &c->g) != NB_OK)
        fail_msg("%s: %s", quant, nb_ctx_error(c->s.ctx));
    assert_int_equal(nb_calibrate(c->g, c->s.train, NULL, ROUNDING_IMAGES), NB_OK);
}

void rounding_close(rounding_case *c)
{
    nb_graph_free(c->g);
    ref_street_close(&c->s);
}

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    rounding_case *c = ud;
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
    snprintf(((rounding_case *)ud)->summary, NB_POST_SUMMARY, "%s", r->summary);
}

static void on_progress(void *ud, const nb_post_step *step, const char *layer, double share)
{
    rounding_case *c = ud;
    (void)step;
    (void)layer;
    assert_true(share > c->share && share <= 1 + 1e-9);
    c->share = share;
}

nb_status rounding_run(rounding_case *c, const char *step, int32_t n)
{
    char text[192];
    nb_config *cfg;
    nb_post_list l = {0};
    const nb_post_report report = {.row = on_row, .done = on_done, .progress = on_progress, .ud = c};
    snprintf(text, sizeof text, "steps: [{%s}]\n", step);
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

int32_t rounding_weights(const rounding_case *c, float *out)
{
    int32_t at = 0;
    for (int32_t i = 0; i < c->g->n; i++) {
        nb_node *fq = c->g->node[i]->op->role == NB_ROLE_MAC ? c->g->node[i]->in[1] : NULL;
        if (!fq)
            continue;
        const int32_t count = (int32_t)nb_count(&fq->out);
        fq->op->forward(fq, &(nb_run){0});
        assert_true(at + count + fq->out.q->n <= ROUNDING_MOST);
        memcpy(out + at, fq->out.q->scale, (size_t)fq->out.q->n * sizeof *out);
        at += fq->out.q->n;
        for (int32_t k = 0; k < count; k++)
            out[at++] =
                fq->out.dtype == NB_F32 ? ((const float *)fq->out.data)[k] : (float)((const int8_t *)fq->out.data)[k];
    }
    return at;
}

int32_t rounding_differences(const float *a, const float *b, int32_t n)
{
    int32_t d = 0;
    for (int32_t i = 0; i < n; i++)
        d += a[i] != b[i];
    return d;
}

/* ---- what all such steps do ---- */

const char *const rounding_kinds[] = {
    "quant: {weights: {bits: 3, range: mse}}\n",
    "quant: {weights: {bits: 3, granularity: tensor}, batchnorm: fold}\n",
    "quant: {weights: {bits: 4, granularity: group, group: 4, scheme: asymmetric}}\n",
    "quant: {weights: {bits: 4, scheme: full, granularity: tensor}}\n",
    "quant: {weights: {bits: 4, format: pow2}}\n",
    "quant: {weights: {bits: 5, format: fixed, granularity: tensor}, activations: {format: fixed}}\n",
    "quant: {weights: {bits: 4, learn: lsq}, activations: {learn: lsq}}\n",
    "quant: {weights: {bits: 8, scheme: asymmetric}}\n", /* simulated */
    NULL};

void rounding_gets_better(const char *step, int32_t parts, double share, const char *summary)
{
    static float before[ROUNDING_MOST], chosen[ROUNDING_MOST], later[ROUNDING_MOST];
    for (int32_t i = 0; rounding_kinds[i]; i++) {
        const char *quant = rounding_kinds[i];
        rounding_case c;
        rounding_open(&c, quant);
        const int32_t n = rounding_weights(&c, before);
        if (rounding_run(&c, step, ROUNDING_IMAGES) != NB_OK)
            fail_msg("%s: %s", quant, nb_ctx_error(c.s.ctx));
        assert_int_equal(c.rows, parts);
        assert_int_equal(c.done, parts);
        assert_string_equal(c.last, "fc");
        assert_true(fabs(c.share - 1) < 1e-9);
        double was = 0, is = 0;
        for (int32_t k = 0; k < parts; k++) {
            assert_true(c.after[k] <= c.before[k] && c.before[k] > 0);
            was += c.before[k];
            is += c.after[k];
        }
        /* with 8 bits nearly all of the error is that of activations */
        if (!(is < (strstr(quant, "bits: 8") ? 1 : share) * was))
            fail_msg("%s: mean error %g -> %g", quant, was / parts, is / parts);
        assert_non_null(strstr(c.summary, summary));
        assert_int_equal(rounding_weights(&c, chosen), n);
        assert_true(rounding_differences(before, chosen, n) > 3);
        assert_int_equal(nb_calibrate(c.g, c.s.train, NULL, 32), NB_OK); /* as reestimate_bn does */
        assert_int_equal(rounding_weights(&c, later), n);
        if (!strstr(quant, "fixed")) /* the one scale of which follows activations */
            assert_int_equal(rounding_differences(chosen, later, n), 0);
        nb_graph_free(c.s.graph); /* and a step of training that moves nothing */
        c.s.graph = c.g;
        ref_street_steps(&c.s, 1, 0, true);
        assert_int_equal(rounding_weights(&c, later), n);
        assert_int_equal(strstr(quant, "fixed") ? 0 : rounding_differences(chosen, later, n), 0);
        c.s.graph = NULL;
        rounding_close(&c);
    }
}

void rounding_integers_have_the_codes(const char *quant, const char *step)
{
    static float chosen[ROUNDING_MOST];
    rounding_case c;
    nb_intmodel *m;
    nb_eval floats, integers;
    rounding_open(&c, quant);
    assert_int_equal(rounding_run(&c, step, ROUNDING_IMAGES), NB_OK);
    rounding_weights(&c, chosen);
    assert_int_equal(nb_lower(c.g, "", &m), NB_OK);
    const nb_node *fc = nb_graph_find(c.g, "fc");
    const int32_t scales = fc->in[1]->out.q->n, count = (int32_t)nb_count(&fc->in[1]->out);
    int8_t *code = nb_alloc(c.s.ctx, (size_t)count);
    float scale[8];
    int32_t zero[8];
    nb_qparams q = {.scale = scale, .zero = zero};
    const nb_weight_use use = {.x = fc->in[0]->out.q, .bias = fc->in[2]->out.data};
    assert_int_equal(nb_fakequant_snapshot(c.s.ctx, fc->in[1], &use, &q, code), NB_OK);
    int32_t at = rounding_weights(&c, chosen) - count; /* fc is the last */
    for (int32_t i = 0; i < count; i++)
        assert_true((float)code[i] == chosen[at + i]);
    for (int32_t i = 0; i < scales; i++)
        assert_true(scale[i] == chosen[at - scales + i]);
    assert_int_equal(nb_evaluate_graph(c.g, c.s.test, NULL, 32, &floats), NB_OK);
    assert_int_equal(nb_intmodel_evaluate(c.s.ctx, m, c.s.test, NULL, 32, &integers), NB_OK);
    assert_true(fabs(floats.loss - integers.loss) < 0.02);
    nb_free(c.s.ctx, code);
    nb_intmodel_free(c.s.ctx, m);
    rounding_close(&c);
}

void rounding_is_the_same_on_threads(const char *quant, const char *step)
{
    static float one[ROUNDING_MOST], more[ROUNDING_MOST];
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        rounding_case c;
        nb_set_threads(threads);
        rounding_open(&c, quant);
        assert_int_equal(rounding_run(&c, step, ROUNDING_IMAGES), NB_OK);
        const int32_t n = rounding_weights(&c, threads == 1 ? one : more);
        assert_true(threads == 1 || rounding_differences(one, more, n) == 0);
        rounding_close(&c);
    }
    nb_set_threads(1);
}

void rounding_goes_on_after_a_kill(const char *quant, const char *step, int32_t parts)
{
    static float want[ROUNDING_MOST], have[ROUNDING_MOST], later[ROUNDING_MOST];
    rounding_case whole;
    nb_eval want_eval, have_eval;
    rounding_open(&whole, quant);
    assert_int_equal(rounding_run(&whole, step, ROUNDING_IMAGES), NB_OK);
    const int32_t n = rounding_weights(&whole, want);
    for (int32_t stop = 0; stop < parts; stop += 2) {
        rounding_case c;
        static ref_parts p;
        p = (ref_parts){.stop = stop};
        const nb_post_store store = ref_parts_store(&p);
        rounding_open(&c, quant);
        c.store = &store;
        assert_int_equal(rounding_run(&c, step, ROUNDING_IMAGES), NB_E_NOMEM);
        rounding_close(&c);
        rounding_open(&c, quant);
        c.store = &store;
        p.stop = parts;
        assert_int_equal(rounding_run(&c, step, ROUNDING_IMAGES), NB_OK);
        assert_true(p.found == stop && p.count == parts);
        assert_int_equal(rounding_weights(&c, have), n);
        assert_int_equal(rounding_differences(want, have, n), 0);
        assert_string_equal(c.summary, whole.summary);
        assert_int_equal(nb_evaluate_graph(whole.g, c.s.test, NULL, 32, &want_eval), NB_OK);
        assert_int_equal(nb_evaluate_graph(c.g, c.s.test, NULL, 32, &have_eval), NB_OK);
        assert_true(want_eval.loss == have_eval.loss); /* scales of activations, too */
        assert_int_equal(nb_calibrate(c.g, c.s.train, NULL, 32), NB_OK);
        rounding_weights(&c, later);
        assert_int_equal(rounding_differences(have, later, n), 0); /* what was found is held, too */
        rounding_close(&c);
    }
    rounding_close(&whole);
}

void rounding_must_refuse(const char *quant, const char *step, const char *says)
{
    rounding_case c;
    char text[128], own[128];
    nb_post_list l;
    nb_config *cfg;
    snprintf(own, sizeof own, "quant: %s\n", quant);
    rounding_open(&c, own);
    snprintf(text, sizeof text, "steps: [%s]\n", step);
    assert_int_equal(nb_config_parse(c.s.ctx, "x.yaml", text, strlen(text), NULL, 0, &cfg), NB_OK);
    assert_int_equal(nb_post_bind(c.s.ctx, nb_config_root(cfg), nb_post_steps, &l), NB_OK);
    assert_int_equal(nb_post_check(&l, c.g), NB_E_CONFIG); /* before anything is trained */
    snprintf(text, sizeof text, "x.yaml:1: quant.steps[0]: %s: ", step);
    if (!strstr(nb_ctx_error(c.s.ctx), says) || !strstr(nb_ctx_error(c.s.ctx), text))
        fail_msg("%s: %s", quant, nb_ctx_error(c.s.ctx));
    nb_post_free(&l);
    nb_config_free(c.s.ctx, cfg);
    snprintf(text, sizeof text, "%s: {}", step);
    assert_int_equal(rounding_run(&c, text, ROUNDING_IMAGES), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(c.s.ctx), says));
    rounding_close(&c);
}
