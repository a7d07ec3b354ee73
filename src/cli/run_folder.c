/* run_folder.c - is there a run already, moving it aside, a folder for the new one.
 *
 * A run writes last.safetensors before every other result, so a folder with results but without it was never left by a
 * kill, and a folder without results loses nothing when it is used. */
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"
#include "train/oscillation.h"
#include "train/range_log.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_OLD = 10000, LOCK_WAIT_MS = 3000 };

nb_status cli_file_in(cli *c, const char *folder, const char *name, char *path)
{
    int len = snprintf(path, CLI_PATH_BYTES, "%s/%s", folder, name);
    if (len > 0 && len < CLI_PATH_BYTES)
        return NB_OK;
    return nb_fail(c->ctx, NB_E_CONFIG, "%.64s...: the path is longer than %d bytes", folder, CLI_PATH_BYTES);
}

/* ---- what a run leaves ---- */

/* phase-1-float.safetensors */
static bool is_phase_file(const char *name)
{
    size_t n = strlen(name), end = sizeof ".safetensors" - 1;
    return strncmp(name, "phase-", 6) == 0 && n > end && strcmp(name + n - end, ".safetensors") == 0;
}

static bool is_in(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

/* Files that cost training: config.yaml and timing.csv do not, and they are all that is there before the first
 * checkpoint. */
static bool is_result(const char *name)
{
    static const char *const list[] = {"last.safetensors",
                                       "best.safetensors",
                                       "model.int.safetensors",
                                       "metrics.csv",
                                       NB_RANGES_FILE,
                                       NB_OSCILLATION_FILE,
                                       NULL};
    return is_in(name, list) || is_phase_file(name);
}

/* "<a run's file>.tmp.<pid>", or ".old.tmp.<pid>" (base/atomic.c), left by a killed process. Others' temporary files
 * are theirs. */
static bool is_leftover(const char *name)
{
    static const char *const more[] = {"config.yaml", "timing.csv", NULL};
    char stem[256];
    const char *tmp = strstr(name, ".tmp.");
    if (!tmp || !tmp[5] || strspn(tmp + 5, "0123456789") != strlen(tmp + 5) || (size_t)(tmp - name) >= sizeof stem)
        return false;
    const bool old = tmp - name > 4 && strncmp(tmp - 4, ".old", 4) == 0;
    snprintf(stem, sizeof stem, "%.*s", (int)(tmp - name) - (old ? 4 : 0), name);
    return is_result(stem) || is_in(stem, more);
}

/* Does the folder hold results? One that is not there does not. */
bool cli_holds_run(const char *folder)
{
    DIR *d = opendir(folder);
    bool found = false;
    for (const struct dirent *e; d && !found && (e = readdir(d));) {
        struct stat s;
        found = is_result(e->d_name) && fstatat(dirfd(d), e->d_name, &s, 0) == 0 && S_ISREG(s.st_mode);
    }
    if (d)
        closedir(d);
    return found;
}

bool cli_holds_sweep(cli *c, const char *folder)
{
    char runs[CLI_PATH_BYTES], cells[CLI_PATH_BYTES];
    return cli_file_in(c, folder, "runs.csv", runs) == NB_OK && cli_file_in(c, folder, "cells.csv", cells) == NB_OK &&
           (nb_file_exists(runs) || nb_file_exists(cells));
}

bool cli_is_of_run(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char folder[CLI_PATH_BYTES];
    struct stat s;
    int len = slash ? snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path)
                    : snprintf(folder, sizeof folder, ".");
    if (len < 0 || (size_t)len >= sizeof folder || stat(path, &s) != 0 || !S_ISREG(s.st_mode))
        return false;
    char config[CLI_PATH_BYTES + sizeof "/config.yaml"];
    snprintf(config, sizeof config, "%s/config.yaml", folder);
    return strcmp(name, "config.yaml") == 0 ? cli_holds_run(folder) : is_result(name) && nb_file_exists(config);
}

/* Only under the folder's lock: a living writer's temporary files look the same. */
static void tidy(const char *folder)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char path[CLI_PATH_BYTES];
        int len = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (is_leftover(e->d_name) && len > 0 && (size_t)len < sizeof path)
            remove(path);
    }
    if (d)
        closedir(d);
}

