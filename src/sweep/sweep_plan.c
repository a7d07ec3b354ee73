/* sweep_plan.c - a sweep file to runs.
 *
 *   config: ../configs/net.yaml      the experiment that changes are made in; relative to this file
 *   out: runs/methods                every run is a folder below
 *   seeds: [1, 2, 3]
 *   more_seeds: {within: 0.3, seeds: [2, 3]}    only for cells closer than that, in points, to another of their row
 *   set: {train.batch: 128}          nb_changes every run makes, as --set does
 *   start: {train.phases: [...]}     trained once per seed; the others begin with its weights
 *   starts: runs/starts              where starts are, for all sweeps that say so; default: OUT/start
 *   reference: {train.phases: [...]} what accuracies are compared with: the start, trained on in float
 *   how:                             ways to make a network of a cell: train with these changes, or quantize
 *     after: quantize
 *     trained: {train.phases: [...]}
 *   tables:
 *     - name: ranges
 *       rows: {W8A8: {quant.weights.bits: 8, quant.activations.bits: 8}, W4A4: {...}}
 *       columns: {quant.activations.range: [ema, mse]}
 *       how: [after, trained]        default: all; config, seeds, more_seeds, set, start, reference: as above, for this table
 *
 * An axis is a map of names to changes, or a key to a list of its values, or a list of such maps: all combinations. */
#include "sweep/sweep_axes.h"

#include <nibble/extend/keys.h>

#include "base/check.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 10000, MAX_SEEDS = 64, NAME_BYTES = 200 };

typedef struct {
    const char *config, *out, *starts, *name;
    const nb_conf *seeds, *more, *set, *start, *start_seed, *reference, *how, *tables, *rows, *columns;
} section;

#define COMMON                                                                                                         \
    {.name = "config",                                                                                                 \
     .dflt = "",                                                                                                       \
     .help = "the experiment, beside this file",                                                                       \
     .kind = NB_K_STRING,                                                                                              \
     .offset = offsetof(section, config)},                                                                             \
        NB_KEY_NODE(section, seeds, "[N, ...]", "seeds of every cell"),                                                \
        {.name = "more_seeds",                                                                                         \
         .choices = "{within: POINTS, seeds: [N, ...]}",                                                               \
         .help = "more seeds, of cells that are close",                                                                \
         .kind = NB_K_NODE,                                                                                            \
         .offset = offsetof(section, more)},                                                                           \
        NB_KEY_NODE(section, set, "{KEY: VALUE, ...}", "changes that all runs make"),                                  \
        NB_KEY_NODE(section, start, "{KEY: VALUE, ...}", "the training that the others begin with"),                   \
        NB_KEY_NODE(section, reference, "{KEY: VALUE, ...}", "the training that accuracies are compared with")

static const nb_key file_table[] = {
    {.name = "out", .help = "folder of all runs", .kind = NB_K_STRING, .offset = offsetof(section, out)},
    {.name = "starts",
     .dflt = "",
     .help = "folder of starts that several sweeps begin with; default: start, below out",
     .kind = NB_K_STRING,
     .offset = offsetof(section, starts)},
    NB_KEY_NODE(section, start_seed, "N", "one start of this seed for the runs of all seeds; default: one for each"),
    COMMON,
    NB_KEY_SECTION(section, how, "{NAME: quantize | {KEY: VALUE, ...}, ...}", "ways to make a network of a cell"),
    NB_KEY_SECTION(section, tables, "[{name, rows, columns, how}, ...]", "what is compared"),
    {0}};
static const nb_key table_table[] = {
    {.name = "name", .help = "also the folder of its runs", .kind = NB_K_STRING, .offset = offsetof(section, name)},
    COMMON,
    NB_KEY_SECTION(section, rows, "{NAME: {KEY: VALUE, ...}, ...} | {KEY: [VALUE, ...]}", "one axis"),
    NB_KEY_NODE(section, columns, "as rows", "the other"),
    NB_KEY_NODE(section, how, "[NAME, ...]", "those of the file's that it wants; default: all"),
    {0}};

