/* config_bind.c - a map of the tree into plain structs, by key tables.
 *
 * First every key of the map must be in a table, then every entry of every table gets its value or its default: a
 * mistyped key is reported as such and not as a missing one. */
#include "config/config_tree.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 320, MAX_NAMES = 64, LIST_BYTES = 640 };

/* "c1" + "." + "stride"; no dot at the top of the document */
static const char *dot(const char *where)
{
    return where && *where ? "." : "";
}

static const nb_key *find_key(const nb_binding *b, int32_t n, const char *name)
{
    for (int32_t i = 0; i < n; i++)
        for (const nb_key *k = b[i].keys; k && k->name; k++)
            if (!strcmp(k->name, name))
                return k;
    return NULL;
}

/* " (did you mean ...)" or the list of names, cut at a name. */
static void suggest(char *buf, size_t size, const char *word, const char *const *names, int32_t n)
{
    const char *near = nb_closest(word, names, n);
    if (near) {
        snprintf(buf, size, "did you mean \"%s\"?", near);
        return;
    }
    size_t at = (size_t)snprintf(buf, size, "%s", n ? "there are: " : "there are none");
    for (int32_t i = 0; i < n; i++) {
        if (at + strlen(names[i]) + sizeof ", ..." >= size) {
            snprintf(buf + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", names[i]);
    }
}

static nb_status fail_unknown_key(nb_ctx *ctx, const nb_conf *c, const char *where, const nb_binding *b, int32_t n)
{
    const char *names[MAX_NAMES] = {NULL}; /* gcc 14 and 16 at -O1: "may be used uninitialized" */
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++)
        for (const nb_key *k = b[i].keys; k && k->name && count < MAX_NAMES; k++)
            names[count++] = k->name;
    char hint[LIST_BYTES];
    char shown[CONF_SHOWN];
    suggest(hint, sizeof hint, c->key, names, count);
    return nb_fail(ctx, NB_E_CONFIG, "%s: %s%s%s: unknown key (%s)", c->key_place, where ? where : "", dot(where),
                   nb_conf_show(shown, c->key), hint);
}

nb_status nb_conf_unknown(nb_ctx *ctx, const nb_conf *c, const char *where, const char *what, const char *const *names,
                          int32_t n)
{
    const char *word = nb_conf_text(c);
    if (!word && nb_conf_is_map(c) && c->n)
        word = c->child[0]->key;
    char hint[LIST_BYTES];
    char shown[CONF_SHOWN];
    for (int32_t i = 0; nb_conf_is_map(c) && word && i < n; i++)
        if (!strcmp(word, names[i]))
            return nb_conf_fail(ctx, c, where, NB_E_CONFIG,
                                "a map: must be one word, %s; keys of its own stand beside it, not below it", word);
    suggest(hint, sizeof hint, word ? word : "", names, n);
    return nb_conf_fail(ctx, c, where, NB_E_CONFIG, "%s: unknown %s (%s)", nb_conf_show(shown, word ? word : ""), what,
                        hint);
}

/* "section.key: value: why", with the place of c in front; name may be NULL */
static nb_status fail_value(nb_ctx *ctx, const nb_conf *c, const char *where, const char *name, const char *value,
                            const char *why)
{
    char shown[CONF_SHOWN];
    const char *place = nb_conf_place(c);
    return nb_fail(ctx, NB_E_CONFIG, "%s%s%s%s%s: %s: %s", place, *place ? ": " : "", where ? where : "",
                   name ? dot(where) : "", name ? name : "", nb_conf_show(shown, value), why);
}

/* [rows, columns], and of sides [top, left, bottom, right]. */
static nb_status convert_list(nb_ctx *ctx, const nb_conf *c, const char *where, const char *name, const nb_key *k,
                              int32_t *dst)
{
    char why[WHY_BYTES];
    nb_key one = *k;
    one.kind = NB_K_INT;
    const int32_t n = nb_conf_count(c);
    if (n != 2 && (n != 4 || k->kind != NB_K_SIDES))
        return fail_value(ctx, c, where, name, "a list",
                          k->kind == NB_K_HW ? "must be a number or [rows, columns]"
                                             : "must be a number, [rows, columns] or [top, left, bottom, right]");
    for (int32_t i = 0; i < n; i++) {
        const nb_conf *e = c->child[i];
        if (!nb_conf_is_scalar(e))
            return fail_value(ctx, e, where, name, "a list in a list", "must be numbers");
        if (!nb_conf_convert(&one, e->text, dst + i, why, sizeof why))
            return fail_value(ctx, e, where, name, e->text, why);
    }
    if (k->kind == NB_K_SIDES && n == 2)
        memcpy(dst + 2, dst, 2 * sizeof *dst);
    return NB_OK;
}

static nb_status convert(nb_ctx *ctx, const nb_conf *c, const char *where, const char *name, const nb_key *k, void *dst)
{
    char why[WHY_BYTES];
    if ((k->kind == NB_K_HW || k->kind == NB_K_SIDES) && nb_conf_is_list(c))
        return convert_list(ctx, c, where, name, k, dst);
    if (!nb_conf_is_scalar(c))
        return fail_value(ctx, c, where, name, nb_conf_is_map(c) ? "a section" : "a list", "must be a single value");
    if (!nb_conf_convert(k, c->text, dst, why, sizeof why))
        return fail_value(ctx, c, where, name, c->text, why);
    return NB_OK;
}

nb_status nb_conf_value(nb_ctx *ctx, const nb_conf *c, const char *where, const nb_key *k, void *dst)
{
    return convert(ctx, c, where, NULL, k, dst);
}

static nb_status fail_missing(nb_ctx *ctx, const nb_conf *map, const char *where, const nb_key *k)
{
    char allowed[WHY_BYTES];
    const char *place = nb_conf_place(map);
    nb_key_allowed(k, allowed, sizeof allowed);
    return nb_fail(ctx, NB_E_CONFIG, "%s%s%s%s%s: required key is missing (%s%s%s)", place, *place ? ": " : "",
                   where ? where : "", dot(where), k->name, k->help ? k->help : "", k->help ? ": " : "", allowed);
}

static nb_status bind_key(nb_ctx *ctx, const nb_conf *map, const char *where, const nb_key *k, char *dst)
{
    const nb_conf *c = nb_conf_get(map, k->name);
    if (!c && (k->kind == NB_K_NODE ? k->dflt != NULL : k->dflt == NULL))
        return fail_missing(ctx, map, where, k);
    if (k->kind == NB_K_NODE) {
        memcpy(dst + k->offset, &c, sizeof(const nb_conf *));
        return NB_OK;
    }
    if (c)
        return convert(ctx, c, where, k->name, k, dst + k->offset);
    char why[WHY_BYTES];
    if (!nb_conf_convert(k, k->dflt, dst + k->offset, why, sizeof why))
        return fail_value(ctx, map, where, k->name, k->dflt, "is a wrong default; this is an error in Nibble");
    return NB_OK;
}

nb_status nb_conf_bind(nb_ctx *ctx, const nb_conf *map, const char *where, const nb_binding *b, int32_t n)
{
    if (!nb_conf_is_empty(map) && !nb_conf_is_map(map)) {
        char shown[CONF_SHOWN];
        return nb_conf_fail(ctx, map, where, NB_E_CONFIG, "%s: must be a section of keys, `key: value`",
                            nb_conf_is_list(map) ? "a list" : nb_conf_show(shown, map->text));
    }
    for (int32_t i = 0; i < nb_conf_count(map); i++)
        if (!find_key(b, n, map->child[i]->key))
            return fail_unknown_key(ctx, map->child[i], where, b, n);
    for (int32_t i = 0; i < n; i++)
        for (const nb_key *k = b[i].keys; k && k->name; k++)
            NB_TRY(bind_key(ctx, map, where, k, b[i].dst));
    return NB_OK;
}

nb_status nb_conf_each_text(nb_ctx *ctx, const nb_conf *c, const char *where,
                            nb_status (*item)(void *ud, const char *text, const nb_conf *node), void *ud)
{
    if (nb_conf_is_empty(c))
        return NB_OK;
    if (nb_conf_is_scalar(c))
        return item(ud, c->text, c);
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        const nb_conf *e = c->child[i];
        if (c->type == CONF_MAP || !nb_conf_is_scalar(e))
            return nb_conf_fail(ctx, c->type == CONF_MAP ? c : e, where, NB_E_CONFIG,
                                "must be a list of words, [a, b]");
        NB_TRY(item(ud, e->text, e));
    }
    return NB_OK;
}

