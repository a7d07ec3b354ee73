/* init_file.c - FNV-1a over names and values, in the order of the graph, which is that of the file. */
#include "train/init_file.h"

#include <nibble/extend/op.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/safetensors.h"

#include <inttypes.h>
#include <string.h>

enum { HASH_DIGITS = 16 };

static uint64_t add_tensor(uint64_t h, const char *name, const void *data, size_t bytes)
{
    return nb_mix(nb_mix(h, nb_hash_text(name)), nb_hash_bytes(data, bytes));
}

static void put(uint64_t h, char *text)
{
    snprintf(text, NB_INIT_HASH_BYTES, "#%016" PRIx64, h);
}

void nb_init_hash_text(const nb_graph *g, char *text)
{
    uint64_t h = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *leaf = g->node[i];
        if (leaf->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
            h = add_tensor(h, leaf->name, leaf->out.data, (size_t)nb_count(&leaf->out) * sizeof(float));
    }
    put(h, text);
}

/* Without the optimizer's state, which starting from a checkpoint does not use. */
static void checkpoint_hash(const nb_checkpoint *c, char *text)
{
    uint64_t h = 0;
    for (int32_t i = 0; i < nb_st_count(c->file); i++) {
        const nb_st_tensor *t = nb_st_at(c->file, i);
        if (strncmp(t->name, "opt/", 4) != 0 && strncmp(t->name, "ema/", 4) != 0)
            h = add_tensor(h, t->name, t->data, t->bytes);
    }
    put(h, text);
}

size_t nb_init_path_bytes(const char *init)
{
    const size_t n = strlen(init);
    const char *hash = n > HASH_DIGITS ? init + n - HASH_DIGITS - 1 : "";
    return *hash == '#' && strspn(hash + 1, "0123456789abcdef") == HASH_DIGITS ? n - HASH_DIGITS - 1 : n;
}

nb_status nb_init_check(nb_ctx *ctx, const nb_experiment *e, const nb_checkpoint *c)
{
    const char *want = e->init + nb_init_path_bytes(e->init);
    char got[NB_INIT_HASH_BYTES];
    checkpoint_hash(c, got);
    if (!*want || strcmp(want, got) == 0)
        return NB_OK;
    return nb_fail(ctx, NB_E_FORMAT,
                   "%s: holds other weights (%s) than the ones this config was made for (init: ...%s): import the "
                   "network again, or take the hash out of `init`",
                   c->path, got, want);
}

nb_status nb_init_open(nb_ctx *ctx, const nb_experiment *e, nb_checkpoint **out)
{
    char *path = nb_strdup(ctx, e->init);
    nb_checkpoint *c = NULL;
    if (!path)
        return NB_E_NOMEM;
    path[nb_init_path_bytes(path)] = '\0';
    nb_status st = nb_checkpoint_open(ctx, path, &c);
    nb_free(ctx, path);
    if (st == NB_OK)
        st = nb_init_check(ctx, e, c);
    if (st == NB_OK)
        *out = c;
    else
        nb_checkpoint_close(ctx, c);
    return st;
}
