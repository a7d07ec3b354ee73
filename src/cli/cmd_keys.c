/* cmd_keys.c - every key of the config, from the tables that bind it: what is printed is what is accepted.
 *
 * A word is looked for as a section ("train"), a group of it ("ranges"), the name of a table ("conv2d"), a key
 * ("batch"), and as the path of either ("train.phases.0.lr", as --set and error messages write it). */
#include "cli/cli.h"

#include "base/check.h"
#include "train/augment.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 512, WANT_BYTES = 256, WORDS = 3 };

typedef struct {
    cli *c;
    const char *want; /* NULL: everything */
    int32_t shown;
    const char *names[MAX_NAMES]; /* what could have been asked for */
    int32_t n_names;
} walk;

typedef struct {
    const char *words[WORDS]; /* sections and groups it belongs to */
    const char *path[2];      /* where its keys stand in a config; a layer's or augmentation's own name follows */
    bool path_has_name;
} group;

static void remember(walk *w, const char *name)
{
    for (int32_t i = 0; i < w->n_names; i++)
        if (!strcmp(w->names[i], name))
            return;
    if (w->n_names < MAX_NAMES)
        w->names[w->n_names++] = name;
}

/* Is want path, or path.name, or one of these with .key behind it? name and key may be NULL. */
static bool is_path(const char *want, const char *path, const char *name, const char *key)
{
    const char *parts[] = {path, name, key};
    bool any = false;
    for (int32_t i = 0; i < 3; i++) {
        if (!parts[i] || !*parts[i])
            continue;
        size_t n = strlen(parts[i]);
        if (any && *want++ != '.')
            return false;
        if (strncmp(want, parts[i], n) != 0)
            return false;
        want += n;
        any = true;
    }
    return any && !*want;
}

static bool wants(const walk *w, const group *g, const char *name, const char *key)
{
    if (!strcmp(w->want, key ? key : name))
        return true;
    for (int32_t i = 0; !key && i < WORDS && g->words[i]; i++)
        if (!strcmp(w->want, g->words[i]))
            return true;
    for (int32_t i = 0; i < 2 && g->path[i]; i++)
        if (is_path(w->want, g->path[i], g->path_has_name ? name : NULL, key))
            return true;
    return false;
}

static void print_line(void *ud, const char *text)
{
    (void)ud;
    printf("  %s\n", text);
}

static void print_title(walk *w, const char *name, const char *help)
{
    printf("%s%s - %s\n", w->shown++ ? "\n" : "", name, help);
}

/* The keys of a table that were asked for by name. */
static nb_status show_keys(walk *w, const group *g, const char *name, const char *help, const nb_key *keys)
{
    bool titled = false;
    for (const nb_key *k = keys; k && k->name; k++) {
        const nb_key one[] = {*k, {0}};
        remember(w, k->name);
        if (!wants(w, g, name, k->name))
            continue;
        if (!titled)
            print_title(w, name, help);
        titled = true;
        NB_TRY(nb_keys_print(w->c->ctx, one, print_line, NULL));
    }
    return NB_OK;
}

/* One table, or what was asked for of it. examples end with NULL, or are NULL. */
static nb_status show(walk *w, const group *g, const char *name, const char *help, const nb_key *keys,
                      const char *const *examples)
{
    for (int32_t i = 0; i < WORDS && g->words[i]; i++)
        remember(w, g->words[i]);
    remember(w, name);
    if (w->want && !wants(w, g, name, NULL))
        return show_keys(w, g, name, help, keys);
    print_title(w, name, help);
    NB_TRY(nb_keys_print(w->c->ctx, keys, print_line, NULL));
    if (!keys || !keys->name)
        printf("  no keys of its own\n");
    for (int32_t i = 0; examples && examples[i]; i++)
        printf("  e.g.  - %s\n", examples[i]);
    return NB_OK;
}

