/* import_onnx.c - an ONNX model as config and checkpoint: which data, how they are normalised, where to write. The
 * config names its weights with their hash (train/init_file.h), and both files are written together. */
#include "cli/import_onnx.h"
#include "cli/overwrite.h"
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"
#include "train/init_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STEM_BYTES = 4096, PATH_BYTES = STEM_BYTES + 16, DATA_BYTES = 1024, CONFIG_BYTES = 1 << 22 };

bool cli_is_onnx(const char *path)
{
    size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".onnx") == 0;
}

nb_status cli_number_list(cli *c, const char *option, int32_t channels, double low, double most, float *v)
{
    const char *text = cli_value(c, option);
    int32_t n = 0;
    while (n < channels) {
        char *end;
        double x = strtod(text, &end);
        if (end == text || !(x >= low) || x > 1000 || (*end && *end != ','))
            return cli_usage(c, "%s: %s: must be numbers from %g to 1000 with commas between", option,
                             cli_value(c, option), low);
        if (fabs(x) > most)
            return cli_usage(
                c, "%s: %g: must be at most %g in size, since pixels are divided by 255 first (%g / 255 is %.4g)",
                option, x, most, x, x / 255);
        v[n++] = (float)x;
        text = *end ? end + 1 : end;
        if (!*end)
            break;
    }
    for (int32_t i = 1; i < channels && n == 1; i++)
        v[i] = v[0];
    if (*text || (n != 1 && n != channels))
        return cli_usage(c, "%s: %s: must be one number, or one for each of %d channels", option, cli_value(c, option),
                         channels);
    return NB_OK;
}

/* The data section: what --data says, completed where the data set takes sizes. */
static nb_status data_section(cli *c, const nb_dsinfo *d, bool reconstruct, char *out, size_t len)
{
    const char *name = cli_value(c, "--data");
    int n;
    if (name && strchr(name, '{'))
        n = snprintf(out, len, "%s", name);
    else if (!name || strcmp(name, "synth") == 0)
        n = snprintf(out, len, "{name: synth, count: 2048, height: %d, width: %d, channels: %d, classes: %d}", d->h,
                     d->w, d->c, reconstruct ? 10 : d->classes);
    else if (strcmp(name, "pngdir") == 0)
        n = snprintf(out, len, "{name: pngdir, height: %d, width: %d, channels: %d}", d->h, d->w, d->c);
    else
        n = snprintf(out, len, "{name: %s}", name);
    if (n < 0 || (size_t)n >= len || strchr(out, '\n'))
        return cli_usage(c, "--data: must be one line of less than %zu bytes", len);
    return NB_OK;
}

/* What the config had to guess. */
static void say_guesses(cli *c, const nb_onnx_config_options *o)
{
    if (!cli_value(c, "--data"))
        nb_log(c->ctx, "no --data: the config names procedural images of the right size; put your data set there");
    if (o->reconstruct)
        nb_log(c->ctx, "its output has the shape of its input: the config ends in mse, an autoencoder; data of as many "
                       "classes, by --data, make logits of it");
    if (!o->mean || !o->std)
        nb_log(c->ctx,
               "the model does not say how its images were normalised: the config takes the data set's own mean "
               "and standard deviation; --mean and --std say otherwise");
}

/* -o NAME: NAME.yaml and NAME.safetensors; an existing folder, or one with a slash: the model's name in it. */
static nb_status output_paths(cli *c, char *stem, char *yaml, char *checkpoint)
{
    const char *out = cli_value(c, "--output"), *model = c->arg[0];
    const char *base = strrchr(model, '/');
    base = base ? base + 1 : model;
    size_t n = out ? strlen(out) : 0;
    if (out && strcmp(out, "-") == 0)
        return cli_usage(c, "-o -: two files are written, OUT.yaml and OUT.safetensors: name them");
    if (!n)
        return cli_usage(c, "-o OUT is missing: OUT.yaml and OUT.safetensors are written");
    struct stat s;
    const bool folder = out[n - 1] == '/' || (stat(out, &s) == 0 && S_ISDIR(s.st_mode));
    int len = folder ? snprintf(stem, STEM_BYTES, "%s%s%.*s", out, out[n - 1] == '/' ? "" : "/",
                                (int)(strlen(base) - 5), base)
                     : snprintf(stem, STEM_BYTES, "%s", out);
    if (len < 0 || len >= STEM_BYTES)
        return cli_usage(c, "-o: the path is too long");
    if (strpbrk(stem, "\n\"'#:{}[],&*!|>%@`"))
        return cli_usage(c, "-o: %s: the config cannot name a path with such characters", stem);
    if (folder) {
        char parent[PATH_BYTES];
        snprintf(parent, sizeof parent, "%s", out);
        NB_TRY(nb_make_dirs(c->ctx, parent));
    }
    snprintf(yaml, PATH_BYTES, "%s.yaml", stem);
    snprintf(checkpoint, PATH_BYTES, "%s.safetensors", stem);
    return NB_OK;
}

