/* float_accuracy.c - see float_accuracy.h. Files that are not there, or damaged, say nothing. */
#include "cli/float_accuracy.h"
#include "cli/run_folder.h"

#include "base/files.h"
#include "report/csv.h"

#include <math.h>
#include <string.h>

enum { MAX_BYTES = 1 << 28 };

/* The last row of the table of epochs whose network was not quantized. */
static double last_float_epoch(nb_ctx *ctx, const char *metrics)
{
    nb_arena *arena;
    nb_csv m = {0};
    double found = -1;
    if (nb_arena_create(ctx, &arena) != NB_OK)
        return found;
    if (nb_csv_parse(arena, metrics, &m) == NB_OK)
        for (int32_t i = 0; i < m.n_rows; i++) {
            const double v = nb_csv_real(&m, i, nb_csv_column(&m, "eval_accuracy"));
            if (strcmp(nb_csv_text(&m, i, nb_csv_column(&m, "quantized")), "no") == 0 && isfinite(v))
                found = v;
        }
    nb_arena_free(arena);
    return found;
}

static double by_table(cli *c, const char *folder)
{
    char path[CLI_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    double found = -1;
    if (cli_file_in(c, folder, "metrics.csv", path) == NB_OK && nb_file_exists(path) &&
        nb_file_read(c->ctx, path, MAX_BYTES, &bytes, &len) == NB_OK)
        found = last_float_epoch(c->ctx, (const char *)bytes);
    nb_free(c->ctx, bytes);
    return found;
}

static double by_checkpoint(cli *c, const nb_checkpoint *k)
{
    return k->float_accuracy >= 0 ? k->float_accuracy : last_float_epoch(c->ctx, k->metrics);
}

double cli_float_accuracy(cli *c, const char *given, const cli_model *m)
{
    char path[CLI_PATH_BYTES];
    nb_checkpoint *k = NULL;
    double found = nb_is_folder(given) ? by_table(c, given) : -1;
    if (found >= 0 || m->checkpoint)
        return found >= 0 ? found : by_checkpoint(c, m->checkpoint);
    if (nb_is_folder(given) && cli_file_in(c, given, "last.safetensors", path) == NB_OK && nb_file_exists(path) &&
        nb_checkpoint_open(c->ctx, path, &k) == NB_OK)
        found = by_checkpoint(c, k);
    nb_checkpoint_close(c->ctx, k);
    return found;
}
