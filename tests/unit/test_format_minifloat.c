/* test_format_minifloat.c - small floats against ml_dtypes on every float16, what is integers among them, and networks of them. */
#include "ref/street.h"

#include "base/safetensors.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/must_refuse.h"

static const char *const names[] = {"fp4", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2"};
enum { FORMATS = 5 };

/* A float16 by its bits; infinity and NaN as themselves. */
static float half(uint32_t bits)
{
    const int32_t e = (int32_t)(bits >> 10 & 31), m = (int32_t)(bits & 1023);
    const float size = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(1024 + m), e - 25) : ldexpf((float)m, -24);
    return bits >> 15 ? -size : size;
}

static nb_grid grid_of(const char *name, float *real)
{
    int8_t unused[256];
    const nb_format *f = nb_registry_find(nb_formats, name);
    nb_grid g = nb_grid_of(f, f->attr, f->width(f->attr), NB_SCHEME_ASYMMETRIC, false, unused);
    nb_grid_take_reals(&g, real);
    return g;
}

static const float *golden(const nb_st_file *f, const char *name, const char *what, int64_t *n)
{
    char key[32];
    snprintf(key, sizeof key, "%s.%s", name, what);
    const nb_st_tensor *t = nb_st_find(f, key);
    assert_non_null(t);
    *n = t->shape[0];
    return t->data;
}

static void every_half_is_rounded_as_ml_dtypes_does(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_st_file *file;
    assert_int_equal(nb_st_open(ctx, "tests/golden/minifloat.safetensors", &file), NB_OK);
    for (int32_t i = 0; i < FORMATS; i++) {
        int64_t n, also;
        const float *level = golden(file, names[i], "level", &n), *first = golden(file, names[i], "first", &also);
        float real[256];
        nb_kreals t;
        const nb_grid g = grid_of(names[i], real);
        assert_int_equal(g.n_levels, n);
        nb_k_reals(&t, g.real, g.n_levels);
        const float scale = level[n - 1] / real[n - 1]; /* a power of two */
        for (int64_t k = 0; k < n; k++)
            assert_true(real[k] * scale == level[k]);
        for (uint32_t bits = 0; bits < 65536; bits++) {
            const float x = half(bits);
            float y;
            uint8_t inside;
            int64_t want = n - 1;
            while (want > 0 && !(x >= first[want]))
                want--;
            nb_k_quantize_reals(&y, &inside, &x, 1, scale, &t);
            if (isnan(x)) {
                assert_true(y == 0.0f && !inside);
                continue;
            }
            assert_true(y == level[want]);
            assert_true(scale * nb_grid_round(&g, x / scale) == y);
            const float reach = level[n - 1] + 0.5f * (level[n - 1] - level[n - 2]);
            assert_int_equal(inside, fabsf(x) <= reach);
        }
    }
    nb_st_close(ctx, file);
    nb_ctx_destroy(ctx);
}

static void weights_are_integers_where_the_smallest_step_allows(void **state)
{
    (void)state;
    static const int8_t four[] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
    int8_t level[256];
    for (int32_t i = 0; i < FORMATS; i++) {
        float real[256];
        const nb_grid g = grid_of(names[i], real);
        const int32_t n = g.format->levels(g.format_attr, g.bits, level);
        assert_int_equal(n, i < 2 ? g.n_levels : 0);
        for (int32_t k = 0; k < n; k++)
            assert_true((float)level[k] == real[k] * (float)level[n - 1] / real[n - 1]);
        if (i == 0)
            assert_memory_equal(level, four, sizeof four);
    }
}

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3}, batchnorm, relu, conv2d: {name: d, out: 6, kernel: 3},\n"    \
    "  relu, flatten, linear: {name: fc, out: 3}]\n"                                                                   \
    "quant: {%s}\n"

static nb_status open_net(ref_street *s, const char *quant)
{
    char text[1024];
    snprintf(text, sizeof text, NET, quant);
    return ref_street_open(s, text, 8, REF_QUANTIZED);
}

