/* test_ranges.c - ranges one by one against their definitions (mean, fixed, aciq, xent, bn, auto), and what is true of all:
 * fused chains and single nodes, and any number of threads, leave the same state. */
#include "ref/observed.h"
#include "ref/street.h"

#include <nibble/train.h>

#include "base/parallel.h"
#include "quant/aciq.h"
#include "quant/fakequant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/must_refuse.h"

enum { N = 20000 };

static const nb_range *range(const char *name)
{
    const nb_range *r = nb_registry_find(nb_ranges, name);
    assert_non_null(r);
    return r;
}

/* ---- definitions ---- */

static void mean_is_the_mean_of_the_batches_extremes(void **state)
{
    (void)state;
    const nb_grid values = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false), weights = nb_grid_make(8, 0, true);
    static const float ends[][2] = {{-1, 3}, {-2, 5}, {0, 1}, {-5, 7}};
    float a[3] = {0}, w[3] = {0};
    for (int32_t i = 0; i < 4; i++) {
        const nb_observation o = {.min = ends[i][0], .max = ends[i][1], .grid = &values, .first = i == 0};
        range("mean")->observe(NULL, a, &o);
        nb_observation of_weights = o;
        of_weights.grid = &weights;
        range("mean")->observe(NULL, w, &of_weights);
    }
    assert_float_equal(a[0], -2, 1e-6);
    assert_float_equal(a[1], 4, 1e-6);
    assert_true(w[0] == -5 && w[1] == 7); /* of weights the last tensor's */
    assert_true(range("mean")->sound(a));
    a[2] = 0;
    assert_false(range("mean")->sound(a));
}

/* 2 bits and Gaussian: the factor of 4 levels and their 3 steps on mean +- clip. */
static void aciq_clips_at_its_factor_times_the_spread_of_the_likelier_distribution(void **state)
{
    (void)state;
    static float x[N];
    const struct {
        float momentum;
        int32_t fit;
    } automatic = {0.05f, 0}, as_gaussian = {0.05f, 1}, as_laplace = {0.05f, 2};
    for (int32_t kind = 0; kind < 2; kind++) {
        float s[2] = {0}, forced[2] = {0};
        const nb_grid g = nb_grid_make(4, NB_SCHEME_ASYMMETRIC, false);
        observed_fill(x, N, kind, 9);
        for (int32_t i = 0; i < N; i++)
            x[i] = x[i] * 2 + 0.5f;
        nb_observation o = observed(x, N, &g);
        o.calibration = 1; /* all values are looked at */
        range("aciq")->observe(&automatic, s, &o);
        const nb_clip_case c = {kind ? NB_FIT_LAPLACE : NB_FIT_GAUSSIAN, false, 15};
        assert_float_equal(s[0], 0.5 - 2 * nb_clip_factor(&c), 0.08);
        assert_float_equal(s[1], 0.5 + 2 * nb_clip_factor(&c), 0.08);
        range("aciq")->observe(kind ? &as_laplace : &as_gaussian, forced, &o);
        assert_memory_equal(s, forced, sizeof s);
        range("aciq")->observe(kind ? &as_gaussian : &as_laplace, forced, &o);
        assert_memory_not_equal(s, forced, sizeof s);
    }
}

static void aciq_of_relus_is_one_sided(void **state)
{
    (void)state;
    static float x[N];
    const struct {
        float momentum;
        int32_t fit;
    } a = {0.05f, 0};
    float s[2] = {0};
    const nb_grid g = nb_grid_make(3, NB_SCHEME_ASYMMETRIC, false);
    observed_fill(x, N, 3, 9);
    nb_observation o = observed(x, N, &g);
    o.calibration = 1;
    range("aciq")->observe(&a, s, &o);
    assert_true(s[0] == 0);
    assert_float_equal(s[1], nb_clip_factor(&(nb_clip_case){NB_FIT_GAUSSIAN, true, 7}), 0.05);
    for (int32_t i = 0; i < N; i++)
        x[i] = fminf(x[i], 0.25f); /* never wider than the values are */
    o.max = 0.25f;
    range("aciq")->observe(&a, s, &o);
    assert_true(s[1] <= 0.25f);
}

