/* pngdir.c - one folder of PNG files per class.
 *
 * data.path/train/<class>/x.png and data.path/test/<class>/x.png, or data.path/<class>/x.png with test_fraction.
 * Classes are the sorted folders of the training split, images stand in the sorted order of their names, all by byte
 * value, so a set is the same everywhere. Everything is decoded in open(). Mean and deviation come from the training
 * images whichever split is opened. When one image cannot be used, all of both splits are looked at and listed. */
#include "locate.h"
#include "stats.h"

#include <dirent.h>
#include <errno.h>
#include <nibble/image.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/check.h"

enum { MAX_SIDE = 1 << 14, MAX_ENTRIES = 1 << 26, MISFITS_SHOWN = 10 };

typedef struct {
    const char *path;
    int32_t label;
} entry;

typedef struct {
    entry *at;
    int32_t n;
} entries;

typedef enum { TAKE_ALL, TAKE_TRAIN, TAKE_TEST } take;

typedef struct {
    int32_t height, width, channels, background; /* keys */
    int32_t classes;                             /* a key, 0 where it does not say; then how many there are */
    float test_fraction;
    nb_arena *arena; /* names and lists */
    const char **class_names;
    nb_png_spec spec;
    const char *first; /* the image that decided the size */
    const char *train_dir, *test_dir;
    take train_take, test_take;
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

static nb_status list_classes(nb_ctx *ctx, pngdir_state *s, const char *dir)
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

/* Where the splits lie, which classes there are, and the training images. */
static nb_status scan(nb_ctx *ctx, pngdir_state *s, const char *path, entries *train)
{
    if (!path[0])
        return nb_fail(ctx, NB_E_CONFIG,
                       "data.path: missing: pngdir needs the folder that holds train/<class>/ and test/<class>/");
    s->train_dir = nb_arena_printf(s->arena, "%s/train", path);
    s->test_dir = nb_arena_printf(s->arena, "%s/test", path);
    if (!s->train_dir || !s->test_dir)
        return NB_E_NOMEM;
    if (is_folder(s->train_dir)) {
        if (s->test_fraction > 0.0f)
            return nb_fail(ctx, NB_E_CONFIG,
                           "data.test_fraction: %g: %s has a train folder already, so this must be left out",
                           (double)s->test_fraction, path);
        NB_TRY(list_classes(ctx, s, s->train_dir));
        return add_split(ctx, s, s->train_dir, TAKE_ALL, train);
    }
    NB_TRY(list_classes(ctx, s, path));
    if (s->test_fraction <= 0.0f)
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: has no train folder: make train/<class>/ and test/<class>/, or set data.test_fraction",
                       path);
    s->train_dir = s->test_dir = path;
    s->train_take = TAKE_TRAIN;
    s->test_take = TAKE_TEST;
    return add_split(ctx, s, path, TAKE_TRAIN, train);
}

/* Keys, or where they are silent the first training image, decide the size. */
static nb_status decide_size(nb_ctx *ctx, pngdir_state *s, const entries *train)
{
    if ((s->height > 0) != (s->width > 0))
        return nb_fail(ctx, NB_E_CONFIG,
                       "data.height: %d with data.width: %d: set both (to have images resized) or neither", s->height,
                       s->width);
    NB_ASSERT(train->n > 0 && train->at); /* or scan() had failed */
    int32_t h = 1, w = 1, c = 1;
    nb_status st = NB_E_FORMAT;
    for (int32_t i = 0; i < train->n && st != NB_OK && st != NB_E_NOMEM; i++) {
        s->first = train->at[i].path; /* of the first that can be read; those before it will be listed */
        st = nb_png_size(ctx, s->first, &h, &w, &c);
    }
    if (st == NB_E_NOMEM)
        return st;
    s->spec = (nb_png_spec){.h = s->height ? s->height : h,
                            .w = s->width ? s->width : w,
                            .c = s->channels ? s->channels : c,
                            .background = s->background,
                            .resize = s->height > 0};
    return NB_OK;
}

