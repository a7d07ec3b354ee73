/* test_sensitivity.c - one quantizer alone at a width, and quantizers that could stand in its place. */
#include "ref/probe_case.h"

#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char yaml[] =
    "seed: 3\ndata: {name: synth, count: 256, test_count: 64, height: 8, width: 8, channels: 3, classes: 4}\n"
    "model:\n  - input\n  - conv2d: {name: c1, out: 6, kernel: 3, pad: 1}\n  - relu\n"
    "  - conv2d: {name: c2, out: 6, kernel: 3, pad: 1}\n  - relu\n"
    "  - avgpool: {global: yes}\n  - linear: {name: fc, out: 4}\n"
    "quant: {first_last_bits: 0, weights: {bits: 4, granularity: tensor}, activations: {bits: 8, range: minmax},\n"
    "        layers: {fc: {weights: {format: ternary, bits: 2}}}}\n";

static int32_t site_of(const probe_case *c, const char *layer, bool weights)
{
    for (int32_t i = 0; i < nb_probe_layers(c->probe); i++)
        if (strcmp(nb_probe_layer_at(c->probe, i)->name, layer) == 0)
            return weights ? nb_probe_layer_at(c->probe, i)->weights : nb_probe_layer_at(c->probe, i)->output;
    fail_msg("no layer %s", layer);
    return -1;
}

static void open_case(probe_case *c, nb_images *calibration)
{
    nb_set_threads(1);
    probe_case_open(c, yaml, 30, NULL, NULL);
    *calibration = (nb_images){.data = c->s.train, .n = 64};
}

static void with_the_bits_that_are_there_a_row_is_the_quantizer_alone(void **state)
{
    probe_case c;
    nb_images calibration, images;
    nb_analysis a;
    (void)state;
    open_case(&c, &calibration);
    images = probe_case_images(&c, 48);
    nb_sensitivity_row row = {.site = site_of(&c, "c2", true), .bits = 4};
    assert_int_equal(nb_sensitivity(c.probe, &row, 1, &calibration, &images, NULL), NB_OK);
    assert_int_equal(nb_analyze(c.probe, &(nb_analysis_job){.images = images}, &a), NB_OK);
    assert_true(row.possible);
    assert_memory_equal(&row.score, &a.site[row.site].alone, sizeof row.score);
    assert_float_equal(nb_decibels(row.signal, row.noise), a.site[row.site].sqnr, 1e-9);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void more_bits_cost_less(void **state)
{
    static const int32_t bits[] = {2, 3, 4, 6, 8};
    probe_case c;
    nb_images calibration, images;
    nb_sensitivity_row rows[10];
    (void)state;
    open_case(&c, &calibration);
    images = probe_case_images(&c, 48);
    for (int32_t i = 0; i < 10; i++)
        rows[i] = (nb_sensitivity_row){.site = site_of(&c, "c1", i < 5), .bits = bits[i % 5]};
    assert_int_equal(nb_sensitivity(c.probe, rows, 10, &calibration, &images, NULL), NB_OK);
    for (int32_t i = 0; i < 10; i++) {
        assert_true(rows[i].possible && rows[i].score.n == 48);
        if (i % 5 == 0)
            continue;
        if (i % 5 > 1) /* from 3 to 4 bits the range is another one, and how errors hang together */
            assert_true(rows[i].score.kl < 0.5 * rows[i - 2].score.kl);
        const double gain =
            nb_decibels(rows[i].signal, rows[i].noise) - nb_decibels(rows[i - 1].signal, rows[i - 1].noise);
        assert_true(gain > 3 * (bits[i % 5] - bits[i % 5 - 1])); /* some 6 dB each */
    }
    probe_case_close(&c);
}

static void what_a_format_has_not_is_not_possible(void **state)
{
    probe_case c;
    nb_images calibration, images;
    nb_candidate k;
    (void)state;
    open_case(&c, &calibration);
    images = probe_case_images(&c, 8);
    nb_sensitivity_row rows[] = {{.site = site_of(&c, "fc", true), .bits = 8}, /* ternary */
                                 {.site = site_of(&c, "c1", true), .bits = 9}};
    assert_int_equal(nb_sensitivity(c.probe, rows, 2, &calibration, &images, NULL), NB_OK);
    assert_false(rows[0].possible);
    assert_false(rows[1].possible);
    assert_int_equal(nb_candidate_make(c.probe, rows[0].site, &(nb_quantizer_wish){.range = "mse"}, &k), NB_OK);
    assert_null(k.by); /* its rule belongs to the codes */
    assert_int_equal(nb_candidate_make(c.probe, rows[1].site, &(nb_quantizer_wish){.range = "xent"}, &k), NB_OK);
    assert_null(k.by);
    probe_case_close(&c);
}

/* Formats that keep more than a scale and a zero point beside their codes. */
static void an_understudy_with_the_same_attributes_gives_the_same_values(void **state)
{
    static const char *const weights[] = {
        "{format: block, bits: 4}", "{format: codebook, bits: 3}",   "{format: fp8_e4m3}",
        "{format: log, bits: 4}",   "{bits: 5, scheme: asymmetric}", "{bits: 4, granularity: group, group: 4}"};
    (void)state;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        probe_case c;
        nb_images calibration;
        char text[1024];
        snprintf(text, sizeof text, "%.*squant: {weights: %s}\n", (int)(strstr(yaml, "quant:") - yaml), yaml,
                 weights[i]);
        nb_set_threads(1);
        probe_case_open(&c, text, 4, NULL, NULL);
        calibration = (nb_images){.data = c.s.train, .n = 8};
        const int32_t site = site_of(&c, "c2", true);
        const nb_node *fq = nb_probe_site_at(c.probe, site)->fq;
        nb_candidate k;
        assert_int_equal(nb_candidate_make(c.probe, site, &(nb_quantizer_wish){0}, &k), NB_OK);
        assert_non_null(k.by);
        assert_int_equal(nb_candidates_calibrate(c.probe, &k, 1, &calibration, NULL), NB_OK);
        float want[6 * 9 * 6];
        assert_int_equal(nb_count(&fq->out), 6 * 9 * 6);
        const nb_probe_change own = {site, nb_probe_site_at(c.probe, site)->fq}, other = {site, k.by};
        nb_probe_try(c.probe, &(nb_probe_trial){NB_PROBE_FLOAT, &own, 1, NULL});
        memcpy(want, nb_probe_value(c.probe, NB_PROBE_TRIED, fq), sizeof want);
        nb_probe_try(c.probe, &(nb_probe_trial){NB_PROBE_FLOAT, &other, 1, NULL});
        assert_memory_equal(nb_probe_value(c.probe, NB_PROBE_TRIED, fq), want, sizeof want);
        probe_case_close(&c);
    }
}

