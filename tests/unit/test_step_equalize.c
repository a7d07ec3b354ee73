/* test_step_equalize.c - cross-layer equalization: the same function, ranges that share a grid, and what it leaves. */
#include "ref/random_network.h"
#include "ref/street.h"

#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>
#include <nibble/post.h>
#include <nibble/train.h>

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = REF_NETWORK_BATCH, MAX_LOGITS = 256 };

#define DATA "seed: 2\ndata: {name: synth, count: 512, height: 8, width: 8, channels: 3, classes: 4}\n"

typedef struct {
    char rows[4096], summary[NB_POST_SUMMARY];
    double before, after; /* largest of the rows */
} heard;

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    heard *h = ud;
    size_t at = strlen(h->rows);
    (void)step;
    snprintf(h->rows + at, sizeof h->rows - at, "%s: %s\n", r->layer, r->text);
    h->before = r->done && r->before > h->before ? r->before : h->before;
    h->after = r->done && r->after > h->after ? r->after : h->after;
}

static void on_done(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    (void)step;
    snprintf(((heard *)ud)->summary, NB_POST_SUMMARY, "%s", r->summary);
}

/* keys: of the step, "{}" for none. */
static heard equalize(ref_street *s, const char *keys)
{
    char text[128];
    nb_config *cfg;
    nb_post_list l;
    heard h = {.before = 1, .after = 1};
    const nb_post_report report = {.row = on_row, .done = on_done, .ud = &h};
    snprintf(text, sizeof text, "steps: [{equalize: %s}]\n", keys);
    assert_int_equal(nb_config_parse(s->ctx, "steps", text, strlen(text), NULL, 0, &cfg), NB_OK);
    assert_int_equal(nb_post_bind(s->ctx, nb_config_root(cfg), nb_post_steps, &l), NB_OK);
    if (nb_post_run(&l, NB_POST_FLOAT, &(nb_post_input){.graph = s->graph, .report = &report}) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    nb_post_free(&l);
    nb_config_free(s->ctx, cfg);
    return h;
}

static void open_model(ref_street *s, const char *model)
{
    char yaml[4096];
    snprintf(yaml, sizeof yaml, DATA "%s", model);
    if (ref_street_open(s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
}

static float *leaf(const ref_street *s, const char *name)
{
    const nb_node *n = nb_graph_find(s->graph, name);
    assert_non_null(n);
    return n->out.data;
}

static int64_t count_of(const ref_street *s, const char *name)
{
    return nb_count(&nb_graph_find(s->graph, name)->out);
}

/* Logits of the first test images; g is frozen. */
static int64_t logits_of(const ref_street *s, nb_graph *g, float *out)
{
    const nb_dsinfo *d = nb_data_info(s->test);
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    uint8_t *pixels = nb_alloc(s->ctx, (size_t)g->batch * image);
    int32_t label;
    for (int32_t i = 0; i < g->batch; i++)
        nb_data_get(s->test, i, pixels + (size_t)i * image, &label);
    nb_forward(g, &(nb_run){.pixels = pixels});
    const int64_t n = nb_count(&g->loss->in[0]->out);
    assert_true(n >= 1 && n <= MAX_LOGITS);
    memcpy(out, nb_graph_logits(g), (size_t)n * sizeof *out);
    nb_free(s->ctx, pixels);
    return n;
}

static int64_t logits_now(const ref_street *s, float *out)
{
    nb_graph *g;
    assert_int_equal(ref_street_copy(s, BATCH, REF_FLOAT, &g), NB_OK);
    int64_t n = logits_of(s, g, out);
    nb_graph_free(g);
    return n;
}

/* Largest difference in units of the largest logit. */
static double difference(const float *a, const float *b, int64_t n)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return size > 0 ? most / size : most;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Filters of all sizes, batch norms with statistics and biases that show when something is forgotten. */
static void spread(const ref_street *s, uint64_t seed)
{
    nb_rng r = nb_rng_make(seed, 0);
    for (int32_t i = 0; i < s->graph->n; i++) {
        nb_node *n = s->graph->node[i];
        float *v = n->out.data;
        if (!(n->flags & NB_NODE_LEAF))
            continue;
        const int64_t count = nb_count(&n->out), per = n->out.shape.ndim == 4 ? count / n->out.shape.d[0] : 1;
        for (int64_t k = 0; k < count; k += per) {
            const float f = exp2f(6 * nb_rng_uniform(&r) - 3);
            for (int64_t i2 = 0; i2 < per; i2++) {
                if (ends_with(n->name, ".weight") || ends_with(n->name, ".gamma"))
                    v[k + i2] *= f;
                else if (ends_with(n->name, ".var"))
                    v[k + i2] = f;
                else
                    v[k + i2] = nb_rng_normal(&r);
            }
        }
    }
}

static void random_networks_compute_the_same_before_and_after(void **state)
{
    (void)state;
    static char text[REF_NETWORK_BYTES];
    double worst = 0;
    int32_t moved = 0;
    for (int32_t seed = 0; seed < 60; seed++) {
        ref_street s;
        float before[MAX_LOGITS], after[MAX_LOGITS];
        const bool fold = seed % 2;
        (seed % 3 ? ref_network_text : ref_network_text_residual)(seed, text);
        assert_int_equal(ref_street_open(&s, text, BATCH, REF_FLOAT), NB_OK);
        spread(&s, (uint64_t)seed);
        if (seed % 5 == 0)
            ref_network_disturb(seed, s.graph);
        int64_t n = logits_now(&s, before);
        if (fold)
            assert_int_equal(nb_quant_fold(s.graph), NB_OK);
        heard h = equalize(&s, "{}");
        moved += h.before > 1.01 && h.after < 0.9 * h.before;
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_INFER), NB_OK);
        assert_int_equal(logits_of(&s, s.graph, after), n);
        double d = difference(before, after, n);
        if (!(d < 1e-5))
            fail_msg("seed %d%s: outputs differ by %g\n%s%s", seed, fold ? ", folded" : "", d, text, h.rows);
        worst = fmax(worst, d);
        ref_street_close(&s);
    }
    print_message("largest relative difference %.2g; %d of 60 networks had something to gain\n", worst, moved);
    assert_true(moved > 30);
}

/* ---- values that can be checked by hand ---- */

static void fill(const ref_street *s, const char *name, const float *v, int64_t n)
{
    assert_int_equal(count_of(s, name), n);
    memcpy(leaf(s, name), v, (size_t)n * sizeof *v);
}

static void a_pair_meets_at_the_geometric_mean_of_its_ranges(void **state)
{
    (void)state;
    ref_street s;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 3, kernel: 1}}, relu, {linear: {name: b, out: 4}}]\n");
    static const float w[] = {8, -1, 2, 0.5f, 0.25f, 0.125f, 0, 0, 0}, bias[] = {4, 2, 1};
    fill(&s, "a.weight", w, 9);
    fill(&s, "a.bias", bias, 3);
    float *v = leaf(&s, "b.weight"); /* [4, 64 pixels * 3 channels] */
    for (int64_t i = 0; i < count_of(&s, "b.weight"); i++)
        v[i] = i % 3 == 0 ? 0.25f : i % 3 == 1 ? 2 : 1;
    v[3 * 7 + 0] = -0.5f; /* the largest that reads channel 0; s = sqrt(8 / 0.5) = 4; channel 1: sqrt(0.5 / 2) = 0.5 */
    heard h = equalize(&s, "{}");
    assert_float_equal(leaf(&s, "a.weight")[0], 2, 1e-6);
    assert_float_equal(leaf(&s, "a.weight")[1], -0.25, 1e-6);
    assert_float_equal(leaf(&s, "a.weight")[3], 1, 1e-6);
    assert_float_equal(leaf(&s, "a.bias")[0], 1, 1e-6);
    assert_float_equal(leaf(&s, "a.bias")[1], 4, 1e-6);
    assert_float_equal(v[3 * 7], -2, 1e-6);
    assert_float_equal(v[0], 1, 1e-6);
    assert_float_equal(v[4], 1, 1e-6);
    assert_float_equal(v[2], 1, 0); /* a filter of zeros has no range to share */
    assert_float_equal(leaf(&s, "a.bias")[2], 1, 0);
    assert_string_equal(h.rows, "a: reads the images\nb: with a\n");
    assert_non_null(strstr(h.summary, "1 pair, 0 depthwise triplets"));
    assert_non_null(strstr(h.summary, "largest ratio of channel ranges 16 -> 2"));
    ref_street_close(&s);
}