/* A picture that is no good for itself, or only not beside the others. */
static nb_status load_one(nb_ctx *ctx, const pngdir_state *s, const char *path, uint8_t *hwc, bool *misfit)
{
    int32_t h, w, c;
    *misfit = false;
    NB_TRY(nb_png_size(ctx, path, &h, &w, &c));
    *misfit = true;
    if (!s->spec.resize && (h != s->spec.h || w != s->spec.w))
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: %d pixels high, %d wide, but %s has %dx%d: make them one size, or set data.height and "
                       "data.width to have them resized",
                       path, h, w, s->first, s->spec.h, s->spec.w);
    if (!s->channels && c != s->spec.c)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: a %s image, but %s is not: set data.channels to 1 (all grey) or 3 (all colour)", path,
                       c == 3 ? "colour" : "grey", s->first);
    *misfit = false;
    return nb_png_load(ctx, path, &s->spec, hwc);
}

/* ---- what is wrong with the images ---- */

typedef struct {
    uint8_t *pixels;         /* of one image */
    int32_t *count[2], *bad; /* per split and class; bad: test behind train */
    int32_t images, n_bad, misfits;
    const char *first; /* the first bad one's sentence */
} audit;

/* One bad image is the error itself; with a second one both are listed, and so are all that follow. */
static nb_status audit_image(nb_ctx *ctx, const pngdir_state *s, const char *path, audit *a, int32_t *bad)
{
    bool misfit;
    const nb_status st = load_one(ctx, s, path, a->pixels, &misfit);
    a->images++;
    if (st == NB_OK || st == NB_E_NOMEM)
        return st;
    a->misfits += misfit;
    ++*bad;
    if (++a->n_bad == 1)
        return (a->first = nb_arena_strdup(s->arena, nb_ctx_error(ctx))) ? NB_OK : NB_E_NOMEM;
    if (a->n_bad == 2)
        nb_log(ctx, "%s", a->first);
    if (!misfit || a->misfits <= MISFITS_SHOWN)
        nb_log(ctx, "%s", nb_ctx_error(ctx));
    return NB_OK;
}

static nb_status audit_split(nb_ctx *ctx, const pngdir_state *s, int32_t split, const entries *l, audit *a)
{
    for (int32_t i = 0; i < l->n; i++) {
        NB_TRY(audit_image(ctx, s, l->at[i].path, a, &a->bad[split * s->classes + l->at[i].label]));
        a->count[split][l->at[i].label]++;
    }
    return NB_OK;
}

static void say_counts(nb_ctx *ctx, const pngdir_state *s, const audit *a)
{
    static const char *const split[] = {"train", "test"};
    if (a->misfits > MISFITS_SHOWN)
        nb_log(ctx, "and %d more images that are not like %s", a->misfits - MISFITS_SHOWN, s->first);
    for (int32_t i = 0; i < 2; i++)
        for (int32_t k = 0; k < s->classes; k++)
            if (a->count[i][k])
                nb_log(ctx, "%s split, class %s: %d images, %d of them cannot be used", split[i], s->class_names[k],
                       a->count[i][k], a->bad[i * s->classes + k]);
}

static nb_status audit_both(nb_ctx *ctx, pngdir_state *s, const entries *train, entries *test, audit *a)
{
    NB_TRY(audit_split(ctx, s, 0, train, a));
    if (test->n == 0 && is_folder(s->test_dir) && add_split(ctx, s, s->test_dir, s->test_take, test) == NB_E_NOMEM)
        return NB_E_NOMEM; /* a test split that cannot be listed has its own sentence another time */
    return audit_split(ctx, s, 1, test, a);
}

