/* float_accuracy.c - see float_accuracy.h. Files that are not there, or damaged, say nothing. */
#include "cli/float_accuracy.h"
#include "cli/run_folder.h"

#include "base/files.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 1 << 28 };

/* phase,name,no,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy of the last float epoch. */
static double last_float_epoch(const char *metrics)
{
    double found = -1;
    for (const char *line = metrics; line && (line = strchr(line, '\n')) && *++line;) {
        double accuracy;
        if (sscanf(line, "%*d,%*[^,],no,%*d,%*f,%*f,%*f,%*f,%lf", &accuracy) == 1)
            found = accuracy;
    }
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
        found = last_float_epoch((const char *)bytes);
    nb_free(c->ctx, bytes);
    return found;
}

static double by_checkpoint(const nb_checkpoint *k)
{
    return k->float_accuracy >= 0 ? k->float_accuracy : last_float_epoch(k->metrics);
}

double cli_float_accuracy(cli *c, const char *given, const cli_model *m)
{
    char path[CLI_PATH_BYTES];
    nb_checkpoint *k = NULL;
    double found = nb_is_folder(given) ? by_table(c, given) : -1;
    if (found >= 0 || m->checkpoint)
        return found >= 0 ? found : by_checkpoint(m->checkpoint);
    if (nb_is_folder(given) && cli_file_in(c, given, "last.safetensors", path) == NB_OK && nb_file_exists(path) &&
        nb_checkpoint_open(c->ctx, path, &k) == NB_OK)
        found = by_checkpoint(k);
    nb_checkpoint_close(c->ctx, k);
    return found;
}