static void a_depthwise_triplet_meets_at_the_cube_root_in_one_sweep(void **state)
{
    (void)state;
    ref_street s;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 2, kernel: 1}}, relu, {dwconv2d: {name: d, kernel: 1}}, "
                   "relu, {conv2d: {name: b, out: 2, kernel: 1}}, {relu: {cap: 9}}, {linear: {out: 4}}]\n");
    static const float a[] = {16, 1, 1, 1, 1, 1}, d[] = {2, 1}, b[] = {0.25f, 1, 0.125f, 1}, bias[] = {6, 3};
    fill(&s, "a.weight", a, 6);
    fill(&s, "d.weight", d, 2);
    fill(&s, "d.bias", bias, 2);
    fill(&s, "b.weight", b, 4);
    heard h = equalize(&s, "{iterations: 1}"); /* channel 0: cbrt(16 * 2 * 0.25) = 2 */
    assert_float_equal(leaf(&s, "a.weight")[0], 2, 1e-6);
    assert_float_equal(leaf(&s, "a.weight")[3], 1, 0);
    assert_float_equal(leaf(&s, "d.weight")[0], 2, 1e-6);
    assert_float_equal(leaf(&s, "d.bias")[0], 6.0 / 8, 1e-6); /* s_23 = 2 / 0.25 */
    assert_float_equal(leaf(&s, "b.weight")[0] * leaf(&s, "d.weight")[0] * leaf(&s, "a.weight")[0], 8, 1e-5);
    assert_non_null(strstr(h.summary, "1 depthwise triplet,"));
    assert_non_null(strstr(h.rows, "b: with d, part of a depthwise triplet\n"));
    ref_street_close(&s);
}