typedef struct {
    nb_sweep *s;
    section file;
    const char *path; /* of the sweep file, which others are beside */
    nb_choices how;
    uint64_t start_seed; /* where the file says one */
    int32_t cap_runs, cap_cells;
} plan;

static nb_status bind_how(plan *p)
{
    nb_ctx *ctx = p->s->ctx;
    const nb_conf *map = p->file.how;
    if (!nb_conf_is_map(map) || nb_conf_is_empty(map))
        return nb_conf_fail(ctx, map, "how", NB_E_CONFIG,
                            "must be names with `quantize` or the changes of a training: {after: quantize, trained: "
                            "{train.phases: [...]}}");
    p->how =
        (nb_choices){nb_arena_array(p->s->arena, (size_t)nb_conf_count(map), sizeof *p->how.of), nb_conf_count(map)};
    for (int32_t i = 0; p->how.of && i < p->how.n; i++) {
        const nb_conf *value = nb_conf_at(map, i);
        const char *text = nb_conf_text(value);
        nb_choice *h = &p->how.of[i];
        h->name = nb_conf_key_at(map, i);
        h->quantize = text && strcmp(text, "quantize") == 0;
        if (text && *text && !h->quantize)
            return nb_conf_fail(ctx, value, "how", NB_E_CONFIG,
                                "%s: %s: must be `quantize` or the changes of a training", h->name, text);
        if (h->quantize)
            h->c = nb_choice_nothing.c;
        else
            NB_TRY(nb_changes_bind(p->s, value, "how", NULL, &h->c));
    }
    return p->how.of ? nb_choices_differ(p->s, map, "how", &p->how) : NB_E_NOMEM;
}

/* ---- seeds ---- */

typedef struct {
    plan *p;
    uint64_t *seed;
    int32_t n;
    const char *where;
} seed_list;

static nb_status add_seed(void *ud, const char *text, const nb_conf *node)
{
    static const nb_key key = {.name = "seed", .kind = NB_K_UINT64};
    seed_list *l = ud;
    nb_ctx *ctx = l->p->s->ctx;
    if (l->n == MAX_SEEDS)
        return nb_too_many(l->p->s, node, l->where, MAX_SEEDS, "seeds");
    NB_TRY(nb_conf_value(ctx, node, l->where, &key, &l->seed[l->n]));
    for (int32_t i = 0; i < l->n; i++)
        if (l->seed[i] == l->seed[l->n])
            return nb_conf_fail(ctx, node, l->where, NB_E_CONFIG, "%s: is there already", text);
    l->n++;
    return NB_OK;
}

static nb_status add_seeds(seed_list *l, const nb_conf *list, const char *where)
{
    const int32_t before = l->n;
    l->where = where;
    NB_TRY(nb_conf_each_text(l->p->s->ctx, list, where, add_seed, l));
    return !list || l->n > before ? NB_OK
                                  : nb_conf_fail(l->p->s->ctx, list, where, NB_E_CONFIG,
                                                 "has no seed: must be a list of them, [1, 2], or left out");
}

typedef struct {
    float within;
    const nb_conf *seeds;
} more_keys;

static nb_status bind_seeds(plan *p, const section *t, nb_sweep_table *out)
{
    static const nb_key keys[] = {
        {.name = "within",
         .help = "points of accuracy",
         .kind = NB_K_FLOAT,
         .offset = offsetof(more_keys, within),
         .min = 0,
         .max = 100},
        {.name = "seeds", .dflt = NB_REQUIRED, .kind = NB_K_NODE, .offset = offsetof(more_keys, seeds)},
        {0}};
    seed_list l = {p, nb_arena_array(p->s->arena, MAX_SEEDS, sizeof *l.seed), 0, ""};
    const nb_conf *more = t->more || t->seeds ? t->more : p->file.more; /* seeds of its own are all that it has */
    more_keys m = {0};
    if (!l.seed)
        return NB_E_NOMEM;
    const nb_conf *seeds = t->seeds ? t->seeds : p->file.seeds;
    NB_TRY(add_seeds(&l, seeds, "seeds"));
    if (l.n == 0)
        l.seed[l.n++] = 1;
    out->seed = l.seed;
    out->n_seeds = l.n;
    if (!nb_conf_is_empty(more)) {
        NB_TRY(nb_conf_bind(p->s->ctx, more, "more_seeds", &(nb_binding){keys, &m}, 1));
        NB_TRY(add_seeds(&l, m.seeds, "more_seeds.seeds"));
    }
    out->within = (double)m.within;
    out->n_all_seeds = l.n;
    return NB_OK;
}

