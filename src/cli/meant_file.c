/* meant_file.c - RUN for RUN/config.yaml, RUN/model.int.safetensors, RUN/last.safetensors: what can be meant by one
 * name.
 *
 * A checkpoint is the run's result, by the rule of `nibble train`: the integers; of a float run the last epoch, or with
 * validation images the best one. */
#include "cli/meant_file.h"

#include "base/check.h"
#include "base/files.h"
#include "train/init_file.h"

#include <string.h>

/* Does the run's config hold images out for validation? One that cannot be read does not. */
static bool has_validation(cli *c, const char *config)
{
    nb_config *cfg;
    if (nb_config_load(c->ctx, config, NULL, 0, &cfg) != NB_OK)
        return false;
    const nb_conf *data = nb_conf_get(nb_config_root(cfg), "data");
    const nb_conf *n = data && nb_conf_is_map(data) ? nb_conf_get(data, "validation") : NULL;
    const bool yes = n && nb_conf_text(n) && strcmp(nb_conf_text(n), "0") != 0;
    nb_config_free(c->ctx, cfg);
    return yes;
}

nb_status cli_meant_file(cli *c, const char *path, cli_meant what, char buf[CLI_PATH_BYTES], const char **out)
{
    char folder[CLI_PATH_BYTES];
    size_t n = strlen(path);
    *out = path;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (!nb_is_folder(path) || n >= sizeof folder)
        return NB_OK;
    memcpy(folder, path, n);
    folder[n] = '\0';
    NB_TRY(cli_file_in(c, folder, "config.yaml", buf));
    if (what != CLI_CONFIG) {
        const bool best = has_validation(c, buf);
        const char *const names[] = {"model.int.safetensors", best ? "best.safetensors" : "last.safetensors",
                                     "last.safetensors"};
        for (int32_t i = what == CLI_MODEL ? 0 : 1; i < 3; i++) {
            NB_TRY(cli_file_in(c, folder, names[i], buf));
            if (nb_file_exists(buf))
                break;
        }
    }
    if (!nb_file_exists(buf))
        return NB_OK;
    nb_log(c->ctx, "%s: is a run folder, taking %s", path, buf);
    *out = buf;
    return NB_OK;
}

nb_status cli_init_file(cli *c, const char *init, char path[CLI_PATH_BYTES])
{
    char given[CLI_PATH_BYTES];
    const char *meant;
    const size_t len = nb_init_path_bytes(init);
    if (len >= sizeof given)
        return nb_fail(c->ctx, NB_E_CONFIG, "init: %.64s...: the path is longer than %d bytes", init, CLI_PATH_BYTES);
    memcpy(given, init, len);
    given[len] = '\0';
    NB_TRY(cli_meant_file(c, given, CLI_FLOATS, path, &meant));
    if (meant == given)
        memcpy(path, given, len + 1);
    return NB_OK;
}