static void a_batch_norm_is_divided_and_its_filters_share_a_range(void **state)
{
    (void)state;
    ref_street s;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 3, kernel: 1}}, {batchnorm: {name: n, eps: 0.25}}, relu, "
                   "{linear: {name: b, out: 4}}]\n");
    static const float a[] = {1, -2, 0, 0, 0, 8, 4, 1, 1}, gamma[] = {1, 4, -1}, beta[] = {-9, 2, 0};
    static const float mean[] = {3, 8, 1}, var[] = {0.75f, 6, 2}, bias[] = {1, 2, 3};
    fill(&s, "a.weight", a, 9);
    fill(&s, "a.bias", bias, 3);
    fill(&s, "n.gamma", gamma, 3);
    fill(&s, "n.beta", beta, 3);
    fill(&s, "n.mean", mean, 3);
    fill(&s, "n.var", var, 3);
    float *v = leaf(&s, "b.weight");
    for (int64_t i = 0; i < count_of(&s, "b.weight"); i++)
        v[i] = i % 3 == 2 ? 1 : 0.5f;
    heard h = equalize(&s, "{iterations: 1}");
    /* filters 2, 8, 4: the median is 4, so a is 2, 0.5, 1 */
    static const float want_a[] = {2, -4, 0, 0, 0, 4, 4, 1, 1}, want_bias[] = {2, 1, 3}, want_mean[] = {6, 4, 1};
    static const float want_var[] = {3, 1.5f, 2};
    for (int32_t i = 0; i < 9; i++)
        assert_float_equal(leaf(&s, "a.weight")[i], want_a[i], 0);
    for (int32_t c = 0; c < 3; c++) {
        assert_float_equal(leaf(&s, "a.bias")[c], want_bias[c], 0);
        assert_float_equal(leaf(&s, "n.mean")[c], want_mean[c], 0);
        assert_float_equal(leaf(&s, "n.var")[c], want_var[c], 0);
    }
    /* what eps changed is in gamma; outputs: 6 * 0.90, 6 * 4.23 + 2, 6 by weights 0.5, 0.5, 1. Ratios 10.8, 54.8, 6:
     * the median is that of channel 0, which stays; s of channel 2 is sqrt(6 / 10.8) */
    const double g0 = 1 * sqrt(3.25) / (2 * 1.0), s2 = sqrt(6 / (12 * g0));
    assert_float_equal(leaf(&s, "n.gamma")[0], g0, 1e-6);
    assert_float_equal(leaf(&s, "n.beta")[0], -9, 0);
    assert_float_equal(leaf(&s, "n.gamma")[2], -1 / s2, 1e-6);
    assert_float_equal(v[2], s2, 1e-6);
    assert_float_equal(v[0], 0.5, 0);
    assert_non_null(strstr(h.rows, "a: its filters, before n\n"));
    assert_non_null(strstr(h.rows, "b: with n\n"));
    ref_street_close(&s);
}

