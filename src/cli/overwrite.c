/* overwrite.c - asked before anything is written. Which files were read the context knows (base/files.h); links of
 * either kind are followed. */
#include "cli/overwrite.h"
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "train/events.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16, MAX_TEXT_BYTES = 1 << 24, HEAD_BYTES = 1 << 16, BEGIN_BYTES = 1 << 12 };

/* By content: what nb_file_is says, and for kinds of files that others write as well what stands at the beginning of ours. */
static const struct {
    const char *kind, *is, *holds, *what;
} kinds[] = {{"config", "config", NULL, "a config"},
             {"checkpoint", "safetensors", "\"format\":\"nibble-checkpoint", "a checkpoint"},
             {"integers", "safetensors", "\"format\":\"nibble-int ", "a file of integers"},
             {"logits", "safetensors", "\"logits\":{\"dtype\"", "a file of logits"},
             {"onnx", "onnx", NULL, "an ONNX model"},
             {"tflite", "tflite", NULL, "a TensorFlow Lite model"},
             {"c", "text", "nibble export", "C that nibble has written"},
             {"text", "text", "nibble integer model", "a listing that nibble has written"},
             {"html", "html", NULL, "an HTML page"},
             {"csv", "text", NULL, "a text file"}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Whatever they lead to is the shell's: >> writes behind what is there. */
static bool is_stream(const char *path)
{
    return strncmp(path, "/dev/std", 8) == 0 || strncmp(path, "/dev/fd/", 8) == 0;
}

static bool is_kind(int32_t k, const uint8_t *head, size_t n)
{
    return nb_file_is(head, n, kinds[k].is) &&
           (!kinds[k].holds || nb_bytes_hold(head, n < BEGIN_BYTES ? n : BEGIN_BYTES, kinds[k].holds));
}

/* What there is, in words: that of ours by its own, everything else by base/file_kind.h. */
static const char *name_of(const char *path, const uint8_t *head, size_t n, char *buf)
{
    for (int32_t k = 0; k < N_KINDS; k++)
        if (kinds[k].holds && is_kind(k, head, n))
            return kinds[k].what;
    const char *what = nb_file_kind(path, head, n, buf, NB_FILE_KIND_BYTES);
    if (what)
        buf[strcspn(buf, ";")] = '\0'; /* the remedy is for who would read it */
    return what ? what : "something else";
}

nb_status cli_kind_check(cli *c, const char *path, const char *kind)
{
    char text[NB_FILE_KIND_BYTES];
    int32_t k = 0;
    nb_status st = NB_OK;
    while (strcmp(kinds[k].kind, kind) != 0)
        k++;
    if (is_stream(path))
        return NB_OK;
    uint8_t *head = nb_alloc(c->ctx, HEAD_BYTES);
    if (!head)
        return NB_E_NOMEM;
    const size_t n = nb_file_head(path, head, HEAD_BYTES);
    if (n > 0 && !is_kind(k, head, n))
        st = nb_fail(c->ctx, NB_E_CONFIG,
                     "%s: is %s, and would be written over by %s: choose another file, or remove this one first", path,
                     name_of(path, head, n, text), kinds[k].what);
    nb_free(c->ctx, head);
    return st;
}

nb_status cli_output_check(cli *c, const char *option, const char *path, const char *kind)
{
    if (!*path)
        return cli_usage(c, "%s: must name a file", option);
    if (strcmp(path, "-") == 0)
        return cli_usage(c, "%s -: this does not go to standard output: name a file (./- if it is to be called -)",
                         option);
    NB_TRY(nb_output_check(c->ctx, path));
    if (cli_is_of_run(path))
        return nb_fail(c->ctx, NB_E_CONFIG,
                       "%s: is a file of a run, and would be written over: choose another place for the output", path);
    return cli_kind_check(c, path, kind);
}

nb_status cli_says_else(cli *c, const char *path, const char *text, bool *yes)
{
    uint8_t *bytes;
    size_t len;
    *yes = false;
    if (!nb_file_exists(path))
        return NB_OK;
    NB_TRY(nb_file_read(c->ctx, path, MAX_TEXT_BYTES, &bytes, &len));
    *yes = len != strlen(text) || memcmp(bytes, text, len) != 0;
    nb_free(c->ctx, bytes);
    return NB_OK;
}

/* The last part of a path: of "runs/w/" it is "w". */
static const char *last_part(const char *path, int *len)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *end = path + n;
    while (end > path && end[-1] != '/')
        end--;
    *len = (int)(path + n - end);
    return end;
}

