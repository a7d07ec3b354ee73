/* allocate_choice.c - see allocate_choice.h.
 *
 * Flash is a sum over layers, so what a width costs is the difference of two exported networks, measured by exporting them
 * (nb_export_size_before): whatever the exporter packs is counted as it packs it. RAM is no sum but a plan; codes of values
 * take a byte at any width, weights of other than 8 bits need a row of scratch while their layer runs. */
#include "cli/allocate_choice.h"

#include "base/check.h"
#include "quant/fakequant.h"
#include "quant/policy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NO_PICKS = -1, HESSIAN_BATCH = 64 };

/* ---- which may be chosen ---- */

static bool says_bits(const nb_conf *quant, const char *layer, const char *part)
{
    return nb_conf_get(nb_conf_get(nb_conf_get(nb_conf_get(quant, "layers"), layer), part), "bits") != NULL;
}

/* A key of `quant` that is written, and not 0. */
static bool says(const nb_conf *quant, const char *key)
{
    const char *text = nb_conf_text(nb_conf_get(quant, key));
    return text && strcmp(text, "0") != 0;
}

static int32_t cell_of_site(const allocate_choice *a, const nb_node *fq)
{
    for (int32_t i = 0; i < a->n_cells; i++)
        if (nb_probe_site_at(a->of->probe, a->cell[i].site)->fq == fq)
            return i;
    return -1;
}

/* The quantizer whose codes a layer multiplies. */
static const nb_node *read_by(const nb_node *mac)
{
    const nb_node *n = mac->in[0];
    while (!nb_is_quantizer(n) && n->n_in > 0)
        n = n->in[0];
    return n;
}

static const nb_probe_layer *end_layer(const nb_probe *p, bool last)
{
    const nb_probe_layer *found = NULL;
    for (int32_t i = 0; i < nb_probe_layers(p); i++) {
        const nb_probe_layer *y = nb_probe_layer_at(p, i);
        if (y->weights >= 0 && (last || !found))
            found = y;
    }
    return found;
}

static const char *why_fixed_weights(const allocate_choice *a, const nb_probe_layer *y)
{
    const nb_probe *p = a->of->probe;
    const nb_conf *quant = a->of->e.exp.quant;
    if (says_bits(quant, y->name, "weights"))
        return "quant.layers";
    if ((y == end_layer(p, false) || y == end_layer(p, true)) && says(quant, "first_last_bits"))
        return "first_last_bits";
    return NULL;
}

static const char *why_fixed_output(const allocate_choice *a, const nb_probe_layer *y)
{
    const nb_probe *p = a->of->probe;
    const nb_conf *quant = a->of->e.exp.quant;
    const nb_node *fq = nb_probe_site_at(p, y->output)->fq;
    const nb_probe_layer *last = end_layer(p, true);
    for (const nb_node *n = fq->in[0];; n = n->in[0]) {
        if (says_bits(quant, n->name, "activations"))
            return "quant.layers";
        if (n == y->node || n->n_in == 0)
            break;
    }
    if (y == last)
        return "output_bits";
    if (says(quant, "first_last_bits") && (y->node->op->role == NB_ROLE_INPUT || read_by(last->node) == fq))
        return "first_last_bits";
    const nb_graph *g = nb_probe_graph(a->of->probe);
    if (says(quant, "join_bits") && nb_quant_only_read_by(g, fq, NB_ROLE_JOIN))
        return "join_bits";
    if (nb_quant_only_read_by(g, fq, NB_ROLE_TABLE))
        return "table_bits";
    return a->unit == ALLOCATE_FLASH ? "saves no bytes" : NULL;
}