/* ---- runs ---- */

static bool same_run(const nb_sweep_run *a, const nb_sweep_run *b)
{
    bool same = a->seed == b->seed && a->quantize == b->quantize && a->start == b->start && a->n_sets == b->n_sets &&
                strcmp(a->config, b->config) == 0;
    for (int32_t i = 0; same && i < a->n_sets; i++)
        same = strcmp(a->set[i], b->set[i]) == 0;
    return same;
}

/* Names become folders. */
static char *file_name(plan *p, const char *text)
{
    char *name = nb_arena_strdup(p->s->arena, text);
    for (char *c = name; c && *c; c++)
        if (!nb_is_plain((char[]){*c, 0}) || *c == '/' || (*c == '.' && c == name))
            *c = '_';
    return name;
}

/* The run that this is, new or not. */
static nb_status add_run(plan *p, const nb_conf *at, nb_sweep_run r, int32_t *out)
{
    nb_sweep *s = p->s;
    for (int32_t i = 0; i < s->n_runs; i++)
        if (same_run(&s->run[i], &r)) {
            s->run[i].wanted = s->run[i].wanted || r.wanted;
            *out = i;
            return NB_OK;
        }
    if (s->n_runs == MAX_RUNS)
        return nb_too_many(p->s, at, "tables", MAX_RUNS, "runs");
    if (s->n_runs == p->cap_runs) {
        const int32_t cap = 2 * p->cap_runs + 16;
        nb_sweep_run *more = nb_arena_array(s->arena, (size_t)cap, sizeof *more);
        if (!more)
            return NB_E_NOMEM;
        if (s->n_runs)
            memcpy(more, s->run, (size_t)s->n_runs * sizeof *more);
        s->run = more;
        p->cap_runs = cap;
    }
    for (int32_t i = 0; i < s->n_runs; i++)
        if (strcmp(s->run[i].name, r.name) == 0)
            return nb_conf_fail(s->ctx, at, "tables", NB_E_CONFIG,
                                "two different runs would have the folder %s: give tables, rows or columns other names",
                                r.name);
    *out = s->n_runs;
    s->run[s->n_runs++] = r;
    return NB_OK;
}

static nb_status joined(plan *p, const nb_changes *const *parts, int32_t n, nb_sweep_run *r)
{
    for (int32_t i = 0; i < n; i++)
        r->n_sets += parts[i]->n;
    const char **set = nb_arena_array(p->s->arena, (size_t)r->n_sets + 1, sizeof *set);
    r->set = set;
    for (int32_t i = 0; set && i < n; set += parts[i++]->n)
        memcpy(set, parts[i]->set, (size_t)parts[i]->n * sizeof *set);
    return set ? NB_OK : NB_E_NOMEM;
}

/* All that a table's runs have in common. */
typedef struct {
    nb_sweep_table *t;
    const nb_conf *at;
    int32_t place;
    const char *config; /* path, as the command can open it */
    bool own_config;
    nb_changes set;
    const nb_conf *start, *reference;
    nb_choices rows, columns;
    const nb_choice **how;
    int32_t start_run[MAX_SEEDS];
} table_plan;

