/* test_profile.c - which tensors a profile has, and that its numbers are those of plain loops over all values of the float
 * network, run image by image. */
#include "ref/street.h"

#include <nibble/extend/fusion.h>

#include "analysis/profile.h"
#include "base/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, {conv2d: {name: c1, out: 6, pad: 1, bias: no}}, {batchnorm: {name: n1}}, relu,\n"                  \
    "  {resblock: {name: b, out: 6}}, dropout, {avgpool: {global: yes}}, {linear: {name: fc, out: 3}}]\n"              \
    "quant: {weights: {bits: 4}, activations: {bits: 4}, batchnorm: %s}\n"

enum { N = 37, BATCH = 16 };

static const int32_t sample[N] = {5,  60, 2,  3,  33, 40, 41, 7,  8,  1,  0,  62, 9,  10, 11, 12, 13, 14, 15,
                                  16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 63};

typedef struct {
    ref_street s;
    nb_graph *g; /* what would be rounded */
    nb_profile_formats formats;
} profile_case;

static void open_case(profile_case *c, const char *batchnorm)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, NET, batchnorm);
    assert_int_equal(ref_street_open(&c->s, yaml, BATCH, REF_FLOAT), NB_OK);
    ref_street_steps(&c->s, 6, 0.05f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = BATCH,
                                .quant = true,
                                .unrounded = true,
                                .plan = NB_PLAN_INFER,
                                .reference = true};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    assert_int_equal(nb_graph_open(c->s.ctx, &spec, &from, &c->g), NB_OK);
    assert_int_equal(nb_profile_formats_parse(c->s.ctx, "uniform,codebook,ternary", "3,8", &c->formats), NB_OK);
}

static void close_case(profile_case *c)
{
    nb_profile_formats_free(&c->formats);
    nb_graph_free(c->g);
    ref_street_close(&c->s);
}

static nb_profile_job job_of(const profile_case *c, bool channels)
{
    return (nb_profile_job){.graph = c->g,
                            .experiment = &c->s.exp,
                            .data = c->s.train,
                            .indices = sample,
                            .n = N,
                            .formats = &c->formats,
                            .channels = channels,
                            .target_db = 20};
}

static nb_profile *run(const profile_case *c, bool channels)
{
    nb_profile *p;
    const nb_profile_job job = job_of(c, channels);
    if (nb_profile_run(&job, &p) != NB_OK)
        fail_msg("%s", nb_ctx_error(c->s.ctx));
    return p;
}

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.17g, want %.17g", got, want);
}

/* What placement by the config rounds is what is listed, in any form of batch norm. */
static void tensors_are_those_that_fake_quant_nodes_round(void **state)
{
    (void)state;
    static const char *const norms[] = {"keep", "fold", "fold_corrected"};
    for (int i = 0; i < 3; i++) {
        profile_case c;
        nb_graph *quantized;
        open_case(&c, norms[i]);
        nb_profile *p = run(&c, false);
        const nb_graph_spec spec = {.experiment = &c.s.exp,
                                    .info = nb_data_info(c.s.train),
                                    .max_batch = 1,
                                    .quant = true,
                                    .plan = NB_PLAN_INFER};
        assert_int_equal(nb_graph_open(c.s.ctx, &spec, &(nb_params_source){0}, &quantized), NB_OK);
        int32_t n = 0;
        for (int32_t k = 0; k < quantized->n; k++)
            n += quantized->node[k]->op->role == NB_ROLE_QUANTIZER;
        assert_int_equal(p->n, n);
        for (int32_t k = 0; k < p->n; k++) {
            char name[64];
            snprintf(name, sizeof name, p->tensor[k].weights ? "%s.weight.fq" : "%s.fq", p->tensor[k].layer);
            if (i < 2 || !p->tensor[k].weights) /* folded in every step: the node that makes the weights has a name */
                assert_non_null(nb_graph_find(quantized, name));
        }
        nb_graph_free(quantized);
        nb_profile_free(p);
        close_case(&c);
    }
}

/* With fold_corrected what is rounded are weights times gamma / sigma: those that fold makes once. */
static void weights_that_are_rounded_folded_are_looked_at_folded(void **state)
{
    (void)state;
    profile_case once, always;
    open_case(&once, "fold");
    open_case(&always, "fold_corrected");
    nb_profile *a = run(&once, false), *b = run(&always, false);
    int32_t compared = 0;
    for (int32_t i = 0; i < a->n; i++)
        for (int32_t k = 0; a->tensor[i].weights && k < b->n; k++)
            if (b->tensor[k].weights && strcmp(a->tensor[i].layer, b->tensor[k].layer) == 0) {
                near(b->tensor[k].stats.extent.squares, a->tensor[i].stats.extent.squares, 1e-12);
                compared++;
            }
    assert_int_equal(compared, 4);
    nb_profile_free(a);
    nb_profile_free(b);
    close_case(&once);
    close_case(&always);
}