/* One channel thirty times as large as the others takes the grid from them, if they share it. */
static void spread(void *ud, nb_graph *g)
{
    (void)ud;
    nb_tensor *w = &nb_graph_find(g, "c2.weight")->out;
    float *range = nb_graph_find(g, "c2.weight.fq.state")->out.data;
    for (int64_t i = 0, per = nb_count(w) / w->shape.d[0]; i < nb_count(w); i++)
        ((float *)w->data)[i] *= i < per ? 30 : 1;
    range[0] *= 30; /* about what it will be; nothing depends on it */
    range[1] *= 30;
}

/* What a range in the site's place costs, measured by itself. */
static double cost_of_range(probe_case *c, int32_t site, const char *range, const nb_images *calibration)
{
    nb_candidate k;
    assert_int_equal(nb_candidate_make(c->probe, site, &(nb_quantizer_wish){.range = range}, &k), NB_OK);
    assert_int_equal(nb_candidates_calibrate(c->probe, &k, 1, calibration, NULL), NB_OK);
    const nb_probe_change change = {site, k.by};
    nb_trial trial = {.network = {.base = NB_PROBE_FLOAT, .change = &change, .n_changes = 1}};
    const nb_trials t = {.images = probe_case_images(c, 48), .trial = &trial, .n_trials = 1};
    assert_int_equal(nb_trials_run(c->probe, &t), NB_OK);
    return trial.score.kl / 48;
}

