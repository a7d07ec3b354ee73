/* cmd_analyze.c - float against quantized: which quantizers cost how much, and what would help. */
#include "cli/analyze_networks.h"
#include "cli/output.h"
#include "cli/progress.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "report/table_analyze.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_IMAGES = 256, REMEDY_IMAGES = 128, DEFAULT_WORST = 5, SHOWN = 10, MOST_NETWORKS = 12 };

typedef struct {
    cli *c;
    analyze_networks of;
    nb_analysis a;
    int32_t *indices; /* of the images */
    nb_images images;
    nb_eval integers; /* n = 0: there are none */
    nb_probe_score with[ANALYZE_STEPS];
    nb_network_row networks[MOST_NETWORKS];
    char names[MOST_NETWORKS][96];
    int32_t n_networks;
    cli_progress progress;
    const char *part; /* that is under way */
    int64_t done;     /* of it */
    double start, part_start;
} session;

/* ---- tables ---- */

static nb_status make_networks(const session *s, int32_t most, nb_table **out)
{
    (void)most;
    return nb_table_of_networks(s->c->ctx, s->networks, s->n_networks, out);
}

static nb_status make_layers(const session *s, int32_t most, nb_table **out)
{
    return nb_table_of_blame(s->c->ctx, &s->a, most, out);
}

static nb_status make_quantizers(const session *s, int32_t most, nb_table **out)
{
    return nb_table_of_quantizers(s->c->ctx, &s->a, most, out);
}

static nb_status make_biases(const session *s, int32_t most, nb_table **out)
{
    return nb_table_of_biases(s->c->ctx, &s->a, most, out);
}

static nb_status make_remedies(const session *s, int32_t most, nb_table **out)
{
    (void)most;
    return nb_table_of_remedies(s->c->ctx, &s->a, out);
}

static const struct {
    const char *name, *title;
    nb_status (*make)(const session *s, int32_t most, nb_table **out);
} tables[] = {
    {"networks", "networks beside the float one: loss beyond its own, divergence of the class probabilities (nats)",
     make_networks},
    {"layers",
     "layers, the worst first: divergence of their quantizers on alone; signal to noise in dB of the weights, and of "
     "what\nthe layer puts out, on float inputs by its weights, its output, both, then in the quantized network by all "
     "before",
     make_layers},
    {"quantizers", "quantizers, the worst first: on alone, all else float; off alone, all else quantized",
     make_quantizers},
    {"biases",
     "mean error before the relu in the quantized network, in standard deviations of the channel: the worst channel, "
     "root\nmean square of all, and what is left when the mean of every other image corrects the rest",
     make_biases},
    {"remedies",
     "what would help in place of the worst quantizers, the best for the whole network first: the network with it, "
     "then "
     "that\nquantizer on alone, before and with it; errors can cancel, what is worse by itself helps by luck",
     make_remedies},
};
enum { TABLES = sizeof tables / sizeof *tables, TABLE_OF_CSV = 1 };

static nb_status table_asked_for(cli *c, int32_t *out)
{
    const char *names[TABLES];
    for (int32_t i = 0; i < TABLES; i++)
        names[i] = tables[i].name;
    return cli_table_asked_for(c, names, TABLES, out);
}

static nb_status print_table(const session *s, int32_t i, int32_t most, nb_table_format format)
{
    nb_table *t;
    NB_TRY(tables[i].make(s, most, &t));
    return cli_table_print_as(s->c->ctx, t, format);
}

/* ---- in words ---- */

static void print_worst(const session *s)
{
    const nb_analysis *a = &s->a;
    const nb_analysis_site *w = &a->site[a->sites_by_cost[0]];
    const nb_analysis_remedy *best = NULL;
    double all = 0;
    char title[160];
    for (int32_t i = 0; i < a->n_sites; i++)
        all += a->site[i].cost;
    if (!(all > 0)) {
        printf("\nnothing that is rounded moves an answer\n");
        return;
    }
    printf("\nworst: %s, %d bit%s: on alone it makes %.1f %% of what all quantizers alone cost",
           nb_quantizer_title(w, title, sizeof title), w->bits, nb_plural(w->bits), 100 * w->cost / all);
    for (int32_t i = 0; i < a->n_remedies; i++) {
        const nb_analysis_remedy *r = &a->remedy[i];
        if (r->site == a->sites_by_cost[0] && (!best || r->network.kl < best->network.kl))
            best = r;
    }
    if (best && best->network.kl < a->quantized.kl)
        printf("; with %s the whole network's divergence goes from %.6f to %.6f", best->text,
               a->quantized.kl / (double)a->quantized.n, best->network.kl / (double)best->network.n);
    else if (best)
        printf("; nothing that was tried in its place helps the whole network");
    printf("\n");
}