static nb_status add_widths(allocate_choice *a, allocate_cell *c)
{
    for (int32_t i = 0; !c->fixed && i < a->n_widths; i++) {
        const nb_quantizer_wish wish = {.bits = a->widths[i]};
        nb_candidate k;
        NB_TRY(nb_candidate_make(a->of->probe, c->site, &wish, &k));
        if (k.by)
            c->bits[c->n++] = a->widths[i];
    }
    if (!c->fixed && (c->n == 0 || (c->n == 1 && c->bits[0] == c->was)))
        c->fixed = "no other width";
    if (c->fixed) {
        c->n = 1;
        c->bits[0] = c->was;
    }
    return NB_OK;
}

static nb_status add_cell(allocate_choice *a, const nb_probe_layer *y, bool weights)
{
    const int32_t site = weights ? y->weights : y->output;
    if (site < 0)
        return NB_OK;
    allocate_cell *c = &a->cell[a->n_cells++];
    *c = (allocate_cell){.layer = y->name,
                         .site = site,
                         .weights = weights,
                         .was = nb_probe_site_at(a->of->probe, site)->bits,
                         .fixed = weights ? why_fixed_weights(a, y) : why_fixed_output(a, y),
                         .reads = -1};
    if (weights) {
        const nb_tensor *out = &y->node->out;
        c->macs = nb_probe_site_at(a->of->probe, site)->values * (nb_rows(out) / out->shape.d[0]);
    }
    return add_widths(a, c);
}

nb_status allocate_find(allocate_choice *a)
{
    const nb_probe *p = a->of->probe;
    nb_ctx *ctx = a->of->c->ctx;
    int32_t free_cells = 0;
    if (*a->of->e.simulated)
        return nb_fail(ctx, NB_E_UNSUPPORTED, "%s: there are no integers, and so no bytes to count: %s", a->of->file,
                       a->of->e.simulated);
    NB_TRY(nb_arena_create(ctx, &a->arena));
    const size_t n = (size_t)nb_probe_sites(p) + 1;
    a->cell = nb_arena_array(a->arena, n, sizeof *a->cell);
    a->problem = nb_arena_array(a->arena, n, sizeof *a->problem);
    a->options = nb_arena_array(a->arena, n * ALLOCATE_WIDTHS, sizeof *a->options);
    a->index = nb_arena_array(a->arena, n * ALLOCATE_WIDTHS, sizeof *a->index);
    a->picks = nb_arena_array(a->arena, n, sizeof *a->picks);
    if (!a->cell || !a->problem || !a->options || !a->index || !a->picks)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < nb_probe_layers(p); i++) {
        NB_TRY(add_cell(a, nb_probe_layer_at(p, i), true));
        NB_TRY(add_cell(a, nb_probe_layer_at(p, i), false));
    }
    for (int32_t i = 0; i < a->n_cells; i++) {
        const nb_probe_site *s = nb_probe_site_at(p, a->cell[i].site);
        if (a->cell[i].weights)
            a->cell[i].reads = cell_of_site(a, read_by(nb_probe_layer_at(p, s->layer)->node));
        free_cells += !a->cell[i].fixed;
    }
    return free_cells ? NB_OK
                      : nb_fail(ctx, NB_E_CONFIG,
                                "%s: there is nothing to choose: the config fixes the bits of every layer "
                                "(quant.layers, first_last_bits, formats of one width)",
                                a->of->file);
}

/* ---- configs ---- */

/* "quant.layers.NAME.weights.bits=4"; marks in the name that a path would read are taken literally. nb_free. */
static nb_status set_text(const allocate_choice *a, const allocate_cell *c, int32_t bits, char **out)
{
    char name[2 * NB_CONFIG_MAX_KEY_BYTES + 1], text[sizeof name + 64];
    size_t n = 0;
    for (const char *s = c->layer; *s && n + 2 < sizeof name; s++) {
        if (strchr(".[=\\", *s))
            name[n++] = '\\';
        name[n++] = *s;
    }
    name[n] = '\0';
    snprintf(text, sizeof text, "quant.layers.%s.%s.bits=%d", name, c->weights ? "weights" : "activations", bits);
    *out = nb_strdup(a->of->c->ctx, text);
    return *out ? NB_OK : NB_E_NOMEM;
}

