/* test_networks.c - random networks, whole street: config -> graph -> a few training steps -> integers -> engine.
 *
 * For every seed: (1) each engine step fed with the float reference's codes is off by at most one code, in under 0.5 %
 * of the outputs; (2) the engine equals the naive interpreter in tests/ref bit for bit; (3) lowering the same graph
 * twice gives the same integers. The networks have odd sizes, residual adds, concats, depthwise and grouped
 * convolutions, both pools, dilation, batch norms with gamma < 0, ~0 and 0, 2..8 bits. */
#include "ref/ref_engine.h"
#include "ref/street.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NETWORKS = 60, YAML_BYTES = 8192, BATCH = 8 };

typedef struct {
    nb_rng rng;
    char *text;
    size_t at;
    int32_t h, w, c, layer;
} writer;

static int32_t pick(writer *w, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(&w->rng, (uint32_t)(hi - lo + 1));
}

static void put(writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(w->text + w->at, YAML_BYTES - w->at, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && w->at + (size_t)n < YAML_BYTES);
    w->at += (size_t)n;
}

static void maybe_norm_and_relu(writer *w)
{
    if (pick(w, 0, 2))
        put(w, "  - batchnorm\n");
    if (pick(w, 0, 2))
        put(w, pick(w, 0, 3) ? "  - relu\n" : "  - relu: {cap: 2}\n");
}

static void conv(writer *w)
{
    int32_t k = pick(w, 0, 2) ? 3 : 1, d = k == 3 ? pick(w, 1, 2) : 1, pad = k == 3 ? d : pick(w, 0, 1);
    int32_t stride = w->h > 6 && w->w > 6 ? pick(w, 1, 2) : 1, out = pick(w, 1, 20), groups = 1;
    if (w->c % 2 == 0 && pick(w, 0, 3) == 0) {
        groups = 2;
        out += out % 2;
    }
    put(w, "  - conv2d: {out: %d, kernel: %d, stride: %d, pad: %d, dilation: %d, groups: %d, bias: %s}\n", out, k,
        stride, pad, d, groups, pick(w, 0, 1) ? "yes" : "no");
    w->h = (w->h + 2 * pad - d * (k - 1) - 1) / stride + 1;
    w->w = (w->w + 2 * pad - d * (k - 1) - 1) / stride + 1;
    w->c = out;
    maybe_norm_and_relu(w);
}

static void depthwise(writer *w)
{
    put(w, "  - dwconv2d: {kernel: 3, pad: 1, bias: %s}\n", pick(w, 0, 1) ? "yes" : "no");
    maybe_norm_and_relu(w);
}

static void pool(writer *w)
{
    if (w->h < 4 || w->w < 4)
        return;
    int32_t pad = pick(w, 0, 1);
    if (pick(w, 0, 1)) {
        put(w, "  - maxpool: {kernel: 3, stride: 2, pad: %d}\n", pad);
        w->h = (w->h + 2 * pad - 3) / 2 + 1;
        w->w = (w->w + 2 * pad - 3) / 2 + 1;
    } else {
        put(w, "  - avgpool: {kernel: 2}\n");
        w->h = (w->h - 2) / 2 + 1;
        w->w = (w->w - 2) / 2 + 1;
    }
}

/* Two branches off a conv: joined by add (same channels) or concat. */
static void join(writer *w)
{
    int32_t id = w->layer++, out = pick(w, 2, 9), other = pick(w, 0, 1) ? out : pick(w, 1, 9);
    put(w, "  - conv2d: {name: j%d, out: %d, kernel: 3, pad: 1}\n", id, out);
    put(w, "  - conv2d: {name: j%da, in: j%d, out: %d, kernel: 1, bias: no}\n  - batchnorm: {name: j%dn}\n", id, id,
        other, id);
    put(w, "  - %s: {in: [j%d, j%dn]}\n", other == out && pick(w, 0, 1) ? "add" : "concat", id, id);
    bool added = strstr(w->text + w->at - 40, "- add") != NULL;
    w->c = added ? out : out + other;
    if (pick(w, 0, 1))
        put(w, "  - relu\n");
}

