/* test_analyze.c - what an analysis says of a network in which it is known what is wrong. */
#include "ref/probe_case.h"

#include <nibble/train.h>

#include "base/parallel.h"
#include "report/table_analyze.h"

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
    "quant: {weights: {bits: 8}, activations: {bits: 8, range: minmax}, layers: {c2: {weights: {bits: 3}}}}\n";

enum { IMAGES = 48 };

static const nb_analysis_layer *layer_named(const nb_analysis *a, const char *name)
{
    for (int32_t i = 0; i < a->n_layers; i++)
        if (strcmp(a->layer[i].name, name) == 0)
            return &a->layer[i];
    fail_msg("no layer %s", name);
    return NULL;
}

static void open_case(probe_case *c, nb_analysis *a)
{
    nb_set_threads(1);
    probe_case_open(c, yaml, 30, NULL, NULL);
    assert_int_equal(nb_analyze(c->probe, &(nb_analysis_job){.images = probe_case_images(c, IMAGES)}, a), NB_OK);
}

static void the_layer_of_three_bits_is_blamed_and_others_are_negligible(void **state)
{
    probe_case c;
    nb_analysis a;
    (void)state;
    open_case(&c, &a);
    assert_string_equal(a.layer[a.layers_by_cost[0]].name, "c2");
    assert_true(a.site[a.sites_by_cost[0]].weights && !a.site[a.sites_by_cost[0]].negligible);
    assert_true(layer_named(&a, "fc")->negligible);
    double all = 0;
    for (int32_t i = 0; i < a.n_sites; i++) {
        all += a.site[i].cost;
        if (i > 0)
            assert_true(a.site[a.sites_by_cost[i - 1]].cost >= a.site[a.sites_by_cost[i]].cost);
    }
    for (int32_t i = 0; i < a.n_sites; i++)
        assert_int_equal(a.site[i].negligible, a.site[i].cost < 0.01 * all);
    /* without its worst quantizer the network is nearly the float one */
    assert_true(a.site[a.sites_by_cost[0]].without.kl < 0.1 * a.quantized.kl);
    assert_true(a.floats.kl == 0 && a.floats.noise == 0 && a.floats.n == IMAGES);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

static void local_errors_do_not_know_of_layers_before(void **state)
{
    probe_case c;
    nb_analysis a;
    (void)state;
    open_case(&c, &a);
    const nb_analysis_layer *c2 = layer_named(&a, "c2"), *fc = layer_named(&a, "fc"), *in = layer_named(&a, "input1");
    assert_true(fc->local > fc->cumulative + 10); /* its 8 bits on float inputs; then c2's 3 before it */
    assert_float_equal(in->local, in->cumulative, 1e-9);
    assert_true(c2->by_weights < c2->by_output - 10 && c2->local <= c2->by_weights + 0.1);
    assert_true(isinf(fc->by_output) && fc->output < 0 && in->weights < 0 && isinf(in->by_weights));
    nb_analysis_free(&a);
    probe_case_close(&c);
}

/* Against a float network whose bias of one channel is lower by a known amount. */
static void a_shifted_bias_is_that_channels_mean_error_and_goes_when_corrected(void **state)
{
    probe_case c;
    nb_analysis a, shifted;
    nb_graph *plain;
    nb_probe *p;
    (void)state;
    open_case(&c, &a);
    assert_int_equal(ref_street_copy(&c.s, 1, REF_FLOAT, &plain), NB_OK);
    ((float *)nb_graph_find(plain, "c1.bias")->out.data)[4] -= 5; /* without relu: far beyond its deviation */
    assert_int_equal(nb_probe_open(c.graph, plain, &p), NB_OK);
    assert_int_equal(nb_analyze(p, &(nb_analysis_job){.images = probe_case_images(&c, IMAGES)}, &shifted), NB_OK);
    const nb_analysis_layer *c1 = layer_named(&shifted, "c1");
    const int32_t l = (int32_t)(c1 - shifted.layer);
    assert_true(c1->error[4] == c1->bias);
    double squares = 0;
    for (int32_t k = 0; k < c1->channels; k++)
        squares += c1->error[k] * c1->error[k];
    assert_true(fabs(sqrt(squares / c1->channels) - c1->bias_all) < 1e-12);
    assert_int_equal(c1->worst_channel, 4);
    /* the channel's deviation over these images, from the values themselves */
    const nb_node *n = nb_probe_layer_at(p, l)->linear;
    double mean = 0, square = 0;
    int64_t rows = 0;
    for (int32_t i = 0; i < IMAGES; i++) {
        uint8_t pixels[8 * 8 * 3];
        int32_t label;
        nb_data_get(c.s.test, i, pixels, &label);
        assert_int_equal(nb_probe_batch(p, pixels, &label, 1, false), NB_OK);
        for (int32_t k = 0; k < 64; k++, rows++) {
            const double v = (double)nb_probe_value(p, NB_PROBE_FLOAT, n)[k * 6 + 4];
            mean += v;
            square += v * v;
        }
    }
    mean /= (double)rows;
    const double deviation = sqrt(square / (double)rows - mean * mean);
    assert_float_equal(c1->bias, 5 / deviation, 0.02 * 5 / deviation);
    assert_true(c1->bias_after < 0.02 && c1->bias_all > 0.3);
    nb_analysis_free(&a);
    nb_analysis_free(&shifted);
    nb_probe_close(p);
    nb_graph_free(plain);
    probe_case_close(&c);
}

static nb_status tired(void *ud)
{
    return --*(int32_t *)ud > 0 ? NB_OK : NB_E_STOPPED;
}

static void who_watches_can_stop_it(void **state)
{
    probe_case c;
    nb_analysis a = {0};
    int32_t patience = 5;
    (void)state;
    nb_set_threads(1);
    probe_case_open(&c, yaml, 1, NULL, NULL);
    const nb_watch watch = {.stop = tired, .ud = &patience};
    const nb_analysis_job job = {.images = probe_case_images(&c, IMAGES), .watch = &watch};
    assert_int_equal(nb_analyze(c.probe, &job, &a), NB_E_STOPPED);
    assert_int_equal(patience, 0);
    assert_null(a.site);
    probe_case_close(&c);
}

static void every_allocation_may_fail(void **state)
{
    probe_case c;
    (void)state;
    nb_set_threads(1);
    probe_case_open(&c, yaml, 1, NULL, NULL);
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        nb_probe *p = NULL;
        nb_analysis a = {0};
        nb_ctx_fail_alloc_at(c.s.ctx, ++n);
        st = nb_probe_open(c.graph, NULL, &p);
        const nb_analysis_job job = {
            .images = probe_case_images(&c, 4), .calibration = {.data = c.s.train, .n = 4}, .n_worst = 2};
        if (st == NB_OK)
            st = nb_analyze(p, &job, &a);
        nb_ctx_fail_alloc_at(c.s.ctx, 0);
        assert_true(st == NB_OK || (st == NB_E_NOMEM && nb_ctx_error(c.s.ctx)[0] && !a.arena));
        if (st == NB_OK)
            nb_analysis_free(&a);
        nb_probe_close(p);
    }
    assert_true(n > 20);
    probe_case_close(&c);
}