static nb_status show_list(walk *w, const group *g, const void *list)
{
    for (int32_t i = 0; nb_entry_at(list, i).name; i++) {
        const nb_entry e = nb_entry_at(list, i);
        NB_TRY(show(w, g, e.name, e.help, e.keys, e.examples));
    }
    return NB_OK;
}

static nb_status walk_data(walk *w)
{
    static const group all = {{"data"}, {"data"}, false}, sets = {{"data", "datasets"}, {"data"}, false};
    static const group augment = {{"data", "augment", "augmentations"}, {"data.augment"}, true};
    NB_TRY(show(w, &all, "data", "the `data` section, whatever the data set", nb_data_common_keys, NULL));
    NB_TRY(show_list(w, &sets, nb_datasets));
    return show_list(w, &augment, nb_augmentations);
}

static nb_status walk_layers(walk *w)
{
    static const group any = {{"layers", "model"}, {"model"}, false}, layers = {{"layers", "model"}, {"model"}, true};
    static const group blocks = {{"layers", "model", "blocks"}, {"model"}, true};
    NB_TRY(show(w, &any, "any layer", "keys every entry of `model` understands", nb_model_common_keys, NULL));
    NB_TRY(show_list(w, &layers, nb_layers));
    return show_list(w, &blocks, nb_blocks);
}

static nb_status walk_quant(walk *w)
{
    static const group quant = {{"quant"}, {"quant"}, false}, weights = {{"quant"}, {"quant.weights"}, false};
    static const group activations = {{"quant"}, {"quant.activations"}, false};
    static const group methods[NB_METHOD_KINDS] = {
        {{"quant", "formats"}, {"quant.weights", "quant.activations"}, false},
        {{"quant", "ranges"}, {"quant.weights", "quant.activations"}, false},
        {{"quant", "learnings"}, {"quant.weights", "quant.activations"}, false},
        {{"quant", "roundings"}, {"quant.weights", "quant.activations"}, false}};
    static const group steps = {{"quant", "steps"}, {"quant.steps"}, true};
    NB_TRY(show(w, &quant, "quant", "the `quant` section", nb_quant_section_keys, NULL));
    NB_TRY(show(w, &weights, "weights", "quant.weights", nb_quant_weight_keys, NULL));
    NB_TRY(show(w, &activations, "activations", "quant.activations", nb_quant_act_keys, NULL));
    for (int32_t k = 0; k < NB_METHOD_KINDS; k++)
        NB_TRY(show_list(w, &methods[k], nb_method_list((nb_method_kind)k)));
    return show_list(w, &steps, nb_post_steps);
}

static nb_status walk_train(walk *w)
{
    static const group train = {{"train"}, {"train"}, false}, phases = {{"train"}, {"train.phases"}, false};
    static const group oscillation = {{"train"}, {"train.phases.oscillation"}, false};
    static const group layers = {{"train"}, {"train.layers"}, false};
    static const group lookahead = {{"train"}, {"train.lookahead"}, false};
    static const group teacher = {{"train"}, {"train.teacher"}, false};
    static const group optimizers = {{"train", "optimizers"}, {"train.optimizer"}, false};
    static const group schedules = {{"train", "schedules"}, {"train.phases.schedule"}, false};
    NB_TRY(show(w, &train, "train", "the `train` section", nb_train_section_keys, NULL));
    NB_TRY(show(w, &phases, "phases", "one entry of train.phases", nb_phase_table, NULL));
    NB_TRY(show(w, &oscillation, "oscillation", "`oscillation` of a phase", nb_oscillation_table, NULL));
    NB_TRY(show(w, &layers, "train.layers", "what a layer's entry of train.layers says", nb_train_layer_table, NULL));
    NB_TRY(show(w, &lookahead, "lookahead", "train.lookahead", nb_lookahead_table, NULL));
    NB_TRY(show(w, &teacher, "teacher", "train.teacher", nb_teacher_table, NULL));
    NB_TRY(show(w, &optimizers, "optimizer", "train.optimizer, whichever it is", nb_optimizer_common_keys, NULL));
    NB_TRY(show_list(w, &optimizers, nb_optimizers));
    return show_list(w, &schedules, nb_schedules);
}

