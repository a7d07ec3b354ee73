/* cmd_export.c - an integer model in another format. */
#include "cli/open_model.h"
#include "cli/overwrite.h"
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static nb_status unknown_format(cli *c, const char *format)
{
    char all[256];
    return cli_usage(c, "--format: %s: must be one of %s", format, nb_registry_text(nb_exporters, all, sizeof all));
}

/* What --format says, or else the ending of the file that is asked for; NULL: it says nothing. */
static const char *format_of(const cli *c)
{
    const char *format = cli_value(c, "--format"), *out = cli_value(c, "--output");
    const char *slash = out ? strrchr(out, '/') : NULL, *dot = out ? strrchr(slash ? slash : out, '.') : NULL;
    struct stat st;
    if (format || !out || strcmp(out, "-") == 0)
        return format ? format : "text";
    /* /dev/stdout and its like, and folders, which are refused as such */
    if (!dot && (strncmp(out, "/dev/", 5) == 0 || (stat(out, &st) == 0 && !S_ISREG(st.st_mode))))
        return "text";
    for (int32_t i = 0; dot && nb_exporters[i]; i++)
        if (strcmp(dot, nb_exporters[i]->ext) == 0)
            return nb_exporters[i]->name;
    return NULL;
}

static nb_status unknown_ending(cli *c, const char *out)
{
    char all[256] = "";
    size_t at = 0;
    for (int32_t i = 0; nb_exporters[i] && at < sizeof all; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s (%s)",
                               i == 0                ? ""
                               : nb_exporters[i + 1] ? ", "
                                                     : " or ",
                               nb_exporters[i]->ext, nb_exporters[i]->name);
    return cli_usage(c, "-o: %s: its ending says no format: must be %s, or --format says which", out, all);
}

/* Options of one format are an error with another. */
static nb_status options_of(cli *c, const char *format, nb_export_options *o)
{
    static const char *const belongs[][2] = {
        {"--prefix", "c"}, {"--opset", "onnx"}, {"--form", "onnx"}, {"--input", "tflite"}, {"--weights", "tflite"}};
    for (size_t i = 0; i < sizeof belongs / sizeof *belongs; i++)
        if (cli_value(c, belongs[i][0]) && strcmp(format, belongs[i][1]) != 0)
            return cli_usage(c, "%s is for --format %s", belongs[i][0], belongs[i][1]);
    const char *opset = cli_value(c, "--opset");
    char *end = NULL;
    long v = opset ? strtol(opset, &end, 10) : 0;
    if (opset && (end == opset || *end || v < 1 || v > 1000))
        return cli_usage(c, "--opset: %s: must be 13 or 21", opset);
    const char *form = cli_value(c, "--form");
    if (form && strcmp(form, "qdq") != 0 && strcmp(form, "operator") != 0)
        return cli_usage(c, "--form: %s: must be one of qdq, operator", form);
    const char *input = cli_value(c, "--input"), *weights = cli_value(c, "--weights");
    if (input && strcmp(input, "codes") != 0 && strcmp(input, "pixels") != 0)
        return cli_usage(c, "--input: %s: must be one of codes, pixels", input);
    if (weights && strcmp(weights, "int4") != 0 && strcmp(weights, "int8") != 0)
        return cli_usage(c, "--weights: %s: must be one of int4, int8", weights);
    *o = (nb_export_options){.tflite_pixels = input && *input == 'p',
                             .tflite_int4 = weights && strcmp(weights, "int4") == 0,
                             .prefix = cli_value(c, "--prefix"),
                             .opset = (int32_t)v,
                             .onnx_form = form && *form == 'o' ? NB_ONNX_OPERATOR : NB_ONNX_QDQ};
    return NB_OK;
}