/* Are its phases said, and all of them in float? */
static bool in_float(const nb_changes *c)
{
    const char *phases = NULL;
    for (int32_t i = 0; i < c->n; i++)
        if (strncmp(c->set[i], "train.phases=", 13) == 0)
            phases = c->set[i];
    for (const char *at = phases; at && (at = strstr(at, "quant:")); at++)
        if (strncmp(at, "quant: off", 10) != 0)
            return false;
    return phases != NULL;
}

/* A training in float does not depend on how is quantized later: all tables share it. */
static void drop_quant(nb_changes *c)
{
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (strncmp(c->set[i], "quant.", 6) != 0 && strncmp(c->set[i], "quant=", 6) != 0)
            c->set[n++] = c->set[i];
    c->n = n;
}

/* Among the starts of several sweeps: the network's name, and what is changed in it. */
static const char *shared_name(plan *p, const nb_sweep_run *r)
{
    const char *slash = strrchr(r->config, '/'), *base = slash ? slash + 1 : r->config, *dot = strrchr(base, '.');
    uint64_t changes = 1;
    for (int32_t i = 0; i < r->n_sets; i++)
        changes = nb_mix(changes, nb_hash_text(r->set[i]));
    return nb_arena_printf(p->s->arena, "%.*s-%08x-seed%llu", (int)(dot ? (size_t)(dot - base) : strlen(base)), base,
                           (unsigned)(changes >> 32), (unsigned long long)r->seed);
}

static nb_status add_starts(plan *p, table_plan *t, int32_t seed)
{
    nb_sweep_run r = {.purpose = NB_SWEEP_START,
                      .below = *p->file.starts ? p->file.starts : p->s->out,
                      .config = t->config,
                      .seed = t->t->seed[seed],
                      .start = -1,
                      .wanted = seed < t->t->n_seeds};
    nb_changes c;
    t->start_run[seed] = -1;
    if (!t->start)
        return NB_OK;
    if (p->file.start_seed && seed > 0) {
        t->start_run[seed] = t->start_run[0];
        return NB_OK;
    }
    if (p->file.start_seed)
        r.seed = p->start_seed;
    NB_TRY(nb_changes_bind(p->s, t->start, "start", &t->set, &c));
    if (in_float(&c))
        drop_quant(&c);
    NB_TRY(joined(p, (const nb_changes *const[]){&c}, 1, &r));
    const bool own = t->start != p->file.start || t->own_config || c.n > nb_conf_count(t->start);
    r.name = *p->file.starts ? shared_name(p, &r)
                             : nb_arena_printf(p->s->arena, "start/%s%sseed%llu", own ? file_name(p, t->t->name) : "",
                                               own ? "-" : "", (unsigned long long)r.seed);
    return r.name ? add_run(p, t->at, r, &t->start_run[seed]) : NB_E_NOMEM;
}

static nb_status add_references(plan *p, table_plan *t, int32_t seed)
{
    nb_sweep_run r = {.purpose = NB_SWEEP_REFERENCE,
                      .below = p->s->out,
                      .config = t->config,
                      .seed = t->t->seed[seed],
                      .start = t->start_run[seed],
                      .wanted = seed < t->t->n_seeds};
    nb_changes c;
    if (!t->reference)
        return NB_OK;
    NB_TRY(nb_changes_bind(p->s, t->reference, "reference", &t->set, &c));
    if (in_float(&c))
        drop_quant(&c);
    NB_TRY(joined(p, (const nb_changes *const[]){&c}, 1, &r));
    r.name =
        nb_arena_printf(p->s->arena, "reference/%s-seed%llu", file_name(p, t->t->name), (unsigned long long)r.seed);
    return r.name ? add_run(p, t->at, r, &t->t->reference[seed]) : NB_E_NOMEM;
}

