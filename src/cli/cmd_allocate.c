/* cmd_allocate.c - bits for every layer under a budget of flash, RAM or bit operations, as a config ready to train. */
#include "cli/allocate_choice.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/progress.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/quantity.h"
#include "base/textbuf.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_IMAGES = 256, POINTS = 12, ROWS = POINTS + ALLOCATE_WIDTHS + 1, TITLE_BYTES = 32 };
#define UNLIMITED (INT64_MAX / 4)

/* A choice as a row of the front. */
typedef struct {
    char title[TITLE_BYTES];
    int64_t cost;
    double loss, bits; /* mean bits of a weight */
} point;

typedef struct {
    cli *c;
    analyze_networks of;
    int32_t table; /* that --table names, or -1 */
    allocate_choice choice;
    nb_images images;
    point row[ROWS];
    int32_t n_rows;
    nb_probe_score chosen, before; /* the whole network with the picked widths; with those of the config */
    cli_progress progress;
    const char *part[5]; /* of the work; what comes when counting begins anew */
    int32_t n_part;
    int64_t done;
    double start, part_start;
} session;

/* ---- options ---- */

static const char *const table_names[] = {"layers", "front"};
enum { TABLE_LAYERS, TABLE_FRONT, TABLES };

static nb_status read_budget(session *s)
{
    cli *c = s->c;
    allocate_choice *a = &s->choice;
    const bool flash = cli_value(c, "--budget"), macs = cli_value(c, "--budget-macs");
    a->budget = a->ram = UNLIMITED;
    if (flash && macs)
        return cli_usage(c, "--budget and --budget-macs: give one of them");
    if (!flash && !macs && !cli_value(c, "--budget-ram"))
        return cli_usage(c, "a budget is missing: --budget 40KiB, --budget-ram 16KiB or --budget-macs 2G");
    a->unit = macs ? ALLOCATE_MACS : ALLOCATE_FLASH;
    NB_TRY(cli_amount(c, "--budget", nb_units_of_bytes, &a->budget));
    NB_TRY(cli_amount(c, "--budget-ram", nb_units_of_bytes, &a->ram));
    return cli_amount(c, "--budget-macs", nb_units_of_counts, &a->budget);
}

/* --bits 2,4,8: ascending, each once. */
static nb_status read_widths(session *s)
{
    const char *text = cli_value(s->c, "--bits"), *t = text ? text : "2,3,4,6,8";
    allocate_choice *a = &s->choice;
    for (int32_t last = 1;; t++) {
        if (*t <= '0' + last || *t > '8' || (t[1] && t[1] != ','))
            return cli_usage(s->c, "--bits: %s: must be widths of 2..8 in ascending order, e.g. 2,4,8", text);
        last = a->widths[a->n_widths++] = *t++ - '0';
        if (!*t)
            return NB_OK;
    }
}

static nb_status read_sensitivity(session *s)
{
    static const char *const names[] = {"measured", "hessian"};
    const char *text = cli_value(s->c, "--sensitivity");
    if (text && strcmp(text, names[0]) != 0 && strcmp(text, names[1]) != 0)
        return cli_usage(s->c, "--sensitivity: %s: must be measured or hessian%s", text,
                         nb_did_you_mean(text, names, 2).text);
    s->choice.by = text && strcmp(text, names[1]) == 0 ? ALLOCATE_HESSIAN : ALLOCATE_MEASURED;
    return NB_OK;
}

static nb_status check_options(session *s)
{
    cli *c = s->c;
    const char *out = cli_value(c, "--output");
    if (cli_flag(c, "--json") && (cli_flag(c, "--csv") || cli_value(c, "--table")))
        return cli_usage(c, "--json: has all tables; --csv and --table are for one");
    NB_TRY(cli_table_asked_for(c, table_names, TABLES, &s->table));
    if (out && !cli_is_config(out))
        return cli_usage(c, "-o: %s: is a config, and ends in .yaml", out);
    NB_TRY(read_budget(s));
    NB_TRY(read_sensitivity(s));
    return read_widths(s);
}

