/* weights.c - the tensors of a safetensors file into a graph, by name map.
 *
 * First every module of the file finds its rule; then modules that are mapped by name take their layers, and those in
 * order of execution are sorted and laid beside the layers that are left. What is wrong is said before a value moves.
 */
#include "import/weights.h"

#include "import/fill.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/files.h"
#include "base/textbuf.h"
#include "core/oihw.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TENSORS = 1 << 14, /* names are compared pair by pair */ MAP_FILE_BYTES = 1 << 20 };

/* ---- names ---- */

const char *nb_weights_part(const nb_weights_item *it)
{
    return it->name[it->module] == '.' ? it->name + it->module + 1 : it->name;
}

bool nb_weights_same_module(const nb_weights_item *a, const nb_weights_item *b)
{
    return a->module == b->module && memcmp(a->name, b->name, a->module) == 0;
}

static size_t module_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

/* The leaf that their part of a module is: by our own name, or by PyTorch's. */
static nb_node *leaf_for(const nb_node *layer, const char *part)
{
    static const char *const norm[][2] = {
        {"weight", "gamma"}, {"bias", "beta"}, {"running_mean", "mean"}, {"running_var", "var"}};
    for (int32_t i = 0; layer->op->role == NB_ROLE_AFFINE && i < 4; i++)
        if (strcmp(part, norm[i][0]) == 0 && layer->op->moments)
            return nb_leaf_of(layer, norm[i][1]);
    const bool slopes = layer->op->role == NB_ROLE_TABLE && strcmp(part, "weight") == 0; /* of a PReLU */
    return nb_leaf_of(layer, slopes ? "slope" : part);
}

/* ---- rules ---- */

static const nb_map_rule *find_rule(const nb_map *map, nb_weights_item *it)
{
    for (int32_t i = 0; i < map->n; i++) {
        const nb_map_rule *r = &map->rules[i];
        if (nb_map_match(r->theirs, it->name, it->module, &it->holes) ||
            (r->ours && nb_map_match(r->theirs, it->name, strlen(it->name), &it->holes)))
            return r;
    }
    return NULL;
}

static bool counts_batches(const nb_weights_item *it)
{
    return strcmp(nb_weights_part(it), "num_batches_tracked") == 0;
}

static void apply_rules(nb_weights *m)
{
    for (int32_t i = 0; i < m->n; i++) {
        nb_weights_item *it = &m->items[i];
        it->rule = find_rule(&m->map, it);
        it->ignored = counts_batches(it) || (it->rule && it->rule->ours && strcmp(it->rule->ours, "-") == 0);
    }
}

static int by_execution(const void *a, const void *b)
{
    const nb_weights_item *p = a, *q = b;
    int32_t g = p->rule ? p->rule->group : INT32_MAX, h = q->rule ? q->rule->group : INT32_MAX;
    if (g != h)
        return g < h ? -1 : 1;
    for (int32_t k = 0; p->rule && k < p->holes.n && k < q->holes.n; k++)
        if (p->holes.number[k] != q->holes.number[k])
            return p->holes.number[k] < q->holes.number[k] ? -1 : 1;
    if (p->rule != q->rule)
        return p->rule < q->rule ? -1 : 1;
    return strcmp(p->t->name, q->t->name);
}

/* ---- layers ---- */

static nb_status find_layers(nb_weights *m)
{
    m->layers = nb_arena_array(m->arena, (size_t)m->g->n, sizeof *m->layers);
    if (!m->layers)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < m->g->n; i++) {
        const nb_node *n = m->g->node[i];
        bool has = false;
        for (int32_t k = 0; k < n->n_in; k++)
            has = has || (n->in[k]->flags & NB_NODE_LEAF);
        if (has)
            m->layers[m->n_layers++] = n;
    }
    return NB_OK;
}

static const nb_node *find_layer(const nb_weights *m, const char *name)
{
    for (int32_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i]->name, name) == 0)
            return m->layers[i];
    return NULL;
}

