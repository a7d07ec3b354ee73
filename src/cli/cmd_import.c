/* cmd_import.c - networks from elsewhere: weights of another framework into a config's network. */
#include "cli/import_onnx.h"
#include "cli/meant_file.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 4096 };

static nb_status make_table(cli *c, const nb_import_report *r, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(c->ctx, &t));
    nb_table_column(t, "theirs", "theirs", NB_LEFT);
    nb_table_column(t, "their_shape", "shape", NB_LEFT);
    nb_table_column(t, "ours", "ours", NB_LEFT);
    nb_table_column(t, "our_shape", "shape", NB_LEFT);
    nb_table_column(t, "note", "", NB_LEFT);
    for (int32_t i = 0; i < r->n; i++) {
        const nb_import_row *row = &r->rows[i];
        nb_table_row(t);
        nb_table_add_text(t, row->theirs ? row->theirs : "");
        nb_table_add_text(t, row->their_shape ? row->their_shape : "");
        nb_table_add_text(t, row->ours ? row->ours : "");
        nb_table_add_text(t, row->our_shape ? row->our_shape : "");
        nb_table_add_text(t, row->note);
    }
    *out = t;
    return NB_OK;
}

static nb_status print_report(cli *c, const nb_import_report *r)
{
    nb_table *t;
    NB_TRY(make_table(c, r, &t));
    if (!cli_flag(c, "--json"))
        return cli_table_print(c->ctx, t);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "map", r->map);
    return cli_json_print_table(c->ctx, o, "tensors", t);
}

/* A number option in (low, high]; unset: *out stays. */
static nb_status float_option(cli *c, const char *name, double low, double high, float *out)
{
    const char *text = cli_value(c, name);
    if (!text)
        return NB_OK;
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v > low) || !(v <= high))
        return cli_usage(c, "%s: %s: must be a number above %g, at most %g", name, text, low, high);
    *out = (float)v;
    return NB_OK;
}

nb_status cli_import_save(cli *c, const nb_graph *g, const char *config, const char *path)
{
    nb_checkpoint_spec spec = {
        .graph = g, .config = config, .metrics = "", .phase_name = "", .accuracy = -1, .at = {.best_accuracy = -1}};
    return nb_checkpoint_save(c->ctx, path, &spec);
}

nb_status cli_input_size(cli *c, nb_onnx_size *size, const nb_onnx_size **out)
{
    const char *text = cli_value(c, "--input"), *at = text;
    *out = text ? size : NULL;
    for (size->n = 0; text && size->n < 7;) {
        char *end;
        const long long v = strtoll(at, &end, 10);
        if (end == at || v < 1 || v > 65536 || (*end && *end != 'x'))
            break;
        size->d[size->n++] = v;
        if (!*end)
            return NB_OK;
        at = end + 1;
    }
    return text ? cli_usage(c, "--input: %s: must be the size of one image in the file's order, as 3x224x224", text)
                : NB_OK;
}

bool cli_data_is_wrong(const cli_experiment *e, nb_status st)
{
    const nb_conf *data = e->exp.data, *name = nb_conf_is_map(data) ? nb_conf_get(data, "name") : NULL;
    const bool known = name && nb_conf_text(name) && nb_registry_find(nb_datasets, nb_conf_text(name));
    return st == NB_E_NOMEM || !known || (st == NB_E_CONFIG && nb_conf_get(data, "path"));
}

