/* cmd_report.c - a run, a sweep or a file as one HTML page. */
#include "cli/gather.h"
#include "cli/overwrite.h"

#include <nibble/nibble.h>

#include "base/check.h"
#include "base/files.h"

#include <string.h>

static nb_status save(cli *c, const char *path, const char *kind, const char *text)
{
    NB_TRY(nb_output_check(c->ctx, path));
    NB_TRY(cli_kind_check(c, path, kind));
    return nb_file_write(c->ctx, path, text, strlen(text));
}

/* "<folder>/<name><ending>" */
static nb_status save_in(cli *c, const char *folder, const char *name, const char *ending, const char *text)
{
    char file[256], path[CLI_PATH_BYTES];
    snprintf(file, sizeof file, "%s%s", name, ending);
    NB_TRY(cli_file_in(c, folder, file, path));
    return save(c, path, "csv", text);
}

static nb_status save_assets(cli *c, const nb_page *p, const char *folder)
{
    NB_TRY(nb_make_dirs(c->ctx, folder));
    for (const nb_asset *a = p->first; a; a = a->next) {
        nb_text svg;
        char *text = NULL;
        NB_TRY(save_in(c, folder, a->name, ".csv", a->csv));
        if (!a->svg)
            continue;
        nb_text_init(c->ctx, &svg);
        nb_svg_file(&svg, a->svg);
        nb_status st = nb_text_take(&svg, &text);
        if (st == NB_OK)
            st = save_in(c, folder, a->name, ".svg", text);
        nb_free(c->ctx, text);
        NB_TRY(st);
    }
    return NB_OK;
}

/* -o, or report.html in the folder. */
static nb_status path_of_page(cli *c, char path[CLI_PATH_BYTES])
{
    const char *given = cli_value(c, "--output");
    if (!given && !nb_file_exists(c->arg[0]))
        return nb_fail(c->ctx, NB_E_IO, "%s: cannot open: No such file or directory", c->arg[0]);
    if (!given && !nb_is_folder(c->arg[0]))
        return cli_usage(c, "-o FILE is missing: where to write the report of %s", c->arg[0]);
    if (!given)
        return cli_file_in(c, c->arg[0], "report.html", path);
    const int len = snprintf(path, CLI_PATH_BYTES, "%s", given);
    return len < CLI_PATH_BYTES ? NB_OK : cli_usage(c, "-o: the path is too long");
}

static nb_status write_page(gathering *g, const char *path)
{
    cli *c = g->c;
    nb_page page;
    char *html = NULL;
    const char *assets = cli_value(c, "--assets");
    NB_TRY(nb_page_open(c->ctx, &page));
    nb_report_write(&g->r, &page);
    nb_status st = nb_page_print(&page, nb_report_title(&page, &g->r), &html);
    cli_progress_clear(&g->progress);
    if (st == NB_OK)
        st = save(c, path, "html", html);
    if (st == NB_OK && assets)
        st = save_assets(c, &page, assets);
    for (int32_t i = 0; st == NB_OK && i < g->r.n_lacks; i++)
        fprintf(stderr, "missing: %s: %s\n", g->r.lack[i].what, g->r.lack[i].why);
    if (st == NB_OK)
        printf("report: %s (%.0f KB)\n", path, (double)strlen(html) / 1000);
    nb_free(c->ctx, html);
    nb_page_close(&page);
    return st;
}

static nb_status gather(gathering *g)
{
    cli *c = g->c;
    const char *what = c->arg[0];
    char path[CLI_PATH_BYTES];
    NB_TRY(path_of_page(c, path));
    if (!cli_same_file(path, what)) /* before all the work; of the file that is read there is more to say */
        NB_TRY(cli_kind_check(c, path, "html"));
    NB_TRY(nb_arena_create(c->ctx, &g->r.arena));
    g->r.title = what;
    g->r.version = NB_VERSION;
    g->r.before = g->r.validation = -1;
    cli_progress_init(&g->progress, false);
    if (nb_is_folder(what) && !cli_holds_sweep(c, what) && !cli_holds_run(what))
        return nb_fail(c->ctx, NB_E_IO,
                       "%s: is neither a run folder (metrics.csv, last.safetensors) nor a sweep's (runs.csv)", what);
    cli_log(c->ctx, false); /* which files of a folder are taken is said on the page */
    const nb_status st = nb_is_folder(what) && cli_holds_sweep(c, what) ? gather_sweep(g, what) : gather_run(g, what);
    cli_log(c->ctx, true);
    NB_TRY(st);
    return write_page(g, path);
}

static nb_status run(cli *c)
{
    gathering *g = nb_alloc(c->ctx, sizeof *g);
    if (!g)
        return NB_E_NOMEM;
    g->c = c;
    const nb_status st = gather(g);
    gather_close(g);
    nb_free(c->ctx, g);
    return st;
}

static const cli_option options[] = {
    {"--output,-o", "FILE", "the page (default: report.html in the folder)"},
    {"--assets", "DIR", "also write every drawing as SVG and all numbers as CSV into DIR"},
    {"--from", "CKPT", "of a quantized checkpoint: the float network to compare with"},
    {"--images", "N", "measure what quantizers cost on N test images (default 256)"},
    {"--proofs", NULL, "also compare every implementation of the integers, as verify --all does"},
    CLI_SET,
    CLI_THREADS,
    {0}};

const cli_command cli_command_report = {
    .name = "report",
    .usage = "RUN|SWEEP|FILE",
    .help = "one HTML page: accuracy, size, what costs most, mistakes, what is not proven",
    .more = "Of a run folder, the folder of a sweep, or a checkpoint. The page stands alone: no network, no scripts, "
            "light or\n"
            "dark as its reader has it. It holds the tables of info, analyze, eval and verify, and drawings of them. "
            "What is\n"
            "missing (a data set, a damaged file) is named on it, and the rest is shown. Equal input gives an equal "
            "page.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_FILE,
    .run = run,
};
