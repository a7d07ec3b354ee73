/* test_verify.c - the engine against the graph (verify.c), and what counts as rounding (judge.c). */
#include "ref/street.h"

#include <nibble/extend/quant.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/fakequant.h"

#define DATA "seed: 3\ndata: {name: synth, count: 64, height: 8, width: 6, channels: 3, classes: 4}\n"
#define JOINED                                                                                                         \
    DATA "model: [input, conv2d: {name: c, out: 6, kernel: 3, pad: 1}, batchnorm: {name: b}, relu,"                    \
         " conv2d: {name: d, out: 6, kernel: 1}, add: {name: a, in: [relu1, d]}, concat: {name: k, in: [a, d]},"       \
         " maxpool: {name: m, kernel: 2}, avgpool: {name: p, kernel: 2}, flatten, batchnorm: {name: f},"               \
         " linear: {name: l, out: 4}]\n"

typedef struct {
    ref_street s;
    nb_graph *g;
    nb_intmodel *m;
} network;

static void open_network(network *n, const char *yaml)
{
    nb_status st = ref_street_open(&n->s, yaml, 8, REF_QUANTIZED);
    if (st == NB_OK) {
        ref_street_steps(&n->s, 6, 0.05f, false);
        st = ref_street_copy(&n->s, 8, REF_QUANTIZED, &n->g);
    }
    if (st == NB_OK)
        st = nb_lower(n->g, "", &n->m);
    if (st != NB_OK)
        fail_msg("%s", nb_ctx_error(n->s.ctx));
}

static void close_network(network *n)
{
    nb_intmodel_free(n->s.ctx, n->m);
    nb_graph_free(n->g);
    ref_street_close(&n->s);
}

static nb_verify_row row_of(network *n, int32_t images, const char *name)
{
    nb_verify_report r;
    nb_verify_row row = {0};
    if (nb_verify(n->g, n->m, n->s.test, images, &r) != NB_OK)
        fail_msg("%s", nb_ctx_error(n->s.ctx));
    for (int32_t i = 0; i < n->m->e.n_steps; i++)
        if (strcmp(r.rows[i].name, name) == 0)
            row = r.rows[i];
    nb_free(n->s.ctx, r.rows);
    assert_true(row.outputs > 0);
    return row;
}

static int64_t all_faults(network *n, int32_t images)
{
    int64_t faults = 0;
    for (int32_t i = 0; i < n->m->e.n_steps; i++)
        faults += row_of(n, images, n->m->steps[i].name).faults;
    return faults;
}

/* The step in memory that may be written to. */
static nb_estep *step_of(network *n, const char *name)
{
    for (int32_t i = 0; i < n->m->e.n_steps; i++)
        if (strcmp(n->m->steps[i].name, name) == 0)
            return (nb_estep *)(uintptr_t)&n->m->e.steps[i];
    fail_msg("no step %s", name);
    return NULL;
}

static const nb_sinfo *info_of(network *n, const char *name)
{
    return &n->m->steps[step_of(n, name) - n->m->e.steps];
}

static int32_t *writable(const int32_t *p)
{
    return (int32_t *)(uintptr_t)p;
}

static void a_sound_network_has_no_faults_on_8_32_and_256_images(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    assert_int_equal(all_faults(&n, 8), 0);
    assert_int_equal(all_faults(&n, 32), 0);
    assert_int_equal(all_faults(&n, 256), 0);
    assert_int_equal(n.g->batch, n.g->max_batch);
    close_network(&n);
}

/* As of a block that has died: what its sum was while ranges were found is next to nothing, its inputs are not. */
static void a_sum_that_is_next_to_nothing_is_lowered_and_saturates(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED "quant: {layers: {a: {activations: {range: fixed, lo: -1.0e-9, hi: 1.0e-9}}}}\n");
    const nb_estep *a = step_of(&n, "a");
    assert_int_equal(a->kind, NB_STEP_ADD);
    assert_int_equal(a->shift[0], 1);
    assert_true(a->mult[0] >= 1 << 29 || a->mult[1] >= 1 << 29);
    assert_int_equal(all_faults(&n, 32), 0);
    close_network(&n);
}

/* What the layers behind it inherit is not theirs: each is fed the float network's codes. */
static void a_bias_that_is_off_is_a_fault_of_that_layer_alone(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    writable(step_of(&n, "c")->bias)[2] += 40;
    assert_true(row_of(&n, 32, "c").faults > 0);
    assert_int_equal(all_faults(&n, 32), row_of(&n, 32, "c").faults);
    assert_true(row_of(&n, 32, "d").differ_run > 0); /* inherited, and not its own */
    close_network(&n);
}