/* Looks at every image of both splits, lists what is wrong, and gives the sentence of it. */
static nb_status audit_all(nb_ctx *ctx, pngdir_state *s, const char *path, const entries *train, entries *test)
{
    audit a = {.count = {nb_arena_array(s->arena, (size_t)s->classes, sizeof(int32_t)),
                         nb_arena_array(s->arena, (size_t)s->classes, sizeof(int32_t))},
               .bad = nb_arena_array(s->arena, 2 * (size_t)s->classes, sizeof(int32_t)),
               .pixels = nb_alloc(ctx, (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c)};
    nb_status st = a.pixels && a.count[0] && a.count[1] && a.bad ? audit_both(ctx, s, train, test, &a) : NB_E_NOMEM;
    nb_free(ctx, a.pixels);
    if (st != NB_OK)
        return st;
    if (a.n_bad == 1)
        return nb_fail(ctx, NB_E_FORMAT, "%s (of %d images it is the only one that cannot be used)", a.first, a.images);
    if (!a.first)
        return nb_fail(ctx, NB_E_IO, "%s: an image could not be read a moment ago and can now: is it being changed?",
                       path);
    say_counts(ctx, s, &a);
    return nb_fail(ctx, NB_E_FORMAT, "%s: %d of %d images cannot be used, all are listed; the first is %s", path,
                   a.n_bad, a.images, a.first);
}

/* ---- reading ---- */

/* Decodes all into s->pixels. */
static nb_status load_split(nb_ctx *ctx, pngdir_state *s, const entries *l)
{
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    if ((size_t)l->n > SIZE_MAX / 2 / each)
        return nb_fail(ctx, NB_E_NOMEM, "%s: %d images of %zu bytes do not fit into memory", s->first, l->n, each);
    s->pixels = nb_alloc(ctx, (size_t)l->n * each);
    if (!s->pixels)
        return NB_E_NOMEM;
    bool misfit;
    for (int32_t i = 0; i < l->n; i++)
        NB_TRY(load_one(ctx, s, l->at[i].path, s->pixels + (size_t)i * each, &misfit));
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
        bool misfit;
        for (int32_t i = 0; i < train->n && st == NB_OK; i++) {
            st = load_one(ctx, s, train->at[i].path, one, &misfit);
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
    NB_TRY(scan(ctx, s, path, &train));
    if (want_test)
        NB_TRY(add_split(ctx, s, s->test_dir, s->test_take, &test));
    NB_TRY(decide_size(ctx, s, &train));
    nb_status status = load_split(ctx, s, want_test ? &test : &train);
    if (status == NB_OK)
        status = measure(ctx, s, &train, !want_test, info);
    if (status == NB_E_FORMAT || status == NB_E_IO)
        status = audit_all(ctx, s, path, &train, &test);
    NB_TRY(status);
    info->count = s->images.n;
    info->h = s->spec.h;
    info->w = s->spec.w;
    info->c = s->spec.c;
    info->classes = s->classes;
    info->class_names = s->class_names;
    return NB_OK;
}

static bool pngdir_describe(const void *st, nb_dsinfo *info)
{
    const pngdir_state *s = st;
    info->h = s->height;
    info->w = s->width;
    info->c = s->channels;
    info->classes = s->classes;
    return s->height > 0 && s->width > 0 && s->channels > 0 && s->channels != 2 && s->classes > 0;
}

static void pngdir_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const pngdir_state *s = st;
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    memcpy(hwc, s->pixels + (size_t)index * each, each);
    *label = s->images.at[index].label;
}

static const char *pngdir_image_name(const void *st, int32_t index)
{
    return ((const pngdir_state *)st)->images.at[index].path;
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
    NB_KEY_INT(pngdir_state, classes, "0", 0, 1 << 20, "how many folders there must be; 0: any number"),
    NB_KEY_INT(pngdir_state, background, "255", 0, 255, "grey level behind transparent pixels"),
    NB_KEY_FLOAT(pngdir_state, test_fraction, "0", 0, 0.9,
                 "share of each class that is the test split, when there is no train folder"),
    {0}};

const nb_dataset nb_dataset_pngdir = {
    .name = "pngdir",
    .help = "PNG files, one folder per class: path/train/<class>/*.png and path/test/<class>/*.png; or\n"
            "path/<class>/*.png with test_fraction. Pixels are the stored values, as PIL, OpenCV and torchvision read\n"
            "them: gamma and colour profiles (gAMA, cHRM, sRGB, iCCP) are not applied, 16 bits keep the upper 8",
    .keys = pngdir_keys,
    .attr_size = sizeof(pngdir_state),
    .open = pngdir_open,
    .get = pngdir_get,
    .image_name = pngdir_image_name,
    .close = pngdir_close,
    .describe = pngdir_describe};