static nb_status no_such_layer(const nb_weights *m, const nb_weights_item *it, const char *ours)
{
    const char **names = nb_arena_array(m->arena, (size_t)m->n_layers + 1, sizeof *names);
    if (!names)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < m->n_layers; i++)
        names[i] = m->layers[i]->name;
    return nb_fail(m->ctx, NB_E_FORMAT, "%s:%d: %.100s -> %.100s: the network has no such layer with parameters%s",
                   m->map.name, it->rule->line, it->t->name, ours, nb_did_you_mean(ours, names, m->n_layers).text);
}

/* A rule with an arrow: a module to a layer, or a tensor to a parameter. */
static nb_status place_named(nb_weights *m, nb_weights_item *it)
{
    char ours[NB_MAP_LINE * 2];
    if (!nb_map_fill(it->rule->ours, &it->holes, ours, sizeof ours))
        return nb_fail(m->ctx, NB_E_FORMAT, "%s:%d: %.100s: the name it becomes is too long", m->map.name,
                       it->rule->line, it->t->name);
    it->layer = find_layer(m, ours);
    if (it->layer) {
        it->leaf = leaf_for(it->layer, nb_weights_part(it));
        return NB_OK;
    }
    char *dot = strrchr(ours, '.');
    if (dot)
        *dot = '\0';
    it->layer = dot ? find_layer(m, ours) : NULL;
    it->leaf = it->layer ? leaf_for(it->layer, dot + 1) : NULL;
    if (dot)
        *dot = '.';
    return it->leaf ? NB_OK : no_such_layer(m, it, ours);
}

/* The next layer that no rule has named; *at moves behind it. */
static const nb_node *next_layer(const nb_weights *m, int32_t *at)
{
    while (*at < m->n_layers) {
        const nb_node *layer = m->layers[(*at)++];
        bool named = false;
        for (int32_t i = 0; i < m->n; i++)
            named = named || (m->items[i].rule && m->items[i].rule->ours && m->items[i].layer == layer);
        if (!named)
            return layer;
    }
    return NULL;
}

static nb_status place_all(nb_weights *m)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->items[i].rule && m->items[i].rule->ours && !m->items[i].ignored)
            NB_TRY(place_named(m, &m->items[i]));
    qsort(m->items, (size_t)m->n, sizeof *m->items, by_execution);
    const nb_node *layer = NULL;
    const nb_weights_item *before = NULL;
    int32_t at = 0;
    for (int32_t i = 0; i < m->n; i++) {
        nb_weights_item *it = &m->items[i];
        if (!it->rule || it->rule->ours)
            continue;
        if (!before || !nb_weights_same_module(before, it))
            layer = next_layer(m, &at);
        before = it;
        it->layer = layer;
        it->leaf = layer ? leaf_for(layer, nb_weights_part(it)) : NULL;
    }
    return NB_OK;
}

/* ---- all of it ---- */

static nb_status take_items(nb_weights *m)
{
    m->n = nb_st_count(m->file);
    if (m->n > MAX_TENSORS)
        return nb_fail(m->ctx, NB_E_UNSUPPORTED, "%s: holds %d tensors; networks have at most %d", nb_st_name(m->file),
                       m->n, MAX_TENSORS);
    m->items = nb_arena_array(m->arena, (size_t)m->n + 1, sizeof *m->items);
    if (!m->items)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < m->n; i++) {
        m->items[i].t = nb_st_at(m->file, i);
        m->items[i].name = m->items[i].t->name;
        m->items[i].module = module_length(m->items[i].name);
    }
    return NB_OK;
}

/* Wrappers put these before every name: DataParallel, torch.compile, Lightning, a saved dictionary. */
static size_t wrapper_at(const nb_weights *m, size_t at)
{
    static const char *const wrappers[] = {"module.", "_orig_mod.", "model.", "net.", "network.", "state_dict."};
    for (size_t k = 0; k < sizeof wrappers / sizeof *wrappers; k++) {
        const size_t len = strlen(wrappers[k]);
        int32_t n = 0;
        while (n < m->n && strncmp(m->items[n].t->name + at, wrappers[k], len) == 0)
            n++;
        if (n == m->n && n > 0)
            return len;
    }
    return 0;
}