/* "quant.allocated=47037 bytes of flash": which run it was is seen later, in reports. nb_free. */
static nb_status mark_text(const allocate_choice *a, char **out)
{
    char text[96];
    snprintf(text, sizeof text, "quant.allocated=%" PRId64 " %s", allocate_cost(a),
             a->unit == ALLOCATE_FLASH ? "bytes of flash" : "bit operations");
    *out = nb_strdup(a->of->c->ctx, text);
    return *out ? NB_OK : NB_E_NOMEM;
}

/* The config with the widths that pick says (NULL: the widest), but cell `other` at its k-th; marked as the one that was
 * chosen where there is no other. nb_config_free. */
static nb_status make_config(const allocate_choice *a, const int32_t *pick, int32_t other, int32_t k, nb_config **out)
{
    nb_ctx *ctx = a->of->c->ctx;
    char **set = nb_alloc(ctx, ((size_t)a->n_cells + 1) * sizeof *set);
    int32_t n = 0;
    nb_status st = !set ? NB_E_NOMEM : pick && other == NO_PICKS ? mark_text(a, &set[0]) : NB_OK;
    n += st == NB_OK && set[0];
    for (int32_t i = 0; st == NB_OK && i < a->n_cells; i++) {
        const allocate_cell *c = &a->cell[i];
        if (!c->fixed)
            st = set_text(a, c, c->bits[i == other ? k : pick ? pick[i] : c->n - 1], &set[n]);
        n += !c->fixed && st == NB_OK;
    }
    if (st == NB_OK)
        st = nb_config_parse(ctx, a->of->file, a->of->e.text, strlen(a->of->e.text), (const char *const *)set, n, out);
    for (int32_t i = 0; i < n; i++)
        nb_free(ctx, set[i]);
    nb_free(ctx, set);
    return st;
}

static nb_status size_of(const allocate_choice *a, const int32_t *pick, int32_t other, int32_t k, nb_export_size *out)
{
    nb_ctx *ctx = a->of->c->ctx;
    nb_config *config;
    nb_experiment e;
    NB_TRY(make_config(a, pick, other, k, &config));
    nb_status st = nb_experiment_bind(ctx, config, &e);
    if (st == NB_OK)
        st = nb_export_size_before(ctx, &e, &a->of->weights->info, out);
    nb_config_free(ctx, config);
    return st;
}

static void copy_picks(const allocate_choice *a, int32_t *pick)
{
    for (int32_t i = 0; i < a->n_cells; i++)
        pick[i] = a->cell[i].pick;
}

nb_status allocate_config(const allocate_choice *a, char **out)
{
    nb_ctx *ctx = a->of->c->ctx;
    nb_config *config;
    copy_picks(a, a->picks);
    NB_TRY(make_config(a, a->picks, NO_PICKS, 0, &config));
    nb_config_drop(config, nb_config_root(config), "out");
    const nb_status st = nb_config_print(ctx, config, out);
    nb_config_free(ctx, config);
    return st;
}

/* ---- measuring ---- */

static nb_status tell(const nb_watch *watch, int64_t done, int64_t all)
{
    if (watch && watch->at)
        watch->at(watch->ud, done, all);
    return watch && watch->stop ? watch->stop(watch->ud) : NB_OK;
}

nb_status allocate_measure_sizes(allocate_choice *a, const nb_watch *watch)
{
    int64_t all = 1, done = 0;
    for (int32_t i = 0; i < a->n_cells; i++)
        all += a->cell[i].weights ? a->cell[i].n - 1 : 0;
    NB_TRY(size_of(a, NULL, NO_PICKS, 0, &a->widest));
    for (int32_t i = 0; i < a->n_cells; i++) {
        allocate_cell *c = &a->cell[i];
        for (int32_t k = 0; k < c->n; k++) {
            nb_export_size s = a->widest;
            if (c->weights && k < c->n - 1) {
                NB_TRY(size_of(a, NULL, i, k, &s));
                NB_TRY(tell(watch, ++done, all));
            }
            c->flash[k] = s.flash_bytes - a->widest.flash_bytes;
            c->ram[k] = s.ram_bytes;
        }
    }
    return NB_OK;
}

