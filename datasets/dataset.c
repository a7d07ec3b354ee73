/* dataset.c - the registry of data sets, and an open split: the table, its bound state, what the keys said.
 *
 * After open() nothing is written any more but the sentence of an image that could not be read, so nb_data_get may run
 * on any number of threads. */
#include "fingerprint.h"
#include "unmeasured.h"

#include <nibble/extend/dataset_loader.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/utf8.h"

#define NB_DATASET(id) extern const nb_dataset nb_dataset_##id;
#include "datasets.def"
#undef NB_DATASET

#define NB_DATASET(id) &nb_dataset_##id,
const nb_dataset *const nb_datasets[] = {
#include "datasets.def"
    NULL};
#undef NB_DATASET

enum { MAX_SIDE = 1 << 14 };

const nb_key nb_data_common_keys[] = {
    NB_KEY_STRING(nb_data_keys, name, NULL, "which data set: fashion-mnist, cifar10, pngdir, npy, synth, ..."),
    NB_KEY_STRING(nb_data_keys, path, "",
                  "folder of the files; empty: $NB_DATA, datasets/data, ../shared/data, /usr/share/datasets"),
    NB_KEY_NODE(nb_data_keys, augment, "list of crop4 | flip | erase, or maps with keys",
                "random changes of training images, in this order"),
    NB_KEY_INT(nb_data_keys, validation, "0", 0, INT32_MAX,
               "training images held out for validation; 0: evaluate on the test split"),
    {0}};

/* The first image that could not be read. */
typedef struct {
    pthread_mutex_t lock;
    _Atomic int status; /* NB_OK: all could; what is below is complete before it changes */
    char why[1024];
} failure;

struct nb_data {
    nb_arena *arena;
    failure *failed; /* NULL: not made yet */
    const nb_dataset *set;
    void *state;
    nb_dsinfo info;
    nb_data_keys common;
};

/* The key tables are known only once the name is, so the name is read before the section is bound. */
static nb_status choose(nb_ctx *ctx, const nb_conf *data, const nb_dataset **out)
{
    if (!data)
        return nb_fail(ctx, NB_E_CONFIG, "data: missing section: must be a map like {name: fashion-mnist}");
    const nb_conf *node = nb_conf_is_map(data) ? nb_conf_get(data, "name") : NULL;
    const char *name = node ? nb_conf_text(node) : NULL;
    if (!name)
        return nb_conf_fail(ctx, data, "data", NB_E_CONFIG, "must be a map with a name, like {name: fashion-mnist}");
    *out = nb_registry_choose(ctx, nb_datasets, name, node, "data.name", "data set");
    return *out ? NB_OK : NB_E_CONFIG;
}

/* Whatever a loader read from files, the rest of the program may rely on these. */
static void check_info(const nb_dsinfo *i)
{
    NB_ASSERT(i->count > 0 && i->classes > 0);
    NB_ASSERT(i->h > 0 && i->h <= MAX_SIDE && i->w > 0 && i->w <= MAX_SIDE && i->c > 0 && i->c <= NB_MAX_CHANNELS);
    for (int32_t c = 0; c < i->c; c++)
        NB_ASSERT(i->std[c] > 0.0f);
}

/* Class names go into checkpoints, whose text is UTF-8; said before anything is trained. */
static nb_status check_class_names(nb_ctx *ctx, const nb_dsinfo *i)
{
    for (int32_t k = 0; i->class_names && k < i->classes; k++) {
        const char *name = i->class_names[k];
        char shown[64];
        size_t at = 0;
        if (nb_utf8_valid(name, strlen(name)))
            continue;
        for (; *name && at + 5 < sizeof shown; name++)
            at += (size_t)snprintf(shown + at, sizeof shown - at, *name >= ' ' && *name <= '~' ? "%c" : "\\x%02x",
                                   (unsigned char)*name);
        return nb_fail(
            ctx, NB_E_FORMAT,
            "data: the name of class %d, \"%s\", is not UTF-8 and could not be stored in a checkpoint: rename "
            "the class",
            k, shown);
    }
    return NB_OK;
}

static nb_status make_failure(nb_ctx *ctx, nb_data *d)
{
    failure *f = nb_arena_alloc(d->arena, sizeof *f);
    if (!f || pthread_mutex_init(&f->lock, NULL) != 0)
        return f ? nb_fail(ctx, NB_E_NOMEM, "out of memory") : NB_E_NOMEM;
    d->failed = f;
    return NB_OK;
}

static nb_status open_set(nb_ctx *ctx, const nb_conf *data, const char *split, const nb_features *features,
                          bool unmeasured, nb_data **out)
{
    NB_ASSERT(strcmp(split, "train") == 0 || strcmp(split, "test") == 0);
    const nb_dataset *set = NULL;
    NB_TRY(choose(ctx, data, &set));
    NB_ASSERT(set);
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_data *d = nb_arena_alloc(arena, sizeof *d);
    if (!d) {
        nb_arena_free(arena);
        return NB_E_NOMEM;
    }
    d->arena = arena;
    d->info.features = features;
    nb_status st = make_failure(ctx, d);
    if (st == NB_OK)
        st = nb_entry_bind(ctx, arena, set, data, "data", (nb_binding){nb_data_common_keys, &d->common}, &d->state);
    if (st == NB_OK) {
        d->set = set; /* from here on close() has something to close */
        if (unmeasured && set->unmeasured)
            set->unmeasured(d->state);
        st = set->open(ctx, d->state, d->common.path, split, &d->info);
        if (st == NB_E_CONFIG) /* a loader knows its keys' values, not where they stand */
            nb_conf_fail(ctx, data, NULL, st, "%s", nb_ctx_error(ctx));
    }
    if (d->info.features == features) /* a loader of pixels alone has not made it its own */
        d->info.features = NULL;
    if (st == NB_OK)
        st = check_class_names(ctx, &d->info);
    if (st != NB_OK) {
        nb_data_close(ctx, d);
        return st;
    }
    check_info(&d->info);
    *out = d;
    return NB_OK;
}

