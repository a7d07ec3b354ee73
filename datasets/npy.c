/* npy.c - a data set in four files of numpy.save: images, vectors or signals, and their labels. */
#include "locate.h"
#include "samples.h"

#include "base/check.h"

typedef struct {
    const char *x_train, *y_train, *x_test, *y_test;
    int32_t classes;
    nb_sample_keys keys;
    nb_samples samples;
} npy_state;

static nb_status npy_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    npy_state *s = st;
    const nb_sample_files files = {nb_npy_parse, false, path, s->x_train, s->y_train, s->x_test, s->y_test};
    return nb_samples_open(ctx, &s->samples, &files, &s->keys, split, s->classes, info);
}

/* Without labels all are of one class. */
static bool npy_describe(const void *st, nb_dsinfo *info)
{
    const npy_state *s = st;
    return nb_samples_describe(&s->keys, !s->classes && !*s->y_train ? 1 : s->classes, info);
}

static void npy_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    nb_samples_get(&((const npy_state *)st)->samples, index, hwc, label);
}

static void npy_close(nb_ctx *ctx, void *st)
{
    nb_samples_close(ctx, &((npy_state *)st)->samples);
}

static const size_t max_run_bytes = (size_t)1 << 30;

/* One sample, whatever the dimensions of its array are called, or several of them along the first one. */
static nb_status layout_of(nb_ctx *ctx, const char *path, const nb_array *a, const nb_dsinfo *d, nb_sample_layout *at)
{
    const int64_t each = (int64_t)d->h * d->w * d->c;
    char shape[NB_ARRAY_SHAPE_BYTES];
    if (a->count != each && a->count != each * a->dim[0])
        return nb_fail(ctx, NB_E_FORMAT, "%s: an array %s: the network takes %dx%dx%d, one sample or several of them",
                       path, nb_array_shape(a, shape), d->h, d->w, d->c);
    *at = (nb_sample_layout){.count = (int32_t)(a->count / each), .h = d->h, .w = d->w, .c = d->c};
    return NB_OK;
}

nb_status nb_npy_load(nb_ctx *ctx, const char *path, const nb_conf *data, const nb_dsinfo *info, uint8_t **codes,
                      int32_t *count)
{
    static const nb_key yes_or_no = {.kind = NB_K_BOOL};
    const nb_conf *first = nb_conf_get(data, "channels_first");
    char *name = NULL;
    uint8_t *bytes = NULL;
    size_t len;
    nb_array a = {0};
    nb_sample_layout at = {0};
    nb_status st = nb_data_read(ctx, "", path, max_run_bytes, &name, &bytes, &len);
    if (st == NB_OK)
        st = nb_npy_parse(ctx, name, bytes, len, &a);
    if (st == NB_OK)
        st = layout_of(ctx, name, &a, info, &at);
    if (st == NB_OK)
        st = first ? nb_conf_value(ctx, first, "data.channels_first", &yes_or_no, &at.first) : NB_OK;
    if (st == NB_OK)
        st = nb_samples_code(ctx, name, &a, &at, info->features, codes);
    if (st == NB_OK)
        *count = at.count;
    nb_free(ctx, name);
    nb_free(ctx, bytes);
    return st;
}

static const nb_key npy_keys[] = {
    NB_KEY_STRING(npy_state, x_train, "x_train.npy", "training samples, .gz or not, relative to data.path"),
    NB_KEY_STRING(npy_state, y_train, "y_train.npy", "their labels, integers; empty: there are none, all are 0"),
    NB_KEY_STRING(npy_state, x_test, "x_test.npy", "test samples"),
    NB_KEY_STRING(npy_state, y_test, "y_test.npy", "their labels"),
    NB_KEY_INT(npy_state, classes, "0", 0, 1 << 20, "number of classes; 0: the largest label says it"),
    NB_SAMPLES_KEYS(npy_state, keys),
    {0}};

const nb_dataset nb_dataset_npy = {.name = "npy",
                                   .help = "arrays as numpy.save writes them: images, vectors, signals, and labels",
                                   .keys = npy_keys,
                                   .attr_size = sizeof(npy_state),
                                   .open = npy_open,
                                   .get = npy_get,
                                   .close = npy_close,
                                   .describe = npy_describe};
