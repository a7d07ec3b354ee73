/* dataset.h - what a data set is: counted u8 images in HWC order with labels, random access, thread safe.
 *
 * What is no image (vectors, signals, floats) becomes 8-bit codes when it is loaded, [1, n, 1] of n numbers, [1, l, c] of
 * l times c, by a map that info->features tells (features.h): to everything else codes are pixels.
 *
 * One loader per file in datasets/, listed in datasets/datasets.def. A loader reads everything in open() and checks it
 * there, or, of what is larger than memory, reads an image when it is asked for. Data are searched in data.path, $NB_DATA, ./datasets/, ../shared/data/, and the
 * distribution's folder. */
#ifndef NIBBLE_DATASET_H
#define NIBBLE_DATASET_H

#include <nibble/features.h>
#include <nibble/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_MAX_CHANNELS = 1024 };
/* Largest mean (in size) and deviation of pixel/255 that `input` takes: larger ones are of pixels in 0..255. */
enum { NB_INPUT_MAX_MEAN = 1, NB_INPUT_MAX_STD = 4 };

/* What a network's outputs are, which its loss says: logits of classes; the input's normalised values again, a mean squared
 * error away, which is how much of an anomaly a sample is. */
typedef enum { NB_TASK_CLASSES, NB_TASK_RECONSTRUCT } nb_task;

typedef struct {
    int32_t count, h, w, c, classes;                   /* of a network whose task is another: its outputs */
    const char *const *class_names;                    /* [classes] or NULL; lives as long as the data set */
    float mean[NB_MAX_CHANNELS], std[NB_MAX_CHANNELS]; /* of pixel/255: the default normalisation */
    const nb_features
        *features; /* how numbers became the codes that are pixels here; NULL: they are pixels. Lives as long
                                    as the data set */
    nb_task task;  /* of networks */
    int64_t bytes; /* of memory that the open data set holds; 0: next to none */
    bool streams;  /* an image is read, decoded or made whenever it is asked for */
} nb_dsinfo;

/* Keys of the `data` section that every data set shares. */
typedef struct {
    const char *name, *path;
    const nb_conf *augment; /* list of crop4 | flip | erase | ..., bound by the loader */
    int32_t validation;     /* images held out from the end of a seeded shuffle of train; 0 = evaluate on test */
} nb_data_keys;
extern NB_API const nb_key nb_data_common_keys[];

typedef struct nb_data nb_data; /* an open split of a data set */
/* data: the config's `data` section, which must outlive the result. split: "train" or "test". */
NB_API nb_status nb_data_open(nb_ctx *ctx, const nb_conf *data, const char *split, nb_data **out);
/* For a network that is there already: its map of features in the place of one measured over the training samples, which
 * need not be there then; NULL: as nb_data_open. */
NB_API nb_status nb_data_open_as(nb_ctx *ctx, const nb_conf *data, const char *split, const nb_features *features,
                                 nb_data **out);
/* What samples are like without a look at any file, for who wants to know about a network only: the shape and the classes that
 * the section says, a count of 1, means and deviations of nothing in particular. NB_E_CONFIG: it does not say them. */
NB_API nb_status nb_data_describe(nb_ctx *ctx, const nb_conf *data, nb_dsinfo *out);
NB_API const nb_dsinfo *nb_data_info(const nb_data *d);
NB_API const nb_data_keys *nb_data_common(const nb_data *d);
/* hwc [h, w, c] and the label of image index, 0 <= index < count. Any number of threads at once. An image that cannot be
 * read is all 0, and from then on nb_data_check fails. */
NB_API void nb_data_get(const nb_data *d, int32_t index, uint8_t *hwc, int32_t *label);
/* Could every image be read that was asked for? Else the sentence of the first that could not: what was computed of
 * them is worth nothing. */