static void print_negligible(const session *s)
{
    const nb_analysis *a = &s->a;
    int32_t n = 0;
    for (int32_t i = 0; i < a->n_sites; i++)
        n += a->site[i].negligible;
    printf("negligible: %d of %d quantizers cost less than 1 %% each\n", n, a->n_sites);
}

static void print_what_is_float(const session *s)
{
    const analyze_networks *of = &s->of;
    if (of->floats)
        printf("float: the network of %s, batch norms in float, nothing rounded\n", of->floats->path);
    else if (of->anew)
        printf("float: the network of %s as it came, batch norms in float, nothing rounded\n", of->weights->path);
    else
        printf("float: the same weights, batch norms in float, nothing rounded%s\n",
               *of->weights->metrics ? "; they were trained with rounding, so this is no network that somebody "
                                       "trained:\n--from CKPT compares with another"
                                     : "");
}

static nb_status print_text(const session *s)
{
    cli *c = s->c;
    char bits[CLI_BITS_BYTES];
    const int32_t most = cli_flag(c, "--all") ? 0 : SHOWN;
    printf("%s: %s on %d test image%s, %.1f s\n", s->of.file, cli_bits_text(&s->of.e, true, bits), s->images.n,
           nb_plural(s->images.n), nb_now() - s->start);
    print_what_is_float(s);
    printf("ranges: %s\n", s->of.ranges);
    for (int32_t i = 0; i < TABLES; i++) {
        if (tables[i].make == make_remedies && s->a.n_remedies == 0)
            continue;
        printf("\n%s\n\n", tables[i].title);
        NB_TRY(print_table(s, i, most, NB_TABLE_TEXT));
    }
    print_worst(s);
    print_negligible(s);
    if (s->images.n == 1)
        printf("of one image there is no error (±): how much losses differ from image to image is not seen; --images N "
               "takes more\n");
    if (most && s->a.n_sites > most)
        printf("shown are the %d worst of %d layers and of %d quantizers; --all shows all\n", most, s->a.n_layers,
               s->a.n_sites);
    return NB_OK;
}

static nb_status print_json(const session *s)
{
    char bits[CLI_BITS_BYTES];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", s->of.file);
    cJSON_AddStringToObject(o, "weights", s->of.weights->path);
    cJSON_AddStringToObject(o, "float", s->of.floats ? s->of.floats->path : s->of.weights->path);
    cJSON_AddStringToObject(o, "bits", cli_bits_text(&s->of.e, true, bits));
    cJSON_AddStringToObject(o, "ranges", s->of.ranges);
    cJSON_AddNumberToObject(o, "images", s->images.n);
    nb_status st = NB_OK;
    for (int32_t i = 0; st == NB_OK && i < TABLES; i++) {
        nb_table *t;
        st = tables[i].make(s, 0, &t);
        if (st == NB_OK)
            st = cli_json_table(s->c->ctx, o, tables[i].name, t);
    }
    if (st == NB_OK)
        return cli_json_print(s->c->ctx, o);
    cJSON_Delete(o);
    return st;
}

/* ---- measuring ---- */

/* Evenly over the test images, which may lie class by class. */
static nb_status choose_images(session *s)
{
    cli *c = s->c;
    const int64_t all = nb_data_info(s->of.e.test)->count;
    int32_t n;
    NB_TRY(cli_images_count(c, DEFAULT_IMAGES, (int32_t)all, "test", &n));
    s->indices = nb_alloc(c->ctx, (size_t)n * sizeof *s->indices);
    if (!s->indices)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        s->indices[i] = (int32_t)(i * all / n);
    s->images = (nb_images){.data = s->of.e.test, .indices = s->indices, .n = n};
    return NB_OK;
}

static void on_progress(void *ud, int64_t done, int64_t all)
{
    session *s = ud;
    char text[96], left[32];
    if (done <= s->done) { /* the next part has begun */
        s->part_start = nb_now();
        s->part = "trying what would help:";
    }
    s->done = done;
    const double seconds = nb_now() - s->part_start;
    snprintf(text, sizeof text, "%s %d %%, %s left", s->part, (int)(100 * done / all),
             cli_duration(seconds * (double)(all - done) / (double)done, left, sizeof left));
    cli_progress_text(&s->progress, text);
}

static void add_network(session *s, const char *name, const nb_network_row *row)
{
    snprintf(s->names[s->n_networks], sizeof s->names[0], "%s", name);
    s->networks[s->n_networks] = *row;
    s->networks[s->n_networks].name = s->names[s->n_networks];
    s->n_networks++;
}

static nb_status try_steps(session *s)
{
    for (int32_t i = 0; i < ANALYZE_STEPS; i++) {
        bool done;
        char text[ANALYZE_NAME];
        cli_progress_text(&s->progress, "trying steps on the whole network");
        NB_TRY(analyze_try_step(&s->of, i, &s->images, &s->with[i], text, &done));
        if (done)
            add_network(s, text, &(nb_network_row){.score = &s->with[i]});
    }
    return NB_OK;
}

