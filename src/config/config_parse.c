/* config_parse.c - YAML text to a tree of nb_conf, by libyaml's events.
 *
 * libyaml checks the syntax; we keep the part of YAML a config needs and refuse the rest (anchors, aliases, tags, keys
 * that are not text, several documents), so a document cannot expand: the tree is never larger than its text. Depth,
 * size and counts are capped before anything is built, and no step recurses. */
#include "config/config_tree.h"

#include "base/check.h"
#include "base/file_kind.h"
#include "base/files.h"

#include <limits.h>
#include <string.h>
#include <yaml.h>

enum { HEAD_BYTES = 4096 };

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    const conf_source *src;
    yaml_parser_t yaml;
    nb_conf *open[NB_CONFIG_MAX_DEPTH]; /* maps and lists around the current event, outermost first */
    int32_t n_open, n_documents;
    const char *key, *key_place; /* read, its value not yet; NULL otherwise */
    int32_t key_line;
    const char *place; /* of place_line: most lines hold several nodes */
    int32_t place_line;
    nb_conf *root;
} builder;

static int32_t line_of(const yaml_mark_t *m)
{
    return m->line < INT32_MAX ? (int32_t)m->line + 1 : INT32_MAX;
}

/* NULL with the sentence set. */
static const char *place_of(builder *b, int32_t line)
{
    if (b->src->set)
        return b->src->set;
    if (line != b->place_line) {
        b->place = nb_arena_printf(b->cfg->arena, "%s:%d", b->src->path, (int)line);
        b->place_line = b->place ? line : 0;
    }
    return b->place;
}

static nb_status fail_at(builder *b, int32_t line, const char *sentence)
{
    if (b->src->set)
        return nb_fail(b->ctx, NB_E_CONFIG, "%s: %s", b->src->set, sentence);
    return nb_fail(b->ctx, NB_E_CONFIG, "%s:%d: %s", b->src->path, (int)line, sentence);
}

/* libyaml's words, with a line even where it only knows a byte offset, and a hint for the mistake everybody makes. */
static nb_status fail_syntax(builder *b)
{
    const yaml_parser_t *y = &b->yaml;
    if (y->error == YAML_MEMORY_ERROR)
        return nb_fail(b->ctx, NB_E_NOMEM, "%s: out of memory", b->src->set ? b->src->set : b->src->path);
    int32_t line = line_of(&y->problem_mark);
    if (y->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < y->problem_offset && i < b->src->len; i++)
            line += b->src->text[i] == '\n';
    }
    const char *problem = y->problem ? y->problem : "unreadable";
    char sentence[256];
    size_t at = y->problem_mark.index;
    if (y->error == YAML_SCANNER_ERROR && at < b->src->len && b->src->text[at] == '\t')
        snprintf(sentence, sizeof sentence, "a tab cannot indent; use spaces");
    else if (y->context && y->context_mark.line != y->problem_mark.line && !b->src->set)
        snprintf(sentence, sizeof sentence, "not valid YAML: %s, %s that began on line %d", problem, y->context,
                 (int)line_of(&y->context_mark));
    else
        snprintf(sentence, sizeof sentence, "not valid YAML: %s%s%s", problem, y->context ? ", " : "",
                 y->context ? y->context : "");
    return fail_at(b, line, sentence);
}

static nb_status refuse_extras(builder *b, int32_t line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(b, line, "anchors (&name) are not supported: write the value where it is used");
    if (tag)
        return fail_at(b, line, "tags (!type) are not supported: the key decides what its value means");
    return NB_OK;
}

static nb_status new_node(builder *b, conf_type type, int32_t line, nb_conf **out)
{
    const nb_conf here = {.path = b->src->path, .place = place_of(b, line), .line = line};
    return here.place ? nb_conf_new(b->ctx, b->cfg, type, &here, out) : NB_E_NOMEM;
}

static bool wants_key(const builder *b)
{
    return b->n_open && b->open[b->n_open - 1]->type == CONF_MAP && !b->key;
}

