/* cmd_verify.c - the integers against the quantized network they were lowered from, layer by layer.
 *
 * That network is the one of training, rounded by fake-quant nodes: what is proven is that lowering changed nothing, not
 * that quantization costs nothing. The texts say so. */
#include "cli/compare.h"
#include "cli/meant_file.h"
#include "cli/open_model.h"
#include "cli/output.h"
#include "cli/verify_all.h"

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "report/tables.h"

#include <inttypes.h>
#include <string.h>

enum { BATCH = 32, DEFAULT_IMAGES = 256, PATH_BYTES = 4096 };

static nb_status print(cli *c, const cli_model *m, const nb_verify_report *r, nb_table *t)
{
    if (!cli_flag(c, "--json")) {
        NB_TRY(cli_table_print(c->ctx, t));
        printf("\nthe integers against the same quantized network as training computes it: codes that differ, each "
               "layer fed\n"
               "with the other's codes, by rounding (a tie, within the errors of float and integer arithmetic) and by "
               "anything\n"
               "else; running: from the pixels on\n"
               "%d image%s, the same first choice on %d\n"
               "what quantization itself costs, against a network that is not rounded: nibble analyze\n",
               r->images, nb_plural(r->images), r->same_top1);
        return NB_OK;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", m->path);
    cJSON_AddNumberToObject(o, "images", r->images);
    cJSON_AddNumberToObject(o, "same_top1", r->same_top1);
    return cli_json_print_table(c->ctx, o, "layers", t);
}

/* The network behind an integer checkpoint: --from, or what `nibble train` lowered: the last one, with validation
 * images the best. `nibble quantize` leaves only a last one. */
static nb_status open_reference(cli *c, const cli_model *m, cli_model *reference)
{
    const nb_conf *data = m->experiment.exp.data;
    const nb_conf *validation = nb_conf_is_map(data) ? nb_conf_get(data, "validation") : NULL;
    bool best = validation && nb_conf_text(validation) && strcmp(nb_conf_text(validation), "0") != 0;
    char beside[PATH_BYTES], meant[CLI_PATH_BYTES];
    const char *from = cli_value(c, "--from"), *path = m->path, *slash = strrchr(path, '/');
    if (!from) {
        const int folder = slash ? (int)(slash + 1 - path) : 0;
        int len = snprintf(beside, sizeof beside, "%.*sbest.safetensors", folder, path);
        if (len < 0 || (size_t)len >= sizeof beside)
            return nb_fail(c->ctx, NB_E_CONFIG, "%.64s...: the path is too long", path);
        if (!best || !nb_file_exists(beside))
            snprintf(beside, sizeof beside, "%.*slast.safetensors", folder, path);
        if (!nb_file_exists(beside))
            return nb_fail(c->ctx, NB_E_IO,
                           "%s: is compared with the training checkpoint it was lowered from, but there is no %s: say "
                           "--from CKPT",
                           path, beside);
        from = beside;
    }
    NB_TRY(cli_meant_file(c, from, CLI_FLOATS, meant, &from));
    NB_TRY(cli_model_open(c, from, BATCH, reference));
    if (!reference->graph || !reference->integers)
        return nb_fail(c->ctx, NB_E_UNSUPPORTED,
                       "%s: is not a quantized training checkpoint: there is nothing to compare with", from);
    return NB_OK;
}

static nb_status verify(cli *c, cli_model *m, cli_model *reference)
{
    NB_TRY(cli_model_open(c, c->arg[0], BATCH, m));
    cli_model *from = m;
    if (!m->graph) {
        NB_TRY(open_reference(c, m, reference));
        from = reference;
    }
    NB_TRY(cli_model_need_integers(c, m, "verify"));
    cli_images images;
    nb_verify_report r;
    int32_t n, steps = m->integers->e.n_steps;
    NB_TRY(cli_experiment_split(c, &from->experiment, "test", &images));
    NB_TRY(cli_images_count(c, DEFAULT_IMAGES, images.n, "test", &n));
    nb_status st = nb_verify(from->graph, m->integers, images.data, n, &r);
    if (st != NB_OK)
        return st == NB_E_NOMEM ? st : nb_fail(c->ctx, st, "%s: %s", m->path, nb_ctx_error(c->ctx));
    nb_table *t = NULL;
    st = nb_table_of_verify(c->ctx, r.rows, steps, &t);
    if (st == NB_OK)
        st = print(c, m, &r, t);
    if (st == NB_OK)
        st = cli_compare_judge(c, m->path, &r, steps);
    nb_free(c->ctx, r.rows);
    return st;
}

static nb_status run(cli *c)
{
    static const char *const of_all[] = {"--python", "--timeout"};
    const bool all = cli_flag(c, "--all");
    for (int32_t i = 0; i < 2 && !all; i++)
        if (cli_value(c, of_all[i]))
            return cli_usage(c, "%s is for --all", of_all[i]);
    if (all && cli_value(c, "--from"))
        return cli_usage(c, "--from is for layers; --all compares integers with integers");
    if (all)
        return verify_all(c);
    cli_model m = {0}, reference = {0};
    nb_status st = verify(c, &m, &reference);
    cli_model_close(c, &reference);
    cli_model_close(c, &m);
    return st;
}

static const cli_option options[] = {
    {"--images", "N", "compare on the first N test images (default 256; with --all 1000)"},
    {"--from", "CKPT", "for an integer checkpoint: the training checkpoint it was lowered from"},
    {"--all", NULL, "every implementation of the integers against the engine's scalar kernels"},
    {"--python", "PROGRAM", "with --all: a Python that has onnxruntime (default: $NB_PYTHON, or python3)"},
    {"--timeout", "SECONDS", "with --all: how long a compiler or program may take (default 600)"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_verify = {
    .name = "verify",
    .usage = "FILE",
    .help = "integers against the quantized network as it was trained: how many codes differ, by how much",
    .more =
        "FILE is a quantized training checkpoint, or an integer one (then its training checkpoint is read too: "
        "--from, by\n"
        "default the one beside it that it was lowered from). Every layer of the engine is fed the codes of the\n"
        "quantized network as training computes it (fake quantization, in floats), and runs on the engine's own. This "
        "shows that\n"
        "lowering changed nothing; what quantization costs against a network that is not rounded, `nibble analyze` "
        "shows.\n"
        "Float rounds twice where the integers round once: where the value before rounding is a tie, within the "
        "proven\n"
        "error of either, a code may differ, and counts as rounding. Any other difference is a fault (exit code 1).\n"
        "With --all, one table: the engine on every instruction set of this processor, on one and several threads; "
        "the\n"
        "exported C under gcc and clang (-O0, -O3, -m32, UBSan), and ONNX Runtime, as far as they are here. Exit "
        "code 1\n"
        "when a logit of an integer implementation differs, or ONNX Runtime's first choice on more than 0.1 % of the "
        "images.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .run = run,
};