/* ---- measuring ---- */

static void on_progress(void *ud, int64_t done, int64_t all)
{
    session *s = ud;
    if (done <= s->done) { /* the next part has begun */
        s->part_start = nb_now();
        s->n_part += s->n_part < 4;
    }
    s->done = done;
    cli_progress_share(&s->progress, s->part[s->n_part], (double)done / (double)all, s->part_start);
}

static nb_status choose_images(session *s)
{
    int32_t n;
    NB_TRY(cli_images_count(s->c, DEFAULT_IMAGES, s->of.e.n_train, "training", &n));
    s->images = (nb_images){.data = s->of.e.train, .indices = cli_post_steps_images(&s->of.steps), .n = n};
    return NB_OK;
}

static double mean_bits(const allocate_choice *a, const int32_t *pick)
{
    double bits = 0, weights = 0;
    for (int32_t i = 0; i < a->n_cells; i++) {
        if (!a->cell[i].weights)
            continue;
        const double n = (double)nb_probe_site_at(a->of->probe, a->cell[i].site)->values;
        bits += n * a->cell[i].bits[pick[i]];
        weights += n;
    }
    return bits / weights;
}

static void add_point(session *s, const char *title, int64_t cost, double loss, double bits)
{
    for (int32_t i = 0; i < s->n_rows; i++)
        if (!strcmp(s->row[i].title, title) && s->row[i].cost == cost)
            return;
    point *p = &s->row[s->n_rows++];
    *p = (point){.cost = cost, .loss = loss, .bits = bits};
    snprintf(p->title, sizeof p->title, "%s", title);
}

/* The network with all free quantizers at one width, where each of them has it. */
static void add_uniform(session *s, int32_t bits)
{
    allocate_choice *a = &s->choice;
    char title[TITLE_BYTES];
    for (int32_t i = 0; i < a->n_cells; i++) {
        int32_t k = 0;
        while (!a->cell[i].fixed && k < a->cell[i].n && a->cell[i].bits[k] != bits)
            k++;
        if (k == a->cell[i].n)
            return;
        a->picks[i] = a->cell[i].pick;
        a->cell[i].pick = k;
    }
    snprintf(title, sizeof title, "all at %d bits", bits);
    const int64_t cost = allocate_cost(a);
    const double loss = allocate_loss(a);
    for (int32_t i = 0; i < a->n_cells; i++) {
        const int32_t k = a->cell[i].pick;
        a->cell[i].pick = a->picks[i];
        a->picks[i] = k;
    }
    add_point(s, title, cost, loss, mean_bits(a, a->picks));
}

static int by_cost(const void *a, const void *b)
{
    const point *x = a, *y = b;
    return x->cost != y->cost ? (x->cost < y->cost ? -1 : 1) : x->loss > y->loss ? -1 : x->loss < y->loss;
}

/* The best for budgets from the smallest to where more gives nothing, each a step dearer; what was chosen; all at one width. */
static nb_status make_front(session *s)
{
    allocate_choice *a = &s->choice;
    nb_allocation most, at;
    for (int32_t i = 0; i < a->n_cells; i++)
        a->picks[i] = a->cell[i].pick;
    add_point(s, "chosen", allocate_cost(a), allocate_loss(a), mean_bits(a, a->picks));
    NB_TRY(allocate_solve_for(a, UNLIMITED, &most));
    for (int32_t i = 0; i < POINTS; i++) {
        const double share = (double)i / (POINTS - 1), ratio = (double)most.cost / (double)most.least;
        const int64_t budget = i == POINTS - 1 ? most.cost : (int64_t)((double)most.least * pow(ratio, share));
        NB_TRY(allocate_solve_for(a, budget > most.least ? budget : most.least, &at));
        add_point(s, "best", at.cost, at.loss, mean_bits(a, a->picks));
    }
    for (int32_t i = 0; i < a->n_widths; i++)
        add_uniform(s, a->widths[i]);
    qsort(s->row, (size_t)s->n_rows, sizeof *s->row, by_cost);
    return NB_OK;
}

