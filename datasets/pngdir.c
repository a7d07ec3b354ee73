/* pngdir.c - one folder of PNG files per class.
 *
 * data.path/train/<class>/x.png and data.path/test/<class>/x.png, or data.path/<class>/x.png with test_fraction.
 * Classes are the sorted folders of the training split, images stand in the sorted order of their names, all by byte
 * value, so a set is the same everywhere. Mean and deviation come from the training images whichever split is opened.
 * When one image cannot be used, all of both splits are looked at and listed.
 *
 * open() decodes all images, on all threads. Those of a split that is not larger than data.memory are kept; of a larger
 * one the sums and the fingerprint are, and an image is decoded again whenever it is asked for. The results are the same. */
#include "pngdir.h"

#include "fingerprint.h"
#include "stats.h"

#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"
#include "base/parallel.h"

enum { MAX_SIDE = 1 << 14, CHUNK = NB_FINGERPRINT_CHUNK };

/* Keys, or where they are silent the first training image, decide the size. */
static nb_status decide_size(nb_ctx *ctx, nb_pngdir *s, const nb_png_entries *train)
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

/* ---- looking at all images ---- */

/* One pass over a split; what is NULL is not wanted. */
typedef struct {
    const nb_pngdir *s;
    const nb_png_entries *images;
    size_t each;
    nb_ctx **thread;       /* [threads]: a context is one thread's */
    uint8_t *scratch;      /* [threads] images, where they are not kept */
    uint8_t *pixels;       /* of all images */
    nb_pixel_stats *stats; /* [threads] integers, in any order */
    nb_fingerprint *print; /* [chunks] */
    _Atomic int status;    /* the last failure */
} pass;

static void look_at_chunk(void *arg, int64_t chunk, int32_t thread)
{
    pass *p = arg;
    const nb_pngdir *s = p->s;
    for (int64_t i = chunk * CHUNK, end = nb_chunk_end(p->images->n, CHUNK, chunk); i < end; i++) {
        uint8_t *hwc = p->pixels ? p->pixels + (size_t)i * p->each : p->scratch + (size_t)thread * p->each;
        bool misfit;
        const nb_status st = nb_pngdir_load(p->thread[thread], s, p->images->at[i].path, hwc, &misfit);
        if (st != NB_OK) {
            atomic_store(&p->status, (int)st);
            return;
        }
        if (p->stats)
            nb_pixel_stats_add(&p->stats[thread], hwc, (int64_t)s->spec.h * s->spec.w, s->spec.c);
        if (p->print)
            nb_fingerprint_image(&p->print[chunk], hwc, p->each, p->images->at[i].label);
    }
}

static nb_status alloc_pass(nb_ctx *ctx, pass *p, int32_t threads, bool stats, bool print)
{
    p->thread = nb_alloc(ctx, (size_t)threads * sizeof(nb_ctx *));
    p->scratch = nb_alloc(ctx, p->pixels ? 1 : (size_t)threads * p->each);
    p->stats = stats ? nb_alloc(ctx, (size_t)threads * sizeof *p->stats) : NULL;
    p->print = print ? nb_alloc(ctx, (size_t)nb_chunks(p->images->n, CHUNK) * sizeof *p->print) : NULL;
    if (!p->thread || !p->scratch || (stats && !p->stats) || (print && !p->print))
        return NB_E_NOMEM;
    for (int32_t i = 0; i < threads; i++)
        if (!(p->thread[i] = nb_ctx_create()))
            return nb_fail(ctx, NB_E_NOMEM, "out of memory");
    return NB_OK;
}

static nb_status run_pass(nb_ctx *ctx, pass *p, int32_t threads)
{
    nb_parallel_for(nb_chunks(p->images->n, CHUNK), look_at_chunk, p);
    for (int32_t i = 0; i < threads; i++)
        NB_TRY(nb_files_join(ctx, p->thread[i]));
    const nb_status st = (nb_status)atomic_load(&p->status);
    return st == NB_OK ? NB_OK : nb_fail(ctx, st, "out of memory"); /* else the audit has the sentence */
}

/* pixels: where to keep them, or NULL; sums, print: what to add to, or NULL. */
static nb_status look_at_all(nb_ctx *ctx, const nb_pngdir *s, const nb_png_entries *images, uint8_t *pixels,
                             nb_pixel_stats *sums, nb_fingerprint *print)
{
    const int32_t threads = nb_threads();
    pass p = {.s = s,
              .images = images,
              .each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c,
              .pixels = pixels,
              .status = NB_OK};
    nb_status st = alloc_pass(ctx, &p, threads, sums != NULL, print != NULL);
    if (st == NB_OK)
        st = run_pass(ctx, &p, threads);
    for (int32_t i = 0; st == NB_OK && sums && i < threads; i++)
        nb_pixel_stats_join(sums, &p.stats[i], s->spec.c);
    for (int64_t i = 0; st == NB_OK && print && i < nb_chunks(images->n, CHUNK); i++)
        nb_fingerprint_chunk(print, &p.print[i]);
    for (int32_t i = 0; p.thread && i < threads; i++)
        nb_ctx_destroy(p.thread[i]);
    nb_free(ctx, p.thread);
    nb_free(ctx, p.scratch);
    nb_free(ctx, p.stats);
    nb_free(ctx, p.print);
    return st;
}

/* The open split's images, and the sums of the training images. */
static nb_status look(nb_ctx *ctx, nb_pngdir *s, bool test, nb_pixel_stats *sums)
{
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    const size_t most = (size_t)s->memory << 20;
    if ((size_t)s->images->n <= most / each) {
        s->pixels = nb_alloc(ctx, (size_t)s->images->n * each);
        if (!s->pixels)
            return NB_E_NOMEM;
    }
    if (test)
        NB_TRY(look_at_all(ctx, s, &s->train, NULL, sums, NULL));
    NB_TRY(look_at_all(ctx, s, s->images, s->pixels, test ? NULL : sums, s->pixels ? NULL : &s->print));
    s->known = !s->pixels;
    return NB_OK;
}

