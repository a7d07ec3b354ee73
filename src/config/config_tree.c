/* config_tree.c - nodes of a config: making them, walking them, saying where they are. */
#include "config/config_tree.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *nb_conf_show(char buf[CONF_SHOWN], const char *text)
{
    static const char more[] = "...";
    if (!*text)
        text = "\"\"";
    size_t len = strlen(text);
    size_t n = len;
    if (len >= CONF_SHOWN) {
        n = CONF_SHOWN - sizeof more;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) /* not in the middle of a UTF-8 character */
            n--;
    }
    for (size_t i = 0; i < n; i++)
        buf[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(buf + n, len > n ? more : "", len > n ? sizeof more : 1);
    return buf;
}

nb_status nb_conf_new(nb_ctx *ctx, nb_config *cfg, conf_type type, const nb_conf *like, nb_conf **out)
{
    if (cfg->n_nodes >= NB_CONFIG_MAX_NODES)
        return nb_fail(ctx, NB_E_CONFIG, "%s: more than %d values: this is not an experiment file", like->place,
                       (int)NB_CONFIG_MAX_NODES);
    nb_conf *c = nb_arena_array(cfg->arena, type == CONF_SCALAR ? 2 : 1, sizeof *c);
    if (!c)
        return NB_E_NOMEM;
    cfg->n_nodes++;
    c->type = type;
    c->path = like->path;
    c->place = c->key_place = like->place;
    c->line = c->key_line = like->line;
    if (type == CONF_SCALAR) {
        c[1] = *c;
        c[1].type = CONF_MAP;
        c->body = &c[1];
        c->text = "";
    }
    *out = c;
    return NB_OK;
}

nb_status nb_conf_append(nb_ctx *ctx, nb_config *cfg, nb_conf *parent, nb_conf *child)
{
    if (parent->type == CONF_MAP && parent->n >= NB_CONFIG_MAX_KEYS)
        return nb_fail(ctx, NB_E_CONFIG, "%s: more than %d keys in one section", child->key_place,
                       (int)NB_CONFIG_MAX_KEYS);
    if (parent->n == parent->cap) {
        int32_t cap = parent->cap ? parent->cap * 2 : 8;
        nb_conf **grown = nb_arena_array(cfg->arena, (size_t)cap, sizeof(nb_conf *)); /* NOLINT: an array of pointers */
        if (!grown)
            return NB_E_NOMEM;
        if (parent->n)
            memcpy(grown, parent->child, (size_t)parent->n * sizeof(nb_conf *)); /* NOLINT: an array of pointers */
        parent->child = grown;
        parent->cap = cap;
    }
    parent->child[parent->n++] = child;
    return NB_OK;
}

const nb_conf *nb_config_root(const nb_config *cfg)
{
    return cfg->root;
}

bool nb_conf_is_map(const nb_conf *c)
{
    return c && c->type == CONF_MAP;
}

bool nb_conf_is_list(const nb_conf *c)
{
    return c && c->type == CONF_LIST;
}

bool nb_conf_is_scalar(const nb_conf *c)
{
    return c && c->type == CONF_SCALAR;
}

bool nb_conf_is_empty(const nb_conf *c)
{
    return !c || (c->type == CONF_SCALAR && !*c->text) || (c->type == CONF_MAP && c->n == 0);
}

int32_t nb_conf_count(const nb_conf *c)
{
    return c ? c->n : 0;
}

const nb_conf *nb_conf_at(const nb_conf *c, int32_t i)
{
    NB_ASSERT(c && i >= 0 && i < c->n);
    return c->child[i];
}

const char *nb_conf_key_at(const nb_conf *map, int32_t i)
{
    return nb_conf_at(map, i)->key;
}

const nb_conf *nb_conf_get(const nb_conf *map, const char *key)
{
    if (!nb_conf_is_map(map))
        return NULL;
    for (int32_t i = 0; i < map->n; i++)
        if (strcmp(map->child[i]->key, key) == 0)
            return map->child[i];
    return NULL;
}

const char *nb_conf_text(const nb_conf *c)
{
    return nb_conf_is_scalar(c) ? c->text : NULL;
}

const char *nb_conf_place(const nb_conf *c)
{
    return c ? c->place : "";
}

bool nb_conf_is_set(const nb_conf *c) /* what an override made has its text as path and as place */
{
    return c && c->place == c->path;
}

void nb_config_drop(nb_config *cfg, const nb_conf *map, const char *key)
{
    nb_conf *m = (nb_conf *)(uintptr_t)map; /* a node of cfg, which the caller may change */
    (void)cfg;
    for (int32_t i = 0; i < nb_conf_count(map); i++) {
        if (!nb_conf_is_map(map) || strcmp(m->child[i]->key, key) != 0)
            continue;
        memmove(&m->child[i], &m->child[i + 1], (size_t)(m->n - i - 1) * sizeof(nb_conf *)); /* NOLINT: pointers */
        m->n--;
        return;
    }
}

bool nb_conf_equal(const nb_conf *a, const nb_conf *b) /* recursion is bounded by NB_CONFIG_MAX_DEPTH */
{
    if (a->type != b->type || a->n != b->n)
        return false;
    if (a->type == CONF_SCALAR)
        return strcmp(a->text, b->text) == 0;
    for (int32_t i = 0; i < a->n; i++) {
        const nb_conf *x = a->child[i];
        const nb_conf *y = b->child[i];
        if (a->type == CONF_MAP && strcmp(x->key, y->key) != 0)
            return false;
        if (!nb_conf_equal(x, y))
            return false;
    }
    return true;
}

nb_status nb_conf_fail(nb_ctx *ctx, const nb_conf *c, const char *where, nb_status st, const char *fmt, ...)
{
    char sentence[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    const char *place = nb_conf_place(c);
    if (!where)
        where = "";
    return nb_fail(ctx, st, "%s%s%s%s%s", place, *place ? ": " : "", where, *where ? ": " : "", sentence);
}

nb_status nb_conf_named(nb_ctx *ctx, const nb_conf *c, const char *where, const char **name, const nb_conf **body)
{
    if (nb_conf_is_scalar(c) && *c->text) {
        *name = c->text;
        *body = c->body;
        return NB_OK;
    }
    if (!nb_conf_is_map(c) || c->n != 1)
        return nb_conf_fail(ctx, c, where, NB_E_CONFIG,
                            "must be one name, or one name with its keys: `relu: {cap: 6}`");
    *name = c->child[0]->key;
    *body = c->child[0];
    return NB_OK;
}
