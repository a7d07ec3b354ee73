/* idx.c - the MNIST family: fashion-mnist, mnist, and idx for any other pair of IDX files.
 *
 * The known sets carry their published mean and deviation; idx measures them over its training images, also when the test
 * split is opened, because normalisation belongs to the model (samples.h). */
#include "idx.h"
#include "locate.h"
#include "samples.h"

#include <string.h>

#include "base/check.h"

enum { KNOWN_CLASSES = 10 };

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool read_dtype(uint8_t code, nb_array_dtype *out)
{
    static const struct {
        uint8_t code;
        nb_array_dtype dtype;
    } table[] = {{0x08, NB_ARRAY_U8},  {0x09, NB_ARRAY_I8},  {0x0b, NB_ARRAY_I16},
                 {0x0c, NB_ARRAY_I32}, {0x0d, NB_ARRAY_F32}, {0x0e, NB_ARRAY_F64}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code) {
            *out = table[i].dtype;
            return true;
        }
    return false;
}

/* Sizes after a magic number that says type and how many. */
static nb_status read_header(nb_ctx *ctx, const char *name, const uint8_t *b, size_t len, nb_array *a)
{
    if (len < 4)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes are too few for an IDX header", name, len);
    const uint32_t magic = big_endian(b);
    a->ndim = (int32_t)(magic & 0xff);
    if (magic >> 16 || !read_dtype((uint8_t)(magic >> 8), &a->dtype) || a->ndim < 1 || a->ndim > NB_ARRAY_MAX_DIM)
        return nb_fail(
            ctx, NB_E_FORMAT,
            "%s: magic number 0x%08x: must be 0x00000803 (images of unsigned bytes), 0x00000801 (labels), or "
            "another type and number of dimensions of IDX",
            name, (unsigned)magic);
    if (len < 4 + 4 * (size_t)a->ndim)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes are too few for an IDX header with %d sizes", name, len,
                       a->ndim);
    a->count = 1;
    for (int32_t i = 0; i < a->ndim; i++) {
        const uint32_t d = big_endian(b + 4 + 4 * i);
        if (d == 0 || d > INT32_MAX || a->count > INT64_MAX / 8 / (int64_t)d)
            return nb_fail(ctx, NB_E_FORMAT, "%s: header: size %d of %d is %u: cannot be right", name, i + 1, a->ndim,
                           (unsigned)d);
        a->dim[i] = d;
        a->count *= d;
    }
    return NB_OK;
}

nb_status nb_idx_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_array *out)
{
    nb_array a = {.big_endian = true};
    NB_TRY(read_header(ctx, name, bytes, len, &a));
    const size_t at = 4 + 4 * (size_t)a.ndim, each = (size_t)nb_array_bytes(a.dtype), have = len - at;
    int64_t sample = 1;
    for (int32_t i = 1; i < a.ndim; i++)
        sample *= a.dim[i];
    if (have % each || have / each != (size_t)a.count)
        return nb_fail(ctx, NB_E_FORMAT, "%s: header promises %lld entries of %zu bytes, but %zu bytes follow it", name,
                       (long long)a.dim[0], (size_t)sample * each, have);
    a.data = bytes + at;
    *out = a;
    return NB_OK;
}

typedef struct {
    const char *train_images, *train_labels, *test_images, *test_labels;
    int32_t classes;
    nb_sample_keys keys;
    nb_samples samples;
} idx_state;

/* Files as named, relative to data.path when there is one. */
static nb_status idx_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    idx_state *s = st;
    const nb_sample_files files = {nb_idx_parse,    true,           path,          s->train_images,
                                   s->train_labels, s->test_images, s->test_labels};
    return nb_samples_open(ctx, &s->samples, &files, &s->keys, split, s->classes, info);
}

/* A set of ten classes of grey images under its published file names. */
static nb_status known_open(nb_ctx *ctx, idx_state *s, const char *name, const char *path, const char *split,
                            nb_dsinfo *info)
{
    nb_sample_files files = {.parse = nb_idx_parse,
                             .images = true,
                             .train_x = "train-images-idx3-ubyte",
                             .train_y = "train-labels-idx1-ubyte",
                             .test_x = "t10k-images-idx3-ubyte",
                             .test_y = "t10k-labels-idx1-ubyte"};
    char *dir;
    NB_TRY(nb_data_locate(ctx, name, path, files.train_x, &dir));
    files.dir = dir;
    nb_status st = nb_samples_open_pixels(ctx, &s->samples, &files, split, KNOWN_CLASSES, info);
    if (st == NB_OK && info->c != 1)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: %s has images with %d channels: must be 1", dir, name, info->c);
    nb_free(ctx, dir);
    return st;
}

static const char *const fashion_names[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                            "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
static const char *const digit_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static nb_status fashion_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    info->mean[0] = 0.2860f; /* of the 60,000 training images */
    info->std[0] = 0.3530f;
    info->class_names = fashion_names;
    return known_open(ctx, st, "fashion-mnist", path, split, info);
}

static nb_status mnist_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    info->mean[0] = 0.1307f;
    info->std[0] = 0.3081f;
    info->class_names = digit_names;
    return known_open(ctx, st, "mnist", path, split, info);
}

static bool idx_describe(const void *st, nb_dsinfo *info)
{
    const idx_state *s = st;
    return nb_samples_describe(&s->keys, s->classes, info);
}

static bool known_describe(const void *st, nb_dsinfo *info)
{
    (void)st;
    info->h = info->w = 28;
    info->c = 1;
    info->classes = KNOWN_CLASSES;
    return true;
}

static void idx_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    nb_samples_get(&((const idx_state *)st)->samples, index, hwc, label);
}

static void idx_close(nb_ctx *ctx, void *st)
{
    nb_samples_close(ctx, &((idx_state *)st)->samples);
}

static const nb_key idx_keys[] = {
    NB_KEY_STRING(idx_state, train_images, "train-images-idx3-ubyte",
                  "IDX file of training images, .gz or not, relative to data.path"),
    NB_KEY_STRING(idx_state, train_labels, "train-labels-idx1-ubyte", "IDX file of training labels"),
    NB_KEY_STRING(idx_state, test_images, "t10k-images-idx3-ubyte", "IDX file of test images"),
    NB_KEY_STRING(idx_state, test_labels, "t10k-labels-idx1-ubyte", "IDX file of test labels"),
    NB_KEY_INT(idx_state, classes, "10", 1, 256, "number of classes; labels are 0..classes-1"),
    NB_SAMPLES_KEYS(idx_state, keys),
    {0}};

const nb_dataset nb_dataset_fashion_mnist = {.name = "fashion-mnist",
                                             .help = "60,000 + 10,000 grey images of clothes, 28x28, 10 classes",
                                             .attr_size = sizeof(idx_state),
                                             .open = fashion_open,
                                             .get = idx_get,
                                             .close = idx_close,
                                             .describe = known_describe};
const nb_dataset nb_dataset_mnist = {.name = "mnist",
                                     .help = "60,000 + 10,000 grey images of digits, 28x28, 10 classes",
                                     .attr_size = sizeof(idx_state),
                                     .open = mnist_open,
                                     .get = idx_get,
                                     .close = idx_close,
                                     .describe = known_describe};
const nb_dataset nb_dataset_idx = {
    .name = "idx",
    .help = "any images, or vectors and signals, and labels in IDX files (the container of MNIST)",
    .keys = idx_keys,
    .attr_size = sizeof(idx_state),
    .open = idx_open,
    .get = idx_get,
    .close = idx_close,
    .describe = idx_describe};
