/* test_probe.c - a network on switches: what is off, on, or replaced, and signal to noise by hand. */
#include "ref/probe_case.h"
#include "ref/random_network.h"

#include <nibble/train.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 8, TEXT = 4096 };

static const char small[] =
    "seed: 3\ndata: {name: synth, count: 256, test_count: 64, height: 8, width: 8, channels: 3, classes: 4}\n"
    "model:\n  - input\n"
    "  - conv2d: {name: c1, out: 6, kernel: 3, pad: 1, bias: no}\n  - batchnorm: {name: n1}\n  - relu: {name: r1}\n"
    "  - conv2d: {name: c2, in: r1, out: 6, kernel: 3, pad: 1}\n  - add: {name: a, in: [r1, c2]}\n  - relu: {cap: 3}\n"
    "  - avgpool: {global: yes}\n  - linear: {name: fc, out: 4}\n";

static void with(char *text, const char *quant)
{
    snprintf(text, TEXT, "%squant: %s\n", small, quant);
}

typedef struct {
    uint8_t pixels[N * 8 * 8 * 3];
    int32_t labels[N];
} batch;

static void take(const probe_case *c, batch *b)
{
    for (int32_t i = 0; i < N; i++)
        nb_data_get(c->s.test, i, b->pixels + i * 8 * 8 * 3, &b->labels[i]);
}

static const float *logits(const probe_case *c, nb_probe_network w)
{
    return nb_probe_value(c->probe, w, c->graph->loss->in[0]);
}

static int32_t site_named(const probe_case *c, const char *layer, bool weights)
{
    for (int32_t i = 0; i < nb_probe_sites(c->probe); i++) {
        const nb_probe_site *s = nb_probe_site_at(c->probe, i);
        if (s->weights == weights && strcmp(nb_probe_layer_at(c->probe, s->layer)->name, layer) == 0)
            return i;
    }
    fail_msg("no quantizer of %s", layer);
    return -1;
}

static void signal_to_noise_is_as_by_hand(void **state)
{
    const float x[] = {3, 4}, y[] = {3, 3};
    double signal = 0, noise = 0;
    (void)state;
    nb_probe_add_noise(&signal, &noise, x, y, 2);
    assert_float_equal(signal, 25, 0);
    assert_float_equal(noise, 1, 0);
    assert_float_equal(nb_decibels(signal, noise), 13.979400, 1e-6); /* 10 log10(25) */
    assert_true(isinf(nb_decibels(signal, 0)));
}

/* Scale 1, largest code 7: 7, -3.4, 2.2, 0.6 become 7, -3, 2, 1. */
static void set_weights(void *ud, nb_graph *g)
{
    static const float w[] = {7, -3.4f, 2.2f, 0.6f};
    (void)ud;
    nb_tensor *t = &nb_graph_find(g, "fc.weight")->out;
    for (int64_t i = 0; i < nb_count(t); i++)
        ((float *)t->data)[i] = w[i % 4];
    float *range = nb_graph_find(g, "fc.weight.fq.state")->out.data;
    range[0] = -7; /* as minmax would have seen them */
    range[1] = 7;
}

static void weights_have_the_signal_to_noise_of_their_codes(void **state)
{
    char text[TEXT];
    (void)state;
    probe_case c;
    with(text, "{first_last_bits: 0, weights: {bits: 4, granularity: tensor, range: minmax}}");
    probe_case_open(&c, text, 2, set_weights, NULL);
    nb_analysis a;
    const nb_analysis_job job = {.images = probe_case_images(&c, 8)};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_OK);
    /* (49 + 11.56 + 4.84 + 0.36) / (0 + 0.16 + 0.04 + 0.16) */
    assert_float_equal(a.site[site_named(&c, "fc", true)].sqnr, 10 * log10(65.76 / 0.36), 1e-4);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void all_off(const char *text, int32_t steps)
{
    probe_case c;
    batch b;
    nb_graph *plain;
    probe_case_open(&c, text, steps, NULL, NULL);
    take(&c, &b);
    assert_int_equal(ref_street_copy(&c.s, N, REF_FLOAT, &plain), NB_OK);
    assert_int_equal(nb_probe_batch(c.probe, b.pixels, b.labels, N, true), NB_OK);
    nb_forward(plain, &(nb_run){.pixels = b.pixels});
    for (int32_t i = 0; i < N * 4; i++)
        assert_float_equal(logits(&c, NB_PROBE_FLOAT)[i], nb_graph_logits(plain)[i],
                           1e-4f * (1 + fabsf(nb_graph_logits(plain)[i])));
    nb_graph_free(plain);
    probe_case_close(&c);
}

