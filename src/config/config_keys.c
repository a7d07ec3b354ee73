/* config_keys.c - key tables as text: the lines of `nibble keys` come from the tables that bind. */
#include <nibble/extend/keys.h>

#include "base/check.h"
#include "base/textbuf.h"

#include <string.h>

enum { NAME_WIDTH = 18, KIND_WIDTH = 6, DEFAULT_WIDTH = 10, ALLOWED_WIDTH = 24, ALLOWED_BYTES = 512 };

const char *nb_kind_name(nb_kind kind)
{
    static const char *const names[] = {
        [NB_K_INT] = "int",     [NB_K_UINT64] = "int", [NB_K_FLOAT] = "float",
        [NB_K_BOOL] = "yes/no", [NB_K_ENUM] = "word",  [NB_K_STRING] = "text",
        [NB_K_NODE] = "any",    [NB_K_HW] = "ints",    [NB_K_SIDES] = "ints",
    };
    return names[kind];
}

const char *nb_key_default(const nb_key *k)
{
    if (k->kind == NB_K_NODE)
        return k->dflt ? "required" : "-";
    if (!k->dflt)
        return "required";
    return *k->dflt ? k->dflt : "\"\"";
}

static size_t wider(size_t width, const char *s)
{
    size_t n = strlen(s);
    return n > width ? n : width;
}

static void cell(nb_text *t, const char *s, size_t width)
{
    size_t n = strlen(s);
    nb_text_bytes(t, s, n);
    nb_text_fill(t, ' ', (n < width ? width - n : 0) + 2);
}

nb_status nb_keys_print(nb_ctx *ctx, const nb_key *keys, void (*line)(void *ud, const char *text), void *ud)
{
    char allowed[ALLOWED_BYTES];
    size_t name = NAME_WIDTH;
    size_t dflt = DEFAULT_WIDTH;
    for (const nb_key *k = keys; k && k->name; k++) {
        name = wider(name, k->name);
        dflt = wider(dflt, nb_key_default(k));
    }
    nb_text t;
    nb_text_init(ctx, &t);
    for (const nb_key *k = keys; k && k->name; k++) {
        t.len = 0;
        cell(&t, k->name, name);
        cell(&t, nb_kind_name(k->kind), KIND_WIDTH);
        cell(&t, nb_key_default(k), dflt);
        cell(&t, nb_key_allowed(k, allowed, sizeof allowed),
             ALLOWED_WIDTH); /* a long list of words may push its own help */
        nb_text_add(&t, k->help ? k->help : "");
        if (t.st != NB_OK)
            break;
        line(ud, t.s);
    }
    nb_status st = t.st;
    nb_text_free(&t);
    return st;
}
