/* pngdir_audit.c - one image of a folder of PNG files, and what is wrong with all of them. */
#include "pngdir.h"

#include "png_rows.h"

#include <string.h>

#include "base/check.h"
#include "base/files.h"

enum { MISFITS_SHOWN = 10 };

/* The header first: a picture may be no good for itself, or only not beside the others. */
static nb_status load_bytes(nb_ctx *ctx, const nb_pngdir *s, const char *path, const uint8_t *bytes, size_t len,
                            uint8_t *hwc, bool *misfit)
{
    nb_png_header header;
    NB_TRY(nb_png_read_header(ctx, path, bytes, len, &header));
    const int32_t c = header.indexed || header.samples >= 3 ? 3 : 1;
    *misfit = true;
    if (!s->spec.resize && (header.h != s->spec.h || header.w != s->spec.w))
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: %d pixels high, %d wide, but %s has %dx%d: make them one size, or set data.height and "
                       "data.width to have them resized",
                       path, header.h, header.w, s->first, s->spec.h, s->spec.w);
    if (!s->channels && c != s->spec.c)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: a %s image, but %s is not: set data.channels to 1 (all grey) or 3 (all colour)", path,
                       c == 3 ? "colour" : "grey", s->first);
    *misfit = false;
    return nb_png_decode(ctx, path, bytes, len, &s->spec, hwc);
}

nb_status nb_pngdir_load(nb_ctx *ctx, const nb_pngdir *s, const char *path, uint8_t *hwc, bool *misfit)
{
    uint8_t *bytes;
    size_t len;
    *misfit = false;
    NB_TRY(nb_file_read(ctx, path, NB_PNG_MAX_BYTES, &bytes, &len));
    const nb_status st = load_bytes(ctx, s, path, bytes, len, hwc, misfit);
    nb_free(ctx, bytes);
    return st;
}

typedef struct {
    uint8_t *pixels;         /* of one image */
    int32_t *count[2], *bad; /* per split and class; bad: test behind train */
    int32_t images, n_bad, misfits;
    const char *first; /* the first bad one's sentence */
} audit;

/* One bad image is the error itself; with a second one both are listed, and so are all that follow. */
static nb_status audit_image(nb_ctx *ctx, const nb_pngdir *s, const char *path, audit *a, int32_t *bad)
{
    bool misfit;
    const nb_status st = nb_pngdir_load(ctx, s, path, a->pixels, &misfit);
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

static nb_status audit_split(nb_ctx *ctx, const nb_pngdir *s, int32_t split, const nb_png_entries *l, audit *a)
{
    for (int32_t i = 0; i < l->n; i++) {
        NB_TRY(audit_image(ctx, s, l->at[i].path, a, &a->bad[split * s->classes + l->at[i].label]));
        a->count[split][l->at[i].label]++;
    }
    return NB_OK;
}

static void say_counts(nb_ctx *ctx, const nb_pngdir *s, const audit *a)
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

static nb_status audit_both(nb_ctx *ctx, nb_pngdir *s, audit *a)
{
    NB_TRY(audit_split(ctx, s, 0, &s->train, a));
    if (s->test.n == 0 && nb_is_folder(s->test_dir) &&
        nb_pngdir_add_split(ctx, s, s->test_dir, s->test_take, &s->test) == NB_E_NOMEM)
        return NB_E_NOMEM; /* a test split that cannot be listed has its own sentence another time */
    return audit_split(ctx, s, 1, &s->test, a);
}

nb_status nb_pngdir_audit(nb_ctx *ctx, nb_pngdir *s, const char *path)
{
    audit a = {.count = {nb_arena_array(s->arena, (size_t)s->classes, sizeof(int32_t)),
                         nb_arena_array(s->arena, (size_t)s->classes, sizeof(int32_t))},
               .bad = nb_arena_array(s->arena, 2 * (size_t)s->classes, sizeof(int32_t)),
               .pixels = nb_alloc(ctx, (size_t)s->spec.h * (size_t)s->spec.w * (size_t)s->spec.c)};
    nb_status st = a.pixels && a.count[0] && a.count[1] && a.bad ? audit_both(ctx, s, &a) : NB_E_NOMEM;
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
