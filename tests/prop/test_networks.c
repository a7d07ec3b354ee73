/* test_networks.c - random networks, whole street: config -> graph -> a few training steps -> integers -> engine.
 *
 * For every seed: (1) no code of any engine step, fed with the float reference's codes, differs but by rounding, on 8
 * images, on others and on all: what rounding is, nb_verify says, and no share of codes counts; (2) the engine equals
 * the naive interpreter in tests/ref bit for bit; (3) lowering the same graph twice gives the same integers. Refused is
 * only what training blew up. The networks are those of tests/ref/random_network.c. */
#include "ref/random_network.h"
#include "ref/ref_engine.h"

#include <nibble/extend/block.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NETWORKS = 60, FOLDING = 12, IMAGES = 256, BATCH = REF_NETWORK_BATCH };

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
    int32_t images; /* to compare on */
    int64_t outputs, rounding;
    int32_t refused;
} totals;

static void check_against_graph(const ref_street *s, nb_graph *g, const nb_intmodel *m, const char *yaml, totals *t)
{
    nb_verify_report r;
    assert_int_equal(nb_verify(g, m, s->test, t->images, &r), NB_OK);
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        if (r.rows[i].faults)
            print_error("%s\n%s: %lld of %lld differ by no rounding, by up to %d\n", yaml, r.rows[i].name,
                        (long long)r.rows[i].faults, (long long)r.rows[i].outputs, r.rows[i].largest);
        assert_int_equal(r.rows[i].faults, 0);
        t->outputs += r.rows[i].outputs;
        t->rounding += r.rows[i].rounding;
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

/* corrected: with batch norms folded in every step; nothing when it has none. */
static void one_network(int32_t seed, bool corrected, totals *t)
{
    char *text = calloc(1, REF_NETWORK_BYTES);
    assert_non_null(text);
    ref_network_text(seed, text);
    if (corrected && !ref_network_fold_corrected(text)) {
        free(text);
        return;
    }
    ref_street s;
    ref_network_open(seed, text, &s);
    nb_status st = train_lower_and_compare(&s, text, t);
    if (st != NB_OK && st != NB_E_RANGE)
        print_error("%s\n%s\n", text, nb_ctx_error(s.ctx));
    assert_true(st == NB_OK || st == NB_E_RANGE);
    ref_street_close(&s);
    free(text);
    t->refused += st == NB_E_RANGE;
}

static void random_networks_are_the_same_in_floats_and_integers(void **state)
{
    (void)state;
    const char *from = getenv("NB_TEST_SEED"), *count = getenv("NB_TEST_NETWORKS");
    int32_t first = from ? atoi(from) : 0, n = count ? atoi(count) : NETWORKS;
    totals t = {.images = IMAGES};
    for (int32_t i = first; i < first + n; i++)
        one_network(i, false, &t);
    print_message("%lld of %lld codes differ by rounding, %d networks refused\n", (long long)t.rounding,
                  (long long)t.outputs, t.refused);
    assert_true((t.refused - 1) * 100 <= n); /* steps on noise blow some up to scales of 1e15; at most 1 %, or one */
}

static void so_are_those_that_fold_batch_norms_in_every_step(void **state)
{
    (void)state;
    totals t = {.images = 32};
    for (int32_t i = 1000; i < 1000 + FOLDING; i++)
        one_network(i, true, &t);
    print_message("%lld of %lld codes differ by rounding, %d networks refused\n", (long long)t.rounding,
                  (long long)t.outputs, t.refused);
    assert_true(t.outputs > 0 && t.refused <= 1);
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
    totals t = {.images = 16};
    for (int32_t i = 0; nb_blocks[i]; i++)
        for (int32_t k = 0; nb_blocks[i]->examples[k]; k++) {
            one_block(nb_blocks[i]->examples[k], false, &t);
            one_block(nb_blocks[i]->examples[k], true, &t);
        }
    assert_true(t.rounding * 1000 <= t.outputs);
}

/* The places in which a batch norm's channels are not those of the tensor behind it, or there is no accumulator. */
static void a_batch_norm_may_stand_anywhere(void **state)
{
    (void)state;
    static const char *const models[] = {
        "input, batchnorm, conv2d: {out: 4}, flatten, linear: {out: 4}",
        "input, conv2d: {out: 4}, relu, maxpool, flatten, batchnorm, linear: {out: 4}",
        "input, conv2d: {out: 4}, flatten, relu, batchnorm, relu, linear: {out: 4}",
        "input, conv2d: {out: 4}, flatten, batchnorm, batchnorm, linear: {out: 6}, batchnorm, linear: {out: 4}",
        "input, flatten, batchnorm, linear: {out: 4}",
        "input, conv2d: {out: 4}, avgpool: {kernel: 2}, batchnorm, flatten, linear: {out: 4}",
        "input, conv2d: {out: 4}, avgpool: {global: yes}, batchnorm, linear: {out: 4}",
        "input, conv2d: {out: 4}, avgpool: {global: yes}, flatten, batchnorm",
        "input, conv2d: {name: a, out: 3}, conv2d: {name: b, in: input1, out: 3}, add: {in: [a, b]}, batchnorm, relu, "
        "batchnorm, flatten, linear: {out: 4}",
        "input, conv2d: {name: a, out: 3}, conv2d: {name: b, in: input1, out: 2}, concat: {in: [a, b]}, batchnorm, "
        "flatten, linear: {out: 4}",
        "input, conv2d: {name: a, out: 3}, flatten: {name: r}, batchnorm: {name: n}, concat: {in: [n, r]}, batchnorm, "
        "linear: {out: 4}",
        "input, conv2d: {name: a, out: 3}, flatten: {name: r}, relu: {name: n}, add: {in: [r, n]}, concat: {in: [r, "
        "add1]}, batchnorm, linear: {out: 4}",
    };
    totals t = {.images = 32};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char yaml[1024];
        ref_street s;
        snprintf(yaml, sizeof yaml,
                 "data: {name: synth, count: 64, height: 7, width: 6, channels: 3, classes: 4}\nmodel: [%s]\n",
                 models[i]);
        nb_status st = ref_street_open(&s, yaml, BATCH, REF_FLOAT);
        if (st == NB_OK) {
            ref_network_disturb((int32_t)i, s.graph);
            st = nb_model_quantize(s.graph, s.exp.quant);
        }
        st = st == NB_OK ? train_lower_and_compare(&s, yaml, &t) : st;
        if (st != NB_OK)
            fail_msg("%s\n%s", yaml, nb_ctx_error(s.ctx));
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_networks_are_the_same_in_floats_and_integers),
        cmocka_unit_test(so_are_those_that_fold_batch_norms_in_every_step),
        cmocka_unit_test(every_example_of_every_block_is_the_same_in_floats_and_integers),
        cmocka_unit_test(a_batch_norm_may_stand_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