static void a_multiplier_off_by_a_thousandth_is_a_fault(void **state)
{
    (void)state;
    static const char *const steps[] = {"c", "d", "a", "k", "f"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        network n;
        open_network(&n, JOINED);
        int32_t *mult = writable(step_of(&n, steps[i])->mult);
        mult[0] -= mult[0] / 1000;
        assert_true(row_of(&n, 256, steps[i]).faults > 0);
        assert_int_equal(all_faults(&n, 256), row_of(&n, 256, steps[i]).faults);
        close_network(&n);
    }
}

static void what_only_moves_codes_must_not_differ_at_all(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    step_of(&n, "m")->hi = 20;
    nb_verify_row m = row_of(&n, 8, "m");
    assert_true(m.faults > 0);
    assert_int_equal(m.rounding, 0);
    writable(step_of(&n, "p")->shift)[0] -= 1;
    assert_true(row_of(&n, 8, "p").faults > 0);
    close_network(&n);
}

static void a_table_that_is_off_by_one_is_a_fault(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    nb_estep *s = (nb_estep *)(uintptr_t)&n.m->e.steps[0];
    uint8_t *table = (uint8_t *)(uintptr_t)s->table;
    for (int32_t i = 0; i < 256; i++)
        table[i] = (uint8_t)(table[i] + (table[i] < 100 ? 1 : -1));
    nb_verify_row row = row_of(&n, 8, n.m->steps[0].name);
    assert_true(row.faults > 0);
    assert_int_equal(row.largest, 1);
    close_network(&n);
}

/* The float network sends a tie to the even code, the engine up: on a grid twice as coarse as the input's every second
 * code is a tie, far more than any share of the outputs that one could allow. */
static void exact_ties_are_rounding_however_many_there_are(void **state)
{
    (void)state;
    network n;
    open_network(&n, DATA "model: [input, conv2d: {name: c, out: 6, kernel: 3, pad: 1}, conv2d: {name: d, out: 6,"
                          " kernel: 1}, concat: {name: k, in: [c, d]}, linear: {out: 4}]\n"
                          "quant: {activations: {range: minmax, scheme: symmetric}}\n");
    nb_node *c = nb_graph_find(n.g, "c.fq.state"), *k = nb_graph_find(n.g, "k.fq.state");
    for (int64_t i = 0; i < nb_count(&c->out); i++)
        ((float *)k->out.data)[i] = 2 * ((const float *)c->out.data)[i];
    nb_intmodel_free(n.s.ctx, n.m);
    assert_int_equal(nb_lower(n.g, "", &n.m), NB_OK);
    nb_verify_row row = row_of(&n, 32, "k");
    assert_int_equal(row.faults, 0);
    assert_true(row.rounding * 20 > row.outputs);
    writable(step_of(&n, "k")->mult)[0] += 1 << 10; /* a share of 2^-20, still no code but the ties */
    assert_int_equal(row_of(&n, 32, "k").largest, 1);
    close_network(&n);
}

static const int8_t symmetric[6] = {-127, -20, -4, 4, 20, 127}, lopsided[6] = {-127, -21, -4, 4, 20, 127};

static int32_t symmetric_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr, (void)bits;
    memcpy(level, symmetric, sizeof symmetric);
    return sizeof symmetric;
}

static int32_t lopsided_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr, (void)bits;
    memcpy(level, lopsided, sizeof lopsided);
    return sizeof lopsided;
}

/* Formats that no config can name: without a level 0, with and without a counterpart of every level. */
static const nb_format symmetric_format = {.name = "symmetric", .levels = symmetric_levels};
static const nb_format lopsided_format = {.name = "lopsided", .levels = lopsided_levels};

/* The weights of every layer in a format of six levels (the last is 127, so that scales stay). */
static void give_levels(network *n, const nb_format *f)
{
    for (int32_t i = 0; i < n->g->n; i++) {
        nb_node *w = n->g->node[i];
        if (w->op->role != NB_ROLE_QUANTIZER || !(w->in[0]->flags & NB_NODE_PARAM))
            continue;
        nb_fakequant_attr *a = w->attr;
        a->format = f;
        a->bits = 3;
    }
    assert_int_equal(nb_graph_freeze(n->g, NB_PLAN_INFER), NB_OK);
}

static nb_status lower_again(network *n)
{
    nb_intmodel_free(n->s.ctx, n->m);
    n->m = NULL;
    return nb_lower(n->g, "", &n->m);
}