NB_API nb_status nb_data_check(nb_ctx *ctx, const nb_data *d);
/* As nb_data_get, for who goes on to other images: the sentence is ctx's, and nb_data_check does not know of it. */
NB_API nb_status nb_data_try(nb_ctx *ctx, const nb_data *d, int32_t index, uint8_t *hwc, int32_t *label);
/* The label alone, where it is known without reading the image; false: it is not. */
NB_API bool nb_data_label(const nb_data *d, int32_t index, int32_t *label);
/* Will be asked for soon: what is on disk may be fetched meanwhile. */
NB_API void nb_data_ahead(const nb_data *d, int32_t index);
/* What that image is called, the path of its file; NULL: the data set's images have no more than a number. Lives as long
 * as d. */
NB_API const char *nb_data_image_name(const nb_data *d, int32_t index);
/* What a file of numpy.save says to a network that takes info's samples: one or more of them, [*count][h, w, c] codes or
 * pixels, freed with nb_free. data: the network's `data` section, for its key channels_first; may be NULL. */
NB_API nb_status nb_npy_load(nb_ctx *ctx, const char *path, const nb_conf *data, const nb_dsinfo *info, uint8_t **codes,
                             int32_t *count);
NB_API void nb_data_close(nb_ctx *ctx, nb_data *d); /* NULL is fine */

/* What is kept of a split's content. */
typedef struct {
    int32_t count; /* of images; 0: not recorded */
    uint64_t labels, pixels;
} nb_fingerprint;
/* Of all pixels and labels, in order: the same for any number of threads, on any machine. Reads every image once, unless
 * the data set knows it. */
NB_API nb_status nb_data_fingerprint(nb_ctx *ctx, const nb_data *d, nb_fingerprint *out);

/* Packing: both splits of a data set as files that the data set `packed` reads without decoding anything. */
typedef struct {
    const char *out;                    /* folder; made if it is not there */
    int64_t shard_bytes;                /* of pixels in a file, about; at least one image */
    bool force;                         /* replace what was packed of another data set */
    void (*at)(void *ud, double share); /* how much is done, 0..1; may be NULL */
    void *ud;
} nb_pack_job;
typedef struct {
    int32_t h, w, c, classes;
    int32_t images[2], shards[2]; /* train, test */
    int32_t kept;                 /* shards that were there already, of the same images, and whole */
    int64_t bytes;                /* of all files */
} nb_pack_result;
/* Goes on where it was interrupted. An image that cannot be used is a line in the log, and at last NB_E_FORMAT. */
NB_API nb_status nb_data_pack(nb_ctx *ctx, const nb_conf *data, const nb_pack_job *job, nb_pack_result *out);

/* Shares of values that a format whose levels are no integers (small floats, logarithms) does not tell from others: beyond
 * the largest level, and rounded to 0. */
typedef struct {
    double over, under;
} nb_lost;

/* How a network did on a set of images: the same for the float forward pass and for the integer engine. */
typedef struct {
    int32_t n, correct;
    double accuracy; /* correct / n, or what metric says, in 0..1 and the higher the better */
    double loss;     /* mean cross entropy of the dequantized logits, or mean squared error of the outputs */
    const char
        *metric; /* "accuracy"; of reconstructions "AUC", where some labels are 0 and some are not: how well the error
                           tells those others, else "explained": the share of the inputs' squares that is no error */
    /* yes or no: by floats in the place of integers that cannot be (nb_graph_facts); then, some format's levels are no
     * integers, and these are the shares of all such values */
    int32_t simulated, any_lost;
    nb_lost weights, activations;
    int64_t unlike; /* images whose logits are not those of the first: 0 of many is a network that is dead */
} nb_eval;

/* What it said of every one of them, in arrays of the caller's; NULL: not wanted. */
typedef struct {
    int32_t *labels;   /* [n] what they are */
    int32_t *answers;  /* [n] the class of the largest logit, ties to the first */
    float *logits;     /* [n][classes] */
    int32_t *integers; /* [n][classes] of an integer model: a logit is so many times the scale of its output */
} nb_answers;

#ifdef __cplusplus
}
#endif
#endif