/* What the network takes and what the data give must agree; without the data the model's own sizes do. An output as large
 * as the input is classes where the data have as many, else the input again. */
static nb_status find_info(cli *c, cli_experiment *e, const nb_dsinfo *model, bool may_reconstruct, bool *reconstruct,
                           bool *there, nb_dsinfo *out)
{
    nb_status st = cli_experiment_open_test(c, e);
    *out = *model;
    *there = st == NB_OK;
    for (int32_t i = 0; i < model->c; i++)
        out->std[i] = out->std[i] > 0 ? out->std[i] : 1;
    if (st != NB_OK)
        return cli_data_is_wrong(e, st) ? st : NB_OK;
    const nb_dsinfo *d = nb_data_info(e->test);
    const bool same = d->h == model->h && d->w == model->w && d->c == model->c;
    *reconstruct = *reconstruct || (may_reconstruct && same && d->classes != model->classes);
    if (!same || (!*reconstruct && d->classes != model->classes))
        return nb_fail(c->ctx, NB_E_SHAPE,
                       "%s: takes images of %dx%dx%d in %d classes, the data set has %dx%dx%d in %d", c->arg[0],
                       model->h, model->w, model->c, model->classes, d->h, d->w, d->c, d->classes);
    *out = *d;
    return NB_OK;
}

/* A config there that says something else may be somebody's work: only --force replaces it. Other weights alone, which
 * change the hash, are what importing again is for. */
static nb_status check_config(cli *c, const char *yaml, const char *text, const char *init)
{
    char *same;
    uint8_t *bytes;
    size_t len;
    const char *place = strstr(text, init);
    const size_t hash = NB_INIT_HASH_BYTES - 1;
    if (cli_value(c, "--force") || !nb_file_exists(yaml))
        return NB_OK;
    NB_TRY(nb_file_read(c->ctx, yaml, CONFIG_BYTES, &bytes, &len));
    same = nb_strdup(c->ctx, text);
    nb_status st = same ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK && place && len == strlen(text)) {
        const size_t at = (size_t)(place - text) + strlen(init) - hash;
        memcpy(same + at, bytes + at, hash);
    }
    if (st == NB_OK && (len != strlen(text) || memcmp(same, bytes, len) != 0))
        st = nb_fail(c->ctx, NB_E_CONFIG,
                     "%s: is there and says something else: --force replaces it, -o OUT writes elsewhere", yaml);
    nb_free(c->ctx, same);
    nb_free(c->ctx, bytes);
    return st;
}

/* The config first: between the renames it stands beside the earlier weights, and refuses them. */
static nb_status write_pair(cli *c, const nb_onnx *o, const nb_graph *g, const char *config,
                            const nb_onnx_config_options *options, const char *yaml)
{
    char init[PATH_BYTES + NB_INIT_HASH_BYTES], hash[NB_INIT_HASH_BYTES], *text;
    nb_init_hash_text(g, hash);
    snprintf(init, sizeof init, "%s%s", options->init, hash);
    nb_onnx_config_options with_hash = *options;
    with_hash.init = init;
    NB_TRY(nb_onnx_config(o, &with_hash, &text));
    nb_status st = check_config(c, yaml, text, init);
    if (st == NB_OK) {
        nb_together_begin(c->ctx);
        st = nb_file_write(c->ctx, yaml, text, strlen(text));
        if (st == NB_OK)
            st = cli_import_save(c, g, config, options->init);
        st = nb_together_end(c->ctx, st);
    }
    nb_free(c->ctx, text);
    return st;
}

static nb_status write_both(cli *c, const nb_onnx *o, cli_experiment *e, const nb_dsinfo *info,
                            const nb_onnx_config_options *options, const char *yaml)
{
    nb_graph *g;
    NB_TRY(cli_output_check(c, "-o", yaml, "config"));
    NB_TRY(cli_output_check(c, "-o", options->init, "checkpoint"));
    NB_TRY(nb_model_build(c->ctx, &e->exp, info, 1, &g));
    nb_lock lock = {0};
    nb_status st = nb_onnx_fill(o, g);
    if (st == NB_OK)
        st =
            cli_lock_beside(c, yaml, &lock); /* so that two imports do not leave one's config and the other's weights */
    if (st == NB_OK)
        st = write_pair(c, o, g, e->text, options, yaml);
    if (st == NB_OK)
        printf("%s\n%s\n", yaml, options->init);
    nb_lock_release(&lock);
    nb_graph_free(g);
    return st;
}

