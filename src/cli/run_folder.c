/* run_folder.c - is there a run already, moving it aside, a folder for the new one. */
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_OLD = 10000 };

nb_status cli_file_in(cli *c, const char *folder, const char *name, char *path)
{
    int len = snprintf(path, CLI_PATH_BYTES, "%s/%s", folder, name);
    if (len > 0 && len < CLI_PATH_BYTES)
        return NB_OK;
    return nb_fail(c->ctx, NB_E_CONFIG, "%.64s...: the path is longer than %d bytes", folder, CLI_PATH_BYTES);
}

static nb_status holds_run(cli *c, const char *folder, bool *yes)
{
    char last[CLI_PATH_BYTES], metrics[CLI_PATH_BYTES];
    NB_TRY(cli_file_in(c, folder, "last.safetensors", last));
    NB_TRY(cli_file_in(c, folder, "metrics.csv", metrics));
    *yes = nb_file_exists(last) || nb_file_exists(metrics);
    return NB_OK;
}

nb_status cli_run_folder_check(cli *c, const char *folder, const char *remedy)
{
    bool run;
    NB_TRY(holds_run(c, folder, &run));
    if (!run || cli_flag(c, "--force"))
        return NB_OK;
    return nb_fail(
        c->ctx, NB_E_CONFIG,
        "%s: holds a run already;%s start over with --force (which moves it aside), or choose another folder "
        "with --set out=DIR",
        folder, remedy);
}

static nb_status move_aside(cli *c, const char *folder)
{
    char old[CLI_PATH_BYTES];
    for (int32_t i = 1; i <= MAX_OLD; i++) {
        int len = snprintf(old, sizeof old, "%s.old%d", folder, i);
        if (len < 0 || (size_t)len >= sizeof old || nb_file_exists(old))
            continue;
        if (rename(folder, old) != 0)
            return nb_fail(c->ctx, NB_E_IO, "%s: cannot be moved to %s: %s", folder, old, strerror(errno));
        fprintf(stderr, "nibble: the earlier run was moved to %s\n", old);
        return NB_OK;
    }
    return nb_fail(c->ctx, NB_E_IO, "%s: there are too many earlier runs beside it", folder);
}

nb_status cli_run_folder_make(cli *c, const char *folder, const char *config_text)
{
    char config[CLI_PATH_BYTES];
    bool run;
    NB_TRY(cli_file_in(c, folder, "config.yaml", config));
    NB_TRY(holds_run(c, folder, &run));
    if (run)
        NB_TRY(move_aside(c, folder));
    NB_TRY(nb_make_dirs(c->ctx, folder));
    return nb_file_write(c->ctx, config, config_text, strlen(config_text));
}

/* Their names are "<name>.tmp.<pid>". */
void cli_run_folder_tidy(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        char path[CLI_PATH_BYTES];
        const char *tmp = strstr(e->d_name, ".tmp.");
        bool ours = tmp && tmp[5] && strspn(tmp + 5, "0123456789") == strlen(tmp + 5);
        int len = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (ours && len > 0 && (size_t)len < sizeof path)
            remove(path);
    }
    closedir(d);
}
