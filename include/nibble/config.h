/* config.h - the experiment file: YAML bound to typed key tables.
 *
 * A config is parsed once into a tree of nb_conf (scalars, maps, lists; each knows its line). Sections are then *bound*: a key
 * table says name, kind, default, bounds, choices and help, and nb_conf_bind() fills a plain struct. The same tables print
 * `nibble keys`. Unknown, repeated, missing, mistyped and out-of-range keys are NB_E_CONFIG with
 *   path:line: section.key: value: what is allowed (did you mean "...")
 * Strings and nodes handed out are owned by the nb_config and live as long as it does. */
#ifndef NIBBLE_CONFIG_H
#define NIBBLE_CONFIG_H

#include <nibble/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_config nb_config; /* a whole document; owns every node and string */
typedef struct nb_conf nb_conf;     /* one node of it */

typedef enum {
    NB_K_INT,    /* int32_t */
    NB_K_UINT64, /* uint64_t */
    NB_K_FLOAT,  /* float; "inf" is allowed when max is INFINITY */
    NB_K_BOOL,   /* bool; yes|no|true|false|on|off */
    NB_K_ENUM,   /* int32_t: index into choices "a|b|c" */
    NB_K_STRING, /* const char * */
    NB_K_NODE    /* const nb_conf *: any value, bound later by its owner; NULL when absent */
} nb_kind;

typedef struct nb_key {
    const char *name;
    const char *dflt;    /* text of the default; NULL = required (NB_K_NODE: optional, absent gives NULL) */
    const char *choices; /* NB_K_ENUM: "sgd|adam|adamw"; NB_K_NODE: what to write there, for help */
    const char *help;    /* one line, lower case, with unit */
    nb_kind kind;
    size_t offset;
    double min, max; /* inclusive; INT and FLOAT */
} nb_key;

#define NB_KEY_INT(T, f, d, lo, hi, h)                                                                                 \
    {.name = #f, .dflt = d, .help = h, .kind = NB_K_INT, .offset = offsetof(T, f), .min = lo, .max = hi}
#define NB_KEY_FLOAT(T, f, d, lo, hi, h)                                                                               \
    {.name = #f, .dflt = d, .help = h, .kind = NB_K_FLOAT, .offset = offsetof(T, f), .min = lo, .max = hi}
#define NB_KEY_BOOL(T, f, d, h) {.name = #f, .dflt = d, .help = h, .kind = NB_K_BOOL, .offset = offsetof(T, f)}
#define NB_KEY_ENUM(T, f, d, ch, h)                                                                                    \
    {.name = #f, .dflt = d, .choices = ch, .help = h, .kind = NB_K_ENUM, .offset = offsetof(T, f)}
#define NB_KEY_STRING(T, f, d, h) {.name = #f, .dflt = d, .help = h, .kind = NB_K_STRING, .offset = offsetof(T, f)}
#define NB_KEY_UINT64(T, f, d, h) {.name = #f, .dflt = d, .help = h, .kind = NB_K_UINT64, .offset = offsetof(T, f)}
#define NB_KEY_NODE(T, f, what, h)                                                                                     \
    {.name = #f, .choices = what, .help = h, .kind = NB_K_NODE, .offset = offsetof(T, f)}
/* A table ends with {0}. */

/* Reads and parses; applies n_sets overrides "a.b.c=value" in order (list elements by index: model.3.conv2d.out=8; the value is
 * itself YAML, so `--set data.augment=[flip]` works; missing maps on the way are created). */
NB_API nb_status nb_config_load(nb_ctx *ctx, const char *path, const char *const *sets, int32_t n_sets, nb_config **out);
/* The same from memory; name stands in messages where the path would. */
NB_API nb_status nb_config_parse(nb_ctx *ctx, const char *name, const char *text, size_t len, const char *const *sets,
                                 int32_t n_sets, nb_config **out);
NB_API void nb_config_free(nb_ctx *ctx, nb_config *cfg);

/* The tree after overrides as canonical YAML (block style for maps, flow style for short leaves), NUL-terminated; the caller frees
 * it with nb_free. Parsing it again gives an equal tree, and printing that again gives equal bytes. */
NB_API nb_status nb_config_print(nb_ctx *ctx, const nb_config *cfg, char **out);

NB_API const nb_conf *nb_config_root(const nb_config *cfg);
NB_API bool nb_conf_is_map(const nb_conf *c);
NB_API bool nb_conf_is_list(const nb_conf *c);
NB_API bool nb_conf_is_scalar(const nb_conf *c);
NB_API int32_t nb_conf_count(const nb_conf *c);                      /* entries of a map or list; 0 for a scalar */
NB_API const nb_conf *nb_conf_at(const nb_conf *c, int32_t i);       /* i-th value */
NB_API const char *nb_conf_key_at(const nb_conf *map, int32_t i);    /* i-th key, maps only */
NB_API const nb_conf *nb_conf_get(const nb_conf *map, const char *key); /* NULL when absent */
NB_API const char *nb_conf_text(const nb_conf *c);                   /* a scalar's text, else NULL */
NB_API const char *nb_conf_path(const nb_conf *c);                   /* file name for messages */
NB_API int32_t nb_conf_line(const nb_conf *c);                       /* 1-based */

/* Fills *dst (zeroed by the caller) from map by the NULL-terminated array of tables: a section may be described by several tables,
 * each with its own destination. map may be NULL (all defaults; required keys then fail). where names the section in messages
 * ("model[3] conv2d c1", "quant.weights"). */
typedef struct {
    const nb_key *keys;
    void *dst;
} nb_binding;
NB_API nb_status nb_conf_bind(nb_ctx *ctx, const nb_conf *map, const char *where, const nb_binding *b, int32_t n);

/* A list of plain strings, or one scalar taken as a list of one: item(ud, text, node) for each. */
NB_API nb_status nb_conf_each_text(nb_ctx *ctx, const nb_conf *c, const char *where,
                                   nb_status (*item)(void *ud, const char *text, const nb_conf *node), void *ud);

/* "did you mean": the closest of n names by edit distance, or NULL when none is near. */
NB_API const char *nb_closest(const char *word, const char *const *names, int32_t n);

/* The top level of an experiment. Sections stay nodes: their owners bind them. */
typedef struct {
    uint64_t seed;
    const char *out;  /* run folder */
    const char *init; /* checkpoint to start from, or "" */
    const nb_conf *data, *model, *quant, *train;
} nb_experiment;
extern NB_API const nb_key nb_experiment_keys[];
NB_API nb_status nb_experiment_bind(nb_ctx *ctx, const nb_config *cfg, nb_experiment *out);

#ifdef __cplusplus
}
#endif
#endif
