/* samples.h - a data set of arrays, samples along the first dimension, in NumPy's or IDX files: what a sample's numbers
 * are to the network, pixels or features (nibble/features.h), and its label. */
#ifndef NB_DATASETS_SAMPLES_H
#define NB_DATASETS_SAMPLES_H

#include <nibble/extend/dataset_loader.h>

#include "array.h"
#include "base/arena.h"

/* Keys of the section `data`, embedded in the state of a data set; NB_SAMPLES_KEYS(state, member) are their table's lines. */
typedef struct {
    const nb_conf *shape, *mean, *std;
    bool channels_first;
    int32_t normalise;
    float keep;
} nb_sample_keys;

typedef enum {
    NB_NORMALISE_AUTO,
    NB_NORMALISE_NUMBER,
    NB_NORMALISE_CHANNEL,
    NB_NORMALISE_ALL,
    NB_NORMALISE_NO
} nb_normalise;

#define NB_SAMPLES_KEYS(T, m)                                                                                          \
    {.name = "shape",                                                                                                  \
     .choices = "[height, width, channels]",                                                                           \
     .help = "of a sample; default: [1, n, 1] of n numbers, [1, l, c] of l x c, but [h, w, 1] of bytes, as in IDX",    \
     .kind = NB_K_NODE,                                                                                                \
     .offset = offsetof(T, m) + offsetof(nb_sample_keys, shape)},                                                      \
        {.name = "channels_first",                                                                                     \
         .dflt = "no",                                                                                                 \
         .help = "the channels of a sample stand before its rows and columns, as in PyTorch",                          \
         .kind = NB_K_BOOL,                                                                                            \
         .offset = offsetof(T, m) + offsetof(nb_sample_keys, channels_first)},                                         \
        {.name = "normalise",                                                                                          \
         .dflt = "auto",                                                                                               \
         .choices = "auto|number|channel|all|no",                                                                      \
         .help = "what has a mean and a deviation of its own; auto: each number of a vector, else each channel; "      \
                 "bytes are pixels",                                                                                   \
         .kind = NB_K_ENUM,                                                                                            \
         .offset = offsetof(T, m) + offsetof(nb_sample_keys, normalise)},                                              \
        {.name = "mean",                                                                                               \
         .choices = "a number or one each",                                                                            \
         .help = "of features, together with std; default: measured over the training samples",                        \
         .kind = NB_K_NODE,                                                                                            \
         .offset = offsetof(T, m) + offsetof(nb_sample_keys, mean)},                                                   \
        {.name = "std",                                                                                                \
         .choices = "a number or one each",                                                                            \
         .help = "standard deviation of features",                                                                     \
         .kind = NB_K_NODE,                                                                                            \
         .offset = offsetof(T, m) + offsetof(nb_sample_keys, std)},                                                    \
    {                                                                                                                  \
        .name = "keep", .dflt = "99.99",                                                                               \
        .help = "percent of the training features within the 256 codes; the rest is clamped", .kind = NB_K_FLOAT,      \
        .offset = offsetof(T, m) + offsetof(nb_sample_keys, keep), .min = 50, .max = 100                               \
    }

/* How samples lie in an array. */
typedef struct {
    int32_t count, h, w, c;
    bool first;  /* channels stand first in the file */
    bool vector; /* the file has one dimension for a sample */
} nb_sample_layout;

typedef nb_status (*nb_array_parser)(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_array *out);

/* Where samples are. */
typedef struct {
    nb_array_parser parse;
    bool images; /* three dimensions are [n, h, w] whatever the type, as in IDX; else of bytes only */
    const char *dir;
    const char *train_x, *train_y, *test_x, *test_y;
} nb_sample_files;

/* An open split: owned by it. */
typedef struct {
    nb_sample_layout at;
    uint8_t *codes;  /* [count][h][w][c] */
    int32_t *labels; /* [count] */
    nb_arena *arena;
    const nb_features *map; /* in the arena; NULL: bytes as they are */
} nb_samples;

/* A whole set with everything measured over its training samples, but info->features, where it is not NULL: then that is
 * the map. classes 0: one more than the largest label of either file. Fills info. After a failure close it, too. */
nb_status nb_samples_open(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const nb_sample_keys *keys,
                          const char *split, int32_t classes, nb_dsinfo *info);
/* What the keys alone say; false: not everything. */
bool nb_samples_describe(const nb_sample_keys *keys, int32_t classes, nb_dsinfo *info);
/* Pixels and labels alone, nothing measured: bytes, or it fails. */
nb_status nb_samples_open_pixels(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const char *split,
                                 int32_t classes, nb_dsinfo *info);
void nb_samples_get(const nb_samples *s, int32_t index, uint8_t *hwc, int32_t *label);
void nb_samples_close(nb_ctx *ctx, nb_samples *s); /* zeroed is fine */

/* The codes of an array [at->count][h][w][c], freed with nb_free. map NULL: its bytes. */
nb_status nb_samples_code(nb_ctx *ctx, const char *name, const nb_array *a, const nb_sample_layout *at,
                          const nb_features *map, uint8_t **codes);

/* ---- feature_fit.c ---- */
typedef struct {
    const char *name, *dtype; /* of the file, and what its numbers are */
    const float *x;           /* [count][h][w][c] */
} nb_feature_file;
/* The map that the training samples ask for, in arena. */
nb_status nb_features_fit(nb_ctx *ctx, nb_arena *arena, const nb_feature_file *file, const nb_sample_layout *at,
                          const nb_sample_keys *keys, const nb_features **out);

#endif