static void with_all_switches_off_it_is_the_float_network(void **state)
{
    static const char *const quants[] = {"{weights: {bits: 2}}", "{weights: {bits: 2}, batchnorm: fold}",
                                         "{weights: {bits: 2}, batchnorm: fold_corrected}",
                                         "{weights: off, activations: {bits: 2}}"};
    (void)state;
    for (size_t i = 0; i < sizeof quants / sizeof *quants; i++) {
        char text[TEXT];
        with(text, quants[i]);
        all_off(text, 4);
    }
}

/* Every quantizer belongs to a layer, whatever stands between them; and off and on are the two networks there are. */
static void random_networks_have_a_switch_for_every_quantizer(void **state)
{
    (void)state;
    for (int32_t seed = 1; seed <= 12; seed++) {
        char text[REF_NETWORK_BYTES];
        probe_case c;
        if (seed % 2)
            ref_network_text(seed, text);
        else
            ref_network_text_residual(seed, text);
        probe_case_open(&c, text, 1, NULL, NULL);
        for (int32_t i = 0; i < nb_probe_sites(c.probe); i++) {
            const nb_probe_site *s = nb_probe_site_at(c.probe, i);
            assert_true(s->fq && s->values > 0 && s->bits > 0);
            const nb_probe_layer *y = nb_probe_layer_at(c.probe, s->layer);
            assert_int_equal(s->weights ? y->weights : y->output, i);
        }
        probe_case_close(&c);
    }
}

static void with_all_on_it_is_the_simulated_network(void **state)
{
    char text[TEXT];
    probe_case c;
    batch b;
    nb_graph *again;
    (void)state;
    with(text, "{weights: {bits: 3}, activations: {bits: 4}}");
    probe_case_open(&c, text, 4, NULL, NULL);
    take(&c, &b);
    const nb_graph_spec spec = {.experiment = &c.s.exp,
                                .info = nb_data_info(c.s.train),
                                .max_batch = N,
                                .quant = true,
                                .simulate = true,
                                .plan = NB_PLAN_INFER};
    assert_int_equal(nb_graph_open(c.s.ctx, &spec, &(nb_params_source){.graph = c.graph}, &again), NB_OK);
    assert_non_null(nb_graph_about(again).simulated);
    nb_forward(again, &(nb_run){.pixels = b.pixels});
    assert_int_equal(nb_probe_batch(c.probe, b.pixels, b.labels, N, true), NB_OK);
    assert_memory_equal(logits(&c, NB_PROBE_QUANTIZED), nb_graph_logits(again), N * 4 * sizeof(float));
    nb_graph_free(again);
    probe_case_close(&c);
}

/* The same network, once on top of the float one and once of the quantized one. */
static void a_try_is_the_network_with_these_switches(void **state)
{
    char text[TEXT];
    probe_case c;
    batch b;
    nb_probe_change on[32], off[32];
    float want[N * 4];
    nb_rng rng = nb_rng_make(1, 0);
    (void)state;
    with(text, "{weights: {bits: 3}, activations: {bits: 4}}");
    probe_case_open(&c, text, 4, NULL, NULL);
    take(&c, &b);
    assert_int_equal(nb_probe_batch(c.probe, b.pixels, b.labels, N, true), NB_OK);
    for (int32_t k = 0; k < 40; k++) {
        int32_t n_on = 0, n_off = 0;
        for (int32_t i = 0; i < nb_probe_sites(c.probe); i++)
            if (nb_rng_below(&rng, 2))
                on[n_on++] = (nb_probe_change){i, nb_probe_site_at(c.probe, i)->fq};
            else
                off[n_off++] = (nb_probe_change){i, NULL};
        nb_probe_try(c.probe, &(nb_probe_trial){NB_PROBE_FLOAT, on, n_on, NULL});
        memcpy(want, logits(&c, NB_PROBE_TRIED), sizeof want);
        nb_probe_try(c.probe, &(nb_probe_trial){NB_PROBE_QUANTIZED, off, n_off, NULL});
        assert_memory_equal(logits(&c, NB_PROBE_TRIED), want, sizeof want);
    }
    probe_case_close(&c);
}

