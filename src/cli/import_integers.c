/* import_integers.c - a quantized ONNX model as an integer checkpoint. */
#include "cli/import_onnx.h"
#include "cli/overwrite.h"
#include "cli/run_folder.h"

#include "base/check.h"

#include <string.h>

/* What to know before it is evaluated. */
static void say_what_is_open(cli *c, const char *out, const nb_intmodel *m)
{
    const nb_etensor *y = &m->e.tensors[m->e.steps[m->e.n_steps - 1].out];
    if (!*m->config)
        nb_log(c->ctx,
               "%s: has no config of Nibble's: `nibble eval %s --set 'data={name: npy, path: DIR}'` says which images "
               "it is for",
               c->arg[0], out);
    if ((int64_t)y->h * y->w > 1 && m->task == NB_TASK_CLASSES)
        nb_log(c->ctx,
               "%s: its output is an image of %dx%dx%d (channels, rows, columns): all its values are taken for the "
               "logits of one image, of whose classes an accuracy says nothing; `nibble eval --logits FILE` "
               "writes them",
               c->arg[0], y->c, y->h, y->w);
}

static nb_status write_integers(cli *c, const char *out, const nb_onnx_integers_options *options)
{
    nb_intmodel *m;
    nb_lock lock = {0};
    NB_TRY(nb_onnx_integers(c->ctx, c->arg[0], options, &m));
    nb_status st = cli_output_check(c, "-o", out, "integers");
    if (st == NB_OK)
        st = cli_lock_beside(c, out, &lock);
    if (st == NB_OK)
        st = nb_intmodel_save(c->ctx, m, out);
    nb_lock_release(&lock);
    if (st == NB_OK)
        printf("%s: %d steps, %d classes\n", out, m->e.n_steps, m->classes);
    if (st == NB_OK)
        say_what_is_open(c, out, m);
    nb_intmodel_free(c->ctx, m);
    return st;
}

nb_status cli_import_integers(cli *c, int32_t channels)
{
    static const char *const others[] = {"--config", "--map",  "--input", "--list",
                                         "--bn-eps", "--json", "--data",  "--force"};
    static const char ending[] = ".safetensors";
    float mean[NB_MAX_CHANNELS], std[NB_MAX_CHANNELS];
    nb_onnx_integers_options options = {0};
    const char *out = cli_value(c, "--output");
    const size_t len = out ? strlen(out) : 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (cli_value(c, others[i]))
            return cli_usage(c, "%s is not for a quantized ONNX model, which becomes integers as it is", others[i]);
    if (c->n_sets)
        return cli_usage(c, "--set is not for a quantized ONNX model, which becomes integers as it is");
    if (len < sizeof ending || strcmp(out + len - (sizeof ending - 1), ending) != 0)
        return cli_usage(c, "-o: %s is a quantized model and becomes one file of integers: name it OUT.int.safetensors",
                         c->arg[0]);
    if (!cli_value(c, "--mean") != !cli_value(c, "--std"))
        return cli_usage(c, "--mean and --std go together");
    if (cli_value(c, "--mean")) {
        NB_TRY(cli_number_list(c, "--mean", channels, -1000, NB_INPUT_MAX_MEAN, mean));
        NB_TRY(cli_number_list(c, "--std", channels, 1e-6, NB_INPUT_MAX_STD, std));
        options = (nb_onnx_integers_options){.mean = mean, .std = std};
    }
    return write_integers(c, out, &options);
}