const nb_key nb_experiment_keys[] = {
    NB_KEY_UINT64(nb_experiment, seed, "1", "of everything random; the same seed gives the same bytes"),
    NB_KEY_STRING(nb_experiment, out, "", "run folder; empty: runs/<name of the config>"),
    {.name = "init",
     .choices = "FILE or {from: FILE, except: [LAYER, ...]}",
     .help =
         "checkpoint to start from, all but some layers; FILE#HASH: only with these tensors; default: random weights",
     .kind = NB_K_NODE,
     .offset = offsetof(nb_experiment, init_value)},
    NB_KEY_SECTION(nb_experiment, data, "{name: ..., ...}", "the images"),
    NB_KEY_SECTION(nb_experiment, model, "[layer, ...]", "layers in execution order"),
    NB_KEY_NODE(nb_experiment, quant, "{...}", "how values become integers"),
    NB_KEY_NODE(nb_experiment, train, "{...}", "optimizer and phases"),
    NB_KEY_NODE(nb_experiment, log, "{...}", "what training writes beside its results"),
    {0}};

static nb_status one_layer(void *ud, const char *text, const nb_conf *node)
{
    (void)text;
    (void)node;
    ++*(int32_t *)ud;
    return NB_OK;
}

/* `init: FILE` or `init: {from: FILE, except: [fc]}`. */
static nb_status bind_init(nb_ctx *ctx, nb_experiment *e)
{
    static const nb_key keys[] = {{.name = "from", .kind = NB_K_STRING, .offset = offsetof(nb_experiment, init)},
                                  {.name = "except", .kind = NB_K_NODE, .offset = offsetof(nb_experiment, init_except)},
                                  {0}};
    const nb_conf *c = e->init_value;
    int32_t n = 0;
    e->init = "";
    if (nb_conf_is_empty(c))
        return NB_OK;
    if (nb_conf_is_scalar(c)) {
        e->init = nb_conf_text(c);
        return NB_OK;
    }
    NB_TRY(nb_conf_bind(ctx, c, "init", &(nb_binding){keys, e}, 1));
    NB_TRY(nb_conf_each_text(ctx, e->init_except, "init.except", one_layer, &n));
    return NB_OK;
}

nb_status nb_experiment_bind(nb_ctx *ctx, const nb_config *cfg, nb_experiment *out)
{
    nb_experiment e = {0};
    const nb_binding b = {nb_experiment_keys, &e};
    NB_TRY(nb_conf_bind(ctx, cfg->root, "", &b, 1));
    NB_TRY(bind_init(ctx, &e));
    *out = e;
    return NB_OK;
}
