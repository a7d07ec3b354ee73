/* pngdir_scan.c - which images a folder of PNG files has: see pngdir.c for the order.
 *
 * Entries that are neither images nor folders are ignored, which is said. Links are followed. */
#include "pngdir.h"

#include "locate.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/files.h"

enum { MAX_ENTRIES = 1 << 26 };

typedef enum { WANT_FOLDERS, WANT_PNG } want;

static bool is_png(const char *name)
{
    const size_t n = strlen(name);
    return n > 4 && strcasecmp(name + n - 4, ".png") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef struct {
    const char **name;
    int32_t n, cap, ignored;
} names;

static nb_status names_push(nb_arena *arena, names *l, const char *name)
{
    if (l->n == l->cap) { /* doubling in an arena wastes at most as much again */
        const int32_t cap = l->cap ? 2 * l->cap : 64;
        const char **grown = nb_arena_array(arena, (size_t)cap, sizeof *grown);
        if (!grown)
            return NB_E_NOMEM;
        if (l->n)
            memcpy(grown, l->name, (size_t)l->n * sizeof *grown);
        l->name = grown;
        l->cap = cap;
    }
    l->name[l->n] = nb_arena_strdup(arena, name);
    return l->name[l->n++] ? NB_OK : NB_E_NOMEM;
}

static nb_status push_if(nb_ctx *ctx, nb_arena *arena, const char *dir, const char *name, want what, names *l)
{
    if (name[0] == '.')
        return NB_OK;
    char *path = nb_data_join(ctx, dir, name);
    if (!path)
        return NB_E_NOMEM;
    struct stat sb;
    const bool known = stat(path, &sb) == 0;
    nb_free(ctx, path);
    /* a link to an image that is gone is an image that cannot be read */
    if (what == WANT_FOLDERS ? known && S_ISDIR(sb.st_mode) : (!known || S_ISREG(sb.st_mode)) && is_png(name)) {
        if (l->n == MAX_ENTRIES)
            return nb_fail(ctx, NB_E_FORMAT, "%s: more than %d entries", dir, MAX_ENTRIES);
        return names_push(arena, l, name);
    }
    l->ignored++;
    return NB_OK;
}

/* The folders or PNG files of dir, sorted; hidden ones are skipped. */
static nb_status list(nb_ctx *ctx, nb_arena *arena, const char *dir, want what, names *out)
{
    DIR *d = opendir(dir);
    if (!d)
        return nb_fail(ctx, NB_E_IO, "%s: %s", dir, strerror(errno));
    nb_status st = NB_OK;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno)
                st = nb_fail(ctx, NB_E_IO, "%s: %s", dir, strerror(errno));
            break;
        }
        st = push_if(ctx, arena, dir, e->d_name, what, out);
        if (st != NB_OK)
            break;
    }
    closedir(d);
    if (st == NB_OK && out->n)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
    return st;
}

static nb_status list_classes(nb_ctx *ctx, nb_pngdir *s, const char *dir)
{
    names l = {0};
    NB_TRY(list(ctx, s->arena, dir, WANT_FOLDERS, &l));
    if (l.n == 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: holds no folders: there must be one per class, with its PNG files in it",
                       dir);
    if (s->classes && s->classes != l.n)
        return nb_fail(ctx, NB_E_FORMAT, "%s: holds %d folders, one per class, but data.classes is %d", dir, l.n,
                       s->classes);
    s->class_names = l.name;
    s->classes = l.n;
    return NB_OK;
}

static int32_t class_of(const nb_pngdir *s, const char *name)
{
    for (int32_t i = 0; i < s->classes; i++)
        if (strcmp(s->class_names[i], name) == 0)
            return i;
    return -1;
}

/* File i of a class is a test image when it crosses another whole test image: exact shares, spread over the class. */
static bool is_test(int32_t i, double fraction)
{
    return (int64_t)((i + 1) * fraction) > (int64_t)(i * fraction);
}

static nb_status grow(nb_ctx *ctx, nb_png_entries *l, int32_t more)
{
    if (l->n + more <= l->cap)
        return NB_OK;
    const int32_t cap = l->n + more > INT32_MAX / 2 ? INT32_MAX : 2 * (l->n + more);
    nb_png_entry *at = nb_alloc(ctx, (size_t)cap * sizeof *at);
    if (!at)
        return NB_E_NOMEM;
    if (l->n)
        memcpy(at, l->at, (size_t)l->n * sizeof *at);
    nb_free(ctx, l->at);
    l->at = at;
    l->cap = cap;
    return NB_OK;
}

