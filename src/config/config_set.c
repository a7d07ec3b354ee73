/* config_set.c - overrides from the command line: "model.3.conv2d.out=8" changes one value of the tree.
 *
 * The value is parsed as YAML on its own and replaces what stood at the path. Every node it creates carries the
 * override as its place, so that a message about it points at the command line and not at a line of the file that says
 * something else. */
#include "config/config_tree.h"

#include "base/check.h"

#include <string.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_conf here; /* place of everything this override makes */
    const char *segment[NB_CONFIG_MAX_DEPTH];
    int32_t n;
} override;

/* Cuts "a.b[2].c" at unescaped dots and brackets; text is taken apart in place. */
static nb_status split_path(override *o, char *text)
{
    char *to = text, *start = text;
    bool after_index = false; /* a dot after "]" separates nothing new */
    for (const char *s = text;; s++) {
        bool end = !*s, cut = end || *s == '.' || *s == '[' || *s == ']';
        if (!cut) {
            s += *s == '\\' && s[1];
            *to++ = *s;
            continue;
        }
        if (to > start || !after_index) {
            if (to == start || o->n == NB_CONFIG_MAX_DEPTH)
                return nb_fail(o->ctx, NB_E_CONFIG, "%s: %s", o->here.place,
                               to == start ? "a key is empty; write section.key=value"
                                           : "nested deeper than 64 levels");
            o->segment[o->n++] = start;
        }
        after_index = *s == ']';
        *to++ = '\0';
        start = to;
        if (end)
            return NB_OK;
    }
}

static nb_status list_slot(const override *o, const nb_conf *list, const char *segment, int32_t *index)
{
    size_t digits = strspn(segment, "0123456789");
    int64_t i = 0;
    for (const char *s = segment; i < INT32_MAX && *s >= '0' && *s <= '9'; s++)
        i = i * 10 + (*s - '0');
    char shown[CONF_SHOWN];
    if (!digits || segment[digits] || i >= list->n)
        return nb_fail(o->ctx, NB_E_CONFIG, "%s: %s: must be an index, 0..%d, of the list at %s", o->here.place,
                       nb_conf_show(shown, segment), (int)list->n - 1, list->place);
    *index = (int32_t)i;
    return NB_OK;
}

static nb_status map_slot(const override *o, nb_conf *map, const char *segment, int32_t *index)
{
    for (int32_t i = 0; i < map->n; i++) {
        if (strcmp(map->child[i]->key, segment) == 0) {
            *index = i;
            return NB_OK;
        }
    }
    if (strlen(segment) > NB_CONFIG_MAX_KEY_BYTES)
        return nb_fail(o->ctx, NB_E_CONFIG, "%s: a key is longer than 128 bytes", o->here.place);
    nb_conf *c = NULL;
    NB_TRY(nb_conf_new(o->ctx, o->cfg, CONF_SCALAR, &o->here, &c));
    c->key = segment;
    *index = map->n;
    return nb_conf_append(o->ctx, o->cfg, map, c);
}

/* Something empty becomes a map; a bare word that names what it is, "relu" in a model list, becomes {relu: }. */
static nb_status make_map(const override *o, nb_conf *c, const char *segment)
{
    char shown[CONF_SHOWN];
    if (*c->text && (c->key || strcmp(c->text, segment) != 0))
        return nb_fail(o->ctx, NB_E_CONFIG, "%s: %s: the value at %s is a plain text, it has no keys", o->here.place,
                       nb_conf_show(shown, c->text), c->place);
    c->text = NULL;
    c->type = CONF_MAP;
    return NB_OK;
}

static nb_status replace(override *o, nb_conf *value)
{
    nb_conf **slot = &o->cfg->root;
    for (int32_t i = 0; i < o->n; i++) {
        nb_conf *c = *slot;
        int32_t index = 0;
        if (c->type == CONF_SCALAR)
            NB_TRY(make_map(o, c, o->segment[i]));
        if (c->type == CONF_MAP)
            NB_TRY(map_slot(o, c, o->segment[i], &index));
        else
            NB_TRY(list_slot(o, c, o->segment[i], &index));
        slot = &c->child[index];
    }
    value->key = (*slot)->key;
    value->key_line = (*slot)->key_line;
    value->key_place = (*slot)->key_place;
    *slot = value;
    return NB_OK;
}

/* The first '=' that no backslash precedes, or NULL. */
static const char *find_equals(const char *s)
{
    for (; *s && *s != '='; s++)
        s += *s == '\\' && s[1];
    return *s ? s : NULL;
}

nb_status nb_conf_set(nb_ctx *ctx, nb_config *cfg, const char *set)
{
    char shown[CONF_SHOWN];
    override o = {.ctx = ctx, .cfg = cfg};
    o.here.place = nb_arena_printf(cfg->arena, "--set %s", nb_conf_show(shown, set));
    if (!o.here.place)
        return NB_E_NOMEM;
    o.here.path = o.here.place;
    o.here.line = 1;
    const char *equals = find_equals(set);
    if (!equals)
        return nb_fail(ctx, NB_E_CONFIG, "%s: must be section.key=value", o.here.place);
    char *path = nb_arena_strdup(cfg->arena, set);
    if (!path)
        return NB_E_NOMEM;
    path[equals - set] = '\0';
    NB_TRY(split_path(&o, path));
    const conf_source src = {
        .path = o.here.path, .set = o.here.place, .text = equals + 1, .len = strlen(equals + 1), .depth = o.n};
    nb_conf *value = NULL;
    NB_TRY(nb_conf_parse(ctx, cfg, &src, &value));
    return replace(&o, value);
}
