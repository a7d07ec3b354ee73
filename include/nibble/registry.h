/* registry.h - kinds of things that a config or a command names: layers, blocks, data sets, augmentations, optimizers,
 * schedules, range methods.
 *
 * Each kind is a list that ends with NULL, made from a .def file with one line per thing, of pointers to constant structs
 * that begin with NB_ENTRY. Where there are no keys (exporters, name maps, commands) they begin with a name at least, and
 * only nb_entry_at and nb_entry_bind are not for them. */
#ifndef NIBBLE_REGISTRY_H
#define NIBBLE_REGISTRY_H

#include <nibble/config.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nb_arena;

/* keys: its own config keys beside those that all of its kind have, {0}-terminated, bound into attr_size bytes; or NULL.
 * examples: config snippets, NULL-terminated, which help prints and tests try; or NULL. */
#define NB_ENTRY                                                                                                       \
    const char *name, *help;                                                                                           \
    const nb_key *keys;                                                                                                \
    size_t attr_size;                                                                                                  \
    const char *const *examples

typedef struct {
    NB_ENTRY;
} nb_entry;

/* list: nb_layers, nb_optimizers, ... */
NB_API const void *nb_registry_find(const void *list, const char *name); /* NULL when there is none */
NB_API int32_t nb_registry_index(const void *list, const char *name);    /* -1 when there is none */
/* How many there are, at most max. */
NB_API int32_t nb_registry_names(const void *list, const char **names, int32_t max);
NB_API const char *nb_registry_text(const void *list, char *buf, size_t size); /* "text, c, onnx"; returns buf */
NB_API nb_entry nb_entry_at(const void *list, int32_t i);                      /* name NULL: the end */

/* The entry that c, a scalar or a map with one key, names; NULL after nb_conf_unknown: where and what are its. */
NB_API const void *nb_registry_choose(nb_ctx *ctx, const void *list, const char *name, const nb_conf *c,
                                      const char *where, const char *what);

/* An entry's attributes in arena, with its keys and the common ones of its kind bound from map. */
NB_API nb_status nb_entry_bind(nb_ctx *ctx, struct nb_arena *arena, const void *entry, const nb_conf *map,
                               const char *where, nb_binding common, void **attr);

#ifdef __cplusplus
}
#endif
#endif
