/* config_set.c - overrides from the command line: "model.3.conv2d.out=8" changes one value of the tree.
 *
 * The value is parsed as YAML on its own and replaces what stood at the path. Every node it creates carries the
 * override as its place, so that a message about it points at the command line and not at a line of the file that says
 * something else.
 *
 * Names that a user chose may have dots (resblock3.c1). A key that is there already is found with its dots; below
 * quant.layers, where a name need not be there yet, it ends before its `weights` or `activations`. */
#include "config/config_tree.h"

#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_conf here; /* place of everything this override makes */
    const char *segment[NB_CONFIG_MAX_DEPTH];
    bool index[NB_CONFIG_MAX_DEPTH]; /* written as [3] */
    int32_t n;
} override;

/* Cuts "a.b[2].c" into a, b, 2, c; text is taken apart in place. */
static nb_status split_path(override *o, char *text)
{
    const char *s = text;
    char *to = text;
    bool index = *s == '[';
    s += index;
    for (;;) {
        char *start = to;
        while (*s && (index ? *s != ']' : *s != '.' && *s != '[')) {
            s += !index && *s == '\\' && s[1];
            *to++ = *s++;
        }
        if (index && (*s != ']' || (s[1] && s[1] != '.' && s[1] != '[')))
            return nb_fail(o->ctx, NB_E_CONFIG, "%s: an index is written [3] or .3", o->here.place);
        if (to == start)
            return nb_fail(o->ctx, NB_E_CONFIG, "%s: a key is empty; write section.key=value", o->here.place);
        if (o->n == NB_CONFIG_MAX_DEPTH)
            return nb_fail(o->ctx, NB_E_CONFIG, "%s: nested deeper than 64 levels", o->here.place);
        o->index[o->n] = index;
        o->segment[o->n++] = start;
        s += index;
        char separator = *s++; /* read before the next line can write over it */
        *to++ = '\0';
        if (!separator)
            return NB_OK;
        index = separator == '[';
    }
}

/* Does key read as the segments from..to, with the dots and brackets between them? */
static bool reads_as(const override *o, const char *key, int32_t from, int32_t to)
{
    for (int32_t i = from; i <= to; i++) {
        size_t n = strlen(o->segment[i]);
        if (i > from && !o->index[i] && *key++ != '.')
            return false;
        if (o->index[i] && *key++ != '[')
            return false;
        if (strncmp(key, o->segment[i], n) != 0)
            return false;
        key += n;
        if (o->index[i] && *key++ != ']')
            return false;
    }
    return !*key;
}

/* The segments from..to become one. */
static nb_status join(override *o, int32_t from, int32_t to)
{
    const char *all = o->segment[from];
    for (int32_t i = from + 1; i <= to && all; i++)
        all = nb_arena_printf(o->cfg->arena, o->index[i] ? "%s[%s]" : "%s.%s", all, o->segment[i]);
    if (!all)
        return NB_E_NOMEM;
    const int32_t gone = to - from;
    o->segment[from] = all;
    o->n -= gone;
    for (int32_t i = from + 1; i < o->n; i++) {
        o->segment[i] = o->segment[i + gone];
        o->index[i] = o->index[i + gone];
    }
    return NB_OK;
}

/* quant.layers.<name>.weights: the last such segment is the rule's, those before it are the name. */
static nb_status join_layer_name(override *o)
{
    enum { NAME = 2 };
    if (o->n <= NAME + 1 || strcmp(o->segment[0], "quant") != 0 || strcmp(o->segment[1], "layers") != 0)
        return NB_OK;
    for (int32_t i = o->n - 1; i > NAME; i--)
        if (!strcmp(o->segment[i], "weights") || !strcmp(o->segment[i], "activations"))
            return join(o, NAME, i - 1);
    return NB_OK;
}

/* A key of the map that several segments spell becomes one segment; the longest wins. */
static nb_status join_known(override *o, const nb_conf *map, int32_t at)
{
    for (int32_t to = o->n - 1; to > at; to--)
        for (int32_t i = 0; i < map->n; i++)
            if (reads_as(o, map->child[i]->key, at, to))
                return join(o, at, to);
    return NB_OK;
}

static nb_status list_slot(const override *o, const nb_conf *list, const char *segment, int32_t *index)
{
    size_t digits = strspn(segment, "0123456789");
    int64_t i = 0;
    for (const char *s = segment; i < INT32_MAX && *s >= '0' && *s <= '9'; s++)
        i = i * 10 + (*s - '0');
    char shown[CONF_SHOWN];
    if (list->n == 0)
        return nb_fail(o->ctx, NB_E_CONFIG, "%s: %s: there is no such element: the list at %s is empty", o->here.place,
                       nb_conf_show(shown, segment), list->place);
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
        if (c->type == CONF_MAP) {
            NB_TRY(join_known(o, c, i));
            NB_TRY(map_slot(o, c, o->segment[i], &index));
        } else {
            NB_TRY(list_slot(o, c, o->segment[i], &index));
        }
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

/* A path or name that YAML would cut at " #": nobody comments a command line. */
static nb_status check_comment(const override *o, const nb_conf *value, const char *text)
{
    if (value->type != CONF_SCALAR || value->quoted || !(text[0] == '#' || strstr(text, " #")))
        return NB_OK;
    return nb_fail(o->ctx, NB_E_CONFIG, "%s: in YAML a comment begins at the #: quote the value, --set 'KEY=\"VALUE\"'",
                   o->here.place);
}

nb_status nb_config_set(nb_ctx *ctx, nb_config *cfg, const char *option, const char *set)
{
    char shown[CONF_SHOWN];
    override o = {.ctx = ctx, .cfg = cfg};
    o.here.place = option ? nb_arena_printf(cfg->arena, "%s", nb_conf_show(shown, option))
                          : nb_arena_printf(cfg->arena, "--set %s", nb_conf_show(shown, set));
    if (!o.here.place)
        return NB_E_NOMEM;
    o.here.path = o.here.place;
    o.here.line = 1;
    const char *equals = find_equals(set);
    if (!equals)
        return nb_fail(ctx, NB_E_CONFIG, "%s: must be section.key=value", o.here.place);
    if (!nb_utf8_valid(set, (size_t)(equals - set))) /* it is printed; the value is checked by libyaml */
        return nb_fail(ctx, NB_E_CONFIG, "%s: the key is not UTF-8", o.here.place);
    char *path = nb_arena_strdup(cfg->arena, set);
    if (!path)
        return NB_E_NOMEM;
    path[equals - set] = '\0';
    NB_TRY(split_path(&o, path));
    NB_TRY(join_layer_name(&o));
    const conf_source src = {
        .path = o.here.path, .set = o.here.place, .text = equals + 1, .len = strlen(equals + 1), .depth = o.n};
    nb_conf *value = NULL;
    NB_TRY(nb_conf_parse(ctx, cfg, &src, &value));
    NB_TRY(check_comment(&o, value, equals + 1));
    return replace(&o, value);
}