static bool is_estimated(const allocate_choice *a, const allocate_cell *c)
{
    return a->by == ALLOCATE_HESSIAN && c->weights && !c->fixed;
}

static bool is_tried(const allocate_choice *a, const allocate_cell *c)
{
    return !c->fixed && !is_estimated(a, c);
}

/* A row for each width of such cells; how many. */
static int32_t make_rows(const allocate_choice *a, bool (*is)(const allocate_choice *a, const allocate_cell *c),
                         nb_sensitivity_row *rows)
{
    int32_t n = 0;
    for (int32_t i = 0; i < a->n_cells; i++)
        for (int32_t k = 0; is(a, &a->cell[i]) && k < a->cell[i].n; k++)
            rows[n++] = (nb_sensitivity_row){.site = a->cell[i].site, .bits = a->cell[i].bits[k]};
    return n;
}

static nb_status losses_of_free(allocate_choice *a, nb_sensitivity_row *rows, const nb_images *images,
                                const nb_watch *watch)
{
    int32_t n = make_rows(a, is_tried, rows);
    if (n > 0)
        NB_TRY(nb_sensitivity(a->of->probe, rows, n, images, images, watch));
    n = 0;
    for (int32_t i = 0; i < a->n_cells; i++)
        for (int32_t k = 0; is_tried(a, &a->cell[i]) && k < a->cell[i].n; k++, n++)
            a->cell[i].loss[k] = rows[n].score.kl / (double)images->n;
    return NB_OK;
}

/* Of the leaves that are rounded. */
static nb_status measure_curvatures(allocate_choice *a, const nb_images *images, const nb_watch *watch)
{
    nb_hessian_row *row = nb_arena_array(a->arena, (size_t)a->n_cells, sizeof *row);
    nb_graph *g;
    int32_t n = 0;
    if (!row)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < a->n_cells; i++) {
        if (!is_estimated(a, &a->cell[i]))
            continue;
        const nb_node *weights = nb_probe_site_at(a->of->probe, a->cell[i].site)->fq->in[0];
        if (!(weights->flags & NB_NODE_LEAF))
            return nb_fail(
                a->of->c->ctx, NB_E_UNSUPPORTED,
                "--sensitivity hessian: weights of %s are made in every step (quant.batchnorm: fold_corrected), "
                "and have no gradient of their own: measured would do",
                a->cell[i].layer);
        row[n++].leaf = weights->name;
    }
    NB_TRY(analyze_open_floats(a->of, HESSIAN_BATCH, &g));
    const nb_status st = nb_hessian_traces(g, row, n, images, ALLOCATE_VECTORS, watch);
    nb_graph_free(g);
    for (int32_t i = 0, k = 0; i < a->n_cells; i++)
        if (is_estimated(a, &a->cell[i]))
            a->cell[i].curvature = row[k++];
    return st;
}

static nb_status losses_by_hessian(allocate_choice *a, nb_sensitivity_row *rows, const nb_images *images,
                                   const nb_watch *watch)
{
    int32_t n = make_rows(a, is_estimated, rows);
    if (n == 0)
        return NB_OK;
    NB_TRY(nb_rounding_errors(a->of->probe, rows, n, images));
    NB_TRY(measure_curvatures(a, images, watch));
    n = 0;
    for (int32_t i = 0; i < a->n_cells; i++)
        for (int32_t k = 0; is_estimated(a, &a->cell[i]) && k < a->cell[i].n; k++, n++)
            a->cell[i].loss[k] = nb_hessian_cost(&a->cell[i].curvature, rows[n].noise);
    return NB_OK;
}