/* Leaves out what all names begin with; false when there is nothing to leave out. */
static bool strip_prefix(nb_weights *m)
{
    size_t prefix = 0, more;
    while ((more = wrapper_at(m, prefix)) > 0)
        prefix += more;
    for (int32_t i = 0; i < m->n && prefix; i++) {
        m->items[i].name = m->items[i].t->name + prefix;
        m->items[i].module = module_length(m->items[i].name);
    }
    m->prefix = prefix;
    return prefix > 0;
}

/* How many tensors no rule knows. */
static int32_t strangers(const nb_weights *m)
{
    int32_t n = 0;
    for (int32_t i = 0; i < m->n; i++)
        n += !m->items[i].rule && !m->items[i].ignored;
    return n;
}

static bool any_rule(const nb_weights *m)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->items[i].rule)
            return true;
    return false;
}

/* The built-in map that knows most of the names behind the rules of own, and whether it knows all. The identity knows
 * all names: it is asked for by name, or by the file being a checkpoint. */
static nb_status try_built_in(nb_weights *m, const nb_map *own, const char **best, bool *found)
{
    int32_t least = INT32_MAX;
    nb_map map = *own;
    for (int32_t i = 0; nb_name_maps[i] && least > 0; i++) {
        if (strcmp(nb_name_maps[i]->name, "nibble") == 0)
            continue;
        NB_TRY(nb_map_extend(m->ctx, m->arena, own, nb_name_maps[i]->text, &m->map));
        m->map.name = own->n ? own->name : nb_name_maps[i]->name;
        apply_rules(m);
        if (strangers(m) < least) {
            least = strangers(m);
            *best = nb_name_maps[i]->name;
            map = m->map;
        }
    }
    m->map = map;
    apply_rules(m);
    *found = least == 0;
    return NB_OK;
}

enum { STRANGERS = 6, STRANGER_BYTES = 640 };

static const char *stranger_names(const nb_weights *m, char *buf)
{
    size_t at = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < m->n && n < STRANGERS && at < STRANGER_BYTES; i++)
        if (!m->items[i].rule && !m->items[i].ignored)
            at += (size_t)snprintf(buf + at, STRANGER_BYTES - at, "%s%.80s", n++ ? ", " : "", m->items[i].t->name);
    if (strangers(m) > n && at < STRANGER_BYTES)
        snprintf(buf + at, STRANGER_BYTES - at, ", ...");
    return buf;
}

/* A checkpoint of ours says so; else the first map that knows every name. */
static nb_status choose_map(nb_weights *m)
{
    const char *format = nb_st_meta(m->file, "format"), *best = "";
    if (format && strncmp(format, "nibble-checkpoint", strlen("nibble-checkpoint")) == 0) {
        const nb_name_map *own = nb_registry_find(nb_name_maps, "nibble");
        NB_TRY(nb_map_parse(m->ctx, m->arena, own->name, own->text, &m->map));
        apply_rules(m);
        return NB_OK;
    }
    bool found;
    const nb_map none = {0};
    NB_TRY(try_built_in(m, &none, &best, &found));
    if (!found && strip_prefix(m))
        NB_TRY(try_built_in(m, &none, &best, &found));
    if (found)
        return NB_OK;
    char names[256], unknown[STRANGER_BYTES];
    return nb_fail(m->ctx, NB_E_CONFIG,
                   "%s: no built-in map knows all of its names: %s does not know %d of %d (%s); say --map, with one of "
                   "%s, or with a file that has lines for these alone",
                   nb_st_name(m->file), best, strangers(m), m->n, stranger_names(m, unknown),
                   nb_registry_text(nb_name_maps, names, sizeof names));
}

/* A file that says where some of the names go leaves the rest to a built-in map, if one knows them. */
static nb_status complete_map(nb_weights *m)
{
    const nb_map own = m->map;
    const char *best = "";
    bool found;
    if (strangers(m) == 0)
        return NB_OK;
    NB_TRY(try_built_in(m, &own, &best, &found));
    if (found) {
        m->rest = best;
        return NB_OK;
    }
    m->map = own;
    apply_rules(m);
    return NB_OK;
}

static nb_status unknown_map(const nb_weights *m, const char *name)
{
    const char *names[32];
    const int32_t n = nb_registry_names(nb_name_maps, names, 32);
    return nb_fail(m->ctx, NB_E_CONFIG, "--map: %s: neither a built-in map nor a file%s", name,
                   nb_did_you_mean(name, names, n).text);
}

