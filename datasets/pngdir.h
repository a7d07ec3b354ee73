/* pngdir.h - a folder of PNG files, in three parts: which files there are (pngdir_scan.c), what is wrong with them
 * (pngdir_audit.c), and the data set (pngdir.c). */
#ifndef NB_DATASETS_PNGDIR_H
#define NB_DATASETS_PNGDIR_H

#include <nibble/extend/dataset_loader.h>
#include <nibble/image.h>

#include "base/arena.h"

typedef struct {
    const char *path;
    int32_t label;
} nb_png_entry;

typedef struct {
    nb_png_entry *at; /* from nb_alloc */
    int32_t n, cap;
} nb_png_entries;

typedef enum { NB_PNG_ALL, NB_PNG_TRAIN, NB_PNG_TEST } nb_png_take;

typedef struct {
    int32_t height, width, channels, background, memory; /* keys */
    int32_t classes;                                     /* a key, 0 where it does not say; then how many there are */
    float test_fraction;
    nb_arena *arena; /* names */
    const char **class_names;
    nb_png_spec spec;
    const char *first; /* the image that decided the size */
    const char *train_dir, *test_dir;
    nb_png_take train_take, test_take;
    nb_png_entries train, test;
    const nb_png_entries *images; /* of the open split */
    uint8_t *pixels;              /* of all of them, or NULL: they are decoded when they are asked for */
    int64_t path_bytes;
    bool unmeasured, known; /* open looks at no image but the first; print is of all that are read one by one */
    nb_fingerprint print;
} nb_pngdir;

/* Where the splits lie, which classes there are, and the training images. */
nb_status nb_pngdir_scan(nb_ctx *ctx, nb_pngdir *s, const char *path);
/* Every image below dir/<class>/ that `which` takes, behind those in out. */
nb_status nb_pngdir_add_split(nb_ctx *ctx, nb_pngdir *s, const char *dir, nb_png_take which, nb_png_entries *out);

/* One image, checked and decoded. *misfit: it is no good only beside the others. */
nb_status nb_pngdir_load(nb_ctx *ctx, const nb_pngdir *s, const char *path, uint8_t *hwc, bool *misfit);
/* Looks at every image of both splits, lists what is wrong, and gives the sentence of it. */
nb_status nb_pngdir_audit(nb_ctx *ctx, nb_pngdir *s, const char *path);

#endif