/* H(softmax(v), softmax(Q(v))) in plain double, for the grid of a range. */
static double cross_entropy(const float *v, int32_t rows, int32_t classes, const nb_grid *g, float lo, float hi)
{
    float scale;
    int32_t zero;
    double sum = 0;
    nb_params_cover(g, lo, hi, &scale, &zero);
    for (int32_t r = 0; r < rows; r++) {
        double p = 0, q = 0, dot = 0;
        for (int32_t k = 0; k < classes; k++) {
            const float x = v[r * classes + k],
                        code = fminf(fmaxf(rintf(x / scale) + (float)zero, (float)g->lo), (float)g->hi);
            const double y = (double)scale * ((double)code - zero);
            p += exp((double)x);
            q += exp(y);
            dot += exp((double)x) * y;
        }
        sum += log(q) - dot / p;
    }
    return sum;
}

static void xent_takes_the_ratio_with_the_least_cross_entropy(void **state)
{
    (void)state;
    enum { ROWS = 200, CLASSES = 10 };
    static float v[ROWS * CLASSES];
    const float momentum = 0.05f;
    const nb_node logits = {.out = {.shape = {.ndim = 2, .d = {ROWS, CLASSES}}}};
    for (int32_t bits = 2; bits <= 8; bits += 2) {
        const nb_grid g = nb_grid_make(bits, NB_SCHEME_ASYMMETRIC, false);
        float s[3] = {0};
        observed_fill(v, ROWS * CLASSES, 2, (uint64_t)bits);
        nb_observation o = observed(v, ROWS * CLASSES, &g);
        o.of = &logits;
        o.calibration = 1;
        range("xent")->observe(&momentum, s, &o);
        assert_true(range("xent")->sound(s));
        double least = INFINITY;
        for (int32_t k = 1; k <= 64; k++)
            least = fmin(least, cross_entropy(v, ROWS, CLASSES, &g, o.min * (float)k / 64, o.max * (float)k / 64));
        assert_true(cross_entropy(v, ROWS, CLASSES, &g, s[0], s[1]) <= least * (1 + 1e-9));
        o.first = false; /* later ones in training move at most two notches */
        o.calibration = 0;
        const float before = s[2];
        range("xent")->observe(&momentum, s, &o);
        assert_true(fabsf(s[2] - before) <= 2);
    }
}

/* ---- in networks ---- */

#define DATA "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"
#define NORMS                                                                                                          \
    DATA "model:\n"                                                                                                    \
         "  - input\n"                                                                                                 \
         "  - conv2d: {name: c1, out: 4, kernel: 3, pad: 1, bias: no}\n"                                               \
         "  - batchnorm: {name: bn1}\n"                                                                                \
         "  - relu: {name: r1}\n"                                                                                      \
         "  - conv2d: {name: c2, out: 4, kernel: 3, pad: 1, bias: no}\n"                                               \
         "  - batchnorm: {name: bn2}\n"                                                                                \
         "  - conv2d: {name: c3, out: 4, kernel: 3, pad: 1, bias: no}\n"                                               \
         "  - batchnorm: {name: bn3}\n"                                                                                \
         "  - relu: {name: r3, cap: 2}\n"                                                                              \
         "  - linear: {name: fc, out: 3}\n"

static void open_with(ref_street *s, const char *quant)
{
    char yaml[2048];
    snprintf(yaml, sizeof yaml, NORMS "%s", quant);
    nb_status st = ref_street_open(s, yaml, 8, REF_QUANTIZED);
    if (st != NB_OK)
        print_error("%s: %s\n", quant, nb_ctx_error(s->ctx));
    assert_int_equal(st, NB_OK);
}

static float *leaf(const ref_street *s, const char *name)
{
    nb_node *n = nb_graph_find(s->graph, name);
    assert_non_null(n);
    return n->out.data;
}