static nb_status read_map_file(nb_weights *m, const char *path)
{
    uint8_t *text;
    size_t len;
    if (!strpbrk(path, "./") && !nb_file_exists(path))
        return unknown_map(m, path);
    NB_TRY(nb_file_read(m->ctx, path, MAP_FILE_BYTES, &text, &len));
    nb_status st = strlen((const char *)text) == len ? nb_map_parse(m->ctx, m->arena, path, (const char *)text, &m->map)
                                                     : nb_fail(m->ctx, NB_E_FORMAT, "%s: is not text", path);
    nb_free(m->ctx, text);
    return st;
}

static nb_status read_map(nb_weights *m, const nb_import_options *o)
{
    if (!o || (!o->map && !o->map_text))
        return choose_map(m);
    const nb_name_map *own = o->map_text ? NULL : nb_registry_find(nb_name_maps, o->map);
    if (own)
        NB_TRY(nb_map_parse(m->ctx, m->arena, own->name, own->text, &m->map));
    else if (o->map_text)
        NB_TRY(nb_map_parse(m->ctx, m->arena, o->map ? o->map : "map", o->map_text, &m->map));
    else
        NB_TRY(read_map_file(m, o->map));
    m->map.n_own = own ? 0 : m->map.n;
    apply_rules(m);
    if ((own ? strangers(m) > 0 : !any_rule(m)) && strip_prefix(m))
        apply_rules(m);
    return own ? NB_OK : complete_map(m);
}

static nb_status import_all(nb_weights *m, const nb_import_options *o, nb_import_report *report)
{
    NB_ASSERT(!m->g->frozen && !m->g->quantized);
    const nb_shape *logits = &m->g->loss->in[0]->out.shape;
    if (m->g->info.classes == 0)
        m->g->info.classes = (int32_t)(nb_shape_count(logits) / logits->d[0]);
    NB_TRY(take_items(m));
    NB_TRY(find_layers(m));
    NB_TRY(read_map(m, o));
    NB_TRY(place_all(m));
    NB_TRY(nb_weights_report(m, report));
    NB_TRY(nb_weights_check(m, o));
    for (int32_t i = 0; i < m->n; i++) {
        const nb_weights_item *it = &m->items[i];
        if (it->leaf)
            NB_TRY(nb_fill_leaf(m->ctx, nb_st_name(m->file), it->layer, it->leaf, it->t, m->map.ohwi));
    }
    if (m->rest)
        nb_log(m->ctx, "%s: what %s does not name goes by the built-in map %s", nb_st_name(m->file), m->map.name,
               m->rest);
    if (m->prefix)
        nb_log(m->ctx, "%s: all names begin with '%.*s', which is left out", nb_st_name(m->file), (int)m->prefix,
               m->items[0].t->name);
    return NB_OK;
}

static nb_status from_file(nb_graph *g, nb_st_file *file, const nb_import_options *o, nb_import_report *report)
{
    nb_weights m = {.ctx = g->ctx, .g = g, .file = file};
    *report = (nb_import_report){0};
    nb_status st = nb_arena_create(g->ctx, &m.arena);
    if (st == NB_OK) {
        report->arena = m.arena;
        st = import_all(&m, o, report);
    }
    nb_st_close(g->ctx, file);
    return st;
}

nb_status nb_import_weights(nb_graph *g, const char *path, const nb_import_options *o, nb_import_report *report)
{
    nb_st_file *file;
    *report = (nb_import_report){0};
    NB_TRY(nb_st_open(g->ctx, path, &file));
    return from_file(g, file, o, report);
}

nb_status nb_import_weights_parse(nb_graph *g, const char *name, const uint8_t *bytes, size_t len,
                                  const nb_import_options *o, nb_import_report *report)
{
    nb_st_file *file;
    *report = (nb_import_report){0};
    NB_TRY(nb_st_parse(g->ctx, name, bytes, len, &file));
    return from_file(g, file, o, report);
}

void nb_import_report_free(nb_import_report *r)
{
    nb_arena_free(r->arena);
    *r = (nb_import_report){0};
}