/* All values of a node over the sample: one image after the other, by another graph. */
static float *values_of(const profile_case *c, const char *name, int64_t *count)
{
    const nb_node *n = nb_graph_find(c->g, name);
    const int64_t each = nb_count(&n->out) / n->out.shape.d[0];
    const nb_dsinfo *d = nb_data_info(c->s.train);
    float *all = malloc((size_t)(N * each) * sizeof *all);
    uint8_t pixels[8 * 8 * 3];
    assert_int_equal(d->h * d->w * d->c, (int)sizeof pixels);
    nb_graph_set_batch(c->g, 1);
    for (int32_t i = 0; i < N; i++) {
        int32_t label;
        nb_data_get(c->s.train, sample[i], pixels, &label);
        for (int32_t s = 0; s < c->g->n_steps; s++) {
            nb_forward_step(c->g, s, &(nb_run){.pixels = pixels});
            if (c->g->step[s].node[0] == n)
                memcpy(all + i * each, n->out.data, (size_t)each * sizeof *all);
        }
    }
    nb_graph_set_batch(c->g, BATCH);
    *count = N * each;
    return all;
}

/* Squared error of all values on a grid with this scale, in double. */
static double error_on(const float *x, int64_t n, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double q = fmin(fmax(rint((double)(x[i] / scale)) + zero, lo), hi),
                     e = (double)x[i] - (double)scale * (q - zero);
        sum += e * e;
    }
    return sum;
}

static void compare(const nb_stats *got, const float *x, int64_t n, int64_t stride)
{
    const nb_stats want = nb_stats_of(x, n, stride);
    assert_true(got->extent.min == want.extent.min && got->extent.max == want.extent.max);
    assert_int_equal(got->extent.zeros, want.extent.zeros);
    assert_int_equal(got->outliers.beyond4, want.outliers.beyond4);
    near(nb_stats_mean(got), nb_stats_mean(&want), 1e-9);
    near(nb_stats_std(got), nb_stats_std(&want), 1e-10);
    near(got->moments.fourth, want.moments.fourth, 1e-10);
    near(got->moments.size, want.moments.size, 1e-10);
}

static void numbers_are_those_of_plain_loops_over_all_values(void **state)
{
    (void)state;
    profile_case c;
    open_case(&c, "keep");
    nb_profile *p = run(&c, true);
    for (int32_t i = 0; i < p->n; i++) {
        const nb_profile_tensor *t = &p->tensor[i];
        int64_t n;
        float *x = NULL;
        const nb_node *layer = nb_graph_find(c.g, t->layer);
        if (t->weights)
            n = nb_count(&layer->in[1]->out);
        else
            x = values_of(&c, t->layer, &n);
        const float *v = x ? x : layer->in[1]->out.data;
        assert_int_equal(t->stats.extent.n, n);
        compare(&t->stats, v, n, 1);
        for (int32_t k = 0; k < t->channels; k++)
            compare(&t->channel[k], t->weights ? v + k * (n / t->channels) : v + k, n / t->channels,
                    t->weights ? 1 : t->channels);
        for (int32_t k = 0; k < t->n_cells; k++) {
            const nb_profile_cell *cell = &t->cell[k];
            double sum = 0;
            for (int32_t ch = 0; ch < t->channels; ch++)
                sum += cell->channel[ch].noise;
            near(cell->all.noise, sum, 1e-12);
            if (cell->per_channel || cell->range == NB_PROFILE_OWN)
                continue;
            const int32_t bits = c.formats.of[cell->format].bits, hi = (1 << (bits - t->weights)) - 1;
            near(cell->all.noise, error_on(v, n, cell->scale, cell->zero, t->weights ? -hi : 0, hi), 1e-6);
            if (cell->range == NB_PROFILE_MINMAX) {
                const double ends = t->weights ? fmax(-t->stats.extent.min, t->stats.extent.max)
                                               : fmax(t->stats.extent.max, 0) - fmin(t->stats.extent.min, 0);
                near((double)cell->scale, ends / hi, 1e-6);
                assert_int_equal(cell->all.clipped, 0);
            }
        }
        free(x);
    }
    nb_profile_free(p);
    close_case(&c);
}

/* Every way to find scales does what it is there for: many are no worse than one (8 bits, ternary and
 * a handful of weights aside, where chance decides), k-means beats equal distances. */
