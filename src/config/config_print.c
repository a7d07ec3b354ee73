/* config_print.c - a tree as canonical YAML: what a run folder keeps as its resolved config.
 *
 * Block style down to the last section that still holds sections; a map of plain values (and lists of them) that fits
 * on a line is written {a: 1, b: [x, y]}. Texts keep their bytes: plain where every YAML reader agrees that it is
 * plain, else in double quotes with escapes. The choice depends on the tree alone, so printing what was parsed from a
 * print gives the same bytes. */
#include "config/config_tree.h"

#include "base/check.h"
#include "base/textbuf.h"
#include "base/utf8.h"

#include <string.h>

enum { LINE_WIDTH = 100, INDENT = 2 };

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '/';
}

/* A subset of what may stand without quotes in every context, "---" and indicators excluded. */
static bool is_plain(const char *s)
{
    bool sign = *s == '-' || *s == '+' || *s == '.';
    if (!is_word(s[sign]))
        return false;
    for (; *s; s++)
        if (!is_word(*s) && !strchr("+-._^~%@", *s))
            return false;
    return true;
}

/* Control characters, the line ends YAML 1.1 adds (NEL, LS, PS), and what no YAML file may hold as it is. */
static bool needs_escape(uint32_t cp)
{
    return nb_utf8_is_control(cp) || cp == 0x2028 || cp == 0x2029 || cp == 0xfeff || cp == 0xfffe || cp == 0xffff;
}

static void print_quoted(nb_text *t, const char *text)
{
    nb_text_add(t, "\"");
    for (const char *s = text; *s;) {
        uint32_t cp = 0;
        size_t n = nb_utf8_next(s, &cp);
        if (cp == '"' || cp == '\\')
            nb_text_printf(t, "\\%c", (int)cp);
        else if (cp == '\n')
            nb_text_add(t, "\\n");
        else if (cp == '\t')
            nb_text_add(t, "\\t");
        else if (needs_escape(cp))
            nb_text_printf(t, cp < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)cp);
        else
            nb_text_bytes(t, s, n);
        s += n;
    }
    nb_text_add(t, "\"");
}

static void print_text(nb_text *t, const char *text, bool quoted)
{
    if (quoted || !is_plain(text))
        print_quoted(t, text);
    else
        nb_text_add(t, text);
}

static bool is_leaf(const nb_conf *c) /* nothing to unfold: a text, [] or {} */
{
    return c->n == 0;
}

static bool is_list_of_leaves(const nb_conf *c)
{
    for (int32_t i = 0; i < c->n; i++)
        if (!is_leaf(c->child[i]))
            return false;
    return c->type != CONF_MAP;
}

static void print_flow(nb_text *t, const nb_conf *c)
{
    if (c->type == CONF_SCALAR) {
        print_text(t, c->text, c->quoted);
        return;
    }
    nb_text_add(t, c->type == CONF_MAP ? "{" : "[");
    for (int32_t i = 0; i < c->n; i++) {
        if (i)
            nb_text_add(t, ", ");
        if (c->type == CONF_MAP) {
            print_text(t, c->child[i]->key, false);
            nb_text_add(t, ": ");
        }
        print_flow(t, c->child[i]);
    }
    nb_text_add(t, c->type == CONF_MAP ? "}" : "]");
}

/* Whether c goes on the line that has `used` columns already. Bounded work: a container is printed at most once to find
 * out, and only when its children are leaves or short lists. */
static bool fits_flow(nb_text *t, const nb_conf *c, size_t used)
{
    if (is_leaf(c))
        return true;
    if (c->n > LINE_WIDTH)
        return false;
    for (int32_t i = 0; i < c->n; i++)
        if (!is_list_of_leaves(c->child[i]) || c->child[i]->n > LINE_WIDTH)
            return false;
    size_t before = t->len;
    print_flow(t, c);
    if (t->st != NB_OK)
        return false;
    bool fits = used + (t->len - before) <= LINE_WIDTH;
    t->len = before;
    return fits;
}

static size_t column(const nb_text *t)
{
    size_t n = 0;
    while (n < t->len && n < LINE_WIDTH && t->s[t->len - 1 - n] != '\n')
        n++;
    return n;
}

/* Prints c so that its first line continues the current one; further lines are indented. Recursion is bounded by
 * NB_CONFIG_MAX_DEPTH. */
static void print_block(nb_text *t, const nb_conf *c, size_t indent)
{
    for (int32_t i = 0; i < c->n; i++) {
        const nb_conf *v = c->child[i];
        if (i)
            nb_text_fill(t, ' ', indent);
        if (c->type == CONF_MAP) {
            print_text(t, v->key, false);
            nb_text_add(t, ":");
        } else {
            nb_text_add(t, "-");
        }
        if (fits_flow(t, v, column(t) + 1)) {
            nb_text_add(t, " ");
            print_flow(t, v);
            nb_text_add(t, "\n");
        } else if (c->type == CONF_LIST) { /* "- key: ..." and "- - ..." */
            nb_text_add(t, " ");
            print_block(t, v, indent + INDENT);
        } else {
            nb_text_add(t, "\n");
            nb_text_fill(t, ' ', indent + INDENT);
            print_block(t, v, indent + INDENT);
        }
    }
}

nb_status nb_config_print(nb_ctx *ctx, const nb_config *cfg, char **out)
{
    nb_text t;
    nb_text_init(ctx, &t);
    if (is_leaf(cfg->root)) {
        print_flow(&t, cfg->root);
        nb_text_add(&t, "\n");
    } else {
        print_block(&t, cfg->root, 0);
    }
    if (t.st == NB_OK && t.len > NB_CONFIG_MAX_BYTES) {
        nb_text_free(&t);
        return nb_fail(ctx, NB_E_CONFIG, "%s: printed, it is larger than 4 MiB and could not be read again",
                       cfg->root->path);
    }
    return nb_text_take(&t, out);
}
