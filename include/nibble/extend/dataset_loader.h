/* dataset_loader.h - what a file in datasets/ gives: one kind of data set. */
#ifndef NIBBLE_EXTEND_DATASET_LOADER_H
#define NIBBLE_EXTEND_DATASET_LOADER_H

#include <nibble/dataset.h>
#include <nibble/extend/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nb_dataset {
    NB_ENTRY; /* keys are bound into the state */
    /* st is zeroed and its keys are bound; split is "train" or "test"; path is data.path or "". info is zeroed but
     * features, which is NULL or the map to use. After a failure close is called too. */
    nb_status (*open)(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info);
    /* One of both: get where everything was read in open; read where images are read when they are asked for. ctx is
     * of this call alone. */
    void (*get)(const void *st, int32_t index, uint8_t *hwc, int32_t *label);
    nb_status (*read)(nb_ctx *ctx, const void *st, int32_t index, uint8_t *hwc, int32_t *label);
    const char *(*image_name)(const void *st, int32_t index); /* NULL: they have numbers only */
    void (*close)(nb_ctx *ctx, void *st);
    /* Before open: h, w, c and classes, as far as name and keys say them; false: only the files do. NULL: as false. */
    bool (*describe)(const void *st, nb_dsinfo *info);
    /* The rest is for sets larger than memory; each may be NULL. Before open: all images will be looked at by the caller,
     * so open need not, and info's mean and std may be of nothing. */
    void (*unmeasured)(void *st);
    void (*ahead)(const void *st, int32_t index);                            /* will be asked for soon */
    int32_t (*label)(const void *st, int32_t index);                         /* without reading the image */
    bool (*fingerprint)(const void *st, uint64_t *labels, uint64_t *pixels); /* false: not known */
};

#ifdef __cplusplus
}
#endif
#endif