/* ---- taking the folder ---- */

static nb_status holds_already(cli *c, const char *folder, const char *remedy)
{
    return nb_fail(
        c->ctx, NB_E_CONFIG,
        "%s: holds a run already;%s start over with --force (which moves it aside), or choose another folder "
        "with --set out=DIR",
        folder, remedy);
}

nb_status cli_run_folder_check(cli *c, const char *folder, const char *remedy)
{
    NB_TRY(nb_lock_check(c->ctx, folder));
    return cli_holds_run(folder) && !cli_flag(c, "--force") ? holds_already(c, folder, remedy) : NB_OK;
}

/* The lock goes with the folder, and is given back there. */
static nb_status move_aside(cli *c, const char *folder, nb_lock *lock)
{
    char old[CLI_PATH_BYTES];
    int n = (int)strlen(folder); /* "run/" is moved to run.old1, not into itself */
    while (n > 1 && folder[n - 1] == '/')
        n--;
    for (int32_t i = 1; i <= MAX_OLD; i++) {
        int len = snprintf(old, sizeof old, "%.*s.old%d", n, folder, i);
        if (len < 0 || (size_t)len >= sizeof old || nb_file_exists(old))
            continue;
        int why = nb_lock_rename(lock, folder, old);
        if (why)
            return nb_fail(c->ctx, NB_E_IO, "%s: cannot be moved to %s: %s", folder, old, strerror(why));
        nb_lock_release(lock);
        fprintf(stderr, "nibble: the earlier run was moved to %s\n", old);
        return NB_OK;
    }
    return nb_fail(c->ctx, NB_E_IO, "%s: there are too many earlier runs beside it", folder);
}

static nb_status take(cli *c, const char *folder, nb_lock *lock)
{
    NB_TRY(nb_make_dirs(c->ctx, folder));
    return nb_lock_take(c->ctx, folder, 0, lock);
}

/* A locked folder without results becomes this run's. */
static nb_status start(cli *c, const char *folder, const char *config_text)
{
    char config[CLI_PATH_BYTES];
    NB_TRY(cli_file_in(c, folder, "config.yaml", config));
    tidy(folder);
    return nb_file_write(c->ctx, config, config_text, strlen(config_text));
}

nb_status cli_run_folder_begin(cli *c, const char *folder, const char *remedy, const char *config_text, nb_lock *lock)
{
    NB_TRY(take(c, folder, lock));
    while (cli_holds_run(folder)) {
        if (!cli_flag(c, "--force"))
            return holds_already(c, folder, remedy);
        NB_TRY(move_aside(c, folder, lock));
        NB_TRY(take(c, folder, lock));
    }
    return start(c, folder, config_text);
}

nb_status cli_run_folder_resume(cli *c, const char *folder, const char *config_text, nb_lock *lock, bool *resume)
{
    char last[CLI_PATH_BYTES];
    NB_TRY(cli_file_in(c, folder, "last.safetensors", last));
    NB_TRY(take(c, folder, lock));
    *resume = nb_file_exists(last);
    if (*resume) {
        tidy(folder);
        return NB_OK; /* config.yaml is of this run: the trainer compares configs */
    }
    if (cli_holds_run(folder)) /* a run writes last.safetensors first: somebody has removed it */
        return nb_fail(c->ctx, NB_E_CONFIG,
                       "%s: holds results of a run but not last.safetensors, which --resume goes on from; start over "
                       "with --force (which moves them aside), or choose another folder with --set out=DIR",
                       folder);
    return start(c, folder, config_text);
}

nb_status cli_lock_beside(cli *c, const char *path, nb_lock *lock)
{
    struct stat s;
    char folder[CLI_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int len = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (slash == path)
        snprintf(folder, sizeof folder, "/");
    bool device = stat(path, &s) == 0 && !S_ISREG(s.st_mode);
    if (device || len < 0 || (size_t)len >= sizeof folder || stat(folder, &s) != 0 || !S_ISDIR(s.st_mode))
        return NB_OK; /* written directly, or about to fail with a better sentence */
    return nb_lock_take(c->ctx, folder, LOCK_WAIT_MS, lock);
}