static void more_freedom_costs_less(void **state)
{
    (void)state;
    profile_case c;
    open_case(&c, "fold");
    nb_profile *p = run(&c, false);
    for (int32_t i = 0; i < p->n; i++) {
        const nb_profile_tensor *t = &p->tensor[i];
        double best[4][2];
        for (int32_t f = 0; f < c.formats.n; f++)
            for (int32_t many = 0; many < 2; many++) {
                best[f][many] = INFINITY;
                for (int32_t k = 0; k < t->n_cells; k++)
                    if (t->cell[k].format == f && t->cell[k].per_channel == (many == 1))
                        best[f][many] = fmin(best[f][many], t->cell[k].all.noise);
                assert_true(many || f > 1 || isfinite(best[f][0]));
            }
        if (!t->weights) {
            assert_true(isinf(best[2][0]) && isinf(best[3][0])); /* for weights alone */
            continue;
        }
        for (int32_t f = 0; f < c.formats.n && t->stats.extent.n > 100; f += 2)
            if (!(best[f][1] <= 1.02 * best[f][0]))
                fail_msg("%s of %s: %g with many scales, %g with one", c.formats.of[f].name, t->layer, best[f][1],
                         best[f][0]);
        assert_true(best[2][1] < best[0][1]); /* codebook of 3 bits, uniform of 3 */
    }
    nb_profile_free(p);
    close_case(&c);
}

static void results_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int32_t before = nb_threads();
    profile_case c;
    open_case(&c, "keep");
    nb_set_threads(1);
    nb_profile *a = run(&c, true);
    nb_set_threads(3);
    nb_profile *b = run(&c, true);
    nb_set_threads(before);
    for (int32_t i = 0; i < a->n; i++) {
        assert_memory_equal(&a->tensor[i].stats, &b->tensor[i].stats, sizeof a->tensor[i].stats);
        assert_memory_equal(a->tensor[i].channel, b->tensor[i].channel,
                            (size_t)a->tensor[i].channels * sizeof *a->tensor[i].channel);
        for (int32_t k = 0; k < a->tensor[i].n_cells; k++) {
            const nb_profile_cell *x = &a->tensor[i].cell[k], *y = &b->tensor[i].cell[k];
            assert_memory_equal(&x->all, &y->all, sizeof x->all);
            assert_true(x->predicted == y->predicted);
            if (x->count)
                assert_memory_equal(x->count, y->count, (size_t)x->n_codes * sizeof *x->count);
        }
    }
    nb_profile_free(a);
    nb_profile_free(b);
    close_case(&c);
}

static void what_cannot_be_profiled_is_named(void **state)
{
    (void)state;
    profile_case c;
    nb_profile *p = NULL;
    open_case(&c, "keep");
    nb_profile_job job = job_of(&c, false);
    job.layer = "c9";
    assert_int_equal(nb_profile_run(&job, &p), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(c.s.ctx), "c9: there is no layer of this name"));
    job.layer = "b.c1";
    assert_int_equal(nb_profile_run(&job, &p), NB_OK);
    assert_int_equal(p->n, 1);
    nb_profile_free(p);
    job = job_of(&c, false);
    job.n = 0;
    assert_int_equal(nb_profile_run(&job, &p), NB_OK);
    assert_int_equal(p->n, 4);
    nb_profile_free(p);
    job = job_of(&c, false);
    ((float *)nb_graph_find(c.g, "n1.gamma")->out.data)[2] = INFINITY;
    assert_int_equal(nb_profile_run(&job, &p), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(c.s.ctx), "what comes out of relu1: a value is not a finite number"));
    ((float *)nb_graph_find(c.g, "b.c1")->in[1]->out.data)[7] = NAN;
    assert_int_equal(nb_profile_run(&job, &p), NB_E_DIVERGED);
    assert_non_null(strstr(nb_ctx_error(c.s.ctx), "the weights of b.c1"));
    close_case(&c);
}

static void without_memory_it_fails_and_leaks_nothing(void **state)
{
    (void)state;
    profile_case c;
    nb_profile *p = NULL;
    open_case(&c, "keep");
    const nb_profile_job job = job_of(&c, true);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n += n < 60 ? 1 : 23) {
        nb_ctx_fail_alloc_at(c.s.ctx, n);
        st = nb_profile_run(&job, &p);
        nb_ctx_fail_alloc_at(c.s.ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
    }
    nb_profile_free(p);
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_those_that_fake_quant_nodes_round),
        cmocka_unit_test(weights_that_are_rounded_folded_are_looked_at_folded),
        cmocka_unit_test(numbers_are_those_of_plain_loops_over_all_values),
        cmocka_unit_test(more_freedom_costs_less),
        cmocka_unit_test(results_do_not_depend_on_threads),
        cmocka_unit_test(what_cannot_be_profiled_is_named),
        cmocka_unit_test(without_memory_it_fails_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