static nb_status walk_all(walk *w)
{
    static const group top = {{"experiment"}, {""}, false}, log = {{"log"}, {"log"}, false};
    NB_TRY(show(w, &top, "experiment", "the top level of a config", nb_experiment_keys, NULL));
    NB_TRY(walk_data(w));
    NB_TRY(walk_layers(w));
    NB_TRY(walk_quant(w));
    NB_TRY(walk_train(w));
    return show(w, &log, "log", "the `log` section", nb_log_section_keys, NULL);
}

/* "train.phases[0].lr=0.1" is "train.phases.lr", and a layer's rules are described where the general ones are. */
static void normalise(const char *text, char want[WANT_BYTES])
{
    const bool path = strpbrk(text, ".[") != NULL;
    size_t n = 0;
    for (const char *s = text; *s && *s != '=' && n + 1 < WANT_BYTES;) {
        const size_t mark = *s == '.' || *s == '[', digits = strspn(s + mark, "0123456789");
        const char after = s[mark + digits];
        if (path && mark && digits && (!after || strchr(".[]=", after)))
            s += mark + digits + (after == ']');
        else
            want[n++] = *s++;
    }
    want[n] = '\0';
    static const char layers[] = "quant.layers.";
    if (strncmp(want, layers, sizeof layers - 1) != 0)
        return;
    const char *part = strstr(want, ".weights");
    part = part ? part : strstr(want, ".activations");
    if (part)
        memmove(want + sizeof "quant" - 1, part, strlen(part) + 1);
}

bool cli_is_key(const char *name)
{
    const nb_key *const tables[] = {nb_experiment_keys,   nb_data_common_keys,      nb_quant_section_keys,
                                    nb_quant_weight_keys, nb_quant_act_keys,        nb_train_section_keys,
                                    nb_phase_table,       nb_optimizer_common_keys, nb_log_section_keys};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const nb_key *k = tables[i]; k->name; k++)
            if (!strcmp(k->name, name))
                return true;
    return false;
}

static nb_status run(cli *c)
{
    char want[WANT_BYTES] = "";
    walk w = {.c = c, .want = c->n_args ? want : NULL};
    if (c->n_args)
        normalise(c->arg[0], want);
    NB_TRY(walk_all(&w));
    if (w.shown)
        return NB_OK;
    const char *word = strrchr(want, '.') ? strrchr(want, '.') + 1 : want;
    const char *near = nb_closest(word, w.names, w.n_names);
    if (near && strcmp(near, word) != 0)
        return cli_usage(c, "%s: no section, layer, data set, method or key has this name (did you mean \"%s\"?)",
                         c->arg[0], near);
    return cli_usage(c,
                     "%s: no section, layer, data set, method or key has this name (sections: experiment, data, "
                     "augment, layers, quant, train, log)",
                     c->arg[0]);
}

static const cli_option options[] = {{0}};

const cli_command cli_command_keys = {
    .name = "keys",
    .usage = "[SECTION|NAME|KEY]",
    .help = "every key of a config: type, default, what is allowed, meaning",
    .more =
        "SECTION is experiment, data (datasets, augment), model (layers, blocks), quant (formats, ranges,\n"
        "learnings, roundings, steps), train (phases, optimizers, schedules) or log; NAME is one thing of these: "
        "conv2d, "
        "sgd, synth,\n"
        "...; KEY is a key: batch, train.phases.0.lr. With train, eval, info and others, --set overrides a key by its\n"
        "path:\n"
        "  --set train.batch=64 --set model.1.conv2d.out=32 --set quant.layers.c1.weights.bits=2\n"
        "  --set data.augment='[flip, crop4]' --set 'train.phases=[{epochs: 4, lr: 0.1}]'\n",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
