/* test_nomem.c - the N-th allocation fails, for every N, on the way from a config to a checked integer model: an error
 * each time, never a crash or a leak (the sanitized builds look for those). */
#include <nibble/extend/quant.h>
#include <nibble/lower.h>
#include <nibble/model.h>
#include <nibble/train.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char yaml[] =
    "data: {name: synth, count: 32, height: 6, width: 6, channels: 3, classes: 3}\n"
    "model:\n  - input\n  - conv2d: {name: c, out: 4, kernel: 3, pad: 1}\n  - batchnorm\n  - "
    "relu\n  - resblock: {out: 5}\n"
    "  - maxpool: {kernel: 2}\n  - conv2d: {name: d, out: 3, kernel: 1}\n  - concat: {in: [d, maxpool1]}\n "
    " - batchnorm\n  - dropout\n"
    "  - avgpool: {global: yes}\n  - linear: {out: 3}\n"
    "quant: {weights: {bits: 4}, layers: {c: {weights: {bits: 3}}}, batchnorm: fold}\n";

typedef struct {
    nb_config *cfg;
    nb_data *data;
    nb_graph *graph;
    nb_intmodel *model;
    nb_verify_report report;
} street;

static nb_status walk(nb_ctx *ctx, street *s)
{
    nb_experiment exp;
    nb_status st = nb_config_parse(ctx, "test.yaml", yaml, strlen(yaml), NULL, 0, &s->cfg);
    if (st == NB_OK)
        st = nb_experiment_bind(ctx, s->cfg, &exp);
    if (st == NB_OK)
        st = nb_data_open(ctx, exp.data, "test", &s->data);
    if (st == NB_OK)
        st = nb_model_build(ctx, &exp, nb_data_info(s->data), 4, &s->graph);
    if (st == NB_OK)
        st = nb_model_quantize(s->graph, exp.quant);
    if (st == NB_OK)
        st = nb_graph_freeze(s->graph, NB_PLAN_TRAIN);
    if (st != NB_OK)
        return st;
    nb_graph_init(s->graph, 1);
    st = nb_calibrate(s->graph, s->data, NULL, 7);
    if (st == NB_OK)
        st = nb_lower(s->graph, "", &s->model);
    return st == NB_OK ? nb_verify(s->graph, s->model, s->data, 5, &s->report) : st;
}

static void every_allocation_may_fail_between_config_and_integers(void **state)
{
    (void)state;
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        street s = {0};
        nb_ctx *ctx = nb_ctx_create();
        assert_non_null(ctx);
        nb_ctx_fail_alloc_at(ctx, ++n);
        st = walk(ctx, &s);
        if (st != NB_OK && st != NB_E_NOMEM)
            print_error("%d: %s\n", (int)st, nb_ctx_error(ctx));
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        assert_true(st == NB_OK || nb_ctx_error(ctx)[0] != '\0');
        nb_free(ctx, s.report.rows);
        nb_intmodel_free(ctx, s.model);
        nb_graph_free(s.graph);
        nb_data_close(ctx, s.data);
        nb_config_free(ctx, s.cfg);
        nb_ctx_destroy(ctx);
        assert_true(n < 100000);
    }
    assert_true(n > 100); /* it did fail that often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail_between_config_and_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
