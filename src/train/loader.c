/* loader.c - the ring of batches between one filling thread and the trainer.
 *
 * Slots are numbered by a running count: the thread fills slot `filled`, the caller holds slot `taken - 1` until it
 * asks for the next. The ring has one slot more than NB_LOADER_AHEAD, the one in the caller's hands. The mutex guards
 * the counts; a slot's content belongs to whoever the counts say. Everything is allocated in open(), so filling cannot
 * fail. */
#include "loader.h"
#include "augment.h"
#include "balanced.h"
#include "mixup.h"
#include "shuffle.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "core/cut_gather.h"

enum { RING = NB_LOADER_AHEAD + 1 };

typedef struct {
    nb_batch view;
    uint8_t *pixels;
    int32_t *labels, *other; /* other, mixed: with mixup, else NULL */
    float *mixed;
} slot;

struct nb_loader {
    const nb_data *data;
    nb_augment *augment;
    int32_t *subset,
        *order; /* [total]: indices into the data set, as given and in this epoch's order; the thread's own */
    int32_t total, count, batch, steps;
    nb_balanced *balanced; /* NULL: every image once */
    int32_t *again;        /* [total]: how often the image was there before in this epoch; NULL: never */
    float mixup;
    int64_t order_epoch; /* the epoch `order` is for, -1: none yet */
    uint32_t flags;
    bool shared;
    uint64_t seed;
    size_t image_bytes;
    uint8_t *scratch; /* one image */
    slot ring[RING];

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_lock, has_cond, has_thread;
    bool started, stop, filling;
    uint64_t turn;         /* grows with every real seek: a slot filled for an earlier turn is dropped */
    int64_t start;         /* epoch * steps + step of slot number 0 */
    int64_t filled, taken; /* taken <= filled <= taken - 1 + RING */
};

nb_status nb_split_order(nb_ctx *ctx, int32_t count, int32_t validation, uint64_t seed, int32_t **order)
{
    if (validation < 0 || validation >= count)
        return nb_fail(ctx, NB_E_CONFIG, "data.validation: %d: must be in 0..%d, because there are %d training images",
                       validation, count - 1, count);
    int32_t *v = nb_alloc(ctx, sizeof *v * (size_t)count);
    if (!v)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < count; i++)
        v[i] = i;
    nb_shuffle(v, count, nb_mix(seed, nb_hash_text("validation")), 0);
    *order = v;
    return NB_OK;
}

static void order_for(nb_loader *l, int32_t epoch)
{
    if (l->order_epoch == epoch)
        return;
    const uint64_t key = nb_mix(l->seed, nb_hash_text("shuffle"));
    if (l->balanced)
        nb_balanced_order(l->balanced, l->seed, epoch, l->order, l->again);
    else
        memcpy(l->order, l->subset, sizeof *l->order * (size_t)l->total);
    if (l->flags & NB_LOAD_SHUFFLE)
        nb_shuffle(l->order, l->total, key, (uint64_t)epoch);
    if (l->balanced) /* moves with it */
        nb_shuffle(l->again, l->total, key, (uint64_t)epoch);
    l->order_epoch = epoch;
}

/* The image that stands at `place` in this epoch's order. */
static void load(nb_loader *l, int64_t place, int32_t epoch, uint8_t *px, int32_t *label)
{
    const int32_t sample = l->order[place];
    const int32_t again = l->again ? l->again[place] : 0; /* must not look the same again */
    nb_data_get(l->data, sample, px, label);
    nb_augment_apply(l->augment, again ? nb_mix(l->seed, (uint64_t)again) : l->seed, epoch, sample, px, l->scratch);
}

