/* pngdir.c - one folder of PNG files per class.
 *
 * data.path/train/<class>/x.png and data.path/test/<class>/x.png, or data.path/<class>/x.png with test_fraction.
 * Classes are the sorted folders of the training split, images stand in the sorted order of their names, all by byte
 * value, so a set is the same everywhere. Everything is decoded in open(). Mean and deviation come from the training
 * images whichever split is opened. */
#include "locate.h"
#include "stats.h"

#include <base/arena.h>
#include <base/check.h>
#include <dirent.h>
#include <errno.h>
#include <nibble/image.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_SIDE = 1 << 14, MAX_ENTRIES = 1 << 26 };

typedef struct {
    const char *path;
    int32_t label;
} entry;

typedef struct {
    entry *at;
    int32_t n;
} entries;

typedef struct {
    int32_t height, width, channels, background; /* keys */
    float test_fraction;
    nb_arena *arena; /* names and lists */
    const char **class_names;
    int32_t classes;
    nb_png_spec spec;
    const char *first; /* the image that decided the size */
    uint8_t *pixels;
    entries images; /* of the open split */
} pngdir_state;

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
    if (known && (what == WANT_FOLDERS ? S_ISDIR(sb.st_mode) : S_ISREG(sb.st_mode) && is_png(name))) {
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

static nb_status list_classes(nb_ctx *ctx, pngdir_state *s, const char *dir)
{
    names l = {0};
    NB_TRY(list(ctx, s->arena, dir, WANT_FOLDERS, &l));
    if (l.n == 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: holds no folders: there must be one per class, with its PNG files in it",
                       dir);
    s->class_names = l.name;
    s->classes = l.n;
    return NB_OK;
}

static int32_t class_of(const pngdir_state *s, const char *name)
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

typedef enum { TAKE_ALL, TAKE_TRAIN, TAKE_TEST } take;

static nb_status add_class(nb_ctx *ctx, pngdir_state *s, const char *dir, int32_t label, take which, entries *out)
{
    names l = {0};
    NB_TRY(list(ctx, s->arena, dir, WANT_PNG, &l));
    if (l.n == 0)
        return nb_fail(ctx, NB_E_FORMAT, "%s: holds no .png files%s", dir, l.ignored ? ", only others" : "");
    if (l.ignored)
        nb_log(ctx, "%s: %d entries that are not .png files are ignored", dir, l.ignored);
    if (l.n > INT32_MAX - out->n)
        return nb_fail(ctx, NB_E_FORMAT, "%s: too many images", dir);
    entry *at = nb_arena_array(s->arena, (size_t)out->n + (size_t)l.n, sizeof *at);
    if (!at)
        return NB_E_NOMEM;
    if (out->n)
        memcpy(at, out->at, (size_t)out->n * sizeof *at);
    out->at = at;
    for (int32_t i = 0; i < l.n; i++) {
        if (which != TAKE_ALL && is_test(i, (double)s->test_fraction) != (which == TAKE_TEST))
            continue;
        const char *path = nb_arena_printf(s->arena, "%s/%s", dir, l.name[i]);
        if (!path)
            return NB_E_NOMEM;
        out->at[out->n++] = (entry){path, label};
    }
    return NB_OK;
}

/* Every image below dir/<class>/ that `which` takes. */
static nb_status add_split(nb_ctx *ctx, pngdir_state *s, const char *dir, take which, entries *out)
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
                       which == TAKE_TEST ? "the test split (is test_fraction large enough?)" : "this split");
    return NB_OK;
}

static bool is_folder(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
}

/* Finds the files of both splits; test is filled only when asked for. */
static nb_status scan(nb_ctx *ctx, pngdir_state *s, const char *path, bool want_test, entries *train, entries *test)
{
    if (!path[0])
        return nb_fail(ctx, NB_E_CONFIG,
                       "data.path: missing: pngdir needs the folder that holds train/<class>/ and test/<class>/");
    const char *train_dir = nb_arena_printf(s->arena, "%s/train", path),
               *test_dir = nb_arena_printf(s->arena, "%s/test", path);
    if (!train_dir || !test_dir)
        return NB_E_NOMEM;
    if (is_folder(train_dir)) {
        if (s->test_fraction > 0.0f)
            return nb_fail(ctx, NB_E_CONFIG,
                           "data.test_fraction: %g: %s has a train folder already, so this must be left out",
                           (double)s->test_fraction, path);
        NB_TRY(list_classes(ctx, s, train_dir));
        NB_TRY(add_split(ctx, s, train_dir, TAKE_ALL, train));
        return want_test ? add_split(ctx, s, test_dir, TAKE_ALL, test) : NB_OK;
    }
    NB_TRY(list_classes(ctx, s, path));
    if (s->test_fraction <= 0.0f)
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: has no train folder: make train/<class>/ and test/<class>/, or set data.test_fraction",
                       path);
    NB_TRY(add_split(ctx, s, path, TAKE_TRAIN, train));
    return want_test ? add_split(ctx, s, path, TAKE_TEST, test) : NB_OK;
}