/* The config as an experiment with its data, if they are there. */
static nb_status read_config(cli *c, const nb_onnx *o, nb_onnx_config_options *options, const char *yaml,
                             cli_experiment *e, bool *there, nb_dsinfo *info)
{
    char *text;
    NB_TRY(nb_onnx_config(o, options, &text));
    nb_status st = cli_experiment_parse(c, yaml, text, e);
    nb_free(c->ctx, text);
    const bool classes = !options->reconstruct;
    if (st == NB_OK)
        st = find_info(c, e, nb_onnx_info(o), nb_onnx_reconstructs(o), &options->reconstruct, there, info);
    if (st != NB_OK || !classes || !options->reconstruct)
        return st;
    cli_experiment_close(c, e); /* the data have other classes: the config ends in mse */
    return read_config(c, o, options, yaml, e, there, info);
}

/* Nobody says how the images were normalised: the data, or, where these are not there either, pixels from 0 to 1. */
static nb_status import_as(cli *c, const nb_onnx *o, cli_experiment *e, nb_onnx_config_options *options,
                           const char *yaml)
{
    static const float zero[NB_MAX_CHANNELS];
    float one[NB_MAX_CHANNELS];
    bool there;
    nb_dsinfo info;
    NB_TRY(read_config(c, o, options, yaml, e, &there, &info));
    if (!there)
        nb_log(c->ctx, "imported without its data: %s", nb_ctx_error(c->ctx));
    for (int32_t i = 0; i < info.c; i++)
        one[i] = 1;
    if (!there && !(options->mean && options->std)) {
        nb_log(c->ctx, "the model does not say how its images were normalised: the config takes pixels from 0 to 1; "
                       "--mean and --std say otherwise");
        options->mean = options->mean ? options->mean : zero;
        options->std = options->std ? options->std : one;
        cli_experiment_close(c, e);
        NB_TRY(read_config(c, o, options, yaml, e, &there, &info));
    }
    return write_both(c, o, e, &info, options, yaml);
}

static nb_status import_model(cli *c, nb_onnx *o, cli_experiment *e)
{
    char stem[STEM_BYTES], yaml[PATH_BYTES], checkpoint[PATH_BYTES], out[PATH_BYTES], data[DATA_BYTES];
    const nb_dsinfo *d = nb_onnx_info(o);
    float mean[NB_MAX_CHANNELS], std[NB_MAX_CHANNELS];
    const bool known = d->std[0] > 0;
    memcpy(mean, d->mean, sizeof mean);
    memcpy(std, d->std, sizeof std);
    NB_TRY(output_paths(c, stem, yaml, checkpoint));
    const bool reconstruct = nb_onnx_reconstructs(o) && !cli_value(c, "--data");
    NB_TRY(data_section(c, d, reconstruct, data, sizeof data));
    if (cli_value(c, "--mean"))
        NB_TRY(cli_number_list(c, "--mean", d->c, -1000, NB_INPUT_MAX_MEAN, mean));
    if (cli_value(c, "--std"))
        NB_TRY(cli_number_list(c, "--std", d->c, 1e-6, NB_INPUT_MAX_STD, std));
    const char *slash = strrchr(stem, '/');
    snprintf(out, sizeof out, "runs/%s", slash ? slash + 1 : stem);
    nb_onnx_config_options options = {.data = data, .init = checkpoint, .out = out, .reconstruct = reconstruct};
    options.mean = known || cli_value(c, "--mean") ? mean : NULL;
    options.std = known || cli_value(c, "--std") ? std : NULL;
    if (options.mean && options.std && nb_onnx_take_normalisation(o, mean, std))
        nb_log(c->ctx, "what the network does to its input first is the input layer's mean and std now");
    NB_TRY(import_as(c, o, e, &options, yaml));
    nb_onnx_say(o);
    say_guesses(c, &options);
    return NB_OK;
}

nb_status cli_import_onnx(cli *c, cli_experiment *e)
{
    static const char *const weights_only[] = {"--config", "--map", "--list", "--bn-eps", "--json"};
    for (int32_t i = 0; i < 5; i++)
        if (cli_value(c, weights_only[i]))
            return cli_usage(c, "%s is for safetensors; an ONNX model says itself what becomes what", weights_only[i]);
    if (c->n_sets) /* the config is made here, and written with its comments */
        return cli_usage(c,
                         "--set is for safetensors; the config of an ONNX model is written, so edit it there, and say "
                         "with --data '{name: pngdir, path: DIR}' where its images are");
    nb_onnx *o;
    nb_onnx_size size;
    const nb_onnx_size *given;
    NB_TRY(cli_input_size(c, &size, &given));
    NB_TRY(nb_onnx_open_sized(c->ctx, c->arg[0], given, &o));
    nb_status st = import_model(c, o, e);
    nb_onnx_free(o);
    return st;
}