/* Hangs c where the next value goes: under the pending key, at the end of the list, or at the root. */
static nb_status attach(builder *b, nb_conf *c)
{
    if (!b->n_open) {
        b->root = c;
        return NB_OK;
    }
    if (b->key) {
        c->key = b->key;
        c->key_line = b->key_line;
        c->key_place = b->key_place;
        if (c->type != CONF_SCALAR) { /* a section is where its name is, not where its first key is */
            c->line = b->key_line;
            c->place = b->key_place;
        }
        b->key = NULL;
    }
    return nb_conf_append(b->ctx, b->cfg, b->open[b->n_open - 1], c);
}

static nb_status on_key(builder *b, const char *text, size_t len, int32_t line)
{
    if (len == 0)
        return fail_at(b, line, "a key is empty");
    if (len > NB_CONFIG_MAX_KEY_BYTES)
        return fail_at(b, line, "a key is longer than 128 bytes");
    const nb_conf *map = b->open[b->n_open - 1];
    const nb_conf *first = nb_conf_get(map, text);
    if (first) {
        char sentence[256];
        char shown[CONF_SHOWN];
        snprintf(sentence, sizeof sentence, "%s: repeated key, first given on line %d", nb_conf_show(shown, text),
                 (int)first->key_line);
        return fail_at(b, line, sentence);
    }
    b->key_line = line;
    b->key_place = place_of(b, line);
    char *key = b->key_place ? nb_arena_strdup(b->cfg->arena, text) : NULL;
    b->key = key;
    return key ? NB_OK : NB_E_NOMEM;
}

static nb_status on_scalar(builder *b, const yaml_event_t *e)
{
    int32_t line = line_of(&e->start_mark);
    NB_TRY(refuse_extras(b, line, e->data.scalar.anchor, e->data.scalar.tag));
    const char *text = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    if (memchr(text, 0, len))
        return fail_at(b, line, "a text holds a NUL character");
    if (wants_key(b))
        return on_key(b, text, len, line);
    nb_conf *c = NULL;
    NB_TRY(new_node(b, CONF_SCALAR, line, &c));
    c->quoted = e->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                e->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    const char *copy = nb_arena_strdup(b->cfg->arena, text);
    if (!copy)
        return NB_E_NOMEM;
    c->text = copy;
    return attach(b, c);
}

static nb_status on_open(builder *b, conf_type type, int32_t line)
{
    if (wants_key(b))
        return fail_at(b, line, "a key must be plain text, not a list or map");
    if (b->n_open + b->src->depth >= NB_CONFIG_MAX_DEPTH)
        return fail_at(b, line, "nested deeper than 64 levels");
    nb_conf *c = NULL;
    NB_TRY(new_node(b, type, line, &c));
    NB_TRY(attach(b, c));
    b->open[b->n_open++] = c;
    return NB_OK;
}

static nb_status on_event(builder *b, const yaml_event_t *e)
{
    int32_t line = line_of(&e->start_mark);
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->n_documents++)
            return fail_at(b, line, "a second document starts here: one file is one experiment");
        if (e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
            return fail_at(b, line, "tag directives (%TAG) are not supported");
        return NB_OK;
    case YAML_ALIAS_EVENT:
        return fail_at(b, line, "aliases (*name) are not supported; quote a text that starts with *");
    case YAML_SCALAR_EVENT:
        return on_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        NB_TRY(refuse_extras(b, line, e->data.sequence_start.anchor, e->data.sequence_start.tag));
        return on_open(b, CONF_LIST, line);
    case YAML_MAPPING_START_EVENT:
        NB_TRY(refuse_extras(b, line, e->data.mapping_start.anchor, e->data.mapping_start.tag));
        return on_open(b, CONF_MAP, line);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->n_open--;
        return NB_OK;
    default:
        return NB_OK;
    }
}

static nb_status read_events(builder *b)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&b->yaml, &e))
            return fail_syntax(b);
        bool last = e.type == YAML_STREAM_END_EVENT;
        nb_status st = on_event(b, &e);
        yaml_event_delete(&e);
        if (st != NB_OK || last)
            return st;
    }
}

/* Whether a line break of YAML 1.1 (LF, CR, NEL, LS, PS) ends right before s. */
static bool starts_line(const char *text, const char *s)
{
    size_t before = (size_t)(s - text);
    return before == 0 || s[-1] == '\n' || s[-1] == '\r' || (before >= 2 && memcmp(s - 2, "\xc2\x85", 2) == 0) ||
           (before >= 3 && (memcmp(s - 3, "\xe2\x80\xa8", 3) == 0 || memcmp(s - 3, "\xe2\x80\xa9", 3) == 0));
}