/* Is it an experiment, and one whose run is in a folder of this name? By its name alone, as folders move. */
static bool is_of_folder(cli *c, const nb_config *config, const char *folder)
{
    nb_experiment e;
    int a, b;
    if (nb_experiment_bind(c->ctx, config, &e) != NB_OK)
        return false;
    const char *out = last_part(e.out, &a), *here = last_part(folder, &b);
    return !*e.out || (a == b && strncmp(out, here, (size_t)a) == 0);
}

/* Did a run that was ended before its first result leave it? It is printed, so it is what its print is, all of an experiment,
 * and says where that is, unless that is the default. What a person wrote is other in one of these, or a copy. */
static bool is_resolved(cli *c, const char *folder, const char *path)
{
    nb_config *config;
    char *text = NULL;
    bool other = true;
    if (nb_config_load(c->ctx, path, NULL, 0, &config) != NB_OK)
        return false;
    if (nb_config_print(c->ctx, config, &text) != NB_OK || cli_says_else(c, path, text, &other) != NB_OK)
        other = true;
    other = other || !is_of_folder(c, config, folder);
    nb_free(c->ctx, text);
    nb_config_free(c->ctx, config);
    return !other;
}

static nb_status check_config(cli *c, const char *folder, const char *path, const char *text)
{
    const bool input = nb_file_was_read(c->ctx, path); /* before we read it ourselves */
    bool other;
    NB_TRY(cli_says_else(c, path, text, &other));
    if (!other || (!input && is_resolved(c, folder, path)))
        return NB_OK;
    return nb_fail(c->ctx, NB_E_CONFIG,
                   "%s: is %s, and would be replaced by the resolved config of the run: choose another folder with "
                   "--set out=DIR",
                   path, input ? "the config that is read here" : "somebody's config");
}

/* ---- a folder that moves ---- */

bool cli_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A config has been read for good; everything else may be asked for again, by its name, when the run goes on. */
static nb_status check_inside(cli *c, const char *folder, int32_t depth)
{
    DIR *d = depth < MAX_DEPTH ? opendir(folder) : NULL;
    nb_status st = NB_OK;
    if (!d)
        return NB_OK;
    for (const struct dirent *e; st == NB_OK && (e = readdir(d));) {
        char path[CLI_PATH_BYTES];
        struct stat s;
        int len = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || len < 0 || (size_t)len >= sizeof path)
            continue;
        if (lstat(path, &s) == 0 && S_ISDIR(s.st_mode))
            st = check_inside(c, path, depth + 1);
        else if (nb_file_was_read(c->ctx, path) && !cli_same_file(path, c->arg[0]))
            st = nb_fail(c->ctx, NB_E_CONFIG,
                         "%s: is read here, but --force would move it away with its folder: choose another folder for "
                         "the new run with --set out=DIR",
                         path);
    }
    closedir(d);
    return st;
}

nb_status cli_run_outputs_check(cli *c, const char *folder, const char *config_text)
{
    char path[CLI_PATH_BYTES];
    if (strcmp(folder, "-") == 0)
        return cli_usage(c, "out: -: a run is a folder, not standard output: name one (./- if it is to be called -)");
    if (cli_holds_run(folder)) /* any other file that a run writes is a result of one */
        return cli_flag(c, "--force") ? check_inside(c, folder, 0) : NB_OK;
    static const char *const more[] = {"timing.csv", NB_EVENTS_FILE};
    for (int32_t i = 0; i < 2; i++) {
        NB_TRY(cli_file_in(c, folder, more[i], path));
        NB_TRY(nb_output_check(c->ctx, path));
    }
    NB_TRY(cli_file_in(c, folder, "config.yaml", path));
    return check_config(c, folder, path, config_text);
}