static void tables_have_the_worst_first_and_blanks_where_nothing_is(void **state)
{
    probe_case c;
    nb_analysis a;
    nb_table *t;
    char *text;
    (void)state;
    open_case(&c, &a);
    assert_int_equal(nb_table_of_blame(c.s.ctx, &a, 2, &t), NB_OK);
    assert_int_equal(nb_table_print_csv(t, &text), NB_OK);
    assert_int_equal(strncmp(text, "layer,kind,weight_bits,output_bits,divergence,share_percent,weights_db,", 71), 0);
    const char *first = strchr(text, '\n') + 1;
    assert_int_equal(strncmp(first, "c2,conv2d,3,8,", 14), 0);
    assert_null(strchr(strchr(strchr(first, '\n') + 1, '\n') + 1, '\n')); /* two rows */
    nb_free(c.s.ctx, text);
    nb_table_free(t);
    const nb_network_row rows[] = {{.name = "float", .score = &a.floats},
                                   {.name = "integers", .accuracy = 0.125, .loss = 2}};
    assert_int_equal(nb_table_of_networks(c.s.ctx, rows, 2, &t), NB_OK);
    assert_int_equal(nb_table_print_csv(t, &text), NB_OK);
    assert_non_null(strstr(text, "integers,12.5,2,,,,"));
    nb_free(c.s.ctx, text);
    nb_table_free(t);
    nb_analysis_free(&a);
    probe_case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layer_of_three_bits_is_blamed_and_others_are_negligible),
        cmocka_unit_test(local_errors_do_not_know_of_layers_before),
        cmocka_unit_test(a_shifted_bias_is_that_channels_mean_error_and_goes_when_corrected),
        cmocka_unit_test(who_watches_can_stop_it),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(tables_have_the_worst_first_and_blanks_where_nothing_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
