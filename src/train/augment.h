/* augment.h - random changes of training images: a chain of small pure functions on u8 pixels.
 *
 * data.augment is a list; an entry is a name (flip), a name with its main number (crop4), or a map with keys ({crop:
 * {pad: 4, mode: reflect}}). An augmentation is one file src/train/aug_<name>.c plus one line in augmentations.def. */
#ifndef NB_TRAIN_AUGMENT_H
#define NB_TRAIN_AUGMENT_H

#include <nibble/extend/dataset_loader.h>

#include "base/rng.h"

/* What stands where an image has nothing: black, or the 0 of features. */
static inline uint8_t nb_augment_blank(const nb_dsinfo *info)
{
    return info->features ? (uint8_t)info->features->zero : 0;
}

/* The epoch and the image that an augmentation's random numbers are of: before any is drawn, and after. */
static inline int32_t nb_augment_epoch(const nb_rng *rng)
{
    return (int32_t)(rng->stream >> 32);
}
static inline uint32_t nb_augment_sample(const nb_rng *rng)
{
    return (uint32_t)rng->stream;
}

typedef struct nb_augmentation {
    NB_ENTRY;
    const char *number_key; /* the NB_K_INT key that digits after the name set ("crop4": pad = 4), or NULL */
    /* Refuses what does not fit these images and may precompute into attr; where is "path:line: data.augment[1]". NULL:
     * all is well. */
    nb_status (*check)(nb_ctx *ctx, void *attr, const nb_dsinfo *info, const char *where);
    /* Reads src, writes all of dst, both [h, w, c] and disjoint. Draws from rng only. */
    void (*apply)(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src);
} nb_augmentation;

extern const nb_augmentation *const nb_augmentations[]; /* ends with NULL */

enum { NB_MAX_AUGMENT = 8 };

typedef struct nb_augment nb_augment; /* a bound chain; read-only after creation, so any thread may apply it */

/* list NULL or empty gives an empty chain. */
nb_status nb_augment_create(nb_ctx *ctx, const nb_conf *list, const nb_dsinfo *info, nb_augment **out);
void nb_augment_free(nb_augment *a); /* NULL is fine */
/* img [h, w, c] in place; scratch of the same size. Every link draws from its own stream, keyed by (seed, name, place
 * in the list, epoch, sample): adding a link does not change what the others do. */
void nb_augment_apply(const nb_augment *a, uint64_t seed, int32_t epoch, int32_t sample, uint8_t *img,
                      uint8_t *scratch);

#endif
