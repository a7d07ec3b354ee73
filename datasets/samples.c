/* samples.c - arrays of a file to the codes and labels of a split.
 *
 * Unsigned bytes are pixels and stay what they are; every other type goes through a map of features (feature_fit.c) once,
 * here, signed bytes through the one that adds 128. open() proves shapes, labels and that every number is finite. */
#include "samples.h"
#include "locate.h"
#include "stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/feature_map.h"

enum {
    MAX_SIDE = 1 << 14,
    MAX_LABEL = (1 << 20) - 1,
    TABLES = 4 /* images have a table for each channel, more share one */
};
static const size_t max_file_bytes = (size_t)1 << 32;

/* A file and what was understood of it; its bytes are freed with nb_free. */
typedef struct {
    char *name;
    uint8_t *bytes;
    nb_array a;
} array_file;

static nb_status read_file(nb_ctx *ctx, const nb_sample_files *files, const char *file, array_file *out)
{
    size_t len;
    NB_TRY(nb_data_read(ctx, files->dir, file, max_file_bytes, &out->name, &out->bytes, &len));
    return files->parse(ctx, out->name, out->bytes, len, &out->a);
}

static void close_file(nb_ctx *ctx, array_file *f)
{
    nb_free(ctx, f->name);
    nb_free(ctx, f->bytes);
    *f = (array_file){0};
}

/* ---- shape ---- */

/* data.shape: three whole numbers. */
static bool parse_shape(const nb_conf *c, int64_t shape[3])
{
    bool good = nb_conf_is_list(c) && nb_conf_count(c) == 3;
    for (int32_t i = 0; good && i < 3; i++) {
        const char *text = nb_conf_text(nb_conf_at(c, i));
        char *end = NULL;
        shape[i] = text ? strtol(text, &end, 10) : 0;
        good = text && end != text && !*end && shape[i] > 0;
    }
    return good;
}

static bool is_too_large(const int64_t shape[3])
{
    return shape[0] > MAX_SIDE || shape[1] > MAX_SIDE || shape[2] > NB_MAX_CHANNELS;
}

bool nb_samples_describe(const nb_sample_keys *keys, int32_t classes, nb_dsinfo *info)
{
    int64_t shape[3];
    if (!keys->shape || !parse_shape(keys->shape, shape) || is_too_large(shape) || classes == 0)
        return false;
    info->h = (int32_t)shape[0];
    info->w = (int32_t)shape[1];
    info->c = (int32_t)shape[2];
    info->classes = classes;
    return true;
}

/* What the dimensions of a sample are where data.shape does not say it. */
static void guess_shape(const nb_array *a, bool images, bool first, int64_t shape[3])
{
    const int64_t *d = a->dim + 1;
    if (a->ndim == 2) { /* [n, numbers] */
        shape[1] = d[0];
    } else if (a->ndim == 3 && images) {
        shape[0] = d[0];
        shape[1] = d[1];
    } else if (a->ndim == 3) { /* [n, length, channels]; [n, 1, length] is one channel either way */
        const bool swapped = first || d[0] == 1;
        shape[1] = d[swapped];
        shape[2] = d[!swapped];
    } else {
        shape[0] = d[first ? 1 : 0];
        shape[1] = d[first ? 2 : 1];
        shape[2] = d[first ? 0 : 2];
    }
}

static nb_status shape_of(nb_ctx *ctx, const char *name, const nb_array *a, const nb_sample_keys *keys, bool images,
                          nb_sample_layout *out)
{
    char text[NB_ARRAY_SHAPE_BYTES];
    int64_t s[3] = {1, 1, 1};
    const bool first = keys->channels_first;
    if (keys->shape && !parse_shape(keys->shape, s))
        return nb_fail(ctx, NB_E_CONFIG, "data.shape: must be [height, width, channels], like [1, 128, 1]");
    if (!keys->shape && (a->ndim < 2 || a->ndim > 4))
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: an array %s: must be [n, numbers], [n, length, channels] or [n, height, width, channels], "
                       "or data.shape must say what a sample is",
                       name, nb_array_shape(a, text));
    if (!keys->shape)
        guess_shape(a, images || a->dtype == NB_ARRAY_U8, first, s);
    if (is_too_large(s))
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: samples of %" PRId64 "x%" PRId64 "x%" PRId64
                       ": must be 1..%d high and wide with 1..%d channels; "
                       "data.shape says what they are",
                       name, s[0], s[1], s[2], MAX_SIDE, NB_MAX_CHANNELS);
    if (s[0] * s[1] * s[2] * a->dim[0] != a->count)
        return nb_fail(ctx, NB_E_FORMAT, "%s: an array %s holds no samples of %dx%dx%d (data.shape)", name,
                       nb_array_shape(a, text), (int)s[0], (int)s[1], (int)s[2]);
    if (s[0] * s[1] * s[2] > INT32_MAX / 2)
        return nb_fail(ctx, NB_E_FORMAT, "%s: an array %s: a sample is too large", name, nb_array_shape(a, text));
    *out = (nb_sample_layout){(int32_t)a->dim[0], (int32_t)s[0], (int32_t)s[1], (int32_t)s[2], first, a->ndim == 2};
    return NB_OK;
}

