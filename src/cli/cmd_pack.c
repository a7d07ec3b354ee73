/* cmd_pack.c - a data set's images, decoded once, in a few large files that training reads as it needs them. */
#include "cli/choices.h"
#include "cli/open_experiment.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/progress.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"
#include "base/quantity.h"
#include "base/textbuf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SHARD = 256 << 20 };
enum { MAX_SIDE = 1 << 14, MAX_SETS = 64, SET_BYTES = 64 };

typedef struct {
    cli_progress progress;
    double since;
} shown;

static void show(void *ud, double share)
{
    shown *s = ud;
    cli_progress_share(&s->progress, "packing", share, s->since);
}

/* "64" or "64x48", rows first, as two more overrides of the section. */
static nb_status size_sets(cli *c, char set[2][SET_BYTES])
{
    const char *text = cli_value(c, "--size");
    char *end = NULL;
    long side[2];
    if (!text)
        return NB_OK;
    side[0] = side[1] = strtol(text, &end, 10);
    if (end != text && *end == 'x') {
        const char *second = end + 1;
        side[1] = strtol(second, &end, 10);
        end = end == second ? NULL : end;
    }
    if (!end || end == text || *end || side[0] < 1 || side[0] > MAX_SIDE || side[1] < 1 || side[1] > MAX_SIDE)
        return cli_usage(c, "--size: %s: must be rows and columns in pixels, as 64x48, or one number for both", text);
    snprintf(set[0], SET_BYTES, "data.height=%ld", side[0]);
    snprintf(set[1], SET_BYTES, "data.width=%ld", side[1]);
    return NB_OK;
}

/* A folder of PNG files is its own data section. */
static nb_status folder_config(cli *c, const char *folder, const char *const *sets, int32_t n, nb_config **out)
{
    nb_text t;
    nb_text_init(c->ctx, &t);
    nb_text_add(&t, "data:\n  name: pngdir\n  path: ");
    nb_text_json(&t, folder); /* which YAML reads as well */
    nb_text_add(&t, "\n");
    nb_status st = t.st;
    if (st == NB_OK)
        st = nb_config_parse(c->ctx, folder, t.s, t.len, sets, n, out);
    nb_text_free(&t);
    return st;
}

static nb_status load(cli *c, nb_config **out)
{
    const char *what = c->arg[0];
    char size[2][SET_BYTES] = {"", ""};
    NB_TRY(size_sets(c, size));
    const char **sets = nb_alloc(c->ctx, ((size_t)c->n_sets + 2) * sizeof *sets);
    if (!sets)
        return NB_E_NOMEM;
    int32_t n = 0;
    for (; n < c->n_sets; n++)
        sets[n] = c->set[n];
    for (int32_t i = 0; i < 2 && *size[i]; i++)
        sets[n++] = size[i];
    const nb_status st =
        nb_is_folder(what) ? folder_config(c, what, sets, n, out) : nb_config_load(c->ctx, what, sets, n, out);
    nb_free(c->ctx, sets);
    return st;
}

static nb_status print_result(cli *c, const nb_pack_result *r)
{
    const char *out = cli_value(c, "--output");
    if (cli_flag(c, "--json")) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "folder", out);
        cJSON_AddNumberToObject(o, "height", r->h);
        cJSON_AddNumberToObject(o, "width", r->w);
        cJSON_AddNumberToObject(o, "channels", r->c);
        cJSON_AddNumberToObject(o, "classes", r->classes);
        cJSON_AddNumberToObject(o, "train_images", r->images[0]);
        cJSON_AddNumberToObject(o, "test_images", r->images[1]);
        cJSON_AddNumberToObject(o, "shards", r->shards[0] + r->shards[1]);
        cJSON_AddNumberToObject(o, "kept", r->kept);
        cJSON_AddNumberToObject(o, "bytes", (double)r->bytes);
        return cli_json_print(c->ctx, o);
    }
    printf("%s: %d training and %d test images of %dx%dx%d in %d classes, %d files, %.1f MB", out, r->images[0],
           r->images[1], r->h, r->w, r->c, r->classes, r->shards[0] + r->shards[1], (double)r->bytes / 1e6);
    if (r->kept)
        printf(" (%d were there already)", r->kept);
    printf("\ndata: {name: packed, path: %s} reads them\n", out);
    return NB_OK;
}

static nb_status pack(cli *c, const nb_config *config, const nb_pack_job *given)
{
    nb_pack_job job = *given;
    nb_pack_result result = {0};
    shown s = {.since = nb_now()};
    cli_progress_init(&s.progress, cli_flag(c, "--quiet") || cli_flag(c, "--json"));
    job.at = show;
    job.ud = &s;
    const nb_status st = nb_data_pack(c->ctx, nb_conf_get(nb_config_root(config), "data"), &job, &result);
    cli_progress_clear(&s.progress);
    return st == NB_OK ? print_result(c, &result) : st;
}

static nb_status run(cli *c)
{
    nb_pack_job job = {.out = cli_value(c, "--output"), .shard_bytes = DEFAULT_SHARD, .force = cli_flag(c, "--force")};
    nb_config *config = NULL;
    if (!job.out || !*job.out)
        return cli_usage(c, "-o OUT is missing: the folder to write");
    NB_TRY(cli_amount(c, "--shard", nb_units_of_bytes, &job.shard_bytes));
    nb_status st = load(c, &config);
    if (st == NB_OK) {
        cli_settle_choices(c, config);
        st = pack(c, config, &job);
    }
    nb_config_free(c->ctx, config);
    return st;
}

static const cli_option options[] = {
    {"--output,-o", "OUT", "the folder to write; made if it is not there"},
    {"--size", "HxW", "resize images to so many rows and columns, or to a square: 64"},
    {"--shard", "BYTES", "largest file, of whole images (default 256MiB); also kB, MB, KiB"},
    {"--force", NULL, "replace what was packed of another data set"},
    CLI_SET,
    CLI_THREADS,
    {"--quiet", NULL, "no progress line"},
    CLI_JSON,
    {0}};

const cli_command cli_command_pack = {
    .name = "pack",
    .usage = "CONFIG|FOLDER -o OUT",
    .help = "decode a data set once, into a few large files that training reads as it needs them",
    .more = "Packs the data section of a config, or a FOLDER of PNG files (train/CLASS/*.png and test/CLASS/*.png, or\n"
            "CLASS/*.png with --set data.test_fraction=0.2). In a config, `data: {name: packed, path: OUT}` stands for "
            "it then:\n"
            "the same images in the same order, and so the same run, which begins at once and in little memory. For "
            "sets that\n"
            "are larger than memory, or slow to decode. Files are written whole or not at all; after an interruption "
            "the same\n"
            "command goes on, keeps what is whole and of the same images, and writes anew what is not. They are "
            "safetensors\n"
            "files with checksums (datasets/shard.h).\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_CONFIG,
    .run = run,
};