static void of_other_ranges_the_best_is_told(void **state)
{
    static const char *const others[] = {"mse", "percentile", "aciq"}; /* it has minmax */
    probe_case c;
    nb_analysis a;
    nb_images calibration;
    int32_t told = 0;
    (void)state;
    open_case(&c, &calibration);
    const nb_analysis_job job = {.images = probe_case_images(&c, 48), .calibration = calibration, .n_worst = 7};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_OK);
    for (int32_t i = 0; i < a.n_remedies; i++) {
        const nb_analysis_remedy *r = &a.remedy[i];
        double best = INFINITY;
        if (strncmp(r->text, "range ", 6) != 0 || strcmp(a.site[r->site].range, "minmax") != 0)
            continue;
        for (int32_t k = 0; k < 3; k++)
            best = fmin(best, cost_of_range(&c, r->site, others[k], &calibration));
        assert_float_equal(r->cost_after, best, 1e-12);
        told++;
    }
    assert_true(told >= 2);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void what_helps_the_network_most_comes_first(void **state)
{
    probe_case c;
    nb_analysis a;
    nb_images calibration;
    (void)state;
    open_case(&c, &calibration);
    const nb_analysis_job job = {.images = probe_case_images(&c, 48), .calibration = calibration, .n_worst = 7};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_OK);
    assert_true(a.n_remedies > 2);
    for (int32_t i = 0; i < a.n_remedies; i++) {
        const nb_analysis_site *s = &a.site[a.remedy[i].site];
        int32_t bits = s->bits;
        sscanf(a.remedy[i].text, "%d bits", &bits);
        assert_int_equal(a.remedy[i].bits, bits);
        assert_true(i == 0 || a.remedy[i - 1].network.kl <= a.remedy[i].network.kl);
        assert_int_equal(s->values, nb_probe_site_at(c.probe, a.remedy[i].site)->values);
    }
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void keep_all(void *ud, int64_t done, int64_t all)
{
    assert_true(done <= all);
    *(int64_t *)ud = all;
}

/* Without trials, and when nobody asks for it, the quantized network is not computed. */
static void the_float_network_alone_has_the_same_answers(void **state)
{
    probe_case c;
    nb_probe_score both[2] = {{0}}, alone = {0};
    (void)state;
    nb_set_threads(1);
    probe_case_open(&c, yaml, 30, NULL, NULL);
    int64_t passes[2];
    nb_watch watch = {.at = keep_all, .ud = &passes[0]};
    nb_trials t = {.images = probe_case_images(&c, 48), .floats = &both[0], .quantized = &both[1], .watch = &watch};
    assert_int_equal(nb_trials_run(c.probe, &t), NB_OK);
    watch.ud = &passes[1];
    t.floats = &alone;
    t.quantized = NULL;
    assert_int_equal(nb_trials_run(c.probe, &t), NB_OK);
    assert_memory_equal(&alone, &both[0], sizeof alone);
    assert_int_equal(passes[0], 2 * passes[1]);
    probe_case_close(&c);
}

static void a_scale_for_each_channel_helps_where_channels_differ(void **state)
{
    probe_case c;
    nb_analysis a;
    (void)state;
    nb_set_threads(1);
    probe_case_open(&c, yaml, 30, spread, NULL);
    const nb_analysis_job job = {
        .images = probe_case_images(&c, 48), .calibration = {.data = c.s.train, .n = 64}, .n_worst = 7};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_OK);
    const int32_t site = site_of(&c, "c2", true);
    int32_t seen = 0, of_range = 0;
    for (int32_t i = 0; i < a.n_remedies; i++) {
        const nb_analysis_remedy *r = &a.remedy[i];
        if (r->site != site)
            continue;
        of_range += strncmp(r->text, "range ", 6) == 0;
        if (strcmp(r->text, "per channel") != 0)
            continue;
        assert_true(r->cost_after < r->cost_before);
        assert_true(r->network.n == 48 && isfinite(r->network.kl));
        seen++;
    }
    assert_int_equal(seen, 1);
    assert_int_equal(of_range, 1); /* the best of all that were tried */
    nb_analysis_free(&a);
    probe_case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_helps_the_network_most_comes_first),
                                       cmocka_unit_test(the_float_network_alone_has_the_same_answers),
                                       cmocka_unit_test(with_the_bits_that_are_there_a_row_is_the_quantizer_alone),
                                       cmocka_unit_test(more_bits_cost_less),
                                       cmocka_unit_test(what_a_format_has_not_is_not_possible),
                                       cmocka_unit_test(of_other_ranges_the_best_is_told),
                                       cmocka_unit_test(an_understudy_with_the_same_attributes_gives_the_same_values),
                                       cmocka_unit_test(a_scale_for_each_channel_helps_where_channels_differ)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
