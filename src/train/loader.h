/* loader.h - an endless stream of batches from an open data set, filled ahead of time by one thread.
 *
 * Epoch e shows every sample once (drop_last: all but a rest), in an order that depends on (seed, e) alone; what
 * augmentation does to an image depends on (seed, e, its index in the data set) alone. So batch (e, s) is the same
 * bytes whenever and from wherever it is asked for: after resume, with any thread count, by any rank. The stream runs on into the
 * next epoch by itself: a caller counts steps. At least NB_LOADER_AHEAD batches are kept ready beyond the one in use.
 */
#ifndef NB_TRAIN_LOADER_H
#define NB_TRAIN_LOADER_H

#include <nibble/dataset.h>

enum { NB_LOADER_AHEAD = 3 };

enum { /* nb_loader_spec.flags; evaluation uses 0: file order, the last short batch is kept */
       NB_LOAD_SHUFFLE = 1,
       NB_LOAD_DROP_LAST =
           2 /* an epoch has only full batches; the rest differs from epoch to epoch because the order does */
};

typedef struct {
    int32_t batch;  /* images a batch, >= 1 */
    uint32_t flags; /* NB_LOAD_* */
    uint64_t seed;
    const nb_conf *augment; /* nb_data_keys.augment, or NULL for none */
    const int32_t *subset;  /* indices into the data set (copied), or NULL for all of it */
    int32_t n_subset;
    bool balanced; /* every class as often (balanced.h); with NB_LOAD_SHUFFLE */
    float mixup;   /* as in nb_train_keys; 0 = off */
    bool shared;   /* of a batch only what a graph that is shared wants: this rank's images (extend/cut.h) */
} nb_loader_spec;

typedef struct {
    const uint8_t *pixels; /* [n, h, w, c], 64-byte aligned */
    const int32_t *labels; /* [n] */
    const int32_t *other;  /* [n] labels of what was mixed in, and its share; NULL without mixup */
    const float *mixed;
    int32_t n, epoch, step;
    int32_t whole; /* images of the batch: n, unless it is shared */
} nb_batch;

typedef struct nb_loader nb_loader;

/* data is borrowed and must outlive the loader. Fails when the subset is empty, or smaller than one batch with
 * NB_LOAD_DROP_LAST. */
nb_status nb_loader_open(nb_ctx *ctx, const nb_data *data, const nb_loader_spec *spec, nb_loader **out);
/* Stops the thread and joins it; NULL is fine. */
void nb_loader_close(nb_ctx *ctx, nb_loader *l);

int32_t nb_loader_steps_per_epoch(const nb_loader *l);

/* The next batch will be (epoch, step); 0 <= step < steps_per_epoch. Without a call the stream starts at (0, 0).
 * Seeking to where the stream stands anyway costs nothing. */
void nb_loader_seek(nb_loader *l, int32_t epoch, int32_t step);
/* Never NULL; the batch stays valid until the next call of next, seek or close. */
const nb_batch *nb_loader_next(nb_loader *l);

/* The validation split: a seeded permutation of 0..count-1 whose last `validation` entries are held out and whose first
 * count - validation are trained on. *order [count] is freed with nb_free. Fails unless 0 <= validation < count. */
nb_status nb_split_order(nb_ctx *ctx, int32_t count, int32_t validation, uint64_t seed, int32_t **order);

#endif