static nb_status add_cell_run(plan *p, table_plan *t, nb_sweep_cell *cell, int32_t seed)
{
    const nb_choice *row = &t->rows.of[cell->row], *column = &t->columns.of[cell->column], *how = t->how[cell->how];
    nb_sweep_run r = {.purpose = NB_SWEEP_CELL,
                      .below = p->s->out,
                      .config = t->config,
                      .seed = t->t->seed[seed],
                      .quantize = how->quantize,
                      .start = t->start_run[seed],
                      .wanted = seed < t->t->n_seeds};
    if (how->quantize && r.start < 0)
        return nb_conf_fail(p->s->ctx, p->file.how, "how", NB_E_CONFIG,
                            "%s: quantize: needs something to quantize: say in `start` how that is trained", how->name);
    for (int32_t i = 0; i < how->c.n; i++) /* from scratch, or from a file of its own */
        r.start = strncmp(how->c.set[i], "init=", 5) == 0 ? -1 : r.start;
    NB_TRY(joined(p, (const nb_changes *const[]){&t->set, &how->c, &row->c, &column->c}, 4, &r));
    const char *name = nb_arena_printf(p->s->arena, "%s-%s%s%s-seed%llu", how->name, row->name,
                                       *column->name ? "-" : "", column->name, (unsigned long long)r.seed);
    name = name ? file_name(p, name) : NULL;
    r.name = name ? nb_arena_printf(p->s->arena, "%s/%s", file_name(p, t->t->name), name) : NULL;
    if (!r.name)
        return NB_E_NOMEM;
    return strlen(r.name) > NAME_BYTES ? nb_conf_fail(p->s->ctx, t->at, "tables", NB_E_CONFIG,
                                                      "the folder of a run would be %s: use shorter names", r.name)
                                       : add_run(p, t->at, r, &cell->run[seed]);
}

static nb_status add_cells(plan *p, table_plan *t)
{
    nb_sweep *s = p->s;
    const int32_t n = t->t->n_hows * t->rows.n * t->columns.n;
    if (n > MAX_RUNS || s->n_cells + n > MAX_RUNS)
        return nb_too_many(p->s, t->at, "tables", MAX_RUNS, "cells");
    nb_sweep_cell *cell = nb_arena_array(s->arena, (size_t)(s->n_cells + n) + 1, sizeof *cell);
    if (!cell)
        return NB_E_NOMEM;
    if (s->n_cells)
        memcpy(cell, s->cell, (size_t)s->n_cells * sizeof *cell);
    s->cell = cell;
    for (int32_t i = 0; i < n; i++) {
        nb_sweep_cell *c = &s->cell[s->n_cells++];
        *c = (nb_sweep_cell){.table = t->place,
                             .how = i / (t->rows.n * t->columns.n),
                             .row = i / t->columns.n % t->rows.n,
                             .column = i % t->columns.n,
                             .run = nb_arena_array(s->arena, (size_t)t->t->n_all_seeds, sizeof *c->run)};
        if (!c->run)
            return NB_E_NOMEM;
        for (int32_t k = 0; k < t->t->n_all_seeds; k++)
            NB_TRY(add_cell_run(p, t, c, k));
    }
    return NB_OK;
}

/* ---- tables ---- */

typedef struct {
    plan *p;
    table_plan *t;
} chooser;

static nb_status choose_how(void *ud, const char *text, const nb_conf *node)
{
    const chooser *u = ud;
    const char *names[NB_SWEEP_MAX_CHOICES];
    int32_t n = 0;
    for (; n < u->p->how.n && n < NB_SWEEP_MAX_CHOICES; n++) {
        const nb_choice *how = &u->p->how.of[n];
        names[n] = how->name;
        if (strcmp(names[n], text) != 0)
            continue;
        for (int32_t i = 0; i < u->t->t->n_hows; i++)
            if (u->t->how[i] == how)
                return nb_conf_fail(u->p->s->ctx, node, "tables.how", NB_E_CONFIG, "%s: is there already", text);
        u->t->how[u->t->t->n_hows++] = how;
        return NB_OK;
    }
    return nb_conf_unknown(u->p->s->ctx, node, "tables.how", "way to make a network", names, n);
}