static nb_status losses_of_fixed(allocate_choice *a, nb_probe_change *change, nb_trial *trial, const nb_images *images,
                                 const nb_watch *watch)
{
    nb_trials t = {.images = *images, .trial = trial, .watch = watch};
    for (int32_t i = 0; i < a->n_cells; i++) {
        if (!a->cell[i].fixed)
            continue;
        change[i] = (nb_probe_change){a->cell[i].site, nb_probe_site_at(a->of->probe, a->cell[i].site)->fq};
        trial[t.n_trials++] = (nb_trial){.network = {.base = NB_PROBE_FLOAT, .change = &change[i], .n_changes = 1}};
    }
    NB_TRY(nb_trials_run(a->of->probe, &t));
    for (int32_t i = 0, k = 0; i < a->n_cells; i++)
        if (a->cell[i].fixed)
            a->cell[i].loss[0] = trial[k++].score.kl / (double)images->n;
    return NB_OK;
}

static nb_status check_losses(const allocate_choice *a)
{
    for (int32_t i = 0; i < a->n_cells; i++)
        for (int32_t k = 0; k < a->cell[i].n; k++)
            if (!isfinite(a->cell[i].loss[k]))
                return nb_fail(a->of->c->ctx, NB_E_DIVERGED, "%s: with %s of %s at %d bits answers are no numbers",
                               a->of->weights->path, a->cell[i].weights ? "weights" : "output", a->cell[i].layer,
                               a->cell[i].bits[k]);
    return NB_OK;
}

nb_status allocate_measure_losses(allocate_choice *a, const nb_images *images, const nb_watch *watch)
{
    const size_t n = (size_t)a->n_cells;
    nb_sensitivity_row *rows = nb_arena_array(a->arena, n * ALLOCATE_WIDTHS, sizeof *rows);
    nb_probe_change *change = nb_arena_array(a->arena, n, sizeof *change);
    nb_trial *trial = nb_arena_array(a->arena, n, sizeof *trial);
    if (!rows || !change || !trial)
        return NB_E_NOMEM;
    NB_TRY(losses_of_free(a, rows, images, watch));
    NB_TRY(losses_of_fixed(a, change, trial, images, watch));
    NB_TRY(losses_by_hessian(a, rows, images, watch));
    return check_losses(a);
}

nb_status allocate_measure_whole(allocate_choice *a, const nb_images *images, nb_probe_score *chosen,
                                 nb_probe_score *before)
{
    nb_probe *p = a->of->probe;
    nb_candidate *c = nb_arena_array(a->arena, (size_t)a->n_cells, sizeof *c);
    nb_probe_change *change = nb_arena_array(a->arena, (size_t)a->n_cells, sizeof *change);
    int32_t n = 0;
    if (!c || !change)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < a->n_cells; i++) {
        const allocate_cell *k = &a->cell[i];
        const nb_quantizer_wish wish = {.bits = k->bits[k->pick]};
        change[i] = (nb_probe_change){k->site, nb_probe_site_at(p, k->site)->fq};
        if (k->fixed)
            continue;
        NB_TRY(nb_candidate_make(p, k->site, &wish, &c[n]));
        change[i].by = c[n++].by;
    }
    NB_TRY(nb_candidates_calibrate(p, c, n, images, NULL));
    nb_trial whole = {.network = {.base = NB_PROBE_FLOAT, .change = change, .n_changes = a->n_cells}};
    NB_TRY(nb_trials_run(p, &(nb_trials){.images = *images, .trial = &whole, .n_trials = 1, .quantized = before}));
    *chosen = whole.score;
    return NB_OK;
}

/* ---- choosing ---- */

int64_t allocate_cost(const allocate_choice *a)
{
    int64_t sum = a->unit == ALLOCATE_FLASH ? a->widest.flash_bytes : 0;
    for (int32_t i = 0; i < a->n_cells; i++) {
        const allocate_cell *c = &a->cell[i];
        if (a->unit == ALLOCATE_FLASH)
            sum += c->flash[c->pick];
        else if (c->weights && c->reads >= 0)
            sum += c->macs * c->bits[c->pick] * a->cell[c->reads].bits[a->cell[c->reads].pick];
    }
    return sum;
}