/* The paths of those that `which` takes, in one piece of memory: there may be millions. */
static nb_status add_files(nb_ctx *ctx, nb_pngdir *s, const char *dir, const names *l, int32_t label, nb_png_take which,
                           nb_png_entries *out)
{
    const size_t before = strlen(dir) + 1;
    size_t bytes = 0;
    for (int32_t i = 0; i < l->n; i++)
        bytes += before + strlen(l->name[i]) + 1;
    NB_TRY(grow(ctx, out, l->n));
    char *at = nb_arena_alloc(s->arena, bytes), *end = at + bytes;
    if (!at)
        return NB_E_NOMEM;
    s->path_bytes += (int64_t)bytes;
    for (int32_t i = 0; i < l->n; i++) {
        if (which != NB_PNG_ALL && is_test(i, (double)s->test_fraction) != (which == NB_PNG_TEST))
            continue;
        out->at[out->n++] = (nb_png_entry){at, label};
        at += snprintf(at, (size_t)(end - at), "%s/%s", dir, l->name[i]) + 1;
    }
    return NB_OK;
}

static nb_status add_class(nb_ctx *ctx, nb_pngdir *s, const char *dir, int32_t label, nb_png_take which,
                           nb_png_entries *out)
{
    names l = {0};
    nb_arena *listed;
    NB_TRY(nb_arena_create(ctx, &listed));
    nb_status st = list(ctx, listed, dir, WANT_PNG, &l);
    if (st == NB_OK && l.n == 0)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: holds no .png files%s", dir, l.ignored ? ", only others" : "");
    if (st == NB_OK && l.ignored)
        nb_log(ctx, "%s: %d entries that are not .png files are ignored", dir, l.ignored);
    if (st == NB_OK && l.n > INT32_MAX - out->n)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: too many images", dir);
    if (st == NB_OK)
        st = add_files(ctx, s, dir, &l, label, which, out);
    nb_arena_free(listed);
    return st;
}

nb_status nb_pngdir_add_split(nb_ctx *ctx, nb_pngdir *s, const char *dir, nb_png_take which, nb_png_entries *out)
{
    names l = {0};
    NB_TRY(list(ctx, s->arena, dir, WANT_FOLDERS, &l));
    for (int32_t i = 0; i < l.n; i++) {
        const char *sub = nb_arena_printf(s->arena, "%s/%s", dir, l.name[i]);
        if (!sub)
            return NB_E_NOMEM;
        const int32_t label = class_of(s, l.name[i]);
        if (label < 0)
            return nb_fail(ctx, NB_E_FORMAT, "%s: no class of this name among the training images", sub);
        NB_TRY(add_class(ctx, s, sub, label, which, out));
    }
    if (out->n == 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: no images for %s: there must be one folder of PNG files per class", dir,
                       which == NB_PNG_TEST ? "the test split (is test_fraction large enough?)" : "this split");
    return NB_OK;
}

nb_status nb_pngdir_scan(nb_ctx *ctx, nb_pngdir *s, const char *path)
{
    if (!path[0])
        return nb_fail(ctx, NB_E_CONFIG,
                       "data.path: missing: pngdir needs the folder that holds train/<class>/ and test/<class>/");
    s->train_dir = nb_arena_printf(s->arena, "%s/train", path);
    s->test_dir = nb_arena_printf(s->arena, "%s/test", path);
    if (!s->train_dir || !s->test_dir)
        return NB_E_NOMEM;
    if (nb_is_folder(s->train_dir)) {
        if (s->test_fraction > 0.0f)
            return nb_fail(ctx, NB_E_CONFIG,
                           "data.test_fraction: %g: %s has a train folder already, so this must be left out",
                           (double)s->test_fraction, path);
        NB_TRY(list_classes(ctx, s, s->train_dir));
        return nb_pngdir_add_split(ctx, s, s->train_dir, NB_PNG_ALL, &s->train);
    }
    NB_TRY(list_classes(ctx, s, path));
    if (s->test_fraction <= 0.0f)
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: has no train folder: make train/<class>/ and test/<class>/, or set data.test_fraction",
                       path);
    s->train_dir = s->test_dir = path;
    s->train_take = NB_PNG_TRAIN;
    s->test_take = NB_PNG_TEST;
    return nb_pngdir_add_split(ctx, s, path, NB_PNG_TRAIN, &s->train);
}