static void every_range_leaves_the_same_state_fused_or_not_on_any_number_of_threads(void **state)
{
    (void)state;
    for (int32_t i = 0; nb_ranges[i]; i++) {
        const bool logits = nb_ranges[i]->refuse == range("xent")->refuse,
                   norms = nb_ranges[i]->refuse == range("bn")->refuse;
        const bool ends = nb_ranges[i] == range("fixed");
        char quant[300];
        ref_street s[3];
        snprintf(quant, sizeof quant,
                 "quant: {output_bits: %d, weights: {bits: 3, range: %s%s}, activations: {bits: 4, range: %s%s}%s}\n",
                 logits ? 8 : 0, logits || norms ? "auto" : nb_ranges[i]->name, ends ? ", lo: -0.25, hi: 0.5" : "",
                 logits ? "auto" : nb_ranges[i]->name, ends ? ", lo: -1, hi: 3" : "",
                 logits ? ", layers: {fc: {activations: {range: xent}}}" : "");
        for (int32_t k = 0; k < 3; k++) {
            open_with(&s[k], quant);
            if (k == 1)
                s[k].graph->fusions = NULL;
            nb_set_threads(k == 2 ? 4 : 1);
            ref_street_steps(&s[k], 4, 0.05f, false);
        }
        int32_t compared = 0;
        for (int32_t n = 0; n < s[0].graph->n; n++) {
            const nb_node *a = s[0].graph->node[n];
            if (!(a->flags & NB_NODE_LEAF))
                continue;
            for (int32_t k = 1; k < 3; k++)
                assert_memory_equal(a->out.data, s[k].graph->node[n]->out.data,
                                    (size_t)nb_count(&a->out) * sizeof(float));
            compared += (a->flags & NB_NODE_QUANTIZER) != 0;
        }
        assert_true(compared >= 8);
        for (int32_t k = 0; k < 3; k++)
            ref_street_close(&s[k]);
    }
    nb_set_threads(1);
}

static void bn_follows_the_batch_norms_parameters_and_what_relus_cut(void **state)
{
    (void)state;
    static const float gamma[4] = {0.5f, -2, 0.1f, 1}, beta[4] = {0, 1, 4, -0.5f};
    ref_street s;
    open_with(&s, "quant: {activations: {range: bn, a: 3}}\n");
    static const char *const norms[] = {"bn1", "bn2", "bn3"};
    for (int32_t i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.gamma", norms[i]);
        memcpy(leaf(&s, name), gamma, sizeof gamma);
        snprintf(name, sizeof name, "%s.beta", norms[i]);
        memcpy(leaf(&s, name), beta, sizeof beta);
    }
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    assert_null(nb_quant_needs_data(s.graph));
    assert_int_equal(nb_calibrate(s.graph, NULL, NULL, 0), NB_OK);
    const float *r1 = leaf(&s, "r1.fq.state"), *bn2 = leaf(&s, "bn2.fq.state"), *r3 = leaf(&s, "r3.fq.state");
    assert_true(r1[0] == 0 && r1[1] == 7 && r1[2] == 1); /* 1 + 3 |-2|; relu */
    assert_true(bn2[0] == -5 && bn2[1] == 7);            /* 1 - 6 */
    assert_true(r3[0] == 0 && r3[1] == 2);               /* cap */
    const float *pixels = leaf(&s, "input1.fq.state"), *w = leaf(&s, "c2.weight.fq.state");
    const nb_dsinfo *d = nb_data_info(s.train);
    assert_float_equal(pixels[0], (0 - d->mean[0]) / d->std[0], 1e-4);
    assert_float_equal(pixels[1], (1 - d->mean[0]) / d->std[0], 1e-4);
    assert_true(w[0] < 0 && w[1] > 0);
    ref_street_close(&s);
}

/* A residual sum has no batch norm of its own, but those of what it adds. */
static void bn_sees_through_joins(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(
            &s,
            "data: {name: synth, count: 8, height: 8, width: 8, channels: 3, classes: 3}\n"
            "model: [input, {conv2d: {out: 1, pad: 1}}, {batchnorm: {name: na}}, {conv2d: {out: 1, pad: 1}},\n"
            "  {batchnorm: {name: nb}}, {add: {name: sum, in: [nb, na]}}, {linear: {name: fc, out: 3}}]\n"
            "quant: {data_free: yes}\n",
            2, REF_QUANTIZED),
        NB_OK);
    leaf(&s, "na.gamma")[0] = 3;
    leaf(&s, "na.beta")[0] = 1;
    leaf(&s, "nb.gamma")[0] = -4;
    leaf(&s, "nb.beta")[0] = 2;
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(nb_calibrate(s.graph, s.train, NULL, 0), NB_OK);
    const float *sum = leaf(&s, "sum.fq.state");
    assert_float_equal(sum[0], 3 - 6 * 5, 1e-4); /* independent: sqrt(9 + 16) */
    assert_float_equal(sum[1], 3 + 6 * 5, 1e-4);
    ref_street_close(&s);
}

/* Scale and zero point as the next evaluation has them. */
static void params_now(const ref_street *s, const nb_node *fq, float *scale, int32_t *zero)
{
    nb_qparams q = {.scale = scale, .zero = zero};
    assert_int_equal(nb_fakequant_snapshot(s->ctx, fq, NULL, &q, NULL), NB_OK);
}