static nb_status import_into(cli *c, const cli_experiment *e, nb_graph *g)
{
    const char *out = cli_value(c, "--output");
    nb_import_options options = {.map = cli_value(c, "--map")};
    nb_import_report report = {0};
    NB_TRY(float_option(c, "--bn-eps", 0, 1, &options.bn_eps));
    nb_lock lock = {0};
    nb_status st = nb_import_weights(g, c->arg[0], &options, &report);
    if (cli_flag(c, "--list") && report.n > 0) {
        nb_status printed = print_report(c, &report);
        st = st == NB_OK ? printed : st;
    }
    if (st == NB_OK && out)
        st = cli_output_check(c, "-o", out, "checkpoint");
    if (st == NB_OK && out)
        st = cli_lock_beside(c, out, &lock);
    if (st == NB_OK && out)
        st = cli_import_save(c, g, e->text, out);
    nb_lock_release(&lock);
    if (st == NB_OK && out && !cli_flag(c, "--list"))
        printf("%s: %lld parameters by map %s\n", out, (long long)nb_graph_about(g).params, report.map);
    nb_import_report_free(&report);
    return st;
}

/* The data's, or --input's, as PyTorch orders it: the network says how many classes there are, and the config how images
 * are normalised; pixels from 0 to 1 where it does not. */
static nb_status find_sizes(cli *c, cli_experiment *e, nb_dsinfo *out)
{
    nb_onnx_size size;
    const nb_onnx_size *given;
    NB_TRY(cli_input_size(c, &size, &given));
    if (given && given->n != 3)
        return cli_usage(c, "--input: %s: must be channels, rows and columns, as 3x224x224", cli_value(c, "--input"));
    nb_status st = cli_experiment_open_test(c, e);
    if (st == NB_OK) {
        *out = *nb_data_info(e->test);
        if (given && (given->d[0] != out->c || given->d[1] != out->h || given->d[2] != out->w))
            return cli_usage(c, "--input: %s: the data are %dx%dx%d (channels, rows, columns)", cli_value(c, "--input"),
                             out->c, out->h, out->w);
        return NB_OK;
    }
    if (cli_data_is_wrong(e, st))
        return st;
    if (!given)
        return nb_fail(c->ctx, st, "%s (without the data, --input says the size of an image, as 3x224x224)",
                       nb_ctx_error(c->ctx));
    if (given->d[0] > NB_MAX_CHANNELS)
        return cli_usage(c, "--input: %s: at most %d channels", cli_value(c, "--input"), NB_MAX_CHANNELS);
    nb_log(c->ctx, "imported without its data: %s", nb_ctx_error(c->ctx));
    *out = (nb_dsinfo){.c = (int32_t)given->d[0], .h = (int32_t)given->d[1], .w = (int32_t)given->d[2]};
    for (int32_t i = 0; i < out->c; i++)
        out->std[i] = 1;
    return NB_OK;
}

static nb_status import_weights(cli *c, cli_experiment *e)
{
    static const char *const onnx_only[] = {"--data", "--mean", "--std", "--force"};
    const char *config = cli_value(c, "--config");
    for (int32_t i = 0; i < 4; i++)
        if (cli_value(c, onnx_only[i]))
            return cli_usage(c, "%s is for ONNX models; with --config the config says it", onnx_only[i]);
    if (cli_flag(c, "--json") && !cli_flag(c, "--list"))
        return cli_usage(c, "--json is for --list");
    if (!config)
        return cli_usage(c, "--config CONFIG is missing: the network that %s has weights of", c->arg[0]);
    if (!cli_value(c, "--output") && !cli_flag(c, "--list"))
        return cli_usage(c, "-o OUT is missing: where to write (or --list, to look only)");
    char meant[CLI_PATH_BYTES];
    NB_TRY(cli_meant_file(c, config, CLI_CONFIG, meant, &config));
    NB_TRY(cli_experiment_load(c, config, e));
    nb_dsinfo info;
    NB_TRY(find_sizes(c, e, &info));
    if (e->test)
        NB_TRY(nb_experiment_check(c->ctx, &e->exp, &info));
    nb_graph *g;
    NB_TRY(nb_model_build(c->ctx, &e->exp, &info, 1, &g));
    nb_status st = import_into(c, e, g);
    nb_graph_free(g);
    return st;
}