static nb_status measure(session *s)
{
    allocate_choice *a = &s->choice;
    const nb_watch watch = {.at = on_progress, .ud = s};
    s->part[0] = s->part[1] = "sizes of every width";
    s->part[2] = "losses of every width";
    s->part[3] = "losses of what is fixed";
    s->part[4] = "traces of Hessians";
    s->done = INT64_MAX;
    a->of = &s->of;
    NB_TRY(allocate_find(a));
    if (a->unit == ALLOCATE_FLASH || a->ram < UNLIMITED)
        NB_TRY(allocate_measure_sizes(a, &watch));
    s->n_part = 1;
    s->done = INT64_MAX;
    NB_TRY(allocate_measure_losses(a, &s->images, &watch));
    NB_TRY(allocate_solve(a));
    NB_TRY(make_front(s));
    cli_progress_text(&s->progress, "the network with the chosen bits");
    return allocate_measure_whole(a, &s->images, &s->chosen, &s->before);
}

static nb_status open_and_measure(session *s)
{
    const char *out = cli_value(s->c, "--output");
    s->of.only_listed_steps = true;
    NB_TRY(analyze_open(&s->of));
    if (out)
        NB_TRY(cli_output_check(s->c, "-o", out, "config"));
    NB_TRY(choose_images(s));
    const nb_status st = measure(s);
    return st == NB_E_DIVERGED ? nb_fail(s->c->ctx, st, "%s: %s", s->of.file, nb_ctx_error(s->c->ctx)) : st;
}

/* ---- tables ---- */

static const char *unit_key(const session *s)
{
    return s->choice.unit == ALLOCATE_FLASH ? "flash_bytes" : "bit_operations";
}

static const char *unit_name(const session *s)
{
    return s->choice.unit == ALLOCATE_FLASH ? "bytes of flash" : "bit operations";
}

static nb_status front_table(const session *s, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "choice", "choice", NB_LEFT);
    nb_table_column(t, unit_key(s), unit_name(s), NB_RIGHT);
    nb_table_column(t, "predicted_divergence", "predicted divergence", NB_RIGHT);
    nb_table_column(t, "mean_weight_bits", "bits of a weight", NB_RIGHT);
    for (int32_t i = 0; i < s->n_rows; i++) {
        nb_table_row(t);
        nb_table_add_text(t, s->row[i].title);
        nb_table_add_int(t, s->row[i].cost);
        nb_table_add_figures(t, s->row[i].loss, 4);
        nb_table_add_real(t, s->row[i].bits, 2);
    }
    *out = t;
    return NB_OK;
}

static void add_curvature(nb_table *t, const nb_hessian_row *r)
{
    if (r->n == 0) {
        nb_table_add_blank(t);
        nb_table_add_blank(t);
        return;
    }
    nb_table_add_figures(t, r->trace / (double)r->n, 3);
    nb_table_add_figures(t, r->error / (double)r->n, 2);
}