/* ---- numbers ---- */

static int64_t numbers_of(const nb_sample_layout *at)
{
    return (int64_t)at->h * at->w * at->c;
}

/* Where number i of a sample, channels last, stands in the file. */
static int64_t place(const nb_sample_layout *at, int64_t i)
{
    return at->first ? i % at->c * ((int64_t)at->h * at->w) + i / at->c : i;
}

/* Finite floats, channels last; freed with nb_free. */
static nb_status read_numbers(nb_ctx *ctx, const char *name, const nb_array *a, const nb_sample_layout *at, float **out)
{
    const int64_t each = numbers_of(at);
    float *x = nb_alloc(ctx, (size_t)a->count * sizeof *x);
    if (!x)
        return NB_E_NOMEM;
    for (int64_t k = 0; k < a->count; k++) {
        const int64_t sample = k / each, from = place(at, k % each);
        const double v = nb_array_value(a, sample * each + from);
        if (!(fabs(v) <= 1e30)) {
            nb_free(ctx, x);
            return nb_fail(ctx, NB_E_FORMAT,
                           "%s: number %" PRId64 " of sample %" PRId64 " is %g: must be finite and at most 1e30 in "
                           "size: take such samples out, or numpy.nan_to_num them",
                           name, from, sample, v);
        }
        x[k] = (float)v;
    }
    *out = x;
    return NB_OK;
}

static uint8_t *copy_bytes(nb_ctx *ctx, const nb_array *a, const nb_sample_layout *at)
{
    const int64_t each = numbers_of(at);
    uint8_t *codes = nb_alloc(ctx, (size_t)a->count);
    for (int64_t k = 0; codes && k < a->count; k++)
        codes[k] = a->data[k / each * each + place(at, k % each)];
    return codes;
}

static nb_status map_numbers(nb_ctx *ctx, const nb_features *map, const float *x, int64_t count, int64_t each,
                             uint8_t **out)
{
    uint8_t *codes = nb_alloc(ctx, (size_t)count);
    if (!codes)
        return NB_E_NOMEM;
    for (int64_t k = 0; k < count; k++)
        codes[k] = nb_feature_code(map, k % each, x[k]);
    *out = codes;
    return NB_OK;
}

/* ---- labels ---- */

static nb_status check_label_array(nb_ctx *ctx, const char *name, const nb_array *a, const char *x_name, int32_t count)
{
    char shape[NB_ARRAY_SHAPE_BYTES];
    if (a->count != a->dim[0])
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: labels are %s: must be one number a sample: of one-hot rows save y.argmax(1)", name,
                       nb_array_shape(a, shape));
    if (nb_array_is_float(a->dtype))
        return nb_fail(ctx, NB_E_FORMAT, "%s: labels are %s: must be integers: save y.astype('int64')", name,
                       nb_array_name(a->dtype));
    if (a->dim[0] != count)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %" PRId64 " labels, but %s holds %d samples", name, a->dim[0], x_name,
                       count);
    return NB_OK;
}

/* classes 0: any number. *most: the largest label, plus one. */
static nb_status read_labels(nb_ctx *ctx, const array_file *y, const char *x_name, int32_t count, int32_t classes,
                             int32_t *most, int32_t **out)
{
    NB_TRY(check_label_array(ctx, y->name, &y->a, x_name, count));
    int32_t *labels = nb_alloc(ctx, (size_t)count * sizeof *labels);
    if (!labels)
        return NB_E_NOMEM;
    const double limit = classes ? classes - 1 : MAX_LABEL;
    for (int32_t i = 0; i < count; i++) {
        const double v = nb_array_value(&y->a, i);
        if (v < 0 || v > limit) {
            nb_free(ctx, labels);
            return nb_fail(ctx, NB_E_FORMAT, "%s: label %.0f of entry %d: must be 0..%.0f", y->name, v, i, limit);
        }
        labels[i] = (int32_t)v;
        *most = labels[i] + 1 > *most ? labels[i] + 1 : *most;
    }
    *out = labels;
    return NB_OK;
}