static void scales_are_bounded_and_dead_channels_stay(void **state)
{
    (void)state;
    ref_street s;
    open_model(&s, "model: [input, {conv2d: {name: a, out: 3, kernel: 1, bias: no}}, relu, {linear: {name: b, out: "
                   "4}}]\n");
    static const float a[] = {1e-30f, 0, 0, 1, 1, 1, 0, 0, 0};
    fill(&s, "a.weight", a, 9);
    float *v = leaf(&s, "b.weight");
    for (int64_t i = 0; i < count_of(&s, "b.weight"); i++)
        v[i] = i % 3 == 1 ? 0 : 1; /* channel 1 is read by nobody */
    equalize(&s, "{}");
    assert_float_equal(leaf(&s, "a.weight")[0] / 1e-30f, 65536, 1);
    assert_float_equal(v[0], 1.0 / 65536, 1e-10);
    assert_float_equal(leaf(&s, "a.weight")[3], 1, 0);
    assert_true(v[1] == 0 && v[2] == 1 && leaf(&s, "a.weight")[6] == 0);
    ref_street_close(&s);
}

static void what_is_equal_keeps_its_bits_and_twice_is_once(void **state)
{
    (void)state;
    static char text[REF_NETWORK_BYTES];
    for (int32_t seed = 100; seed < 112; seed++) {
        ref_street s;
        ref_network_text_residual(seed, text);
        assert_int_equal(ref_street_open(&s, text, BATCH, REF_FLOAT), NB_OK);
        spread(&s, (uint64_t)seed);
        equalize(&s, "{iterations: 1000}");
        float *kept = nb_alloc(s.ctx, s.graph->param_bytes);
        size_t at = 0;
        for (int32_t i = 0; i < s.graph->n; i++)
            if (s.graph->node[i]->flags & NB_NODE_LEAF) {
                const int64_t n = nb_count(&s.graph->node[i]->out);
                memcpy(kept + at, s.graph->node[i]->out.data, (size_t)n * sizeof(float));
                at += (size_t)n;
            }
        heard h = equalize(&s, "{}");
        assert_non_null(strstr(h.summary, ", 0 sweeps;"));
        at = 0;
        for (int32_t i = 0; i < s.graph->n; i++)
            if (s.graph->node[i]->flags & NB_NODE_LEAF) {
                const int64_t n = nb_count(&s.graph->node[i]->out);
                assert_memory_equal(kept + at, s.graph->node[i]->out.data, (size_t)n * sizeof(float));
                at += (size_t)n;
            }
        nb_free(s.ctx, kept);
        ref_street_close(&s);
    }
}

static void pools_flatten_and_dropout_are_crossed_and_nothing_else(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"relu, {maxpool: {kernel: 2}}, dropout, {avgpool: {kernel: 2}}, flatten, {linear: {name: b, out: 4}}",
         "b: with a\n"},
        {"{linear: {name: b, out: 4}}", "b: with a\n"},
        {"batchnorm, flatten, batchnorm, {linear: {name: b, out: 4}}", "b: with batchnorm2\n"},
        {"relu, batchnorm, relu, {linear: {name: b, out: 4}}", "b: with batchnorm1\n"},
        {"{relu: {cap: 6}}, {linear: {name: b, out: 4}}",
         "b: not across relu1, whose cap is one for all channels; a relu without `cap` could be crossed\n"},
        {"{add: {in: [a, a]}}, {linear: {name: b, out: 4}}", "b: not across add1, which joins values\n"},
        {"relu, {concat: {in: [a, relu1]}}, {linear: {name: b, out: 4}}",
         "b: not across concat1, which joins values\n"},
        {"relu, {conv2d: {name: b, out: 4}}, {conv2d: {name: c, in: relu1, out: 4}}, {add: {in: [b, c]}}, {linear: "
         "{out: 4}}",
         "b: not across relu1, which several layers read\n"},
        {"{conv2d: {name: b, out: 4}}, {conv2d: {name: c, in: a, out: 4}}, {add: {in: [b, c]}}, {linear: {out: 4}}",
         "b: not across a, which several layers read\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ref_street s;
        char model[1024];
        float before[MAX_LOGITS], after[MAX_LOGITS];
        snprintf(model, sizeof model, "model: [input, {conv2d: {name: a, out: 6}}, %s]\n", cases[i][0]);
        open_model(&s, model);
        spread(&s, i);
        logits_now(&s, before);
        heard h = equalize(&s, "{}");
        if (!strstr(h.rows, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], h.rows);
        assert_int_equal(strstr(h.summary, "could not be paired") != NULL, strstr(cases[i][1], "not across") != NULL);
        assert_true(difference(before, after, logits_now(&s, after)) < 1e-5);
        ref_street_close(&s);
    }
}