static void fill(nb_loader *l, slot *s, int64_t position)
{
    const int32_t epoch = (int32_t)(position / l->steps), step = (int32_t)(position % l->steps);
    order_for(l, epoch);
    const int64_t first = (int64_t)step * l->batch, left = l->count - first;
    const nb_cut cut = nb_cut_of(left < l->batch ? (int32_t)left : l->batch, l->shared);
    const int32_t from = l->mixup > 0 ? 0 : cut.first; /* the image that the slot begins with */
    const nb_mixed m = {s->pixels, s->labels, cut.batch, cut.first, cut.first + cut.images, (int64_t)l->image_bytes};
    const int32_t end = l->mixup > 0 ? cut.batch : m.end;
    for (int32_t i = from; i < end; i++) /* the disk then works on all of them at once */
        nb_data_ahead(l->data, l->order[first + i]);
    for (int32_t i = from; i < end; i++)
        if (l->mixup <= 0 || nb_mixup_reads(&m, i))
            load(l, first + i, epoch, s->pixels + (size_t)(i - from) * l->image_bytes, &s->labels[i - from]);
    if (l->mixup > 0)
        nb_mixup(&m, l->mixup, nb_mix(nb_mix(l->seed, nb_hash_text("mixup")), (uint64_t)position), s->other, s->mixed);
    const int32_t at = cut.first - from;
    s->view = (nb_batch){.pixels = s->pixels + (size_t)at * l->image_bytes,
                         .labels = s->labels + at,
                         .other = s->other ? s->other + at : NULL,
                         .mixed = s->mixed ? s->mixed + at : NULL,
                         .n = cut.images,
                         .epoch = epoch,
                         .step = step,
                         .whole = cut.batch};
}

/* There is room when the slot to fill is not the one in the caller's hands. */
static bool may_fill(const nb_loader *l)
{
    const int64_t held = l->taken > 0 ? l->taken - 1 : 0;
    return l->started && l->filled - held < RING;
}

static void *run(void *arg)
{
    nb_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && !may_fill(l))
            pthread_cond_wait(&l->changed, &l->lock);
        if (l->stop)
            break;
        const uint64_t turn = l->turn;
        const int64_t position = l->start + l->filled;
        slot *s = &l->ring[l->filled % RING];
        l->filling = true;
        pthread_mutex_unlock(&l->lock);
        fill(l, s, position);
        pthread_mutex_lock(&l->lock);
        l->filling = false;
        if (turn == l->turn)
            l->filled++;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