/* "net.c, net.h: 634 bytes of flash ..." */
static nb_status say_written(cli *c, const nb_exporter *e, const cli_model *m, const char *out)
{
    nb_export_size s;
    printf("%s", out);
    if (e->beside)
        printf(", %.*s%s", (int)(strlen(out) - strlen(e->ext)), out, e->beside);
    if (e->size) {
        NB_TRY(e->size(c->ctx, m->integers, &s));
        printf(": %" PRId64 " bytes of flash (constants, without code), %" PRId64 " bytes of RAM, %" PRId64
               " multiply-accumulates per image",
               s.flash_bytes, s.ram_bytes, s.macs);
    }
    if (e->in_flash) {
        struct stat st;
        if (stat(out, &st) == 0)
            printf(": %lld bytes of flash (the file as it is)", (long long)st.st_size);
    }
    printf("\n");
    return NB_OK;
}

/* The file, and the one beside it. */
static nb_status check_output(cli *c, const nb_exporter *e, const char *out)
{
    const size_t len = strlen(out), ext = strlen(e->ext);
    char beside[CLI_PATH_BYTES];
    NB_TRY(cli_output_check(c, "-o", out, e->name));
    if (!e->beside || len < ext || len >= sizeof beside - strlen(e->beside))
        return NB_OK;
    snprintf(beside, sizeof beside, "%.*s%s", (int)(len - ext), out, e->beside);
    NB_TRY(nb_output_check(c->ctx, beside));
    return cli_kind_check(c, beside, e->name);
}

static nb_status export_model(cli *c, cli_model *m)
{
    const char *format = format_of(c), *out = cli_value(c, "--output");
    if (!format)
        return unknown_ending(c, out);
    const nb_exporter *e = nb_exporter_find(format);
    if (!e)
        return unknown_format(c, format);
    if (!out)
        return cli_usage(c, "-o OUT is missing: where to write");
    nb_export_options options = {0};
    NB_TRY(options_of(c, e->name, &options));
    const bool piped = strcmp(out, "-") == 0 && strcmp(e->name, "text") == 0;
    out = piped ? "/dev/stdout" : out;
    NB_TRY(cli_model_open(c, c->arg[0], 1, m));
    NB_TRY(check_output(c, e, out));
    if (!m->integers && !*m->experiment.simulated && e->write_float) {
        if (cli_value(c, "--opset") || cli_value(c, "--form"))
            return cli_usage(c, "--opset and --form are for integers; %s is a float network", m->path);
        NB_TRY(e->write_float(c->ctx, m->graph, out));
        printf("%s\n", out);
        return NB_OK;
    }
    NB_TRY(cli_model_need_integers(c, m, "export"));
    NB_TRY(e->write(c->ctx, m->integers, out, &options));
    return piped ? NB_OK : say_written(c, e, m, out);
}

static nb_status run(cli *c)
{
    cli_model m = {0};
    nb_status st = export_model(c, &m);
    cli_model_close(c, &m);
    return st;
}

static const cli_option options[] = {
    {"--format", "NAME",
     "text: a listing; c: one freestanding C99 file and its header; onnx; tflite. Default: by OUT's ending .txt, .c, "
     ".onnx, .tflite"},
    {"--output,-o", "OUT", "the file to write; - is standard output (format text)"},
    {"--prefix", "NAME", "format c: what its names begin with (default: from the file's name)"},
    {"--opset", "N", "format onnx: 13 (weights as int8) or 21 (up to 4 bits as INT4; default where it saves)"},
    {"--form", "NAME", "format onnx: qdq (default; with QuantizeLinear, DequantizeLinear) or operator (QLinearConv)"},
    {"--input", "NAME",
     "format tflite: codes (default; int8, metadata nibble.pixels says those of pixels) or pixels (u8)"},
    {"--weights", "NAME",
     "format tflite: int8 (default) or int4 (INT4 where they have up to 4 bits: half the flash, slower)"},
    CLI_SET,
    {0}};

const cli_command cli_command_export = {
    .name = "export",
    .usage = "FILE -o OUT",
    .help = "the integers in another format",
    .more =
        "FILE is an integer checkpoint, or a quantized training checkpoint, which is lowered first.\n"
        "Prints what was written and, of C, the flash and RAM that its header states; `nibble info CONFIG` shows them\n"
        "before training. The header has the names of the classes, PREFIX_CLASS_NAMES, where the data set has any.\n"
        "A float checkpoint can become ONNX: a float network on normalised images, which import takes back.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .run = run,
};
