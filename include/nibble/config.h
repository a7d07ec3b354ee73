/* config.h - the experiment file: YAML bound to typed key tables.
 *
 * A config is parsed once into a tree of nb_conf (scalars, maps, lists; each knows its place). Sections are then
 * *bound*: a key table says name, kind, default, bounds, choices and help, and nb_conf_bind() (extend/keys.h) fills a
 * plain struct. The same tables print `nibble keys`. Unknown, repeated, missing, mistyped and out-of-range keys are NB_E_CONFIG with
 *   path:line: section.key: value: what is allowed (did you mean "...")
 * A value that came from an override says so: "--set model.3.conv2d.stride=0: model[3] conv2d c1.stride: 0: must be
 * in 1..8".
 *
 * A scalar is its text; the kind of the key it is bound to gives it meaning, quotes do not. An empty value is an empty
 * section. One document of maps, lists and scalars: anchors, aliases, tags and non-text keys are refused. Strings and
 * nodes handed out are owned by the nb_config and live as long as it does. */
#ifndef NIBBLE_CONFIG_H
#define NIBBLE_CONFIG_H

#include <nibble/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_config nb_config; /* a whole document; owns every node and string */
typedef struct nb_conf nb_conf;     /* one node of it */

enum { /* a config larger than this is refused: it is not an experiment file */
       NB_CONFIG_MAX_BYTES = 4 << 20,
       NB_CONFIG_MAX_DEPTH = 64,
       NB_CONFIG_MAX_NODES = 1 << 16, /* values in the whole document */
       NB_CONFIG_MAX_KEYS = 1 << 10,  /* keys of one map: repeated keys are found by comparing all pairs */
       NB_CONFIG_MAX_KEY_BYTES = 128
};

typedef enum {
    NB_K_INT,    /* int32_t */
    NB_K_UINT64, /* uint64_t */
    NB_K_FLOAT,  /* float; "inf" is allowed when max is INFINITY */
    NB_K_BOOL,   /* bool; yes|no|true|false|on|off */
    NB_K_ENUM,   /* int32_t: index into choices "a|b|c" */
    NB_K_STRING, /* const char * */
    NB_K_HW,     /* nb_hw, rows and columns: N or [N, N] */
    NB_K_SIDES,  /* nb_sides: N, [N, N] for rows and columns, [top, left, bottom, right], or same (all -1) */
    NB_K_NODE    /* const nb_conf *: any value, bound later by its owner; NULL when absent */
} nb_kind;

typedef struct nb_key {
    const char *name;
    const char *dflt;    /* text of the default; NULL = required. NB_K_NODE: NULL = optional, NB_REQUIRED = required */
    const char *choices; /* NB_K_ENUM: "sgd|adam|adamw"; NB_K_NODE: what to write there, for help */
    const char *help;    /* one line, lower case, with unit */
    nb_kind kind;
    size_t offset;
    double min, max; /* inclusive; INT, FLOAT, HW, SIDES; both 0 = whatever the type holds */
} nb_key;

/* Reads and parses; applies n_sets overrides "a.b.c=value" in order. List elements go by index (model.3.conv2d.out=8 or
 * model[3].conv2d.out=8), a layer written as a bare word becomes a map when a key of it is set (model.2.relu.cap=6),
 * missing maps on the way are created, names with dots are found (quant.layers.block1.c1.weights.bits=2), \ before . =
 * [ or \ takes it literally. The value is itself YAML: `--set data.augment=[flip]` works. */
NB_API nb_status nb_config_load(nb_ctx *ctx, const char *path, const char *const *sets, int32_t n_sets,
                                nb_config **out);
/* The same from memory; name stands in messages where the path would. */
NB_API nb_status nb_config_parse(nb_ctx *ctx, const char *name, const char *text, size_t len, const char *const *sets,
                                 int32_t n_sets, nb_config **out);
/* One more override. option: the words that it was given in, "--steps [equalize]", which messages begin with in the place of
 * "--set ..."; NULL: those. After a failure cfg is good for nothing but nb_config_free. */
NB_API nb_status nb_config_set(nb_ctx *ctx, nb_config *cfg, const char *option, const char *set);
NB_API void nb_config_free(nb_ctx *ctx, nb_config *cfg);