static nb_status look_or_audit(nb_ctx *ctx, nb_pngdir *s, const char *path, bool test, nb_dsinfo *info)
{
    nb_pixel_stats sums = {0};
    if (s->unmeasured) {
        for (int32_t c = 0; c < s->spec.c; c++)
            info->std[c] = 1;
        return NB_OK;
    }
    const nb_status st = look(ctx, s, test, &sums);
    if (st == NB_E_FORMAT || st == NB_E_IO)
        return nb_pngdir_audit(ctx, s, path);
    if (st == NB_OK)
        nb_pixel_stats_finish(&sums, s->spec.c, info->mean, info->std);
    return st;
}

static nb_status pngdir_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    nb_pngdir *s = st;
    const bool test = strcmp(split, "test") == 0;
    if (s->channels == 2)
        return nb_fail(ctx, NB_E_CONFIG, "data.channels: 2: must be 1 (grey), 3 (colour) or 0 (as the first image)");
    NB_TRY(nb_arena_create(ctx, &s->arena));
    NB_TRY(nb_pngdir_scan(ctx, s, path));
    if (test)
        NB_TRY(nb_pngdir_add_split(ctx, s, s->test_dir, s->test_take, &s->test));
    s->images = test ? &s->test : &s->train;
    NB_TRY(decide_size(ctx, s, &s->train));
    NB_TRY(look_or_audit(ctx, s, path, test, info));
    info->count = s->images->n;
    info->h = s->spec.h;
    info->w = s->spec.w;
    info->c = s->spec.c;
    info->classes = s->classes;
    info->class_names = s->class_names;
    info->bytes = s->path_bytes + (int64_t)s->images->n * (int64_t)sizeof *s->images->at;
    info->streams = !s->pixels;
    if (s->pixels)
        info->bytes += (int64_t)s->images->n * s->spec.h * s->spec.w * s->spec.c;
    return NB_OK;
}

static void pngdir_unmeasured(void *st)
{
    ((nb_pngdir *)st)->unmeasured = true;
}

static bool pngdir_describe(const void *st, nb_dsinfo *info)
{
    const nb_pngdir *s = st;
    info->h = s->height;
    info->w = s->width;
    info->c = s->channels;
    info->classes = s->classes;
    return s->height > 0 && s->width > 0 && s->channels > 0 && s->channels != 2 && s->classes > 0;
}

static nb_status pngdir_read(nb_ctx *ctx, const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const nb_pngdir *s = st;
    const size_t each = (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c;
    const nb_png_entry *e = &s->images->at[index];
    bool misfit;
    if (s->pixels)
        memcpy(hwc, s->pixels + (size_t)index * each, each);
    else
        NB_TRY(nb_pngdir_load(ctx, s, e->path, hwc, &misfit));
    *label = e->label;
    return NB_OK;
}

static int32_t pngdir_label(const void *st, int32_t index)
{
    return ((const nb_pngdir *)st)->images->at[index].label;
}

static bool pngdir_fingerprint(const void *st, uint64_t *labels, uint64_t *pixels)
{
    const nb_pngdir *s = st;
    *labels = s->print.labels;
    *pixels = s->print.pixels;
    return s->known;
}

static const char *pngdir_image_name(const void *st, int32_t index)
{
    return ((const nb_pngdir *)st)->images->at[index].path;
}

static void pngdir_close(nb_ctx *ctx, void *st)
{
    nb_pngdir *s = st;
    nb_free(ctx, s->pixels);
    nb_free(ctx, s->train.at);
    nb_free(ctx, s->test.at);
    nb_arena_free(s->arena);
}

static const nb_key pngdir_keys[] = {
    NB_KEY_INT(nb_pngdir, height, "0", 0, MAX_SIDE,
               "resize images to this height, in pixels; 0: they have one size already"),
    NB_KEY_INT(nb_pngdir, width, "0", 0, MAX_SIDE, "resize images to this width, in pixels"),
    NB_KEY_INT(nb_pngdir, channels, "0", 0, 3, "1: all grey, 3: all colour, 0: as the first image, and all the same"),
    NB_KEY_INT(nb_pngdir, classes, "0", 0, 1 << 20, "how many folders there must be; 0: any number"),
    NB_KEY_INT(nb_pngdir, background, "255", 0, 255, "grey level behind transparent pixels"),
    NB_KEY_INT(nb_pngdir, memory, "1024", 0, 1 << 20,
               "decoded images to keep of a split, in MiB; those of a larger one are decoded whenever they are needed"),
    NB_KEY_FLOAT(nb_pngdir, test_fraction, "0", 0, 0.9,
                 "share of each class that is the test split, when there is no train folder"),
    {0}};

const nb_dataset nb_dataset_pngdir = {
    .name = "pngdir",
    .help = "PNG files, one folder per class: path/train/<class>/*.png and path/test/<class>/*.png; or\n"
            "path/<class>/*.png with test_fraction. Pixels are the stored values, as PIL, OpenCV and torchvision read\n"
            "them: gamma and colour profiles (gAMA, cHRM, sRGB, iCCP) are not applied, 16 bits keep the upper 8",
    .keys = pngdir_keys,
    .attr_size = sizeof(nb_pngdir),
    .open = pngdir_open,
    .read = pngdir_read,
    .image_name = pngdir_image_name,
    .close = pngdir_close,
    .describe = pngdir_describe,
    .unmeasured = pngdir_unmeasured,
    .label = pngdir_label,
    .fingerprint = pngdir_fingerprint};