/* The float network has other values than the one that is quantized: of a bias and of weights, here. */
static void a_reference_of_its_own_is_what_is_compared_with(void **state)
{
    char text[TEXT];
    probe_case c;
    batch b;
    nb_graph *plain;
    nb_probe *p;
    (void)state;
    with(text, "{weights: {bits: 4}}");
    probe_case_open(&c, text, 4, NULL, NULL);
    take(&c, &b);
    assert_int_equal(ref_street_copy(&c.s, N, REF_FLOAT, &plain), NB_OK);
    ((float *)nb_graph_find(c.graph, "fc.bias")->out.data)[2] += 1;
    ((float *)nb_graph_find(c.graph, "c2.weight")->out.data)[0] *= -1;
    assert_int_equal(nb_probe_open(c.graph, plain, &p), NB_OK);
    assert_int_equal(nb_probe_batch(p, b.pixels, b.labels, N, true), NB_OK);
    nb_forward(plain, &(nb_run){.pixels = b.pixels});
    const nb_node *out = c.graph->loss->in[0];
    for (int32_t i = 0; i < N * 4; i++)
        assert_float_equal(nb_probe_value(p, NB_PROBE_FLOAT, out)[i], nb_graph_logits(plain)[i], 1e-4);
    assert_true(nb_probe_value(p, NB_PROBE_QUANTIZED, out)[2] > nb_graph_logits(plain)[2] + 0.5f);
    /* switched on alone, weights are those that are quantized; all else stays float */
    const int32_t site = site_named(&c, "c2", true);
    const nb_node *fq = nb_probe_site_at(p, site)->fq;
    float want[6 * 9 * 6];
    assert_int_equal(nb_count(&fq->out), 6 * 9 * 6);
    memcpy(want, nb_probe_value(p, NB_PROBE_QUANTIZED, fq), sizeof want);
    const nb_probe_change on = {site, nb_probe_site_at(p, site)->fq};
    nb_probe_try(p, &(nb_probe_trial){NB_PROBE_FLOAT, &on, 1, NULL});
    assert_memory_equal(nb_probe_value(p, NB_PROBE_TRIED, fq), want, sizeof want);
    assert_true(want[0] * nb_probe_value(p, NB_PROBE_FLOAT, fq)[0] < 0);
    nb_probe_close(p);
    assert_float_equal(((float *)nb_graph_find(c.graph, "fc.bias")->out.data)[2],
                       ((float *)nb_graph_find(plain, "fc.bias")->out.data)[2] + 1, 1e-6); /* it is given back */
    nb_graph_free(plain);
    probe_case_close(&c);
}

static void the_number_of_threads_changes_no_bit(void **state)
{
    char text[TEXT];
    nb_analysis a[2];
    probe_case c[2];
    (void)state;
    with(text, "{weights: {bits: 3, granularity: tensor}, activations: {bits: 4}}");
    for (int32_t i = 0; i < 2; i++) {
        nb_set_threads(i ? 3 : 1);
        probe_case_open(&c[i], text, 4, NULL, NULL);
        const nb_analysis_job job = {
            .images = probe_case_images(&c[i], 40), .calibration = {.data = c[i].s.train, .n = 20}, .n_worst = 3};
        assert_int_equal(nb_analyze(c[i].probe, &job, &a[i]), NB_OK);
    }
    assert_true(a[0].n_remedies > 3);
    assert_memory_equal(&a[0].quantized, &a[1].quantized, sizeof a[0].quantized);
    for (int32_t i = 0; i < a[0].n_sites; i++) {
        assert_true(a[0].site[i].cost == a[1].site[i].cost);
        assert_true(a[0].site[i].without.kl == a[1].site[i].without.kl);
    }
    for (int32_t i = 0; i < a[0].n_remedies; i++) {
        assert_string_equal(a[0].remedy[i].text, a[1].remedy[i].text);
        assert_true(a[0].remedy[i].network.kl == a[1].remedy[i].network.kl);
    }
    for (int32_t i = 0; i < 2; i++) {
        nb_analysis_free(&a[i]);
        probe_case_close(&c[i]);
    }
    nb_set_threads(1);
}

static int one_thread(void **state)
{
    (void)state;
    nb_set_threads(1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signal_to_noise_is_as_by_hand),
                                       cmocka_unit_test(weights_have_the_signal_to_noise_of_their_codes),
                                       cmocka_unit_test(with_all_switches_off_it_is_the_float_network),
                                       cmocka_unit_test(random_networks_have_a_switch_for_every_quantizer),
                                       cmocka_unit_test(with_all_on_it_is_the_simulated_network),
                                       cmocka_unit_test(a_try_is_the_network_with_these_switches),
                                       cmocka_unit_test(a_reference_of_its_own_is_what_is_compared_with),
                                       cmocka_unit_test(the_number_of_threads_changes_no_bit)};
    return cmocka_run_group_tests(tests, one_thread, NULL);
}
