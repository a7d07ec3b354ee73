/* test_import_golden.c - a disturbed PyTorch network, imported: its logits must be PyTorch's (files of
 * tests/import/make_golden.py). */
#include "ref/foreign.h"

#include "base/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 6, SIDE = 9, CHANNELS = 3, CLASSES = 4 };

/* The network's float logits against the file's, to 1e-4 of the largest. */
static void assert_same_logits(nb_ctx *ctx, nb_graph *g)
{
    nb_st_file *f;
    assert_int_equal(nb_st_open(ctx, "tests/golden/import_expected.safetensors", &f), NB_OK);
    const float *want = nb_st_find(f, "logits")->data;
    assert_int_equal(nb_graph_freeze(g, NB_PLAN_INFER), NB_OK);
    nb_graph_set_batch(g, IMAGES);
    nb_forward(g, &(nb_run){.pixels = nb_st_find(f, "pixels")->data});
    const float *got = nb_graph_logits(g);
    double largest = 1, far = 0;
    for (int32_t i = 0; i < IMAGES * CLASSES; i++) {
        largest = fmax(largest, fabs((double)want[i]));
        far = fmax(far, fabs((double)got[i] - (double)want[i]));
    }
    if (!(far <= 1e-4 * largest))
        fail_msg("logits are off by %g of %g", far, largest);
    nb_st_close(ctx, f);
}

static void a_state_dict_gives_the_logits_of_pytorch(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f,
                     "  - input\n  - conv2d: {out: 3, kernel: 3, pad: 1, bias: no}\n  - batchnorm\n  - relu\n"
                     "  - resblock: {out: 3}\n  - resblock: {out: 5, stride: 2}\n  - avgpool: {global: yes}\n"
                     "  - linear: {out: 4}\n",
                     SIDE, SIDE, CHANNELS, CLASSES);
    assert_int_equal(nb_import_weights(f.g, "tests/golden/import_resnet.safetensors", NULL, &r), NB_OK);
    assert_string_equal(r.map, "resnet");
    assert_same_logits(f.ctx, f.g);
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

/* The same network through torch.onnx: model, config, graph. */
static void assert_onnx(const char *path)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_onnx *o = NULL;
    nb_status st = nb_onnx_open(ctx, path, &o);
#ifndef NB_ONNX
    assert_int_equal(st, NB_E_UNSUPPORTED);
    nb_ctx_destroy(ctx);
    return;
#endif
    assert_int_equal(st, NB_OK);
    const float half[3] = {0.5f, 0.5f, 0.5f}, quarter[3] = {0.25f, 0.25f, 0.25f};
    const nb_onnx_config_options options = {
        .data = "{name: synth}", .init = "i", .out = "o", .mean = half, .std = quarter};
    char *text;
    nb_config *cfg;
    nb_experiment exp;
    nb_graph *g;
    assert_int_equal(nb_onnx_config(o, &options, &text), NB_OK);
    assert_int_equal(nb_config_parse(ctx, "made", text, strlen(text), NULL, 0, &cfg), NB_OK);
    assert_int_equal(nb_experiment_bind(ctx, cfg, &exp), NB_OK);
    nb_dsinfo info = *nb_onnx_info(o);
    assert_int_equal(info.classes, CLASSES);
    assert_int_equal(nb_model_build(ctx, &exp, &info, IMAGES, &g), NB_OK);
    assert_int_equal(nb_onnx_fill(o, g), NB_OK);
    assert_same_logits(ctx, g);
    nb_graph_free(g);
    nb_config_free(ctx, cfg);
    nb_free(ctx, text);
    nb_onnx_free(o);
    nb_ctx_destroy(ctx);
}

static void onnx_with_folded_batch_norms_gives_the_logits_of_pytorch(void **state)
{
    (void)state;
    assert_onnx("tests/golden/import_folded.onnx");
}

static void onnx_with_batch_norms_gives_the_logits_of_pytorch(void **state)
{
    (void)state;
    assert_onnx("tests/golden/import_norms.onnx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_dict_gives_the_logits_of_pytorch),
        cmocka_unit_test(onnx_with_folded_batch_norms_gives_the_logits_of_pytorch),
        cmocka_unit_test(onnx_with_batch_norms_gives_the_logits_of_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