double allocate_loss(const allocate_choice *a)
{
    double sum = 0;
    for (int32_t i = 0; i < a->n_cells; i++)
        sum += a->cell[i].loss[a->cell[i].pick];
    return sum;
}

/* Widths with which a layer alone would take more RAM than ram are none; with *least what it must be at least. */
static bool make_problem(const allocate_choice *a, int64_t ram, int64_t *least)
{
    *least = 0;
    for (int32_t i = 0; i < a->n_cells; i++) {
        const allocate_cell *c = &a->cell[i];
        nb_alloc_option *o = &a->options[i * ALLOCATE_WIDTHS];
        int64_t own = INT64_MAX;
        int32_t n = 0;
        for (int32_t k = 0; k < c->n; k++) {
            own = c->ram[k] < own ? c->ram[k] : own;
            if (c->ram[k] > ram)
                continue;
            const int64_t macs = c->weights ? c->macs * c->bits[k] : 0;
            a->index[i * ALLOCATE_WIDTHS + n] = k;
            o[n++] = (nb_alloc_option){c->bits[k], a->unit == ALLOCATE_FLASH ? c->flash[k] : macs, c->loss[k]};
        }
        *least = own > *least ? own : *least;
        a->problem[i] = (nb_alloc_class){o, n, a->unit == ALLOCATE_MACS && c->weights ? c->reads : -1};
    }
    return *least <= ram;
}

/* With less RAM than asked for where the plan of all together takes more than that of each alone. */
static nb_status solve_within(const allocate_choice *a, int64_t budget, int64_t ram, nb_allocation *out)
{
    int64_t least;
    const int64_t base = a->unit == ALLOCATE_FLASH ? a->widest.flash_bytes : 0;
    if (!make_problem(a, ram, &least))
        return nb_fail(a->of->c->ctx, NB_E_CONFIG,
                       "--budget-ram: %" PRId64 " cannot be reached: the smallest possible is %" PRId64
                       " bytes (values take a byte each at any width)",
                       a->ram, least);
    NB_TRY(nb_allocate(a->of->c->ctx, a->problem, a->n_cells, budget - base, out, a->picks));
    out->least += base;
    out->cost += base;
    for (int32_t i = 0; out->fits && i < a->n_cells; i++)
        a->picks[i] = a->index[i * ALLOCATE_WIDTHS + a->picks[i]];
    return NB_OK;
}

nb_status allocate_solve_for(const allocate_choice *a, int64_t budget, nb_allocation *out)
{
    return solve_within(a, budget, a->ram, out);
}

nb_status allocate_solve(allocate_choice *a)
{
    nb_ctx *ctx = a->of->c->ctx;
    for (int64_t ram = a->ram;;) {
        nb_allocation best;
        NB_TRY(solve_within(a, a->budget, ram, &best));
        if (!best.fits)
            return nb_fail(ctx, NB_E_CONFIG,
                           "--budget%s: %" PRId64 " cannot be reached: the smallest possible is %" PRId64 " %s",
                           a->unit == ALLOCATE_FLASH ? "" : "-macs", a->budget, best.least,
                           a->unit == ALLOCATE_FLASH ? "bytes" : "bit operations");
        NB_TRY(size_of(a, a->picks, NO_PICKS, 0, &a->size));
        if (a->size.ram_bytes <= a->ram)
            break;
        ram -= a->size.ram_bytes - a->ram;
    }
    for (int32_t i = 0; i < a->n_cells; i++)
        a->cell[i].pick = a->picks[i];
    if (a->unit == ALLOCATE_FLASH && a->size.flash_bytes > a->budget)
        return nb_fail(ctx, NB_E_CONFIG,
                       "--budget: the widths that were found take %" PRId64 " bytes together, %" PRId64 " were counted",
                       a->size.flash_bytes, allocate_cost(a));
    return NB_OK;
}
