/* test_steps.c - which nodes become one step: patterns against small graphs. */
#include "ref/small_model.h"

#include <nibble/extend/fusion.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Fusions that are matched and never run. */
static void run_nothing(const nb_step *s, const nb_run *r)
{
    (void)s;
    (void)r;
}

static bool last_is_called_yes(const nb_step *s)
{
    return strcmp(nb_step_last(s)->name, "yes") == 0;
}

/* "op+op+op op ...": the steps of a model when fused by f and g, but for the input and the head every model here has.
 */
static void steps_of(const char *model, const nb_fusion *f, const nb_fusion *g, char *buf, size_t len)
{
    nb_ctx *ctx = nb_ctx_create();
    small_model m;
    char text[512];
    snprintf(text, sizeof text, "model: [input, %s, avgpool: {global: yes}, linear: {out: 4}]\n", model);
    assert_int_equal(small_model_build(&m, ctx, text, 2), NB_OK);
    const nb_fusion *const table[] = {f, g, NULL};
    m.g->fusions = table;
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_TRAIN), NB_OK);
    size_t at = 0;
    for (int32_t i = 1; i < m.g->n_steps - 3; i++) {
        const nb_step *s = &m.g->step[i];
        assert_true(s->fusion || s->n == 1);
        for (int32_t k = 0; k < s->n; k++)
            at += (size_t)snprintf(buf + at, len - at, "%s%s", k ? "+" : i > 1 ? " " : "", s->node[k]->op->name);
    }
    small_model_free(&m);
    nb_ctx_destroy(ctx);
}

static void check(const char *model, const char *const *patterns, const char *want)
{
    char got[256];
    const nb_fusion f = {.patterns = patterns, .forward = run_nothing, .backward = run_nothing};
    steps_of(model, &f, NULL, got, sizeof got);
    assert_string_equal(got, want);
}

static const char *const norm[] = {"batchnorm [relu] [dropout]", NULL};

static void optional_links_join_when_they_are_there(void **state)
{
    (void)state;
    check("batchnorm, relu, dropout: {p: 0.5}, relu", norm, "batchnorm+relu+dropout relu");
    check("batchnorm, dropout: {p: 0.5}, relu", norm, "batchnorm+dropout relu");
    check("batchnorm, relu, batchnorm", norm, "batchnorm+relu batchnorm");
    check("relu, dropout: {p: 0.5}", norm, "relu dropout");
}

static void links_that_are_not_optional_must_all_be_there(void **state)
{
    (void)state;
    const char *const p[] = {"relu batchnorm relu", NULL};
    check("relu, batchnorm, relu, relu, batchnorm", p, "relu+batchnorm+relu relu batchnorm");
}

static void a_value_that_others_read_too_ends_a_chain(void **state)
{
    (void)state;
    check("batchnorm: {name: b}, relu: {name: r}, add: {in: [b, r]}", norm, "batchnorm relu add");
    check("batchnorm, relu: {name: r}, dropout: {name: d, p: 0.5}, add: {in: [r, d]}", norm,
          "batchnorm+relu dropout add");
}

static void nodes_that_do_not_stand_together_are_not_fused(void **state)
{
    (void)state;
    check("relu: {name: a}, batchnorm: {name: b}, relu: {name: c, in: a}, relu: {name: d, in: b}, add: {in: [c, d]}",
          norm, "relu batchnorm relu relu add");
}

static void only_the_first_node_may_read_other_values(void **state)
{
    (void)state;
    const char *const p[] = {"relu [add]", "add relu", NULL};
    check("conv2d: {name: c, out: 3}, relu, add: {in: [relu1, c]}, relu", p, "conv2d relu add+relu");
}

static void the_first_fusion_and_pattern_that_fit_count(void **state)
{
    (void)state;
    char got[256];
    const char *const both[] = {"relu relu", NULL}, *const either[] = {"relu batchnorm", "relu", NULL};
    const nb_fusion f = {.patterns = both, .fits = last_is_called_yes, .forward = run_nothing, .backward = run_nothing};
    const nb_fusion g = {.patterns = either, .forward = run_nothing, .backward = run_nothing};
    steps_of("relu, relu: {name: yes}, relu, relu: {name: no}, batchnorm", &f, &g, got, sizeof got);
    assert_string_equal(got, "relu+relu relu relu+batchnorm");
}

static void nothing_is_stored_within_a_chain(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    small_model m;
    assert_int_equal(small_model_build(&m, ctx,
                                       "model: [input, conv2d: {out: 3}, batchnorm: {name: b}, relu,\n"
                                       "        avgpool: {global: yes}, linear: {out: 4}]\n",
                                       2),
                     NB_OK);
    const nb_fusion f = {.patterns = norm, .forward = run_nothing, .backward = run_nothing};
    const nb_fusion *const table[] = {&f, NULL};
    const nb_node *b = nb_graph_find(m.g, "b"), *r = nb_graph_find(m.g, "relu1");
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_TRAIN), NB_OK);
    assert_true(b->out.data && b->out.grad);
    size_t alone = m.g->planned_bytes;
    m.g->fusions = table;
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_TRAIN), NB_OK);
    assert_true(!b->out.data && !b->out.grad && b->saved && r->out.data && r->out.grad);
    assert_true(m.g->planned_bytes < alone);
    small_model_free(&m);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optional_links_join_when_they_are_there),
        cmocka_unit_test(links_that_are_not_optional_must_all_be_there),
        cmocka_unit_test(a_value_that_others_read_too_ends_a_chain),
        cmocka_unit_test(nodes_that_do_not_stand_together_are_not_fused),
        cmocka_unit_test(only_the_first_node_may_read_other_values),
        cmocka_unit_test(the_first_fusion_and_pattern_that_fit_count),
        cmocka_unit_test(nothing_is_stored_within_a_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
