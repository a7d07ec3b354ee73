/* choices.c - the places of a config where a name decides which other keys there are. */
#include "cli/choices.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    cli *c;
    nb_config *cfg;
    const void *list;     /* of what can be chosen */
    const nb_key *common; /* keys that are there whatever was chosen */
    const char *where;
} place;

static bool has_key(const nb_key *keys, const char *name)
{
    for (const nb_key *k = keys; k && k->name; k++)
        if (!strcmp(k->name, name))
            return true;
    return false;
}

/* Is the key another choice's, and not of this one? */
static bool is_foreign(const place *p, const char *chosen, const char *key)
{
    bool others = false;
    for (int32_t i = 0; nb_entry_at(p->list, i).name; i++) {
        const nb_entry e = nb_entry_at(p->list, i);
        if (!has_key(e.keys, key))
            continue;
        if (!strcmp(e.name, chosen))
            return false;
        others = true;
    }
    return others && !has_key(p->common, key);
}

/* map: what holds the keys; by: the scalar with the name, in the map or in the rule that the map refines. */
static void settle(const place *p, const nb_conf *map, const nb_conf *by)
{
    const char *name = nb_conf_text(by);
    if (!nb_conf_is_map(map) || !nb_conf_is_set(by) || !name || !nb_registry_find(p->list, name))
        return;
    char gone[256] = "";
    size_t at = 0;
    for (int32_t i = 0; i < nb_conf_count(map);) {
        const char *key = nb_conf_key_at(map, i);
        if (nb_conf_is_set(nb_conf_at(map, i)) || !is_foreign(p, name, key)) {
            i++;
            continue;
        }
        if (at < sizeof gone)
            at += (size_t)snprintf(gone + at, sizeof gone - at, "%s%s", at ? ", " : "", key);
        nb_config_drop(p->cfg, map, key);
    }
    if (at)
        nb_log(p->c->ctx, "%s: %s: left out, as %s has no such keys: %s", nb_conf_place(by), p->where, name, gone);
}

/* A layer's rules that name no method of their own refine the general one. */
static void settle_methods(cli *c, nb_config *cfg, const nb_conf *quant, const char *part, const nb_key *common)
{
    char where[192];
    const nb_conf *general = nb_conf_get(quant, part), *layers = nb_conf_get(quant, "layers");
    for (int32_t k = 0; k < NB_METHOD_KINDS; k++) {
        const char *key = nb_method_key((nb_method_kind)k);
        const void *list = nb_method_list((nb_method_kind)k);
        const nb_conf *by = nb_conf_get(general, key);
        snprintf(where, sizeof where, "quant.%s", part);
        settle(&(place){c, cfg, list, common, where}, general, by);
        for (int32_t i = 0; nb_conf_is_map(layers) && i < nb_conf_count(layers); i++) {
            const nb_conf *own = nb_conf_get(nb_conf_at(layers, i), part), *named = nb_conf_get(own, key);
            snprintf(where, sizeof where, "quant.layers.%.128s.%s", nb_conf_key_at(layers, i), part);
            settle(&(place){c, cfg, list, common, where}, own, named ? named : by);
        }
    }
}

void cli_settle_choices(cli *c, nb_config *cfg)
{
    static const nb_key name_key[] = {{.name = "name"}, {0}};
    const nb_conf *root = nb_config_root(cfg), *data = nb_conf_get(root, "data"), *quant = nb_conf_get(root, "quant");
    const nb_conf *train = nb_conf_get(root, "train"), *phases = nb_conf_get(train, "phases");
    const nb_conf *optim = nb_conf_get(train, "optimizer");
    if (c->n_sets == 0)
        return;
    settle(&(place){c, cfg, nb_datasets, nb_data_common_keys, "data"}, data, nb_conf_get(data, "name"));
    settle_methods(c, cfg, quant, "weights", nb_quant_weight_keys);
    settle_methods(c, cfg, quant, "activations", nb_quant_act_keys);
    settle(&(place){c, cfg, nb_optimizers, nb_optimizer_common_keys, "train.optimizer"}, optim,
           nb_conf_get(optim, "name"));
    for (int32_t i = 0; nb_conf_is_list(phases) && i < nb_conf_count(phases); i++) {
        char where[64];
        const nb_conf *s = nb_conf_get(nb_conf_at(phases, i), "schedule");
        snprintf(where, sizeof where, "train.phases[%d].schedule", i);
        settle(&(place){c, cfg, nb_schedules, name_key, where}, s, nb_conf_get(s, "name"));
    }
}