static nb_status layer_table(const session *s, nb_table **out)
{
    const allocate_choice *a = &s->choice;
    const double all = allocate_loss(a);
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "layer", "layer", NB_LEFT);
    nb_table_column(t, "of", "of", NB_LEFT);
    nb_table_column(t, "bits", "bits", NB_RIGHT);
    nb_table_column(t, "before", "before", NB_RIGHT);
    nb_table_column(t, "divergence", "divergence", NB_RIGHT);
    nb_table_column(t, "share_percent", "share %", NB_RIGHT);
    if (a->by == ALLOCATE_HESSIAN) {
        nb_table_column(t, "mean_trace", "mean trace", NB_RIGHT);
        nb_table_column(t, "mean_trace_error", "±", NB_RIGHT);
    }
    nb_table_column(t, "fixed", "why fixed", NB_LEFT);
    for (int32_t i = 0; i < a->n_cells; i++) {
        const allocate_cell *c = &a->cell[i];
        nb_table_row(t);
        nb_table_add_text(t, c->layer);
        nb_table_add_text(t, c->weights ? "weights" : "output");
        nb_table_add_int(t, c->bits[c->pick]);
        nb_table_add_int(t, c->was);
        nb_table_add_figures(t, c->loss[c->pick], 4);
        nb_table_add_real(t, all > 0 ? 100 * c->loss[c->pick] / all : 0, 1);
        if (a->by == ALLOCATE_HESSIAN)
            add_curvature(t, &c->curvature);
        if (c->fixed)
            nb_table_add_text(t, c->fixed);
    }
    *out = t;
    return NB_OK;
}

/* ---- the config ---- */

/* A name in a comment, which must not end there. */
static void add_plain(nb_text *t, const char *name)
{
    for (; *name; name++)
        nb_text_bytes(t, (unsigned char)*name < ' ' || *name == 127 ? "?" : name, 1);
}

static void add_comment(const session *s, nb_text *t)
{
    const allocate_choice *a = &s->choice;
    nb_text_add(t, "# Bits under a budget: nibble allocate ");
    add_plain(t, s->of.file);
    if (cli_value(s->c, "--from")) {
        nb_text_add(t, " --from ");
        add_plain(t, cli_value(s->c, "--from"));
    }
    static const char *const budgets[] = {"--budget", "--budget-ram", "--budget-macs", "--bits", "--sensitivity"};
    for (int32_t i = 0; i < 5; i++)
        if (cli_value(s->c, budgets[i]))
            nb_text_printf(t, " %s %s", budgets[i], cli_value(s->c, budgets[i]));
    nb_text_printf(t, "\n# It takes %" PRId64 " bytes of flash and %" PRId64 " of RAM as exported C.\n",
                   a->size.flash_bytes, a->size.ram_bytes);
    nb_text_printf(
        t,
        "# Predicted loss: %.6f nats of divergence from the float network, the sum of each quantizer's alone, "
        "on %d training image%s:\n",
        allocate_loss(a), s->images.n, nb_plural(s->images.n));
    for (int32_t i = 0; i < a->n_cells; i++) {
        const allocate_cell *c = &a->cell[i];
        nb_text_printf(t, "#   %d bit%s  %.6f  %s of ", c->bits[c->pick], nb_plural(c->bits[c->pick]), c->loss[c->pick],
                       c->weights ? "weights" : "output");
        add_plain(t, c->layer);
        nb_text_printf(t, "%s%s\n", c->fixed ? "  fixed: " : "", c->fixed ? c->fixed : "");
    }
}

static nb_status write_config(const session *s)
{
    nb_ctx *ctx = s->c->ctx;
    const char *out = cli_value(s->c, "--output");
    char *config, *text = NULL;
    if (!out)
        return NB_OK;
    NB_TRY(allocate_config(&s->choice, &config));
    nb_text t;
    nb_text_init(ctx, &t);
    add_comment(s, &t);
    nb_text_add(&t, config);
    nb_free(ctx, config);
    nb_status st = nb_text_take(&t, &text);
    if (st == NB_OK)
        st = nb_file_write(ctx, out, text, strlen(text));
    nb_free(ctx, text);
    return st;
}

/* ---- printing ---- */