static void write_network(writer *w)
{
    w->h = pick(w, 5, 12);
    w->w = pick(w, 5, 12);
    w->c = pick(w, 0, 1) ? 3 : 1;
    put(w,
        "seed: %d\ndata: {name: synth, count: 64, height: %d, width: %d, channels: %d, classes: 4}\nmodel:\n  - "
        "input\n",
        pick(w, 1, 1000), w->h, w->w, w->c);
    conv(w);
    for (int32_t i = 0, n = pick(w, 1, 5); i < n; i++) {
        static void (*const kinds[])(writer *) = {conv, depthwise, pool, join};
        kinds[pick(w, 0, 3)](w);
    }
    put(w, pick(w, 0, 1) ? "  - avgpool: {global: yes}\n" : "  - flatten\n");
    put(w, "  - linear: {out: 4}\n");
    static const char *const schemes[] = {"asymmetric", "symmetric", "unsigned"};
    put(w, "quant:\n  weights: {bits: %d, granularity: %s}\n  activations: {bits: %d, scheme: %s}\n", pick(w, 2, 8),
        pick(w, 0, 1) ? "channel" : "tensor", pick(w, 2, 8), schemes[pick(w, 0, 2)]);
    put(w, "  first_last_bits: %d\n  output_bits: %d\n  batchnorm: %s\n", pick(w, 0, 1) ? 8 : 0, pick(w, 0, 1) ? 8 : 0,
        pick(w, 0, 1) ? "keep" : "fold");
}

/* Batch norms as training seldom leaves them: negative, zero and nearly zero gamma. */
static void disturb(nb_graph *g, writer *w)
{
    for (int32_t i = 0; i < g->n; i++) {
        const char *dot = strrchr(g->node[i]->name, '.');
        if (!dot || strcmp(dot, ".gamma") != 0)
            continue;
        float *gamma = g->node[i]->out.data;
        for (int64_t c = 0; c < nb_count(&g->node[i]->out); c++) {
            static const float odd[] = {0, 1e-12f, -1e-3f};
            int32_t kind = pick(w, 0, 7);
            gamma[c] = kind < 3 ? odd[kind] : kind < 5 ? -gamma[c] : gamma[c];
        }
    }
}

static void check_against_interpreter(const ref_street *s, const nb_intmodel *m)
{
    const nb_dsinfo *info = nb_data_info(s->test);
    uint8_t *pixels = calloc(1, (size_t)info->h * (size_t)info->w * (size_t)info->c);
    void *arena = nb_alloc(s->ctx, nb_engine_arena_bytes(&m->e));
    assert_true(pixels && arena);
    for (int32_t i = 0; i < 3; i++) {
        int32_t label;
        nb_data_get(s->test, i, pixels, &label);
        ref_values v = ref_engine_run(&m->e, pixels);
        for (int32_t step = 0; step < m->e.n_steps; step++)
            assert_true(
                ref_engine_equal(&m->e, &v, m->e.steps[step].out, nb_engine_run_step(&m->e, arena, step, pixels)));
        ref_values_free(&v);
    }
    nb_free(s->ctx, arena);
    free(pixels);
}

typedef struct {
    int64_t outputs, differ;
    int32_t refused;
} totals;

static void check_against_graph(const ref_street *s, nb_graph *g, const nb_intmodel *m, const char *yaml, totals *t)
{
    nb_verify_report r;
    assert_int_equal(nb_verify(g, m, s->test, 16, &r), NB_OK);
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        if (r.rows[i].differ2)
            print_error("%s\n%s: %lld of %lld differ, by %d\n", yaml, r.rows[i].name, (long long)r.rows[i].differ,
                        (long long)r.rows[i].outputs, r.rows[i].largest);
        assert_int_equal(r.rows[i].differ2, 0);
        /* a unit of int32 logits can be finer than what a float resolves: there, only the size counts */
        if (m->e.tensors[m->e.steps[i].out].type == NB_EI_S32)
            continue;
        t->outputs += r.rows[i].outputs;
        t->differ += r.rows[i].differ;
    }
    nb_free(s->ctx, r.rows);
}

/* s.graph is quantized: a few steps, then integers that agree with the graph and with the interpreter. Lowering may
 * refuse. */