static void too_few_sweeps_are_said_to_be_too_few(void **state)
{
    (void)state;
    static char text[REF_NETWORK_BYTES];
    ref_street s;
    ref_network_text(1, text);
    assert_int_equal(ref_street_open(&s, text, BATCH, REF_FLOAT), NB_OK);
    spread(&s, 1);
    heard h = equalize(&s, "{iterations: 1}");
    assert_non_null(strstr(h.summary, ", 1 sweep (not settled);"));
    h = equalize(&s, "{iterations: 1000}");
    assert_null(strstr(h.summary, "not settled"));
    ref_street_close(&s);
}

static void running_out_of_memory_is_an_error_and_moves_nothing(void **state)
{
    (void)state;
    ref_street s;
    nb_post_entry e = {.step = nb_post_steps[0], .attr = &(int32_t){20}};
    const nb_post_list l = {.entry = &e, .n = 1};
    assert_string_equal(e.step->name, "equalize");
    open_model(&s, "model: [input, {conv2d: {name: a, out: 6}}, batchnorm, relu, {linear: {name: b, out: 4}}]\n");
    spread(&s, 1);
    const float first = leaf(&s, "a.weight")[0];
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        assert_true(leaf(&s, "a.weight")[0] == first);
        nb_ctx_fail_alloc_at(s.ctx, ++n);
        st = nb_post_run(&l, NB_POST_FLOAT, &(nb_post_input){.graph = s.graph});
        assert_true(st == NB_OK || (st == NB_E_NOMEM && nb_ctx_error(s.ctx)[0]));
    }
    assert_true(n > 4 && leaf(&s, "a.weight")[0] != first);
    nb_ctx_fail_alloc_at(s.ctx, 0);
    ref_street_close(&s);
}

/* ---- what it is for ---- */

/* The same function with channels of very different size: a source's channels times 2^-5..2^5, what reads them by the
 * inverse. */
static void imbalance(const ref_street *s, const char *gain, const char *shift, const char *sink, uint64_t seed)
{
    nb_rng r = nb_rng_make(seed, 7);
    const int64_t channels = count_of(s, shift), per = count_of(s, gain) / channels;
    const nb_node *to = nb_graph_find(s->graph, sink);
    const int64_t wide = to->out.shape.d[3], depthwise = wide == 1;
    float *w = to->out.data;
    for (int64_t c = 0; c < channels; c++) {
        const float f = exp2f(10 * nb_rng_uniform(&r) - 5);
        for (int64_t k = 0; k < per; k++)
            leaf(s, gain)[c * per + k] *= f;
        leaf(s, shift)[c] *= f;
        for (int64_t i = 0; i < nb_count(&to->out); i++)
            if (depthwise ? i / (nb_count(&to->out) / channels) == c : i % channels == c)
                w[i] /= f;
    }
}

