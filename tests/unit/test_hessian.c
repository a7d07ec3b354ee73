/* test_hessian.c - traces of Hessians: in closed form for softmax regression, weight by weight for a small network; what a
 * measurement leaves behind. */
#include "analysis/hessian.h"
#include "ref/street.h"

#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATA "seed: 3\ndata: {name: synth, count: 64, test_count: 32, height: 6, width: 6, channels: 1, classes: 3}\n"

enum { IMAGES = 10, VECTORS = 200 };

static const char regression[] = DATA "model: [input, flatten, linear: {name: fc, out: 3}]\n";
static const char network[] =
    DATA "model: [input, conv2d: {name: c1, out: 3, kernel: 3, pad: 1}, batchnorm, avgpool: {kernel: 2},"
         " conv2d: {name: c2, out: 2, kernel: 2}, flatten, linear: {name: fc, out: 3}]\n";

static void open_case(ref_street *s, const char *yaml, int32_t batch)
{
    if (ref_street_open(s, yaml, batch, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    ref_street_steps(s, 6, 0.05f, false);
}

static nb_images first(const ref_street *s, int32_t n)
{
    return (nb_images){.data = s->train, .n = n};
}

static void traces(ref_street *s, nb_hessian_row *rows, int32_t n, int32_t vectors)
{
    const nb_images images = first(s, IMAGES);
    assert_int_equal(nb_hessian_traces(s->graph, rows, n, &images, vectors, NULL), NB_OK);
}

static void assert_estimates(const nb_hessian_row *row, double want)
{
    if (!(fabs(row->trace - want) < 4 * row->error + 1e-3 * want) || !(row->error < 0.15 * want))
        fail_msg("%s: trace %g, must be %g, standard error %g", row->leaf, row->trace, want, row->error);
}

/* Of softmax regression: by weight (c, i) the mean of p_c (1 - p_c) x_i^2. */
static void softmax_regression_has_the_trace_of_its_formula(void **state)
{
    ref_street s;
    double by_weights = 0;
    (void)state;
    open_case(&s, regression, IMAGES);
    const nb_dsinfo *d = nb_data_info(s.train);
    for (int32_t k = 0; k < IMAGES; k++) {
        uint8_t pixels[IMAGES * 36];
        int32_t label[IMAGES] = {0};
        double x2 = 0, sum = 0, spread = 0;
        nb_data_get(s.train, k, pixels, label);
        for (int32_t i = 0; i < 36; i++) {
            const double x = (pixels[i] / 255.0 - (double)d->mean[0]) / (double)d->std[0];
            x2 += x * x;
        }
        nb_graph_set_batch(s.graph, 1);
        nb_forward(s.graph, &(nb_run){.pixels = pixels, .labels = label});
        const float *z = nb_graph_logits(s.graph);
        for (int32_t c = 0; c < 3; c++)
            sum += exp((double)z[c]);
        for (int32_t c = 0; c < 3; c++)
            spread += exp((double)z[c]) / sum * (1 - exp((double)z[c]) / sum);
        by_weights += spread * x2 / IMAGES;
    }
    nb_hessian_row row = {.leaf = "fc.weight"};
    traces(&s, &row, 1, VECTORS);
    assert_int_equal(row.n, 3 * 36);
    assert_estimates(&row, by_weights);
    ref_street_close(&s);
}

/* The gradient of a leaf's i-th value over all images. */
static double slope(ref_street *s, const nb_node *leaf, int64_t i)
{
    uint8_t pixels[IMAGES * 36];
    int32_t labels[IMAGES];
    for (int32_t k = 0; k < IMAGES; k++)
        nb_data_get(s->train, k, pixels + k * 36, &labels[k]);
    const nb_run r = {.pixels = pixels, .labels = labels};
    nb_forward(s->graph, &r);
    nb_backward(s->graph, &r);
    return (double)leaf->out.grad[i];
}

/* Every weight of the network alone: the second derivative is what its gradient changes by. */
static void every_layer_has_the_sum_of_its_second_derivatives(void **state)
{
    static const char *const name[] = {"c1.weight", "c2.weight", "fc.weight"};
    ref_street s;
    double want[3] = {0};
    nb_hessian_row rows[3];
    (void)state;
    open_case(&s, network, IMAGES);
    for (int32_t l = 0; l < 3; l++) {
        const nb_node *leaf = nb_graph_find(s.graph, name[l]);
        float *w = leaf->out.data;
        rows[l] = (nb_hessian_row){.leaf = name[l]};
        for (int64_t i = 0; i < nb_count(&leaf->out); i++) {
            const float was = w[i], h = 0x1p-8f;
            w[i] = was + h;
            const double above = slope(&s, leaf, i);
            w[i] = was - h;
            const double below = slope(&s, leaf, i);
            w[i] = was;
            want[l] += (above - below) / (2 * (double)h);
        }
    }
    traces(&s, rows, 3, VECTORS);
    for (int32_t l = 0; l < 3; l++)
        assert_estimates(&rows[l], want[l]);
    ref_street_close(&s);
}

static void threads_do_not_matter_and_nothing_is_left_behind(void **state)
{
    nb_hessian_row rows[2];
    (void)state;
    for (int32_t i = 0; i < 2; i++) {
        ref_street s;
        float before[27];
        nb_set_threads(i ? 3 : 1);
        open_case(&s, network, IMAGES);
        const float *w = nb_graph_find(s.graph, "c1.weight")->out.data;
        memcpy(before, w, sizeof before);
        rows[i] = (nb_hessian_row){.leaf = "c1.weight"};
        traces(&s, &rows[i], 1, 3);
        assert_memory_equal(before, w, sizeof before);
        ref_street_close(&s);
    }
    assert_true(rows[0].trace == rows[1].trace && rows[0].error == rows[1].error);
    nb_set_threads(1);
}

/* The weights as they were drawn, on ten images at once and in batches of 4, 4 and 2. */
static void a_short_batch_counts_as_many_images_as_it_has(void **state)
{
    static const int32_t batch[] = {IMAGES, 4};
    nb_hessian_row rows[2];
    (void)state;
    for (int32_t i = 0; i < 2; i++) {
        ref_street s;
        assert_int_equal(ref_street_open(&s, network, batch[i], REF_FLOAT), NB_OK);
        ref_street_steps(&s, 0, 0, false);
        rows[i] = (nb_hessian_row){.leaf = "c2.weight"};
        traces(&s, &rows[i], 1, 4);
        assert_int_equal(s.graph->batch, batch[i]);
        ref_street_close(&s);
    }
    assert_float_equal(rows[0].trace, rows[1].trace, 1e-3 * fabs(rows[0].trace));
}

static void a_cost_is_half_the_mean_trace_times_the_squared_error(void **state)
{
    (void)state;
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = 2}, 0.5) == 0.125);
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = 2, .error = 0.9}, 0.5) == 0.125);
    assert_true(nb_hessian_cost(&(nb_hessian_row){0}, 0.5) == 0);
}