/* The tree after overrides as canonical YAML (block style for maps, flow style for short leaves), NUL-terminated; the
 * caller frees it with nb_free. Parsing it again gives an equal tree, and printing that again gives equal bytes; a tree
 * whose text would be too long to be read again is NB_E_CONFIG. */
NB_API nb_status nb_config_print(nb_ctx *ctx, const nb_config *cfg, char **out);

/* Takes a key out of a map of cfg, if it is there. */
NB_API void nb_config_drop(nb_config *cfg, const nb_conf *map, const char *key);

NB_API const nb_conf *nb_config_root(const nb_config *cfg);
NB_API bool nb_conf_is_map(const nb_conf *c);
NB_API bool nb_conf_is_list(const nb_conf *c);
NB_API bool nb_conf_is_scalar(const nb_conf *c);
NB_API bool nb_conf_is_empty(const nb_conf *c);                         /* NULL, an empty value or an empty map */
NB_API int32_t nb_conf_count(const nb_conf *c);                         /* entries of a map or list; 0 for a scalar */
NB_API const nb_conf *nb_conf_at(const nb_conf *c, int32_t i);          /* i-th value */
NB_API const char *nb_conf_key_at(const nb_conf *map, int32_t i);       /* i-th key, maps only */
NB_API const nb_conf *nb_conf_get(const nb_conf *map, const char *key); /* NULL when absent */
NB_API const char *nb_conf_text(const nb_conf *c);                      /* a scalar's text, else NULL */
NB_API const char *nb_conf_place(
    const nb_conf *c); /* "configs/x.yaml:14", or "--set a.b=3" when it came from there; "" for NULL */
NB_API bool nb_conf_is_set(const nb_conf *c);                  /* it came from an override; false for NULL */
NB_API bool nb_conf_equal(const nb_conf *a, const nb_conf *b); /* same shape, keys in the same order, same texts */

/* Fails with "<place of c>: <where>: <sentence>"; without the parts that are NULL or "". Returns st. */
NB_API nb_status nb_conf_fail(nb_ctx *ctx, const nb_conf *c, const char *where, nb_status st, const char *fmt, ...)
    NB_PRINTF(5, 6);
/* One scalar as k's kind into *(its type *)dst, by the rules and in the words of nb_conf_bind: for lists of numbers.
 * k's name and default play no part; where names the value in messages ("model[0] input.mean"). */
NB_API nb_status nb_conf_value(nb_ctx *ctx, const nb_conf *c, const char *where, const nb_key *k, void *dst);

/* "did you mean": the closest of n names by edit distance (or the one that starts the same), or NULL when none is near.
 */
NB_API const char *nb_closest(const char *word, const char *const *names, int32_t n);
/* The end of a sentence: ` (did you mean "NAME"?)`, or "" when none is near. */
typedef struct {
    char text[256];
} nb_hint;
NB_API nb_hint nb_did_you_mean(const char *word, const char *const *names, int32_t n);

/* For `nibble keys`: one aligned line per key (name, type, default, allowed values, help), without newline. Columns
 * have a minimum width, so that most tables line up with each other. */
NB_API nb_status nb_keys_print(nb_ctx *ctx, const nb_key *keys, void (*line)(void *ud, const char *text), void *ud);
NB_API const char *nb_kind_name(nb_kind kind);      /* "int", "float", "yes/no", ... */
NB_API const char *nb_key_default(const nb_key *k); /* "required", "-" (absent), or the default's text */
NB_API const char *nb_key_allowed(const nb_key *k, char *buf,
                                  size_t size); /* "1..8", ">= 0", "sgd | adam"; returns buf */

/* The top level of an experiment. Sections stay nodes: their owners bind them. */
typedef struct {
    uint64_t seed;
    const char *out;            /* run folder, or "": the caller derives one from the config's file name */
    const char *init;           /* checkpoint to start from, or "" */
    const nb_conf *init_value;  /* as written: its path, or {from, except} */
    const nb_conf *init_except; /* layers that do not start from it, or NULL */
    const nb_conf *data, *model, *quant, *train, *log;
} nb_experiment;
extern NB_API const nb_key nb_experiment_keys[];
NB_API nb_status nb_experiment_bind(nb_ctx *ctx, const nb_config *cfg, nb_experiment *out);

#ifdef __cplusplus
}
#endif
#endif