/* One more than the largest label of a file that is not this split's. */
static nb_status count_classes(nb_ctx *ctx, const nb_sample_files *files, const char *file, int32_t *most)
{
    array_file y = {0};
    int32_t *labels = NULL;
    nb_status st = read_file(ctx, files, file, &y);
    if (st == NB_OK)
        st = read_labels(ctx, &y, "", (int32_t)y.a.dim[0], 0, most, &labels);
    nb_free(ctx, labels);
    close_file(ctx, &y);
    return st;
}

/* ---- a split ---- */

/* Of pixel/255. What is more than an image's channels has one mean and one deviation, so that one table serves. */
static void measure_pixels(const uint8_t *codes, const nb_sample_layout *at, nb_dsinfo *info)
{
    nb_pixel_stats sums = {0};
    const int64_t pixels = (int64_t)at->count * at->h * at->w;
    const bool each = at->c <= TABLES;
    nb_pixel_stats_add(&sums, codes, each ? pixels : pixels * at->c, each ? at->c : 1);
    nb_pixel_stats_finish(&sums, each ? at->c : 1, info->mean, info->std);
    for (int32_t c = 1; c < at->c && !each; c++) {
        info->mean[c] = info->mean[0];
        info->std[c] = info->std[0];
    }
}

/* A code of features stands for step * (code - zero): said in the words of pixels. */
static void set_mapped(const nb_features *map, int32_t c, nb_dsinfo *info)
{
    info->features = map;
    for (int32_t i = 0; i < c; i++) {
        info->mean[i] = (float)map->zero / 255.0f;
        info->std[i] = 1.0f / (255.0f * map->step);
    }
}

static bool stays_bytes(const nb_array *a, const nb_sample_keys *keys)
{
    return (a->dtype == NB_ARRAY_U8 || a->dtype == NB_ARRAY_I8) && keys->normalise == NB_NORMALISE_AUTO &&
           !keys->mean && !keys->std;
}

static nb_status check_alike(nb_ctx *ctx, const char *train, const nb_sample_layout *a, const nb_sample_layout *b)
{
    return a->h == b->h && a->w == b->w && a->c == b->c
               ? NB_OK
               : nb_fail(ctx, NB_E_FORMAT, "%s: samples of %dx%dx%d, but the test samples have %dx%dx%d", train, a->h,
                         a->w, a->c, b->h, b->w, b->c);
}

/* Signed bytes as they are, moved by 128. */
static nb_status signed_map(nb_samples *s)
{
    static const float center = 0, gain = 1;
    s->map = nb_features_copy(s->arena, &(nb_features){"int8", 128, 1.0f / 128, 1, &center, &gain});
    return s->map ? NB_OK : NB_E_NOMEM;
}

/* What the training samples say of how numbers become codes: x is their file, or the split's own. */
static nb_status measure(nb_ctx *ctx, nb_samples *s, const array_file *x, const nb_sample_layout *at,
                         const nb_sample_keys *keys, nb_dsinfo *info)
{
    if (stays_bytes(&x->a, keys) && x->a.dtype == NB_ARRAY_I8)
        return signed_map(s);
    if (stays_bytes(&x->a, keys)) {
        uint8_t *codes = copy_bytes(ctx, &x->a, at);
        if (codes)
            measure_pixels(codes, at, info);
        nb_free(ctx, codes);
        return codes ? NB_OK : NB_E_NOMEM;
    }
    float *numbers = NULL;
    NB_TRY(read_numbers(ctx, x->name, &x->a, at, &numbers));
    NB_ASSERT(numbers);
    nb_status st = nb_features_fit(ctx, s->arena, &(nb_feature_file){x->name, nb_array_name(x->a.dtype), numbers}, at,
                                   keys, &s->map);
    nb_free(ctx, numbers);
    return st;
}

static nb_status measure_training(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const nb_sample_keys *keys,
                                  const array_file *own, const char *split, nb_dsinfo *info)
{
    if (strcmp(split, "train") == 0)
        return measure(ctx, s, own, &s->at, keys, info);
    array_file x = {0};
    nb_sample_layout at = {0};
    nb_status st = read_file(ctx, files, files->train_x, &x);
    if (st == NB_OK)
        st = shape_of(ctx, x.name, &x.a, keys, files->images, &at);
    if (st == NB_OK)
        st = check_alike(ctx, x.name, &at, &s->at);
    if (st == NB_OK)
        st = measure(ctx, s, &x, &at, keys, info);
    close_file(ctx, &x);
    return st;
}

/* A map that a model brings along. */
static nb_status borrow_map(nb_ctx *ctx, nb_samples *s, const nb_features *given, const char *name)
{
    if (given->n != 1 && given->n != s->at.c && given->n != numbers_of(&s->at))
        return nb_fail(ctx, NB_E_SHAPE, "%s: samples of %dx%dx%d, but the network's input has %d columns", name,
                       s->at.h, s->at.w, s->at.c, given->n);
    s->map = nb_features_copy(s->arena, given);
    return s->map ? NB_OK : NB_E_NOMEM;
}