static double integer_accuracy(const ref_street *s, const ref_street *values)
{
    nb_graph *g;
    nb_intmodel *m;
    nb_eval e;
    assert_int_equal(nb_model_build(s->ctx, &s->exp, nb_data_info(s->train), 16, &g), NB_OK);
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & NB_NODE_LEAF)
            memcpy(g->node[i]->out.data, leaf(values, g->node[i]->name),
                   (size_t)nb_count(&g->node[i]->out) * sizeof(float));
    assert_int_equal(nb_model_quantize(g, s->exp.quant), NB_OK);
    assert_int_equal(nb_graph_freeze(g, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(nb_calibrate(g, s->train, NULL, 128), NB_OK);
    if (nb_lower(g, "", &m) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    assert_int_equal(nb_intmodel_evaluate(s->ctx, m, s->test, NULL, 200, &e), NB_OK);
    nb_intmodel_free(s->ctx, m);
    nb_graph_free(g);
    return e.accuracy;
}

/* Trains the float network of text (which has all of bits, norms), spoils its balance, and measures the integers
 * before and after equalization. */
static void rescue(const char *name, const char *norm, const char *quant, const char *const spoil[][3])
{
    char model[2048];
    ref_street s;
    snprintf(
        model, sizeof model,
        "model: [input, {conv2d: {name: a, out: 12, kernel: 3, pad: 1}}, %s relu, {dwconv2d: {name: d, pad: 1}}, %s "
        "relu, {conv2d: {name: p, out: 12, kernel: 1}}, %s relu, {avgpool: {kernel: 4}}, {linear: {name: b, out: "
        "4}}]\nquant: {%s}\n",
        norm, norm, norm, quant);
    open_model(&s, model);
    ref_street_steps(&s, 400, 0.05f, false);
    ref_street plain = s; /* the trained values, in a graph that is not frozen */
    assert_int_equal(nb_model_build(s.ctx, &s.exp, nb_data_info(s.train), BATCH, &plain.graph), NB_OK);
    for (int32_t i = 0; i < plain.graph->n; i++)
        if (plain.graph->node[i]->flags & NB_NODE_LEAF)
            memcpy(plain.graph->node[i]->out.data, leaf(&s, plain.graph->node[i]->name),
                   (size_t)nb_count(&plain.graph->node[i]->out) * sizeof(float));
    const double sound = integer_accuracy(&s, &plain);
    for (int32_t i = 0; spoil[i][0]; i++)
        imbalance(&plain, spoil[i][0], spoil[i][1], spoil[i][2], (uint64_t)i);
    const double spoiled = integer_accuracy(&s, &plain);
    equalize(&plain, "{}");
    const double rescued = integer_accuracy(&s, &plain);
    print_message("%s: %.1f %% as trained, %.1f %% out of balance, %.1f %% equalized\n", name, 100 * sound,
                  100 * spoiled, 100 * rescued);
    assert_true(sound > 0.8 && spoiled < sound - 0.2 && rescued > sound - 0.03);
    nb_graph_free(plain.graph);
    ref_street_close(&s);
}

static void integers_out_of_balance_are_rescued(void **state)
{
    (void)state;
    static const char *const macs[][3] = {{"a.weight", "a.bias", "d.weight"},
                                          {"d.weight", "d.bias", "p.weight"},
                                          {"p.weight", "p.bias", "b.weight"},
                                          {NULL, NULL, NULL}};
    static const char *const norms[][3] = {{"batchnorm1.gamma", "batchnorm1.beta", "d.weight"},
                                           {"batchnorm2.gamma", "batchnorm2.beta", "p.weight"},
                                           {"batchnorm3.gamma", "batchnorm3.beta", "b.weight"},
                                           {NULL, NULL, NULL}};
    rescue("W4A8 per tensor, no batch norm", "", "weights: {bits: 4, granularity: tensor}, activations: {bits: 8}",
           macs);
    rescue("W8A8 per tensor, batch norms kept", "batchnorm,",
           "weights: {bits: 8, granularity: tensor}, activations: {bits: 8}", norms);
    rescue("W4A4 per channel, batch norms kept", "batchnorm,", "weights: {bits: 4}, activations: {bits: 4}", norms);
    rescue("W4A8 per tensor, batch norms folded", "batchnorm,",
           "weights: {bits: 4, granularity: tensor}, activations: {bits: 8}, batchnorm: fold", norms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_networks_compute_the_same_before_and_after),
        cmocka_unit_test(a_pair_meets_at_the_geometric_mean_of_its_ranges),
        cmocka_unit_test(a_depthwise_triplet_meets_at_the_cube_root_in_one_sweep),
        cmocka_unit_test(a_batch_norm_is_divided_and_its_filters_share_a_range),
        cmocka_unit_test(scales_are_bounded_and_dead_channels_stay),
        cmocka_unit_test(what_is_equal_keeps_its_bits_and_twice_is_once),
        cmocka_unit_test(pools_flatten_and_dropout_are_crossed_and_nothing_else),
        cmocka_unit_test(too_few_sweeps_are_said_to_be_too_few),
        cmocka_unit_test(running_out_of_memory_is_an_error_and_moves_nothing),
        cmocka_unit_test(integers_out_of_balance_are_rescued),
    };
    return cmocka_run_group_tests_name("step_equalize", tests, NULL, NULL);
}
