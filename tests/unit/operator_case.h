/* operator_case.h - one ONNX operator at a time: what becomes of it, or the sentence that refuses it. */
#ifndef NB_UNIT_OPERATOR_CASE_H
#define NB_UNIT_OPERATOR_CASE_H

#include "ref/data_fixture.h"
#include "ref/onnx_case.h"

#include <nibble/extend/op.h>
#include <nibble/import.h>
#include <nibble/model.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

/* The config of a model holds the text; its weights go into the graph of that config, which the caller frees. */
static inline nb_graph *build_from(data_fixture *f, const char *path, const char *text)
{
    nb_onnx *o;
    char *config = NULL;
    nb_config *cfg;
    nb_experiment exp;
    nb_graph *g;
    if (nb_onnx_open(f->ctx, path, &o) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    const nb_onnx_config_options options = {
        .data = "{name: synth}", .init = "i", .out = "o", .reconstruct = nb_onnx_reconstructs(o)};
    assert_int_equal(nb_onnx_config(o, &options, &config), NB_OK);
    if (!strstr(config, text))
        fail_msg("%s\nwant: %s", config, text);
    assert_int_equal(nb_config_parse(f->ctx, "made", config, strlen(config), NULL, 0, &cfg), NB_OK);
    assert_int_equal(nb_experiment_bind(f->ctx, cfg, &exp), NB_OK);
    nb_dsinfo info = *nb_onnx_info(o);
    if (nb_model_build(f->ctx, &exp, &info, 1, &g) != NB_OK || nb_onnx_fill(o, g) != NB_OK)
        fail_msg("%s\n%s", nb_ctx_error(f->ctx), config);
    nb_onnx_say(o);
    nb_config_free(f->ctx, cfg);
    nb_free(f->ctx, config);
    nb_onnx_free(o);
    return g;
}

/* The same for a model on 2 x 8 x 8 images. */
static inline void expect(data_fixture *f, const char *model, const char *text)
{
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    nb_graph_free(build_from(f, path, text));
}

/* Its leaf of that name holds the values, in our order. */
static inline void expect_weights(data_fixture *f, const char *model, const char *leaf, int32_t count,
                                  const float *want)
{
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    nb_graph *g = build_from(f, path, "");
    const nb_node *w = nb_graph_find(g, leaf);
    assert_non_null(w);
    assert_int_equal(nb_shape_count(&w->out.shape), count);
    for (int32_t i = 0; i < count; i++)
        if (fabsf(((const float *)w->out.data)[i] - want[i]) > 1e-6f)
            fail_msg("%s\nvalue %d is %g, not %g", model, i, (double)((const float *)w->out.data)[i], (double)want[i]);
    nb_graph_free(g);
}

static inline void refuse(data_fixture *f, const char *model, const char *sentence)
{
    nb_onnx *o = NULL;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    nb_status st = nb_onnx_open(f->ctx, path, &o);
    if (st == NB_OK || !strstr(nb_ctx_error(f->ctx), sentence))
        print_error("got %d: %s\nwant: %s\n", (int)st, nb_ctx_error(f->ctx), sentence);
    assert_true(st == NB_E_UNSUPPORTED || st == NB_E_FORMAT);
    assert_null(o);
    assert_non_null(strstr(nb_ctx_error(f->ctx), sentence));
}

static inline void keep_note(void *ud, const char *line)
{
    strcat(ud, line);
    strcat(ud, "\n");
}

/* The same, and one line of the log, which holds the sentence; an empty one: nothing is said. */
static inline void expect_note(data_fixture *f, const char *model, const char *text, const char *sentence)
{
    char log[4096] = "";
    nb_ctx_set_log(f->ctx, keep_note, log);
    expect(f, model, text);
    nb_ctx_set_log(f->ctx, NULL, NULL);
    if (*sentence ? !strstr(log, sentence) || strchr(log, '\n') != log + strlen(log) - 1 : *log)
        fail_msg("said: %s\nwant: %s", log, sentence);
}

/* A test with a scratch folder; main() of a file of such tests is ONNX_TESTS(ONNX_TEST(a), ONNX_TEST(b)). */
#    define ONNX_TEST(f) cmocka_unit_test_setup_teardown(f, data_fixture_setup, data_fixture_teardown)
#    define ONNX_TESTS(...)                                                                                            \
        int main(void)                                                                                                 \
        {                                                                                                              \
            const struct CMUnitTest tests[] = {__VA_ARGS__};                                                           \
            return cmocka_run_group_tests(tests, NULL, NULL);                                                          \
        }

#else

static void this_build_has_no_onnx(void **state)
{
    data_fixture *f = *state;
    nb_onnx *o;
    assert_int_equal(nb_onnx_parse(f->ctx, "m.onnx", NULL, 0, &o), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "this build has no ONNX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(this_build_has_no_onnx, data_fixture_setup, data_fixture_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

#endif