static void a_trace_that_may_be_0_by_chance_costs_what_it_may_well_be(void **state)
{
    (void)state;
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = 1, .error = 1}, 0.5) == 0.1875);
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = -1, .error = 2}, 0.5) == 0.1875);
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = -9, .error = 2}, 0.5) == 0.125);
    assert_true(nb_hessian_cost(&(nb_hessian_row){.n = 4, .trace = -2}, 0.5) > 0);
}

static void weights_that_are_no_numbers_are_refused(void **state)
{
    ref_street s;
    nb_hessian_row row = {.leaf = "fc.weight"};
    (void)state;
    open_case(&s, network, IMAGES);
    ((float *)nb_graph_find(s.graph, "c1.weight")->out.data)[0] = NAN;
    const nb_images images = first(&s, IMAGES);
    assert_int_equal(nb_hessian_traces(s.graph, &row, 1, &images, 2, NULL), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "the gradient of fc.weight is no number"));
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_regression_has_the_trace_of_its_formula),
        cmocka_unit_test(every_layer_has_the_sum_of_its_second_derivatives),
        cmocka_unit_test(threads_do_not_matter_and_nothing_is_left_behind),
        cmocka_unit_test(a_short_batch_counts_as_many_images_as_it_has),
        cmocka_unit_test(a_cost_is_half_the_mean_trace_times_the_squared_error),
        cmocka_unit_test(a_trace_that_may_be_0_by_chance_costs_what_it_may_well_be),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
    };
    return cmocka_run_group_tests_name("hessian", tests, NULL, NULL);
}