/* The graph's own forward rounds to the same codes. Channel 0 is turned by its gamma, channel
 * 1 constant, which has to do without a weight of 0. */
static void levels_go_from_the_graph_to_integers_that_are_as_sound(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    give_levels(&n, &symmetric_format);
    float *gamma = nb_graph_find(n.g, "b.gamma")->out.data;
    gamma[0] = -fabsf(gamma[0]) - 0.1f;
    gamma[1] = 0;
    if (lower_again(&n) != NB_OK)
        fail_msg("%s", nb_ctx_error(n.s.ctx));
    int32_t layers = 0;
    for (int32_t i = 0; i < n.m->e.n_steps; i++)
        if (n.m->steps[i].level) {
            assert_int_equal(n.m->steps[i].weight_bits, 3);
            assert_int_equal(n.m->steps[i].n_levels, 6);
            assert_memory_equal(n.m->steps[i].level, symmetric, 6);
            assert_true(n.m->steps[i].level != symmetric); /* the model's own */
            layers++;
        }
    assert_int_equal(layers, 3);
    assert_int_equal(all_faults(&n, 256), 0);
    writable(step_of(&n, "c")->bias)[2] += 40;
    assert_true(row_of(&n, 32, "c").faults > 0);
    close_network(&n);
}

/* A batch norm turns the sign of one channel's weights: then every channel has a table of its own. */
static void levels_without_counterparts_are_negated_per_channel(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    give_levels(&n, &lopsided_format);
    float *gamma = nb_graph_find(n.g, "b.gamma")->out.data;
    for (int32_t c = 0; c < 6; c++)
        gamma[c] = fabsf(gamma[c]) + 0.1f;
    assert_int_equal(lower_again(&n), NB_OK);
    assert_int_equal(all_faults(&n, 32), 0);
    assert_int_equal(info_of(&n, "c")->n_tables, 1);
    gamma[4] = -gamma[4];
    if (lower_again(&n) != NB_OK)
        fail_msg("%s", nb_ctx_error(n.s.ctx));
    const nb_sinfo *info = info_of(&n, "c");
    assert_int_equal(info->n_tables, 6);
    for (int32_t c = 0; c < 6; c++)
        for (int32_t i = 0; i < 6; i++)
            assert_int_equal(info->level[6 * c + i], c == 4 ? -lopsided[5 - i] : lopsided[i]);
    assert_int_equal(all_faults(&n, 256), 0);
    close_network(&n);
}

static void logits_are_judged_in_units_that_floats_hardly_resolve(void **state)
{
    (void)state;
    network n;
    open_network(&n, JOINED);
    assert_int_equal(n.m->e.tensors[nb_intmodel_output(n.m)].type, NB_EI_S32);
    writable(step_of(&n, "l")->bias)[1] += 3;
    nb_verify_row row = row_of(&n, 8, "l");
    assert_int_equal(row.faults, 8); /* logit 1 of every image */
    close_network(&n);
}

static void integers_of_another_network_are_refused_not_read(void **state)
{
    (void)state;
    network n;
    nb_verify_report r;
    open_network(&n, JOINED);
    nb_estep *k = step_of(&n, "k"); /* another order of the same inputs */
    int32_t first = k->in[0];
    k->in[0] = k->in[1];
    k->in[1] = first;
    assert_int_equal(nb_verify(n.g, n.m, n.s.test, 8, &r), NB_E_SHAPE);
    assert_string_equal(
        nb_ctx_error(n.s.ctx),
        "k.fq: is made from something else in the graph: the integers were lowered from another network");
    close_network(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_network_has_no_faults_on_8_32_and_256_images),
        cmocka_unit_test(a_sum_that_is_next_to_nothing_is_lowered_and_saturates),
        cmocka_unit_test(a_bias_that_is_off_is_a_fault_of_that_layer_alone),
        cmocka_unit_test(a_multiplier_off_by_a_thousandth_is_a_fault),
        cmocka_unit_test(what_only_moves_codes_must_not_differ_at_all),
        cmocka_unit_test(a_table_that_is_off_by_one_is_a_fault),
        cmocka_unit_test(exact_ties_are_rounding_however_many_there_are),
        cmocka_unit_test(levels_go_from_the_graph_to_integers_that_are_as_sound),
        cmocka_unit_test(levels_without_counterparts_are_negated_per_channel),
        cmocka_unit_test(logits_are_judged_in_units_that_floats_hardly_resolve),
        cmocka_unit_test(integers_of_another_network_are_refused_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