/* By its content: a name ends in anything. What is neither is said here, before an option is missed. */
static nb_status find_kind(cli *c, bool *onnx)
{
    uint8_t head[HEAD_BYTES];
    char kind[NB_FILE_KIND_BYTES], path[CLI_PATH_BYTES];
    const char *file = c->arg[0];
    snprintf(path, sizeof path, "%s/saved_model.pb", file);
    if (nb_file_exists(path))
        return nb_fail(c->ctx, NB_E_FORMAT,
                       "%s: a TensorFlow SavedModel; python -m tf2onnx.convert --saved-model %s --output %s.onnx, then "
                       "nibble import %s.onnx -o OUT",
                       file, file, file, file);
    const size_t n = nb_file_head(file, head, sizeof head);
    *onnx = cli_is_onnx(file) || nb_file_is(head, n, "onnx");
    const char *what =
        *onnx || nb_file_is(head, n, "safetensors") ? NULL : nb_file_kind(file, head, n, kind, sizeof kind);
    return what ? nb_fail(c->ctx, NB_E_FORMAT, "%s: must be an ONNX model or a safetensors file, but is %s", file, what)
                : NB_OK;
}

static nb_status run(cli *c)
{
    cli_experiment e = {0};
    bool onnx;
    int32_t channels = 0; /* of a model that is quantized already */
    NB_TRY(find_kind(c, &onnx));
    if (onnx)
        NB_TRY(nb_onnx_quantized_channels(c->ctx, c->arg[0], &channels));
    nb_status st = channels ? cli_import_integers(c, channels) : onnx ? cli_import_onnx(c, &e) : import_weights(c, &e);
    cli_experiment_close(c, &e);
    return st;
}

static const cli_option options[] = {
    {"--output,-o", "OUT", "the checkpoint to write; ONNX: OUT.yaml and OUT.safetensors"},
    {"--config", "CONFIG", "safetensors: the experiment whose network the weights are for"},
    {"--map", "NAME|FILE", "resnet, mobilenetv2, sequential, nibble, or a mapping file (default: the one that fits)"},
    {"--list", NULL, "print what becomes what, as a table; without -o nothing is written"},
    {"--bn-eps", "EPS", "eps of the batch norms that were trained (default 1e-5, as in PyTorch)"},
    {"--data", "NAME|{...}", "ONNX: the data set of the config, or its whole section"},
    {"--mean", "M[,M,M]", "ONNX: mean of pixel/255 that the images were normalised with (default: the data set's)"},
    {"--std", "S[,S,S]", "ONNX: their standard deviation"},
    {"--input", "CxHxW", "the size of one image; ONNX: where the file leaves it open; safetensors: without the data"},
    {"--force", NULL, "ONNX: replace an OUT.yaml that says something else"},
    {"--set", "KEY=VALUE", "safetensors: override a key of the config; may be repeated"},
    CLI_JSON,
    {0}};

const cli_command cli_command_import = {
    .name = "import",
    .usage = "FILE -o OUT",
    .help = "weights or a network of another framework as config and checkpoint",
    .more =
        "FILE.safetensors holds a state dict (F32, F16, BF16 or F64); it goes into the network of CONFIG, by names.\n"
        "FILE.onnx is a float network; it becomes a config and a checkpoint. One that is quantized already\n"
        "(QuantizeLinear, QLinearConv) becomes integers: -o OUT.int.safetensors.\n"
        "The result is a float checkpoint: eval it, quantize it, or train on from it with init: OUT.\n"
        "A mapping file has one line per module, in order of execution, or THEIRS -> OURS in any order:\n"
        "  conv1                        the next layer with parameters\n"
        "  layer{}.{}.conv1             {} is a number; such lines are taken number by number\n"
        "  head.fc -> fc                by name; blocks.{}.c -> b{+1} repeats the number, one higher\n"
        "  aux.* -> -                   left out\n"
        "What such a file does not name goes by a built-in map, if one knows all of it.\n"
        "  layout ohwi                  weights are not OIHW, as PyTorch's, but as ours\n"
        "Operators of float ONNX models; those of constants alone are more, and computed:\n",
    .listed = nb_onnx_operator,
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