nb_status nb_samples_code(nb_ctx *ctx, const char *name, const nb_array *a, const nb_sample_layout *at,
                          const nb_features *map, uint8_t **codes)
{
    if (!map && a->dtype != NB_ARRAY_U8)
        return nb_fail(ctx, NB_E_FORMAT, "%s: numbers of type %s: the network takes unsigned bytes, 0..255", name,
                       nb_array_name(a->dtype));
    if (!map) {
        *codes = copy_bytes(ctx, a, at);
        return *codes ? NB_OK : NB_E_NOMEM;
    }
    float *numbers = NULL;
    NB_TRY(read_numbers(ctx, name, a, at, &numbers));
    NB_ASSERT(numbers);
    nb_status st = map_numbers(ctx, map, numbers, a->count, numbers_of(at), codes);
    nb_free(ctx, numbers);
    return st;
}

static nb_status open_labels(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const char *split,
                             const char *x_name, int32_t *classes)
{
    const bool train = strcmp(split, "train") == 0;
    const char *file = train ? files->train_y : files->test_y, *other = train ? files->test_y : files->train_y;
    const int32_t fixed = *classes;
    array_file y = {0};
    if (!*file) { /* unlabelled: all are 0 */
        s->labels = nb_alloc(ctx, (size_t)s->at.count * sizeof *s->labels);
        if (!s->labels)
            return NB_E_NOMEM;
        *classes = fixed ? fixed : 1;
        return fixed || !*other ? NB_OK : count_classes(ctx, files, other, classes);
    }
    nb_status st = read_file(ctx, files, file, &y);
    if (st == NB_OK)
        st = read_labels(ctx, &y, x_name, s->at.count, fixed, classes, &s->labels);
    close_file(ctx, &y);
    return st == NB_OK && !fixed && *other ? count_classes(ctx, files, other, classes) : st;
}

/* keys NULL: pixels whose normalisation is known. */
static nb_status open_x(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const nb_sample_keys *keys,
                        const array_file *x, const char *split, nb_dsinfo *info)
{
    static const nb_sample_keys none = {0};
    NB_TRY(shape_of(ctx, x->name, &x->a, keys ? keys : &none, files->images, &s->at));
    if (keys)
        NB_TRY(info->features ? borrow_map(ctx, s, info->features, x->name)
                              : measure_training(ctx, s, files, keys, x, split, info));
    NB_TRY(nb_samples_code(ctx, x->name, &x->a, &s->at, s->map, &s->codes));
    if (s->map)
        set_mapped(s->map, s->at.c, info);
    return NB_OK;
}

static nb_status open_split(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const nb_sample_keys *keys,
                            const char *split, int32_t classes, nb_dsinfo *info)
{
    array_file x = {0};
    NB_TRY(nb_arena_create(ctx, &s->arena));
    nb_status st = read_file(ctx, files, strcmp(split, "train") == 0 ? files->train_x : files->test_x, &x);
    if (st == NB_OK)
        st = open_x(ctx, s, files, keys, &x, split, info);
    if (st == NB_OK)
        st = open_labels(ctx, s, files, split, x.name, &classes);
    close_file(ctx, &x);
    if (st != NB_OK)
        return st;
    info->count = s->at.count;
    info->bytes = (int64_t)s->at.count * (numbers_of(&s->at) + (int64_t)sizeof *s->labels);
    info->h = s->at.h;
    info->w = s->at.w;
    info->c = s->at.c;
    info->classes = classes;
    return NB_OK;
}

nb_status nb_samples_open(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const nb_sample_keys *keys,
                          const char *split, int32_t classes, nb_dsinfo *info)
{
    return open_split(ctx, s, files, keys, split, classes, info);
}

nb_status nb_samples_open_pixels(nb_ctx *ctx, nb_samples *s, const nb_sample_files *files, const char *split,
                                 int32_t classes, nb_dsinfo *info)
{
    return open_split(ctx, s, files, NULL, split, classes, info);
}

void nb_samples_get(const nb_samples *s, int32_t index, uint8_t *hwc, int32_t *label)
{
    const size_t each = (size_t)numbers_of(&s->at);
    memcpy(hwc, s->codes + (size_t)index * each, each);
    *label = s->labels[index];
}

void nb_samples_close(nb_ctx *ctx, nb_samples *s)
{
    nb_free(ctx, s->codes);
    nb_free(ctx, s->labels);
    nb_arena_free(s->arena);
    *s = (nb_samples){0};
}