/* libyaml compares each %TAG directive with all before it: 200,000 of them, 3 MB, keep it busy for half a minute. They
 * are refused anyway (as tags are), but it reports them only when all are read. Nothing we print starts a line with
 * '%'. */
static bool has_many_tag_directives(const char *text, size_t len)
{
    enum { MANY = 16 };
    int32_t n = 0;
    const char *end = text + len;
    for (const char *s = text; (s = memchr(s, '%', (size_t)(end - s))) != NULL; s++)
        n += end - s > 4 && memcmp(s, "%TAG", 4) == 0 && starts_line(text, s);
    return n > MANY;
}

nb_status nb_conf_parse(nb_ctx *ctx, nb_config *cfg, const conf_source *src, nb_conf **out)
{
    builder b = {.ctx = ctx, .cfg = cfg, .src = src};
    if (src->len > NB_CONFIG_MAX_BYTES)
        return fail_at(&b, 1, "larger than 4 MiB: this is not an experiment file");
    if (has_many_tag_directives(src->text, src->len))
        return fail_at(&b, 1, "tag directives (%TAG) are not supported");
    if (!yaml_parser_initialize(&b.yaml))
        return nb_fail(ctx, NB_E_NOMEM, "%s: out of memory", src->path);
    yaml_parser_set_encoding(&b.yaml,
                             YAML_UTF8_ENCODING); /* so that bytes mean what we and the reader of the file think */
    size_t bom = src->len >= 3 && memcmp(src->text, "\xef\xbb\xbf", 3) == 0
                     ? 3
                     : 0; /* libyaml would indent the first line by it */
    yaml_parser_set_input_string(&b.yaml, (const unsigned char *)src->text + bom, src->len - bom);
    nb_status st = read_events(&b);
    yaml_parser_delete(&b.yaml);
    if (st == NB_OK && !b.root) /* nothing but comments */
        st = new_node(&b, CONF_SCALAR, 1, &b.root);
    if (st == NB_OK)
        *out = b.root;
    return st;
}

nb_status nb_config_parse(nb_ctx *ctx, const char *name, const char *text, size_t len, const char *const *sets,
                          int32_t n_sets, nb_config **out)
{
    nb_arena *arena = NULL;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_config *cfg = nb_arena_alloc(arena, sizeof *cfg);
    char *path = cfg ? nb_arena_strdup(arena, name) : NULL;
    nb_status st = path ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        cfg->arena = arena;
        conf_source src = {.path = path, .text = text, .len = len};
        st = nb_conf_parse(ctx, cfg, &src, &cfg->root);
    }
    for (int32_t i = 0; st == NB_OK && i < n_sets; i++)
        st = nb_config_set(ctx, cfg, NULL, sets[i]);
    if (st != NB_OK) {
        nb_arena_free(arena);
        return st;
    }
    *out = cfg;
    return NB_OK;
}

/* A file of another kind is called by its name, whatever its size: the parser would find a fault in its first line. */
static nb_status read_config(nb_ctx *ctx, const char *path, uint8_t **bytes, size_t *len)
{
    uint8_t head[HEAD_BYTES];
    char kind[NB_FILE_KIND_BYTES];
    const size_t n = nb_file_head(path, head, sizeof head);
    const char *what = nb_file_kind(path, head, n, kind, sizeof kind);
    if (what && strncmp(what, "a config", 8) != 0 && strncmp(what, "a text", 6) != 0)
        return nb_fail(ctx, NB_E_CONFIG, "%s: not a config (YAML) but %s", path, what);
    return nb_file_read(ctx, path, NB_CONFIG_MAX_BYTES, bytes, len);
}

nb_status nb_config_load(nb_ctx *ctx, const char *path, const char *const *sets, int32_t n_sets, nb_config **out)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    NB_TRY(read_config(ctx, path, &bytes, &len));
    nb_status st = nb_config_parse(ctx, path, (const char *)bytes, len, sets, n_sets, out);
    nb_free(ctx, bytes);
    return st;
}

void nb_config_free(nb_ctx *ctx, nb_config *cfg)
{
    (void)ctx; /* the arena knows its context */
    if (cfg)
        nb_arena_free(cfg->arena);
}
