/* sweep_result.c - see sweep_result.h.
 *
 * Beside a run's folder stand NAME.log, what its processes said, and NAME.result: a key and, when the run is complete,
 * its accuracy. The key is a hash of the run's whole config, but for where it is, and of the network that it begins with, so a result is
 * taken for what it is of, whatever became of the sweep file; and it is written before the run begins, so that a run
 * without a result is resumed only when it is the same one. */
#include "cli/sweep_result.h"

#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "base/rng.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_RESULT_BYTES = 4096, MAX_CHECKPOINT_BYTES = 1 << 30 };

nb_status sweep_path_of(const sweep_jobs *j, int32_t run, const char *end, char *path)
{
    char name[CLI_PATH_BYTES];
    int len = snprintf(name, sizeof name, "%s%s", j->sweep->run[run].name, end);
    NB_ASSERT(len > 0 && len < CLI_PATH_BYTES);
    return cli_file_in(j->c, j->sweep->run[run].below, name, path);
}

nb_status sweep_key_of(const sweep_jobs *j, int32_t run, uint64_t *key)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    char path[CLI_PATH_BYTES];
    uint8_t *bytes;
    size_t len;
    *key = j->expected[run];
    if (r->start < 0)
        return NB_OK;
    NB_TRY(sweep_path_of(j, r->start, "/last.safetensors", path));
    NB_TRY(nb_file_read(j->c->ctx, path, MAX_CHECKPOINT_BYTES, &bytes, &len));
    *key = nb_mix(*key, nb_hash_bytes(bytes, len));
    nb_free(j->c->ctx, bytes);
    return NB_OK;
}

bool sweep_result_read(const sweep_jobs *j, int32_t run, sweep_result *r)
{
    char path[CLI_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    nb_c_locale locale;
    *r = (sweep_result){0};
    if (sweep_path_of(j, run, ".result", path) != NB_OK || !nb_file_exists(path) ||
        nb_file_read(j->c->ctx, path, MAX_RESULT_BYTES, &bytes, &len) != NB_OK || !nb_c_locale_enter(&locale)) {
        nb_free(j->c->ctx, bytes);
        return false;
    }
    const int n = sscanf((const char *)bytes,
                         "nibble-sweep 1\nkey %16" SCNx64 "\naccuracy %lf\nkind %127[^\n]\nmetric %15[^\n]\n", &r->key,
                         &r->accuracy, r->kind, r->metric);
    r->complete = n >= 3 && r->accuracy >= 0 && r->accuracy <= 1;
    nb_c_locale_leave(&locale);
    nb_free(j->c->ctx, bytes);
    return n >= 1;
}

nb_status sweep_result_write(const sweep_jobs *j, int32_t run, const sweep_result *r)
{
    char path[CLI_PATH_BYTES], number[NB_NUMTEXT], text[MAX_RESULT_BYTES];
    NB_TRY(sweep_path_of(j, run, ".result", path));
    int n = snprintf(text, sizeof text, "nibble-sweep 1\nkey %016" PRIx64 "\n", r->key);
    if (r->complete)
        n += snprintf(text + n, sizeof text - (size_t)n, "accuracy %s\nkind %s\n", nb_double_text(number, r->accuracy),
                      r->kind);
    if (r->complete && strcmp(r->metric, "accuracy") != 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "metric %s\n", r->metric);
    return nb_file_write(j->c->ctx, path, text, (size_t)n);
}

void sweep_result_take(nb_sweep_run *run, const sweep_result *r)
{
    run->state = NB_SWEEP_DONE;
    run->accuracy = r->accuracy;
    snprintf(run->metric, sizeof run->metric, "%s", *r->metric ? r->metric : "accuracy");
    snprintf(run->kind, sizeof run->kind, "%s", r->kind);
}