static nb_status train_lower_and_compare(ref_street *s, const char *yaml, totals *t)
{
    ref_street_steps(s, 3, 0.01f, false);
    nb_graph *g;
    assert_int_equal(ref_street_copy(s, BATCH, REF_QUANTIZED, &g), NB_OK);
    nb_intmodel *m = NULL, *again = NULL;
    nb_status st = nb_lower(g, "", &m);
    if (st == NB_OK) {
        check_against_graph(s, g, m, yaml, t);
        check_against_interpreter(s, m);
        assert_int_equal(nb_lower(g, "", &again), NB_OK); /* the graph was only read: same integers after it ran */
    }
    for (int32_t i = 0; st == NB_OK && i < m->e.n_steps; i++)
        if (m->e.steps[i].kind == NB_STEP_CONV)
            assert_memory_equal(m->e.steps[i].bias, again->e.steps[i].bias, (size_t)m->e.steps[i].geom.oc * 4);
    nb_intmodel_free(s->ctx, m);
    nb_intmodel_free(s->ctx, again);
    nb_graph_free(g);
    return st;
}

/* Lowering may refuse: a bias in units of next to nothing cannot be proven to fit. */
static void one_network(int32_t seed, totals *t)
{
    writer w = {.rng = nb_rng_make(0x6e657473, (uint64_t)seed), .text = calloc(1, YAML_BYTES)};
    assert_non_null(w.text);
    write_network(&w);
    ref_street s;
    nb_status st = ref_street_open(&s, w.text, BATCH, REF_FLOAT);
    if (st == NB_OK) {
        disturb(s.graph, &w);
        st = nb_model_quantize(s.graph, s.exp.quant);
    }
    if (st != NB_OK)
        print_error("%s\n%s\n", w.text, nb_ctx_error(s.ctx));
    assert_int_equal(st, NB_OK);
    st = train_lower_and_compare(&s, w.text, t);
    if (st != NB_OK && st != NB_E_RANGE)
        print_error("%s\n%s\n", w.text, nb_ctx_error(s.ctx));
    assert_true(st == NB_OK || st == NB_E_RANGE);
    ref_street_close(&s);
    free(w.text);
    t->refused += st == NB_E_RANGE;
}

static void random_networks_are_the_same_in_floats_and_integers(void **state)
{
    (void)state;
    const char *from = getenv("NB_TEST_SEED"), *count = getenv("NB_TEST_NETWORKS");
    int32_t first = from ? atoi(from) : 0, n = count ? atoi(count) : NETWORKS;
    totals t = {0};
    for (int32_t i = first; i < first + n; i++)
        one_network(i, &t);
    assert_true(t.refused * 50 <= n); /* at most 2 % */
    print_message("%lld of %lld codes differ by one, %d networks refused\n", (long long)t.differ, (long long)t.outputs,
                  t.refused);
    assert_true(t.differ * 1000 <= t.outputs); /* at most 0.1 %: ties, which floats send to even and integers up */
}

/* Keeps and folds batch norm, per channel and per tensor. */
static void one_block(const char *example, bool fold, totals *t)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml,
             "data: {name: synth, count: 64, height: 9, width: 7, channels: 3, classes: 4}\n"
             "model: [input, conv2d: {out: 8, kernel: 3, pad: 1}, batchnorm, relu, %s, avgpool: {global: yes}, linear: "
             "{out: 4}]\n"
             "quant: {weights: {bits: 8, granularity: %s}, batchnorm: %s}\n",
             example, fold ? "tensor" : "channel", fold ? "fold" : "keep");
    ref_street s;
    nb_status st = ref_street_open(&s, yaml, BATCH, REF_QUANTIZED);
    st = st == NB_OK ? train_lower_and_compare(&s, yaml, t) : st;
    if (st != NB_OK)
        print_error("%s\n%s\n", yaml, nb_ctx_error(s.ctx));
    assert_int_equal(st, NB_OK);
    ref_street_close(&s);
}

static void every_example_of_every_block_is_the_same_in_floats_and_integers(void **state)
{
    (void)state;
    totals t = {0};
    for (int32_t i = 0; nb_blocks[i]; i++)
        for (int32_t k = 0; nb_blocks[i]->examples[k]; k++) {
            one_block(nb_blocks[i]->examples[k], false, &t);
            one_block(nb_blocks[i]->examples[k], true, &t);
        }
    assert_true(t.differ * 1000 <= t.outputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_networks_are_the_same_in_floats_and_integers),
        cmocka_unit_test(every_example_of_every_block_is_the_same_in_floats_and_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