static void print_ends(const session *s)
{
    const allocate_choice *a = &s->choice;
    int32_t fixed = 0, chosen = 0;
    for (int32_t i = 0; i < a->n_cells; i++) {
        fixed += a->cell[i].fixed && !strcmp(a->cell[i].fixed, "first_last_bits");
        chosen += !a->cell[i].fixed;
    }
    printf("%d of %d quantizers are chosen; first and last layer: %s\n", chosen, a->n_cells,
           fixed ? "fixed by quant.first_last_bits (--set quant.first_last_bits=0 makes them part of the choice)"
                 : "part of the choice");
    if (a->unit == ALLOCATE_FLASH)
        printf("outputs keep the config's bits: their codes take a byte each at any width\n");
    if (a->by == ALLOCATE_HESSIAN)
        printf("losses of weights are estimated: half the mean trace of their Hessian (%d vectors) times the squared "
               "error\n"
               "of rounding them\n",
               ALLOCATE_VECTORS);
}

static void print_whole(const session *s)
{
    const allocate_choice *a = &s->choice;
    const double n = (double)s->images.n;
    printf(
        "\nwhole network, not trained: divergence %.6f with the chosen bits, %.6f with the config's; predicted %.6f\n",
        s->chosen.kl / n, s->before.kl / n, allocate_loss(a));
    const nb_alloc_outcome outcome = {allocate_loss(a), s->chosen.kl / n, s->images.n, a->by == ALLOCATE_HESSIAN};
    char off[NB_ALLOC_OFF];
    if (*nb_alloc_off(&outcome, off))
        printf("%s\n", off);
    printf("exported C: %" PRId64 " bytes of flash%s, %" PRId64 " of RAM\n", a->size.flash_bytes,
           a->size.settled ? "" : " (about: the weights' grid is not symmetric)", a->size.ram_bytes);
    if (cli_value(s->c, "--output"))
        printf("wrote %s: nibble train %s, or nibble quantize %s --from %s\n", cli_value(s->c, "--output"),
               cli_value(s->c, "--output"), cli_value(s->c, "--output"), s->of.weights->path);
    else
        printf("-o NEW.yaml writes the config\n");
}

static nb_status print_text(const session *s)
{
    const allocate_choice *a = &s->choice;
    nb_table *t;
    printf("%s: bits under a budget, weights of %s, %d training image%s, %.1f s\n", s->of.file, s->of.weights->path,
           s->images.n, nb_plural(s->images.n), nb_now() - s->start);
    print_ends(s);
    printf("\nthe best for each budget, and all free quantizers at one width; %s against predicted divergence: the sum "
           "of\neach quantizer's alone, in nats\n\n",
           unit_name(s));
    NB_TRY(front_table(s, &t));
    NB_TRY(cli_table_print(s->c->ctx, t));
    printf("\nchosen: %" PRId64 " %s", allocate_cost(a), unit_name(s));
    if (a->budget < UNLIMITED)
        printf(" of %" PRId64, a->budget);
    printf("\n\n");
    NB_TRY(layer_table(s, &t));
    NB_TRY(cli_table_print(s->c->ctx, t));
    print_whole(s);
    return NB_OK;
}

static nb_status print_json(const session *s)
{
    const allocate_choice *a = &s->choice;
    const double n = (double)s->images.n;
    cJSON *o = cJSON_CreateObject();
    nb_table *t = NULL;
    cJSON_AddStringToObject(o, "file", s->of.file);
    cJSON_AddStringToObject(o, "weights", s->of.weights->path);
    cJSON_AddNumberToObject(o, "images", s->images.n);
    if (a->budget < UNLIMITED)
        cJSON_AddNumberToObject(o, "budget", (double)a->budget);
    if (a->ram < UNLIMITED)
        cJSON_AddNumberToObject(o, "budget_ram", (double)a->ram);
    cJSON_AddStringToObject(o, "budget_of", unit_key(s));
    cJSON_AddNumberToObject(o, "cost", (double)allocate_cost(a));
    cJSON_AddNumberToObject(o, "flash_bytes", (double)a->size.flash_bytes);
    cJSON_AddNumberToObject(o, "ram_bytes", (double)a->size.ram_bytes);
    cJSON_AddBoolToObject(o, "flash_settled", a->size.settled);
    cJSON_AddStringToObject(o, "sensitivity", a->by == ALLOCATE_HESSIAN ? "hessian" : "measured");
    cJSON_AddNumberToObject(o, "predicted_divergence", allocate_loss(a));
    cJSON_AddNumberToObject(o, "divergence", s->chosen.kl / n);
    cJSON_AddNumberToObject(o, "divergence_before", s->before.kl / n);
    nb_status st = front_table(s, &t);
    if (st == NB_OK)
        st = cli_json_table(s->c->ctx, o, "front", t);
    if (st == NB_OK)
        st = layer_table(s, &t);
    if (st == NB_OK)
        return cli_json_print_table(s->c->ctx, o, "layers", t);
    cJSON_Delete(o);
    return st;
}