void nb_loader_seek(nb_loader *l, int32_t epoch, int32_t step)
{
    NB_ASSERT(epoch >= 0 && step >= 0 && step < l->steps);
    const int64_t position = (int64_t)epoch * l->steps + step;
    pthread_mutex_lock(&l->lock);
    if (!l->started || position != l->start + l->taken) {
        l->turn++;
        while (l->filling) /* its slot number is about to be given out anew */
            pthread_cond_wait(&l->changed, &l->lock);
        l->start = position;
        l->filled = l->taken = 0;
        l->started = true;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
}

const nb_batch *nb_loader_next(nb_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->started = true;
    l->taken++; /* gives the batch before back */
    pthread_cond_broadcast(&l->changed);
    while (l->filled < l->taken)
        pthread_cond_wait(&l->changed, &l->lock);
    const nb_batch *b = &l->ring[(l->taken - 1) % RING].view;
    pthread_mutex_unlock(&l->lock);
    return b;
}

int32_t nb_loader_steps_per_epoch(const nb_loader *l)
{
    return l->steps;
}

static nb_status alloc_slot(nb_ctx *ctx, const nb_loader *l, slot *s)
{
    const int32_t most = l->batch < l->total ? l->batch : l->total;
    const size_t images = (size_t)(l->mixup > 0 ? most : nb_cut_room(most, l->shared));
    s->pixels = nb_alloc(ctx, images * l->image_bytes);
    s->labels = nb_alloc(ctx, images * sizeof *s->labels);
    if (!s->pixels || !s->labels)
        return NB_E_NOMEM;
    if (l->mixup <= 0)
        return NB_OK;
    s->other = nb_alloc(ctx, images * sizeof *s->other);
    s->mixed = nb_alloc(ctx, images * sizeof *s->mixed);
    return s->other && s->mixed ? NB_OK : NB_E_NOMEM;
}

/* Sizes and memory; no thread yet. */
static nb_status prepare(nb_ctx *ctx, nb_loader *l, const nb_loader_spec *spec)
{
    const nb_dsinfo *info = nb_data_info(l->data);
    l->total = spec->subset ? spec->n_subset : info->count;
    l->batch = spec->batch;
    l->flags = spec->flags;
    l->shared = spec->shared;
    l->seed = spec->seed;
    l->order_epoch = -1;
    if (l->total <= 0)
        return nb_fail(ctx, NB_E_CONFIG, "data: no images are left to load");
    if ((l->flags & NB_LOAD_DROP_LAST) && l->total < l->batch)
        return nb_fail(ctx, NB_E_CONFIG, "train.batch: %d: must be at most %d, the number of training images", l->batch,
                       l->total);
    l->steps = l->flags & NB_LOAD_DROP_LAST ? l->total / l->batch : (l->total - 1) / l->batch + 1;
    l->count = l->flags & NB_LOAD_DROP_LAST ? l->steps * l->batch : l->total;
    l->image_bytes = (size_t)info->h * (size_t)info->w * (size_t)info->c;
    NB_TRY(nb_augment_create(ctx, spec->augment, info, &l->augment));
    l->subset = nb_alloc(ctx, sizeof *l->subset * (size_t)l->total);
    l->order = nb_alloc(ctx, sizeof *l->order * (size_t)l->total);
    l->scratch = nb_alloc(ctx, l->image_bytes);
    if (!l->subset || !l->order || !l->scratch)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < l->total; i++)
        l->subset[i] = spec->subset ? spec->subset[i] : i;
    if (spec->balanced) {
        NB_TRY(nb_balanced_create(ctx, l->data, l->subset, l->total, &l->balanced));
        l->again = nb_alloc(ctx, sizeof *l->again * (size_t)l->total);
        if (!l->again)
            return NB_E_NOMEM;
    }
    l->mixup = spec->mixup;
    for (int32_t i = 0; i < RING; i++)
        NB_TRY(alloc_slot(ctx, l, &l->ring[i]));
    return NB_OK;
}

static nb_status start_thread(nb_ctx *ctx, nb_loader *l)
{
    int e = pthread_mutex_init(&l->lock, NULL);
    l->has_lock = e == 0;
    if (e == 0) {
        e = pthread_cond_init(&l->changed, NULL);
        l->has_cond = e == 0;
    }
    if (e == 0) {
        sigset_t all, before; /* signals are the program's business: Ctrl-C must wake its thread, not this one */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        e = pthread_create(&l->thread, NULL, run, l);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        l->has_thread = e == 0;
    }
    return e == 0 ? NB_OK : nb_fail(ctx, NB_E_NOMEM, "the loader's thread could not be started: %s", strerror(e));
}

nb_status nb_loader_open(nb_ctx *ctx, const nb_data *data, const nb_loader_spec *spec, nb_loader **out)
{
    NB_ASSERT(spec->batch >= 1);
    nb_loader *l = nb_alloc(ctx, sizeof *l);
    if (!l)
        return NB_E_NOMEM;
    l->data = data;
    nb_status st = prepare(ctx, l, spec);
    if (st == NB_OK)
        st = start_thread(ctx, l);
    if (st == NB_OK)
        *out = l;
    else
        nb_loader_close(ctx, l);
    return st;
}

void nb_loader_close(nb_ctx *ctx, nb_loader *l)
{
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    if (l->has_cond)
        pthread_cond_destroy(&l->changed);
    if (l->has_lock)
        pthread_mutex_destroy(&l->lock);
    for (int32_t i = 0; i < RING; i++) {
        nb_free(ctx, l->ring[i].pixels);
        nb_free(ctx, l->ring[i].labels);
        nb_free(ctx, l->ring[i].other);
        nb_free(ctx, l->ring[i].mixed);
    }
    nb_balanced_free(ctx, l->balanced);
    nb_free(ctx, l->again);
    nb_free(ctx, l->subset);
    nb_free(ctx, l->order);
    nb_free(ctx, l->scratch);
    nb_augment_free(l->augment);
    nb_free(ctx, l);
}
