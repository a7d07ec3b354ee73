/* fuzz_import_onnx.c - any bytes as an ONNX model: an error with a sentence, or a config that parses; what builds from
 * it takes the model's weights. */
#include <nibble/import.h>
#include <nibble/model.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static const int64_t max_image = 1 << 16; /* larger networks are sound but too slow to build here */

/* Our own limits (kernels, channels in all) may refuse what the operators let pass: with a sentence. */
static void build(nb_ctx *ctx, const nb_onnx *o, const char *text)
{
    nb_config *cfg = NULL;
    nb_experiment exp;
    nb_graph *g = NULL;
    nb_dsinfo info = *nb_onnx_info(o);
    require(nb_config_parse(ctx, "made", text, strlen(text), NULL, 0, &cfg) == NB_OK);
    require(nb_experiment_bind(ctx, cfg, &exp) == NB_OK);
    if ((int64_t)info.h * info.w <= max_image && nb_model_build(ctx, &exp, &info, 1, &g) == NB_OK) {
        nb_status st = nb_onnx_fill(o, g);
        require(st == NB_OK || st == NB_E_FORMAT); /* a value that is not finite */
    }
    nb_graph_free(g);
    nb_config_free(ctx, cfg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_onnx *o = NULL;
    nb_status st = nb_onnx_parse(ctx, "fuzz", data, size, &o);
    if (st == NB_OK) {
        const nb_onnx_config_options options = {
            .data = "{name: synth}", .init = "i", .out = "o", .reconstruct = nb_onnx_reconstructs(o)};
        char *text = NULL;
        st = nb_onnx_config(o, &options, &text);
        if (st == NB_OK)
            build(ctx, o, text);
        nb_free(ctx, text);
    }
    require(st == NB_OK || nb_ctx_error(ctx)[0] != '\0');
    nb_onnx_free(o);
    nb_intmodel *m = NULL; /* the same file as one that is quantized already */
    st = nb_onnx_integers_parse(ctx, "fuzz", data, size, NULL, &m);
    require(st == NB_OK || nb_ctx_error(ctx)[0] != '\0');
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
    return 0;
}