static nb_status print_csv(const session *s)
{
    nb_table *t;
    NB_TRY((s->table == TABLE_FRONT ? front_table : layer_table)(s, &t));
    return cli_table_print_as(s->c->ctx, t, cli_flag(s->c, "--csv") ? NB_TABLE_CSV : NB_TABLE_TEXT);
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    NB_TRY(check_options(s));
    s->start = nb_now();
    cli_progress_init(&s->progress, cli_flag(c, "--json"));
    cli_progress_text(&s->progress, "opening, finding ranges");
    nb_status st = open_and_measure(s);
    cli_progress_clear(&s->progress);
    NB_TRY(st);
    NB_TRY(write_config(s));
    if (cli_flag(c, "--json"))
        return print_json(s);
    return cli_flag(c, "--csv") || cli_value(c, "--table") ? print_csv(s) : print_text(s);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = s->of.c = c;
    const nb_status st = run_session(s);
    nb_arena_free(s->choice.arena);
    analyze_close(&s->of);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    {"--from", "CKPT", "of a config: the checkpoint whose weights are measured, a float one"},
    {"--budget", "BYTES", "flash of the exported C, constants without code: 40KiB, 40kB, 40960"},
    {"--budget-ram", "BYTES", "its RAM, alone or beside another budget"},
    {"--budget-macs", "N", "bit operations per image: multiply-accumulates times bits of weight and input: 2G"},
    {"--sensitivity", "WAY",
     "measured (default), or hessian: losses of weights from traces of Hessians, in a time that widths do not change"},
    {"--bits", "LIST", "the widths to choose from (default 2,3,4,6,8)"},
    {"--output,-o", "NEW.yaml", "write the config with the chosen bits"},
    {"--images", "N", "measure on N training images (default 256)"},
    {"--calibrate", "N", "find the ranges of what is fixed on N training images (default 1024)"},
    {"--table", "NAME", "one table: layers or front"},
    {"--csv", NULL, "one table as CSV (default: layers)"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_allocate = {
    .name = "allocate",
    .usage = "CONFIG --from CKPT",
    .help = "bits for every layer under a budget of bytes or bit operations",
    .more =
        "Every quantizer is tried alone at every width, all else float, and the widths are chosen whose costs fit the\n"
        "budget and whose losses have the smallest sum; no other choice has a smaller one. A loss is the divergence "
        "(KL, in\n"
        "nats) of the class probabilities from the float network's; small ones of different quantizers add up. Flash\n"
        "is what the header of the exported C states. Of flash and RAM weights alone are chosen (an output's codes "
        "take a\n"
        "byte each at any width), of bit operations outputs, too. What the config fixes stays: bits in quant.layers,\n"
        "first_last_bits where it is written and not 0. --sensitivity hessian estimates what weights lose instead "
        "(HAWQ-V2): half\n"
        "the mean trace of their Hessian times the squared error of rounding them. A float run folder or checkpoint "
        "may stand for CONFIG --from "
        "CKPT.\n"
        "`mpirun -n 4 nibble allocate ...` divides what is tried among four processes.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_FILE,
    .ranks = true,
    .run = run,
};