static nb_status bind_hows(plan *p, const nb_conf *list, table_plan *t)
{
    chooser u = {p, t};
    const int32_t n = nb_conf_is_empty(list) ? p->how.n : nb_conf_is_list(list) ? nb_conf_count(list) : 1;
    if (n == 0)
        return nb_conf_fail(p->s->ctx, list, "tables.how", NB_E_CONFIG,
                            "has no way to make a network: must be names of the file's `how`, or left out");
    t->how = nb_arena_array(p->s->arena, (size_t)n, sizeof *t->how);
    t->t->how = nb_arena_array(p->s->arena, (size_t)n, sizeof *t->t->how);
    if (!t->how || !t->t->how)
        return NB_E_NOMEM;
    NB_TRY(nb_conf_each_text(p->s->ctx, list, "tables.how", choose_how, &u));
    for (int32_t i = 0; nb_conf_is_empty(list) && i < n; i++)
        t->how[t->t->n_hows++] = &p->how.of[i];
    for (int32_t i = 0; i < t->t->n_hows; i++)
        t->t->how[i] = t->how[i]->name;
    return NB_OK;
}

static nb_status names_of(plan *p, const nb_choices *c, const char ***out)
{
    const char **names = nb_arena_array(p->s->arena, (size_t)c->n + 1, sizeof *names);
    for (int32_t i = 0; names && i < c->n; i++)
        names[i] = c->of[i].name;
    *out = names;
    return names ? NB_OK : NB_E_NOMEM;
}

/* A row that a column undoes would not be what it is called. */
static nb_status check_axes(plan *p, const nb_conf *columns, const table_plan *t)
{
    for (int32_t r = 0; r < t->rows.n; r++)
        for (int32_t c = 0; c < t->columns.n; c++)
            for (int32_t i = 0; i < t->rows.of[r].c.n; i++)
                for (int32_t k = 0; k < t->columns.of[c].c.n; k++)
                    if (nb_change_undoes(t->rows.of[r].c.set[i], t->columns.of[c].c.set[k]))
                        return nb_conf_fail(p->s->ctx, columns, "tables.columns", NB_E_CONFIG,
                                            "%s: undoes %s of row %s: let one axis set a key",
                                            t->columns.of[c].c.set[k], t->rows.of[r].c.set[i], t->rows.of[r].name);
    return NB_OK;
}

/* Paths are relative to the sweep file. */
static nb_status bind_config(plan *p, const section *k, table_plan *t)
{
    t->own_config = *k->config != '\0';
    const char *name = t->own_config ? k->config : p->file.config, *slash = strrchr(p->path, '/');
    if (!*name)
        return nb_conf_fail(p->s->ctx, t->at, "tables", NB_E_CONFIG,
                            "%s: has no config: say one here, or at the top for all tables", k->name);
    t->config =
        *name == '/' || !slash ? name : nb_arena_printf(p->s->arena, "%.*s/%s", (int)(slash - p->path), p->path, name);
    return t->config ? NB_OK : NB_E_NOMEM;
}

static nb_status bind_table(plan *p, const nb_conf *node, const nb_changes *general, table_plan *t)
{
    nb_sweep *s = p->s;
    section k = {0};
    NB_TRY(nb_conf_bind(s->ctx, node, "tables", &(nb_binding){table_table, &k}, 1));
    if (!*k.name)
        return nb_conf_fail(s->ctx, node, "tables", NB_E_CONFIG,
                            "name: is empty: it is the folder of the table's runs");
    for (int32_t i = 0; i < t->place; i++)
        if (strcmp(s->table[i].name, k.name) == 0)
            return nb_conf_fail(s->ctx, node, "tables", NB_E_CONFIG, "name: %s: is the name of another table", k.name);
    t->t->name = k.name;
    NB_TRY(bind_config(p, &k, t));
    t->start = k.start ? k.start : p->file.start;
    t->reference = k.reference ? k.reference : p->file.reference;
    NB_TRY(bind_seeds(p, &k, t->t));
    NB_TRY(nb_changes_bind(p->s, k.set, "tables.set", general, &t->set));
    NB_TRY(nb_axis_bind(p->s, k.rows, "tables.rows", &t->rows));
    t->columns = (nb_choices){(nb_choice *)(uintptr_t)&nb_choice_nothing, 1};
    if (k.columns)
        NB_TRY(nb_axis_bind(p->s, k.columns, "tables.columns", &t->columns));
    if (t->columns.n > NB_TABLE_MAX_COLUMNS - 1)
        return nb_too_many(p->s, k.columns, "tables.columns", NB_TABLE_MAX_COLUMNS - 1,
                           "columns; let the rows be the longer axis");
    NB_TRY(check_axes(p, k.columns, t));
    NB_TRY(bind_hows(p, k.how, t));
    t->t->n_rows = t->rows.n;
    t->t->n_columns = t->columns.n;
    NB_TRY(names_of(p, &t->rows, &t->t->row));
    return names_of(p, &t->columns, &t->t->column);
}