static nb_status measure(session *s)
{
    cli *c = s->c;
    const nb_watch watch = {.at = on_progress, .ud = s};
    const int32_t n_calibrate = s->of.e.n_train < REMEDY_IMAGES ? s->of.e.n_train : REMEDY_IMAGES;
    nb_analysis_job job = {.images = s->images, .watch = &watch, .n_worst = DEFAULT_WORST};
    const bool remedies = !cli_flag(c, "--no-remedies");
    if (remedies)
        job.calibration = (nb_images){s->of.e.train, cli_post_steps_images(&s->of.steps), n_calibrate};
    s->part = "measuring:";
    s->part_start = nb_now();
    NB_TRY(nb_analyze(s->of.probe, &job, &s->a));
    add_network(s, "float", &(nb_network_row){.score = &s->a.floats});
    add_network(s, "weights rounded alone", &(nb_network_row){.score = &s->a.weights});
    add_network(s, "outputs rounded alone", &(nb_network_row){.score = &s->a.outputs});
    add_network(s, "quantized", &(nb_network_row){.score = &s->a.quantized});
    if (s->of.integers) {
        NB_TRY(nb_intmodel_evaluate_shared(c->ctx, s->of.integers, s->images.data, s->images.indices, s->images.n,
                                           &s->integers, &(nb_answers){0}));
        add_network(s, "integers", &(nb_network_row){.accuracy = s->integers.accuracy, .loss = s->integers.loss});
    }
    return remedies ? try_steps(s) : NB_OK;
}

static nb_status open_and_measure(session *s)
{
    NB_TRY(analyze_open(&s->of));
    NB_TRY(choose_images(s));
    const nb_status st = measure(s);
    const bool bare = st == NB_E_DIVERGED || st == NB_E_SHAPE;
    return bare ? nb_fail(s->c->ctx, st, "%s: %s", s->of.file, nb_ctx_error(s->c->ctx)) : st;
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    int32_t table;
    if (cli_flag(c, "--json") && (cli_flag(c, "--csv") || cli_value(c, "--table")))
        return cli_usage(c, "--json: has all tables; --csv and --table are for one");
    NB_TRY(table_asked_for(c, &table));
    s->start = nb_now();
    cli_progress_init(&s->progress, cli_flag(c, "--json"));
    cli_progress_text(&s->progress, "opening, quantizing");
    const nb_status st = open_and_measure(s);
    cli_progress_clear(&s->progress);
    NB_TRY(st);
    if (cli_flag(c, "--json"))
        return print_json(s);
    if (cli_flag(c, "--csv"))
        return print_table(s, table >= 0 ? table : TABLE_OF_CSV, 0, NB_TABLE_CSV);
    return table >= 0 ? print_table(s, table, 0, NB_TABLE_TEXT) : print_text(s);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = s->of.c = c;
    const nb_status st = run_session(s);
    if (s->a.arena)
        nb_analysis_free(&s->a);
    nb_free(c->ctx, s->indices);
    analyze_close(&s->of);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    {"--from", "CKPT",
     "of a config: the checkpoint to quantize; of a quantized checkpoint: the float network beside it"},
    {"--images", "N", "judge on N test images, evenly over all (default 256)"},
    {"--calibrate", "N", "find ranges on N training images, as quantize does (default 1024)"},
    {"--no-remedies", NULL, "measure what is there, and try nothing else"},
    {"--all", NULL, "show all layers and quantizers, not the ten worst"},
    {"--table", "NAME", "one table, all of its rows: networks, layers, quantizers, biases or remedies"},
    {"--csv", NULL, "one table as CSV (default: layers)"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_analyze = {
    .name = "analyze",
    .usage = "FILE|CONFIG",
    .help = "float against quantized, layer by layer: which costs how much, what would help",
    .more =
        "FILE is a run folder or training checkpoint: a quantized one as it is, a float one as its config's `quant` "
        "would\n"
        "quantize it. A config takes --from CKPT, the weights. Every quantizer is switched on alone and off alone, "
        "beside "
        "the\n"
        "float network: batch norms in float, nothing rounded. What one costs is the divergence (KL, in nats) of the "
        "class\n"
        "probabilities when it alone is on: small costs of different quantizers add up, and labels play no part.\n"
        "Then other bits, ranges and granularities are tried in place of the five worst, and steps (nibble keys steps) "
        "on "
        "the\n"
        "whole network. All this is in floats that have the values of the codes; `integers` is the engine. Nothing is "
        "written.\n"
        "`mpirun -n 4 nibble analyze FILE` divides what is tried among four processes; the numbers are those of one.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_FILE,
    .ranks = true,
    .run = run,
};
