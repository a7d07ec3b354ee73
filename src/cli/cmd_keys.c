/* cmd_keys.c - every key of the config, from the tables that bind it: what is printed is what is accepted. */
#include "cli/cli.h"

#include "base/check.h"
#include "train/augment.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 256 };

typedef struct {
    cli *c;
    const char *want;    /* section or name to show; NULL: everything */
    const char *section; /* being walked */
    int32_t shown;
    const char *names[MAX_NAMES]; /* what could have been asked for */
    int32_t n_names;
} walk;

static void print_line(void *ud, const char *text)
{
    (void)ud;
    printf("  %s\n", text);
}

/* One table of keys, if it was asked for. examples end with NULL, or are NULL. */
static nb_status show(walk *w, const char *name, const char *help, const nb_key *keys, const char *const *examples)
{
    if (w->n_names < MAX_NAMES)
        w->names[w->n_names++] = name;
    if (w->want && strcmp(w->want, w->section) != 0 && strcmp(w->want, name) != 0)
        return NB_OK;
    printf("%s%s - %s\n", w->shown++ ? "\n" : "", name, help);
    NB_TRY(nb_keys_print(w->c->ctx, keys, print_line, NULL));
    for (int32_t i = 0; examples && examples[i]; i++)
        printf("  e.g.  - %s\n", examples[i]);
    return NB_OK;
}

static void enter(walk *w, const char *section)
{
    w->section = section;
    if (w->n_names < MAX_NAMES)
        w->names[w->n_names++] = section;
}

static nb_status walk_data(walk *w)
{
    enter(w, "data");
    NB_TRY(show(w, "data", "the `data` section, whatever the data set", nb_data_common_keys, NULL));
    for (int32_t i = 0; nb_datasets[i]; i++)
        NB_TRY(show(w, nb_datasets[i]->name, nb_datasets[i]->help, nb_datasets[i]->keys, NULL));
    enter(w, "augment");
    for (int32_t i = 0; nb_augmentations[i]; i++)
        NB_TRY(show(w, nb_augmentations[i]->name, nb_augmentations[i]->help, nb_augmentations[i]->keys, NULL));
    return NB_OK;
}

static nb_status walk_layers(walk *w)
{
    enter(w, "layers");
    NB_TRY(show(w, "any layer", "keys every entry of `model` understands", nb_model_common_keys, NULL));
    for (int32_t i = 0; nb_layers[i]; i++) {
        const nb_op *op = nb_layers[i];
        if (!(op->flags & NB_OP_INTERNAL))
            NB_TRY(show(w, op->name, op->help, op->keys, op->examples));
    }
    for (int32_t i = 0; nb_blocks[i]; i++)
        NB_TRY(show(w, nb_blocks[i]->name, nb_blocks[i]->help, nb_blocks[i]->keys, nb_blocks[i]->examples));
    return NB_OK;
}

static nb_status walk_quant(walk *w)
{
    enter(w, "quant");
    NB_TRY(show(w, "quant", "the `quant` section", nb_quant_section_keys, NULL));
    NB_TRY(show(w, "weights", "quant.weights", nb_quant_weight_keys, NULL));
    NB_TRY(show(w, "activations", "quant.activations", nb_quant_act_keys, NULL));
    for (int32_t i = 0; nb_quantizers[i]; i++)
        NB_TRY(show(w, nb_quantizers[i]->name, nb_quantizers[i]->help, nb_quantizers[i]->keys, NULL));
    return NB_OK;
}

static nb_status walk_train(walk *w)
{
    enter(w, "train");
    NB_TRY(show(w, "train", "the `train` section", nb_train_section_keys, NULL));
    NB_TRY(show(w, "phases", "one entry of train.phases", nb_phase_table, NULL));
    NB_TRY(show(w, "optimizer", "train.optimizer, whichever it is", nb_optimizer_common_keys, NULL));
    for (int32_t i = 0; nb_optimizers[i]; i++)
        NB_TRY(show(w, nb_optimizers[i]->name, nb_optimizers[i]->help, nb_optimizers[i]->keys, NULL));
    for (int32_t i = 0; nb_schedules[i]; i++)
        NB_TRY(show(w, nb_schedules[i]->name, nb_schedules[i]->help, nb_schedules[i]->keys, NULL));
    return NB_OK;
}

static nb_status walk_all(walk *w)
{
    enter(w, "experiment");
    NB_TRY(show(w, "experiment", "the top level of a config", nb_experiment_keys, NULL));
    NB_TRY(walk_data(w));
    NB_TRY(walk_layers(w));
    NB_TRY(walk_quant(w));
    return walk_train(w);
}

static nb_status run(cli *c)
{
    walk w = {.c = c, .want = c->n_args ? c->arg[0] : NULL};
    NB_TRY(walk_all(&w));
    if (w.shown)
        return NB_OK;
    const char *near = nb_closest(w.want, w.names, w.n_names);
    return cli_usage(c, "%s: no section, layer, data set or method has this name%s%s%s", w.want,
                     near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

static const cli_option options[] = {{0}};

const cli_command cli_command_keys = {
    .name = "keys",
    .usage = "[SECTION|NAME]",
    .help = "every key of a config: type, default, what is allowed, meaning",
    .more = "SECTION is experiment, data, augment, layers, quant or train; NAME is one thing of these: conv2d, sgd, "
            "synth, ...\n",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
