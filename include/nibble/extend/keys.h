/* keys.h - for who has keys of their own in a config: writing tables of them, and binding a section to a struct. */
#ifndef NIBBLE_EXTEND_KEYS_H
#define NIBBLE_EXTEND_KEYS_H

#include <nibble/config.h>
#include <nibble/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nb_arena;

#define NB_REQUIRED "!" /* nb_key.dflt of a NB_K_NODE that must be there */

#define NB_KEY_INT(T, f, d, lo, hi, h)                                                                                 \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_INT, .offset = offsetof(T, f), .min = (lo), .max = (hi)     \
    }
#define NB_KEY_FLOAT(T, f, d, lo, hi, h)                                                                               \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_FLOAT, .offset = offsetof(T, f), .min = (lo), .max = (hi)   \
    }
#define NB_KEY_BOOL(T, f, d, h)                                                                                        \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_BOOL, .offset = offsetof(T, f)                              \
    }
#define NB_KEY_ENUM(T, f, d, ch, h)                                                                                    \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .choices = (ch), .help = (h), .kind = NB_K_ENUM, .offset = offsetof(T, f)             \
    }
#define NB_KEY_STRING(T, f, d, h)                                                                                      \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_STRING, .offset = offsetof(T, f)                            \
    }
#define NB_KEY_UINT64(T, f, d, h)                                                                                      \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_UINT64, .offset = offsetof(T, f)                            \
    }
#define NB_KEY_HW(T, f, d, lo, hi, h)                                                                                  \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_HW, .offset = offsetof(T, f), .min = (lo), .max = (hi)      \
    }
#define NB_KEY_SIDES(T, f, d, hi, h) /* each in 0..hi */                                                               \
    {                                                                                                                  \
        .name = #f, .dflt = (d), .help = (h), .kind = NB_K_SIDES, .offset = offsetof(T, f), .max = (hi)                \
    }
#define NB_KEY_NODE(T, f, what, h)                                                                                     \
    {                                                                                                                  \
        .name = #f, .choices = (what), .help = (h), .kind = NB_K_NODE, .offset = offsetof(T, f)                        \
    }
#define NB_KEY_SECTION(T, f, what, h) /* a node that must be there */                                                  \
    {                                                                                                                  \
        .name = #f, .dflt = NB_REQUIRED, .choices = (what), .help = (h), .kind = NB_K_NODE, .offset = offsetof(T, f)   \
    }
/* A table ends with {0}. */

/* Fails with "<place>: <where>: <text of c>: unknown <what> (did you mean "...")", or lists the names when none is
 * near. */
NB_API nb_status nb_conf_unknown(nb_ctx *ctx, const nb_conf *c, const char *where, const char *what,
                                 const char *const *names, int32_t n);

/* Something with a name and keys, as in a model list: `relu` or `relu: {cap: 6}`. *body is a map or empty, never NULL,
 * and knows its place: give it to nb_conf_bind. */
NB_API nb_status nb_conf_named(nb_ctx *ctx, const nb_conf *c, const char *where, const char **name,
                               const nb_conf **body);

/* Fills each dst (zeroed by the caller) from map by its table: a section may be described by several tables, each with
 * its own destination; a key that two tables share is bound in both. map may be NULL or empty (all defaults; required
 * keys then fail). where names the section in messages ("model[3] conv2d c1", "quant.weights"; "" at the top). After a
 * failure the dst are half filled. */
typedef struct {
    const nb_key *keys;
    void *dst;
} nb_binding;
NB_API nb_status nb_conf_bind(nb_ctx *ctx, const nb_conf *map, const char *where, const nb_binding *b, int32_t n);

/* A list of plain strings, or one scalar taken as a list of one (NULL or empty: none): item(ud, text, node) for each.
 */
NB_API nb_status nb_conf_each_text(nb_ctx *ctx, const nb_conf *c, const char *where,
                                   nb_status (*item)(void *ud, const char *text, const nb_conf *node), void *ud);

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