static void a_scale_that_is_taken_is_the_scale_and_zero_stays(void **state)
{
    (void)state;
    static const char *const quants[] = {"quant: {activations: {bits: 4, range: ema}}",
                                         "quant: {activations: {bits: 3, range: mse, scheme: symmetric}}",
                                         "quant: {activations: {range: percentile}}",
                                         "quant: {activations: {range: kl, scheme: unsigned}}",
                                         "quant: {activations: {bits: 4, range: mse, learn: lsq}}",
                                         "quant: {activations: {range: aciq}, simulate: yes}"};
    for (size_t i = 0; i < sizeof quants / sizeof *quants; i++) {
        ref_street s;
        int32_t taken = 0;
        open_with(&s, quants[i]);
        ref_street_steps(&s, 2, 0.01f, false);
        for (int32_t k = 0; k < s.graph->n; k++) {
            nb_node *fq = s.graph->node[k];
            float was, is;
            int32_t zero, later;
            if (!nb_is_quantizer(fq) || nb_fakequant_of_weights(fq)) {
                assert_true(!nb_is_quantizer(fq) || !nb_fakequant_scalable(fq));
                continue;
            }
            assert_true(nb_fakequant_scalable(fq));
            params_now(&s, fq, &was, &zero);
            nb_fakequant_take_scale(fq, 0.9f * was);
            nb_fakequant_take_scale(fq, 1.1f * was);
            params_now(&s, fq, &is, &later);
            assert_float_equal(is / was, 1.1f, 1e-5);
            assert_int_equal(zero, later);
            assert_true(nb_fakequant_state_sound(fq, fq->in[1]->out.data));
            nb_fakequant_hold(fq);
            assert_true(nb_fakequant_state_sound(fq, fq->in[1]->out.data));
            taken++;
        }
        assert_true(taken > 3);
        ref_street_steps(&s, 1, 0, false);
        ref_street_close(&s);
    }
    ref_street s;
    open_with(&s, "quant: {weights: {format: pow2}, activations: {format: pow2}}");
    ref_street_steps(&s, 1, 0, false);
    for (int32_t k = 0; k < s.graph->n; k++)
        assert_false(nb_is_quantizer(s.graph->node[k]) && nb_fakequant_scalable(s.graph->node[k]));
    ref_street_close(&s);
}

static void data_free_makes_bn_the_default_and_refuses_what_needs_images(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "quant: {data_free: yes}\n", "quant: {data_free: yes, activations: {a: 4}}\n",
        "quant: {data_free: yes, layers: {bn2: {activations: {range: fixed, lo: -1, hi: 1}}}}\n"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        ref_street s;
        open_with(&s, fine[i]);
        assert_null(nb_quant_needs_data(s.graph));
        ref_street_close(&s);
    }
}

static void what_needs_images_is_named_where_there_are_none(void **state)
{
    (void)state;
    ref_street s;
    open_with(&s, "quant: {activations: {range: bn}, layers: {bn2: {activations: {range: mse}}}}\n");
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(nb_calibrate(s.graph, s.train, NULL, 0), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "bn2: its range is mse, which needs images"));
    ref_street_close(&s);
}

static const nb_fakequant_attr *attributes(const ref_street *s, const char *name)
{
    const nb_node *n = nb_graph_find(s->graph, name);
    assert_non_null(n);
    return n->attr;
}

static void the_default_range_goes_by_bits(void **state)
{
    (void)state;
    ref_street s;
    char text[256];
    open_with(&s, "quant: {weights: {bits: 2}, activations: {bits: 4, momentum: 0.25}, layers: {c2: {weights: {bits: "
                  "5}}, bn2: {activations: {bits: 8}}}}\n");
    assert_string_equal(attributes(&s, "c3.weight.fq")->range->name, "mse");
    assert_string_equal(attributes(&s, "c2.weight.fq")->range->name, "minmax");
    assert_string_equal(attributes(&s, "c1.weight.fq")->range->name, "minmax"); /* 8 bits: the first */
    assert_string_equal(attributes(&s, "r1.fq")->range->name, "mse");
    assert_true(*(const float *)attributes(&s, "r1.fq")->range_attr == 0.25f);
    assert_string_equal(attributes(&s, "bn2.fq")->range->name, "ema");
    assert_string_equal(attributes(&s, "r3.fq")->range->name,
                        "ema"); /* widened to the last layer's 8 bits after it was placed */
    assert_int_equal(nb_graph_find(s.graph, "r3.fq.state")->out.shape.d[1], 3);
    nb_quant_ranges_text(s.graph, text, sizeof text);
    assert_string_equal(text, "weights minmax (5, 8 bits), mse (2 bits); activations ema (8 bits), mse (4 bits)");
    ref_street_steps(&s, 2, 0.01f, false);
    ref_street_close(&s);
    open_with(&s, "quant: {first_last_bits: 4}\n"); /* the other way: what enters the last layer is narrowed */
    assert_string_equal(attributes(&s, "r3.fq")->range->name, "mse");
    ref_street_steps(&s, 2, 0.01f, false);
    ref_street_close(&s);
}