nb_status nb_data_open(nb_ctx *ctx, const nb_conf *data, const char *split, nb_data **out)
{
    return open_set(ctx, data, split, NULL, false, out);
}

nb_status nb_data_open_as(nb_ctx *ctx, const nb_conf *data, const char *split, const nb_features *features,
                          nb_data **out)
{
    return open_set(ctx, data, split, features, false, out);
}

nb_status nb_data_open_unmeasured(nb_ctx *ctx, const nb_conf *data, const char *split, nb_data **out, bool *measure)
{
    NB_TRY(open_set(ctx, data, split, NULL, true, out));
    *measure = (*out)->set->unmeasured != NULL;
    return NB_OK;
}

nb_status nb_data_describe(nb_ctx *ctx, const nb_conf *data, nb_dsinfo *out)
{
    const nb_dataset *set = NULL;
    nb_data_keys common = {0};
    nb_arena *arena;
    void *state;
    NB_TRY(choose(ctx, data, &set));
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_status st = nb_entry_bind(ctx, arena, set, data, "data", (nb_binding){nb_data_common_keys, &common}, &state);
    nb_dsinfo info = {.count = 1};
    for (int32_t c = 0; c < NB_MAX_CHANNELS; c++) {
        info.mean[c] = 0.5f;
        info.std[c] = 0.25f;
    }
    if (st == NB_OK && (!set->describe || !set->describe(state, &info)))
        st =
            nb_conf_fail(ctx, data, "data", NB_E_CONFIG, "says neither shape nor number of classes: only the files do");
    nb_arena_free(arena);
    if (st != NB_OK)
        return st;
    check_info(&info);
    *out = info;
    return NB_OK;
}

const nb_dsinfo *nb_data_info(const nb_data *d)
{
    return &d->info;
}

const nb_data_keys *nb_data_common(const nb_data *d)
{
    return &d->common;
}

nb_status nb_data_try(nb_ctx *ctx, const nb_data *d, int32_t index, uint8_t *hwc, int32_t *label)
{
    NB_ASSERT(index >= 0 && index < d->info.count);
    if (d->set->read)
        return d->set->read(ctx, d->state, index, hwc, label);
    d->set->get(d->state, index, hwc, label);
    return NB_OK;
}

static void note_failure(failure *f, nb_status st, const char *why)
{
    pthread_mutex_lock(&f->lock);
    if (atomic_load(&f->status) == NB_OK) {
        snprintf(f->why, sizeof f->why, "%s", why);
        atomic_store(&f->status, (int)st);
    }
    pthread_mutex_unlock(&f->lock);
}

void nb_data_get(const nb_data *d, int32_t index, uint8_t *hwc, int32_t *label)
{
    NB_ASSERT(index >= 0 && index < d->info.count);
    if (!d->set->read) {
        d->set->get(d->state, index, hwc, label);
        return;
    }
    nb_ctx *ctx = nb_ctx_create(); /* a context is one thread's, and who calls may be any */
    const nb_status st = ctx ? d->set->read(ctx, d->state, index, hwc, label) : NB_E_NOMEM;
    if (st != NB_OK) {
        note_failure(d->failed, st, ctx ? nb_ctx_error(ctx) : "out of memory");
        memset(hwc, 0, (size_t)d->info.h * (size_t)d->info.w * (size_t)d->info.c);
        *label = 0;
    }
    nb_ctx_destroy(ctx);
}

nb_status nb_data_check(nb_ctx *ctx, const nb_data *d)
{
    const nb_status st = (nb_status)atomic_load(&d->failed->status);
    return st == NB_OK ? NB_OK : nb_fail(ctx, st, "%s", d->failed->why);
}

bool nb_data_label(const nb_data *d, int32_t index, int32_t *label)
{
    NB_ASSERT(index >= 0 && index < d->info.count);
    if (d->set->label)
        *label = d->set->label(d->state, index);
    return d->set->label != NULL;
}

void nb_data_ahead(const nb_data *d, int32_t index)
{
    if (d->set->ahead)
        d->set->ahead(d->state, index);
}

nb_status nb_data_fingerprint(nb_ctx *ctx, const nb_data *d, nb_fingerprint *out)
{
    nb_fingerprint f = {.count = d->info.count};
    if (!d->set->fingerprint || !d->set->fingerprint(d->state, &f.labels, &f.pixels))
        return nb_fingerprint_measure(ctx, d, out);
    *out = f;
    return NB_OK;
}

const char *nb_data_image_name(const nb_data *d, int32_t index)
{
    NB_ASSERT(index >= 0 && index < d->info.count);
    return d->set->image_name ? d->set->image_name(d->state, index) : NULL;
}

void nb_data_close(nb_ctx *ctx, nb_data *d)
{
    if (!d)
        return;
    if (d->set)
        d->set->close(ctx, d->state);
    if (d->failed)
        pthread_mutex_destroy(&d->failed->lock);
    nb_arena_free(d->arena);
}