static nb_status plan_table(plan *p, const nb_conf *node, const nb_changes *general, int32_t place)
{
    nb_sweep *s = p->s;
    table_plan *t = nb_arena_alloc(s->arena, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    *t = (table_plan){.t = &s->table[place], .at = node, .place = place};
    NB_TRY(bind_table(p, node, general, t));
    t->t->reference = t->reference ? nb_arena_array(s->arena, (size_t)t->t->n_all_seeds, sizeof(int32_t)) : NULL;
    if (t->reference && !t->t->reference)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < t->t->n_all_seeds; i++) {
        NB_TRY(add_starts(p, t, i));
        NB_TRY(add_references(p, t, i));
    }
    return add_cells(p, t);
}

static nb_status make_plan(plan *p, const char *path)
{
    nb_sweep *s = p->s;
    nb_changes general;
    NB_TRY(nb_config_load(s->ctx, path, NULL, 0, &s->config));
    NB_TRY(nb_conf_bind(s->ctx, nb_config_root(s->config), "", &(nb_binding){file_table, &p->file}, 1));
    static const nb_key seed = {.name = "start_seed", .kind = NB_K_UINT64};
    if (p->file.start_seed)
        NB_TRY(nb_conf_value(s->ctx, p->file.start_seed, "start_seed", &seed, &p->start_seed));
    if (p->file.start_seed && !p->file.start)
        return nb_conf_fail(s->ctx, p->file.start_seed, "start_seed", NB_E_CONFIG,
                            "there is no start that it could be of: say in `start` how it is trained");
    s->out = p->file.out;
    if (!*s->out)
        return nb_conf_fail(s->ctx, nb_config_root(s->config), "", NB_E_CONFIG, "out is empty");
    NB_TRY(nb_changes_bind(p->s, p->file.set, "set", NULL, &general));
    NB_TRY(bind_how(p));
    if (!nb_conf_is_list(p->file.tables) || nb_conf_count(p->file.tables) == 0)
        return nb_conf_fail(s->ctx, p->file.tables, "tables", NB_E_CONFIG,
                            "must be a list: [{name: bits, rows: {quant.weights.bits: [8, 4]}}]");
    s->n_tables = nb_conf_count(p->file.tables);
    s->table = nb_arena_array(s->arena, (size_t)s->n_tables, sizeof *s->table);
    if (!s->table)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < s->n_tables; i++)
        NB_TRY(plan_table(p, nb_conf_at(p->file.tables, i), &general, i));
    return NB_OK;
}

nb_status nb_sweep_open(nb_ctx *ctx, const char *path, nb_sweep **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_sweep *s = nb_arena_alloc(arena, sizeof *s);
    plan p = {.s = s, .path = path};
    if (!s) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    s->ctx = ctx;
    s->arena = arena;
    nb_status st = make_plan(&p, path);
    if (st == NB_OK)
        *out = s;
    else
        nb_sweep_close(s);
    return st;
}

void nb_sweep_close(nb_sweep *s)
{
    if (!s)
        return;
    nb_config_free(s->ctx, s->config);
    nb_arena_free(s->arena);
}