static void mistakes_are_named_with_what_would_do(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"quant: {weights: {range: bn}}\n", "range: bn: is for activations"},
        {"quant: {data_free: yes, activations: {range: ema}}\n",
         "range: ema: needs images, and quant.data_free: yes says that there are none: leave range out, or say bn or "
         "fixed"},
        {"quant: {activations: {range: bn}, output_bits: 8}\n",
         "activations of fc: range: bn: the output of fc is no batch norm's"},
        {"quant: {activations: {range: xent}}\n", "range: xent: is for the network's output"},
        {"quant: {weights: {range: xent}}\n", "set quant.output_bits"},
        {"quant: {activations: {range: fixed}}\n", "range: fixed: needs lo and hi"},
        {"quant: {activations: {range: fixed, lo: 0.5, hi: 2}}\n", "lo: 0.5: must be in"},
        {"quant: {activations: {range: fixed, lo: -1, hi: -0.5}}\n", "hi: -0.5: must be in"},
        {"quant: {weights: {range: percentile, low: 50, high: 50}}\n", "set high above low"},
        {"quant: {activations: {range: percentile, high: 101}}\n", "high: 101: must be in 50..100"},
        {"quant: {activations: {range: aciq, fit: normal}}\n", "fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, NORMS "%s", cases[i][0]);
        ref_street s;
        must_refuse(ref_street_open(&s, yaml, 2, REF_QUANTIZED), &s, cases[i][1]);
    }
}

static void a_range_that_leaves_codes_unused_is_said_with_what_would_help(void **state)
{
    (void)state;
    ref_street s;
    char text[320];
    open_with(&s, "quant: {weights: {bits: 4, range: minmax, granularity: tensor}, activations: {bits: 8}}\n");
    ref_street_steps(&s, 1, 0.0f, false);
    assert_int_equal(nb_quant_unused_text(s.graph, text, sizeof text), NB_OK);
    assert_string_equal(text, "");
    leaf(&s, "c2.weight")[3] = 50; /* all others are 0 beside it */
    ref_street_steps(&s, 1, 0.0f, false);
    assert_int_equal(nb_quant_unused_text(s.graph, text, sizeof text), NB_OK);
    assert_string_equal(text,
                        "c2.weight: range minmax leaves most codes of its 4-bit weights unused, 99 % of them become 0; "
                        "range: mse and granularity: channel would help");
    memset(leaf(&s, "c2.weight"), 0, 144 * sizeof(float)); /* zeros are no fault of the range's */
    leaf(&s, "c2.weight")[3] = 1;
    ref_street_steps(&s, 1, 0.0f, false);
    assert_int_equal(nb_quant_unused_text(s.graph, text, sizeof text), NB_OK);
    assert_string_equal(text, "");
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_is_the_mean_of_the_batches_extremes),
        cmocka_unit_test(aciq_clips_at_its_factor_times_the_spread_of_the_likelier_distribution),
        cmocka_unit_test(aciq_of_relus_is_one_sided),
        cmocka_unit_test(xent_takes_the_ratio_with_the_least_cross_entropy),
        cmocka_unit_test(every_range_leaves_the_same_state_fused_or_not_on_any_number_of_threads),
        cmocka_unit_test(bn_follows_the_batch_norms_parameters_and_what_relus_cut),
        cmocka_unit_test(bn_sees_through_joins),
        cmocka_unit_test(a_scale_that_is_taken_is_the_scale_and_zero_stays),
        cmocka_unit_test(data_free_makes_bn_the_default_and_refuses_what_needs_images),
        cmocka_unit_test(what_needs_images_is_named_where_there_are_none),
        cmocka_unit_test(the_default_range_goes_by_bits),
        cmocka_unit_test(mistakes_are_named_with_what_would_do),
        cmocka_unit_test(a_range_that_leaves_codes_unused_is_said_with_what_would_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
