/* config_tree.h - inside of a config: the node, its owner, and how both are built. Only src/config includes this.
 *
 * Everything lives in the config's arena. A node is written while the config is being loaded and never after. */
#ifndef NB_CONFIG_TREE_H
#define NB_CONFIG_TREE_H

#include <nibble/extend/keys.h>

#include "base/arena.h"

typedef enum { CONF_SCALAR, CONF_MAP, CONF_LIST } conf_type;

struct nb_conf {
    conf_type type;
    bool quoted;           /* scalar: it was quoted, and is printed so, for readers that guess types */
    int32_t line;          /* 1-based; of the key for a map or list that has one */
    int32_t n, cap;        /* children */
    nb_conf **child;       /* map values or list elements */
    const char *text;      /* scalar, else NULL */
    const char *key;       /* in a map, else NULL */
    const char *path;      /* file name, or the override that made it */
    const char *place;     /* "path:line" or the override */
    const char *key_place; /* the same for the key */
    int32_t key_line;
    nb_conf *body; /* scalar: the empty map it stands for in nb_conf_named */
};

struct nb_config {
    nb_arena *arena;
    nb_conf *root;
    int32_t n_nodes;
};

enum { CONF_SHOWN = 64 };

/* What an error message shows of a text a user wrote: printable and short. Returns buf. */
const char *nb_conf_show(char buf[CONF_SHOWN], const char *text);

/* A node at the place of `like` (path, place, line; kept, not copied), without children; a scalar's text is "". */
nb_status nb_conf_new(nb_ctx *ctx, nb_config *cfg, conf_type type, const nb_conf *like, nb_conf **out);
/* Makes room for one more child and appends it. */
nb_status nb_conf_append(nb_ctx *ctx, nb_config *cfg, nb_conf *parent, nb_conf *child);

/* One YAML document into a tree. set: NULL for a file, else the override in whose name messages speak; depth: how deep
 * the tree will hang in another one. */
typedef struct {
    const char *path, *set;
    const char *text;
    size_t len;
    int32_t depth;
} conf_source;
nb_status nb_conf_parse(nb_ctx *ctx, nb_config *cfg, const conf_source *src, nb_conf **out);

/* Parses text as k's kind into *(type *)dst; a sentence's middle ("must be in 1..8") goes to why when it does not fit.
 */
bool nb_conf_convert(const nb_key *k, const char *text, void *dst, char *why, size_t size);

#endif
