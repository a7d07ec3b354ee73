/* registry.c - one finder, one "did you mean" and one binder for every list of named things. */
#include <nibble/extend/keys.h>

#include "base/arena.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 64 };

/* A list's elements are pointers to different structures, which all look the same (C11 6.2.5) but are not one type. */
static const nb_entry *at(const void *list, int32_t i)
{
    const nb_entry *e;
    memcpy(&e, (const char *)list + (size_t)i * sizeof e, sizeof e);
    return e;
}

static const char *name_of(const void *entry) /* the first member of all of them */
{
    return *(const char *const *)entry;
}

static nb_entry entry_of(const void *entry)
{
    nb_entry e;
    memcpy(&e, entry, sizeof e);
    return e;
}

/* "lsq+" is lsqplus: names are also those of files and of symbols. */
static bool same_name(const char *name, const char *asked)
{
    for (; *asked == '+' ? strncmp(name, "plus", 4) == 0 : *asked && *asked == *name; asked++)
        name += *asked == '+' ? 4 : 1;
    return *name == '\0' && *asked == '\0';
}

int32_t nb_registry_index(const void *list, const char *name)
{
    for (int32_t i = 0; at(list, i); i++)
        if (same_name(name_of(at(list, i)), name))
            return i;
    return -1;
}

const void *nb_registry_find(const void *list, const char *name)
{
    int32_t i = nb_registry_index(list, name);
    return i < 0 ? NULL : at(list, i);
}

nb_entry nb_entry_at(const void *list, int32_t i)
{
    return at(list, i) ? entry_of(at(list, i)) : (nb_entry){0};
}

int32_t nb_registry_names(const void *list, const char **names, int32_t max)
{
    int32_t n = 0;
    for (; n < max && at(list, n); n++)
        names[n] = name_of(at(list, n));
    return n;
}

const char *nb_registry_text(const void *list, char *buf, size_t size)
{
    size_t used = 0;
    *buf = '\0';
    for (int32_t i = 0; at(list, i) && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", name_of(at(list, i)));
    return buf;
}

const void *nb_registry_choose(nb_ctx *ctx, const void *list, const char *name, const nb_conf *c, const char *where,
                               const char *what)
{
    const char *names[MAX_NAMES];
    const void *entry = nb_registry_find(list, name);
    if (!entry)
        (void)nb_conf_unknown(ctx, c, where, what, names, nb_registry_names(list, names, MAX_NAMES));
    return entry;
}

nb_status nb_entry_bind(nb_ctx *ctx, nb_arena *arena, const void *entry, const nb_conf *map, const char *where,
                        nb_binding common, void **attr)
{
    const nb_entry e = entry_of(entry);
    *attr = nb_arena_alloc(arena, e.attr_size);
    const nb_binding b[] = {common, {e.keys, *attr}};
    return *attr ? nb_conf_bind(ctx, map, where, b, 2) : NB_E_NOMEM;
}