static void weights_of_four_bits_are_lowered(void **state)
{
    (void)state;
    ref_street s;
    nb_intmodel *m;
    assert_int_equal(open_net(&s, "first_last_bits: 0, weights: {format: fp4, range: mse}"), NB_OK);
    assert_null(nb_graph_about(s.graph).simulated);
    ref_street_steps(&s, 3, 0.05f, false);
    assert_int_equal(nb_lower(s.graph, "", &m), NB_OK);
    assert_int_equal(nb_graph_find(s.graph, "d.weight.fq")->out.q->n_levels, 15);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

static void values_of_a_network_are_its_levels_and_learned_scales_move(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        open_net(&s,
                 "weights: {format: fp8_e4m3, learn: lsq}, activations: {format: fp8_e5m2, learn: lsq, range: mse}"),
        NB_OK);
    const nb_graph_facts about = nb_graph_about(s.graph);
    assert_string_equal(about.simulated, "activations of input1: format fp8_e5m2 with 8 bits does not fit -127..127");
    ref_street_steps(&s, 1, 0.05f, false);
    const nb_node *w = nb_graph_find(s.graph, "d.weight.fq"), *a = nb_graph_find(s.graph, "relu1.fq");
    const float before = ((float *)a->in[2]->out.data)[0], before_w = ((float *)w->in[2]->out.data)[3];
    ref_street_steps(&s, 3, 0.05f, false);
    assert_true(((float *)a->in[2]->out.data)[0] != before && ((float *)w->in[2]->out.data)[3] != before_w);
    float real[256];
    const nb_grid g = grid_of("fp8_e4m3", real);
    for (int64_t i = 0; i < nb_count(&w->out); i++) { /* weights and scales have moved since: values are levels still */
        const float scale = w->out.q->scale[i / (nb_count(&w->out) / w->out.q->n)];
        const float v = ((const float *)w->out.data)[i] / scale;
        assert_true(fabsf(v - nb_grid_round(&g, v)) <= 1e-5f * fabsf(v));
    }
    ref_street_close(&s);
}

static void refuses(const char *quant, const char *why)
{
    ref_street s;
    must_refuse(open_net(&s, quant), &s, why);
}

static void what_cannot_be_is_refused_in_words(void **state)
{
    (void)state;
    refuses("weights: {format: fp4, bits: 8}",
            "quant.weights: bits: 8: format fp4 has codes of 4 bits: leave bits out");
    refuses("activations: {format: fp8_e4m3, scheme: unsigned}", "scheme: codes of format fp8_e4m3 have a sign");
    refuses("weights: {format: minifloat, exponent: 5, mantissa: 4}",
            "sign, exponent and mantissa are more than 8 bits");
    refuses("layers: {d: {weights: {format: fp6_e3m2, bits: 4}}}", "bits: 4: format fp6_e3m2 has codes of 6 bits");
}

/* General keys of a format hold in a layer that changes something else; first and last layer keep their width. */
static void a_layer_refines_the_general_format(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        open_net(&s, "weights: {format: minifloat, exponent: 3, mantissa: 1}, layers: {d: {weights: {range: mse}}}"),
        NB_OK);
    const nb_fakequant_attr *d = nb_graph_find(s.graph, "d.weight.fq")->attr;
    const nb_fakequant_attr *c = nb_graph_find(s.graph, "c.weight.fq")->attr;
    assert_int_equal(d->bits, 5);
    assert_string_equal(d->range->name, "mse");
    assert_string_equal(c->format->name, "uniform");
    assert_int_equal(c->bits, 8);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_rounded_as_ml_dtypes_does),
        cmocka_unit_test(weights_are_integers_where_the_smallest_step_allows),
        cmocka_unit_test(weights_of_four_bits_are_lowered),
        cmocka_unit_test(values_of_a_network_are_its_levels_and_learned_scales_move),
        cmocka_unit_test(what_cannot_be_is_refused_in_words),
        cmocka_unit_test(a_layer_refines_the_general_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