/* Keys, or where they are silent the first training image, decide the size. */
static nb_status decide_size(nb_ctx *ctx, pngdir_state *s, const entries *train)
{
    if ((s->height > 0) != (s->width > 0))
        return nb_fail(ctx, NB_E_CONFIG,
                       "data.height: %d with data.width: %d: set both (to have images resized) or neither", s->height,
                       s->width);
    NB_ASSERT(train->n > 0 && train->at); /* or scan() had failed */
    int32_t h, w, c;
    s->first = train->at[0].path;
    NB_TRY(nb_png_size(ctx, s->first, &h, &w, &c));
    s->spec = (nb_png_spec){.h = s->height ? s->height : h,
                            .w = s->width ? s->width : w,
                            .c = s->channels ? s->channels : c,
                            .background = s->background,
                            .resize = s->height > 0};
    return NB_OK;
}

static nb_status load_one(nb_ctx *ctx, const pngdir_state *s, const char *path, uint8_t *hwc)
{
    int32_t h, w, c;
    NB_TRY(nb_png_size(ctx, path, &h, &w, &c));
    if (!s->spec.resize && (h != s->spec.h || w != s->spec.w))
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: %d pixels high, %d wide, but %s has %dx%d: make them one size, or set data.height and "
                       "data.width to have them resized",
                       path, h, w, s->first, s->spec.h, s->spec.w);
    if (!s->channels && c != s->spec.c)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: a %s image, but %s is not: set data.channels to 1 (all grey) or 3 (all colour)", path,
                       c == 3 ? "colour" : "grey", s->first);
    return nb_png_load(ctx, path, &s->spec, hwc);
}

/* Decodes all into s->pixels. */
static nb_status load_split(nb_ctx *ctx, pngdir_state *s, const entries *l)
{
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    if ((size_t)l->n > SIZE_MAX / 2 / each)
        return nb_fail(ctx, NB_E_NOMEM, "%s: %d images of %zu bytes do not fit into memory", s->first, l->n, each);
    s->pixels = nb_alloc(ctx, (size_t)l->n * each);
    if (!s->pixels)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < l->n; i++)
        NB_TRY(load_one(ctx, s, l->at[i].path, s->pixels + (size_t)i * each));
    s->images = *l;
    return NB_OK;
}

/* Sums over the training images: those in memory, or one after the other when the test split is. */
static nb_status measure(nb_ctx *ctx, const pngdir_state *s, const entries *train, bool loaded, nb_dsinfo *info)
{
    const int64_t area = (int64_t)s->spec.h * s->spec.w;
    nb_pixel_stats sums = {0};
    if (loaded) {
        nb_pixel_stats_add(&sums, s->pixels, area * train->n, s->spec.c);
    } else {
        uint8_t *one = nb_alloc(ctx, (size_t)(area * s->spec.c));
        nb_status st = one ? NB_OK : NB_E_NOMEM;
        for (int32_t i = 0; i < train->n && st == NB_OK; i++) {
            st = load_one(ctx, s, train->at[i].path, one);
            if (st == NB_OK)
                nb_pixel_stats_add(&sums, one, area, s->spec.c);
        }
        nb_free(ctx, one);
        NB_TRY(st);
    }
    nb_pixel_stats_finish(&sums, s->spec.c, info->mean, info->std);
    return NB_OK;
}

static nb_status pngdir_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    pngdir_state *s = st;
    const bool want_test = strcmp(split, "test") == 0;
    entries train = {0}, test = {0};
    if (s->channels == 2)
        return nb_fail(ctx, NB_E_CONFIG, "data.channels: 2: must be 1 (grey), 3 (colour) or 0 (as the first image)");
    NB_TRY(nb_arena_create(ctx, &s->arena));
    NB_TRY(scan(ctx, s, path, want_test, &train, &test));
    NB_TRY(decide_size(ctx, s, &train));
    NB_TRY(load_split(ctx, s, want_test ? &test : &train));
    NB_TRY(measure(ctx, s, &train, !want_test, info));
    info->count = s->images.n;
    info->h = s->spec.h;
    info->w = s->spec.w;
    info->c = s->spec.c;
    info->classes = s->classes;
    info->class_names = s->class_names;
    return NB_OK;
}

static void pngdir_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const pngdir_state *s = st;
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    memcpy(hwc, s->pixels + (size_t)index * each, each);
    *label = s->images.at[index].label;
}

static void pngdir_close(nb_ctx *ctx, void *st)
{
    pngdir_state *s = st;
    nb_free(ctx, s->pixels);
    nb_arena_free(s->arena);
}

static const nb_key pngdir_keys[] = {
    NB_KEY_INT(pngdir_state, height, "0", 0, MAX_SIDE,
               "resize images to this height, in pixels; 0: they have one size already"),
    NB_KEY_INT(pngdir_state, width, "0", 0, MAX_SIDE, "resize images to this width, in pixels"),
    NB_KEY_INT(pngdir_state, channels, "0", 0, 3,
               "1: all grey, 3: all colour, 0: as the first image, and all the same"),
    NB_KEY_INT(pngdir_state, background, "255", 0, 255, "grey level behind transparent pixels"),
    NB_KEY_FLOAT(pngdir_state, test_fraction, "0", 0, 0.9,
                 "share of each class that is the test split, when there is no train folder"),
    {0}};

const nb_dataset nb_dataset_pngdir = {
    .name = "pngdir",
    .help = "PNG files, one folder per class: path/train/<class>/*.png and path/test/<class>/*.png",
    .keys = pngdir_keys,
    .state_size = sizeof(pngdir_state),
    .open = pngdir_open,
    .get = pngdir_get,
    .close = pngdir_close};
